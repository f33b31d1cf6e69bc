//! The listener and its accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_model::{Report, Snapshot};
use anabranch_net::{BindError, Reuse, Shutdown, bind};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::allow::Unreadable;
use crate::config::Config;
use crate::connection::serve;
use crate::registry::Registry;
use crate::session::IngestSession;
use crate::shared::Shared;

/// Pause after an accept error such as too many open files, so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How often a report that found no room is tried again.
const REPORT_RETRY: Duration = Duration::from_secs(1);

/// Time for connections to end after shutdown begins.
const DRAIN: Duration = Duration::from_secs(4);

/// An RTMP server that is bound and not yet accepting.
#[derive(Debug)]
pub struct Ingest {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    sessions: mpsc::Sender<IngestSession>,
    reports: mpsc::Sender<Report>,
}

impl Ingest {
    /// Binds the listener. Publishes are matched against the newest `snapshot`; accepted ones go into `sessions`.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(
        config: Config,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        sessions: mpsc::Sender<IngestSession>,
        reports: mpsc::Sender<Report>,
    ) -> Result<Self, BindError> {
        let listener = bind(config.listen, Reuse::Exclusive)?;
        // A listener that was just bound has an address; were it not so, the asked one is the best answer.
        let address = listener.local_addr().unwrap_or(config.listen);
        describe_metrics();
        Ok(Self { listener, address, config, snapshot, sessions, reports })
    }

    /// Where encoders connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves encoders until `shutdown`, then tells them to come back, and returns once all have gone or
    /// a few seconds have passed.
    pub async fn run(self, shutdown: Shutdown) {
        let Self { listener, address, config, mut snapshot, sessions, reports } = self;
        tracing::info!(%address, "rtmp ingest listens");
        snapshot.mark_changed();
        let begun = Report::Begun { role: "ingest".to_owned(), node: config.node.clone() };
        tokio::select! {
            () = shutdown.cancelled() => return,
            // No report may come before this one. A reader that is gone is nobody to tell.
            _ = reports.send(begun) => {}
        }
        let shared = Arc::new(Shared {
            config,
            snapshot: snapshot.clone(),
            sessions,
            reports,
            registry: Registry::new(),
            refusals: Arc::default(),
            shutdown: shutdown.clone(),
        });
        let mut connections = Connections { shared, tasks: JoinSet::new(), accepted: 0, room: Room::Free };
        let mut retry = tokio::time::interval(REPORT_RETRY);
        let (mut informed, mut unsaid, mut unreadable) = (true, None, Unreadable::default());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                (stream, remote) = accept(&listener) => connections.begin(stream, remote),
                Some(ended) = connections.tasks.join_next(), if !connections.tasks.is_empty() => log_panic(ended),
                changed = snapshot.changed(), if informed => {
                    informed = changed.is_ok();
                    let snapshot = snapshot.borrow_and_update().clone();
                    unreadable.log(&snapshot);
                    unsaid = connections.say_applied(snapshot.version);
                }
                _ = retry.tick() => {
                    unsaid = unsaid.and_then(|version| connections.say_applied(version));
                    connections.shared.refusals.settle(tokio::time::Instant::now(), &connections.shared.reports);
                }
            }
        }
        drop(listener);
        connections.drain().await;
    }
}

/// Whether the limit of connections is reached; for one log line per change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Free,
    Full,
}

/// Connections that are being served.
struct Connections {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    accepted: u64,
    room: Room,
}

impl Connections {
    fn begin(&mut self, stream: TcpStream, remote: SocketAddr) {
        while let Some(ended) = self.tasks.try_join_next() {
            log_panic(ended);
        }
        let limit = self.shared.config.max_connections;
        if self.tasks.len() >= limit {
            metrics::counter!("anabranch_ingest_refused_total", "reason" => "connections").increment(1);
            if std::mem::replace(&mut self.room, Room::Full) == Room::Free {
                tracing::warn!(%remote, limit, "connections are refused: the limit is reached");
            }
            return;
        }
        self.room = Room::Free;
        self.accepted += 1;
        self.tasks.spawn(serve(self.shared.clone(), stream, remote, self.accepted));
    }

    /// Reports the snapshot version that publishes are matched against; gives it back when there is no room.
    fn say_applied(&self, version: u64) -> Option<u64> {
        let node = self.shared.config.node.clone();
        let report = Report::Applied { role: "ingest".to_owned(), node, version };
        match self.shared.reports.try_send(report) {
            Err(mpsc::error::TrySendError::Full(_)) => Some(version),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    async fn drain(mut self) {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "rtmp connections did not end in time");
        }
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Without it small answers wait for acknowledgements; failing to set it only costs latency.
                let _ = stream.set_nodelay(true);
                return (stream, remote);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("anabranch_ingest_errors_total", "kind" => "panic").increment(1);
        tracing::error!(%error, "rtmp connection panicked");
    }
}

fn describe_metrics() {
    metrics::describe_gauge!("anabranch_ingest_sessions", "encoders that publish now");
    metrics::describe_counter!("anabranch_ingest_received_bytes_total", "bytes received from publishing encoders");
    metrics::describe_counter!("anabranch_ingest_refused_total", "encoders refused, by reason");
    metrics::describe_counter!("anabranch_ingest_errors_total", "connections ended by an error, by kind");
}
