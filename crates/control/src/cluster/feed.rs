//! A cluster as a stream of events (WHATWG HTML, section "Server-sent events"): what it is like each second, and at once when something
//! has changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::app::App;

/// Time between two events.
const EVERY: Duration = Duration::from_secs(1);

/// Shortest time between two events, whatever changes.
const BREATH: Duration = Duration::from_millis(200);

/// Time for a reader to make room; a slower one is cut.
const PATIENCE: Duration = Duration::from_secs(10);

/// One stream.
pub(crate) struct ClusterFeed {
    app: Arc<App>,
    /// Id of the cluster.
    wanted: String,
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    _permit: OwnedSemaphorePermit,
}

impl ClusterFeed {
    pub(crate) fn new(app: Arc<App>, wanted: String, pipe: DuplexStream, permit: OwnedSemaphorePermit) -> Self {
        let (reader, writer) = tokio::io::split(pipe);
        Self { app, wanted, reader, writer, _permit: permit }
    }

    /// Sends until somebody ends it.
    pub(crate) async fn run(mut self) {
        metrics::gauge!("anabranch_control_event_streams").increment(1);
        let reason = self.send().await;
        metrics::gauge!("anabranch_control_event_streams").decrement(1);
        metrics::counter!("anabranch_control_event_streams_ended_total", "reason" => reason).increment(1);
        tracing::debug!(reason, cluster.id = self.wanted, "an event stream of a cluster has ended");
    }

    async fn send(&mut self) -> &'static str {
        let mut moved = self.app.clusters.moved.subscribe();
        if let Err(reason) = self.write("retry: 2000\n\n").await {
            return reason;
        }
        loop {
            moved.mark_unchanged();
            let Ok(shown) = self.app.cluster_show(&self.wanted) else {
                let gone = self.write("event: gone\ndata: {}\n\n").await;
                return gone.err().unwrap_or("deleted");
            };
            // JSON has no line ends of its own.
            let Ok(data) = serde_json::to_string(&shown) else { return "unread" };
            let next = Instant::now() + EVERY;
            if let Err(reason) = self.write(&format!("id: {}\nevent: cluster\ndata: {data}\n\n", shown.version)).await {
                return reason;
            }
            let app = self.app.clone();
            let pause = async {
                tokio::time::sleep(BREATH).await;
                tokio::select! {
                    _ = moved.changed() => {}
                    () = tokio::time::sleep_until(next) => {}
                }
            };
            tokio::select! {
                () = app.nodes.stopping.cancelled() => return "stopping",
                // Nobody writes on the other side: what ends there is the reader's interest.
                _ = self.reader.read_u8() => return "gone",
                () = pause => {}
            }
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), &'static str> {
        tokio::select! {
            written = tokio::time::timeout(PATIENCE, self.writer.write_all(text.as_bytes())) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err("gone"),
                Err(_) => Err("slow"),
            },
            () = self.app.nodes.stopping.cancelled() => Err("stopping"),
        }
    }
}
