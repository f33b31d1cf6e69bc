//! The snapshot: pulled from the control plane, put in force, kept on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_model::{Briefing, Snapshot};
use anabranch_net::Shutdown;
use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use super::known::Known;
use super::relay::place;
use super::uplink::{Backoff, Uplink};
use crate::node::disk::write_atomically;

/// An answer without news that comes sooner than this was not held: the next request has to wait.
const HELD_LEAST: Duration = Duration::from_secs(1);

/// The snapshot that an earlier life of this node has kept. One that cannot be read is as good as none.
pub(super) fn kept(path: &Path) -> Option<Briefing> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "the kept snapshot cannot be read");
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::error!(%error, path = %path.display(), "the kept file is no snapshot"))
        .ok()
}

/// `host:port` of the origin room, if the control plane says it.
pub(super) fn room(briefing: &Briefing, uplink: &Uplink) -> Option<String> {
    briefing.origin.as_deref().and_then(|told| place(told, uplink.host()))
}

/// The first snapshot of a node that has none; nothing when it is stopped before.
pub(super) async fn first(uplink: &Uplink, shutdown: &Shutdown) -> Option<Briefing> {
    tracing::info!("no snapshot is kept here: waiting for the control plane before viewers are served");
    let mut backoff = Backoff::default();
    loop {
        let pause = tokio::select! {
            () = shutdown.cancelled() => return None,
            answer = uplink.snapshot(None) => match answer {
                Ok(Some(briefing)) => return Some(briefing),
                Ok(None) => backoff.pause(),
                Err(error) => backoff.failed("no snapshot comes from the control plane", &error),
            },
        };
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = sleep(pause) => {}
        }
    }
}

/// Follows the control plane.
pub(super) struct Pull {
    uplink: Arc<Uplink>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// Told where the origin room is.
    room: watch::Sender<Option<String>>,
    /// Version that the edge has put in force last.
    applied: watch::Receiver<u64>,
    path: PathBuf,
    /// What is in force, and whether the disk has it.
    current: Briefing,
    kept: bool,
}

impl Pull {
    pub(super) fn new(
        uplink: Arc<Uplink>,
        snapshots: watch::Sender<Arc<Snapshot>>,
        room: watch::Sender<Option<String>>,
        applied: watch::Receiver<u64>,
        path: PathBuf,
        (current, kept): (Briefing, bool),
    ) -> Self {
        Self { uplink, snapshots, room, applied, path, current, kept }
    }

    /// Runs until `shutdown`. May be dropped at any time.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow() => {}
        }
        metrics::gauge!("anabranch_node_control_connected").set(0.0);
    }

    async fn follow(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            if self.in_force().await.is_err() {
                // The edge has ended, and with it this process.
                return std::future::pending().await;
            }
            let known = Known::of(&self.current);
            let asked = Instant::now();
            let pause = match self.uplink.snapshot(Some(&known)).await {
                Ok(answer) => {
                    backoff.succeeded("the control plane answers");
                    metrics::gauge!("anabranch_node_control_connected").set(1.0);
                    let news = answer.is_some_and(|briefing| self.take(&known, briefing));
                    (!news && asked.elapsed() < HELD_LEAST).then(|| backoff.pause())
                }
                Err(error) => {
                    metrics::gauge!("anabranch_node_control_connected").set(0.0);
                    Some(
                        backoff
                            .failed("the control plane cannot be followed; this node serves on as it was told", &error),
                    )
                }
            };
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
    }

    /// Hands a briefing to the edge, if it is to be followed.
    fn take(&mut self, known: &Known, briefing: Briefing) -> bool {
        if !known.yields_to(&briefing) {
            tracing::warn!(
                snapshot.version = briefing.snapshot.version,
                known.version,
                "an older snapshot is passed over"
            );
            return false;
        }
        if known.plane != briefing.plane {
            tracing::warn!(
                plane.id = %briefing.plane, known.plane = %known.plane,
                "another control plane answers, or its database was made anew: it is followed from now on"
            );
        }
        self.room.send_replace(room(&briefing, &self.uplink));
        self.snapshots.send_replace(Arc::new(briefing.snapshot.clone()));
        self.current = briefing;
        self.kept = false;
        true
    }

    /// Waits until the edge acts by the current snapshot, then keeps it: one that cannot be served by is never kept.
    async fn in_force(&mut self) -> Result<(), watch::error::RecvError> {
        let version = self.current.snapshot.version;
        self.applied.wait_for(|applied| *applied == version).await?;
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
        metrics::gauge!("anabranch_node_snapshot_version").set(version as f64);
        if !self.kept {
            self.kept = true;
            if let Err(error) = tokio::task::block_in_place(|| keep(&self.path, &self.current)) {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the snapshot cannot be kept; a restart would serve by the one before"
                );
            }
        }
        Ok(())
    }
}

fn keep(path: &Path, briefing: &Briefing) -> Result<()> {
    write_atomically(path, &serde_json::to_vec(briefing)?).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use anabranch_model::PlaneId;

    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_ruins_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot.json");
        assert_eq!(kept(&path), None);
        let snapshot = Snapshot { version: 7, ..Snapshot::default() };
        let one = Briefing { plane: PlaneId::random(), origin: Some("a:1".to_owned()), snapshot };
        keep(&path, &one).unwrap();
        assert_eq!(kept(&path), Some(one));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(kept(&path), None);
    }
}
