//! What watchers of this process have measured, and what of it tells how a region is at a glance.

use std::time::Duration;

use anabranch_cluster::watch::{PlaylistReport, PlaylistState, Report};
use tokio::time::Instant;

use super::{Clusters, Live};

/// Time for which somebody who has asked counts as looking.
const LOOKED_AT_FOR: Duration = Duration::from_secs(5);

/// Which way to a region's playlists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// As viewers ask for them.
    Cdn,
    /// Past the CDN.
    Origin,
}

impl Way {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cdn => "cdn",
            Self::Origin => "origin",
        }
    }
}

/// What was measured of one stream in one region by one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Id of the cluster.
    pub cluster: String,
    /// Name of the stream.
    pub stream: String,
    /// Name of the region.
    pub region: String,
    /// The way.
    pub way: Way,
    /// What was measured.
    pub report: Report,
}

/// A region at a glance; nothing where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    pub(crate) latency_ms: Option<u64>,
    pub(crate) origin_latency_ms: Option<u64>,
    pub(crate) behind_ms: Option<i64>,
    pub(crate) age_ms: Option<u64>,
    pub(crate) playlists: usize,
    pub(crate) playlists_stale: usize,
}

impl Glance {
    pub(crate) fn of(seen: &[Seen], region: &str) -> Self {
        let of = |way: Way| {
            let of_way = seen.iter().filter(move |one| one.region == region && one.way == way);
            of_way.flat_map(|one| &one.report.playlists)
        };
        let latency = |way| middle(of(way).filter_map(|playlist| playlist.answer_ms).collect());
        let goes_on = |playlist: &&PlaylistReport| playlist.state != PlaylistState::Ended;
        Self {
            latency_ms: latency(Way::Cdn),
            origin_latency_ms: latency(Way::Origin),
            behind_ms: middle(of(Way::Cdn).filter(goes_on).filter_map(|playlist| playlist.behind_ms).collect()),
            age_ms: of(Way::Cdn).filter(goes_on).map(|playlist| playlist.age_ms).max(),
            playlists: of(Way::Cdn).count(),
            playlists_stale: of(Way::Cdn).filter(|playlist| playlist.state == PlaylistState::Stale).count(),
        }
    }
}

fn middle<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

impl Clusters {
    /// Takes what was measured of all clusters, in place of what was told before.
    pub(crate) fn tell_seen(&self, seen: Vec<Seen>) {
        let mut all = self.live.write();
        all.values_mut().for_each(|live| live.seen.clear());
        for one in seen {
            let known = |live: &&mut Live| live.cluster().id.as_str() == one.cluster;
            if let Some(live) = all.values_mut().find(known)
                && live.cluster().region(&one.region).is_some()
            {
                live.seen.push(one);
            }
        }
    }

    /// Takes note that somebody looks at what is measured.
    pub(crate) fn look_at(&self) {
        *self.looked_at.lock() = Some(Instant::now());
    }

    pub(crate) fn is_looked_at(&self) -> bool {
        self.looked_at.lock().is_some_and(|at| at.elapsed() <= LOOKED_AT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_the_middle_counts() {
        assert_eq!(middle(Vec::<u64>::new()), None);
        assert_eq!(middle(vec![9_u64]), Some(9));
        assert_eq!(middle(vec![9_u64, 1, 5, 7]), Some(5));
        assert_eq!(Glance::of(&[], "eu"), Glance::default());
    }
}
