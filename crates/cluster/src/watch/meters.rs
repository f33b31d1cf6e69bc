//! Metrics of a watch.

use metrics::{Counter, Gauge, Label, counter, describe_counter, describe_gauge, gauge};

use super::machine::Machine;
use super::{FindingKind, Place, VerdictState};

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
    /// `watch` is the name of the watch: there are as many as are configured. With a place there is one for each region and way.
    pub(super) fn new(watch: &str, place: Option<&Place>) -> Self {
        let labels = |more: Option<(&'static str, &'static str)>| -> Vec<Label> {
            let mut labels = vec![Label::new("watch", watch.to_owned())];
            if let Some(place) = place {
                labels.extend([Label::new("region", place.region.clone()), Label::from_static_parts("way", place.way)]);
            }
            labels.extend(more.map(|(name, value)| Label::from_static_parts(name, value)));
            labels
        };
        let of = |state: &'static str| gauge!("anabranch_cluster_watch_playlists", labels(Some(("state", state))));
        Self {
            states: STATES
                .map(|state| gauge!("anabranch_cluster_watch_verdict", labels(Some(("state", state.as_str()))))),
            fresh: of("fresh"),
            stale: of("stale"),
            ended: of("ended"),
            findings: FindingKind::ALL
                .map(|kind| gauge!("anabranch_cluster_watch_findings", labels(Some(("kind", kind.as_str()))))),
            requests: counter!("anabranch_cluster_watch_requests_total", labels(None)),
            failures: counter!("anabranch_cluster_watch_failures_total", labels(None)),
        }
    }

    /// A watch that is given up says nothing any more.
    pub(super) fn clear(&self) {
        let gauges = self.states.iter().chain(&self.findings);
        gauges.chain([&self.fresh, &self.stale, &self.ended]).for_each(|gauge| gauge.set(0.0));
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
        "1 at the state that a watched stream is in, by watch and state, in clusters by region and way as well"
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
