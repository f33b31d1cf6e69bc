//! Metrics of a watch.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::machine::Machine;
use super::{FindingKind, VerdictState};

const STATES: [VerdictState; 4] =
    [VerdictState::Unknown, VerdictState::Fresh, VerdictState::Stale, VerdictState::Ended];

/// Handles that are looked up once: a watch has many requests.
pub(super) struct Meters {
    states: [Gauge; 4],
    fresh: Gauge,
    stale: Gauge,
    ended: Gauge,
    findings: [Gauge; FindingKind::ALL.len()],
    requests: Counter,
    failures: Counter,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    /// `watch` is the name of the watch: there are as many as are configured.
    pub(super) fn new(watch: &str) -> Self {
        let of = |state: &'static str| gauge!("anabranch_cluster_watch_playlists", "watch" => watch.to_owned(), "state" => state);
        Self {
            states: STATES.map(|state| {
                gauge!("anabranch_cluster_watch_verdict", "watch" => watch.to_owned(), "state" => state.as_str())
            }),
            fresh: of("fresh"),
            stale: of("stale"),
            ended: of("ended"),
            findings: FindingKind::ALL.map(|kind| {
                gauge!("anabranch_cluster_watch_findings", "watch" => watch.to_owned(), "kind" => kind.as_str())
            }),
            requests: counter!("anabranch_cluster_watch_requests_total", "watch" => watch.to_owned()),
            failures: counter!("anabranch_cluster_watch_failures_total", "watch" => watch.to_owned()),
        }
    }

    pub(super) fn set(&self, machine: &Machine) {
        let (counts, requests, failures) = machine.counted();
        for (state, gauge) in STATES.iter().zip(&self.states) {
            gauge.set(f64::from(u8::from(machine.verdict().state == *state)));
        }
        self.fresh.set(counts.fresh as f64);
        self.stale.set(counts.stale as f64);
        self.ended.set(counts.ended as f64);
        for (kind, gauge) in FindingKind::ALL.iter().zip(&self.findings) {
            gauge.set(machine.findings_of(*kind) as f64);
        }
        self.requests.absolute(requests);
        self.failures.absolute(failures);
    }
}

/// Tells the recorder what the numbers of watches mean.
pub fn describe_metrics() {
    describe_gauge!(
        "anabranch_cluster_watch_verdict",
        "1 at the state that a watched stream is in, by watch and state"
    );
    describe_gauge!("anabranch_cluster_watch_playlists", "playlists under watch, by watch and state");
    describe_gauge!("anabranch_cluster_watch_findings", "what is wrong with a watched stream now, by watch and kind");
    describe_counter!("anabranch_cluster_watch_requests_total", "requests of watches, by watch");
    describe_counter!(
        "anabranch_cluster_watch_failures_total",
        "requests that brought no playlist or segment, by watch"
    );
    describe_counter!(
        "anabranch_cluster_notifications_total",
        "notifications to receivers, by kind of receiver and outcome"
    );
}
