//! Bend: the answer that the viewer gets.

use std::sync::Arc;

use anabranch_http_cache::{CacheStatus, Condition, RangeAnswer, Served, evaluate_condition, evaluate_range};
use anabranch_model::Transform;
use anabranch_signing::Denied;
use bytes::Bytes;

use crate::config::Transforms;
use crate::fetch::{Fetched, Source};
use crate::flight::Follower;
use crate::head::Head;
use crate::object::{Object, ObjectHead, bodyless};
use crate::record::{Outcome, Record};
use crate::request::{Method, Request};
use crate::river::Context;
use crate::table::{Cors, Rule, Site};

/// Name of this cache in `Cache-Status`.
const CACHE_NAME: &str = "anabranch";

/// Largest playlist that is rewritten for a viewer.
const MAX_TRANSFORM_BYTES: u64 = 4 << 20;

/// Longest list of header names that a preflight echoes.
const MAX_ECHO_BYTES: usize = 1024;

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

/// Answers that are the edge's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// No distribution claims the host.
    Misdirected,
    /// The distribution is disabled.
    Disabled,
    /// The method is not served.
    MethodNotAllowed,
    /// A CORS preflight.
    Preflight,
    /// No signature that allows it.
    Denied(Denied),
    /// The request cannot be read as one; the status says why.
    Bad(u16),
}

/// A request that no object answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'t> {
    pub(crate) own: Own,
    pub(crate) site: Option<&'t Site>,
    pub(crate) rule: Option<&'t Rule>,
}

/// Writes the head of an answer from an object and says what follows it.
pub(crate) async fn deliver(fetched: Fetched<'_, '_>, head: &mut Head, context: &Context<'_>) -> Answer {
    let Fetched { authorised, source, served, revalidated } = fetched;
    let (request, rule, site) = (authorised.routed.request, authorised.routed.rule, authorised.routed.site);
    let signature = authorised.pass.as_deref().map_or("", |pass| pass.query.as_str());
    let view = View { request, rule, site, served, revalidated };
    let facts = match &source {
        Source::Whole(object) => &object.head,
        Source::Growing(facts, _) => facts,
    };
    if rule.transform == Transform::SignedPlaylist && !signature.is_empty() && facts.playlist && facts.status == 200 {
        return view.transformed(source, signature, context.transforms(), head, context).await;
    }
    view.plain(source, head, context)
}

/// The parts of a request that its answer depends on.
struct View<'t, 'r> {
    request: &'r Request<'r>,
    rule: &'t Rule,
    site: &'t Site,
    served: Served,
    revalidated: bool,
}

impl View<'_, '_> {
    fn plain(&self, source: Source, head: &mut Head, context: &Context<'_>) -> Answer {
        let (facts, length) = match &source {
            Source::Whole(object) => (object.head.clone(), Some(object.body.length())),
            Source::Growing(facts, _) => (facts.clone(), facts.length),
        };
        let fields = &self.request.fields;
        let mut part = 0..length.unwrap_or(u64::MAX);
        let mut status = facts.status;
        if status == 200 {
            let asked = evaluate_condition(
                fields.if_none_match,
                fields.if_modified_since,
                facts.etag.as_deref(),
                facts.last_modified,
            );
            if asked == Condition::NotModified {
                return self.finish(304, head, &facts.lines, None, &facts, Body::Empty, context);
            }
            if let (Method::Get, Some(length), Some(range)) = (self.request.method, length, fields.range) {
                let etag = facts.etag.as_deref();
                match evaluate_range(Some(range), fields.if_range, etag, facts.last_modified, length) {
                    RangeAnswer::Whole => {}
                    RangeAnswer::Part(wanted) => {
                        status = 206;
                        part = wanted;
                    }
                    RangeAnswer::Unsatisfiable => return self.unsatisfiable(length, &facts, head, context),
                }
            }
        }
        let sized = length.is_some() && !bodyless(status);
        let content_length = if sized { Some(part.end - part.start) } else { None };
        if let (200, Source::Whole(object)) = (status, &source) {
            head.start(status);
            head.lines(&object.whole_lines);
        } else {
            head.start(status);
            head.lines(&facts.lines);
            if let Some(length) = content_length {
                head.number(b"content-length", length);
            }
        }
        if let (206, Some(length)) = (status, length) {
            head.field("content-range", format_args!("bytes {}-{}/{length}", part.start, part.end - 1));
        }
        let body = match source {
            _ if self.request.method == Method::Head || bodyless(status) => Body::Empty,
            Source::Whole(_) if part.is_empty() => Body::Empty,
            Source::Whole(object) => Body::Stored { object, start: part.start, end: part.end },
            Source::Growing(_, follower) => Body::Growing { follower, start: part.start, end: part.end },
        };
        self.tail(status, head, &facts, context);
        self.answer(status, length.is_some() || bodyless(status), body, context)
    }

    fn unsatisfiable(&self, length: u64, facts: &ObjectHead, head: &mut Head, context: &Context<'_>) -> Answer {
        head.start(416);
        head.date(context.now_ms());
        head.field("content-range", format_args!("bytes */{length}"));
        head.number(b"content-length", 0);
        self.tail(416, head, facts, context);
        self.answer(416, true, Body::Empty, context)
    }

    /// A playlist with this viewer's signature on its URIs: made of the whole body, so it waits for the flight.
    async fn transformed(
        &self,
        source: Source,
        signature: &str,
        transforms: Transforms,
        head: &mut Head,
        context: &Context<'_>,
    ) -> Answer {
        let object = match source {
            Source::Whole(object) => Ok(object),
            Source::Growing(_, mut follower) => follower.whole().await,
        };
        let object = match object {
            Ok(object) if object.body.length() <= MAX_TRANSFORM_BYTES => {
                object.body.contiguous().ok().map(|bytes| (object, bytes))
            }
            Ok(_) | Err(_) => None,
        };
        let (object, plain) = match object {
            Some(both) => both,
            None => {
                let made = Arc::new(Object::made(502, "The origin's answer cannot be used.\n", context.now_ms()));
                return self.plain(Source::Whole(made), head, context);
            }
        };
        let facts = &object.head;
        let etag = facts.etag.as_deref().map(|etag| viewer_etag(etag, signature));
        let fields = &self.request.fields;
        // Other viewers get other bytes, so only the tag of these very bytes counts, and no date does.
        if evaluate_condition(fields.if_none_match, None, etag.as_deref(), None) == Condition::NotModified {
            return self.finish(304, head, &without_etag(&facts.lines), etag.as_deref(), facts, Body::Empty, context);
        }
        let body = Bytes::from((transforms.signed_playlist)(&plain, signature));
        head.start(200);
        head.lines(&without_etag(&facts.lines));
        if let Some(etag) = etag {
            head.field("etag", etag);
        }
        head.number(b"content-length", body.len() as u64);
        self.tail(200, head, facts, context);
        let body = if self.request.method == Method::Head { Body::Empty } else { Body::Bytes(body) };
        self.answer(200, true, body, context)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one head, each from elsewhere")]
    fn finish(
        &self,
        status: u16,
        head: &mut Head,
        lines: &[u8],
        etag: Option<&str>,
        facts: &ObjectHead,
        body: Body,
        context: &Context<'_>,
    ) -> Answer {
        head.start(status);
        head.lines(lines);
        if let Some(etag) = etag {
            head.field("etag", etag);
        }
        self.tail(status, head, facts, context);
        self.answer(status, true, body, context)
    }

    /// The lines that differ between requests.
    fn tail(&self, status: u16, head: &mut Head, facts: &ObjectHead, context: &Context<'_>) {
        match &self.rule.cors {
            Some(cors) => write_cors(head, cors, self.request.fields.origin),
            None => head.lines(&facts.cors_lines),
        }
        let now_ms = context.now_ms();
        head.number(b"age", facts.timing.age_seconds(now_ms));
        if status >= 400 {
            head.lines(b"x-cache: Error from anabranch\r\n");
        } else if self.revalidated {
            head.lines(b"x-cache: RefreshHit from anabranch\r\n");
        } else if matches!(self.served, Served::Hit | Served::Stale) {
            head.lines(b"x-cache: Hit from anabranch\r\n");
        } else {
            head.lines(b"x-cache: Miss from anabranch\r\n");
        }
        let ttl = facts.timing.ttl_seconds(now_ms);
        if let (Served::Hit, Ok(ttl)) = (self.served, u64::try_from(ttl)) {
            head.lines(b"cache-status: anabranch; hit; ttl=");
            crate::head::push_number(head.buffer(), ttl);
            head.lines(b"\r\n");
        } else {
            let ttl = if facts.keep.is_ok() { Some(ttl) } else { None };
            head.field("cache-status", CacheStatus::new(CACHE_NAME, self.served, ttl));
        }
    }

    fn answer(&self, status: u16, sized: bool, body: Body, context: &Context<'_>) -> Answer {
        let outcome = match self.served {
            _ if self.revalidated => Outcome::Revalidated,
            Served::Hit => Outcome::Hit,
            Served::Stale => Outcome::Stale,
            Served::Forwarded { collapsed: true, .. } => Outcome::Collapsed,
            Served::Forwarded { .. } => Outcome::Miss,
            Served::Own => Outcome::Own,
        };
        Answer { status, sized, body, record: context.record(Some(self.site), self.request, status, outcome) }
    }
}

/// Writes an answer of the edge's own.
pub(crate) fn refuse(
    refused: Refused<'_>,
    request: Option<&Request<'_>>,
    head: &mut Head,
    context: &Context<'_>,
) -> Answer {
    let (status, text) = own_text(refused.own);
    head.start(status);
    head.date(context.now_ms());
    let mut denied = None;
    match refused.own {
        // The words that clients of CloudFront know.
        Own::Denied(reason) => {
            denied = Some(reason.body());
            head.lines(b"server: CloudFront\r\nx-cache: Error from cloudfront\r\ncontent-type: text/xml\r\n");
        }
        Own::Preflight => {}
        Own::MethodNotAllowed => {
            head.lines(
                b"allow: GET, HEAD, OPTIONS\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n",
            );
        }
        Own::Misdirected | Own::Disabled | Own::Bad(_) => {
            head.lines(b"content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n");
        }
    }
    if let (Some(cors), Some(request)) = (refused.rule.and_then(|rule| rule.cors.as_ref()), request) {
        write_cors(head, cors, request.fields.origin);
        if refused.own == Own::Preflight {
            write_preflight(head, cors, request);
        }
    }
    let body = denied.map_or(Bytes::from_static(text.as_bytes()), Bytes::from);
    if !bodyless(status) {
        head.number(b"content-length", body.len() as u64);
    }
    let silent = bodyless(status) || request.is_some_and(|request| request.method == Method::Head);
    let body = if silent { Body::Empty } else { Body::Bytes(body) };
    let record = match request {
        Some(request) => context.record(refused.site, request, status, Outcome::Own),
        None => context.record_unread(status),
    };
    Answer { status, sized: true, body, record }
}

fn own_text(own: Own) -> (u16, &'static str) {
    match own {
        Own::Misdirected => (421, "No distribution here answers to this host.\n"),
        Own::Disabled => (403, "This distribution is disabled.\n"),
        Own::MethodNotAllowed => (405, "This method is not served here.\n"),
        Own::Preflight => (204, ""),
        Own::Denied(_) => (403, ""),
        Own::Bad(status) => (
            status,
            match status {
                414 => "The request target is too long.\n",
                431 => "The request head is too large.\n",
                408 => "The request did not arrive in time.\n",
                501 => "This transfer coding is not supported.\n",
                505 => "This version of HTTP is not supported.\n",
                _ => "The request cannot be understood.\n",
            },
        ),
    }
}

fn write_cors(head: &mut Head, cors: &Cors, origin: Option<&str>) {
    match (&cors.origins, origin) {
        (None, Some(origin)) if cors.credentials => write_origin(head, origin),
        (None, _) => head.lines(b"access-control-allow-origin: *\r\n"),
        (Some(allowed), Some(origin)) if allowed.iter().any(|one| one == origin) => write_origin(head, origin),
        (Some(_), _) => {}
    }
    if cors.origins.is_some() || cors.credentials {
        head.lines(b"vary: Origin\r\n");
    }
    if cors.credentials {
        head.lines(b"access-control-allow-credentials: true\r\n");
    }
}

fn write_origin(head: &mut Head, origin: &str) {
    if is_echoable(origin) {
        head.field("access-control-allow-origin", origin);
    }
}

fn write_preflight(head: &mut Head, cors: &Cors, request: &Request<'_>) {
    head.lines(&cors.preflight_lines);
    if cors.any_header && cors.credentials {
        let asked = request.fields.requested_headers.filter(|names| is_echoable(names));
        if let Some(names) = asked {
            head.field("access-control-allow-headers", names);
        }
    }
}

/// Text of a viewer that may stand in a field line.
fn is_echoable(text: &str) -> bool {
    text.len() <= MAX_ECHO_BYTES && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// A weak tag of a body that depends on the viewer's signature.
fn viewer_etag(etag: &str, signature: &str) -> String {
    /// FNV-1a, 64 bits: it tells signatures apart, nothing more.
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = signature.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let opaque = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    format!("W/\"{opaque}-{hash:016x}\"")
}

fn without_etag(lines: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(lines.len());
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        // Stored names are in lower case. The date of the bare body says nothing of the rewritten one.
        if !line.starts_with(b"etag:") && !line.starts_with(b"last-modified:") && !line.starts_with(b"accept-ranges:") {
            kept.extend_from_slice(line);
        }
    }
    kept
}
