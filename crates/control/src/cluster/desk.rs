//! What other rooms of the same process ask and tell of clusters.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_cluster::state::Effective;
use anabranch_model::{Anchors, Cluster, Verdict};
use tokio::sync::watch;

use super::seen::Seen;
use crate::app::App;
use crate::chain::chain;

/// Why a vote is not heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VoteError(pub(crate) String);

/// Where watchers of this process vote, and others learn which regions are open. Cheap to clone.
#[derive(Clone)]
pub struct ClusterDesk(pub(crate) Arc<App>);

impl std::fmt::Debug for ClusterDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterDesk").finish_non_exhaustive()
    }
}

impl ClusterDesk {
    /// Definitions of all clusters: what is to be watched.
    #[must_use]
    pub fn definitions(&self) -> Vec<Cluster> {
        self.0.clusters.each(|live| live.cluster().clone())
    }

    /// Changes when a definition does.
    #[must_use]
    pub fn defined(&self) -> watch::Receiver<u64> {
        self.0.clusters.defined.subscribe()
    }

    /// Takes what a watcher sees of a region: at each change, and otherwise at least twice within the silence limit.
    ///
    /// # Errors
    /// There is no such cluster or region, the watcher cannot be called so, or there are too many.
    pub fn report_vote(&self, cluster: &str, region: &str, watcher: &str, verdict: Verdict) -> Result<(), VoteError> {
        self.0.cluster_vote(cluster, region, watcher, verdict).map_err(|error| VoteError(error.to_string()))
    }

    /// Takes that a watcher has nothing to watch in any region of a cluster: as often as a vote.
    ///
    /// # Errors
    /// As [`ClusterDesk::report_vote`].
    pub fn report_abstention(&self, cluster: &str, watcher: &str) -> Result<(), VoteError> {
        self.0.cluster_abstain(cluster, watcher).map_err(|error| VoteError(error.to_string()))
    }

    /// Which regions of a cluster are open now, by name; none when there is no such cluster.
    #[must_use]
    pub fn openings(&self, cluster: &str) -> Option<BTreeMap<String, Effective>> {
        let now_ms = self.0.clock.now_ms();
        self.0.clusters.look(cluster, |live| live.openings(now_ms))
    }

    /// Has edges, and a CDN outside where the distribution is at one, forget the merged playlists of a cluster (C55), which are the only
    /// things that its distribution serves. Nothing happens where it has none.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn invalidate_merged(&self, cluster: &str) -> Result<(), String> {
        self.0.cluster_invalidate(cluster).await.map_err(|error| chain(&error))
    }

    /// Takes what was measured of all streams, in place of what was told before: about once a second while [somebody looks at
    /// it](Self::is_looked_at).
    pub fn tell_seen(&self, seen: Vec<Seen>) {
        self.0.clusters.tell_seen(seen);
    }

    /// Whether somebody asks for what is measured.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        self.0.clusters.is_looked_at()
    }

    /// What peers' packagers tell of the encoders' streams.
    #[must_use]
    pub fn anchors_heard(&self) -> watch::Receiver<Arc<Vec<Anchors>>> {
        self.0.clusters.anchors_heard.subscribe()
    }

    /// Tells peers what our own packager says of the encoders' streams.
    pub fn anchors_tell(&self, told: &[Anchors]) {
        self.0.clusters.tell_anchors(told);
    }

    /// Changes when an opening may have, or a vote.
    #[must_use]
    pub fn moved(&self) -> watch::Receiver<u64> {
        self.0.clusters.moved.subscribe()
    }
}
