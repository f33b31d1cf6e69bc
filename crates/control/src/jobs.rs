//! Jobs: claimed from rows, kept alive by a lease, done by whoever knows how, and tried again when they fail.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anabranch_db::{Claim, Error, JOB_WAIT_MAX_MS, JobRow};
use anabranch_model::{BreakoutId, JobEvent, JobId, RecordingId};
use anabranch_net::Shutdown;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::{App, chain};

/// How long a worker may be silent before its job is another's.
const LEASE: Duration = Duration::from_secs(30);

/// The same in milliseconds.
const LEASE_MS: i64 = 30_000;

/// Time between two renewals of a lease.
const BEAT: Duration = Duration::from_secs(2);

/// Time between two looks for jobs when nothing wakes the loop.
const LOOK: Duration = Duration::from_secs(2);

/// First time between two tries, in milliseconds; it doubles.
const BACKOFF_MS: i64 = 2_000;

/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 4_000;

/// What a worker is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Make one MP4 of a recording.
    Mp4 {
        /// Breakout.
        breakout: BreakoutId,
        /// Its session.
        session: u32,
    },
    /// Remove every object of a recording.
    RemoveRecording {
        /// Breakout.
        breakout: BreakoutId,
        /// Its session.
        session: u32,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes that were written.
    pub bytes: u64,
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// In words for the operator.
    pub reason: String,
    /// Whether another try could end otherwise.
    pub again: bool,
}

/// What work has to tell while it goes on.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU32>);

impl Progress {
    /// Thousandths done.
    pub fn set(&self, permille: u32) {
        self.0.store(permille.min(1000), Ordering::Relaxed);
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A future of an [`Executor`].
pub type Execution<'a> = Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send + 'a>>;

/// Whoever knows how to do the work. Work may come again after a crash: what is done already is done quickly.
pub trait Executor: Send + Sync {
    /// Does it, until `cancel`.
    fn execute(&self, work: Work, progress: Progress, cancel: CancellationToken) -> Execution<'_>;
}

/// The loop that gives jobs to an executor.
pub(crate) struct Jobs {
    app: Arc<App>,
    executor: Arc<dyn Executor>,
    /// Jobs under way, to be cancelled.
    running: Arc<Mutex<HashMap<JobId, CancellationToken>>>,
    worker: String,
    at_once: usize,
}

impl Jobs {
    pub(crate) fn new(app: Arc<App>, executor: Arc<dyn Executor>, worker: String, at_once: usize) -> Self {
        Self { app, executor, running: Arc::default(), worker, at_once: at_once.max(1) }
    }

    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut under_way = JoinSet::new();
        let mut failing = false;
        let began = Instant::now();
        loop {
            while under_way.try_join_next().is_some() {}
            while under_way.len() < self.at_once {
                match self.claim(began).await {
                    Ok(Some(job)) => {
                        failing = false;
                        under_way.spawn(self.attempt(job));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        if !self.app.health.met(&error) && !std::mem::replace(&mut failing, true) {
                            tracing::error!(error = chain(&error), "jobs cannot be claimed");
                        }
                        break;
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.app.jobs_wake.notified() => {}
                Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        // Work that is cut off begins again elsewhere once its lease is over.
        for cancel in self.running.lock().values() {
            cancel.cancel();
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn claim(&self, began: Instant) -> Result<Option<JobRow>, Error> {
        let held: Vec<JobId> = self.running.lock().keys().cloned().collect();
        let claim = Claim {
            kinds: &[anabranch_db::JOB_MP4, anabranch_db::JOB_REMOVE],
            worker: &self.worker,
            held: &held,
            // Clocks of two machines differ. Whoever acted before stops work of its own accord when it could not renew a lease
            // for as long as one lasts.
            others_end: !self.app.db.is_shared() || began.elapsed() >= LEASE,
            lease_ms: LEASE_MS,
        };
        self.app.db.job_claim(&claim, self.app.clock.now_ms()).await
    }

    fn attempt(&self, job: JobRow) -> impl Future<Output = ()> + Send + 'static {
        let (app, executor, running) = (self.app.clone(), self.executor.clone(), self.running.clone());
        // At once: the next claim must know of it.
        let cancel = CancellationToken::new();
        running.lock().insert(job.id.clone(), cancel.clone());
        async move {
            let ended = attempt(&app, &*executor, &job, &cancel).await;
            running.lock().remove(&job.id);
            if let Err(error) = ended
                && !app.health.met(&error)
            {
                // The lease ends, and the job is taken again.
                tracing::error!(job.id = %job.id, error = chain(&error), "the end of a job cannot be noted");
            }
            app.wake.notify_one();
        }
    }
}

async fn attempt(app: &App, executor: &dyn Executor, job: &JobRow, cancel: &CancellationToken) -> Result<(), Error> {
    tracing::info!(job.id = %job.id, job.kind = job.kind, job.subject = job.subject, attempt = job.attempts, "job begins");
    let progress = Progress::default();
    let outcome = match work_of(app, job).await? {
        Ok(work) => {
            let work = executor.execute(work, progress.clone(), cancel.clone());
            let beats = beats(app, job, &progress);
            tokio::pin!(work);
            tokio::select! {
                outcome = &mut work => Some(outcome),
                () = beats => {
                    // Another has the job, or it was cancelled: what was begun is taken back before the next begins.
                    cancel.cancel();
                    let _ = work.await;
                    None
                }
            }
        }
        Err(failure) => Some(Err(failure)),
    };
    match outcome {
        Some(outcome) if !(outcome.is_err() && cancel.is_cancelled()) => finish(app, job, outcome).await,
        _ => Ok(()),
    }
}

/// Renews the lease until the job is no longer this worker's.
async fn beats(app: &App, job: &JobRow, progress: &Progress) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(BEAT).await;
        let now = app.clock.now_ms();
        let asked = Instant::now();
        let beat = app.db.job_beat(job, progress.get(), now + LEASE_MS, now);
        // Nobody else can have a job of a file. One of a server that is away for long may be another's by now.
        let ends = if app.db.is_shared() { renewed + LEASE } else { asked + LEASE };
        match tokio::time::timeout_at(ends, beat).await {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false) | Err(Error::NotLeader)) => return,
            Ok(Err(error)) => {
                if !app.health.met(&error) {
                    tracing::warn!(job.id = %job.id, error = chain(&error), "the lease of a job cannot be renewed");
                }
            }
            Err(_) if app.db.is_shared() => {
                tracing::warn!(job.id = %job.id, "work stops: its lease could not be renewed for as long as it lasts");
                return;
            }
            Err(_) => {}
        }
    }
}

async fn work_of(app: &App, job: &JobRow) -> Result<Result<Work, Failure>, Error> {
    let unknown =
        |what: &str| Failure { reason: format!("the job is about something unknown: {what:?}"), again: false };
    if job.kind == anabranch_db::JOB_REMOVE {
        let parts = job.subject.split_once('/').and_then(|(b, s)| Some((b.parse().ok()?, s.parse().ok()?)));
        return Ok(parts
            .map(|(breakout, session)| Work::RemoveRecording { breakout, session })
            .ok_or_else(|| unknown(&job.subject)));
    }
    match app.db.recording_find(&job.subject).await {
        Ok(row) => Ok(Ok(Work::Mp4 { breakout: row.breakout, session: row.session })),
        Err(Error::NotFound { .. }) => {
            Ok(Err(Failure { reason: "the recording was deleted".to_owned(), again: false }))
        }
        Err(error) => Err(error),
    }
}

async fn finish(app: &App, job: &JobRow, outcome: Result<Done, Failure>) -> Result<(), Error> {
    let now = app.clock.now_ms();
    match outcome {
        Ok(done) => {
            if job.kind == anabranch_db::JOB_MP4
                && let Ok(recording) = job.subject.parse::<RecordingId>()
            {
                app.db.recording_mp4_done(&recording, done.bytes, now).await?;
            }
            app.db.job_end(job, JobEvent::Finish, None, now, now).await?;
            tracing::info!(job.id = %job.id, bytes = done.bytes, "job done");
        }
        Err(failure) => {
            let reason: String = failure.reason.chars().take(REASON_MAX).collect();
            let again = failure.again && job.attempts < job.attempts_max;
            let event = if again { JobEvent::Postpone } else { JobEvent::GiveUp };
            let next = now + backoff(job.attempts);
            app.db.job_end(job, event, Some(&reason), next, now).await?;
            tracing::warn!(job.id = %job.id, attempt = job.attempts, again, reason, "job failed");
        }
    }
    Ok(())
}

/// Milliseconds until the try after this one.
fn backoff(attempts: u32) -> i64 {
    BACKOFF_MS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(JOB_WAIT_MAX_MS)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use anabranch_db::{Db, NewJob};
    use anabranch_net::ManualClock;
    use tokio::sync::Semaphore;

    use super::*;

    const NOW_MS: i64 = 1_767_225_600_000;

    /// Works on each job until it is let go, and counts.
    struct Slow {
        begun: Mutex<Vec<u32>>,
        at_once: AtomicUsize,
        most: AtomicUsize,
        go: Semaphore,
    }

    impl Executor for Slow {
        fn execute(&self, work: Work, _progress: Progress, cancel: CancellationToken) -> Execution<'_> {
            Box::pin(async move {
                let Work::RemoveRecording { session, .. } = work else { panic!("no such work: {work:?}") };
                self.begun.lock().push(session);
                let same = self.begun.lock().iter().filter(|one| **one == session).count();
                self.most.fetch_max(same, Ordering::SeqCst);
                self.at_once.fetch_add(1, Ordering::SeqCst);
                tokio::select! {
                    permit = self.go.acquire() => permit.unwrap().forget(),
                    () = cancel.cancelled() => {}
                }
                Ok(Done::default())
            })
        }
    }

    async fn order(db: &Db, session: u32) -> JobRow {
        let subject = format!("{}/{session}", BreakoutId::random());
        let arguments = String::new();
        let new = NewJob { kind: anabranch_db::JOB_REMOVE, subject, arguments, priority: 0, attempts_max: 5 };
        db.job_create(&new, NOW_MS).await.unwrap()
    }

    #[tokio::test]
    async fn a_clock_that_jumps_has_no_job_done_twice() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("db.sqlite")).await.unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let (app, _) = crate::app::start(crate::local::tests::config(), db.clone(), clock.clone()).await.unwrap();
        let app = Arc::new(app);
        let slow = Arc::new(Slow {
            begun: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            go: Semaphore::new(0),
        });
        let shutdown = Shutdown::new();
        let jobs = tokio::spawn(Jobs::new(app.clone(), slow.clone(), "w".into(), 4).run(shutdown.clone()));
        let begun = async |wanted: usize| {
            let begun = async {
                while slow.begun.lock().len() < wanted {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(LEASE, begun).await.expect("a job begins");
        };
        let first = order(&db, 1).await;
        app.jobs_wake.notify_one();
        begun(1).await;
        // That the second and third are claimed shows that the loop has looked since.
        for (session, now_ms) in [(2, NOW_MS + 365 * 24 * 3_600_000), (3, NOW_MS - 3_600_000)] {
            clock.set_ms(now_ms);
            order(&db, session).await;
            app.jobs_wake.notify_one();
            begun(session as usize).await;
        }
        assert_eq!((slow.most.load(Ordering::SeqCst), slow.at_once.load(Ordering::SeqCst)), (1, 3));
        slow.go.add_permits(3);
        let done = async {
            while db.job_find(first.id.as_str()).await.unwrap().ended_at.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LEASE, done).await.expect("the job is done");
        let first = db.job_find(first.id.as_str()).await.unwrap();
        assert_eq!((first.attempts, first.state.as_str()), (1, "COMPLETED"));
        shutdown.cancel();
        jobs.await.unwrap();
        db.close().await;
    }

    #[test]
    fn tries_come_further_and_further_apart() {
        assert_eq!([1, 2, 3].map(backoff), [2_000, 4_000, 8_000]);
        assert_eq!([20, 1_000_000].map(backoff), [JOB_WAIT_MAX_MS; 2]);
    }
}
