//! Counters and gauges of the edge as a whole.

use metrics::{Counter, Gauge, counter, gauge};

use crate::counters::Counters;
use crate::unshielded::Unshielded;

/// All of them, looked up once.
pub(crate) struct Metrics {
    /// Of requests that no distribution claims; they are in no report.
    pub(crate) nobody: Counters,
    pub(crate) origin_fetches: Counter,
    pub(crate) origin_failures: Counter,
    pub(crate) origin_failovers: Counter,
    pub(crate) connections: Gauge,
    pub(crate) handshakes: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) cache_bytes: Gauge,
    pub(crate) cache_objects: Gauge,
    pub(crate) disk_bytes: Gauge,
    pub(crate) disk_objects: Gauge,
    pub(crate) unshielded: Unshielded,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            nobody: Counters::default(),
            origin_fetches: counter!("anabranch_edge_origin_fetches_total"),
            origin_failures: counter!("anabranch_edge_origin_failures_total"),
            origin_failovers: counter!("anabranch_edge_origin_failovers_total"),
            connections: gauge!("anabranch_edge_connections"),
            handshakes: counter!("anabranch_edge_tls_handshakes_total", "result" => "done"),
            handshakes_failed: counter!("anabranch_edge_tls_handshakes_total", "result" => "failed"),
            cache_bytes: gauge!("anabranch_edge_cache_bytes"),
            cache_objects: gauge!("anabranch_edge_cache_objects"),
            disk_bytes: gauge!("anabranch_edge_disk_bytes"),
            disk_objects: gauge!("anabranch_edge_disk_objects"),
            unshielded: Unshielded::new(),
        }
    }
}
