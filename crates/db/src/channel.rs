//! Channels and their inputs.

use anabranch_model::{
    BreakoutId, ChannelEvent, ChannelId, ChannelState, ChosenInput, DistributionPhase, FailoverSpec, InputId,
    InputPreference,
};

use crate::log::{self, NewEntry};
use crate::operation::{self, CHANNEL_CREATE, CHANNEL_START, CHANNEL_STOP, CHANNEL_SWITCH, CHANNEL_UPDATE};
use crate::page::paged;
use crate::row::{self, flag, id, integer, json, optional_id, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, NewDistribution, Page, PageRequest, distribution};

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
    /// Whether it is wanted: active, or stale while it is being deleted.
    pub phase: DistributionPhase,
    /// Goes up with each change of what its pipeline is.
    pub generation: u64,
    /// The generation that the provider has been given; 0 for none.
    pub observed_generation: u64,
    /// Goes up with every wish, so that a late confirmation is known as one.
    pub changed_version: u64,
    /// Segment target in seconds.
    pub segment_target_seconds: u32,
    /// Window in seconds.
    pub window_seconds: u32,
    /// How one of two inputs is chosen.
    pub failover: FailoverSpec,
    /// Addresses and blocks that may push; none stands for all.
    pub ingest_allow: Vec<String>,
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
    /// How one of two inputs is chosen; without a choice of the operator.
    pub failover: FailoverSpec,
    /// Addresses and blocks that may push; none stands for all.
    pub ingest_allow: Vec<String>,
    /// Push endpoints, in order.
    pub inputs: Vec<NewInput>,
    /// Its distribution; the idempotency key is the channel's.
    pub distribution: NewDistribution,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

/// What may be changed of a channel; what is missing stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ChannelChange {
    /// Unique name.
    pub name: Option<String>,
    /// Words for the operator.
    pub description: Option<String>,
    /// How one of two inputs is chosen; the operator's choice is left as it is.
    pub failover: Option<FailoverSpec>,
    /// Addresses and blocks that may push; none stands for all.
    pub ingest_allow: Option<Vec<String>>,
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
        let (mut tx, version) = self.wish().await?;
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
        operation::begin(&mut tx, CHANNEL_CREATE, new.id.as_str(), new.id.as_str(), now_ms).await?;
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
        page.select(&self.readers, paged!("SELECT * FROM channels WHERE ", "created_at", "id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
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

    /// Keeps the operator's wish; the state follows unless a breakout decides otherwise. A repeated wish changes nothing.
    ///
    /// # Errors
    /// There is no such channel, a breakout on air needs it running, or the query fails.
    pub async fn channel_wish(&self, wanted: &str, wish: Wish, now_ms: i64) -> Result<ChannelRow, Error> {
        let (mut tx, version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        row.check_stays()?;
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
        let plan = if desired { CHANNEL_START } else { CHANNEL_STOP };
        operation::begin(&mut tx, plan, row.id.as_str(), row.id.as_str(), now_ms).await?;
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

    /// Changes a channel; nodes are told at once.
    ///
    /// # Errors
    /// There is none, the name is taken, or the query fails.
    pub async fn channel_update(&self, wanted: &str, change: &ChannelChange, now_ms: i64) -> Result<ChannelRow, Error> {
        let (mut tx, _version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        row.check_stays()?;
        let name = change.name.as_ref().unwrap_or(&row.name);
        let failover = change.failover.as_ref().unwrap_or(&row.failover);
        sql::query(
            "UPDATE channels SET name = $1, description = $2, failover_enabled = $3, failover_loss_ms = $4,
                                 failover_clear_ms = $5, input_preference = $6, ingest_allow = $7, updated_at = $8,
                                 generation = generation + 1
             WHERE id = $9",
        )
        .bind(name)
        .bind(change.description.as_ref().unwrap_or(&row.description))
        .bind(failover.enabled)
        .bind(failover.loss_ms)
        .bind(failover.clear_ms)
        .bind(failover.preference.as_str())
        .bind(list(change.ingest_allow.as_ref().unwrap_or(&row.ingest_allow)))
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "channel", name))?;
        log::append(&mut tx, &activity("channel.changed", &row), now_ms).await?;
        operation::begin(&mut tx, CHANNEL_UPDATE, row.id.as_str(), row.id.as_str(), now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Switches a channel to one of its inputs; ingest is told at once (V93).
    ///
    /// # Errors
    /// There is no such channel or input, its preference is not equal, or the query fails.
    pub async fn channel_choose(&self, wanted: &str, input: &str, now_ms: i64) -> Result<ChannelRow, Error> {
        let (mut tx, _version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        row.check_stays()?;
        let found: Option<String> = sql::scalar("SELECT id FROM inputs WHERE channel_id = $1 AND id = $2")
            .bind(row.id.as_str())
            .bind(input)
            .fetch_optional(&mut tx)
            .await?;
        if found.is_none() {
            return Err(Error::Dangling { subject: "input", wanted: input.to_owned() });
        }
        if row.failover.preference != InputPreference::Equal {
            let remedy = "its preference is primary, which would switch back at once; make it equal first";
            return Err(Error::NotNow { subject: "channel", name: row.name, remedy: remedy.to_owned() });
        }
        sql::query(
            "UPDATE channels SET chosen_input = $1, chosen_sequence = chosen_sequence + 1, updated_at = $2 WHERE id = $3",
        )
        .bind(input)
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut tx)
        .await?;
        log::append(&mut tx, &activity("channel.input_chosen", &row).detail("input", input), now_ms).await?;
        operation::begin(&mut tx, CHANNEL_SWITCH, row.id.as_str(), row.id.as_str(), now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Notes which generation the provider has; 0 for none.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_observed(&self, wanted: &ChannelId, generation: u64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE channels SET observed_generation = $1 WHERE id = $2")
            .bind(signed(generation))
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The channel's breakout on air.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_session(&self, wanted: &ChannelId) -> Result<Option<BreakoutId>, Error> {
        let row = sql::query("SELECT id FROM breakouts WHERE channel_id = $1 AND state IN ('STARTING', 'RUNNING')")
            .bind(wanted.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(|row| id(row, "id")).transpose()
    }
}

impl ChannelRow {
    /// Refuses what makes no sense of a channel that is being deleted.
    pub(crate) fn check_stays(&self) -> Result<(), Error> {
        if self.phase == DistributionPhase::Active {
            return Ok(());
        }
        let remedy = "it is being deleted".to_owned();
        Err(Error::NotNow { subject: "channel", name: self.name.clone(), remedy })
    }
}

async fn insert(conn: &mut Conn, new: &NewChannel, version: u64, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO channels (id, name, description, desired_running, state, changed_version, segment_target_seconds,
                               window_seconds, created_at, updated_at, idempotency_key, request_hash, failover_enabled,
                               failover_loss_ms, failover_clear_ms, input_preference, ingest_allow)
         VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14, $15)",
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
    .bind(new.failover.enabled)
    .bind(new.failover.loss_ms)
    .bind(new.failover.clear_ms)
    .bind(new.failover.preference.as_str())
    .bind(list(&new.ingest_allow))
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

/// Notes that nodes are to be told something else of the channel.
pub(crate) async fn touch(conn: &mut Conn, channel: &ChannelId, now_ms: i64) -> Result<(), Error> {
    sql::query("UPDATE channels SET generation = generation + 1, updated_at = $1 WHERE id = $2")
        .bind(now_ms)
        .bind(channel.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

fn list(texts: &[String]) -> String {
    serde_json::json!(texts).to_string()
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

pub(crate) fn activity(word: &'static str, row: &ChannelRow) -> NewEntry {
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
        phase: word(row, "phase", DistributionPhase::parse)?,
        generation: unsigned(row, "generation")?,
        observed_generation: unsigned(row, "observed_generation")?,
        changed_version: unsigned(row, "changed_version")?,
        segment_target_seconds: unsigned(row, "segment_target_seconds")?,
        window_seconds: unsigned(row, "window_seconds")?,
        failover: FailoverSpec {
            enabled: flag(row, "failover_enabled")?,
            loss_ms: unsigned(row, "failover_loss_ms")?,
            clear_ms: unsigned(row, "failover_clear_ms")?,
            preference: word(row, "input_preference", InputPreference::parse)?,
            chosen: match optional_id(row, "chosen_input")? {
                Some(input) => Some(ChosenInput { input, sequence: unsigned(row, "chosen_sequence")? }),
                None => None,
            },
        },
        ingest_allow: json(row, "ingest_allow")?,
        problem: optional_text(row, "problem")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}

pub(crate) fn read_input(row: &Row) -> Result<InputRow, Error> {
    Ok(InputRow { id: id(row, "id")?, stream_key: text(row, "stream_key")? })
}
