//! Metrics of regions: which are open, and what watchers say of them together.

use std::collections::BTreeSet;

use anabranch_cluster::state::Opening;
use anabranch_model::VerdictState;
use metrics::gauge;

use crate::app::App;

const OPENINGS: [Opening; 3] = [Opening::Open, Opening::Draining, Opening::Closed];
const VERDICTS: [VerdictState; 4] =
    [VerdictState::Fresh, VerdictState::Stale, VerdictState::Ended, VerdictState::Unknown];

/// Cluster and region.
type Of = (String, String);

/// What has been told, since a recorder forgets nothing by itself.
#[derive(Debug, Default)]
pub(super) struct Meters {
    told: BTreeSet<Of>,
}

impl Meters {
    /// Tells how every region is; nothing of any where another controller acts.
    pub(super) fn set(&mut self, app: &App, acts: bool) {
        let now_ms = app.clock.now_ms();
        let mut all = BTreeSet::new();
        if acts {
            app.clusters.each(|live| {
                let cluster = &live.cluster().name;
                for (region, effective) in live.openings(now_ms) {
                    let verdict = live.judge(&region, now_ms).state;
                    let of = (cluster.clone(), region);
                    show(&of, Some((effective.opening, verdict)));
                    all.insert(of);
                }
            });
        }
        self.told.difference(&all).for_each(|gone| show(gone, None));
        self.told = all;
    }
}

fn show((cluster, region): &Of, is: Option<(Opening, VerdictState)>) {
    let number = |holds: bool| f64::from(u8::from(holds));
    for opening in OPENINGS {
        gauge!(
            "anabranch_cluster_region_opening",
            "cluster" => cluster.clone(), "region" => region.clone(), "opening" => opening.as_str()
        )
        .set(number(is.is_some_and(|(now, _)| now == opening)));
    }
    for verdict in VERDICTS {
        gauge!(
            "anabranch_cluster_region_verdict",
            "cluster" => cluster.clone(), "region" => region.clone(), "state" => verdict.as_str()
        )
        .set(number(is.is_some_and(|(_, now)| now == verdict)));
    }
}
