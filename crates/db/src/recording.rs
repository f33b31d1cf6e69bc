//! Recordings: what the archive keeps of each session of a breakout.

use anabranch_model::{BreakoutId, Recorded, RecordingEvent, RecordingId, RecordingState};

use crate::charge;
use crate::job::{self, JOB_MP4, JOB_REMOVE, NewJob};
use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, id, integer, optional_integer, optional_text, signed, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, JobRow, Page, PageRequest};

/// Tries of a job about recordings.
const ATTEMPTS_MAX: u32 = 5;

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRow {
    /// Identifier.
    pub id: RecordingId,
    /// Breakout.
    pub breakout: BreakoutId,
    /// Session of the breakout, from 1.
    pub session: u32,
    /// Where it is in its life.
    pub state: RecordingState,
    /// What there is of it.
    pub recorded: Recorded,
    /// Size of the MP4, once there is one.
    pub mp4_bytes: Option<u64>,
    /// What is wrong, in words.
    pub problem: Option<String>,
    /// Unix milliseconds.
    pub started_at: i64,
    /// Unix milliseconds.
    pub ended_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl Db {
    /// Notes what has been recorded of a session; a complete recording becomes available. Unknown sessions are passed over. Gives the
    /// recording when this made it available.
    ///
    /// # Errors
    /// The query fails.
    pub async fn recording_progress(
        &self,
        breakout: &BreakoutId,
        session: u32,
        recorded: &Recorded,
        now_ms: i64,
    ) -> Result<Option<RecordingRow>, Error> {
        let mut tx = self.begin().await?;
        let Some(before) = of_session(&mut tx, breakout, session).await? else { return Ok(None) };
        if before.recorded == *recorded && (!recorded.complete || before.state == RecordingState::Available) {
            return Ok(None);
        }
        let event = match (recorded.complete, recorded.segments) {
            (true, 0) if before.state != RecordingState::Available => Some(RecordingEvent::Fail),
            (true, _) => Some(RecordingEvent::Complete),
            (false, _) => None,
        };
        let state = event.map_or(Ok(before.state), |event| before.state.next(event))?;
        let problem = (state == RecordingState::Failed).then_some("no media was recorded: no encoder sent anything");
        sql::query(
            "UPDATE recordings SET state = $1, duration_ms = $2, segments = $3, bytes = $4, gaps = $5, gap_ms = $6,
                                   problem = $7, updated_at = $8
             WHERE id = $9",
        )
        .bind(state.as_str())
        .bind(signed(recorded.duration_ms))
        .bind(signed(recorded.segments))
        .bind(signed(recorded.bytes))
        .bind(i64::from(recorded.gaps))
        .bind(signed(recorded.gap_ms))
        .bind(problem)
        .bind(now_ms)
        .bind(before.id.as_str())
        .execute(&mut tx)
        .await?;
        let became_available = state == RecordingState::Available && before.state != state;
        if before.state != state {
            let word = if became_available { "recording.available" } else { "recording.failed" };
            let entry = transition(word, breakout, session).detail("duration_ms", recorded.duration_ms);
            log::append(&mut tx, &entry.detail("gaps", recorded.gaps), now_ms).await?;
        }
        if became_available && wants_mp4(&mut tx, breakout).await? {
            job::create(&mut tx, &mp4_job(&before.id), now_ms).await?;
        }
        let row = find(&mut tx, before.id.as_str()).await?;
        tx.commit().await?;
        Ok(became_available.then_some(row))
    }

    /// The recording with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn recording_find(&self, wanted: &str) -> Result<RecordingRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// The recording of a session of a breakout, if there is one.
    ///
    /// # Errors
    /// The query fails.
    pub async fn recording_of(&self, breakout: &BreakoutId, session: u32) -> Result<Option<RecordingRow>, Error> {
        of_session(&mut self.readers.acquire().await?, breakout, session).await
    }

    /// A page of recordings, of one breakout or all.
    ///
    /// # Errors
    /// The query fails.
    pub async fn recording_page(
        &self,
        breakout: Option<&BreakoutId>,
        page: &PageRequest,
    ) -> Result<Page<RecordingRow>, Error> {
        let query = page.query(match breakout {
            None => paged!("SELECT * FROM recordings WHERE ", "created_at", "id"),
            Some(_) => paged!("SELECT * FROM recordings WHERE breakout_id = $4 AND ", "created_at", "id"),
        });
        let rows = breakout.map(BreakoutId::as_str).into_iter().fold(query, sql::Query::bind);
        let rows = rows.fetch_all(&self.readers).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Orders an MP4 of a recording, or gives the job that is under way.
    ///
    /// # Errors
    /// There is no such recording, it cannot be played yet, or the query fails.
    pub async fn recording_mp4(&self, wanted: &str, now_ms: i64) -> Result<JobRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        if row.state != RecordingState::Available {
            let remedy = format!("it is {}; wait until it is AVAILABLE", row.state.as_str());
            return Err(Error::NotNow { subject: "recording", name: row.id.into(), remedy });
        }
        let job = job::create(&mut tx, &mp4_job(&row.id), now_ms).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// Notes that the MP4 of a recording is there.
    ///
    /// # Errors
    /// The query fails.
    pub async fn recording_mp4_done(&self, recording: &RecordingId, bytes: u64, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE recordings SET mp4_bytes = $1, updated_at = $2 WHERE id = $3")
            .bind(signed(bytes))
            .bind(now_ms)
            .bind(recording.as_str())
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a recording that is over; its objects are removed by a job.
    ///
    /// # Errors
    /// There is none, it is under way, or the query fails.
    pub async fn recording_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        if matches!(row.state, RecordingState::Recording | RecordingState::Closing) {
            let remedy = format!("it is {}; stop its breakout first, or wait", row.state.as_str());
            return Err(Error::InUse { subject: "recording", name: row.id.into(), remedy });
        }
        remove(&mut tx, &row, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Begins the recording of a breakout's session; it may have begun before.
pub(crate) async fn begin(conn: &mut Conn, breakout: &BreakoutId, session: u32, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO recordings (id, breakout_id, session, state, started_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5, $5)
         ON CONFLICT (breakout_id, session) DO UPDATE SET state = excluded.state, ended_at = NULL, problem = NULL",
    )
    .bind(RecordingId::random().as_str())
    .bind(breakout.as_str())
    .bind(i64::from(session))
    .bind(RecordingState::Recording.as_str())
    .bind(now_ms)
    .execute(&mut *conn)
    .await?;
    charge::begun(&mut *conn, breakout, session).await?;
    log::append(conn, &transition("recording.started", breakout, session), now_ms).await?;
    Ok(())
}

/// Notes that the session is over.
pub(crate) async fn end(conn: &mut Conn, breakout: &BreakoutId, session: u32, now_ms: i64) -> Result<(), Error> {
    let Some(row) = of_session(&mut *conn, breakout, session).await? else { return Ok(()) };
    let state = row.state.next(RecordingEvent::End)?;
    sql::query("UPDATE recordings SET state = $1, ended_at = COALESCE(ended_at, $2), updated_at = $2 WHERE id = $3")
        .bind(state.as_str())
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut *conn)
        .await?;
    log::append(conn, &transition("recording.closing", breakout, session), now_ms).await?;
    Ok(())
}

/// Takes the recording of an aborted start away: nothing of it is kept (V81).
pub(crate) async fn discard(conn: &mut Conn, breakout: &BreakoutId, session: u32, now_ms: i64) -> Result<(), Error> {
    match of_session(&mut *conn, breakout, session).await? {
        Some(row) => remove(conn, &row, now_ms).await,
        None => Ok(()),
    }
}

/// Deletes the rows of a breakout's recordings; their objects are removed by jobs.
pub(crate) async fn remove_all(conn: &mut Conn, breakout: &BreakoutId, now_ms: i64) -> Result<(), Error> {
    let rows = sql::query("SELECT * FROM recordings WHERE breakout_id = $1")
        .bind(breakout.as_str())
        .fetch_all(&mut *conn)
        .await?;
    for row in &rows {
        remove(&mut *conn, &read(row)?, now_ms).await?;
    }
    Ok(())
}

async fn remove(conn: &mut Conn, row: &RecordingRow, now_ms: i64) -> Result<(), Error> {
    charge::gone(&mut *conn, &row.breakout, row.session, now_ms).await?;
    sql::query("DELETE FROM recordings WHERE id = $1").bind(row.id.as_str()).execute(&mut *conn).await?;
    log::append(&mut *conn, &transition("recording.deleted", &row.breakout, row.session), now_ms).await?;
    let job = NewJob {
        kind: JOB_REMOVE,
        subject: format!("{}/{}", row.breakout, row.session),
        arguments: "{}".to_owned(),
        priority: -1,
        attempts_max: u32::MAX >> 1,
    };
    job::create(conn, &job, now_ms).await.map(drop)
}

fn transition(word: &'static str, breakout: &BreakoutId, session: u32) -> NewEntry {
    NewEntry::transition(word, "recording", format!("{breakout}/{session}"))
        .breakout(breakout)
        .detail("session", session)
}

fn mp4_job(recording: &RecordingId) -> NewJob {
    NewJob {
        kind: JOB_MP4,
        subject: recording.to_string(),
        arguments: "{}".to_owned(),
        priority: 0,
        attempts_max: ATTEMPTS_MAX,
    }
}

async fn wants_mp4(conn: &mut Conn, breakout: &BreakoutId) -> Result<bool, Error> {
    let wish: Option<i64> =
        sql::scalar("SELECT mp4 FROM breakouts WHERE id = $1").bind(breakout.as_str()).fetch_optional(conn).await?;
    Ok(wish == Some(1))
}

async fn of_session(conn: &mut Conn, breakout: &BreakoutId, session: u32) -> Result<Option<RecordingRow>, Error> {
    let row = sql::query("SELECT * FROM recordings WHERE breakout_id = $1 AND session = $2")
        .bind(breakout.as_str())
        .bind(i64::from(session))
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read).transpose()
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<RecordingRow, Error> {
    row::find(conn, "SELECT * FROM recordings WHERE id = $1", "recording", wanted, read).await
}

fn read(row: &Row) -> Result<RecordingRow, Error> {
    let state = word(row, "state", RecordingState::parse)?;
    let mp4_bytes = optional_integer(row, "mp4_bytes")?.map(|bytes| u64::try_from(bytes).unwrap_or(0));
    Ok(RecordingRow {
        id: id(row, "id")?,
        breakout: id(row, "breakout_id")?,
        session: unsigned(row, "session")?,
        state,
        recorded: Recorded {
            duration_ms: unsigned(row, "duration_ms")?,
            segments: unsigned(row, "segments")?,
            bytes: unsigned(row, "bytes")?,
            gaps: unsigned(row, "gaps")?,
            gap_ms: unsigned(row, "gap_ms")?,
            complete: state == RecordingState::Available,
        },
        mp4_bytes,
        problem: optional_text(row, "problem")?,
        started_at: integer(row, "started_at")?,
        ended_at: optional_integer(row, "ended_at")?,
        created_at: integer(row, "created_at")?,
    })
}
