//! A GET over plain HTTP/1.1, for the demo to look at what it has started. One request a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Time to connect, and between two reads.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer at most: a segment of ten seconds of the test picture fits many times.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Status and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Fetches an `http://` URL. Names under `localhost` need no resolver (RFC 6761 §6.3).
pub(crate) fn get(url: &str) -> Result<Answer> {
    let (host, path) = split(url)?;
    let stream =
        TcpStream::connect_timeout(&address(host)?, TIMEOUT).with_context(|| format!("cannot reach {host}"))?;
    stream.set_read_timeout(Some(TIMEOUT)).context("cannot set a timeout")?;
    (&stream)
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .context("cannot send the request")?;
    let mut bytes = Vec::new();
    (&stream).take(MAX_ANSWER).read_to_end(&mut bytes).context("cannot read the answer")?;
    parse(&bytes)
}

/// The URL that `reference` names on the page `base`, as far as playlists need it: absolute, from the root, or beside.
pub(crate) fn join(base: &str, reference: &str) -> Result<String> {
    if reference.starts_with("http://") || reference.starts_with("https://") {
        return Ok(reference.to_owned());
    }
    let (host, path) = split(base)?;
    if reference.starts_with('/') {
        return Ok(format!("http://{host}{reference}"));
    }
    let path = path.split('?').next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Ok(format!("http://{host}{folder}/{reference}"))
}

fn split(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("not a plain http URL: {url}"))?;
    Ok(rest.find('/').map_or((rest, "/"), |at| rest.split_at(at)))
}

fn address(host: &str) -> Result<SocketAddr> {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    let port: u16 = port.parse().with_context(|| format!("no port: {host}"))?;
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let mut found =
        (name.trim_matches(['[', ']']), port).to_socket_addrs().with_context(|| format!("unknown host: {name}"))?;
    found.next().with_context(|| format!("unknown host: {name}"))
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").context("the answer has no end of head")?;
    let head = std::str::from_utf8(&bytes[..end]).context("the answer's head is not text")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.context("the answer has no status")?;
    let header = |wanted: &str| {
        head.lines().skip(1).filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let body = &bytes[end + 4..];
    if header("transfer-encoding").is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case("chunked")) {
        return Ok(Answer { status, body: dechunk(body)? });
    }
    let length = header("content-length").and_then(|(_, value)| value.trim().parse::<usize>().ok());
    match length {
        Some(length) if length > body.len() => bail!("the answer was cut off: {} of {length} bytes", body.len()),
        Some(length) => Ok(Answer { status, body: body[..length].to_vec() }),
        None => Ok(Answer { status, body: body.to_vec() }),
    }
}

/// RFC 9112 §7.1.
fn dechunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").context("a chunk has no size line")?;
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()).context("a chunk has no size")?;
        if size == 0 {
            return Ok(body);
        }
        let from = end + 2;
        let chunk =
            from.checked_add(size).and_then(|to| rest.get(from..to)).context("the answer was cut off in a chunk")?;
        body.extend_from_slice(chunk);
        rest = rest.get(from + size + 2..).context("the answer was cut off after a chunk")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_joined() {
        let base = "http://127.0.0.1:8888/d/ID/b/index.m3u8?Policy=a/b";
        for (reference, whole) in [
            ("video.m3u8?x=1", "http://127.0.0.1:8888/d/ID/b/video.m3u8?x=1"),
            ("/b/video.m3u8", "http://127.0.0.1:8888/b/video.m3u8"),
            ("http://other/x", "http://other/x"),
        ] {
            assert_eq!(join(base, reference).unwrap(), whole);
        }
        assert!(join("ftp://x", "y").is_err());
    }

    #[test]
    fn names_under_localhost_are_this_machine() {
        assert_eq!(address("e1.cdn.localhost:8888").unwrap(), "127.0.0.1:8888".parse().unwrap());
    }

    #[test]
    fn answers_are_read_whole_or_refused() {
        let plain = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!((plain.status, plain.body.as_slice()), (200, b"hi".as_slice()));
        let chunked =
            parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n").unwrap();
        assert_eq!(chunked.body, b"hi!");
        for broken in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi".as_slice(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhi",
            b"HTTP/1.1 200 OK\r\n",
            b"",
        ] {
            assert!(parse(broken).is_err());
        }
    }
}
