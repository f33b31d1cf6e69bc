//! Breakouts.

use anabranch_model::{BreakoutEvent, BreakoutId, BreakoutState, ChannelId};

use crate::log::{self, NewEntry};
use crate::row::{self, id, integer, optional_integer, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest, channel};

/// A breakout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakoutRow {
    /// Identifier.
    pub id: BreakoutId,
    /// Unique name.
    pub name: String,
    /// Channel that feeds it.
    pub channel: ChannelId,
    /// Where it is in its life.
    pub state: BreakoutState,
    /// Snapshot version that brought it on or off air.
    pub changed_version: u64,
    /// What is wrong, in words.
    pub problem: Option<String>,
    /// Unix milliseconds; when its start was asked.
    pub started_at: Option<i64>,
    /// Unix milliseconds.
    pub ended_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// A breakout to make.
#[derive(Clone)]
pub struct NewBreakout {
    /// Its id.
    pub id: BreakoutId,
    /// Unique name.
    pub name: String,
    /// Id or name of its channel.
    pub channel: String,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
    /// Makes a breakout, not on air.
    ///
    /// # Errors
    /// There is no such channel, the name is taken, the idempotency key was used otherwise, or the query fails.
    pub async fn breakout_create(&self, new: &NewBreakout, now_ms: i64) -> Result<Created<BreakoutRow>, Error> {
        let (mut tx, version) = self.change().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM breakouts WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        let channel = channel::find(&mut tx, &new.channel).await?;
        sql::query(
            "INSERT INTO breakouts (id, name, channel_id, state, changed_version, created_at, updated_at,
                                    idempotency_key, request_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(channel.id.as_str())
        .bind(BreakoutState::Idle.as_str())
        .bind(signed(version))
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut *tx)
        .await
        .map_err(|error| Error::on_insert(error, "breakout", &new.name))?;
        let row = find(&mut tx, new.id.as_str()).await?;
        log::append(&mut tx, &activity("breakout.created", &row), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// The breakout with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn breakout_find(&self, wanted: &str) -> Result<BreakoutRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// A page of breakouts, of one channel or all.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_page(
        &self,
        channel: Option<&ChannelId>,
        page: &PageRequest,
    ) -> Result<Page<BreakoutRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM breakouts WHERE ($1 IS NULL OR (created_at, id) > ($1, $2)) AND ($3 IS NULL OR channel_id = $3)
             ORDER BY created_at, id LIMIT $4",
        )
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(channel.map(ChannelId::as_str))
        .bind(page.fetch())
        .fetch_all(&self.readers)
        .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Breakouts that wait for channel and distribution.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakouts_starting(&self) -> Result<Vec<BreakoutRow>, Error> {
        let rows = sql::query("SELECT * FROM breakouts WHERE state = $1")
            .bind(BreakoutState::Starting.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Moves a breakout by an operator's event; its channel follows in the same transaction.
    ///
    /// # Errors
    /// There is none, the event is not legal, another breakout of the channel is on air, or the query fails.
    pub async fn breakout_event(&self, wanted: &str, event: BreakoutEvent, now_ms: i64) -> Result<BreakoutRow, Error> {
        let (mut tx, version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        let state = row.state.next(event)?;
        if state == row.state {
            return Ok(row);
        }
        let (was, is) = (is_on_air(row.state), is_on_air(state));
        if is
            && !was
            && let Some(other) = channel::on_air(&mut tx, &row.channel).await?
        {
            return Err(Error::OtherOnAir { other });
        }
        let started_at = match state {
            BreakoutState::Idle => None,
            BreakoutState::Starting => Some(now_ms),
            BreakoutState::Running | BreakoutState::Completed => row.started_at,
        };
        let ended_at = (state == BreakoutState::Completed).then_some(now_ms);
        sql::query(
            "UPDATE breakouts SET state = $1, changed_version = $2, started_at = $3, ended_at = $4, updated_at = $5,
                                  problem = NULL
             WHERE id = $6",
        )
        .bind(state.as_str())
        .bind(signed(version))
        .bind(started_at)
        .bind(ended_at)
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut *tx)
        .await?;
        log::append(&mut tx, &moved(&row, state).detail("event", event_word(event)), now_ms).await?;
        channel::settle(&mut tx, &row.channel, version, now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Notes that everything a starting breakout waited for is there. Does nothing when it has changed since.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_ready(&self, row: &BreakoutRow, now_ms: i64) -> Result<(), Error> {
        let state = row.state.next(BreakoutEvent::Ready)?;
        let mut tx = self.begin().await?;
        // What it waited for is no problem any more; what the packager reported stays.
        let moves = sql::query(
            "UPDATE breakouts SET state = $1, updated_at = $2,
                                  problem = CASE WHEN problem LIKE 'waiting for %' THEN NULL ELSE problem END
             WHERE id = $3 AND state = $4 AND changed_version = $5",
        )
        .bind(state.as_str())
        .bind(now_ms)
        .bind(row.id.as_str())
        .bind(row.state.as_str())
        .bind(signed(row.changed_version))
        .execute(&mut *tx)
        .await?;
        if moves == 1 {
            log::append(&mut tx, &moved(row, state), now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Keeps or clears what is wrong with a breakout; the data plane is not told.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_problem(
        &self,
        breakout: &BreakoutId,
        problem: Option<&str>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = match find(&mut tx, breakout.as_str()).await {
            // Deleted since it was reported.
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if row.problem.as_deref() == problem {
            return Ok(());
        }
        sql::query("UPDATE breakouts SET problem = $1 WHERE id = $2")
            .bind(problem)
            .bind(breakout.as_str())
            .execute(&mut *tx)
            .await?;
        let entry = match problem {
            Some(problem) => {
                NewEntry::stream("breakout.problem", "breakout", breakout.as_str()).detail("problem", problem)
            }
            None => NewEntry::stream("breakout.problem_cleared", "breakout", breakout.as_str()),
        };
        log::append(&mut tx, &about(entry, &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a breakout that is not on air.
    ///
    /// # Errors
    /// There is none, it is on air, or the query fails.
    pub async fn breakout_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        if is_on_air(row.state) {
            let remedy = format!("it is {}; stop it first", row.state.as_str());
            return Err(Error::InUse { subject: "breakout", name: row.name, remedy });
        }
        sql::query("DELETE FROM breakouts WHERE id = $1").bind(row.id.as_str()).execute(&mut *tx).await?;
        log::append(&mut tx, &activity("breakout.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Writes that the breakouts of a channel go with it.
pub(crate) async fn log_deletes(tx: &mut Conn, channel: &ChannelId, now_ms: i64) -> Result<(), Error> {
    let rows = sql::query("SELECT * FROM breakouts WHERE channel_id = $1 ORDER BY created_at, id")
        .bind(channel.as_str())
        .fetch_all(&mut *tx)
        .await?;
    for row in &rows {
        log::append(tx, &activity("breakout.deleted", &read(row)?), now_ms).await?;
    }
    Ok(())
}

fn activity(word: &'static str, row: &BreakoutRow) -> NewEntry {
    about(NewEntry::activity(word, "breakout", row.id.as_str()), row)
}

/// The entry of a breakout that is `row` and becomes `state`.
fn moved(row: &BreakoutRow, state: BreakoutState) -> NewEntry {
    let word = match state {
        BreakoutState::Idle => "breakout.idle",
        BreakoutState::Starting => "breakout.starting",
        BreakoutState::Running => "breakout.running",
        BreakoutState::Completed => "breakout.completed",
    };
    about(NewEntry::transition(word, "breakout", row.id.as_str()), row)
        .detail("from", row.state.as_str())
        .detail("to", state.as_str())
}

fn event_word(event: BreakoutEvent) -> &'static str {
    match event {
        BreakoutEvent::Start => "start",
        BreakoutEvent::Ready => "ready",
        BreakoutEvent::Abort => "abort",
        BreakoutEvent::Stop => "stop",
        BreakoutEvent::Reset => "reset",
    }
}

fn about(entry: NewEntry, row: &BreakoutRow) -> NewEntry {
    entry.channel(&row.channel).breakout(&row.id).detail("name", row.name.as_str())
}

fn is_on_air(state: BreakoutState) -> bool {
    matches!(state, BreakoutState::Starting | BreakoutState::Running)
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<BreakoutRow, Error> {
    row::find(
        conn,
        "SELECT * FROM breakouts WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1",
        "breakout",
        wanted,
        read,
    )
    .await
}

pub(crate) fn read(row: &Row) -> Result<BreakoutRow, Error> {
    Ok(BreakoutRow {
        id: id(row, "id")?,
        name: text(row, "name")?,
        channel: id(row, "channel_id")?,
        state: word(row, "state", BreakoutState::parse)?,
        changed_version: unsigned(row, "changed_version")?,
        problem: optional_text(row, "problem")?,
        started_at: optional_integer(row, "started_at")?,
        ended_at: optional_integer(row, "ended_at")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
