//! Stored responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use anabranch_http_cache::{Policy, update_fields};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::body::StoredBody;
use crate::head::push_number;
use crate::object_head::{Begun, Making, ObjectHead, bodyless};
use crate::upstream::Failure;

/// Time that an error answer of the edge's own is kept, so that a herd does not hammer a failing origin.
const ERROR_TTL_MS: i64 = 1000;

/// A whole response.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) head: Arc<ObjectHead>,
    pub(crate) body: StoredBody,
    /// `head.lines` and `Content-Length`: all of a full answer's head that does not change between requests.
    pub(crate) whole_lines: Box<[u8]>,
    /// Until this moment it is served stale without asking the origin again, which has just failed.
    pub(crate) grace_until_ms: i64,
    /// Invalidation sequence by which it has been found usable.
    checked: AtomicU64,
    /// Moment of the last strike by which it has been found usable.
    spared_ms: AtomicI64,
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
        let (checked, spared_ms) = (AtomicU64::new(head.sequence), AtomicI64::new(head.begun_ms));
        Self { head, body, whole_lines: whole.into(), grace_until_ms: i64::MIN, checked, spared_ms }
    }

    /// An answer that the edge makes for an origin that gives none; kept for [`ERROR_TTL_MS`].
    pub(crate) fn made(status: u16, text: &'static str, begun: Begun, now_ms: i64) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let policy = Policy::default();
        let plain = Making::plain(&policy, now_ms);
        let making = Making { sequence: begun.sequence, begun_ms: begun.moment_ms, ..plain };
        let mut head = ObjectHead::read(status, &headers, &making);
        // However the behavior is cached, a herd does not hammer a failing origin.
        (head.keep, head.useful) = (Ok(()), true);
        head.timing.fresh_until_ms = now_ms.saturating_add(ERROR_TTL_MS);
        Self::new(Arc::new(head), StoredBody::one(Bytes::from_static(text.as_bytes())))
    }

    /// The answer in place of an origin that gives none.
    pub(crate) fn failed(failure: &Failure, begun: Begun, now_ms: i64) -> Arc<Self> {
        let (status, text) = failure.answer();
        Arc::new(Self::made(status, text, begun, now_ms))
    }

    /// The object after a `304`: its body with the fields updated (RFC 9111 §3.2).
    pub(crate) fn freshened(&self, update: &HeaderMap, making: &Making<'_>) -> Self {
        let mut fields = self.head.fields();
        update_fields(&mut fields, update);
        fields.insert(CONTENT_LENGTH, HeaderValue::from(self.body.length()));
        // The update speaks of what the origin has: the body without a coding.
        let coding = if self.head.coded { fields.remove(CONTENT_ENCODING) } else { None };
        let mut head = ObjectHead::read(self.head.status, &fields, making);
        if let Some(coding) = coding.as_ref().and_then(|coding| coding.to_str().ok()) {
            head = head.coded(coding);
        }
        if head.variant.is_none() {
            head.variant = self.head.variant.clone();
        }
        if head.tags.is_empty() {
            head.tags = self.head.tags.clone();
        }
        Self::new(Arc::new(head), self.body.clone())
    }

    /// The object, served stale without a question until `until_ms`.
    pub(crate) fn with_grace(&self, until_ms: i64) -> Self {
        Self {
            head: self.head.clone(),
            body: self.body.clone(),
            whole_lines: self.whole_lines.clone(),
            grace_until_ms: until_ms,
            checked: AtomicU64::new(self.checked_sequence()),
            spared_ms: AtomicI64::new(self.spared_ms()),
        }
    }

    /// The object as it may be stored: without what is only for the viewer for whom it was fetched.
    pub(crate) fn without_withheld(this: Arc<Self>) -> Arc<Self> {
        if this.head.withheld.is_empty() {
            return this;
        }
        let head = ObjectHead { withheld: Box::default(), ..(*this.head).clone() };
        Arc::new(Self::new(Arc::new(head), this.body.clone()))
    }

    /// The newest invalidation sequence by which it is known to be usable.
    pub(crate) fn checked_sequence(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }

    /// Notes that orders up to `sequence` leave it alone.
    pub(crate) fn check_sequence(&self, sequence: u64) {
        self.checked.fetch_max(sequence, Ordering::Relaxed);
    }

    /// The moment of the newest strike that it is known to have been spared by.
    pub(crate) fn spared_ms(&self) -> i64 {
        self.spared_ms.load(Ordering::Relaxed)
    }

    /// Notes that strikes up to `moment_ms` leave it alone.
    pub(crate) fn spare(&self, moment_ms: i64) {
        self.spared_ms.fetch_max(moment_ms, Ordering::Relaxed);
    }

    /// Bytes that it takes of the memory tier.
    pub(crate) fn weight(&self) -> u64 {
        self.body.memory_bytes() + (self.whole_lines.len() + self.head.lines.len() + self.head.cors_lines.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        pairs.collect()
    }

    #[test]
    fn a_304_updates_fields_and_lifetime() {
        let first =
            headers(&[("cache-control", "max-age=1"), ("etag", "\"a\""), ("x", "old"), ("content-type", "a/b")]);
        let head = ObjectHead::read(200, &first, &Making::plain(&Policy::default(), 0));
        let object = Object::new(Arc::new(head), StoredBody::one(Bytes::from_static(b"abc")));
        let update = headers(&[("cache-control", "max-age=9"), ("x", "new"), ("content-length", "0")]);
        let fresh = object.freshened(&update, &Making::plain(&Policy::default(), 5000));
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
