//! The desk of jobs: gives them to workers, and settles what came of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_db::{
    ArrivalRow, CaptionRow, Claim, Error as DbError, JOB_ASSET, JOB_CAPTIONS, JOB_INTAKE, JOB_MP4, JOB_REMOVE,
    JOB_REMOVE_ASSET, JOB_WAIT_MAX_MS, JobRow,
};
use anabranch_model::{
    AssetId, AssetState, AssetWork, CaptionTrack, CaptionsWork, Claimed, Done, Failure, JOB_LEFT_MAX, JobBeat,
    JobClaim, JobEnd, JobEvent, JobId, JobOutcome, JobState, LeftWork, RecordingId, Work,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{App, Error};
use crate::chain::chain;
use crate::jobs::{Desk, DeskError, HEAVY, LIGHT, Task};

/// How long a worker may be silent before its job is another's.
pub const LEASE: Duration = Duration::from_secs(30);

/// The same in milliseconds.
const LEASE_MS: i64 = 30_000;

/// First time between two tries, in milliseconds; it doubles.
const BACKOFF_MS: i64 = 2_000;

/// First time between two tries of a job for which there is no room on a disk, in milliseconds; it doubles.
const NO_ROOM_MS: i64 = 5_000;

/// The longest, in milliseconds: so long a job may rest after somebody has made room.
const NO_ROOM_MAX_MS: i64 = 120_000;

/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 4_000;

impl App {
    /// Gives a job that is due to a worker.
    pub(crate) async fn job_claim(&self, claim: &JobClaim) -> Result<Option<Claimed>, Error> {
        let known = LIGHT.into_iter().chain(HEAVY);
        let kinds: Vec<&str> = known.filter(|kind| claim.kinds.iter().any(|wanted| wanted == kind)).collect();
        loop {
            let now = self.clock.now_ms();
            let (worker, held) = (claim.worker(), self.heard.held());
            let wanted = Claim {
                kinds: &kinds,
                worker: &worker,
                held: &held,
                // Clocks of two machines differ. Whoever acted before stops work of its own accord when it could not renew a lease
                // for as long as one lasts.
                others_end: self.heard.has_listened() || !self.db.is_shared(),
                lease_ms: LEASE_MS,
            };
            let Some(job) = self.db.job_claim(&wanted, now).await? else { return Ok(None) };
            self.heard.of(&job.id);
            self.log_wake.notify_one();
            match self.work_of(&job).await? {
                Ok(Some(work)) => return Ok(Some(Claimed { id: job.id, attempt: job.attempts, work })),
                Ok(None) => self.db.job_end(&job, JobEvent::Finish, None, now, now).await.map(drop)?,
                Err(failure) => self.job_failed(&job, &failure).await?,
            }
        }
    }

    /// Renews a lease, and keeps what is told of an asset; false when the job is no longer this worker's.
    pub(crate) async fn job_beat(&self, beat: &JobBeat) -> Result<bool, Error> {
        let now = self.clock.now_ms();
        let job = self.db.job_find(beat.id.as_str()).await?;
        if job.worker.as_deref() != Some(&beat.worker) || job.attempts != beat.attempt {
            return Ok(false);
        }
        let own = self.db.job_beat(&job, beat.progress.min(1000), now + LEASE_MS, now).await?;
        if own {
            self.heard.of(&job.id);
        }
        if let Some(report) = beat.report.as_ref().filter(|_| own)
            && let Ok(asset) = job.subject.parse::<AssetId>()
        {
            self.db.asset_report(&asset, report, now).await?;
            self.changed();
        }
        Ok(own)
    }

    /// Settles how a try ended. What a worker tells of a job that is no longer its own is passed over.
    pub(crate) async fn job_end(&self, end: &JobEnd) -> Result<(), Error> {
        let job = self.db.job_find(end.id.as_str()).await?;
        if job.worker.as_deref() != Some(&end.worker) || job.attempts != end.attempt {
            return Ok(());
        }
        match &end.outcome {
            JobOutcome::Failed(failure) => self.job_failed(&job, failure).await?,
            JobOutcome::Done(done) => match self.job_done(&job, done).await? {
                Ok(()) => {
                    let now = self.clock.now_ms();
                    self.db.job_end(&job, JobEvent::Finish, None, now, now).await?;
                    tracing::info!(job.id = %job.id, bytes = done.bytes, "job done");
                }
                Err(failure) => self.job_failed(&job, &failure).await?,
            },
        }
        self.jobs_wake.notify_one();
        self.changed();
        Ok(())
    }

    /// Which of this unfinished work nobody will go on with: all of the asset is made, or made anew, or it was deleted.
    pub(crate) async fn work_unwanted(&self, left: Vec<LeftWork>) -> Result<Vec<LeftWork>, Error> {
        let mut unwanted = Vec::new();
        for work in left.into_iter().take(JOB_LEFT_MAX) {
            let row = gone(self.db.asset_find(work.asset.as_str()).await)?;
            if row.is_none_or(|row| row.generation != work.generation || row.state == AssetState::Ready) {
                unwanted.push(work);
            }
        }
        Ok(unwanted)
    }

    /// What a job comes to; nothing when there is no need of it any more.
    async fn work_of(&self, job: &JobRow) -> Result<Result<Option<Work>, Failure>, Error> {
        let unknown = || Failure::last(format!("the job is about something unknown: {:?}", job.subject));
        let found = match job.kind.as_str() {
            JOB_REMOVE => {
                let parts = job.subject.split_once('/').and_then(|(b, s)| Some((b.parse().ok()?, s.parse().ok()?)));
                parts.map(|(breakout, session)| Work::RemoveRecording { breakout, session })
            }
            // The same file has arrived again: what is made of it now is not to be removed.
            JOB_REMOVE_ASSET if gone(self.db.asset_find(&job.subject).await)?.is_some() => return Ok(Ok(None)),
            JOB_REMOVE_ASSET => job.subject.parse().ok().map(|asset| Work::RemoveAsset { asset }),
            JOB_INTAKE => {
                job.subject.split_once('/').map(|(bucket, key)| Work::Intake { bucket: bucket.into(), key: key.into() })
            }
            JOB_CAPTIONS => match gone(self.db.asset_find(&job.subject).await)? {
                // One that is being made gets them at its end.
                Some(row) if row.state == AssetState::Ready => Some(Work::Captions(self.captions_work(row.id).await?)),
                _ => return Ok(Ok(None)),
            },
            JOB_ASSET if self.is_running(JOB_CAPTIONS, &job.subject).await? => {
                return Ok(Err(Failure::passing("captions that were added before are still being published")));
            }
            JOB_ASSET if self.is_running(JOB_REMOVE_ASSET, &job.subject).await? => {
                return Ok(Err(Failure::passing("what was made of the same file before is still being removed")));
            }
            JOB_ASSET => match gone(self.db.asset_find(&job.subject).await)? {
                Some(row) => Some(Work::Asset(AssetWork {
                    asset: row.id,
                    bucket: row.bucket,
                    key: row.key,
                    preset: row.preset,
                    generation: row.generation,
                })),
                None => return Ok(Err(deleted("asset"))),
            },
            _ => match gone(self.db.recording_find(&job.subject).await)? {
                Some(row) => Some(Work::Mp4 { breakout: row.breakout, session: row.session }),
                None => return Ok(Err(deleted("recording"))),
            },
        };
        Ok(found.map(Some).ok_or_else(unknown))
    }

    async fn is_running(&self, kind: &str, asset: &str) -> Result<bool, Error> {
        let jobs = self.db.jobs_about(kind, &[asset]).await?;
        Ok(jobs.get(asset).is_some_and(|job| job.state == JobState::Running))
    }

    async fn captions_work(&self, asset: AssetId) -> Result<CaptionsWork, Error> {
        let rows = self.db.captions(asset.as_str()).await?;
        let track = |row: CaptionRow| CaptionTrack {
            mark: row.mark,
            language: row.language,
            label: row.label,
            preferred: row.preferred,
            forced: row.forced,
        };
        Ok(CaptionsWork { asset, tracks: rows.into_iter().map(track).collect() })
    }

    /// Whether somebody may still be making an asset that was deleted meanwhile.
    async fn was_cut_off(&self, asset: &str, now_ms: i64) -> Result<bool, Error> {
        for kind in [JOB_ASSET, JOB_CAPTIONS] {
            let making = self.db.jobs_about(kind, &[asset]).await?;
            let cancelled = making.get(asset).filter(|job| job.state == JobState::Cancelled && job.attempts > 0);
            let since = cancelled.and_then(|job| job.ended_at).map(|ended| now_ms.saturating_sub(ended));
            if since.is_some_and(|since| (0..=LEASE_MS).contains(&since)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What follows of work that is done; a failure when it came to nothing after all.
    async fn job_done(&self, job: &JobRow, done: &Done) -> Result<Result<(), Failure>, Error> {
        let now = self.clock.now_ms();
        match job.kind.as_str() {
            JOB_MP4 => {
                if let Ok(recording) = job.subject.parse::<RecordingId>() {
                    self.db.recording_mp4_done(&recording, done.bytes, now).await?;
                }
            }
            JOB_ASSET => {
                if let (Ok(asset), Some(report)) = (job.subject.parse::<AssetId>(), &done.report) {
                    self.db.asset_report(&asset, report, now).await?;
                    self.asset_purge(&asset).await?;
                }
            }
            JOB_CAPTIONS => return self.captions_published(job, done).await,
            JOB_REMOVE_ASSET => {
                if let Ok(asset) = job.subject.parse::<AssetId>() {
                    self.asset_purge(&asset).await?;
                }
                if self.was_cut_off(&job.subject, now).await? {
                    let reason = "a worker that was at it may not have heard of it at once: removed again";
                    return Ok(Err(Failure::passing(reason)));
                }
            }
            JOB_INTAKE => return self.recognise(job, done).await,
            _ => {}
        }
        Ok(Ok(()))
    }

    /// Viewers are shown other captions from now on.
    async fn captions_published(&self, job: &JobRow, done: &Done) -> Result<Result<(), Failure>, Error> {
        let (Ok(asset), Some(marks)) = (job.subject.parse::<AssetId>(), &done.captions) else { return Ok(Ok(())) };
        let shown = done.report.clone().unwrap_or_default().made.captions;
        let is_all = self.db.captions_published(&asset, marks, shown, self.clock.now_ms()).await?;
        self.asset_purge(&asset).await?;
        Ok(if is_all { Ok(()) } else { Err(Failure::passing("captions were added or removed meanwhile")) })
    }

    /// A file that has arrived is an asset by its bytes.
    async fn recognise(&self, job: &JobRow, done: &Done) -> Result<Result<(), Failure>, Error> {
        let Some(seen) = self.arrival_of(job).await? else { return Ok(Ok(())) };
        let Some(sha256) = &done.sha256 else {
            return Ok(Err(Failure::passing("the worker did not say what it has read")));
        };
        if let Some(reason) = seen.preset.as_deref().and_then(|preset| self.unknown_preset(preset)) {
            return Ok(Err(Failure::last(reason)));
        }
        let known = self.db.arrival_recognised(&seen, &AssetId::of(sha256), self.clock.now_ms()).await?;
        let Some(known) = known else {
            return Ok(Err(Failure::passing("the file was replaced while it was read")));
        };
        tracing::info!(asset.id = %known.asset.id, bucket = seen.bucket, key = seen.key, new = known.is_new, "file recognised");
        self.side_cars_of(&seen, &known.asset.id).await?;
        if let Some(removed) = &known.removed {
            self.asset_purge(&removed.id).await?;
            self.jobs_wake.notify_one();
        }
        Ok(Ok(()))
    }

    async fn arrival_of(&self, job: &JobRow) -> Result<Option<ArrivalRow>, Error> {
        let Some((bucket, key)) = job.subject.split_once('/') else { return Ok(None) };
        Ok(self.db.arrival_find(bucket, key).await?)
    }

    async fn job_failed(&self, job: &JobRow, failure: &Failure) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let reason: String = failure.reason.chars().take(REASON_MAX).collect();
        if failure.no_room {
            self.db.job_wait(job, &reason, now + pause(job.waits), now).await?;
            return Ok(());
        }
        let again = failure.again && job.spent() < job.attempts_max;
        let event = if again { JobEvent::Postpone } else { JobEvent::GiveUp };
        if !again
            && job.kind == JOB_INTAKE
            && let Some(seen) = self.arrival_of(job).await?
        {
            self.db.arrival_failed(&seen, &reason, now).await?;
        }
        self.db.job_end(job, event, Some(&reason), now + backoff(job.spent()), now).await?;
        Ok(())
    }
}

/// When workers were heard of last, by a clock that does not jump.
#[derive(Debug)]
pub(crate) struct Heard {
    began: Instant,
    last: Mutex<HashMap<JobId, Instant>>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { began: Instant::now(), last: Mutex::default() }
    }
}

impl Heard {
    fn of(&self, job: &JobId) {
        self.last.lock().insert(job.clone(), Instant::now());
    }

    /// Jobs whose workers are alive: their leases have not ended, whatever the clock says.
    fn held(&self) -> Vec<JobId> {
        let mut last = self.last.lock();
        last.retain(|_, at| at.elapsed() < LEASE);
        last.keys().cloned().collect()
    }

    /// Whether every worker that is alive has had the time to say so.
    fn has_listened(&self) -> bool {
        self.began.elapsed() >= LEASE
    }
}

/// The desk of this process.
pub(crate) struct OwnDesk(pub(crate) Arc<App>);

impl Desk for OwnDesk {
    fn claim(&self, claim: JobClaim) -> Task<'_, Result<Option<Claimed>, DeskError>> {
        Box::pin(async move { self.0.job_claim(&claim).await.map_err(|error| self.away(&error)) })
    }

    fn beat(&self, beat: JobBeat) -> Task<'_, Result<bool, DeskError>> {
        Box::pin(async move {
            match self.0.job_beat(&beat).await {
                Err(Error::Db(DbError::NotLeader)) => Ok(false),
                renewed => renewed.map_err(|error| self.away(&error)),
            }
        })
    }

    fn end(&self, end: JobEnd) -> Task<'_, Result<(), DeskError>> {
        Box::pin(async move { self.0.job_end(&end).await.map_err(|error| self.away(&error)) })
    }

    fn unwanted(&self, left: Vec<LeftWork>) -> Task<'_, Result<Vec<LeftWork>, DeskError>> {
        Box::pin(async move { self.0.work_unwanted(left).await.map_err(|error| self.away(&error)) })
    }

    fn lease(&self) -> Option<Duration> {
        // Nobody else gives out the jobs of a file.
        self.0.db.is_shared().then_some(LEASE)
    }

    fn news(&self) -> Task<'_, ()> {
        Box::pin(async move {
            self.0.jobs_wake.notified().await;
            // There are two loops, and one is told.
            self.0.jobs_wake.notify_waiters();
        })
    }
}

impl OwnDesk {
    fn away(&self, error: &Error) -> DeskError {
        match error {
            Error::Db(db) if self.0.health.met(db) => DeskError::said(chain(error)),
            _ => DeskError::new(chain(error)),
        }
    }
}

fn deleted(what: &str) -> Failure {
    Failure::last(format!("the {what} was deleted"))
}

fn gone<T>(found: Result<T, DbError>) -> Result<Option<T>, DbError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(DbError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Milliseconds until the try after this one.
fn backoff(attempts: u32) -> i64 {
    BACKOFF_MS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(JOB_WAIT_MAX_MS)
}

/// Milliseconds until a job that found no room so many times before is tried again.
fn pause(waits: u32) -> i64 {
    NO_ROOM_MS.saturating_mul(1 << waits.min(20)).min(NO_ROOM_MAX_MS)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anabranch_db::{Db, NewJob};
    use anabranch_model::BreakoutId;
    use anabranch_net::{ManualClock, Shutdown};
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::jobs::{Executor, Jobs, Progress};

    const NOW_MS: i64 = 1_767_225_600_000;

    /// Works on each job until it is let go, and counts.
    struct Slow {
        begun: Mutex<Vec<u32>>,
        at_once: AtomicUsize,
        most: AtomicUsize,
        go: Semaphore,
    }

    impl Executor for Slow {
        fn execute(
            &self,
            work: Work,
            _progress: Progress,
            cancel: CancellationToken,
        ) -> Task<'_, Result<Done, Failure>> {
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
        let new = NewJob { kind: JOB_REMOVE, subject, arguments, priority: 0, attempts_max: 5 };
        db.job_create(&new, NOW_MS).await.unwrap()
    }

    #[tokio::test]
    async fn a_clock_that_jumps_has_no_job_done_twice() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("db.sqlite")).await.unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let (app, _) = crate::app::start(
            crate::local::tests::config(),
            crate::local::tests::media(dir.path()),
            db.clone(),
            clock.clone(),
        )
        .await
        .unwrap();
        let app = Arc::new(app);
        let slow = Arc::new(Slow {
            begun: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            go: Semaphore::new(0),
        });
        let shutdown = Shutdown::new();
        let desk = Arc::new(OwnDesk(app.clone()));
        let who = JobClaim { node: "w".into(), instance: "1".into(), kinds: vec![JOB_REMOVE.into()] };
        let jobs = tokio::spawn(Jobs::new(desk, slow.clone(), who, 4).run(shutdown.clone()));
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
        assert_eq!([0, 1, 5, u32::MAX].map(pause), [5_000, 10_000, NO_ROOM_MAX_MS, NO_ROOM_MAX_MS]);
    }
}
