//! What the operator decides about caching.

use crate::RequestPolicy;

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

/// Everything that is the operator's to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Limits of lifetimes.
    pub bounds: TtlBounds,
    /// Whether a tenth of the time since `Last-Modified` is the lifetime when the origin gives none (RFC 9111 §4.2.2);
    /// it then goes before `bounds.default`.
    pub heuristic: bool,
    /// Seconds after its lifetime in which a response that had one, and forbids nothing, is served stale when the origin
    /// fails; an own `stale-if-error` goes before it. CloudFront serves stale so; RFC 9111 §4.2.4 allows it.
    pub stale_on_error: u64,
    /// What is done about directives of requests.
    pub request: RequestPolicy,
}

impl From<TtlBounds> for Policy {
    /// Those bounds and nothing else.
    fn from(bounds: TtlBounds) -> Self {
        Self { bounds, ..Self::default() }
    }
}
