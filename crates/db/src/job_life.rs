//! The life of jobs: a worker takes one, keeps it alive by a lease, and finishes it or loses it to another.

use anabranch_model::{AssetEvent, AssetState, JobEvent, JobId, JobState};

use crate::job::{JOB_ASSET, JobRow, about, find, read};
use crate::sql::{self, Conn};
use crate::{Db, Error, NewEntry, asset, caption, log};

/// Longest time from a failed try of a job to the next, in milliseconds. One that is further away was set before the clock was
/// set back, and is due.
pub const JOB_WAIT_MAX_MS: i64 = 10 * 60_000;

/// Who asks for a job, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Kinds that it can do.
    pub kinds: &'a [&'a str],
    /// Its name.
    pub worker: &'a str,
    /// Jobs that it has under way: they are its own, whatever the clock says of their leases.
    pub held: &'a [JobId],
    /// Whether leases of others end by the clock. Otherwise they do not end.
    pub others_end: bool,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: i64,
}

impl Db {
    /// Gives the most urgent job that is due, or whose worker has died, to whoever claims. A time that is further away than any
    /// lease or pause lasts is one of before the clock was set back, and over. A worker is `<node>/<instance>`: another instance of the
    /// node that claims has died, whatever its lease says.
    ///
    /// # Errors
    /// The query fails.
    pub async fn job_claim(&self, claim: &Claim<'_>, now_ms: i64) -> Result<Option<JobRow>, Error> {
        let node = claim.worker.find('/').map_or("", |slash| &claim.worker[..=slash]);
        let mut tx = self.begin().await?;
        let due = sql::query(
            "SELECT * FROM jobs
             WHERE (state = 'QUEUED' AND (next_try_at <= $1 OR next_try_at > $2))
                OR (state = 'RUNNING' AND (lease_until < $1 OR lease_until > $3
                                            OR (worker <> $4 AND SUBSTR(worker, 1, CAST($5 AS INTEGER)) = $6)))
             ORDER BY priority DESC, next_try_at, id LIMIT 100",
        )
        .bind(now_ms)
        .bind(now_ms.saturating_add(JOB_WAIT_MAX_MS))
        .bind(now_ms.saturating_add(claim.lease_ms.saturating_mul(2)))
        .bind(claim.worker)
        .bind(i64::try_from(node.chars().count()).unwrap_or(i64::MAX))
        .bind(node)
        .fetch_all(&mut tx)
        .await?;
        let mut taken = None;
        for row in &due {
            let job = read(row)?;
            if job.state == JobState::Running {
                let succeeded = job
                    .worker
                    .as_deref()
                    .is_some_and(|worker| !node.is_empty() && worker.starts_with(node) && worker != claim.worker);
                if !succeeded && (!claim.others_end || claim.held.contains(&job.id)) {
                    continue;
                }
                // Its worker is dead: that try is spent.
                let event = if job.spent() >= job.attempts_max { JobEvent::GiveUp } else { JobEvent::Postpone };
                settle(&mut tx, &job, event, Some("its worker stopped without a word"), now_ms, now_ms).await?;
                if event == JobEvent::GiveUp {
                    continue;
                }
            }
            if taken.is_none() && claim.kinds.contains(&job.kind.as_str()) {
                sql::query(
                    "UPDATE jobs SET state = $1, worker = $2, lease_until = $3, attempts = attempts + 1, progress = 0,
                                     started_at = $4, updated_at = $4
                     WHERE id = $5",
                )
                .bind(JobState::Queued.next(JobEvent::Claim)?.as_str())
                .bind(claim.worker)
                .bind(now_ms.saturating_add(claim.lease_ms))
                .bind(now_ms)
                .bind(job.id.as_str())
                .execute(&mut tx)
                .await?;
                follow(&mut tx, &job, JobEvent::Claim, None, now_ms).await?;
                let now = find(&mut tx, job.id.as_str()).await?;
                let entry = moved(&mut tx, &now, JobState::Queued).await?;
                log::append(&mut tx, &entry.detail("attempt", now.attempts).detail("worker", claim.worker), now_ms)
                    .await?;
                taken = Some(now);
            }
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Renews the lease of a try and notes its progress; false when its worker no longer has the job.
    ///
    /// # Errors
    /// The query fails.
    pub async fn job_beat(&self, job: &JobRow, progress: u32, lease_until: i64, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done = sql::query(
            "UPDATE jobs SET progress = $1, lease_until = $2, updated_at = $3
             WHERE id = $4 AND worker = $5 AND attempts = $6 AND state = 'RUNNING'",
        )
        .bind(i64::from(progress))
        .bind(lease_until)
        .bind(now_ms)
        .bind(job.id.as_str())
        .bind(&job.worker)
        .bind(i64::from(job.attempts))
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(done == 1)
    }

    /// Notes how a try ended: done, to be tried again at `next_try_at`, or given up. Does nothing when the worker no longer has it.
    ///
    /// # Errors
    /// The event is none of an end, or the query fails.
    pub async fn job_end(
        &self,
        job: &JobRow,
        event: JobEvent,
        problem: Option<&str>,
        next_try_at: i64,
        now_ms: i64,
    ) -> Result<JobRow, Error> {
        let mut tx = self.begin().await?;
        let now = find(&mut tx, job.id.as_str()).await?;
        if now.state == JobState::Running && now.worker == job.worker && now.attempts == job.attempts {
            settle(&mut tx, &now, event, problem, next_try_at, now_ms).await?;
        }
        let now = find(&mut tx, job.id.as_str()).await?;
        tx.commit().await?;
        Ok(now)
    }

    /// Notes that a try found no room on a disk: it is none, and the next is at `next_try_at`. Does nothing when the worker no longer has
    /// the job.
    ///
    /// # Errors
    /// The query fails.
    pub async fn job_wait(&self, job: &JobRow, problem: &str, next_try_at: i64, now_ms: i64) -> Result<JobRow, Error> {
        let mut tx = self.begin().await?;
        let now = find(&mut tx, job.id.as_str()).await?;
        if now.state == JobState::Running && now.worker == job.worker && now.attempts == job.attempts {
            sql::query("UPDATE jobs SET waits = waits + 1 WHERE id = $1")
                .bind(job.id.as_str())
                .execute(&mut tx)
                .await?;
            settle(&mut tx, &now, JobEvent::Postpone, Some(problem), next_try_at, now_ms).await?;
        }
        let now = find(&mut tx, job.id.as_str()).await?;
        tx.commit().await?;
        Ok(now)
    }

    /// An operator cancels a job, or has a failed one tried again.
    ///
    /// # Errors
    /// There is none, the event is not legal, or the query fails.
    pub async fn job_event(&self, wanted: &str, event: JobEvent, now_ms: i64) -> Result<JobRow, Error> {
        let mut tx = self.begin().await?;
        let job = find(&mut tx, wanted).await?;
        if event == JobEvent::Retry && job.state == JobState::Failed {
            sql::query("UPDATE jobs SET attempts = 0, waits = 0 WHERE id = $1")
                .bind(job.id.as_str())
                .execute(&mut tx)
                .await?;
        }
        settle(&mut tx, &job, event, None, now_ms, now_ms).await?;
        let job = find(&mut tx, job.id.as_str()).await?;
        tx.commit().await?;
        Ok(job)
    }
}

/// What a job is about goes along with it.
async fn follow(
    conn: &mut Conn,
    job: &JobRow,
    event: JobEvent,
    problem: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    if job.kind != JOB_ASSET {
        return Ok(());
    }
    let Some(row) = asset::maybe(conn, &job.subject).await? else { return Ok(()) };
    let event = match event {
        JobEvent::Claim => AssetEvent::Begin,
        JobEvent::Finish => AssetEvent::Finish,
        JobEvent::Postpone => AssetEvent::Postpone,
        JobEvent::GiveUp => AssetEvent::Fail,
        JobEvent::Cancel => AssetEvent::Cancel,
        JobEvent::Retry => AssetEvent::Retry,
    };
    let state = row.state.next(event)?;
    if state == AssetState::Ready {
        caption::follow(conn, &row.id, now_ms).await?;
    }
    asset::settle(conn, &row, state, problem, now_ms).await
}

/// Moves a job by an event, and what it is about with it.
pub(crate) async fn settle(
    conn: &mut Conn,
    job: &JobRow,
    event: JobEvent,
    problem: Option<&str>,
    next_try_at: i64,
    now_ms: i64,
) -> Result<(), Error> {
    let state = job.state.next(event)?;
    let ended = matches!(state, JobState::Completed | JobState::Failed | JobState::Cancelled).then_some(now_ms);
    let progress = if state == JobState::Completed { 1000 } else { i64::from(job.progress) };
    sql::query(
        "UPDATE jobs SET state = $1, problem = $2, next_try_at = $3, worker = NULL, lease_until = NULL, ended_at = $4,
                         progress = $5, updated_at = $6
         WHERE id = $7",
    )
    .bind(state.as_str())
    .bind(problem)
    .bind(next_try_at)
    .bind(ended)
    .bind(progress)
    .bind(now_ms)
    .bind(job.id.as_str())
    .execute(&mut *conn)
    .await?;
    let now = JobRow { state, ..job.clone() };
    let entry = moved(conn, &now, job.state).await?.detail("attempt", job.attempts);
    let entry = match problem {
        Some(problem) => entry.detail("problem", problem),
        None => entry,
    };
    log::append(conn, &entry, now_ms).await?;
    follow(conn, job, event, problem, now_ms).await
}

async fn moved(conn: &mut Conn, job: &JobRow, from: JobState) -> Result<NewEntry, Error> {
    let word = match job.state {
        JobState::Queued => "job.queued",
        JobState::Running => "job.running",
        JobState::Completed => "job.completed",
        JobState::Failed => "job.failed",
        JobState::Cancelled => "job.cancelled",
    };
    Ok(about(conn, word, job).await?.detail("from", from.as_str()).detail("to", job.state.as_str()))
}
