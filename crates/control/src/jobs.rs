//! The worker's side of jobs: asks a desk for them, keeps them alive by a lease, and has them done by whoever knows how.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anabranch_db::{JOB_ASSET, JOB_CAPTIONS, JOB_INTAKE, JOB_MP4, JOB_REMOVE, JOB_REMOVE_ASSET};
use anabranch_model::{
    AssetReport, Claimed, Done, Failure, InstanceId, JobBeat, JobClaim, JobEnd, JobId, JobOutcome, LeftWork, Work,
};
use anabranch_net::Shutdown;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Kinds of jobs that take seconds or minutes.
pub(crate) const LIGHT: [&str; 5] = [JOB_MP4, JOB_REMOVE, JOB_INTAKE, JOB_CAPTIONS, JOB_REMOVE_ASSET];

/// Kinds of jobs that take the machine for hours.
pub(crate) const HEAVY: [&str; 1] = [JOB_ASSET];

/// Time between two renewals of a lease.
const BEAT: Duration = Duration::from_secs(2);

/// Time between two looks for jobs when nothing wakes the loop.
const LOOK: Duration = Duration::from_secs(2);

/// Time between two looks for unfinished work that is of no use any more.
const TIDY: Duration = Duration::from_secs(10 * 60);

/// Time between two tries to tell how a job ended.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// Tries to tell how a job ended; then its lease ends, and it is done again by another.
const TELL_TRIES: u32 = 10;

/// What work has to tell while it goes on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    permille: AtomicU32,
    report: Mutex<Option<AssetReport>>,
    news: Notify,
}

impl Progress {
    /// Thousandths done.
    pub fn set(&self, permille: u32) {
        self.0.permille.store(permille.min(1000), Ordering::Relaxed);
    }

    /// What there is of the asset now; told at once.
    pub fn report(&self, report: AssetReport) {
        *self.0.report.lock() = Some(report);
        self.0.news.notify_one();
    }

    /// Takes back what could not be told, unless there is news.
    fn keep(&self, report: Option<AssetReport>) {
        let mut kept = self.0.report.lock();
        if kept.is_none() {
            *kept = report;
        }
    }

    fn get(&self) -> u32 {
        self.0.permille.load(Ordering::Relaxed)
    }
}

/// A future of an [`Executor`] or a [`Desk`].
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever knows how to do the work. Work may come again after a crash: what is done already is done quickly.
pub trait Executor: Send + Sync {
    /// Does it, until `cancel`.
    fn execute(&self, work: Work, progress: Progress, cancel: CancellationToken) -> Task<'_, Result<Done, Failure>>;

    /// What lies here of assets that were not finished here.
    fn left(&self) -> Task<'_, Vec<LeftWork>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Removes such work: nobody goes on with it.
    fn forget(&self, _unwanted: Vec<LeftWork>) -> Task<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Why a desk cannot be asked now.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct DeskError {
    text: String,
    /// Whether it was said already.
    said: bool,
}

impl DeskError {
    /// For this reason.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), said: false }
    }

    /// For a reason that somebody has said already.
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), said: true }
    }
}

/// Where jobs are kept: the database of this process, or a control plane elsewhere.
pub trait Desk: Send + Sync {
    /// A job that is due, if there is one.
    fn claim(&self, claim: JobClaim) -> Task<'_, Result<Option<Claimed>, DeskError>>;
    /// Renews a lease; false when the job is no longer this worker's.
    fn beat(&self, beat: JobBeat) -> Task<'_, Result<bool, DeskError>>;
    /// Tells how a try ended.
    fn end(&self, end: JobEnd) -> Task<'_, Result<(), DeskError>>;
    /// Which of this unfinished work is of no use any more.
    fn unwanted(&self, left: Vec<LeftWork>) -> Task<'_, Result<Vec<LeftWork>, DeskError>>;
    /// How long a lease lasts that others may take over; none when nobody else gives out these jobs.
    fn lease(&self) -> Option<Duration>;
    /// Returns when there may be a new job; never returning is allowed.
    fn news(&self) -> Task<'_, ()>;
}

/// Jobs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtOnce {
    /// Those that take seconds or minutes.
    pub light: usize,
    /// Those that take the machine for hours.
    pub heavy: usize,
}

/// The loop that gives jobs of a desk to an executor.
pub struct Jobs {
    desk: Arc<dyn Desk>,
    executor: Arc<dyn Executor>,
    /// Jobs under way, to be cancelled.
    running: Arc<Mutex<HashMap<JobId, CancellationToken>>>,
    who: JobClaim,
    at_once: usize,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Jobs {
    /// So many jobs at once are done in the name of `who`.
    #[must_use]
    pub fn new(desk: Arc<dyn Desk>, executor: Arc<dyn Executor>, who: JobClaim, at_once: usize) -> Self {
        Self { desk, executor, running: Arc::default(), who, at_once }
    }

    /// A loop of jobs that take seconds or minutes, and one of jobs that take the machine for hours, of which so many are done at once.
    #[must_use]
    pub fn pair(desk: &Arc<dyn Desk>, executor: &Arc<dyn Executor>, node: &str, at_once: AtOnce) -> [Self; 2] {
        let instance = InstanceId::random();
        let of = |kinds: &[&str], at_once| {
            let who = JobClaim {
                node: node.to_owned(),
                instance: instance.to_string(),
                kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
            };
            Self::new(desk.clone(), executor.clone(), who, at_once)
        };
        [of(&LIGHT, at_once.light), of(&HEAVY, at_once.heavy)]
    }

    /// Runs until `shutdown`; work that is cut off then begins again elsewhere.
    pub async fn run(self, shutdown: Shutdown) {
        let mut under_way = JoinSet::new();
        let mut failing = false;
        let makes_assets = self.who.kinds.iter().any(|kind| HEAVY.contains(&kind.as_str()));
        let mut tidy_at = Instant::now();
        loop {
            if makes_assets && tidy_at <= Instant::now() {
                self.tidy().await;
                tidy_at = Instant::now() + TIDY;
            }
            while under_way.try_join_next().is_some() {}
            while under_way.len() < self.at_once {
                match self.desk.claim(self.who.clone()).await {
                    Ok(Some(job)) => {
                        failing = false;
                        under_way.spawn(self.attempt(job));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        if !error.said && !std::mem::replace(&mut failing, true) {
                            tracing::error!(%error, "jobs cannot be claimed");
                        }
                        break;
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.desk.news() => {}
                Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
                () = sleep(LOOK) => {}
            }
        }
        for cancel in self.running.lock().values() {
            cancel.cancel();
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Removes unfinished work that another worker has finished, or of an asset that was deleted.
    async fn tidy(&self) {
        let left = self.executor.left().await;
        if left.is_empty() {
            return;
        }
        match self.desk.unwanted(left).await {
            Ok(unwanted) if unwanted.is_empty() => {}
            Ok(unwanted) => self.executor.forget(unwanted).await,
            Err(error) if error.said => {}
            Err(error) => tracing::warn!(%error, "it cannot be asked which unfinished work is of no use any more"),
        }
    }

    fn attempt(&self, job: Claimed) -> impl Future<Output = ()> + Send + 'static {
        let (desk, executor, running) = (self.desk.clone(), self.executor.clone(), self.running.clone());
        let worker = self.who.worker();
        let cancel = CancellationToken::new();
        running.lock().insert(job.id.clone(), cancel.clone());
        async move {
            attempt(&*desk, &*executor, &job, &worker, &cancel).await;
            running.lock().remove(&job.id);
        }
    }
}

async fn attempt(desk: &dyn Desk, executor: &dyn Executor, job: &Claimed, worker: &str, cancel: &CancellationToken) {
    tracing::info!(job.id = %job.id, job.work = ?job.work, attempt = job.attempt, "job begins");
    let progress = Progress::default();
    let work = executor.execute(job.work.clone(), progress.clone(), cancel.clone());
    let beats = beats(desk, job, worker, &progress);
    tokio::pin!(work);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        () = beats => {
            // Another has the job, or it was cancelled: what was begun is taken back before the next begins.
            cancel.cancel();
            let _ = work.await;
            return;
        }
    };
    let outcome = match outcome {
        Ok(done) => JobOutcome::Done(Box::new(done)),
        // It was cut off, and did not fail: another begins again.
        Err(_) if cancel.is_cancelled() => return,
        Err(failure) => {
            let (again, no_room) = (failure.again, failure.no_room);
            tracing::warn!(job.id = %job.id, attempt = job.attempt, again, no_room, reason = failure.reason, "job failed");
            JobOutcome::Failed(failure)
        }
    };
    tell(desk, JobEnd { id: job.id.clone(), worker: worker.to_owned(), attempt: job.attempt, outcome }).await;
}

/// Tells how a try ended, again when that fails.
async fn tell(desk: &dyn Desk, end: JobEnd) {
    for tries in 1..=TELL_TRIES {
        match desk.end(end.clone()).await {
            Ok(()) => return,
            Err(error) if error.said => {}
            Err(error) => tracing::error!(job.id = %end.id, %error, tries, "the end of a job cannot be told"),
        }
        sleep(TELL_AGAIN).await;
    }
}

/// Renews the lease until the job is no longer this worker's.
async fn beats(desk: &dyn Desk, job: &Claimed, worker: &str, progress: &Progress) {
    let mut renewed = Instant::now();
    loop {
        let _ = timeout(BEAT, progress.0.news.notified()).await;
        let report = progress.0.report.lock().take();
        let beat = JobBeat {
            id: job.id.clone(),
            worker: worker.to_owned(),
            attempt: job.attempt,
            progress: progress.get(),
            report: report.clone(),
        };
        let asked = Instant::now();
        // A desk that is away for a moment costs no work; what could not be renewed for as long as a lease lasts may be another's by now.
        let ends = desk.lease().map(|lease| renewed + lease);
        let answer = match ends {
            Some(ends) => timeout_at(ends, desk.beat(beat)).await,
            None => Ok(desk.beat(beat).await),
        };
        match answer {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false)) => return,
            Err(_) => {
                tracing::warn!(job.id = %job.id, "work stops: its lease could not be renewed for as long as it lasts");
                return;
            }
            Ok(Err(error)) => {
                if !error.said {
                    tracing::warn!(job.id = %job.id, %error, "the lease of a job cannot be renewed");
                }
                progress.keep(report);
            }
        }
    }
}
