//! Heads of stored responses: what is kept of an origin's answer, for how long, and for whom.

use anabranch_http_cache::{
    Nominated, NotStored, Policy, RequestDirectives, RequestMeta, ResponseMeta, Timing, TtlBounds, VaryNames,
    counts_as_error,
};
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, VARY, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::head::{http_date, push_number};

/// Time that an error answer is kept when the origin says nothing of caching, so that a herd does not hammer a failing origin.
const ERROR_TTL_SECONDS: u64 = 1;

/// Error statuses that are kept for a moment when the origin says nothing of caching.
const KEPT_ERRORS: [u16; 11] = [400, 403, 404, 405, 410, 414, 500, 501, 502, 503, 504];

/// Tags of one object; more are passed over.
const MAX_TAGS: usize = 128;

/// What the edge adds to `Via`.
const VIA_VALUE: &str = "1.1 anabranch";

/// Types besides `text/*`, `*+json` and `*+xml` that are worth compressing.
const COMPRESSIBLE: [&str; 13] = [
    "application/dash+xml",
    "application/eot",
    "application/font",
    "application/javascript",
    "application/json",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-mpegurl",
    "application/xml",
    "audio/mpegurl",
    "font/ttf",
];

/// Fields that the edge writes itself, or that are meant for it alone.
const NOT_KEPT: [&str; 6] = ["cache-status", "x-cache", "cache-tag", "surrogate-key", "x-amz-cf-id", "x-amz-cf-pop"];

/// By which orders and strikes a fetch is judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begun {
    /// Invalidation sequence in force.
    pub(crate) sequence: u64,
    /// [Moment](crate::strikes::Strikes::moment).
    pub(crate) moment_ms: i64,
}

/// What an answer's head is judged by besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) method: &'a Method,
    /// What the viewer who caused the fetch said of caching, under the policy.
    pub(crate) directives: RequestDirectives,
    /// Least time in seconds that error statuses are kept, by status.
    pub(crate) error_ttl: &'a dyn ErrorTtl,
    /// Whether the origin saw cookies: its own then go to viewers.
    pub(crate) cookies: bool,
    /// Invalidation sequence in force when the fetch began.
    pub(crate) sequence: u64,
    /// [Moment](crate::strikes::Strikes::moment) at which the fetch began.
    pub(crate) begun_ms: i64,
    /// What the origin was told by the viewer.
    pub(crate) told: &'a HeaderMap,
    /// Request headers that are part of the primary key, so that answers need not be told apart by them again.
    pub(crate) keyed: &'a [Box<str>],
    /// Whether accepted codings are part of the primary key.
    pub(crate) codings_keyed: bool,
    pub(crate) requested_ms: i64,
    pub(crate) received_ms: i64,
}

/// Says how long error statuses are kept at least.
pub(crate) trait ErrorTtl: std::fmt::Debug {
    fn min_ttl_seconds(&self, status: u16) -> Option<u64>;
}

/// No rules about errors.
#[derive(Debug)]
pub(crate) struct NoErrorTtl;

impl ErrorTtl for NoErrorTtl {
    fn min_ttl_seconds(&self, _: u16) -> Option<u64> {
        None
    }
}

/// Names of the request headers that answers under a primary key vary by. Stands under the primary key in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Varying {
    pub(crate) names: VaryNames,
    /// Part of each variant's key: a new one makes the former variants unreachable.
    pub(crate) generation: u64,
}

impl Varying {
    /// Turns a primary key into that of the variant with these values, as [`VaryNames::append_key`] writes them.
    pub(crate) fn write_key(&self, values: &[u8], key: &mut Vec<u8>) {
        key.extend_from_slice(b"\n@");
        push_number(key, self.generation);
        key.extend_from_slice(values);
    }
}

/// Which request an answer was chosen for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) names: VaryNames,
    /// Their values, as [`VaryNames::append_key`] writes them.
    pub(crate) values: Box<[u8]>,
}

/// A response head as it is kept: ready lines and the facts that decide about reuse.
#[derive(Clone, Debug)]
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
    /// Whether it may be kept, and given to others who wait for it.
    pub(crate) keep: Result<(), NotStored>,
    /// Whether it can be of use later.
    pub(crate) useful: bool,
    /// Lines that only the viewer gets for whom it was fetched (RFC 9111 §5.2.2.4, §5.2.2.7); never stored.
    pub(crate) withheld: Box<[u8]>,
    /// Body length, if the origin announced it.
    pub(crate) length: Option<u64>,
    /// Whether the content type is that of an HLS playlist.
    pub(crate) playlist: bool,
    /// Whether the edge may compress the body.
    pub(crate) compressible: bool,
    /// Whether the edge has compressed the body.
    pub(crate) coded: bool,
    /// Present if this is no answer but says how answers under its key vary.
    pub(crate) varying: Option<Varying>,
    /// Present if other requests may get other answers.
    pub(crate) variant: Option<Variant>,
    /// Invalidation sequence in force when the fetch began.
    pub(crate) sequence: u64,
    /// [Moment](crate::strikes::Strikes::moment) at which the fetch began.
    pub(crate) begun_ms: i64,
    /// `Cache-Tag` and `Surrogate-Key`.
    pub(crate) tags: Box<[Box<str>]>,
}

impl ObjectHead {
    /// A head from an origin's answer. Moments are in milliseconds since the Unix epoch.
    pub(crate) fn read(status: u16, headers: &HeaderMap, making: &Making<'_>) -> Self {
        let meta = ResponseMeta::read(status, headers);
        let (timing, keep) = judge(status, &meta, headers, making);
        let (mut lines, mut cors_lines, mut withheld) = (Vec::with_capacity(256), Vec::new(), Vec::new());
        let nominated = Nominated::read(headers);
        for (name, value) in headers {
            let text = name.as_str();
            let cookie = *name == SET_COOKIE && !making.cookies;
            if !nominated.is_end_to_end(name) || NOT_KEPT.contains(&text) || is_own(name) || cookie {
                continue;
            }
            let out = match text {
                _ if meta.withheld.contains(name) => &mut withheld,
                _ if text.starts_with("access-control-") => &mut cors_lines,
                _ => &mut lines,
            };
            push_line(out, text, value.as_bytes());
        }
        if meta.date.is_none() {
            push_line(&mut lines, "date", http_date(making.received_ms.div_euclid(1000)).as_bytes());
        }
        push_line(&mut lines, "via", VIA_VALUE.as_bytes());
        let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let has_validators = status == 200 && (meta.etag.is_some() || meta.last_modified.is_some());
        Self {
            status,
            lines: lines.into(),
            cors_lines: cors_lines.into(),
            useful: timing.is_useful(has_validators, making.received_ms),
            withheld: withheld.into(),
            etag: meta.etag,
            last_modified: meta.last_modified,
            last_modified_text: headers.get(http::header::LAST_MODIFIED).cloned(),
            timing,
            keep,
            length: if bodyless(status) { Some(0) } else { length },
            playlist: headers.get(CONTENT_TYPE).is_some_and(is_playlist),
            compressible: status == 200 && is_compressible(headers),
            coded: false,
            varying: None,
            variant: variant(headers, making),
            sequence: making.sequence,
            begun_ms: making.begun_ms,
            tags: tags(headers),
        }
    }

    /// What stands under a primary key whose answers vary, of which this is one.
    pub(crate) fn marker(&self, varying: Varying, timing: Timing) -> Self {
        Self { varying: Some(varying), sequence: self.sequence, begun_ms: self.begun_ms, timing, ..Self::empty() }
    }

    /// A head that says nothing yet.
    pub(crate) fn empty() -> Self {
        Self {
            status: 0,
            lines: Box::default(),
            cors_lines: Box::default(),
            etag: None,
            last_modified: None,
            last_modified_text: None,
            timing: Timing::default(),
            keep: Ok(()),
            useful: true,
            withheld: Box::default(),
            length: None,
            playlist: false,
            compressible: false,
            coded: false,
            varying: None,
            variant: None,
            sequence: 0,
            begun_ms: i64::MIN,
            tags: Box::default(),
        }
    }

    /// Whether it is kept.
    pub(crate) fn is_stored(&self) -> bool {
        self.keep.is_ok() && self.useful
    }

    /// Whether its fields say that it depends on the codings which the viewer takes.
    pub(crate) fn varies_by_coding(&self) -> bool {
        let mut lines = self.lines.split(|&byte| byte == b'\n');
        lines.any(|line| {
            line.starts_with(b"vary:") && line.to_ascii_lowercase().windows(15).any(|w| w == b"accept-encoding")
        })
    }

    /// Whether the body has no content coding.
    pub(crate) fn is_plain(&self) -> bool {
        !self.lines.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"content-encoding:"))
    }

    /// Whether its content type says nothing, as that of files which were uploaded without one.
    pub(crate) fn is_untyped(&self) -> bool {
        let mut lines = self.lines.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"content-type:"));
        lines.all(|line| line.trim_ascii().ends_with(b"/octet-stream"))
    }

    /// The head of the body in another coding: a representation of its own (RFC 9110 §8.8.3.3), with a weak tag.
    pub(crate) fn coded(&self, coding: &str) -> Self {
        let mut lines = Vec::with_capacity(self.lines.len() + 64);
        let etag = self.etag.as_deref().map(|etag| format!("W/{}", etag.strip_prefix("W/").unwrap_or(etag)));
        for line in self.lines.split_inclusive(|&byte| byte == b'\n') {
            if !line.starts_with(b"etag:") && !line.starts_with(b"accept-ranges:") {
                lines.extend_from_slice(line);
            }
        }
        if let Some(etag) = &etag {
            push_line(&mut lines, "etag", etag.as_bytes());
        }
        push_line(&mut lines, "content-encoding", coding.as_bytes());
        if !self.varies_by_coding() {
            push_line(&mut lines, "vary", b"Accept-Encoding");
        }
        Self {
            lines: lines.into(),
            etag: etag.map(Into::into),
            length: None,
            compressible: false,
            coded: true,
            ..self.clone()
        }
    }

    /// The stored fields again, without those that are the edge's.
    pub(crate) fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in parse_lines(&self.lines).chain(parse_lines(&self.cors_lines)) {
            if !(name == VIA && value == VIA_VALUE) {
                fields.append(name, value);
            }
        }
        fields
    }
}

impl<'a> Making<'a> {
    /// Of an answer without a request's circumstances.
    pub(crate) fn plain(policy: &'a Policy, now_ms: i64) -> Self {
        static NOTHING_TOLD: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        Self {
            policy,
            method: &Method::GET,
            directives: RequestDirectives::default(),
            error_ttl: &NoErrorTtl,
            cookies: false,
            sequence: 0,
            begun_ms: now_ms,
            told: &NOTHING_TOLD,
            keyed: &[],
            codings_keyed: false,
            requested_ms: now_ms,
            received_ms: now_ms,
        }
    }
}

/// Lifetime and whether it may be kept.
fn judge(
    status: u16,
    meta: &ResponseMeta,
    headers: &HeaderMap,
    making: &Making<'_>,
) -> (Timing, Result<(), NotStored>) {
    let (requested_ms, received_ms) = (making.requested_ms, making.received_ms);
    let keyed = making.keyed.iter().any(|name| **name == *"authorization");
    let request = RequestMeta {
        method: making.method,
        authorized: making.told.contains_key(AUTHORIZATION) && !keyed,
        directives: making.directives,
        names_itself: false,
    };
    let silent = !headers.contains_key(CACHE_CONTROL) && !meta.targeted && meta.expires.is_none();
    let silent_error = silent && KEPT_ERRORS.contains(&status);
    // Even a failure that may not be stored is kept that long: a failing origin is not asked by every viewer.
    let control = &meta.cache_control;
    let herd = KEPT_ERRORS.contains(&status) && !control.private && (counts_as_error(status) || !control.no_store);
    let own = if herd { ERROR_TTL_SECONDS } else { 0 };
    let least = making.error_ttl.min_ttl_seconds(status).unwrap_or(own);
    if silent_error && least > 0 && !request.authorized {
        let timing = meta.timing_for(least, making.policy, requested_ms, received_ms);
        return (timing, if *making.method == Method::GET { Ok(()) } else { Err(NotStored::Method) });
    }
    let bounds = if status >= 400 { TtlBounds { min: least, ..making.policy.bounds } } else { making.policy.bounds };
    let policy = Policy { bounds, ..*making.policy };
    (meta.timing(&policy, requested_ms, received_ms), meta.storable(&request, &policy))
}

/// Which of the request's headers, as the origin saw them, chose the answer. What it did not see cannot have.
fn variant(headers: &HeaderMap, making: &Making<'_>) -> Option<Variant> {
    let lines = headers.get_all(VARY).into_iter().filter_map(|value| value.to_str().ok());
    let named = VaryNames::parse(lines).ok()?;
    let keyed = |name: &str| {
        making.keyed.iter().any(|one| **one == *name) || (making.codings_keyed && name == "accept-encoding")
    };
    let names = VaryNames::parse(named.iter().filter(|name| !keyed(name))).ok()?;
    if names.is_empty() {
        return None;
    }
    let told = |name: &str| making.told.get_all(name).into_iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>();
    let mut values = Vec::new();
    names.append_key(told, &mut values);
    Some(Variant { names, values: values.into() })
}

fn tags(headers: &HeaderMap) -> Box<[Box<str>]> {
    let text = |name: &str| headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>();
    let lists = text("cache-tag").into_iter().flat_map(|line| line.split(','));
    let words = text("surrogate-key").into_iter().flat_map(str::split_ascii_whitespace);
    let all = lists.chain(words).map(str::trim).filter(|tag| !tag.is_empty());
    all.take(MAX_TAGS).map(Into::into).collect()
}

/// Whether compressing pays and is allowed: text of some kind, not coded yet, without `no-transform` (RFC 9111 §5.2.2.6).
fn is_compressible(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    if headers.contains_key(CONTENT_ENCODING) || text(CACHE_CONTROL).to_ascii_lowercase().contains("no-transform") {
        return false;
    }
    let essence = text(CONTENT_TYPE).split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || COMPRESSIBLE.contains(&essence.as_str())
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

/// Fields that the edge writes.
fn is_own(name: &HeaderName) -> bool {
    *name == AGE || *name == CONTENT_LENGTH || name.as_str().starts_with("x-anabranch-")
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
        let head = ObjectHead::read(200, &headers, &Making::plain(&Policy::default(), 1000));
        let lines = String::from_utf8(head.lines.to_vec()).unwrap();
        assert_eq!(lines, "date: Thu, 01 Jan 1970 00:00:01 GMT\r\nx-end: 2\r\nvia: 1.1 anabranch\r\n");
        assert_eq!(&*head.cors_lines, b"access-control-allow-origin: x\r\n");
        assert_eq!(head.length, Some(3));
    }
}
