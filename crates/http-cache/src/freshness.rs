//! What may be stored, for how long, and how old it is.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, LAST_MODIFIED, VARY};

use crate::CacheControl;

/// `Date` has a resolution of one second: so much of an apparent age may be rounding.
const DATE_ROUNDING_MS: i64 = 999;

/// Limits that the operator sets on freshness lifetimes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlBounds {
    /// Shortest lifetime, whatever the origin says. Above 0 even `no-store` is kept that long, as CloudFront does.
    pub min: u64,
    /// Lifetime when the origin says nothing.
    pub default: u64,
    /// Longest lifetime.
    pub max: u64,
}

impl Default for TtlBounds {
    fn default() -> Self {
        Self { min: 0, default: 0, max: u64::MAX }
    }
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// `no-store`.
    #[error("the response says no-store")]
    NoStore,
    /// `private`.
    #[error("the response is private")]
    Private,
    /// `Vary: *`.
    #[error("the response varies by everything")]
    VaryStar,
    /// A partial or informational answer, which is no whole representation.
    #[error("the status is no whole response: {0}")]
    Status(u16),
}

/// The caching facts of one response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseMeta {
    /// Status code.
    pub status: u16,
    /// Directives: those of `CDN-Cache-Control` alone if that is sent (RFC 9213 §2.1), else `Cache-Control`'s.
    pub cache_control: CacheControl,
    /// Whether `CDN-Cache-Control` was sent; `Expires` then has no say.
    pub targeted: bool,
    /// `Date`, seconds since the Unix epoch.
    pub date: Option<i64>,
    /// `Age` in seconds; 0 when absent or no number.
    pub age: u64,
    /// `Expires`; the inner value is absent when it is no date, which means "already" (RFC 9111 §5.3).
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
        let lines = |name: &str| headers.get_all(name).into_iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>();
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
        let targeted = headers.contains_key("cdn-cache-control");
        let directives = if targeted { "cdn-cache-control" } else { CACHE_CONTROL.as_str() };
        Self {
            status,
            cache_control: CacheControl::parse(lines(directives)),
            targeted,
            date: text(DATE).and_then(parse_date),
            age: text(AGE).and_then(|age| age.trim().parse().ok()).unwrap_or(0),
            expires: headers.get(EXPIRES).map(|v| v.to_str().ok().and_then(parse_date)),
            etag: text(ETAG).filter(|tag| is_entity_tag(tag)).map(Into::into),
            last_modified: text(LAST_MODIFIED).and_then(parse_date),
            vary_star: lines(VARY.as_str())
                .iter()
                .any(|v| v.split(|&b| b == b',').any(|name| name.trim_ascii() == b"*")),
        }
    }

    /// Whether a shared cache may keep the response (RFC 9111 §3).
    ///
    /// # Errors
    /// It may not; the reason.
    pub fn storable(&self, bounds: &TtlBounds) -> Result<(), NotStored> {
        if self.status < 200 || self.status == 206 || self.status == 304 {
            return Err(NotStored::Status(self.status));
        }
        if self.vary_star {
            return Err(NotStored::VaryStar);
        }
        if bounds.min > 0 {
            return Ok(());
        }
        if self.cache_control.no_store {
            return Err(NotStored::NoStore);
        }
        if self.cache_control.private {
            return Err(NotStored::Private);
        }
        Ok(())
    }

    /// Freshness lifetime in seconds (RFC 9111 §4.2.1) within `bounds`; `s-maxage`, then `max-age`, then `Expires`.
    #[must_use]
    pub fn freshness_lifetime(&self, bounds: &TtlBounds) -> u64 {
        let lifetime = if self.cache_control.no_cache || self.cache_control.no_store || self.cache_control.private {
            0
        } else {
            self.explicit_lifetime().unwrap_or(bounds.default)
        };
        lifetime.min(bounds.max).max(bounds.min)
    }

    /// The lifetime that the origin itself gives, if any.
    #[must_use]
    pub fn explicit_lifetime(&self) -> Option<u64> {
        let control = &self.cache_control;
        if let Some(seconds) = control.s_maxage.or(control.max_age) {
            return Some(seconds);
        }
        if self.targeted {
            return None;
        }
        let expires = self.expires?;
        Some(match (expires, self.date) {
            (Some(expires), Some(date)) => u64::try_from(expires.saturating_sub(date)).unwrap_or(0),
            // Without a Date the lifetime cannot be told from Expires; stale at once is the safe reading.
            _ => 0,
        })
    }

    /// Age of the response when it came in, in milliseconds (RFC 9111 §4.2.3, corrected_initial_age).
    #[must_use]
    pub fn initial_age_ms(&self, requested_ms: i64, received_ms: i64) -> i64 {
        let apparent = self
            .date
            .map_or(0, |date| received_ms.saturating_sub(date.saturating_mul(1000).saturating_add(DATE_ROUNDING_MS)))
            .max(0);
        let delay = received_ms.saturating_sub(requested_ms).max(0);
        // The delay counts only behind another cache: a slow origin does not make its answer old.
        let corrected = if self.age == 0 { 0 } else { seconds_to_ms(self.age).saturating_add(delay) };
        apparent.max(corrected)
    }

    /// The moments that decide about reuse of the response.
    #[must_use]
    pub fn timing(&self, bounds: &TtlBounds, requested_ms: i64, received_ms: i64) -> Timing {
        self.timing_for(self.freshness_lifetime(bounds), requested_ms, received_ms)
    }

    /// As [`Self::timing`], with a lifetime in seconds that was decided elsewhere.
    #[must_use]
    pub fn timing_for(&self, lifetime: u64, requested_ms: i64, received_ms: i64) -> Timing {
        let born_ms = received_ms.saturating_sub(self.initial_age_ms(requested_ms, received_ms));
        let fresh_until_ms = born_ms.saturating_add(seconds_to_ms(lifetime));
        let control = &self.cache_control;
        // RFC 5861 lets a cache serve stale only where nothing forbids it.
        let grace = |seconds: Option<u64>| {
            let seconds = if control.forbids_stale() { 0 } else { seconds.unwrap_or(0) };
            fresh_until_ms.saturating_add(seconds_to_ms(seconds))
        };
        Timing {
            born_ms,
            fresh_until_ms,
            stale_while_revalidate_until_ms: grace(control.stale_while_revalidate),
            stale_if_error_until_ms: grace(control.stale_if_error),
        }
    }
}

/// When a stored response is fresh and when it may be used stale; all in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Moment at which its age was 0.
    pub born_ms: i64,
    /// Fresh before this moment.
    pub fresh_until_ms: i64,
    /// Usable before this moment while a validation runs.
    pub stale_while_revalidate_until_ms: i64,
    /// Usable before this moment when the origin fails.
    pub stale_if_error_until_ms: i64,
}

impl Timing {
    /// Current age in whole seconds (RFC 9111 §4.2.3); a clock that went back gives 0.
    #[must_use]
    pub fn age_seconds(&self, now_ms: i64) -> u64 {
        u64::try_from(now_ms.saturating_sub(self.born_ms).div_euclid(1000)).unwrap_or(0)
    }

    /// Whether the response is fresh at `now_ms`.
    #[must_use]
    pub fn is_fresh(&self, now_ms: i64) -> bool {
        now_ms < self.fresh_until_ms
    }

    /// Remaining lifetime in seconds, rounded up; negative once stale.
    #[must_use]
    pub fn ttl_seconds(&self, now_ms: i64) -> i64 {
        let left = self.fresh_until_ms.saturating_sub(now_ms);
        left.div_euclid(1000) + i64::from(left.rem_euclid(1000) != 0)
    }
}

/// An HTTP date in any of its three forms as seconds since the Unix epoch (RFC 9110 §5.6.7).
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    seconds_since_epoch(date)
}

fn seconds_since_epoch(date: SystemTime) -> Option<i64> {
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn seconds_to_ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn is_entity_tag(tag: &str) -> bool {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"') && !opaque[1..opaque.len() - 1].contains('"')
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn meta(lines: &[(&'static str, &str)]) -> ResponseMeta {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        ResponseMeta::read(200, &headers)
    }

    const NONE: TtlBounds = TtlBounds { min: 0, default: 0, max: u64::MAX };
    const DATE: &str = "Thu, 01 Jan 1970 00:16:40 GMT";

    #[test]
    fn the_most_specific_lifetime_wins() {
        let expires = ("expires", "Thu, 01 Jan 1970 00:16:50 GMT");
        let cases: [(&[(&str, &str)], u64); 7] = [
            (&[("cache-control", "max-age=5, s-maxage=9"), ("date", DATE), expires], 9),
            (&[("cache-control", "max-age=5"), ("date", DATE), expires], 5),
            (&[("date", DATE), expires], 10),
            (&[("date", DATE), ("expires", "0")], 0),
            (&[("cache-control", "max-age=5"), ("cdn-cache-control", "max-age=70")], 70),
            (&[("cache-control", "max-age=5, no-cache")], 0),
            (&[("cdn-cache-control", "public"), ("date", DATE), expires], 0),
        ];
        for (lines, lifetime) in cases {
            let lines: Vec<_> =
                lines.iter().map(|&(n, v)| (Box::leak(n.to_owned().into_boxed_str()) as &'static str, v)).collect();
            assert_eq!(meta(&lines).freshness_lifetime(&NONE), lifetime, "{lines:?}");
        }
    }

    #[test]
    fn bounds_clamp() {
        let bounds = TtlBounds { min: 3, default: 60, max: 100 };
        assert_eq!(meta(&[]).freshness_lifetime(&bounds), 60);
        assert_eq!(meta(&[("cache-control", "max-age=1")]).freshness_lifetime(&bounds), 3);
        assert_eq!(meta(&[("cache-control", "max-age=1000")]).freshness_lifetime(&bounds), 100);
        assert_eq!(meta(&[("cache-control", "no-store")]).storable(&bounds), Ok(()));
        assert_eq!(meta(&[("cache-control", "no-store")]).storable(&NONE), Err(NotStored::NoStore));
        assert_eq!(meta(&[("cache-control", "private")]).storable(&NONE), Err(NotStored::Private));
        assert_eq!(meta(&[("vary", "accept, *")]).storable(&NONE), Err(NotStored::VaryStar));
    }

    #[test]
    fn age_counts_from_date_and_from_age() {
        let date_ms = 1_000_000;
        let fresh = meta(&[("date", DATE), ("cache-control", "max-age=1")]);
        assert_eq!(fresh.initial_age_ms(date_ms, date_ms + 990), 0, "rounding of Date is no age");
        assert_eq!(fresh.initial_age_ms(date_ms, date_ms + 10_999), 10_000);
        let aged = meta(&[("date", DATE), ("age", "7"), ("cache-control", "max-age=10")]);
        let timing = aged.timing(&NONE, date_ms, date_ms);
        assert_eq!(timing.age_seconds(date_ms + 1000), 8);
        assert_eq!(timing.ttl_seconds(date_ms + 1000), 2);
        assert!(timing.is_fresh(date_ms + 2999) && !timing.is_fresh(date_ms + 3000));
    }

    #[test]
    fn stale_use_needs_leave() {
        let kind =
            meta(&[("cache-control", "max-age=1, stale-if-error=30, stale-while-revalidate=5")]).timing(&NONE, 0, 0);
        assert_eq!((kind.stale_while_revalidate_until_ms, kind.stale_if_error_until_ms), (6000, 31_000));
        let strict = meta(&[("cache-control", "max-age=1, stale-if-error=30, must-revalidate")]).timing(&NONE, 0, 0);
        assert_eq!(strict.stale_if_error_until_ms, 1000);
    }

    proptest! {
        #[test]
        fn any_head_gives_an_answer(
            status in 0_u16..1000, date in "[ -~]{0,40}", control in "[ -~]{0,60}", age in "[0-9]{0,25}",
            expires in "[ -~]{0,40}", etag in "[ -~]{0,12}", now: i64, then: i64, min: u64, default: u64, max: u64,
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [("date", date), ("cache-control", control), ("age", age), ("expires", expires), ("etag", etag)] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.append(HeaderName::from_static(name), value);
                }
            }
            let meta = ResponseMeta::read(status, &headers);
            let bounds = TtlBounds { min, default, max };
            let _ = meta.storable(&bounds);
            let timing = meta.timing(&bounds, then, now);
            let _ = (timing.age_seconds(now), timing.ttl_seconds(now), timing.is_fresh(then));
        }
    }
}
