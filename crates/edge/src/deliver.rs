//! Bend: the answer that the viewer gets.

use std::sync::Arc;

use anabranch_http_cache::{
    CacheStatus, Condition, RangeAnswer, Served, belongs_in_304, evaluate_condition, evaluate_range,
};
use anabranch_model::{Encodings, Transform};
use anabranch_signing::Denied;
use bytes::Bytes;
use http::HeaderName;
use metrics::counter;

use crate::closed;
use crate::compress::is_worth_compressing;
use crate::fetch::{Fetched, Source};
use crate::flight::Follower;
use crate::head::Head;
use crate::headers::ResponseHeaders;
use crate::object::{Object, ObjectHead, bodyless};
use crate::outcome::Outcome;
use crate::record::Record;
use crate::refused::{Own, Refused};
use crate::request::{Method, Request, Scheme, host_without_port};
use crate::rewrite::handed;
use crate::river::Context;
use crate::route::Routed;
use crate::rule::Rule;
use crate::table::Site;

/// Name of this cache in `Cache-Status`.
const CACHE_NAME: &str = "anabranch";

/// Lines of short answers in words.
const PLAIN_LINES: &[u8] = b"content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n";

/// Header by which players learn why a breakout is not for them now.
const REASON_HEADER: &str = "x-anabranch-denied";

/// What a viewer gets of a stored success.
enum Wanted {
    Whole,
    NotModified,
    Part(std::ops::Range<u64>),
    /// Of this many bytes.
    Unsatisfiable(u64),
}

/// What follows a head.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// Part of a stored object.
    Stored {
        object: Arc<Object>,
        start: u64,
        end: u64,
    },
    /// Part of an object that is still coming; without a known length `end` is the largest number.
    Growing {
        follower: Follower,
        start: u64,
        end: u64,
    },
}

/// An answer; its head is in the context's buffer, without the last line and what frames the message on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the head has a `Content-Length`, or needs none.
    pub(crate) sized: bool,
    pub(crate) body: Body,
    pub(crate) record: Record,
}

/// Writes the head of an answer from an object and says what follows it. `status` replaces the object's: it is an error page.
pub(crate) async fn deliver(
    fetched: Fetched<'_, '_>,
    status: Option<u16>,
    head: &mut Head,
    context: &Context<'_>,
) -> Answer {
    let Fetched { authorised, source, served, revalidated } = fetched;
    let Routed { request, site, rule, path } = authorised.routed;
    let handed = if status.is_none() { handed(&authorised, source.head()) } else { None };
    let view = View { request, rule, site, path, served, revalidated, for_edge: authorised.for_edge, status };
    if let Some(handed) = handed {
        return view.rewritten(source, &handed, head, context).await;
    }
    view.plain(source, head, context)
}

/// The parts of a request that its answer depends on.
pub(crate) struct View<'t, 'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) rule: &'t Rule,
    site: &'t Site,
    path: &'r str,
    served: Served,
    revalidated: bool,
    for_edge: bool,
    status: Option<u16>,
}

impl View<'_, '_> {
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
            crate::head::push_number(head.buffer(), ttl);
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

/// Writes an answer of the edge's own.
pub(crate) fn refuse(
    refused: &Refused<'_>,
    request: Option<&Request<'_>>,
    head: &mut Head,
    context: &Context<'_>,
) -> Answer {
    let (status, text) = own_text(&refused.own);
    head.start(status);
    head.date(context.now_ms());
    context.write_request_id(head);
    let (mut denied, mut lines) = (None, PLAIN_LINES);
    match status {
        400.. => head.lines(b"x-cache: Error from cloudfront\r\n"),
        300..400 => head.lines(b"x-cache: Redirect from cloudfront\r\n"),
        _ => {}
    }
    match &refused.own {
        // The words that clients of CloudFront know.
        Own::Denied(reason) => {
            denied = Some(reason.body());
            lines = b"server: CloudFront\r\ncontent-type: text/xml\r\n";
        }
        Own::Barred(barred) => {
            denied = Some(Denied::WrongResource.body());
            lines = b"server: CloudFront\r\ncontent-type: text/xml\r\ncache-control: no-store\r\n";
            head.field(REASON_HEADER, barred.as_str());
            counter!("anabranch_edge_audience_refusals_total", "reason" => barred.as_str()).increment(1);
        }
        Own::Preflight => lines = b"",
        Own::MethodNotAllowed => {
            head.field("allow", refused.rule.map_or("GET, HEAD", |rule| rule.allow()));
        }
        Own::ToHttps => {
            if let Some(request) = request {
                write_location(head, request, context.https_port());
            }
        }
        Own::ToRoot => {
            if let Some(request) = request {
                let query = request.query.map_or(String::new(), |query| format!("?{query}"));
                head.field("location", format_args!("{}/{query}", request.path));
            }
        }
        Own::Misdirected | Own::Disabled | Own::HttpsOnly | Own::Closed(_) | Own::Bad(_) => {}
    }
    match (&refused.own, refused.rule.map(|rule| &rule.headers), request) {
        (Own::Closed(region), headers, Some(request)) => {
            head.lines(lines);
            closed::write(region, headers, request, head);
        }
        (own, Some(headers), Some(request)) => write_policy(own, headers, request, lines, head),
        _ => head.lines(lines),
    }
    let body = denied.map_or(Bytes::from_static(text.as_bytes()), Bytes::from);
    if !bodyless(status) {
        head.number(b"content-length", body.len() as u64);
    }
    let silent = bodyless(status) || request.is_some_and(|request| request.method == Method::Head);
    let body = if silent { Body::Empty } else { Body::Bytes(body) };
    let record = match request {
        Some(request) => {
            let place = refused.site.zip(refused.rule).map(|(site, rule)| (site, rule, request.path));
            let outcome = if matches!(refused.own, Own::Closed(_)) { Outcome::Closed } else { Outcome::Own };
            context.record(place, status, outcome)
        }
        None => context.record_unread(status),
    };
    Answer { status, sized: true, body, record }
}

/// Writes `lines`, the edge's own, as the behavior's response headers policy has it, and what the policy adds.
fn write_policy(own: &Own, headers: &ResponseHeaders, request: &Request<'_>, lines: &[u8], head: &mut Head) {
    if *own == Own::Preflight {
        if let Some(cors) = &headers.cors {
            cors.write_preflight(request, head);
        }
        return;
    }
    if headers.keeps_all() {
        head.lines(lines);
    } else {
        headers.filter(lines, head);
    }
    headers.write(request, b"", head);
    // Pages of other origins see no header that is not named; a second line of this name adds to the first.
    if let (Own::Barred(_), Some(_)) = (own, &headers.cors) {
        head.field("access-control-expose-headers", REASON_HEADER);
    }
}

fn own_text(own: &Own) -> (u16, &'static str) {
    match own {
        Own::Misdirected => (421, "No distribution here answers to this host.\n"),
        Own::Disabled => (403, "This distribution is disabled.\n"),
        Own::MethodNotAllowed => (405, "This method is not served here.\n"),
        Own::Preflight => (204, ""),
        Own::ToRoot => (301, "The root of a distribution ends with a slash.\n"),
        Own::ToHttps => (301, "This distribution is served by HTTPS.\n"),
        Own::HttpsOnly => (403, "This distribution is served by HTTPS only.\n"),
        Own::Denied(_) | Own::Barred(_) => (403, ""),
        Own::Closed(_) => (404, "This region is closed.\n"),
        Own::Bad(status) => (
            *status,
            match status {
                414 => "The request target is too long.\n",
                431 => "The request head is too large.\n",
                408 => "The request did not arrive in time.\n",
                413 => "The request's body is too large.\n",
                501 => "This transfer coding is not supported.\n",
                505 => "This version of HTTP is not supported.\n",
                _ => "The request cannot be understood.\n",
            },
        ),
    }
}

/// The same URL by HTTPS.
fn write_location(head: &mut Head, request: &Request<'_>, port: u16) {
    let name = host_without_port(request.host).unwrap_or("");
    let query = request.query.map_or(String::new(), |query| format!("?{query}"));
    if port == 443 {
        head.field("location", format_args!("https://{name}{}{query}", request.path));
    } else {
        head.field("location", format_args!("https://{name}:{port}{}{query}", request.path));
    }
}
