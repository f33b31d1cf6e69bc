//! The caching facts of a response, and whether it may be stored.

use http::header::{AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, LAST_MODIFIED, PRAGMA, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::directives::{Directives, delta_seconds};
use crate::request::says_no_cache;
use crate::{CacheControl, Policy, RequestMeta, parse_date};

/// The targeted field of RFC 9213 §3.1.
const CDN_CACHE_CONTROL: &str = "cdn-cache-control";

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// `no-store`.
    #[error("the response says no-store")]
    NoStore,
    /// The request said `no-store`, and the policy obeys it.
    #[error("the request says no-store")]
    RequestNoStore,
    /// `private`.
    #[error("the response is private")]
    Private,
    /// `Vary: *`.
    #[error("the response varies by everything")]
    VaryStar,
    /// A partial or informational answer, which is no whole representation.
    #[error("the status is no whole response: {0}")]
    Status(u16),
    /// `must-understand` with a status that we know nothing about.
    #[error("the response must be understood and its status is unknown: {0}")]
    NotUnderstood(u16),
    /// The answer to another method than GET, without what makes it one for GET.
    #[error("the method's responses are not stored")]
    Method,
    /// The request carried credentials and the response does not allow sharing (RFC 9111 §3.5).
    #[error("the request carried authorization and the response does not allow sharing")]
    Authorization,
    /// Nothing tells whether the body was whole: it ended with its connection.
    #[error("the end of the body cannot be told from a cut")]
    Unframed,
    /// Neither the origin nor the status nor the policy gives it a lifetime (RFC 9111 §3).
    #[error("nothing gives the response a lifetime")]
    NoLifetime,
}

/// The caching facts of one response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseMeta {
    /// Status code.
    pub status: u16,
    /// Directives: those of `CDN-Cache-Control` alone if that is sent and valid (RFC 9213 §2.2), else `Cache-Control`'s.
    pub cache_control: CacheControl,
    /// Whether `CDN-Cache-Control` counts; `Expires` then has no say.
    pub targeted: bool,
    /// Fields that `private="…"` or `no-cache="…"` name: they go to the viewer who asked and are not stored.
    pub withheld: Box<[HeaderName]>,
    /// `Date`, seconds since the Unix epoch.
    pub date: Option<i64>,
    /// `Age` in seconds, the first if there are several; 0 when absent or no number.
    pub age: u64,
    /// `Expires`, the first; the inner value is absent when it is no date, which means "already" (RFC 9111 §5.3).
    pub expires: Option<Option<i64>>,
    /// `ETag` as sent, with its quotes.
    pub etag: Option<Box<str>>,
    /// `Last-Modified`, seconds since the Unix epoch.
    pub last_modified: Option<i64>,
    /// `Vary: *` was sent.
    pub vary_star: bool,
}

impl ResponseMeta {
    /// Reads the facts from a response head.
    #[must_use]
    pub fn read(status: u16, headers: &HeaderMap) -> Self {
        let lines = |name: &HeaderName| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let targeted = read_targeted(headers);
        let is_targeted = targeted.is_some();
        let mut directives = targeted.unwrap_or_else(|| Directives::parse(lines(&CACHE_CONTROL)));
        // What Pragma means in a response is nowhere said; where nothing else speaks, its sender's wish is clear.
        if !is_targeted && !headers.contains_key(CACHE_CONTROL) && says_no_cache(lines(&PRAGMA)) {
            directives.control.no_cache = true;
        }
        Self {
            status,
            cache_control: directives.control,
            targeted: is_targeted,
            withheld: directives.withheld.into(),
            date: text(&DATE).and_then(parse_date),
            age: headers.get(AGE).map_or(0, |value| read_age(value.as_bytes())),
            expires: headers.get(EXPIRES).map(|value| value.to_str().ok().and_then(parse_date)),
            etag: text(&ETAG).filter(|tag| is_entity_tag(tag)).map(Into::into),
            last_modified: text(&LAST_MODIFIED).and_then(parse_date),
            vary_star: lines(&VARY)
                .any(|value| value.split(|&byte| byte == b',').any(|name| name.trim_ascii() == b"*")),
        }
    }

    /// Whether a shared cache may keep the answer to `request` (RFC 9111 §3).
    ///
    /// The answer to HEAD is never stored, only [used for an update](crate::head_effect); a `206` by
    /// [`crate::StoredPart`] only.
    ///
    /// # Errors
    /// It may not; the reason.
    pub fn storable(&self, request: &RequestMeta<'_>, policy: &Policy) -> Result<(), NotStored> {
        let control = &self.cache_control;
        match *request.method {
            Method::GET => {}
            // RFC 9110 §9.3.3: explicit freshness, and a Content-Location that says whose representation it is.
            Method::POST if request.names_itself && self.gives_lifetime() => {}
            _ => return Err(NotStored::Method),
        }
        if self.status < 200 || self.status == 206 || self.status == 304 {
            return Err(NotStored::Status(self.status));
        }
        if self.vary_star {
            return Err(NotStored::VaryStar);
        }
        if request.authorized && !control.allows_authorized() {
            return Err(NotStored::Authorization);
        }
        if request.directives.no_store {
            return Err(NotStored::RequestNoStore);
        }
        if policy.bounds.min > 0 {
            return Ok(());
        }
        if control.must_understand && !is_understood(self.status) {
            return Err(NotStored::NotUnderstood(self.status));
        }
        if self.refuses_storage() {
            return Err(NotStored::NoStore);
        }
        if control.private {
            return Err(NotStored::Private);
        }
        if self.gives_lifetime() || self.allows_implicit_lifetime() {
            return Ok(());
        }
        Err(NotStored::NoLifetime)
    }

    /// `no-store`, unless `must-understand` makes it void.
    pub(crate) fn refuses_storage(&self) -> bool {
        let control = &self.cache_control;
        control.no_store && !(control.must_understand && is_understood(self.status))
    }

    fn gives_lifetime(&self) -> bool {
        let control = &self.cache_control;
        control.s_maxage.is_some() || control.max_age.is_some() || (!self.targeted && self.expires.is_some())
    }

    /// Whether the origin can be asked if the response still holds.
    #[must_use]
    pub fn has_validator(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// What `If-Modified-Since` is compared with (RFC 9111 §4.3.2): `Last-Modified`, else `Date`, else the moment of receipt.
    #[must_use]
    pub fn modified_at_latest(&self, received_ms: i64) -> i64 {
        self.last_modified.or(self.date).unwrap_or(received_ms.div_euclid(1000))
    }
}

/// Statuses whose responses may be given a lifetime that their origin did not give (RFC 9110 §15.1).
#[must_use]
pub fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Final statuses whose caching requirements we know: those of RFC 9110 §15.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

fn read_targeted(headers: &HeaderMap) -> Option<Directives> {
    let mut lines = headers.get_all(CDN_CACHE_CONTROL).into_iter().map(HeaderValue::as_bytes);
    let first = lines.next()?;
    let Some(second) = lines.next() else { return Directives::parse_targeted(first) };
    let all: Vec<&[u8]> = [first, second].into_iter().chain(lines).collect();
    Directives::parse_targeted(&all.join(&b", "[..]))
}

/// The first member counts; one that is no number is as good as none (RFC 9111 §5.1).
fn read_age(value: &[u8]) -> u64 {
    let first = value.split(|&byte| byte == b',').next().unwrap_or_default();
    delta_seconds(first.trim_ascii()).unwrap_or(0)
}

fn is_entity_tag(tag: &str) -> bool {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"') && !opaque[1..opaque.len() - 1].contains('"')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{RequestDirectives, TtlBounds};

    pub(crate) fn meta_of(status: u16, lines: &[(&'static str, &str)]) -> ResponseMeta {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        ResponseMeta::read(status, &headers)
    }

    pub(crate) fn meta(lines: &[(&'static str, &str)]) -> ResponseMeta {
        meta_of(200, lines)
    }

    fn stored(status: u16, control: &'static str, request: &RequestMeta<'_>) -> Result<(), NotStored> {
        meta_of(status, &[("cache-control", control)]).storable(request, &Policy::default())
    }

    #[test]
    fn what_is_stored_by_the_table() {
        let get = RequestMeta::GET;
        for (status, control, answer) in [
            (200, "", Ok(())),
            (200, "no-cache", Ok(())),
            (200, "no-store, max-age=9", Err(NotStored::NoStore)),
            (200, "private, max-age=9", Err(NotStored::Private)),
            (200, "private=\"a\", max-age=9", Ok(())),
            (200, "no-store, max-age=9, must-understand", Ok(())),
            (599, "no-store, max-age=9, must-understand", Err(NotStored::NotUnderstood(599))),
            (599, "max-age=9", Ok(())),
            (599, "public", Ok(())),
            (599, "", Err(NotStored::NoLifetime)),
            (201, "", Err(NotStored::NoLifetime)),
            (302, "max-age=9", Ok(())),
            (404, "", Ok(())),
            (206, "max-age=9", Err(NotStored::Status(206))),
            (304, "max-age=9", Err(NotStored::Status(304))),
            (103, "max-age=9", Err(NotStored::Status(103))),
        ] {
            assert_eq!(stored(status, control, &get), answer, "{status} {control}");
        }
        let targeted = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=9")];
        assert_eq!(meta(&targeted).storable(&get, &Policy::default()), Ok(()));
        let void = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=\"9\"")];
        assert_eq!(meta(&void).storable(&get, &Policy::default()), Err(NotStored::NoStore));
        let least: Policy = TtlBounds { min: 1, default: 1, max: 1 }.into();
        assert_eq!(meta(&[("cache-control", "no-store")]).storable(&get, &least), Ok(()));
    }

    #[test]
    fn the_request_has_a_say() {
        let authorized = RequestMeta { authorized: true, ..RequestMeta::GET };
        for (control, answer) in [
            ("max-age=9", Err(NotStored::Authorization)),
            ("max-age=9, public", Ok(())),
            ("max-age=9, must-revalidate", Ok(())),
            ("s-maxage=9", Ok(())),
        ] {
            assert_eq!(stored(200, control, &authorized), answer, "{control}");
        }
        let quiet = RequestDirectives { no_store: true, ..RequestDirectives::default() };
        let quiet = RequestMeta { directives: quiet, ..RequestMeta::GET };
        assert_eq!(stored(200, "max-age=9", &quiet), Err(NotStored::RequestNoStore));
        let post = RequestMeta { method: &Method::POST, ..RequestMeta::GET };
        assert_eq!(stored(200, "max-age=9", &post), Err(NotStored::Method));
        let post = RequestMeta { names_itself: true, ..post };
        assert_eq!(stored(200, "max-age=9", &post), Ok(()));
        assert_eq!(stored(200, "", &post), Err(NotStored::Method));
        for method in [Method::HEAD, Method::PUT, Method::OPTIONS] {
            let other = RequestMeta { method: &method, names_itself: true, ..RequestMeta::GET };
            assert_eq!(stored(200, "max-age=9", &other), Err(NotStored::Method), "{method}");
        }
    }

    #[test]
    fn a_star_anywhere_in_vary_bars_storage() {
        for lines in [
            &[("vary", "*")][..],
            &[("vary", "*, *")],
            &[("vary", ", *")],
            &[("vary", ""), ("vary", "*")],
            &[("vary", "foo, *")],
        ] {
            assert_eq!(
                meta(lines).storable(&RequestMeta::GET, &Policy::default()),
                Err(NotStored::VaryStar),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn the_first_age_counts_if_it_is_a_number() {
        for (age, seconds) in [
            ("7", 7),
            ("abc", 0),
            ("-7", 0),
            ("7.0", 0),
            ("7, 0", 7),
            ("0, 7", 0),
            ("7;a=1", 0),
            ("2147483649", 1 << 31),
            ("", 0),
        ] {
            assert_eq!(meta(&[("age", age)]).age, seconds, "{age}");
        }
        assert_eq!(meta(&[("age", "7"), ("age", "0")]).age, 7);
    }

    #[test]
    fn if_modified_since_is_compared_with_what_there_is() {
        let (modified, date) =
            (("last-modified", "Thu, 01 Jan 1970 00:00:01 GMT"), ("date", "Thu, 01 Jan 1970 00:00:02 GMT"));
        assert_eq!(meta(&[modified, date]).modified_at_latest(3000), 1);
        assert_eq!(meta(&[date]).modified_at_latest(3000), 2);
        assert_eq!(meta(&[]).modified_at_latest(3000), 3);
    }
}
