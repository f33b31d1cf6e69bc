//! Channels and their inputs.

use anabranch_model::{ChannelEvent, ChannelId, ChannelState, InputId};

use crate::log::{self, NewEntry};
use crate::row::{self, flag, id, integer, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, NewDistribution, Page, PageRequest, breakout, distribution};

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// Identifier.
    pub id: ChannelId,
    /// Unique name.
    pub name: String,
    /// Words for the operator.
    pub description: String,
    /// Desired: the operator wants it running, breakout or not.
    pub desired_running: bool,
    /// Observed.
    pub state: ChannelState,
    /// Snapshot version whose application confirms `state`.
    pub changed_version: u64,
    /// Segment target in seconds.
    pub segment_target_seconds: u32,
    /// Window in seconds.
    pub window_seconds: u32,
    /// What is wrong, in words.
    pub problem: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// One push endpoint of a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct InputRow {
    /// Identifier.
    pub id: InputId,
    /// Secret of the encoder.
    pub stream_key: String,
}

impl std::fmt::Debug for InputRow {
    // Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputRow").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A push endpoint to make.
#[derive(Clone)]
pub struct NewInput {
    /// Its id.
    pub id: InputId,
    /// Its secret; unique over all channels.
    pub stream_key: String,
}

/// A channel to make, with what belongs to it.
#[derive(Clone)]
pub struct NewChannel {
    /// Its id.
    pub id: ChannelId,
    /// Unique name.
    pub name: String,
    /// Words for the operator.
    pub description: String,
    /// Segment target in seconds.
    pub segment_target_seconds: u32,
    /// Window in seconds.
    pub window_seconds: u32,
    /// Push endpoints, in order.
    pub inputs: Vec<NewInput>,
    /// Its distribution; the idempotency key is the channel's.
    pub distribution: NewDistribution,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

/// What an operator wants of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It runs, breakout or not.
    Run,
    /// It runs only while a breakout is on air.
    Rest,
}

impl Db {
    /// Makes a channel, its inputs and its distribution, or none of them.
    ///
    /// # Errors
    /// The name is taken, the idempotency key was used otherwise, or the query fails.
    pub async fn channel_create(&self, new: &NewChannel, now_ms: i64) -> Result<Created<ChannelRow>, Error> {
        let (mut tx, version) = self.change().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM channels WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        insert(&mut tx, new, version, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        log::append(&mut tx, &activity("channel.created", &row), now_ms).await?;
        insert_parts(&mut tx, new, version, now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// The channel with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn channel_find(&self, wanted: &str) -> Result<ChannelRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// A page of channels.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_page(&self, page: &PageRequest) -> Result<Page<ChannelRow>, Error> {
        page.select(
            &self.readers,
            "SELECT * FROM channels WHERE $1 IS NULL OR (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3",
            read,
            |row| Cursor { created_at: row.created_at, id: row.id.to_string() },
        )
        .await
    }

    /// The inputs of a channel, in order.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_inputs(&self, channel: &ChannelId) -> Result<Vec<InputRow>, Error> {
        let rows = sql::query("SELECT id, stream_key FROM inputs WHERE channel_id = $1 ORDER BY position")
            .bind(channel.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read_input).collect()
    }

    /// Ids of every input and breakout, to forget what was heard of others.
    ///
    /// # Errors
    /// The query fails.
    pub async fn live_ids(&self) -> Result<std::collections::HashSet<String>, Error> {
        let ids: Vec<String> =
            sql::scalar("SELECT id FROM inputs UNION ALL SELECT id FROM breakouts").fetch_all(&self.readers).await?;
        Ok(ids.into_iter().collect())
    }

    /// Channels that wait for the data plane.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channels_in_transit(&self) -> Result<Vec<ChannelRow>, Error> {
        let rows = sql::query("SELECT * FROM channels WHERE state IN ($1, $2)")
            .bind(ChannelState::Starting.as_str())
            .bind(ChannelState::Stopping.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Keeps the operator's wish; the state follows unless a breakout decides otherwise. A repeated wish changes nothing.
    ///
    /// # Errors
    /// There is no such channel, a breakout on air needs it running, or the query fails.
    pub async fn channel_wish(&self, wanted: &str, wish: Wish, now_ms: i64) -> Result<ChannelRow, Error> {
        let (mut tx, version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        if wish == Wish::Rest
            && let Some(other) = on_air(&mut tx, &row.id).await?
        {
            return Err(Error::OtherOnAir { other });
        }
        let desired = wish == Wish::Run;
        if row.desired_running == desired {
            return Ok(row);
        }
        sql::query("UPDATE channels SET desired_running = $1, updated_at = $2 WHERE id = $3")
            .bind(i64::from(desired))
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut *tx)
            .await?;
        let word = if desired { "channel.wanted" } else { "channel.unwanted" };
        log::append(&mut tx, &activity(word, &row), now_ms).await?;
        settle(&mut tx, &row.id, version, now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Notes what the data plane confirmed. Does nothing when the channel has changed since `version`.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_confirm(&self, row: &ChannelRow, event: ChannelEvent, now_ms: i64) -> Result<(), Error> {
        let state = row.state.next(event)?;
        let mut tx = self.begin().await?;
        let confirmed = sql::query(
            "UPDATE channels SET state = $1, problem = NULL, updated_at = $2
             WHERE id = $3 AND state = $4 AND changed_version = $5",
        )
        .bind(state.as_str())
        .bind(now_ms)
        .bind(row.id.as_str())
        .bind(row.state.as_str())
        .bind(signed(row.changed_version))
        .execute(&mut *tx)
        .await?;
        if confirmed == 1 {
            log::append(&mut tx, &moved(row, state), now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Keeps or clears what is wrong with a channel; the data plane is not told.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_problem(&self, channel: &ChannelId, problem: Option<&str>, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = match find(&mut tx, channel.as_str()).await {
            // Deleted meanwhile.
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if row.problem.as_deref() == problem {
            return Ok(());
        }
        sql::query("UPDATE channels SET problem = $1 WHERE id = $2")
            .bind(problem)
            .bind(channel.as_str())
            .execute(&mut *tx)
            .await?;
        let entry = match problem {
            Some(problem) => {
                NewEntry::stream("channel.problem", "channel", channel.as_str()).detail("problem", problem)
            }
            None => NewEntry::stream("channel.problem_cleared", "channel", channel.as_str()),
        };
        log::append(&mut tx, &entry.channel(channel).detail("name", row.name), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a channel at rest with its inputs, distribution and breakouts.
    ///
    /// # Errors
    /// There is none, it is not `Idle`, a breakout of it is on air, or the query fails.
    pub async fn channel_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        let remedy = match (on_air(&mut tx, &row.id).await?, row.state) {
            (Some(other), _) => Some(format!("breakout {other:?} is on air; stop it first")),
            (None, ChannelState::Idle) => None,
            (None, ChannelState::Stopping) => Some("it is Stopping; wait until it is Idle".to_owned()),
            (None, state) => Some(format!("it is {}; stop it first", state.as_str())),
        };
        if let Some(remedy) = remedy {
            return Err(Error::InUse { subject: "channel", name: row.name, remedy });
        }
        breakout::log_deletes(&mut tx, &row.id, now_ms).await?;
        distribution::log_delete_of_channel(&mut tx, &row.id, now_ms).await?;
        sql::query("DELETE FROM channels WHERE id = $1").bind(row.id.as_str()).execute(&mut *tx).await?;
        log::append(&mut tx, &activity("channel.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn insert(conn: &mut Conn, new: &NewChannel, version: u64, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO channels (id, name, description, desired_running, state, changed_version, segment_target_seconds,
                               window_seconds, created_at, updated_at, idempotency_key, request_hash)
         VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $8, $9, $10)",
    )
    .bind(new.id.as_str())
    .bind(&new.name)
    .bind(&new.description)
    .bind(ChannelState::Idle.as_str())
    .bind(signed(version))
    .bind(i64::from(new.segment_target_seconds))
    .bind(i64::from(new.window_seconds))
    .bind(now_ms)
    .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
    .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
    .execute(conn)
    .await
    .map_err(|error| Error::on_insert(error, "channel", &new.name))?;
    Ok(())
}

async fn insert_parts(conn: &mut Conn, new: &NewChannel, version: u64, now_ms: i64) -> Result<(), Error> {
    for (position, input) in (0_i64..).zip(&new.inputs) {
        sql::query("INSERT INTO inputs (id, channel_id, position, stream_key) VALUES ($1, $2, $3, $4)")
            .bind(input.id.as_str())
            .bind(new.id.as_str())
            .bind(position)
            .bind(&input.stream_key)
            .execute(&mut *conn)
            .await?;
    }
    distribution::insert(conn, &new.distribution, Some(&new.id), version, now_ms).await
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<ChannelRow, Error> {
    row::find(
        conn,
        "SELECT * FROM channels WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1",
        "channel",
        wanted,
        read,
    )
    .await
}

/// Name of the channel's breakout on air.
pub(crate) async fn on_air(conn: &mut Conn, channel: &ChannelId) -> Result<Option<String>, Error> {
    let name = sql::scalar("SELECT name FROM breakouts WHERE channel_id = $1 AND state IN ('STARTING', 'RUNNING')")
        .bind(channel.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(name)
}

/// Makes the channel's state follow what is wanted now: by the operator, or by a breakout on air.
pub(crate) async fn settle(conn: &mut Conn, channel: &ChannelId, version: u64, now_ms: i64) -> Result<(), Error> {
    let row = find(&mut *conn, channel.as_str()).await?;
    let running = row.desired_running || on_air(&mut *conn, channel).await?.is_some();
    let state = row.state.next(if running { ChannelEvent::Start } else { ChannelEvent::Stop })?;
    if state == row.state {
        return Ok(());
    }
    sql::query("UPDATE channels SET state = $1, changed_version = $2, updated_at = $3 WHERE id = $4")
        .bind(state.as_str())
        .bind(signed(version))
        .bind(now_ms)
        .bind(channel.as_str())
        .execute(&mut *conn)
        .await?;
    log::append(conn, &moved(&row, state), now_ms).await?;
    Ok(())
}

fn activity(word: &'static str, row: &ChannelRow) -> NewEntry {
    NewEntry::activity(word, "channel", row.id.as_str()).channel(&row.id).detail("name", row.name.as_str())
}

/// The entry of a channel that is `row` and becomes `state`.
fn moved(row: &ChannelRow, state: ChannelState) -> NewEntry {
    let word = match state {
        ChannelState::Idle => "channel.idle",
        ChannelState::Starting => "channel.starting",
        ChannelState::Running => "channel.running",
        ChannelState::Stopping => "channel.stopping",
    };
    NewEntry::transition(word, "channel", row.id.as_str())
        .channel(&row.id)
        .detail("name", row.name.as_str())
        .detail("from", row.state.as_str())
        .detail("to", state.as_str())
}

pub(crate) fn read(row: &Row) -> Result<ChannelRow, Error> {
    Ok(ChannelRow {
        id: id(row, "id")?,
        name: text(row, "name")?,
        description: text(row, "description")?,
        desired_running: flag(row, "desired_running")?,
        state: word(row, "state", ChannelState::parse)?,
        changed_version: unsigned(row, "changed_version")?,
        segment_target_seconds: unsigned(row, "segment_target_seconds")?,
        window_seconds: unsigned(row, "window_seconds")?,
        problem: optional_text(row, "problem")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}

pub(crate) fn read_input(row: &Row) -> Result<InputRow, Error> {
    Ok(InputRow { id: id(row, "id")?, stream_key: text(row, "stream_key")? })
}
