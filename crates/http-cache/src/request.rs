//! What a request says about caching, and what that comes to for a stored response.

use http::Method;

use crate::directives::{members, seconds};
use crate::{Forward, Timing};

/// What is done about the cache directives of viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPolicy {
    /// Nothing: no viewer decides how often the origin is asked. What CloudFront and most CDNs do.
    #[default]
    Ignore,
    /// They are obeyed (RFC 9111 §5.2.1).
    Obey,
}

/// Cache directives of a request (RFC 9111 §5.2.1, §5.4). The default has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Nothing stored is used without validation.
    pub no_cache: bool,
    /// The answer is not stored.
    pub no_store: bool,
    /// Stored or `504`.
    pub only_if_cached: bool,
    /// Greatest age in seconds.
    pub max_age: Option<u64>,
    /// Least remaining lifetime in seconds.
    pub min_fresh: Option<u64>,
    /// Seconds beyond the lifetime that will do; `u64::MAX` without a value.
    pub max_stale: Option<u64>,
}

impl RequestDirectives {
    /// Reads the lines of `Cache-Control`, and those of `Pragma`, which count only when there are none of the former.
    #[must_use]
    pub fn parse<'a>(
        cache_control: impl IntoIterator<Item = &'a [u8]>,
        pragma: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let mut found = Self::default();
        let mut lines = cache_control.into_iter().peekable();
        if lines.peek().is_none() {
            found.no_cache = says_no_cache(pragma);
            return found;
        }
        for (name, value) in lines.flat_map(members) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match () {
                () if is("no-cache") => found.no_cache = true,
                () if is("no-store") => found.no_store = true,
                () if is("only-if-cached") => found.only_if_cached = true,
                () if is("max-age") => found.max_age = found.max_age.or(Some(value.map_or(0, seconds))),
                () if is("min-fresh") => found.min_fresh = found.min_fresh.or(Some(value.map_or(0, seconds))),
                () if is("max-stale") => found.max_stale = found.max_stale.or(Some(value.map_or(u64::MAX, seconds))),
                () => {}
            }
        }
        found
    }

    /// The directives as far as `policy` wants them obeyed.
    #[must_use]
    pub fn under(self, policy: RequestPolicy) -> Self {
        match policy {
            RequestPolicy::Ignore => Self::default(),
            RequestPolicy::Obey => self,
        }
    }
}

/// Whether `Pragma` lines hold `no-cache`.
pub(crate) fn says_no_cache<'a>(pragma: impl IntoIterator<Item = &'a [u8]>) -> bool {
    pragma.into_iter().flat_map(members).any(|(name, _)| name.eq_ignore_ascii_case(b"no-cache"))
}

/// What about a request decides whether its answer may be stored.
#[derive(Clone, Copy, Debug)]
pub struct RequestMeta<'a> {
    /// Method.
    pub method: &'a Method,
    /// The origin is sent an `Authorization` that is not part of the cache key (RFC 9111 §3.5).
    pub authorized: bool,
    /// Directives, already [under](RequestDirectives::under) the policy.
    pub directives: RequestDirectives,
    /// `Content-Location` of the answer is the request's own URI, which [`crate::Target::is_named_by`] tells; only asked for POST.
    pub names_itself: bool,
}

impl RequestMeta<'static> {
    /// A plain GET.
    pub const GET: Self = Self {
        method: &Method::GET,
        authorized: false,
        directives: RequestDirectives {
            no_cache: false,
            no_store: false,
            only_if_cached: false,
            max_age: None,
            min_fresh: None,
            max_stale: None,
        },
        names_itself: false,
    };
}

/// What is done with a stored response (RFC 9111 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Serve it.
    Fresh,
    /// Serve it; the viewer takes it stale.
    Stale,
    /// Serve it stale and validate it behind the viewer's back (RFC 5861 §3).
    StaleWhileRevalidate,
    /// Ask the origin, with validators if there are any, for the reason given.
    Validate(Forward),
    /// `504`: the viewer wants nothing from the origin (RFC 9111 §5.2.1.7).
    GatewayTimeout,
}

/// What to do with a stored response of which `timing` is kept. A request without directives costs two comparisons.
#[must_use]
pub fn decide_reuse(timing: &Timing, directives: &RequestDirectives, now_ms: i64) -> Reuse {
    let fresh = timing.is_fresh(now_ms);
    if *directives == RequestDirectives::default() {
        return match () {
            () if fresh => Reuse::Fresh,
            () if now_ms < timing.stale_while_revalidate_until_ms => Reuse::StaleWhileRevalidate,
            () => Reuse::Validate(Forward::Stale),
        };
    }
    let ask = |forward| if directives.only_if_cached { Reuse::GatewayTimeout } else { Reuse::Validate(forward) };
    let too_old = directives.max_age.is_some_and(|limit| timing.age_seconds(now_ms) > limit || limit == 0);
    let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let too_short =
        directives.min_fresh.is_some_and(|wanted| now_ms.saturating_add(ms(wanted)) >= timing.fresh_until_ms);
    if directives.no_cache || too_old || (fresh && too_short) {
        return ask(Forward::Request);
    }
    if fresh {
        return Reuse::Fresh;
    }
    let bearable = directives.max_stale.is_some_and(|limit| now_ms < timing.fresh_until_ms.saturating_add(ms(limit)));
    match () {
        () if bearable && !timing.must_validate => Reuse::Stale,
        () if too_short => ask(Forward::Request),
        () if now_ms < timing.stale_while_revalidate_until_ms => Reuse::StaleWhileRevalidate,
        () => ask(Forward::Stale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: [&[u8]; 0] = [];

    fn parse(text: &str) -> RequestDirectives {
        RequestDirectives::parse([text.as_bytes()], NOTHING)
    }

    #[test]
    fn directives_are_read_and_pragma_counts_alone() {
        let found = parse("No-Cache, no-store, only-if-cached, max-age=5, max-stale, min-fresh=\"3\"");
        assert!(found.no_cache && found.no_store && found.only_if_cached);
        assert_eq!((found.max_age, found.max_stale, found.min_fresh), (Some(5), Some(u64::MAX), Some(3)));
        assert!(RequestDirectives::parse(NOTHING, [b"No-Cache".as_slice()]).no_cache);
        assert!(!RequestDirectives::parse([b"x".as_slice()], [b"no-cache".as_slice()]).no_cache);
        assert_eq!(parse("no-cache").under(RequestPolicy::Ignore), RequestDirectives::default());
        assert!(parse("no-cache").under(RequestPolicy::Obey).no_cache);
    }

    #[test]
    fn reuse_by_the_table() {
        let timing = Timing {
            born_ms: 0,
            fresh_until_ms: 10_000,
            stale_while_revalidate_until_ms: 12_000,
            stale_if_error_until_ms: 60_000,
            must_validate: false,
        };
        for (text, now, answer) in [
            ("", 9_999, Reuse::Fresh),
            ("", 10_000, Reuse::StaleWhileRevalidate),
            ("", 12_000, Reuse::Validate(Forward::Stale)),
            ("no-cache", 1, Reuse::Validate(Forward::Request)),
            ("max-age=0", 1, Reuse::Validate(Forward::Request)),
            ("max-age=5", 5_999, Reuse::Fresh),
            ("max-age=5", 6_000, Reuse::Validate(Forward::Request)),
            ("min-fresh=3", 6_999, Reuse::Fresh),
            ("min-fresh=3", 7_000, Reuse::Validate(Forward::Request)),
            ("max-stale=5", 14_999, Reuse::Stale),
            ("max-stale=5", 15_000, Reuse::Validate(Forward::Stale)),
            ("max-stale", i64::MAX - 1, Reuse::Stale),
            ("only-if-cached", 1, Reuse::Fresh),
            ("only-if-cached", 99_000, Reuse::GatewayTimeout),
            ("only-if-cached, no-cache", 1, Reuse::GatewayTimeout),
        ] {
            assert_eq!(decide_reuse(&timing, &parse(text), now), answer, "{text} at {now}");
        }
        let strict = Timing { must_validate: true, ..timing };
        assert_eq!(decide_reuse(&strict, &parse("max-stale"), 99_000), Reuse::Validate(Forward::Stale));
    }

    proptest::proptest! {
        #[test]
        fn any_directives_give_an_answer(bytes: Vec<u8>, text in "(no-cache|max-age|max-stale|min-fresh|only-if-cached|,|=|[0-9]){0,12}", now: i64, born: i64, until: i64) {
            let found = RequestDirectives::parse([bytes.as_slice(), text.as_bytes()], [bytes.as_slice()]);
            let timing = Timing { born_ms: born, fresh_until_ms: until, ..Timing::default() };
            let _ = decide_reuse(&timing, &found, now);
        }
    }
}
