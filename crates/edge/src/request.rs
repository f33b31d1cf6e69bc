//! A viewer's request as the fronts give it, and the checks of its target.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
#[cfg(feature = "http3")]
use http::HeaderMap;

use crate::field_block::FieldBlock;

/// Longest path and query, in bytes.
const MAX_TARGET_BYTES: usize = 8 << 10;

/// `Cookie` lines that are looked at.
const MAX_COOKIE_LINES: usize = 8;

/// What a viewer may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    Post,
    Put,
    Patch,
    Delete,
    Other,
}

impl Method {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "-",
        }
    }
}

/// The request fields that the edge looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
    pub(crate) range: Option<&'a str>,
    pub(crate) if_range: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    pub(crate) requested_method: Option<&'a str>,
    pub(crate) requested_headers: Option<&'a str>,
    /// Secret by which an edge shows itself to its shield.
    pub(crate) shield: Option<&'a str>,
    /// Whether there are headers of CTA-5004.
    pub(crate) cmcd: bool,
    /// `Cookie` lines; empty where there are fewer. HTTP/2 may send several.
    pub(crate) cookies: [&'a str; MAX_COOKIE_LINES],
}

impl<'a> Fields<'a> {
    /// Takes a field if it is one that counts. Of a repeated one the first counts.
    pub(crate) fn take(&mut self, name: &str, value: &'a [u8]) {
        if name.eq_ignore_ascii_case("cookie") {
            if let (Some(free), Ok(line)) = (self.cookies.iter_mut().find(|c| c.is_empty()), std::str::from_utf8(value))
            {
                *free = line;
            }
            return;
        }
        let slot = match name.len() {
            11 | 12 if name.as_bytes()[..5].eq_ignore_ascii_case(b"cmcd-") => {
                self.cmcd = true;
                return;
            }
            5 if name.eq_ignore_ascii_case("range") => &mut self.range,
            6 if name.eq_ignore_ascii_case("origin") => &mut self.origin,
            8 if name.eq_ignore_ascii_case("if-range") => &mut self.if_range,
            13 if name.eq_ignore_ascii_case("if-none-match") => &mut self.if_none_match,
            17 if name.eq_ignore_ascii_case("if-modified-since") => &mut self.if_modified_since,
            18 if name.eq_ignore_ascii_case("x-anabranch-shield") => &mut self.shield,
            29 if name.eq_ignore_ascii_case("access-control-request-method") => &mut self.requested_method,
            30 if name.eq_ignore_ascii_case("access-control-request-headers") => &mut self.requested_headers,
            _ => return,
        };
        if slot.is_none() {
            *slot = std::str::from_utf8(value).ok();
        }
    }
}

/// What the viewer's connection speaks beneath HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Version of HTTP that a viewer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
    #[cfg(feature = "http3")]
    Http3,
}

impl Version {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
            #[cfg(feature = "http3")]
            Self::Http3 => "HTTP/3.0",
        }
    }
}

/// What a viewer's connection has agreed on, by OpenSSL's names, as CloudFront logs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// As in `TLSv1.3`.
    pub(crate) protocol: &'static str,
    /// As in `TLS_AES_128_GCM_SHA256` or `ECDHE-RSA-AES128-GCM-SHA256`.
    pub(crate) cipher: &'static str,
}

/// What only the log says of a viewer's connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) version: Version,
    /// The viewer's; 0 if nobody asked for it.
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
}

/// All field lines of a request, for the bends that need others than [`Fields`]; read only when asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lines<'a> {
    /// The bytes of an HTTP/1 head after its request line, which the parser has accepted.
    Raw(&'a [u8]),
    /// The fields of an HTTP/2 head, which the front has checked.
    Block(&'a FieldBlock),
    /// Fields that a library has parsed.
    #[cfg(feature = "http3")]
    Map(&'a HeaderMap),
}

impl<'a> Lines<'a> {
    /// Every field line as name (in the viewer's spelling) and value, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let raw = if let Self::Raw(raw) = self { Some(raw) } else { None };
        let raw = raw.into_iter().flat_map(|raw| raw.split(|&byte| byte == b'\n')).filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
        });
        let block = if let Self::Block(block) = self { Some(block) } else { None };
        let regular = |name: &&str| !name.starts_with(':');
        let block = block
            .into_iter()
            .flat_map(FieldBlock::iter)
            .filter_map(move |(name, value)| Some((std::str::from_utf8(name).ok().filter(regular)?, value)));
        let all = raw.chain(block);
        #[cfg(feature = "http3")]
        let all = {
            let map = if let Self::Map(map) = self { Some(map) } else { None };
            all.chain(map.into_iter().flat_map(|map| map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))))
        };
        all
    }

    /// The values of one name, compared without case.
    pub(crate) fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(present, _)| present.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The body of a request, which a front reads only when a bend asks for it.
pub(crate) trait ReadBody: Send {
    /// The whole body; empty if there is none. Called once at the most.
    ///
    /// # Errors
    /// The status of the refusal: 413 over `limit` bytes, 408 too slow, 400 malformed or broken off. The connection then ends
    /// with the answer.
    fn collect(&mut self, limit: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>>;
}

/// A body of which is known how much of it has been read.
pub(crate) struct CountedBody<'b> {
    body: &'b mut dyn ReadBody,
    bytes: u64,
}

impl<'b> CountedBody<'b> {
    pub(crate) fn new(body: &'b mut dyn ReadBody) -> Self {
        Self { body, bytes: 0 }
    }

    /// Bytes of the whole body; 0 unless it was read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl ReadBody for CountedBody<'_> {
    fn collect(&mut self, limit: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(async move {
            let body = self.body.collect(limit).await?;
            self.bytes = body.len() as u64;
            Ok(body)
        })
    }
}

/// No body.
pub(crate) struct NoBody;

impl ReadBody for NoBody {
    fn collect(&mut self, _: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(Bytes::new())))
    }
}

/// A request, borrowed from the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) scheme: Scheme,
    /// As asked, with the port if there was one; empty if HTTP/1.0 gave none.
    pub(crate) host: &'a str,
    /// As asked; begins with `/`.
    pub(crate) path: &'a str,
    /// Without the `?`.
    pub(crate) query: Option<&'a str>,
    pub(crate) peer: IpAddr,
    pub(crate) connection: Connection,
    pub(crate) fields: Fields<'a>,
    pub(crate) lines: Lines<'a>,
}

/// Why a target or host is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadTarget {
    /// Not a path, or one that could mean another.
    Path,
    /// Longer than [`MAX_TARGET_BYTES`].
    TooLong,
    /// Not a host name or address with an optional port.
    Host,
}

/// Splits path and query and refuses what two programs could read differently.
///
/// # Errors
/// See [`BadTarget`].
pub(crate) fn split_target(target: &str) -> Result<(&str, Option<&str>), BadTarget> {
    if target.len() > MAX_TARGET_BYTES {
        return Err(BadTarget::TooLong);
    }
    // Without an early end the loop becomes a few wide instructions, and signed targets are long.
    if target.bytes().fold(false, |bad, byte| bad | !byte.is_ascii_graphic() | (byte == b'#')) {
        return Err(BadTarget::Path);
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    check_path(path)?;
    Ok((path, query))
}

/// A path that no reading, with escapes undone or not, takes out of its root.
fn check_path(path: &str) -> Result<(), BadTarget> {
    if !path.starts_with('/') {
        return Err(BadTarget::Path);
    }
    // Length of the present segment after decoding, and whether it is all dots.
    let (mut length, mut dots) = (0_usize, true);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => return Err(BadTarget::Path),
            b'%' => {
                let mut digit = || bytes.next().and_then(|d| char::from(d).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(BadTarget::Path) };
                u8::try_from(high * 16 + low).unwrap_or(0)
            }
            other => other,
        };
        match byte {
            0 | b'\r' | b'\n' => return Err(BadTarget::Path),
            b'/' | b'\\' => {
                if dots && (length == 1 || length == 2) {
                    return Err(BadTarget::Path);
                }
                (length, dots) = (0, true);
            }
            other => {
                length += 1;
                dots &= other == b'.';
            }
        }
    }
    if dots && (length == 1 || length == 2) { Err(BadTarget::Path) } else { Ok(()) }
}

/// The host without its port; refuses what is neither a name nor an address (RFC 9110 §7.2).
///
/// # Errors
/// [`BadTarget::Host`].
pub(crate) fn host_without_port(host: &str) -> Result<&str, BadTarget> {
    if host.len() > 255 {
        return Err(BadTarget::Host);
    }
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let close = rest.find(']').ok_or(BadTarget::Host)?;
        if rest[..close].is_empty() || !rest[..close].bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.') {
            return Err(BadTarget::Host);
        }
        (&host[..close + 2], &rest[close + 1..])
    } else {
        let end = host.find(':').unwrap_or(host.len());
        if !host[..end].bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            return Err(BadTarget::Host);
        }
        (&host[..end], &host[end..])
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let valid =
        digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) && (port.is_empty() || port.starts_with(':'));
    if valid { Ok(name) } else { Err(BadTarget::Host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tricks_are_refused() {
        for target in [
            "",
            "a",
            "*",
            "/..",
            "/../x",
            "/a/..",
            "/a/.",
            "/./a",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a%2f..%2fb",
            "/a%5c..",
            "/a\\b",
            "/a\0",
            "/a%00",
            "/%",
            "/%2",
            "/%zz",
            "/a#b",
            "/a b",
            "/é",
            "/a%0d%0ab",
            "/a%2f%2e%2e",
        ] {
            assert_eq!(split_target(target), Err(BadTarget::Path), "{target}");
        }
        assert_eq!(split_target(&format!("/{}", "a".repeat(9000))), Err(BadTarget::TooLong));
    }

    #[test]
    fn honest_paths_pass() {
        for target in ["/", "/a//b", "/...", "/a..b/..c", "/%20", "/a%2fb", "/.well-known/x", "/a?b=../..&c=%zz"] {
            assert!(split_target(target).is_ok(), "{target}");
        }
        assert_eq!(split_target("/a?b?c"), Ok(("/a", Some("b?c"))));
    }

    #[test]
    fn hosts_lose_their_port() {
        for (host, name) in
            [("a.b", "a.b"), ("a.b:80", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("A:", "A"), ("", "")]
        {
            assert_eq!(host_without_port(host), Ok(name), "{host}");
        }
        for host in ["a b", "a/b", "a@b", "a,b", "a:b", "a:123456", "[::1", "[]", "[::1]x", "a:1:2", "é"] {
            assert_eq!(host_without_port(host), Err(BadTarget::Host), "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,60}", path in "[/.%2eEfF5cC\\\\?a0]{0,40}") {
            let _ = (split_target(&text), host_without_port(&text));
            let _ = (split_target(&path), host_without_port(&path));
        }
    }
}
