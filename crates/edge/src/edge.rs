//! The edge as a running thing: threads, listeners, the snapshot in force, reports.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anabranch_model::{Report, Snapshot};
use anabranch_net::{SharedClock, Shutdown};
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::accept::accept;
use crate::access_log::AccessLog;
use crate::attendance::{Attendance, STAYS_EVERY_MS};
use crate::authorise::Memo;
use crate::cache::{Cache, CacheConfig};
use crate::config::Config;
use crate::doors::{Door, Listening};
use crate::error::Error;
use crate::flight::Flights;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::request::Scheme;
use crate::strikes::Strikes;
use crate::table::Table;
use crate::tls::TlsFront;
use crate::upstream::Trust;
use crate::worker::{Shared, Worker};

/// Time after the drain deadline in which a thread's tasks are dropped.
const DROP_TASKS: Duration = Duration::from_millis(500);

/// Time between two looks at the sizes of the cache.
const GAUGES_INTERVAL: Duration = Duration::from_secs(5);

/// Time between two reports of new viewer sessions.
const NEW_VIEWERS_INTERVAL: Duration = Duration::from_millis(500);

/// Every how many of those everybody is reported: every 2 seconds.
const VIEWERS_EVERY: u32 = 4;

/// Port of HTTPS where no other is known.
const HTTPS_PORT: u16 = 443;

/// An edge that listens and does not answer yet.
#[derive(Debug)]
pub struct Edge {
    shared: Arc<Shared>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    reports: mpsc::Sender<Report>,
    listening: Listening,
}

impl Edge {
    /// Listens on every address of `config` and compiles the present snapshot. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn bind(
        config: Config,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        reports: mpsc::Sender<Report>,
        clock: SharedClock,
    ) -> Result<Self, Error> {
        let mut listening = Listening::new(config.workers.max(1));
        for address in &config.listen {
            listening.listen(*address, Scheme::Http)?;
        }
        let tls = match &config.tls {
            Some(tls) => {
                for address in &tls.listen {
                    listening.listen(*address, Scheme::Https)?;
                }
                for address in &tls.http3 {
                    listening.listen_http3(*address)?;
                }
                Some(TlsFront::new(tls.certificates.clone())?)
            }
            None => None,
        };
        if listening.is_empty() {
            return Err(Error::NoAddress);
        }
        let mut config = config;
        if config.https_port == 0 {
            config.https_port = listening.secure().map_or(HTTPS_PORT, |address| address.port());
        }
        let tiers = CacheConfig { memory_bytes: config.cache_bytes, disk: config.disk.clone() };
        let access_log = config.access_log.as_ref().map(|log| AccessLog::open(log, config.place(), clock.clone()));
        let shared = Shared {
            access_log: access_log.transpose()?.map(Arc::new),
            clock,
            table: ArcSwap::default(),
            closings: Notify::new(),
            cache: Cache::open(&tiers).map_err(Error::Cache)?,
            flights: Flights::default(),
            strikes: Strikes::new(),
            memo: Memo::new(),
            attendance: Attendance::new(),
            metrics: Arc::new(Metrics::new()),
            ledger: Arc::new(Ledger::new(config.journal.clone())),
            connections: Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS))),
            tls,
            alt_svc: listening.http3().map(|address| alt_svc(address.port())),
            trust: Trust::load(&config)?,
            config,
        };
        Ok(Self { shared: Arc::new(shared), snapshot, reports, listening })
    }

    /// The first address that is listened on, without TLS if there is such a one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listening.first()
    }

    /// The first address that is listened on with TLS.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.listening.secure()
    }

    /// The first address that is listened on for HTTP/3.
    #[must_use]
    pub fn http3_addr(&self) -> Option<SocketAddr> {
        self.listening.http3()
    }

    /// Serves until `shutdown`, then drains: idle connections close at once, answers under way have until the deadline. New
    /// snapshots are applied as they come and reported; traffic is reported every 5 seconds, who watches every 2 and new sessions
    /// within one, and all of it once more at the end.
    ///
    /// # Errors
    /// A thread cannot be started. Those that run already are stopped.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self { shared, mut snapshot, reports, listening } = self;
        let mut applied = apply(&shared, &mut snapshot);
        let books = shared.ledger.start(reports.clone(), shared.clock.clone()).map_err(Error::Prepare)?;
        let stop = shutdown.child_token();
        let mut threads = Vec::new();
        for (index, of_worker) in listening.into_workers().enumerate() {
            match start(index, Worker::new(shared.clone()), of_worker, stop.clone()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    stop.cancel();
                    join(threads).await;
                    return Err(Error::Prepare(error));
                }
            }
        }
        let following =
            shared.config.tls.as_ref().map(|tls| tokio::spawn(tls.certificates.clone().follow(stop.clone())));
        let mut tick = interval(GAUGES_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut roll = Roll::new();
        loop {
            let told = reports.reserve();
            tokio::select! {
                () = shutdown.cancelled() => break,
                permit = told, if applied.is_some() => {
                    if let (Ok(permit), Some(version)) = (permit, applied) {
                        permit.send(Report::Applied { role: "edge".to_owned(), node: shared.config.node.clone(), version });
                    }
                    applied = None;
                }
                changed = snapshot.changed() => {
                    if changed.is_err() {
                        // Nobody makes snapshots any more: the last one stays in force.
                        if let Some(version) = applied {
                            let node = shared.config.node.clone();
                            let _ = reports.try_send(Report::Applied { role: "edge".to_owned(), node, version });
                        }
                        serve_on(&shared, &reports, &shutdown).await;
                        break;
                    }
                    applied = apply(&shared, &mut snapshot);
                }
                _ = tick.tick() => gauges(&shared),
                () = roll.due() => roll.call(&shared, &reports),
            }
        }
        join(threads).await;
        if let Some(following) = following {
            // It ends with the shutdown.
            let _ = following.await;
        }
        gauges(&shared);
        shared.ledger.stop();
        if tokio::task::spawn_blocking(|| books.join()).await.is_err() {
            tracing::error!("the thread that keeps the books panicked");
        }
        // As if it were later, so that everything is told.
        shared.attendance.report(&reports, shared.clock.now_ms().saturating_add(STAYS_EVERY_MS));
        if let Some(log) = &shared.access_log {
            log.stop().await;
        }
        Ok(())
    }
}

/// The field line that sends viewers to HTTP/3 for a day (RFC 7838).
fn alt_svc(port: u16) -> String {
    format!("alt-svc: h3=\":{port}\"; ma=86400\r\n")
}

/// Compiles the newest snapshot and puts it in force; returns its version.
fn apply(shared: &Shared, snapshot: &mut watch::Receiver<Arc<Snapshot>>) -> Option<u64> {
    let newest = snapshot.borrow_and_update().clone();
    let table = Table::compile(&newest, &shared.config, &shared.table.load());
    shared.ledger.follow(table.cells());
    shared.metrics.unshielded.follow(&newest, &shared.config);
    shared.table.store(Arc::new(table));
    if !newest.closed.is_empty() {
        shared.closings.notify_waiters();
    }
    tracing::info!(
        snapshot.version = newest.version,
        distributions = newest.distributions.len(),
        closed = newest.closed.len(),
        "edge applied a snapshot"
    );
    Some(newest.version)
}

fn gauges(shared: &Shared) {
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
    {
        shared.metrics.cache_bytes.set(shared.cache.bytes() as f64);
        shared.metrics.cache_objects.set(shared.cache.objects() as f64);
        shared.metrics.disk_bytes.set(shared.cache.disk_bytes() as f64);
        shared.metrics.disk_objects.set(shared.cache.disk_objects() as f64);
    }
}

async fn serve_on(shared: &Shared, reports: &mpsc::Sender<Report>, shutdown: &Shutdown) {
    let mut tick = interval(GAUGES_INTERVAL);
    let mut roll = Roll::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => gauges(shared),
            () = roll.due() => roll.call(shared, reports),
        }
    }
}

/// When it is reported who watches.
struct Roll {
    tick: Interval,
    calls: u32,
}

impl Roll {
    fn new() -> Self {
        let mut tick = interval(NEW_VIEWERS_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, calls: 0 }
    }

    async fn due(&mut self) {
        self.tick.tick().await;
    }

    fn call(&mut self, shared: &Shared, reports: &mpsc::Sender<Report>) {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(VIEWERS_EVERY) {
            shared.attendance.report(reports, shared.clock.now_ms());
        } else {
            shared.attendance.report_new(reports);
        }
    }
}

/// A serving thread and the end that it tells of.
struct Running {
    thread: thread::JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

fn start(index: usize, worker: Arc<Worker>, doors: Vec<Door>, stop: Shutdown) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (end, ended) = oneshot::channel::<()>();
    let thread = thread::Builder::new().name(format!("edge-{index}")).spawn(move || {
        runtime.block_on(work(worker, doors, stop));
        runtime.shutdown_timeout(DROP_TASKS);
        drop(end);
    })?;
    Ok(Running { thread, ended })
}

async fn join(threads: Vec<Running>) {
    for Running { thread, ended } in threads {
        // Nothing is ever sent; the channel closes with the thread's work.
        let _ = ended.await;
        if thread.join().is_err() {
            tracing::error!("a serving thread panicked");
        }
    }
}

async fn work(worker: Arc<Worker>, doors: Vec<Door>, stop: Shutdown) {
    let mut accepting = tokio::task::JoinSet::new();
    for door in doors {
        match door {
            Door::Tcp(scheme, listener) => match TcpListener::from_std(listener) {
                Ok(listener) => drop(accepting.spawn(accept(worker.clone(), listener, scheme, stop.clone()))),
                Err(error) => tracing::error!(%error, "a listener cannot be used"),
            },
            #[cfg(feature = "http3")]
            Door::Udp(socket) => drop(accepting.spawn(crate::h3::accept(worker.clone(), socket, stop.clone()))),
        }
    }
    stop.cancelled().await;
    accepting.join_all().await;
    worker.tasks().close();
    if tokio::time::timeout(worker.config().drain_timeout, worker.tasks().wait()).await.is_err() {
        tracing::warn!(open = worker.tasks().len(), "connections are cut at the end of the drain");
    }
}
