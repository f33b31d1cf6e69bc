//! What one request gets of an object that many are answered from.

use anabranch_http_cache::{
    CacheStatus, Condition, RangeAnswer, Served, belongs_in_304, evaluate_condition, evaluate_range,
};
use anabranch_model::{Encodings, Transform};
use http::HeaderName;

use crate::answer::{Answer, Body};
use crate::compress::is_worth_compressing;
use crate::context::Context;
use crate::fetch::Source;
use crate::head::{Head, push_number};
use crate::object_head::{ObjectHead, bodyless};
use crate::outcome::Outcome;
use crate::request::{Method, Request, Scheme};
use crate::rule::Rule;
use crate::table::Site;

/// Name of this cache in `Cache-Status`.
const CACHE_NAME: &str = "anabranch";

/// What a viewer gets of a stored success.
enum Wanted {
    Whole,
    NotModified,
    Part(std::ops::Range<u64>),
    /// Of this many bytes.
    Unsatisfiable(u64),
}

/// The parts of a request that its answer depends on.
pub(crate) struct View<'t, 'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) rule: &'t Rule,
    pub(crate) site: &'t Site,
    pub(crate) path: &'r str,
    pub(crate) served: Served,
    pub(crate) revalidated: bool,
    pub(crate) for_edge: bool,
    /// In place of the object's, for an error page.
    pub(crate) status: Option<u16>,
}

impl View<'_, '_> {
    /// The answer as it is stored, or what conditions and ranges leave of it.
    pub(crate) fn plain(&self, source: Source, head: &mut Head, context: &Context<'_>) -> Answer {
        let (facts, length) = match &source {
            Source::Whole(object) => (object.head.clone(), Some(object.body.length())),
            Source::Growing(facts, _) => (facts.clone(), facts.length),
        };
        let mut part = 0..length.unwrap_or(u64::MAX);
        let mut status = self.status.unwrap_or(facts.status);
        if status == 200 {
            match self.wanted(&facts, length) {
                Wanted::Whole => {}
                Wanted::NotModified => return self.not_modified(&facts.lines, None, &facts, head, context),
                Wanted::Part(wanted) => {
                    status = 206;
                    part = wanted;
                }
                Wanted::Unsatisfiable(length) => return self.unsatisfiable(length, &facts, head, context),
            }
        }
        let sized = length.is_some() && !bodyless(status);
        head.start(status);
        match &source {
            Source::Whole(object) if status != 206 && self.keeps_all() => head.lines(&object.whole_lines),
            _ => {
                self.origin_lines(&facts.lines, head);
                if sized {
                    head.number(b"content-length", part.end - part.start);
                }
            }
        }
        if let (206, true, Some(length)) = (status, facts.status == 200, length) {
            head.field("content-range", format_args!("bytes {}-{}/{length}", part.start, part.end - 1));
        }
        let body = match source {
            _ if self.request.method == Method::Head || bodyless(status) => Body::Empty,
            Source::Whole(_) if part.is_empty() => Body::Empty,
            Source::Whole(object) => Body::Stored { object, start: part.start, end: part.end },
            Source::Growing(_, follower) => Body::Growing { follower, start: part.start, end: part.end },
        };
        self.tail(status, head, &facts, context);
        let bare = bodyless(status) || self.request.method == Method::Head;
        self.answer(status, length.is_some() || bare, body, context)
    }

    /// Conditions and ranges on a stored success (RFC 9110 §13.2.2, §14.2).
    fn wanted(&self, facts: &ObjectHead, length: Option<u64>) -> Wanted {
        let fields = &self.request.fields;
        if !matches!(self.request.method, Method::Get | Method::Head) {
            return Wanted::Whole;
        }
        let etag = facts.etag.as_deref();
        let modified = facts.last_modified;
        if evaluate_condition(fields.if_none_match, fields.if_modified_since, etag, modified) == Condition::NotModified
        {
            return Wanted::NotModified;
        }
        let (Method::Get, Some(length), Some(range)) = (self.request.method, length, fields.range) else {
            return Wanted::Whole;
        };
        match evaluate_range(Some(range), fields.if_range, etag, modified, length) {
            RangeAnswer::Whole => Wanted::Whole,
            RangeAnswer::Part(part) => Wanted::Part(part),
            RangeAnswer::Unsatisfiable => Wanted::Unsatisfiable(length),
        }
    }

    /// Whether viewers who take other codings may get another body than this one, which has none, and are not told so yet.
    fn negotiates(&self, facts: &ObjectHead) -> bool {
        self.rule.compress
            && !self.for_edge
            && self.rule.transform == Transform::None
            && self.rule.keying.encodings != Encodings::default()
            && facts.keep.is_ok()
            && facts.length.is_none_or(is_worth_compressing)
            && !facts.varies_by_coding()
    }

    fn keeps_all(&self) -> bool {
        self.for_edge || self.rule.headers.keeps_all()
    }

    /// Writes the origin's lines, as far as the behavior lets them pass.
    pub(crate) fn origin_lines(&self, lines: &[u8], head: &mut Head) {
        if self.keeps_all() { head.lines(lines) } else { self.rule.headers.filter(lines, head) }
    }

    fn unsatisfiable(&self, length: u64, facts: &ObjectHead, head: &mut Head, context: &Context<'_>) -> Answer {
        head.start(416);
        head.date(context.now_ms());
        head.field("content-range", format_args!("bytes */{length}"));
        head.number(b"content-length", 0);
        self.tail(416, head, facts, context);
        self.answer(416, true, Body::Empty, context)
    }

    /// The fields that a `304` needs, without those of a representation that the viewer has (RFC 9110 §15.4.5).
    pub(crate) fn not_modified(
        &self,
        lines: &[u8],
        etag: Option<&str>,
        facts: &ObjectHead,
        head: &mut Head,
        context: &Context<'_>,
    ) -> Answer {
        head.start(304);
        let mut kept = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or(&[]);
            if HeaderName::from_bytes(name).is_ok_and(|name| belongs_in_304(&name)) {
                kept.extend_from_slice(line);
            }
        }
        self.origin_lines(&kept, head);
        if let Some(etag) = etag {
            head.field("etag", etag);
        }
        self.tail(304, head, facts, context);
        self.answer(304, true, Body::Empty, context)
    }

    /// The lines that differ between requests.
    pub(crate) fn tail(&self, status: u16, head: &mut Head, facts: &ObjectHead, context: &Context<'_>) {
        if !matches!(self.served, Served::Forwarded { collapsed: true, .. }) {
            head.lines(&facts.withheld);
        }
        if self.for_edge {
            head.lines(&facts.cors_lines);
            if !facts.tags.is_empty() {
                head.field("cache-tag", facts.tags.join(","));
            }
        } else {
            self.rule.headers.write(self.request, &facts.cors_lines, head);
        }
        if facts.compressible && self.negotiates(facts) {
            head.lines(b"vary: Accept-Encoding\r\n");
        }
        if let Some(line) = context.alt_svc()
            && self.site.http3
            && self.request.scheme == Scheme::Https
        {
            head.lines(line.as_bytes());
        }
        context.write_request_id(head);
        let now_ms = context.now_ms();
        head.number(b"age", facts.timing.age_seconds(now_ms));
        if status >= 400 {
            head.lines(b"x-cache: Error from cloudfront\r\n");
        } else if self.revalidated {
            head.lines(b"x-cache: RefreshHit from cloudfront\r\n");
        } else if matches!(self.served, Served::Hit | Served::Stale) {
            head.lines(b"x-cache: Hit from cloudfront\r\n");
        } else {
            head.lines(b"x-cache: Miss from cloudfront\r\n");
        }
        let ttl = facts.timing.ttl_seconds(now_ms);
        if let (Served::Hit, Ok(ttl)) = (self.served, u64::try_from(ttl)) {
            head.lines(b"cache-status: anabranch; hit; ttl=");
            push_number(head.buffer(), ttl);
            head.lines(b"\r\n");
        } else {
            let ttl = if facts.is_stored() { Some(ttl) } else { None };
            head.field("cache-status", CacheStatus::new(CACHE_NAME, self.served, ttl));
        }
        if self.rule.headers.is_timed() {
            let hit = matches!(self.served, Served::Hit | Served::Stale);
            let word = if hit { "cdn-cache-hit" } else { "cdn-cache-miss" };
            head.field("server-timing", format_args!("{word}, cdn-pop;desc=\"{}\"", context.node()));
        }
    }

    /// The answer whose head is written, with its record.
    pub(crate) fn answer(&self, status: u16, sized: bool, body: Body, context: &Context<'_>) -> Answer {
        let outcome = match self.served {
            _ if self.revalidated => Outcome::Revalidated,
            Served::Hit => Outcome::Hit,
            Served::Stale => Outcome::Stale,
            Served::Forwarded { collapsed: true, .. } => Outcome::Collapsed,
            Served::Forwarded { .. } => Outcome::Miss,
            Served::Own => Outcome::Own,
        };
        Answer { status, sized, body, record: context.record(Some((self.site, self.rule, self.path)), status, outcome) }
    }
}
