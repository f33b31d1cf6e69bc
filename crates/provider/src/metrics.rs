//! What a distribution delivered.

use anabranch_model::DistributionId;

use crate::Reply;

/// What was delivered in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficWindow {
    /// Requests answered.
    pub requests: u64,
    /// Bytes sent to viewers.
    pub bytes: u64,
    /// Unix milliseconds up to which the counts are complete; later ones may still grow (V101).
    pub complete_until_ms: i64,
}

/// Counts what was delivered.
pub trait MetricsProvider: Send + Sync {
    /// Requests and bytes of a distribution from `from_ms` up to `until_ms`, Unix milliseconds, widened to whole minutes. None of
    /// them when there is no such distribution.
    ///
    /// # Errors
    /// Those of any call: throttled, unavailable.
    fn distribution_traffic<'a>(
        &'a self,
        id: &'a DistributionId,
        from_ms: i64,
        until_ms: i64,
    ) -> Reply<'a, TrafficWindow>;
}
