//! Request heads, read strictly: what two programs could read differently is refused (RFC 9112).

use std::mem::MaybeUninit;
use std::net::IpAddr;

use httparse::Status;

use crate::request::{
    BadTarget, Connection, Fields, Lines, Method, Request, Scheme, Version, host_without_port, split_target,
};

/// Most field lines of a request.
const MAX_FIELDS: usize = 100;

/// A request body's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body, or one of this many bytes.
    Length(u64),
    /// Chunked.
    Chunked,
}

/// What a buffer begins with.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, on the stack; a box would cost an allocation on every hit"
)]
pub(crate) enum Parsed<'b> {
    /// Not a whole head yet.
    Partial,
    /// A request and the length of its head.
    Whole(Parts<'b>),
    /// None that is answered; the status of the refusal.
    Bad(u16),
}

/// A request with what concerns its connection.
#[derive(Debug)]
pub(crate) struct Parts<'b> {
    pub(crate) request: Request<'b>,
    pub(crate) head_bytes: usize,
    pub(crate) keep_alive: bool,
    pub(crate) http_1_0: bool,
    pub(crate) framing: Framing,
    /// Whether the viewer waits for `100 Continue` before it sends the body.
    pub(crate) expects: bool,
}

/// Field lines that decide about connection and framing.
#[derive(Debug, Default)]
struct Control<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects: bool,
}

/// Reads the request head at the beginning of `bytes`.
pub(crate) fn parse(bytes: &[u8], scheme: Scheme, peer: IpAddr) -> Parsed<'_> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let head_bytes = match head.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(431),
        Err(httparse::Error::Version) => return Parsed::Bad(505),
        Err(_) => return Parsed::Bad(400),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Parsed::Bad(400);
    };
    // httparse takes a bare LF for a line's end; RFC 9112 §2.2 allows that, and others on the way may differ.
    if has_bare_line_feed(&bytes[..head_bytes]) {
        return Parsed::Bad(400);
    }
    let mut control = Control::default();
    let mut fields = Fields::default();
    for field in head.headers.iter() {
        if let Err(status) = take_control(&mut control, field.name, field.value) {
            return Parsed::Bad(status);
        }
        fields.take(field.name, field.value);
    }
    let http_1_0 = version == 0;
    // RFC 9112 §6.1: both framings at once, or a coding that HTTP/1.0 does not have, are how requests are smuggled.
    if control.chunked && (control.length.is_some() || http_1_0) {
        return Parsed::Bad(400);
    }
    let (host, target) = match authority(target, &control, scheme, http_1_0) {
        Ok(found) => found,
        Err(status) => return Parsed::Bad(status),
    };
    let (path, query) = match split_target(target) {
        Ok(split) => split,
        Err(BadTarget::TooLong) => return Parsed::Bad(414),
        Err(BadTarget::Path | BadTarget::Host) => return Parsed::Bad(400),
    };
    // Empty lines before the request line are allowed (RFC 9112 §2.2).
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line_end = memchr::memchr(b'\n', &bytes[begin..head_bytes]).map_or(head_bytes, |at| begin + at + 1);
    let lines = Lines::Raw(&bytes[line_end..head_bytes]);
    let connection =
        Connection { version: if http_1_0 { Version::Http10 } else { Version::Http11 }, ..Connection::default() };
    let request = Request { method: Method::of(method), scheme, host, path, query, peer, connection, fields, lines };
    let keep_alive = !control.close && (!http_1_0 || control.keep_alive);
    let framing = if control.chunked { Framing::Chunked } else { Framing::Length(control.length.unwrap_or(0)) };
    // HTTP/1.0 knows no interim answers (RFC 9110 §10.1.1).
    let expects = control.expects && !http_1_0 && framing != Framing::Length(0);
    Parsed::Whole(Parts { request, head_bytes, keep_alive, http_1_0, framing, expects })
}

/// Host and path of the request: an absolute target overrides `Host` (RFC 9112 §3.2.2), which must be there all the same.
fn authority<'b>(
    target: &'b str,
    control: &Control<'b>,
    scheme: Scheme,
    http_1_0: bool,
) -> Result<(&'b str, &'b str), u16> {
    let host = match control.host {
        Some(host) => host,
        None if http_1_0 => "",
        None => return Err(400),
    };
    host_without_port(host).map_err(|_| 400_u16)?;
    if target.starts_with('/') {
        return Ok((host, target));
    }
    let rest = strip_scheme(target, scheme).ok_or(400_u16)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let name = host_without_port(authority).map_err(|_| 400_u16)?;
    if name.is_empty() || path.starts_with('?') {
        return Err(400);
    }
    Ok((authority, if path.is_empty() { "/" } else { path }))
}

/// The rest of an absolute target, whose scheme has to be the connection's own.
fn strip_scheme(target: &str, scheme: Scheme) -> Option<&str> {
    let prefix = match scheme {
        Scheme::Http => "http://",
        Scheme::Https => "https://",
    };
    target.get(..prefix.len())?.eq_ignore_ascii_case(prefix).then(|| &target[prefix.len()..])
}

fn take_control<'b>(control: &mut Control<'b>, name: &str, value: &'b [u8]) -> Result<(), u16> {
    match name.len() {
        4 if name.eq_ignore_ascii_case("host") => {
            let host = std::str::from_utf8(value).map_err(|_| 400_u16)?;
            if control.host.replace(host).is_some() {
                return Err(400);
            }
        }
        6 if name.eq_ignore_ascii_case("expect") => {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(417);
            }
            control.expects = true;
        }
        10 if name.eq_ignore_ascii_case("connection") => {
            for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                control.close |= option.eq_ignore_ascii_case(b"close");
                control.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        14 if name.eq_ignore_ascii_case("content-length") => {
            // One field line of digits; lists and repetitions, equal or not, are refused.
            let digits = std::str::from_utf8(value).map_err(|_| 400_u16)?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(400);
            }
            if control.length.replace(digits.parse().map_err(|_| 400_u16)?).is_some() {
                return Err(400);
            }
        }
        17 if name.eq_ignore_ascii_case("transfer-encoding") => {
            if control.chunked {
                return Err(400);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(501);
            }
            control.chunked = true;
        }
        _ => {}
    }
    Ok(())
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn status(text: &str) -> u16 {
        match parse(text.as_bytes(), Scheme::Http, PEER) {
            Parsed::Partial => 100,
            Parsed::Whole(_) => 200,
            Parsed::Bad(status) => status,
        }
    }

    #[test]
    fn ambiguity_is_refused() {
        for (expected, head) in [
            (200, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (200, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (200, "GET / HTTP/1.0\r\n\r\n"),
            (200, "GET http://a:80/x HTTP/1.1\r\nHost: b\r\n\r\n"),
            (200, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (100, "GET / HTTP/1.1\r\nHost: a\r\n"),
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
            (400, "GET / HTTP/1.1\nHost: a\n\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
            (400, "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            (400, "GET /../x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
            (417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n"),
            (400, "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            assert_eq!(status(head), expected, "{head:?}");
        }
        let many = "X: y\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), 431);
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000))), 414);
    }

    #[test]
    fn connections_persist_by_version_and_wish() {
        for (expected, head) in [
            (true, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (false, "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"),
            (false, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
            (true, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
        ] {
            let Parsed::Whole(parts) = parse(head.as_bytes(), Scheme::Http, PEER) else { panic!("{head}") };
            assert_eq!(parts.keep_alive, expected, "{head}");
        }
        let Parsed::Whole(parts) = parse(b"GET http://B:1 HTTP/1.1\r\nHost: a\r\n\r\nrest", Scheme::Http, PEER) else {
            panic!()
        };
        assert_eq!((parts.request.host, parts.request.path, parts.head_bytes), ("B:1", "/", 36));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, head in "(GET|POST|/|HTTP/1.1| |\r\n|\n|Host: |a|Content-Length: |5|:|,|%2e|\\.){0,60}") {
            let _ = parse(&bytes, Scheme::Http, PEER);
            let _ = parse(head.as_bytes(), Scheme::Http, PEER);
            let _ = parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n").as_bytes(), Scheme::Http, PEER);
        }
    }
}
