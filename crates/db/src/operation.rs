//! The journal: what is being done at the provider, step by step, so that a crash between any two loses nothing.

use crate::row::{integer, optional_integer, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error};

pub use crate::plan::*;

/// Operations answered at once to those who work on them, or who show rows with what is done about them.
const OPEN_MAX: u32 = 1000;

/// Longest time from a failed try to the next, in milliseconds. One that is further away was set before the clock was set back, and
/// is due.
pub const RETRY_MAX_MS: i64 = 60 * 60 * 1000;

/// Finished operations forgotten in one pass.
const FORGET_MAX: u32 = 1000;

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// Its steps are being done, or wait.
    Running,
    /// It cannot succeed; what it made is being taken back.
    Undoing,
    /// Done.
    Done,
    /// It cannot succeed.
    Failed,
    /// It could not succeed, and nothing of it is left.
    RolledBack,
    /// A newer wish took its place.
    Superseded,
}

impl OperationState {
    const ALL: [Self; 6] = [Self::Running, Self::Undoing, Self::Done, Self::Failed, Self::RolledBack, Self::Superseded];

    /// The one spelling for database and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Superseded => "superseded",
        }
    }

    /// The state that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Identifier.
    pub id: String,
    /// Operations are worked on in this order.
    pub number: i64,
    /// What is done.
    pub plan: Plan,
    /// Id of the channel, breakout or distribution that it is about.
    pub subject: String,
    /// Operations of one lane are worked on one at a time.
    pub lane: String,
    /// Where it is.
    pub state: OperationState,
    /// Place of the step that is next or under way.
    pub step: usize,
    /// Failed tries of that step.
    pub attempts: u32,
    /// Why the last try failed, in words.
    pub problem: Option<String>,
    /// What the step waits for, in words.
    pub waiting_for: Option<String>,
    /// Unix milliseconds before which it is not tried again.
    pub next_try_at: i64,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; of the last change.
    pub updated_at: i64,
    /// Unix milliseconds.
    pub finished_at: Option<i64>,
}

impl OperationRow {
    /// Name of the step that is next or under way.
    #[must_use]
    pub fn step_name(&self) -> Option<&'static str> {
        self.plan.steps.get(self.step).copied()
    }
}

/// A step of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// Its name.
    pub name: String,
    /// `pending`, `begun`, `done` or `undone`.
    pub state: String,
    /// Times that it was begun.
    pub attempts: u32,
    /// What it found or repaired, in words.
    pub note: Option<String>,
    /// Unix milliseconds of the first try.
    pub begun_at: Option<i64>,
    /// Unix milliseconds.
    pub ended_at: Option<i64>,
}

impl Db {
    /// Begins an operation whose wish is in the rows already, unless one of that kind is open for the subject.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_open(&self, plan: Plan, subject: &str, lane: &str, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let open: Option<String> =
            sql::scalar("SELECT id FROM operations WHERE subject = $1 AND kind = $2 AND finished_at IS NULL")
                .bind(subject)
                .bind(plan.kind)
                .fetch_optional(&mut *tx)
                .await?;
        if open.is_some() {
            return Ok(false);
        }
        begin(&mut tx, plan, subject, lane, now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Open operations that are due, oldest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operations_due(&self, now_ms: i64) -> Result<Vec<OperationRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM operations WHERE finished_at IS NULL AND (next_try_at <= $1 OR next_try_at > $3)
             ORDER BY number LIMIT $2",
        )
        .bind(now_ms)
        .bind(i64::from(OPEN_MAX))
        .bind(now_ms.saturating_add(RETRY_MAX_MS))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The newest operation about a subject that is open, or that failed last.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_of(&self, subject: &str) -> Result<Option<OperationRow>, Error> {
        let row = sql::query("SELECT * FROM operations WHERE subject = $1 ORDER BY number DESC LIMIT 1")
            .bind(subject)
            .fetch_optional(&self.readers)
            .await?;
        let row = row.as_ref().map(read).transpose()?;
        Ok(row.filter(|row| !matches!(row.state, OperationState::Done | OperationState::Superseded)))
    }

    /// The operation with this id, and its steps.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn operation_find(&self, wanted: &str) -> Result<(OperationRow, Vec<StepRow>), Error> {
        let mut tx = self.read().await?;
        let row = sql::query("SELECT * FROM operations WHERE id = $1").bind(wanted).fetch_optional(&mut *tx).await?;
        let row = read(&row.ok_or_else(|| Error::not_found("operation", wanted))?)?;
        let steps = sql::query("SELECT * FROM operation_steps WHERE operation_id = $1 ORDER BY place")
            .bind(wanted)
            .fetch_all(&mut *tx)
            .await?;
        Ok((row, steps.iter().map(read_step).collect::<Result<_, _>>()?))
    }

    /// Notes that the step at hand is begun; false when the operation is over meanwhile.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_begin_step(&self, row: &OperationRow, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let begun = begin_step(&mut tx, row, row.step, now_ms).await?;
        tx.commit().await?;
        Ok(begun > 0)
    }

    /// Notes that the step at hand is done and the next one begun, and with the last one the operation; false when the operation is over meanwhile.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_step_done(
        &self,
        row: &OperationRow,
        note: Option<&str>,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let last = row.step + 1 >= row.plan.steps.len();
        let state = if last { OperationState::Done } else { OperationState::Running };
        let mut tx = self.begin().await?;
        let live = sql::query(
            "UPDATE operations SET step = $1, state = $2, attempts = 0, problem = NULL, waiting_for = NULL, next_try_at = 0,
                                   updated_at = $3, finished_at = $4
             WHERE id = $5 AND state = 'running'",
        )
        .bind(place(row.step + 1))
        .bind(state.as_str())
        .bind(now_ms)
        .bind(last.then_some(now_ms))
        .bind(&row.id)
        .execute(&mut *tx)
        .await?;
        end_step(&mut tx, row, "done", note, now_ms).await?;
        if live > 0 && !last {
            begin_step(&mut tx, row, row.step + 1, now_ms).await?;
        }
        tx.commit().await?;
        Ok(live > 0)
    }

    /// Notes what the step at hand waits for.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_waits(&self, row: &OperationRow, words: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE operations SET waiting_for = $1, problem = NULL, attempts = 0, next_try_at = 0, updated_at = $2
             WHERE id = $3 AND finished_at IS NULL",
        )
        .bind(words)
        .bind(now_ms)
        .bind(&row.id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that a try failed, and when the next one is due.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_retry(
        &self,
        row: &OperationRow,
        problem: &str,
        next_try_at: i64,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE operations SET attempts = attempts + 1, problem = $1, waiting_for = NULL, next_try_at = $2, updated_at = $3
             WHERE id = $4 AND finished_at IS NULL",
        )
        .bind(problem)
        .bind(next_try_at)
        .bind(now_ms)
        .bind(&row.id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that it cannot succeed, and that what it made is to be taken back, beginning with the step at hand.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_undo(&self, row: &OperationRow, problem: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE operations SET state = 'undoing', attempts = 0, problem = $1, waiting_for = NULL, next_try_at = 0,
                                   updated_at = $2
             WHERE id = $3 AND state = 'running'",
        )
        .bind(problem)
        .bind(now_ms)
        .bind(&row.id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that the step at hand is taken back, and with the first one the operation.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_step_undone(&self, row: &OperationRow, now_ms: i64) -> Result<(), Error> {
        let first = row.step == 0;
        let state = if first { OperationState::RolledBack } else { OperationState::Undoing };
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE operations SET step = $1, state = $2, attempts = 0, next_try_at = 0, updated_at = $3, finished_at = $4
             WHERE id = $5 AND state = 'undoing'",
        )
        .bind(place(row.step.saturating_sub(1)))
        .bind(state.as_str())
        .bind(now_ms)
        .bind(first.then_some(now_ms))
        .bind(&row.id)
        .execute(&mut *tx)
        .await?;
        end_step(&mut tx, row, "undone", None, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends an operation where it is.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_end(
        &self,
        row: &OperationRow,
        state: OperationState,
        problem: Option<&str>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE operations SET state = $1, problem = $2, waiting_for = NULL, updated_at = $3, finished_at = $3
             WHERE id = $4 AND finished_at IS NULL",
        )
        .bind(state.as_str())
        .bind(problem)
        .bind(now_ms)
        .bind(&row.id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lets open operations of a kind be tried again now, however often they have failed.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operations_hurry(&self, plan: Plan) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE operations SET next_try_at = 0 WHERE finished_at IS NULL AND kind = $1")
            .bind(plan.kind)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets operations that were finished before `before_ms`.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operations_forget(&self, before_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)",
        )
        .bind(before_ms)
        .bind(i64::from(FORGET_MAX))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Begins the operations that rows in transit need and do not have: what a version that kept no journal left, and what an
    /// operation that failed for good left behind. Says how many it began.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operations_heal(&self, now_ms: i64) -> Result<u32, Error> {
        let mut tx = self.begin().await?;
        let mut begun = 0;
        for (plan, query) in HEAL {
            let rows = sql::query(query).bind(i64::from(OPEN_MAX)).fetch_all(&mut *tx).await?;
            for row in &rows {
                begin(&mut tx, *plan, &text(row, "subject")?, &text(row, "lane")?, now_ms).await?;
                begun += 1;
            }
        }
        tx.commit().await?;
        Ok(begun)
    }

    /// Since when a resource at the provider that no row knows has been seen, Unix milliseconds.
    ///
    /// # Errors
    /// The query fails.
    pub async fn orphan_seen(&self, kind: &str, wanted: &str, now_ms: i64) -> Result<i64, Error> {
        let mut tx = self.begin().await?;
        // Seen later than now it was before the clock was set back.
        sql::query(
            "INSERT INTO orphans (kind, id, seen_at) VALUES ($1, $2, $3)
             ON CONFLICT (kind, id) DO UPDATE SET
                 seen_at = CASE WHEN orphans.seen_at > excluded.seen_at THEN excluded.seen_at ELSE orphans.seen_at END",
        )
        .bind(kind)
        .bind(wanted)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        let seen_at = sql::scalar("SELECT seen_at FROM orphans WHERE kind = $1 AND id = $2")
            .bind(kind)
            .bind(wanted)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(seen_at)
    }

    /// Forgets an orphan: it is gone, or a row knows it.
    ///
    /// # Errors
    /// The query fails.
    pub async fn orphan_forget(&self, kind: &str, wanted: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("DELETE FROM orphans WHERE kind = $1 AND id = $2").bind(kind).bind(wanted).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Rows in transit without an open operation. `$1` limits them.
const HEAL: &[(Plan, &str)] = &[
    (
        CHANNEL_DELETE,
        "SELECT c.id AS subject, c.id AS lane FROM channels c WHERE c.phase = 'stale'
           AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.lane = c.id AND o.finished_at IS NULL) LIMIT $1",
    ),
    (
        CHANNEL_START,
        "SELECT c.id AS subject, c.id AS lane FROM channels c WHERE c.state = 'Starting' AND c.phase = 'active'
           AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.lane = c.id AND o.finished_at IS NULL) LIMIT $1",
    ),
    (
        CHANNEL_STOP,
        "SELECT c.id AS subject, c.id AS lane FROM channels c WHERE c.state = 'Stopping' AND c.phase = 'active'
           AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.lane = c.id AND o.finished_at IS NULL) LIMIT $1",
    ),
    (
        BREAKOUT_START,
        "SELECT b.id AS subject, b.channel_id AS lane FROM breakouts b WHERE b.state = 'STARTING'
           AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.subject = b.id AND o.finished_at IS NULL) LIMIT $1",
    ),
    (
        DISTRIBUTION_UPDATE,
        "SELECT d.id AS subject, COALESCE(d.channel_id, d.id) AS lane FROM distributions d
         WHERE d.status = 'InProgress' AND d.phase <> 'stale'
           AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.finished_at IS NULL
                           AND (o.subject = d.id OR (o.lane = d.channel_id
                                AND o.kind IN ('channel.create', 'channel.delete', 'breakout.start'))))
           AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.state = 'failed' AND o.subject = d.id) LIMIT $1",
    ),
];

/// Begins an operation in the transaction of its wish; those that it takes the place of are over.
pub(crate) async fn begin(conn: &mut Conn, plan: Plan, subject: &str, lane: &str, now_ms: i64) -> Result<(), Error> {
    for kind in plan.replaces() {
        sql::query(
            "UPDATE operations SET state = 'superseded', finished_at = $1, updated_at = $1
             WHERE finished_at IS NULL AND subject = $2 AND kind = $3",
        )
        .bind(now_ms)
        .bind(subject)
        .bind(*kind)
        .execute(&mut *conn)
        .await?;
    }
    if plan == CHANNEL_DELETE {
        sql::query(
            "UPDATE operations SET state = 'superseded', finished_at = $1, updated_at = $1
             WHERE finished_at IS NULL AND lane = $2",
        )
        .bind(now_ms)
        .bind(lane)
        .execute(&mut *conn)
        .await?;
    }
    let operation = new_id();
    sql::query(
        "INSERT INTO operations (id, number, kind, subject, lane, state, created_at, updated_at)
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM operations), $2, $3, $4, 'running', $5, $5)",
    )
    .bind(&operation)
    .bind(plan.kind)
    .bind(subject)
    .bind(lane)
    .bind(now_ms)
    .execute(&mut *conn)
    .await?;
    for (at, step) in plan.steps.iter().enumerate() {
        sql::query("INSERT INTO operation_steps (operation_id, place, name, state) VALUES ($1, $2, $3, 'pending')")
            .bind(&operation)
            .bind(place(at))
            .bind(*step)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn begin_step(conn: &mut Conn, row: &OperationRow, step: usize, now_ms: i64) -> Result<u64, Error> {
    let begun = sql::query(
        "UPDATE operation_steps SET state = 'begun', attempts = attempts + 1, begun_at = COALESCE(begun_at, $1)
         WHERE operation_id = $2 AND place = $3 AND EXISTS (SELECT 1 FROM operations WHERE id = $2 AND state = $4)",
    )
    .bind(now_ms)
    .bind(&row.id)
    .bind(place(step))
    .bind(row.state.as_str())
    .execute(conn)
    .await?;
    Ok(begun)
}

async fn end_step(
    conn: &mut Conn,
    row: &OperationRow,
    state: &'static str,
    note: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    sql::query(
        "UPDATE operation_steps SET state = $1, note = COALESCE($2, note), ended_at = $3
         WHERE operation_id = $4 AND place = $5",
    )
    .bind(state)
    .bind(note)
    .bind(now_ms)
    .bind(&row.id)
    .bind(place(row.step))
    .execute(conn)
    .await?;
    Ok(())
}

fn new_id() -> String {
    format!("o{}", &anabranch_model::PlaneId::random().as_str()[1..])
}

fn place(at: usize) -> i64 {
    signed(at as u64)
}

pub(crate) fn read(row: &Row) -> Result<OperationRow, Error> {
    Ok(OperationRow {
        id: text(row, "id")?,
        number: integer(row, "number")?,
        plan: word(row, "kind", Plan::of)?,
        subject: text(row, "subject")?,
        lane: text(row, "lane")?,
        state: word(row, "state", OperationState::parse)?,
        step: unsigned(row, "step")?,
        attempts: unsigned(row, "attempts")?,
        problem: optional_text(row, "problem")?,
        waiting_for: optional_text(row, "waiting_for")?,
        next_try_at: integer(row, "next_try_at")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
        finished_at: optional_integer(row, "finished_at")?,
    })
}

fn read_step(row: &Row) -> Result<StepRow, Error> {
    Ok(StepRow {
        name: text(row, "name")?,
        state: text(row, "state")?,
        attempts: unsigned(row, "attempts")?,
        note: optional_text(row, "note")?,
        begun_at: optional_integer(row, "begun_at")?,
        ended_at: optional_integer(row, "ended_at")?,
    })
}
