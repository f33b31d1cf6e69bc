//! Clusters of this instance: their streams are watched in every region, the verdicts become votes, and merged playlists are published.
//!
//! ```text
//! regions ─playlists─► watch ─verdicts─► ClusterDesk (state, automat) ─openings─► publish ─objects─► store
//! ```

mod failing;
mod publish;
mod shelf;
mod vote;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anabranch_cluster::watch::{FetchConfig, Fetcher};
use anabranch_control::{ClusterDesk, Seen, VoteError};
use anabranch_model::{Anchors, Cluster, VerdictState};
use anabranch_net::{SharedClock, Shutdown};
use anabranch_store::Buckets;
use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use failing::Failing;
use publish::Publisher;
use watch::Watches;

/// Time between two looks; a vote is given with each.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The same while there is no cluster.
const LOOK_IDLE: Duration = Duration::from_secs(5);

/// Time between two times at which the API is told what was measured, while somebody asks for it and while nobody does.
const TELL_EVERY: Duration = Duration::from_millis(900);
const TELL_IDLE: Duration = Duration::from_secs(5);

/// Longest time in which watchers say what they have measured; the next time it is tried again.
const TELL_WITHIN: Duration = Duration::from_secs(2);

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
        Ok(Self { publisher: Publisher::new(desk.clone(), fetcher, buckets), desk, node, watches, anchors })
    }

    /// Watches until `shutdown`.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let Self { desk, node, watches, anchors, publisher } = self;
        let failing = Failing::new("clusters cannot be watched; it is tried again", "clusters are watched again");
        let looking = Looking { desk, node, watches, anchors, telling: JoinSet::new(), told: None, failing };
        tokio::join!(looking.run(shutdown.clone()), publisher.run(shutdown));
    }
}

/// The loop that watches and votes, which waits for no region.
struct Looking {
    desk: ClusterDesk,
    node: String,
    watches: Watches,
    anchors: tokio::sync::watch::Receiver<Arc<Vec<Anchors>>>,
    /// Tells what was measured; one at a time.
    telling: JoinSet<()>,
    told: Option<Instant>,
    failing: Failing,
}

impl Looking {
    async fn run(mut self, shutdown: Shutdown) {
        let (mut defined, mut moved) = (self.desk.defined(), self.desk.moved());
        loop {
            defined.mark_unchanged();
            moved.mark_unchanged();
            let looked = self.look().await;
            self.failing.note(looked);
            self.tell();
            let pause = if self.desk.definitions().is_empty() { LOOK_IDLE } else { LOOK_AGAIN };
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
        // What cannot be watched of one cluster, or is not heard there, is no reason to be silent in others.
        let mut done = self.watches.follow(&streams).await;
        let votes = vote::votes(&streams, &self.watches);
        self.watches.note_stale(votes.iter().any(|vote| vote.verdict.state == VerdictState::Stale));
        for vote in votes {
            let watcher = self.watcher(vote.here.as_deref());
            let said = self.desk.report_vote(&vote.cluster, &vote.region, &watcher, vote.verdict);
            done = done.and(self.heard(&vote.cluster, said));
        }
        // Who has nothing to watch says so, since silence is an alarm.
        let is_on_air = |cluster: &Cluster| streams.iter().any(|stream| stream.cluster.id == cluster.id);
        for cluster in self.desk.definitions().iter().filter(|cluster| !is_on_air(cluster)) {
            let said = self.desk.report_abstention(&cluster.name, &self.watcher(cluster.here.as_deref()));
            done = done.and(self.heard(&cluster.name, said));
        }
        done
    }

    /// Its name in votes: machines of different regions may have the same name.
    fn watcher(&self, here: Option<&str>) -> String {
        here.map_or_else(|| self.node.clone(), |here| format!("{here}/{}", self.node))
    }

    fn heard(&self, cluster: &str, said: Result<(), VoteError>) -> Result<(), String> {
        match said {
            // A cluster that has just gone has no votes.
            Err(error) if self.desk.openings(cluster).is_some() => {
                Err(format!("a vote on cluster {cluster} is not heard: {error}"))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Has the API told what was measured, when it is time.
    fn tell(&mut self) {
        while self.telling.try_join_next().is_some() {}
        let every = if self.desk.is_looked_at() { TELL_EVERY } else { TELL_IDLE };
        if !self.telling.is_empty() || self.told.is_some_and(|told| told.elapsed() < every) {
            return;
        }
        self.told = Some(Instant::now());
        let (desk, watches) = (self.desk.clone(), self.watches.all());
        self.telling.spawn(async move {
            let gathered = async {
                let mut seen = Vec::with_capacity(watches.len());
                for (cluster, stream, region, way, watch) in watches {
                    // One that has not begun yet has nothing to say.
                    let Some(report) = watch.report().await else { continue };
                    seen.push(Seen { cluster, stream, region, way, report });
                }
                seen
            };
            if let Ok(seen) = tokio::time::timeout(TELL_WITHIN, gathered).await {
                desk.tell_seen(seen);
            }
        });
    }
}
