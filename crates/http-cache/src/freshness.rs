//! How long a response is fresh and how old it is.

use crate::{Policy, ResponseMeta, is_heuristically_cacheable};

/// `Date` has a resolution of one second: so much of an apparent age may be rounding.
const DATE_ROUNDING_MS: i64 = 999;

/// Longest lifetime that is guessed from `Last-Modified`, in seconds.
const MAX_HEURISTIC_SECONDS: u64 = 86_400;

/// The part of the time since `Last-Modified` that is taken for the lifetime: one in this many (RFC 9111 §4.2.2).
const HEURISTIC_PART: u64 = 10;

impl ResponseMeta {
    /// Freshness lifetime in seconds (RFC 9111 §4.2.1) under `policy`: `s-maxage`, then `max-age`, then `Expires`, then a
    /// guess if the policy and the status allow one, then the default TTL.
    #[must_use]
    pub fn freshness_lifetime(&self, policy: &Policy, received_ms: i64) -> u64 {
        let control = &self.cache_control;
        let bounds = &policy.bounds;
        let lifetime = if control.no_cache || self.refuses_storage() || control.private {
            0
        } else {
            self.explicit_lifetime(received_ms).unwrap_or_else(|| self.implicit_lifetime(policy, received_ms))
        };
        lifetime.min(bounds.max).max(bounds.min)
    }

    /// The lifetime that the origin itself gives, if any. `received_ms` stands in for a `Date` that is missing or no date
    /// (RFC 9110 §6.6.1).
    #[must_use]
    pub fn explicit_lifetime(&self, received_ms: i64) -> Option<u64> {
        let control = &self.cache_control;
        if let Some(seconds) = control.s_maxage.or(control.max_age) {
            return Some(seconds);
        }
        let expires = if self.targeted { None } else { self.expires }?;
        let date = self.date.unwrap_or(received_ms.div_euclid(1000));
        Some(expires.map_or(0, |expires| u64::try_from(expires.saturating_sub(date)).unwrap_or(0)))
    }

    fn implicit_lifetime(&self, policy: &Policy, received_ms: i64) -> u64 {
        if !self.allows_implicit_lifetime() {
            return 0;
        }
        let modified = self.last_modified.filter(|_| policy.heuristic);
        modified.map_or(policy.bounds.default, |modified| {
            let date = self.date.unwrap_or(received_ms.div_euclid(1000));
            let unchanged = u64::try_from(date.saturating_sub(modified)).unwrap_or(0);
            (unchanged / HEURISTIC_PART).min(MAX_HEURISTIC_SECONDS)
        })
    }

    /// Whether a lifetime may be made up: for statuses of RFC 9110 §15.1, and for what is marked `public`.
    pub(crate) fn allows_implicit_lifetime(&self) -> bool {
        is_heuristically_cacheable(self.status) || self.cache_control.public
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
    pub fn timing(&self, policy: &Policy, requested_ms: i64, received_ms: i64) -> Timing {
        self.timing_for(self.freshness_lifetime(policy, received_ms), policy, requested_ms, received_ms)
    }

    /// As [`Self::timing`], with a lifetime in seconds that was decided elsewhere.
    #[must_use]
    pub fn timing_for(&self, lifetime: u64, policy: &Policy, requested_ms: i64, received_ms: i64) -> Timing {
        let born_ms = received_ms.saturating_sub(self.initial_age_ms(requested_ms, received_ms));
        let fresh_until_ms = born_ms.saturating_add(seconds_to_ms(lifetime));
        let control = &self.cache_control;
        let strict = control.forbids_stale();
        // s-maxage bars stale use (RFC 9111 §5.2.2.10) unless the origin itself grants it.
        let unasked = if control.s_maxage.is_some() || lifetime == 0 { 0 } else { policy.stale_on_error };
        let until = |seconds: u64| fresh_until_ms.saturating_add(seconds_to_ms(if strict { 0 } else { seconds }));
        Timing {
            born_ms,
            fresh_until_ms,
            stale_while_revalidate_until_ms: until(control.stale_while_revalidate.unwrap_or(0)),
            stale_if_error_until_ms: until(control.stale_if_error.unwrap_or(unasked)),
            must_validate: strict || control.s_maxage.is_some(),
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
    /// Whether a viewer's `max-stale` is void for it.
    pub must_validate: bool,
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

    /// Whether it may be served in place of an error at `now_ms` (RFC 5861 §4); see [`counts_as_error`].
    #[must_use]
    pub fn serves_on_error(&self, now_ms: i64) -> bool {
        now_ms < self.stale_if_error_until_ms
    }

    /// Whether it can be of use at all after `now_ms`: it is or may be served, or `validators` can make it fresh again.
    /// What cannot need not be stored.
    #[must_use]
    pub fn is_useful(&self, validators: bool, now_ms: i64) -> bool {
        let last = self.fresh_until_ms.max(self.stale_while_revalidate_until_ms).max(self.stale_if_error_until_ms);
        validators || now_ms < last
    }

    /// Remaining lifetime in seconds, rounded up; negative once stale.
    #[must_use]
    pub fn ttl_seconds(&self, now_ms: i64) -> i64 {
        let left = self.fresh_until_ms.saturating_sub(now_ms);
        left.div_euclid(1000) + i64::from(left.rem_euclid(1000) != 0)
    }
}

/// Whether an origin's status is an error in the sense of `stale-if-error` (RFC 5861 §4). No answer at all is one too.
#[must_use]
pub fn counts_as_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

fn seconds_to_ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use crate::response::tests::{meta, meta_of};
    use crate::{Policy, RequestMeta, TtlBounds};

    const DATE: &str = "Thu, 01 Jan 1970 00:16:40 GMT";
    const DATE_MS: i64 = 1_000_000;

    fn lifetime(lines: &[(&'static str, &str)], policy: &Policy) -> u64 {
        meta(lines).freshness_lifetime(policy, DATE_MS)
    }

    #[test]
    fn the_most_specific_lifetime_wins() {
        let expires = ("expires", "Thu, 01 Jan 1970 00:16:50 GMT");
        let cases: [(&[(&'static str, &str)], u64); 12] = [
            (&[("cache-control", "max-age=5, s-maxage=9"), ("date", DATE), expires], 9),
            (&[("cache-control", "s-maxage=1"), ("cache-control", "max-age=3600")], 1),
            (&[("cache-control", "max-age=5"), ("date", DATE), expires], 5),
            (&[("date", DATE), expires], 10),
            (&[expires], 10),
            (&[("date", "foo"), expires], 10),
            (&[("date", "Thu, 01 Jan 1970 00:16:51 GMT"), expires], 0),
            (&[("date", DATE), ("expires", "0")], 0),
            (&[("cache-control", "max-age=5"), ("cdn-cache-control", "max-age=7")], 7),
            (&[("cdn-cache-control", "public"), ("date", DATE), expires], 0),
            (&[("cache-control", "max-age=5"), ("cdn-cache-control", "max-age=7, &")], 5),
            (&[("cache-control", "max-age=5, no-cache"), ("date", DATE), expires], 0),
        ];
        for (lines, seconds) in cases {
            assert_eq!(lifetime(lines, &Policy::default()), seconds, "{lines:?}");
        }
    }

    #[test]
    fn bounds_bound() {
        let policy: Policy = TtlBounds { min: 2, default: 3, max: 4 }.into();
        for (control, seconds) in [("", 3), ("max-age=1", 2), ("max-age=9", 4), ("no-cache", 2), ("no-store", 2)] {
            assert_eq!(lifetime(&[("cache-control", control)], &policy), seconds, "{control}");
        }
    }

    #[test]
    fn a_lifetime_is_guessed_only_where_it_may_be() {
        let policy = Policy { heuristic: true, ..TtlBounds { min: 0, default: 7, max: u64::MAX }.into() };
        let modified = ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT");
        let guess = |status, lines: &[(&'static str, &str)], policy: &Policy| {
            meta_of(status, lines).freshness_lifetime(policy, DATE_MS)
        };
        for (status, seconds) in [(200, 100), (404, 100), (501, 100), (201, 0), (302, 0), (403, 0), (503, 0), (599, 0)]
        {
            assert_eq!(guess(status, &[modified, ("date", DATE)], &policy), seconds, "{status}");
        }
        assert_eq!(guess(599, &[modified, ("cache-control", "public")], &policy), 100);
        assert_eq!(guess(200, &[("date", DATE)], &policy), 7, "without Last-Modified");
        assert_eq!(guess(200, &[modified], &Policy { heuristic: false, ..policy }), 7);
        assert_eq!(guess(200, &[modified, ("pragma", "no-cache")], &policy), 0);
        assert_eq!(guess(200, &[modified, ("cache-control", "max-age=1")], &policy), 1);
        let long_ago = meta(&[modified]).freshness_lifetime(&policy, 1_700_000_000_000);
        assert_eq!(long_ago, super::MAX_HEURISTIC_SECONDS);
    }

    #[test]
    fn age_counts_from_date_and_from_age() {
        let fresh = meta(&[("date", DATE), ("cache-control", "max-age=1")]);
        assert_eq!(fresh.initial_age_ms(DATE_MS, DATE_MS + 990), 0, "rounding of Date is no age");
        assert_eq!(fresh.initial_age_ms(DATE_MS, DATE_MS + 10_999), 10_000);
        let aged = meta(&[("date", DATE), ("age", "7"), ("cache-control", "max-age=10")]);
        let timing = aged.timing(&Policy::default(), DATE_MS, DATE_MS);
        assert_eq!(timing.age_seconds(DATE_MS + 1000), 8);
        assert_eq!(timing.ttl_seconds(DATE_MS + 1000), 2);
        assert!(timing.is_fresh(DATE_MS + 2999) && !timing.is_fresh(DATE_MS + 3000));
    }

    #[test]
    fn stale_use_needs_leave() {
        let policy = Policy { stale_on_error: 100, ..Policy::default() };
        for (control, revalidate, error, must) in [
            ("max-age=1, stale-if-error=30, stale-while-revalidate=5", 6000, 31_000, false),
            ("max-age=1", 1000, 101_000, false),
            ("max-age=1, stale-if-error=0", 1000, 1000, false),
            ("max-age=1, stale-if-error=30, must-revalidate", 1000, 1000, true),
            ("max-age=1, stale-while-revalidate=30, proxy-revalidate", 1000, 1000, true),
            ("s-maxage=1", 1000, 1000, true),
            ("s-maxage=1, stale-while-revalidate=5, stale-if-error=30", 6000, 31_000, true),
            ("max-age=1, no-cache, stale-if-error=30", 0, 0, true),
            ("", 0, 0, false),
        ] {
            let timing = meta(&[("cache-control", control)]).timing(&policy, 0, 0);
            assert_eq!(timing.stale_while_revalidate_until_ms, revalidate, "{control}");
            assert_eq!(timing.stale_if_error_until_ms, error, "{control}");
            assert_eq!(timing.must_validate, must, "{control}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_not_useful() {
        let useful = |control, validators| {
            meta(&[("cache-control", control)]).timing(&Policy::default(), 0, 0).is_useful(validators, 0)
        };
        assert!(useful("max-age=1", false) && useful("no-cache", true) && useful("max-age=0, stale-if-error=1", false));
        assert!(!useful("no-cache", false) && !useful("", false));
        assert!(super::counts_as_error(503) && !super::counts_as_error(501) && !super::counts_as_error(404));
    }

    proptest::proptest! {
        #[test]
        fn any_head_gives_an_answer(
            status in 0_u16..1000, date in "[ -~]{0,40}", control in "[ -~]{0,60}", age in "[0-9, a]{0,25}",
            expires in "[ -~]{0,40}", etag in "[ -~]{0,12}", now: i64, then: i64, heuristic: bool, ttl: [u64; 4],
        ) {
            let meta = meta_of(status, &[
                ("date", &date), ("cache-control", &control), ("cdn-cache-control", &control), ("age", &age),
                ("expires", &expires), ("last-modified", &expires), ("etag", &etag),
            ]);
            let bounds = TtlBounds { min: ttl[0], default: ttl[1], max: ttl[2] };
            let policy = Policy { heuristic, stale_on_error: ttl[3], ..bounds.into() };
            let _ = meta.storable(&RequestMeta::GET, &policy);
            let timing = meta.timing(&policy, then, now);
            let _ = (timing.age_seconds(now), timing.ttl_seconds(now), timing.is_fresh(then), timing.is_useful(false, then));
        }
    }
}
