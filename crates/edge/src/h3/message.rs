//! Requests and answers as the library's types.

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::outgoing::Outgoing;
use crate::answer::Answer;
use crate::request::{BadTarget, Fields, Lines, Method, Request, host_without_port, split_target};
use crate::river::Scratch;
use crate::viewer::Viewer;

/// The field that names a request.
const REQUEST_ID: &str = "x-amz-cf-id";

/// Fields of a usual answer, with room to spare.
const TYPICAL_FIELDS: usize = 24;

/// Reads a head that a library has parsed.
///
/// # Errors
/// The status of the refusal.
pub(super) fn read<'r>(parts: &'r Parts, viewer: &Viewer) -> Result<Request<'r>, u16> {
    let uri = &parts.uri;
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (uri.authority(), hosts.next()) {
        // RFC 9113 §8.3.1: where both are given they must say the same.
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            return Err(400);
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| 400_u16)?,
        (None, None) => return Err(400),
    };
    if hosts.next().is_some() {
        return Err(400);
    }
    host_without_port(host).map_err(|_| 400_u16)?;
    if !viewer.may_ask(host) {
        return Err(421);
    }
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let (path, query) = split_target(target).map_err(|bad| match bad {
        BadTarget::TooLong => 414_u16,
        BadTarget::Path | BadTarget::Host => 400,
    })?;
    let mut fields = Fields::default();
    for (name, value) in &parts.headers {
        fields.take(name.as_str(), value.as_bytes());
    }
    Ok(Request {
        method: Method::of(parts.method.as_str()),
        scheme: viewer.scheme(),
        host,
        path,
        query,
        peer: viewer.address,
        connection: viewer.connection,
        fields,
        lines: Lines::Map(&parts.headers),
    })
}

/// The answer for a library that sends it.
pub(super) fn response(answer: Answer, scratch: &Scratch) -> Response<Outgoing> {
    let Answer { status, body, mut record, .. } = answer;
    let head = scratch.head.as_bytes();
    record.sent(head.len() as u64);
    let mut response = Response::new(Outgoing::new(body, record));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // The status line has no colon before its first space, so it is no field of its own; it is skipped all the same.
    let lines = head.iter().position(|&byte| byte == b'\n').map_or(&head[..0], |end| &head[end + 1..]);
    *response.headers_mut() = fields(lines);
    response
}

/// Field lines as a map whose values share one buffer.
fn fields(lines: &[u8]) -> HeaderMap {
    let all = Bytes::copy_from_slice(lines);
    let mut fields = HeaderMap::with_capacity(TYPICAL_FIELDS);
    let mut at = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let (begin, end) = (at, at + line.trim_ascii_end().len());
        at += line.len();
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let value = begin + colon + 1;
        let value = value + lines[value..end.max(value)].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_maybe_shared(all.slice(value..end.max(value)))) {
            // It is another each time: in the table of what can be said shorter next time it would only push others out.
            value.set_sensitive(name.as_str() == REQUEST_ID);
            fields.append(name, value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields() {
        let found = fields(b"a: b\r\nx-y:  c d \r\na: e\r\nempty:\r\nbare\r\nbad name: x\r\nz: \x01\r\n\r\n");
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(found, [("a", &b"b"[..]), ("a", b"e"), ("x-y", b"c d"), ("empty", b"")]);
    }
}
