//! The loop that makes wishes and facts meet. It takes no orders: a signal means 'look again'.

mod audience;
mod backoff;
mod crash;
mod facts;
#[cfg(test)]
mod faults;
mod invalidate;
mod note;
mod operate;
mod outcome;
pub(crate) mod places;
mod realize;
mod steps;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use anabranch_db::Marks;
use anabranch_model::{BreakoutSpec, DistributionId, PackagingState, Report, Snapshot};
use anabranch_net::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::App;
use crate::assemble::{Assembler, OfClusters};
use crate::chain::chain;
use audience::Audiences;

pub(crate) use crash::points;
pub(crate) use note::note;
pub(crate) use operate::Engine;
pub(crate) use sweep::{Round, Swept, check, run as run_sweeps, sweep};

/// Longest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Time between two writings of traffic counters.
const TRAFFIC_WRITE: Duration = Duration::from_secs(5);

/// Shortest time between two looks that only reports ask for, so that a stream of them does not become a stream of queries.
const BREATH: Duration = Duration::from_millis(100);

/// Longest time for which a snapshot is trusted to be as its version says; time alone changes some of its contents.
const RECHECK: Duration = Duration::from_millis(500);

/// Time between two looks at what of the log and of viewers need not be kept.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Batches of each deleted in one look.
const PRUNES_PER_LOOK: usize = 10;

/// Reports taken before the next look, so that a flood of them does not keep the loop from looking.
const REPORTS_PER_LOOK: usize = 1024;

/// When reports get their look.
struct Pace {
    looked_at: Instant,
    /// There are reports, and this is their time.
    due: Option<Instant>,
}

impl Pace {
    fn reported(&mut self) {
        self.due.get_or_insert(self.looked_at + BREATH);
    }

    /// Ends when a look is due for the sake of reports; never when there are none.
    async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn looked(&mut self) {
        *self = Self { looked_at: Instant::now(), due: None };
    }
}

/// A moment at which a snapshot was compared with the rows.
struct Compared {
    at: Instant,
    /// The clock's time, by which breakouts were readable or not.
    now_ms: i64,
    /// What had been changed by then, or a little before.
    marks: Marks,
}

impl Compared {
    async fn begin(app: &App) -> Result<Self, anabranch_db::Error> {
        Ok(Self { at: Instant::now(), now_ms: app.clock.now_ms(), marks: app.db.marks().await? })
    }
}

/// The loop, ready to run.
pub(crate) struct Reconciler {
    app: Arc<App>,
    /// What the data plane says; taken by the loop.
    reports: Option<mpsc::Receiver<Report>>,
    assembler: Assembler,
    /// What clusters have added to the published snapshot.
    of_clusters: OfClusters,
    audiences: Audiences,
    /// The moment at which the published snapshot was last known to be as the rows.
    compared: Compared,
    /// As of when what is only in memory was held against the rows.
    forgotten: Marks,
    traffic_written_at: Instant,
    pruned_at: Instant,
    active: facts::Active,
    /// The failure that was logged last, so that a lasting one makes one line.
    failing: Option<String>,
}

impl Reconciler {
    pub(crate) async fn build(
        app: Arc<App>,
        reports: mpsc::Receiver<Report>,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), anabranch_db::Error> {
        let mut assembler = Assembler::default();
        if !app.clusters.ids().is_empty() {
            // What was closed when the version of the rows was published is not known: nodes are told again.
            app.db.snapshot_bump().await?;
        }
        let compared = Compared::begin(&app).await?;
        if let Err(error) = app.find_merged().await {
            tracing::warn!(error = chain(&error), "distributions of clusters cannot be looked up");
        }
        let (closed, asked) = (app.clusters.closed(compared.now_ms), app.clusters.asked());
        let leads_to = app.clusters.merged_lead_to();
        let of_clusters = OfClusters { asked, closed, seconds: Vec::new(), leads_to };
        let mut first = assembler.snapshot(app.db.snapshot(compared.now_ms).await?, of_clusters.clone());
        align(&app, &mut first.breakouts).await?;
        app.nodes.snapshots.send_replace(Arc::new(first));
        let receiver = app.nodes.snapshots.subscribe();
        let now = Instant::now();
        let reconciler = Self {
            app,
            reports: Some(reports),
            assembler,
            of_clusters,
            audiences: Audiences::default(),
            compared,
            forgotten: Marks::default(),
            traffic_written_at: now,
            pruned_at: now,
            active: facts::Active::default(),
            failing: None,
        };
        Ok((reconciler, receiver))
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut timer = tokio::time::interval(LOOK_AGAIN);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Some(mut reports) = self.reports.take() else { return };
        // When every node is gone the timer alone goes on.
        let mut listening = true;
        let mut pace = Pace { looked_at: Instant::now(), due: None };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                report = reports.recv(), if listening => {
                    match report {
                        Some(report) => self.take(report, &mut reports),
                        None => listening = false,
                    }
                    pace.reported();
                    continue;
                }
                () = pace.due() => {}
                () = self.app.wake.notified() => {}
                _ = timer.tick() => {}
            }
            let (looked, heard) = self.look_and_listen(&mut reports).await;
            self.note(looked);
            // What it has written is news for readers of the log.
            self.app.log_wake.notify_one();
            pace.looked();
            if heard {
                pace.reported();
            }
        }
        while let Ok(report) = reports.try_recv() {
            self.app.observed.take(report);
        }
        let written = self.write_last().await;
        self.note(written);
    }

    fn take(&self, report: Report, reports: &mut mpsc::Receiver<Report>) {
        self.app.observed.take(report);
        for _ in 1..REPORTS_PER_LOOK {
            let Ok(report) = reports.try_recv() else { return };
            self.app.observed.take(report);
        }
    }

    /// A look, and whether there were reports meanwhile: the data plane must not wait for a database that is slow.
    async fn look_and_listen(
        &mut self,
        reports: &mut mpsc::Receiver<Report>,
    ) -> (Result<(), anabranch_db::Error>, bool) {
        let app = self.app.clone();
        let mut heard = false;
        let look = self.look();
        tokio::pin!(look);
        loop {
            tokio::select! {
                biased;
                looked = &mut look => return (looked, heard),
                Some(report) = reports.recv() => {
                    app.observed.take(report);
                    heard = true;
                }
            }
        }
    }

    /// What is only in memory. A database that fails is asked once, not for every part.
    async fn write_last(&mut self) -> Result<(), anabranch_db::Error> {
        self.write_traffic().await?;
        facts::write(&self.app, &mut self.active, &mut self.audiences).await?;
        self.app.nodes_close().await?;
        self.app.tokens_write().await
    }

    /// One pass over everything. Repeating it changes nothing.
    async fn look(&mut self) -> Result<(), anabranch_db::Error> {
        if !self.app.db.is_leader() {
            // Another controller publishes and confirms now.
            return Ok(());
        }
        self.publish().await?;
        self.write_packaging().await?;
        self.app.nodes_look().await?;
        facts::write(&self.app, &mut self.active, &mut self.audiences).await?;
        self.app.tokens_follow().await?;
        self.audiences.close(&self.app).await?;
        // What was reported may be what an operation waits for.
        self.app.drive.notify_one();
        if self.traffic_written_at.elapsed() >= TRAFFIC_WRITE {
            self.write_traffic().await?;
            self.app.tokens_write().await?;
            self.traffic_written_at = Instant::now();
            let marks = self.app.db.marks().await?;
            if self.app.observed.entries() > 0 && marks != self.forgotten {
                self.app.observed.forget(&self.app.db.live_ids().await?);
                self.forgotten = marks;
            }
        }
        if self.pruned_at.elapsed() >= PRUNE_EVERY {
            self.prune_log().await?;
            self.forget_viewers().await?;
            self.pruned_at = Instant::now();
        }
        Ok(())
    }

    async fn prune_log(&self) -> Result<(), anabranch_db::Error> {
        let retention = self.app.config.events.retention();
        for _ in 0..PRUNES_PER_LOOK {
            if self.app.db.log_prune(&retention, self.app.clock.now_ms()).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn forget_viewers(&self) -> Result<(), anabranch_db::Error> {
        let keep_ms = i64::try_from(self.app.config.viewers_keep.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.app.clock.now_ms().saturating_sub(keep_ms);
        for _ in 0..PRUNES_PER_LOOK {
            if self.app.db.viewers_forget(before_ms).await? == 0 {
                break;
            }
        }
        for _ in 0..PRUNES_PER_LOOK {
            if !self.app.db.stays_forget(before_ms).await? {
                break;
            }
        }
        Ok(())
    }

    async fn of_clusters(&self, now_ms: i64) -> OfClusters {
        let closed = self.app.clusters.closed(now_ms);
        let seconds = match self.app.second_origins().await {
            Ok(seconds) => seconds,
            // Without a key nothing is signed, and the own copies stand alone.
            Err(error) => {
                tracing::debug!(error = chain(&error), "copies of peers cannot be asked for");
                self.of_clusters.seconds.clone()
            }
        };
        let (asked, leads_to) = (self.app.clusters.asked(), self.app.clusters.merged_lead_to());
        OfClusters { asked, closed, seconds, leads_to }
    }

    async fn publish(&mut self) -> Result<(), anabranch_db::Error> {
        let published = self.app.nodes.snapshots.borrow().clone();
        let now = Compared::begin(&self.app).await?;
        let of_clusters = self.of_clusters(now.now_ms).await;
        if now.marks.snapshot == published.version && of_clusters != self.of_clusters {
            // Which regions are open is no row that nodes are told of; time alone may have changed it.
            self.app.db.snapshot_bump().await?;
        } else if now.marks.snapshot == published.version {
            if self.compared.at.elapsed() < RECHECK {
                return Ok(());
            }
            if self.is_as_before(&now, &published).await? {
                self.compared = now;
                return Ok(());
            }
            self.app.db.snapshot_bump().await?;
        }
        let known = |id: &DistributionId, version: u64| self.assembler.knows(id, version);
        let rows = self.app.db.snapshot_beyond(now.now_ms, known).await?;
        let mut newest = self.assembler.snapshot(rows, of_clusters.clone());
        align(&self.app, &mut newest.breakouts).await?;
        if newest.version == published.version {
            return Ok(());
        }
        self.compared = now;
        self.of_clusters = of_clusters;
        tracing::debug!(snapshot.version = newest.version, "snapshot published");
        self.app.nodes.snapshots.send_replace(Arc::new(newest));
        Ok(())
    }

    /// Whether the rows say what was published, though its version is the newest: time alone makes a completed breakout
    /// unreadable, and a wish may change what is readable. At rest no row is looked at.
    async fn is_as_before(&self, now: &Compared, published: &Snapshot) -> Result<bool, anabranch_db::Error> {
        let before = &self.compared;
        if before.marks.wish == now.marks.wish && !self.app.db.snapshot_expires(before.now_ms, now.now_ms).await? {
            return Ok(true);
        }
        let mut breakouts = self.app.db.snapshot_breakouts(now.now_ms).await?;
        align(&self.app, &mut breakouts).await?;
        Ok(breakouts == published.breakouts)
    }

    async fn write_packaging(&self) -> Result<(), anabranch_db::Error> {
        let mut unwritten = self.app.observed.unwritten().into_iter();
        while let Some((breakout, state)) = unwritten.next() {
            let problem = match &state {
                PackagingState::Blocked { reason } => Some(reason.as_str()),
                PackagingState::Waiting | PackagingState::Live | PackagingState::Ended => None,
            };
            if let Err(error) = self.app.db.breakout_problem(&breakout, problem, self.app.clock.now_ms()).await {
                self.app.observed.write_again(&breakout);
                unwritten.for_each(|(breakout, _)| self.app.observed.write_again(&breakout));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_traffic(&self) -> Result<(), anabranch_db::Error> {
        let (app, now_ms) = (&self.app, self.app.clock.now_ms());
        let place = &app.config.place;
        let pending = app.observed.traffic_pending();
        if !pending.is_empty() {
            app.db.traffic_add(&pending, place, now_ms).await?;
            app.observed.traffic_written(&pending);
        }
        let quality = app.observed.take_quality();
        if !quality.is_empty() {
            app.db.quality_add(&quality, now_ms).await?;
        }
        self.write_counted().await
    }

    /// Files of the journal of this process's edge, each once: rows and the file's number are written together.
    async fn write_counted(&self) -> Result<(), anabranch_db::Error> {
        let (app, now_ms) = (&self.app, self.app.clock.now_ms());
        while let Some(counted) = app.observed.counted_pending() {
            if !(counted.traffic.is_empty() && counted.quality.is_empty()) {
                let both = (&counted.traffic[..], &counted.quality[..]);
                let place = &app.config.place;
                app.db.batch_take(&app.own_edge, &counted.journal, counted.generation, both, place, now_ms).await?;
            }
            app.observed.counted_written(&counted);
            app.counted.send_replace(counted.generation);
        }
        Ok(())
    }

    /// Logs a failure when it begins and when it is over.
    fn note(&mut self, result: Result<(), anabranch_db::Error>) {
        match result {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!("reconciling works again");
                }
            }
            // Told once for all who meet it.
            Err(error) if self.app.health.met(&error) => {}
            Err(error) => {
                let text = chain(&error);
                if self.failing.as_ref() != Some(&text) {
                    tracing::error!(error = text, "reconciling failed; it is tried again");
                }
                self.failing = Some(text);
            }
        }
    }
}

/// Says of breakouts that are streams of clusters how they are packaged like those of other regions.
async fn align(app: &App, breakouts: &mut [BreakoutSpec]) -> Result<(), anabranch_db::Error> {
    if app.clusters.ids().is_empty() {
        return Ok(());
    }
    let streams = app.db.cluster_streams().await?;
    for breakout in breakouts {
        let cluster = streams.get(&breakout.id);
        breakout.aligned = cluster.and_then(|cluster| app.clusters.aligned(cluster, &breakout.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_of_reports_gets_ten_looks_a_second() {
        let mut pace = Pace { looked_at: Instant::now(), due: None };
        assert!(tokio::time::timeout(BREATH * 10, pace.due()).await.is_err(), "no report, no look");
        let began = Instant::now();
        let mut looks = 0;
        for _ in 0..300 {
            pace.reported();
            if tokio::time::timeout(Duration::from_millis(1), pace.due()).await.is_ok() {
                looks += 1;
                pace.looked();
            }
        }
        let most = began.elapsed().as_millis() / BREATH.as_millis() + 1;
        assert!((1..=most).contains(&looks), "{looks} of {most}");
    }
}
