//! Jobs: work for workers, of several kinds.

use anabranch_model::{BreakoutId, JobId, JobState};

use crate::page::paged;
use crate::row::{self, id, integer, optional_integer, optional_text, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, NewEntry, Page, PageRequest, log};

/// Kind of the job that makes an asset.
pub const JOB_ASSET: &str = "asset";

/// Kind of the job that removes what was made of an asset whose row is gone; its subject is the asset's id.
pub const JOB_REMOVE_ASSET: &str = "remove-asset";

/// Kind of the job that publishes the captions of an asset as they are now; its subject is the asset's id.
pub const JOB_CAPTIONS: &str = "captions";

/// Kind of the job that makes one MP4 of a recording.
pub const JOB_MP4: &str = "mp4";

/// Kind of the job that removes the objects of a recording whose row is gone; its subject is `<breakout>/<session>`.
pub const JOB_REMOVE: &str = "remove-recording";

/// Kind of the job that reads a file that has arrived; its subject is `<bucket>/<key>`.
pub const JOB_INTAKE: &str = "intake";

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

/// An entry about a job, with the breakout that it concerns, directly or by a recording.
pub(crate) async fn about(conn: &mut Conn, word: &'static str, job: &JobRow) -> Result<NewEntry, Error> {
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

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<JobRow, Error> {
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
