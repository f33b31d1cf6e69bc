//! Clusters of this instance: their streams are watched in every region, the verdicts become votes, and merged playlists are published.
//!
//! ```text
//! regions ─playlists─► watch ─verdicts─► ClusterDesk (state, automat) ─openings─► publish ─objects─► store
//! ```

mod publish;
mod vote;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anabranch_cluster::watch::{FetchConfig, Fetcher};
use anabranch_control::ClusterDesk;
use anabranch_model::Anchors;
use anabranch_net::{SharedClock, Shutdown};
use anabranch_store::Buckets;
use anyhow::{Context, Result};

use publish::Publisher;
use watch::Watches;

/// Time between two looks; a vote is given with each.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The same while there is no cluster.
const LOOK_IDLE: Duration = Duration::from_secs(5);

/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(50);

/// The loop, ready to run.
pub(super) struct Clusters {
    desk: ClusterDesk,
    node: String,
    watches: Watches,
    /// What our packager tells of the encoders' streams.
    anchors: tokio::sync::watch::Receiver<Arc<Vec<Anchors>>>,
    publisher: Publisher,
    /// The failure that was logged last, so that a lasting one makes one line.
    failing: Option<String>,
}

impl Clusters {
    /// `node` is the watcher's name in votes.
    pub(super) fn new(
        desk: ClusterDesk,
        node: String,
        buckets: Buckets,
        anchors: tokio::sync::watch::Receiver<Arc<Vec<Anchors>>>,
        clock: SharedClock,
    ) -> Result<Self> {
        anabranch_cluster::watch::describe_metrics();
        let fetcher = Fetcher::new(FetchConfig::default()).context("cannot make the client that watches playlists")?;
        let watches = Watches::new(desk.clone(), fetcher.clone(), clock);
        Ok(Self {
            publisher: Publisher::new(desk.clone(), fetcher, buckets),
            desk,
            node,
            watches,
            anchors,
            failing: None,
        })
    }

    /// Watches until `shutdown`.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let (mut defined, mut moved) = (self.desk.defined(), self.desk.moved());
        loop {
            defined.mark_unchanged();
            moved.mark_unchanged();
            let looked = self.look().await;
            self.note(looked);
            let pause = if self.watches.is_empty() { LOOK_IDLE } else { LOOK_AGAIN };
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = defined.changed() => {}
                _ = moved.changed() => {}
                () = self.watches.changed() => {}
                Ok(()) = self.anchors.changed() => {
                    self.desk.anchors_tell(&self.anchors.borrow_and_update());
                    continue;
                }
                () = tokio::time::sleep(pause) => continue,
            }
            tokio::time::sleep(BREATH).await;
        }
        self.watches.end().await;
    }

    async fn look(&mut self) -> Result<(), String> {
        let streams = self.desk.streams().await?;
        self.watches.follow(&streams).await?;
        for vote in vote::votes(&streams, &self.watches) {
            // A cluster that has just gone has no votes.
            let said = self.desk.report_vote(&vote.cluster, &vote.region, &self.node, vote.verdict);
            if let Err(error) = said
                && self.desk.openings(&vote.cluster).is_some()
            {
                return Err(format!("a vote is not heard: {error}"));
            }
        }
        self.publisher.follow(&streams).await
    }

    /// Logs a failure when it begins and when it is over.
    fn note(&mut self, looked: Result<(), String>) {
        match looked {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!("clusters are watched again");
                }
            }
            Err(error) => {
                if self.failing.as_ref() != Some(&error) {
                    tracing::error!(error, "clusters cannot be watched; it is tried again");
                }
                self.failing = Some(error);
            }
        }
    }
}
