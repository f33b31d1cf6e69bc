//! Request heads of HTTP/2: what makes a list of fields a request (RFC 9113 §8).

use crate::field_block::FieldBlock;
use crate::request::{BadTarget, Fields, Lines, Method, Request, host_without_port, split_target};
use crate::viewer::Viewer;

/// A head that breaks the rules: its stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Fields that speak of a connection, which HTTP/2 has in frames (RFC 9113 §8.2.2).
const OF_CONNECTIONS: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// Checks all that has to be right for a stream to go on. Returns the announced length of the body.
///
/// # Errors
/// See [`Malformed`].
pub(super) fn check(block: &FieldBlock) -> Result<Option<u64>, Malformed> {
    let mut seen = [false; 4];
    let mut regular = false;
    let mut connect = false;
    let mut length = None;
    for (name, value) in block.iter() {
        if !value.iter().fold(true, |good, &byte| good & is_text(byte))
            || value.first().is_some_and(|&byte| is_blank(byte))
            || value.last().is_some_and(|&byte| is_blank(byte))
        {
            return Err(Malformed);
        }
        if name.first() == Some(&b':') {
            let (slot, empty) = match name {
                b":method" => (0, !is_token(value)),
                b":scheme" => (1, value.is_empty()),
                b":path" => (2, value.is_empty()),
                b":authority" => (3, false),
                _ => return Err(Malformed),
            };
            if regular || seen[slot] || empty {
                return Err(Malformed);
            }
            seen[slot] = true;
            connect |= slot == 0 && value == b"CONNECT";
            continue;
        }
        regular = true;
        if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) || OF_CONNECTIONS.contains(&name) {
            return Err(Malformed);
        }
        match name {
            b"te" if value != b"trailers" => return Err(Malformed),
            b"content-length" => {
                let announced = read_length(value).ok_or(Malformed)?;
                if length.is_some_and(|length| length != announced) {
                    return Err(Malformed);
                }
                length = Some(announced);
            }
            _ => {}
        }
    }
    let [method, scheme, path, authority] = seen;
    let whole = if connect { authority && !scheme && !path } else { scheme && path };
    if method && whole { Ok(length) } else { Err(Malformed) }
}

/// Whether a block may end a stream: without pseudo-fields (RFC 9113 §8.1).
pub(super) fn is_trailer(block: &FieldBlock) -> bool {
    block.iter().all(|(name, _)| name.first() != Some(&b':'))
}

fn read_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        })
}

/// Reads a head that [`check`] has let pass.
///
/// # Errors
/// The status of the refusal.
pub(super) fn read<'r>(block: &'r FieldBlock, viewer: &Viewer) -> Result<Request<'r>, u16> {
    if block.is_over() {
        return Err(431);
    }
    let (mut method, mut target, mut authority, mut host) = ("", "/", None, None);
    let mut fields = Fields::default();
    for (name, value) in block.iter() {
        match name {
            b":method" => method = text(value)?,
            b":path" => target = text(value)?,
            b":authority" => authority = Some(text(value)?),
            b":scheme" => {}
            b"host" => {
                if host.replace(text(value)?).is_some() {
                    return Err(400);
                }
            }
            _ => fields.take(text(name)?, value),
        }
    }
    // RFC 9113 §8.3.1: where both are given they must say the same.
    if let (Some(authority), Some(host)) = (authority, host)
        && !authority.eq_ignore_ascii_case(host)
    {
        return Err(400);
    }
    let host = authority.or(host).filter(|host| !host.is_empty()).ok_or(400_u16)?;
    host_without_port(host).map_err(|_| 400_u16)?;
    if !viewer.may_ask(host) {
        return Err(421);
    }
    let (path, query) = split_target(target).map_err(|bad| match bad {
        BadTarget::TooLong => 414_u16,
        BadTarget::Path | BadTarget::Host => 400,
    })?;
    Ok(Request {
        method: Method::of(method),
        scheme: viewer.scheme(),
        host,
        path,
        query,
        peer: viewer.address,
        connection: viewer.connection,
        fields,
        lines: Lines::Block(block),
    })
}

fn text(value: &[u8]) -> Result<&str, u16> {
    std::str::from_utf8(value).map_err(|_| 400)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::Connection;

    const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "h:1")];

    fn block(fields: &[(&str, &str)]) -> FieldBlock {
        let mut block = FieldBlock::default();
        fields.iter().for_each(|(name, value)| block.push(name.as_bytes(), value.as_bytes()));
        block
    }

    fn with(more: &[(&str, &str)]) -> FieldBlock {
        block(&[&GET[..], more].concat())
    }

    fn viewer() -> Viewer {
        Viewer { address: [127, 0, 0, 1].into(), hosts: None, connection: Connection::default() }
    }

    #[test]
    fn malformed_heads_are_found() {
        assert_eq!(check(&with(&[("te", "trailers"), ("content-length", "7"), ("x", "")])), Ok(Some(7)));
        assert_eq!(check(&block(&[(":method", "CONNECT"), (":authority", "a")])), Ok(None));
        for more in [
            ("te", "gzip"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("X", "y"),
            ("x y", "z"),
            ("", "z"),
            ("x", " y"),
            ("x", "y\t"),
            ("x", "y\r\nz: 1"),
            ("x", "\0"),
            ("content-length", "+1"),
            ("content-length", ""),
            (":path", "/again"),
            (":method", "GET"),
            (":protocol", "websocket"),
        ] {
            assert_eq!(check(&with(&[more])), Err(Malformed), "{more:?}");
        }
        for fields in [
            &[][..],
            &GET[1..],
            &GET[..1],
            &[GET[0], GET[1], (":path", "")],
            &[GET[0], GET[1], ("x", "y"), GET[2]],
            &[(":method", "G T"), GET[1], GET[2]],
            &[(":method", "CONNECT"), GET[1], GET[2], GET[3]],
        ] {
            assert_eq!(check(&block(fields)), Err(Malformed), "{fields:?}");
        }
        assert_eq!(check(&with(&[("content-length", "1"), ("content-length", "2")])), Err(Malformed));
        assert!(is_trailer(&block(&[("x", "y")])) && !is_trailer(&block(&[(":status", "200")])));
    }

    #[test]
    fn requests_are_read() {
        let whole = with(&[("cookie", "a=b"), ("cookie", "c=d"), ("range", "bytes=0-"), ("host", "H:1")]);
        let request = read(&whole, &viewer()).unwrap();
        assert_eq!((request.method, request.host, request.path, request.query), (Method::Get, "h:1", "/a", Some("b")));
        assert_eq!((request.fields.range, &request.fields.cookies[..2]), (Some("bytes=0-"), &["a=b", "c=d"][..]));
        assert_eq!(request.lines.all("Cookie").count(), 2);
        assert!(request.lines.iter().all(|(name, _)| !name.starts_with(':')));
        for (more, status) in [(("host", "other"), 400), (("x", "y"), 0)] {
            assert_eq!(read(&with(&[more]), &viewer()).err().unwrap_or(0), status, "{more:?}");
        }
        assert_eq!(read(&with(&[("host", "h:1"), ("host", "h:1")]), &viewer()).err(), Some(400));
        for (place, value, status) in
            [(3, "", 400), (3, "a@b", 400), (2, "*", 400), (2, "/../a", 400), (2, "http://a/b", 400), (2, "/é", 400)]
        {
            let mut fields = GET;
            fields[place].1 = value;
            assert_eq!(read(&block(&fields), &viewer()).err(), Some(status), "{value}");
        }
        assert_eq!(read(&block(&GET[..3]), &viewer()).err(), Some(400), "no host");
    }

    proptest! {
        #[test]
        fn any_fields_are_judged(fields: Vec<(Vec<u8>, Vec<u8>)>) {
            let mut block = FieldBlock::default();
            GET.iter().for_each(|(name, value)| block.push(name.as_bytes(), value.as_bytes()));
            fields.iter().for_each(|(name, value)| block.push(name, value));
            if check(&block).is_ok() {
                let _ = read(&block, &viewer());
            }
        }
    }
}
