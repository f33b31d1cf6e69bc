//! Jobs: work that a worker takes, keeps alive by a lease, and finishes or loses to another.

use anabranch_model::{BreakoutId, JobEvent, JobId, JobState};

use crate::page::paged;
use crate::row::{self, id, integer, optional_integer, optional_text, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, JOB_REMOVE, NewEntry, Page, PageRequest, asset, log};

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Identifier.
    pub id: JobId,
    /// What is to be done, such as `mp4`.
    pub kind: String,
    /// Id of what it is about.
    pub subject: String,
    /// What the worker must know besides, as JSON.
    pub arguments: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Higher goes first.
    pub priority: i64,
    /// Thousandths done.
    pub progress: u32,
    /// Tries begun.
    pub attempts: u32,
    /// Tries at most, without those that found no room.
    pub attempts_max: u32,
    /// Tries that found no room on a disk.
    pub waits: u32,
    /// Unix milliseconds before which no worker takes it.
    pub next_try_at: i64,
    /// Who has it.
    pub worker: Option<String>,
    /// Unix milliseconds; a worker that has not renewed by then is dead.
    pub lease_until: Option<i64>,
    /// Why the last try failed, in words.
    pub problem: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; of the last try.
    pub started_at: Option<i64>,
    /// Unix milliseconds.
    pub ended_at: Option<i64>,
}

impl JobRow {
    /// Tries that count against [`JobRow::attempts_max`].
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.attempts.saturating_sub(self.waits)
    }
}

/// A job to make.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// What is to be done.
    pub kind: &'static str,
    /// Id of what it is about.
    pub subject: String,
    /// What the worker must know besides, as JSON.
    pub arguments: String,
    /// Higher goes first.
    pub priority: i64,
    /// Tries at most.
    pub attempts_max: u32,
}

/// The newest job of a kind about a subject. The one that is not finished, if there is one, whatever the clock said when it was made.
const NEWEST: &str = "SELECT * FROM jobs WHERE kind = $1 AND subject = $2
     ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, created_at DESC, id DESC LIMIT 1";

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
    /// Makes a job, or gives the unfinished one of the same kind and subject.
    ///
    /// # Errors
    /// The query fails.
    pub async fn job_create(&self, new: &NewJob, now_ms: i64) -> Result<JobRow, Error> {
        let mut tx = self.begin().await?;
        let row = create(&mut tx, new, now_ms).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The job with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn job_find(&self, wanted: &str) -> Result<JobRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of jobs, in one state or all, and of one kind or all.
    ///
    /// # Errors
    /// The query fails.
    pub async fn job_page(
        &self,
        state: Option<JobState>,
        kind: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<JobRow>, Error> {
        let query = match (state, kind) {
            (None, None) => page.query(paged!("SELECT * FROM jobs WHERE ", "created_at", "id")),
            (state, kind) => page
                .query(paged!(
                    "SELECT * FROM jobs
                     WHERE (CAST($4 AS TEXT) IS NULL OR state = $4) AND (CAST($5 AS TEXT) IS NULL OR kind = $5) AND ",
                    "created_at",
                    "id"
                ))
                .bind(state.map(JobState::as_str))
                .bind(kind),
        };
        let rows = query.fetch_all(&self.readers).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

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

/// Makes a job within a transaction, or gives the unfinished one of the same kind and subject.
pub(crate) async fn create(conn: &mut Conn, new: &NewJob, now_ms: i64) -> Result<JobRow, Error> {
    let made = sql::query(
        "INSERT INTO jobs (id, kind, subject, arguments, state, priority, attempts_max, next_try_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8) ON CONFLICT DO NOTHING",
    )
    .bind(JobId::random().as_str())
    .bind(new.kind)
    .bind(new.subject.as_str())
    .bind(new.arguments.as_str())
    .bind(JobState::Queued.as_str())
    .bind(new.priority)
    .bind(i64::from(new.attempts_max))
    .bind(now_ms)
    .execute(&mut *conn)
    .await?;
    let row = sql::query(NEWEST).bind(new.kind).bind(new.subject.as_str()).fetch_one(&mut *conn).await?;
    let job = read(&row)?;
    if made == 1 {
        let entry = about(conn, "job.queued", &job).await?;
        log::append(conn, &entry.detail("to", job.state.as_str()), now_ms).await?;
    }
    Ok(job)
}

/// The unfinished job of a kind about a subject.
pub(crate) async fn unfinished(conn: &mut Conn, kind: &str, subject: &str) -> Result<Option<JobRow>, Error> {
    let row = sql::query("SELECT * FROM jobs WHERE kind = $1 AND subject = $2 AND state IN ('QUEUED', 'RUNNING')")
        .bind(kind)
        .bind(subject)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read).transpose()
}

/// What a job is about goes along with it.
async fn follow(
    conn: &mut Conn,
    job: &JobRow,
    event: JobEvent,
    problem: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    if job.kind == asset::JOB_ASSET {
        asset::follow(conn, &job.subject, event, problem, now_ms).await?;
    }
    Ok(())
}

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

/// An entry about a job, with the breakout that it concerns, directly or by a recording.
async fn about(conn: &mut Conn, word: &'static str, job: &JobRow) -> Result<NewEntry, Error> {
    let row = sql::query("SELECT breakout_id FROM recordings WHERE id = $1")
        .bind(job.subject.as_str())
        .fetch_optional(conn)
        .await?;
    let breakout: Option<BreakoutId> = match row {
        Some(row) => Some(id(&row, "breakout_id")?),
        None if job.kind == JOB_REMOVE => job.subject.split_once('/').and_then(|(breakout, _)| breakout.parse().ok()),
        None => None,
    };
    let entry = NewEntry::transition(word, "job", job.id.as_str())
        .detail("job", job.kind.as_str())
        .detail("about", job.subject.as_str());
    Ok(match breakout {
        Some(breakout) => entry.breakout(&breakout),
        None => entry,
    })
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<JobRow, Error> {
    row::find(conn, "SELECT * FROM jobs WHERE id = $1", "job", wanted, read).await
}

pub(crate) fn read(row: &Row) -> Result<JobRow, Error> {
    Ok(JobRow {
        id: id(row, "id")?,
        kind: text(row, "kind")?,
        subject: text(row, "subject")?,
        arguments: text(row, "arguments")?,
        state: word(row, "state", JobState::parse)?,
        priority: integer(row, "priority")?,
        progress: unsigned(row, "progress")?,
        attempts: unsigned(row, "attempts")?,
        attempts_max: unsigned(row, "attempts_max")?,
        waits: unsigned(row, "waits")?,
        next_try_at: integer(row, "next_try_at")?,
        worker: optional_text(row, "worker")?,
        lease_until: optional_integer(row, "lease_until")?,
        problem: optional_text(row, "problem")?,
        created_at: integer(row, "created_at")?,
        started_at: optional_integer(row, "started_at")?,
        ended_at: optional_integer(row, "ended_at")?,
    })
}
