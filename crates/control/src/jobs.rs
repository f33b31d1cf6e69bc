//! Jobs: claimed from rows, kept alive by a lease, done by whoever knows how, and tried again when they fail.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anabranch_db::{Error, JobRow};
use anabranch_model::{BreakoutId, JobEvent, JobId, RecordingId};
use anabranch_net::Shutdown;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, chain};

/// How long a worker may be silent before its job is another's, in milliseconds.
const LEASE_MS: i64 = 30_000;

/// Time between two renewals of a lease.
const BEAT: Duration = Duration::from_secs(2);

/// Time between two looks for jobs when nothing wakes the loop.
const LOOK: Duration = Duration::from_secs(2);

/// First time between two tries, in milliseconds; it doubles.
const BACKOFF_MS: i64 = 2_000;

/// Longest time between two tries, in milliseconds.
const BACKOFF_MAX_MS: i64 = 10 * 60_000;

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
        loop {
            while under_way.try_join_next().is_some() {}
            while under_way.len() < self.at_once {
                match self.claim().await {
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

    async fn claim(&self) -> Result<Option<JobRow>, Error> {
        let now = self.app.clock.now_ms();
        let kinds = [anabranch_db::JOB_MP4, anabranch_db::JOB_REMOVE];
        self.app.db.job_claim(&kinds, &self.worker, now + LEASE_MS, now).await
    }

    fn attempt(&self, job: JobRow) -> impl Future<Output = ()> + Send + 'static {
        let (app, executor, running) = (self.app.clone(), self.executor.clone(), self.running.clone());
        async move {
            let cancel = CancellationToken::new();
            running.lock().insert(job.id.clone(), cancel.clone());
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
    loop {
        tokio::time::sleep(BEAT).await;
        let now = app.clock.now_ms();
        let worker = job.worker.as_deref().unwrap_or_default();
        match app.db.job_beat(&job.id, worker, progress.get(), now + LEASE_MS, now).await {
            Ok(true) => {}
            Ok(false) => return,
            // A database that is away for a moment costs no work; one that is away for long costs the lease.
            Err(error) => {
                tracing::warn!(job.id = %job.id, error = chain(&error), "the lease of a job cannot be renewed");
            }
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
    BACKOFF_MS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(BACKOFF_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_further_and_further_apart() {
        assert_eq!([1, 2, 3].map(backoff), [2_000, 4_000, 8_000]);
        assert_eq!([20, 1_000_000].map(backoff), [BACKOFF_MAX_MS; 2]);
    }
}
