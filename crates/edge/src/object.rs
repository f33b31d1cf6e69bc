//! Stored responses.

use std::sync::Arc;

use anabranch_http_cache::{NotStored, Policy, RequestMeta, ResponseMeta, Timing, TtlBounds};
use bytes::Bytes;
use http::header::{AGE, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, SET_COOKIE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::body::StoredBody;
use crate::head::{http_date, push_number};

/// Seconds that an error answer is kept when the origin gives no lifetime, so that a herd does not hammer a failing origin.
const ERROR_TTL_SECONDS: u64 = 1;

/// What the edge adds to `Via`.
const VIA_VALUE: &str = "1.1 anabranch";

/// Hop-by-hop fields (RFC 9110 §7.6.1) and those that the edge writes itself.
const NOT_KEPT: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "cache-status",
    "cdn-cache-control",
    "x-cache",
];

/// A response head as it is kept: ready lines and the facts that decide about reuse.
#[derive(Debug)]
pub(crate) struct ObjectHead {
    pub(crate) status: u16,
    /// End-to-end field lines with `Date` and `Via`, without CORS, `Age` and `Content-Length`.
    pub(crate) lines: Box<[u8]>,
    /// The origin's own CORS lines; a behavior with a policy replaces them.
    pub(crate) cors_lines: Box<[u8]>,
    pub(crate) etag: Option<Box<str>>,
    pub(crate) last_modified: Option<i64>,
    pub(crate) last_modified_text: Option<HeaderValue>,
    pub(crate) timing: Timing,
    /// Whether it may be kept.
    pub(crate) keep: Result<(), NotStored>,
    /// Body length, if the origin announced it.
    pub(crate) length: Option<u64>,
    /// Whether the content type is that of an HLS playlist.
    pub(crate) playlist: bool,
}

impl ObjectHead {
    /// A head from an origin's answer. Moments are in milliseconds since the Unix epoch.
    pub(crate) fn read(
        status: u16,
        headers: &HeaderMap,
        bounds: &TtlBounds,
        requested_ms: i64,
        received_ms: i64,
    ) -> Self {
        let meta = ResponseMeta::read(status, headers);
        let policy = Policy::from(*bounds);
        let (timing, keep) = if status >= 400 {
            let lifetime = meta.explicit_lifetime(received_ms).unwrap_or(0).min(bounds.max).max(ERROR_TTL_SECONDS);
            (meta.timing_for(lifetime, &policy, requested_ms, received_ms), Ok(()))
        } else {
            (meta.timing(&policy, requested_ms, received_ms), meta.storable(&RequestMeta::GET, &policy))
        };
        let (mut lines, mut cors_lines) = (Vec::with_capacity(256), Vec::new());
        let nominated = connection_options(headers);
        for (name, value) in headers {
            let text = name.as_str();
            if NOT_KEPT.contains(&text) || nominated.iter().any(|option| option == text) || is_own(name) {
                continue;
            }
            let out = if text.starts_with("access-control-") { &mut cors_lines } else { &mut lines };
            push_line(out, text, value.as_bytes());
        }
        if meta.date.is_none() {
            push_line(&mut lines, "date", http_date(received_ms.div_euclid(1000)).as_bytes());
        }
        push_line(&mut lines, "via", VIA_VALUE.as_bytes());
        let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        Self {
            status,
            lines: lines.into(),
            cors_lines: cors_lines.into(),
            etag: meta.etag,
            last_modified: meta.last_modified,
            last_modified_text: headers.get(http::header::LAST_MODIFIED).cloned(),
            timing,
            keep,
            length: if bodyless(status) { Some(0) } else { length },
            playlist: headers.get(CONTENT_TYPE).is_some_and(is_playlist),
        }
    }

    /// The stored fields again, without those that are the edge's.
    fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in parse_lines(&self.lines).chain(parse_lines(&self.cors_lines)) {
            if !(name == VIA && value == VIA_VALUE) {
                fields.append(name, value);
            }
        }
        fields
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) head: Arc<ObjectHead>,
    pub(crate) body: StoredBody,
    /// `head.lines` and `Content-Length`: all of a full answer's head that does not change between requests.
    pub(crate) whole_lines: Box<[u8]>,
    /// Until this moment it is served stale without asking the origin again, which has just failed.
    pub(crate) grace_until_ms: i64,
}

impl Object {
    pub(crate) fn new(head: Arc<ObjectHead>, body: StoredBody) -> Self {
        let mut whole = Vec::with_capacity(head.lines.len() + 32);
        whole.extend_from_slice(&head.lines);
        if !bodyless(head.status) {
            whole.extend_from_slice(b"content-length: ");
            push_number(&mut whole, body.length());
            whole.extend_from_slice(b"\r\n");
        }
        Self { head, body, whole_lines: whole.into(), grace_until_ms: i64::MIN }
    }

    /// An answer that the edge makes for an origin that gives none; kept for [`ERROR_TTL_SECONDS`].
    pub(crate) fn made(status: u16, text: &'static str, now_ms: i64) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let head = ObjectHead::read(status, &headers, &TtlBounds::default(), now_ms, now_ms);
        Self::new(Arc::new(head), StoredBody::one(Bytes::from_static(text.as_bytes())))
    }

    /// The object after a `304`: its body with the fields updated (RFC 9111 §3.2).
    pub(crate) fn freshened(
        &self,
        update: &HeaderMap,
        bounds: &TtlBounds,
        requested_ms: i64,
        received_ms: i64,
    ) -> Self {
        let mut fields = self.head.fields();
        // A Date or Age of the former answer must not age the new one.
        fields.remove(DATE);
        fields.remove(AGE);
        for name in update.keys() {
            if name == CONTENT_LENGTH || name == http::header::CONTENT_ENCODING || name == CONTENT_TYPE {
                continue;
            }
            fields.remove(name);
            for value in update.get_all(name) {
                fields.append(name, value.clone());
            }
        }
        fields.insert(CONTENT_LENGTH, HeaderValue::from(self.body.length()));
        let head = ObjectHead::read(self.head.status, &fields, bounds, requested_ms, received_ms);
        Self::new(Arc::new(head), self.body.clone())
    }

    /// The object, served stale without a question until `until_ms`.
    pub(crate) fn with_grace(&self, until_ms: i64) -> Self {
        Self {
            head: self.head.clone(),
            body: self.body.clone(),
            whole_lines: self.whole_lines.clone(),
            grace_until_ms: until_ms,
        }
    }

    /// Bytes that it takes of the memory tier.
    pub(crate) fn weight(&self) -> u64 {
        self.body.memory_bytes() + (self.whole_lines.len() + self.head.lines.len() + self.head.cors_lines.len()) as u64
    }
}

/// Statuses that have no body (RFC 9110 §6.4.1).
pub(crate) fn bodyless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// The fields of head lines as the edge itself wrote them.
pub(crate) fn parse_lines(lines: &[u8]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    lines.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    })
}

fn connection_options(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(CONNECTION).into_iter().filter_map(|v| v.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|option| option.trim().to_ascii_lowercase()).collect()
}

/// Fields that the edge writes or that concern one viewer only: cookies are not forwarded, so none is handed out.
fn is_own(name: &HeaderName) -> bool {
    *name == AGE || *name == CONTENT_LENGTH || *name == SET_COOKIE || name.as_str().starts_with("x-anabranch-")
}

fn is_playlist(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or("").trim();
    ["application/vnd.apple.mpegurl", "audio/mpegurl", "application/x-mpegurl"]
        .iter()
        .any(|playlist| essence.eq_ignore_ascii_case(playlist))
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        pairs.collect()
    }

    #[test]
    fn only_end_to_end_fields_are_kept() {
        let headers = headers(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("set-cookie", "a=b"),
            ("content-length", "3"),
            ("access-control-allow-origin", "x"),
            ("date", "Thu, 01 Jan 1970 00:00:01 GMT"),
            ("x-end", "2"),
        ]);
        let head = ObjectHead::read(200, &headers, &TtlBounds::default(), 1000, 1000);
        let lines = String::from_utf8(head.lines.to_vec()).unwrap();
        assert_eq!(lines, "date: Thu, 01 Jan 1970 00:00:01 GMT\r\nx-end: 2\r\nvia: 1.1 anabranch\r\n");
        assert_eq!(&*head.cors_lines, b"access-control-allow-origin: x\r\n");
        assert_eq!(head.length, Some(3));
    }

    #[test]
    fn a_304_updates_fields_and_lifetime() {
        let first =
            headers(&[("cache-control", "max-age=1"), ("etag", "\"a\""), ("x", "old"), ("content-type", "a/b")]);
        let head = ObjectHead::read(200, &first, &TtlBounds::default(), 0, 0);
        let object = Object::new(Arc::new(head), StoredBody::one(Bytes::from_static(b"abc")));
        let update = headers(&[("cache-control", "max-age=9"), ("x", "new"), ("content-length", "0")]);
        let fresh = object.freshened(&update, &TtlBounds::default(), 5000, 5000);
        assert_eq!(fresh.head.timing.fresh_until_ms, 14_000);
        assert_eq!(fresh.head.etag.as_deref(), Some("\"a\""));
        let lines = String::from_utf8(fresh.whole_lines.to_vec()).unwrap();
        assert!(
            lines.contains("x: new\r\n") && lines.contains("content-length: 3\r\n") && !lines.contains("old"),
            "{lines}"
        );
        assert_eq!(lines.matches("via").count(), 1);
        assert_eq!(lines.matches("date").count(), 1);
    }
}
