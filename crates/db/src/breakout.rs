//! Breakouts.

use anabranch_model::{BreakoutEvent, BreakoutId, BreakoutState, ChannelId, EventId};

use crate::log::{self, NewEntry};
use crate::operation::{self, BREAKOUT_START, BREAKOUT_STOP, CHANNEL_UPDATE};
use crate::row::{
    self, flag, id, integer, json, optional_id, optional_integer, optional_text, signed, text, unsigned, word,
};
use crate::sql::{self, Conn, Row};
use crate::{Created, Db, Error, Idempotency, channel, event, exit, recording};

/// What is kept of viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attendance {
    /// Session, user, address and user agent.
    #[default]
    Full,
    /// Session and user, browser and system, but no address.
    Anonymous,
    /// Nothing but what a device limit needs.
    Off,
}

impl Attendance {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Anonymous => "anonymous",
            Self::Off => "off",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Full, Self::Anonymous, Self::Off].into_iter().find(|value| value.as_str() == word)
    }
}

/// What an operator decides of a breakout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakoutContent {
    /// Unique name.
    pub name: String,
    /// Words for the operator.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Event that it belongs to.
    pub event: Option<EventId>,
    /// Addresses and blocks that may push while it is on air, in place of the channel's; none stands for those.
    pub ingest_allow: Vec<String>,
    /// Unix milliseconds; when it is meant to begin.
    pub scheduled_at: Option<i64>,
    /// How long it is meant to last.
    pub duration_minutes: Option<u32>,
    /// Whether the audience may see it while it is on air (V83).
    pub curtain_up: bool,
    /// Sessions of one user at a time; 0 is no limit (V112).
    pub device_limit: u32,
    /// What is kept of viewers.
    pub attendance: Attendance,
    /// Whether an MP4 of the recording is made by itself (V73).
    pub mp4: bool,
    /// Whether the viewers' page says how many watch.
    pub show_viewers: bool,
    /// Whether viewers are offered the MP4 of the recording (V84).
    pub viewer_download: bool,
}

impl BreakoutContent {
    /// A breakout of this name, as V112 and the rest say.
    #[must_use]
    pub fn named(name: String) -> Self {
        Self {
            name,
            description: String::new(),
            tags: Vec::new(),
            event: None,
            ingest_allow: Vec::new(),
            scheduled_at: None,
            duration_minutes: None,
            curtain_up: true,
            device_limit: 1,
            attendance: Attendance::Full,
            mp4: false,
            show_viewers: false,
            viewer_download: false,
        }
    }

    /// Unix milliseconds at which it is meant to end.
    #[must_use]
    pub fn ends_at(&self) -> Option<i64> {
        Some(self.scheduled_at?.saturating_add(i64::from(self.duration_minutes?) * 60_000))
    }
}

/// A breakout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakoutRow {
    /// Identifier.
    pub id: BreakoutId,
    /// Channel that feeds it; none once that was deleted.
    pub channel: Option<ChannelId>,
    /// Name of the cluster that it is a stream of, in this region and others.
    pub cluster: Option<String>,
    /// What the operator has decided.
    pub content: BreakoutContent,
    /// Where it is in its life.
    pub state: BreakoutState,
    /// Which session of it this is, from 1.
    pub session: u32,
    /// Signatures made before are refused, Unix seconds.
    pub revoked_before: i64,
    /// How often the pages of all viewers were told to begin anew.
    pub refreshes: u64,
    /// Goes up with every wish, so that a late confirmation is known as one.
    pub changed_version: u64,
    /// What is wrong, in words.
    pub problem: Option<String>,
    /// What had to be repaired when it started, in words.
    pub notice: Option<String>,
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
    /// Id or name of its channel.
    pub channel: String,
    /// Name of the cluster that it is a stream of.
    pub cluster: Option<String>,
    /// What the operator has decided.
    pub content: BreakoutContent,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
    /// Makes a breakout, not on air.
    ///
    /// # Errors
    /// There is no such channel or event, it would end after its event, the name is taken, the idempotency key was used
    /// otherwise, or the query fails.
    pub async fn breakout_create(&self, new: &NewBreakout, now_ms: i64) -> Result<Created<BreakoutRow>, Error> {
        let (mut tx, version) = self.wish().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM breakouts WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        let channel = channel::find(&mut tx, &new.channel).await?;
        channel.check_stays()?;
        sql::query(
            "INSERT INTO breakouts (id, name, channel_id, state, changed_version, created_at, updated_at,
                                    idempotency_key, request_hash, cluster)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9)",
        )
        .bind(new.id.as_str())
        .bind(&new.content.name)
        .bind(channel.id.as_str())
        .bind(BreakoutState::Idle.as_str())
        .bind(signed(version))
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .bind(&new.cluster)
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "breakout", &new.content.name))?;
        put(&mut tx, &new.id, &new.content, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        log::append(&mut tx, &activity("breakout.created", &row), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Gives a breakout what an operator has decided anew.
    ///
    /// # Errors
    /// There is none, it is over and what changes is frozen (V85), there is no such event, it would end after its event, the name
    /// is taken, or the query fails.
    pub async fn breakout_update(
        &self,
        wanted: &str,
        content: &BreakoutContent,
        now_ms: i64,
    ) -> Result<BreakoutRow, Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        if row.content == *content {
            return Ok(row);
        }
        if row.state == BreakoutState::Completed
            && let Some(frozen) = frozen(&row.content, content)
        {
            let remedy = format!("{frozen} is frozen since it is COMPLETED; reset it, or create another");
            return Err(Error::NotNow { subject: "breakout", name: row.content.name, remedy });
        }
        put(&mut tx, &row.id, content, now_ms).await?;
        log::append(&mut tx, &activity("breakout.changed", &row), now_ms).await?;
        if is_on_air(row.state)
            && row.content.ingest_allow != content.ingest_allow
            && let Some(channel) = &row.channel
        {
            channel::touch(&mut tx, channel, now_ms).await?;
            operation::begin(&mut tx, CHANNEL_UPDATE, channel.as_str(), channel.as_str(), now_ms).await?;
        }
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Raises or lowers the curtain; edges are told at once.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn breakout_curtain(&self, wanted: &str, up: bool, now_ms: i64) -> Result<BreakoutRow, Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        if row.content.curtain_up == up {
            return Ok(row);
        }
        let word = if up { "breakout.curtain_raised" } else { "breakout.curtain_lowered" };
        log::append(&mut tx, &activity(word, &row), now_ms).await?;
        sql::query("UPDATE breakouts SET curtain_up = $1, updated_at = $2 WHERE id = $3")
            .bind(up)
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Refuses every signature of the breakout that was made before `before_seconds`; edges are told at once.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn breakout_revoke(&self, wanted: &str, before_seconds: i64, now_ms: i64) -> Result<BreakoutRow, Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        log::append(&mut tx, &activity("breakout.revoked", &row), now_ms).await?;
        sql::query("UPDATE breakouts SET revoked_before = $1, updated_at = $2 WHERE id = $3")
            .bind(before_seconds.max(row.revoked_before))
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The breakout with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn breakout_find(&self, wanted: &str) -> Result<BreakoutRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// Moves a breakout by an operator's event; its channel and its recording follow in the same transaction.
    ///
    /// # Errors
    /// There is none, the event is not legal, another breakout of the channel is on air, or the query fails.
    pub async fn breakout_event(&self, wanted: &str, event: BreakoutEvent, now_ms: i64) -> Result<BreakoutRow, Error> {
        let (mut tx, version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        let state = row.state.next(event)?;
        if state == row.state {
            return Ok(row);
        }
        let (was, is) = (is_on_air(row.state), is_on_air(state));
        let Some(channel) = row.channel.clone() else {
            let remedy = "its channel was deleted; create another breakout".to_owned();
            return Err(Error::NotNow { subject: "breakout", name: row.content.name, remedy });
        };
        if is
            && !was
            && let Some(other) = channel::on_air(&mut tx, &channel).await?
        {
            return Err(Error::OtherOnAir { other });
        }
        let started_at = match state {
            BreakoutState::Idle => None,
            BreakoutState::Starting => Some(now_ms),
            BreakoutState::Running | BreakoutState::Completed => row.started_at,
        };
        let ended_at = (state == BreakoutState::Completed).then_some(now_ms);
        // What comes after an end has media of its own.
        let session = if state == BreakoutState::Idle { row.session + 1 } else { row.session };
        sql::query(
            "UPDATE breakouts SET state = $1, changed_version = $2, started_at = $3, ended_at = $4, updated_at = $5,
                                  session = $6, problem = NULL, notice = NULL
             WHERE id = $7",
        )
        .bind(state.as_str())
        .bind(signed(version))
        .bind(started_at)
        .bind(ended_at)
        .bind(now_ms)
        .bind(session)
        .bind(row.id.as_str())
        .execute(&mut tx)
        .await?;
        log::append(&mut tx, &moved(&row, state).detail("event", event_word(event)), now_ms).await?;
        match (event, state) {
            (_, BreakoutState::Starting) => recording::begin(&mut tx, &row.id, row.session, now_ms).await?,
            (_, BreakoutState::Completed) => recording::end(&mut tx, &row.id, row.session, now_ms).await?,
            (BreakoutEvent::Abort, _) => recording::discard(&mut tx, &row.id, row.session, now_ms).await?,
            _ => {}
        }
        if was && !is {
            exit::leave(&mut tx, &row.id, now_ms).await?;
        }
        channel::settle(&mut tx, &channel, version, now_ms).await?;
        if was != is {
            if !row.content.ingest_allow.is_empty() {
                channel::touch(&mut tx, &channel, now_ms).await?;
            }
            let plan = if is { BREAKOUT_START } else { BREAKOUT_STOP };
            operation::begin(&mut tx, plan, row.id.as_str(), channel.as_str(), now_ms).await?;
        }
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
        .execute(&mut tx)
        .await?;
        if moves == 1 {
            log::append(&mut tx, &moved(row, state), now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a breakout that is not on air, with its recordings.
    ///
    /// # Errors
    /// There is none, it is on air, or the query fails.
    pub async fn breakout_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        if is_on_air(row.state) {
            let remedy = format!("it is {}; stop it first", row.state.as_str());
            return Err(Error::InUse { subject: "breakout", name: row.content.name, remedy });
        }
        recording::remove_all(&mut tx, &row.id, now_ms).await?;
        sql::query("DELETE FROM breakouts WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &activity("breakout.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Writes that the breakouts of a channel that never were on air go with it.
pub(crate) async fn log_deletes(tx: &mut Conn, channel: &ChannelId, now_ms: i64) -> Result<(), Error> {
    let rows = sql::query(
        "SELECT * FROM breakouts WHERE channel_id = $1 AND state = 'IDLE' AND session = 1 ORDER BY created_at, id",
    )
    .bind(channel.as_str())
    .fetch_all(&mut *tx)
    .await?;
    for row in &rows {
        log::append(tx, &activity("breakout.deleted", &read(row)?), now_ms).await?;
    }
    Ok(())
}

pub(crate) fn activity(word: &'static str, row: &BreakoutRow) -> NewEntry {
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

pub(crate) fn about(entry: NewEntry, row: &BreakoutRow) -> NewEntry {
    let entry = match &row.channel {
        Some(channel) => entry.channel(channel),
        None => entry,
    };
    entry.breakout(&row.id).detail("name", row.content.name.as_str())
}

fn is_on_air(state: BreakoutState) -> bool {
    matches!(state, BreakoutState::Starting | BreakoutState::Running)
}

/// What may not change once a breakout is over (V85).
fn frozen(before: &BreakoutContent, after: &BreakoutContent) -> Option<&'static str> {
    [
        ("mp4", before.mp4 != after.mp4),
        ("ingest_allow", before.ingest_allow != after.ingest_allow),
        ("scheduled_at", before.scheduled_at != after.scheduled_at),
        ("duration_minutes", before.duration_minutes != after.duration_minutes),
    ]
    .into_iter()
    .find_map(|(name, changed)| changed.then_some(name))
}

/// Writes the decisions of an operator, if the breakout's event allows them.
async fn put(conn: &mut Conn, breakout: &BreakoutId, content: &BreakoutContent, now_ms: i64) -> Result<(), Error> {
    if let Some(wanted) = &content.event {
        let event = event::event(&mut *conn, wanted.as_str()).await.map_err(Error::dangling)?;
        if let (Some(ends), Some(event_ends)) = (content.ends_at(), event.ends_at)
            && ends > event_ends
        {
            let remedy = format!("it would end after its event {:?}; begin earlier, or make it shorter", event.name);
            return Err(Error::NotNow { subject: "breakout", name: content.name.clone(), remedy });
        }
    }
    sql::query(
        "UPDATE breakouts SET name = $1, description = $2, tags = $3, event_id = $4, ingest_allow = $5, scheduled_at = $6,
                              duration_minutes = $7, curtain_up = $8, device_limit = $9, attendance = $10, mp4 = $11,
                              show_viewers = $12, viewer_download = $13, updated_at = $14
         WHERE id = $15",
    )
    .bind(&content.name)
    .bind(&content.description)
    .bind(serde_json::json!(content.tags).to_string())
    .bind(content.event.as_ref().map(EventId::as_str))
    .bind(serde_json::json!(content.ingest_allow).to_string())
    .bind(content.scheduled_at)
    .bind(content.duration_minutes.map(i64::from))
    .bind(content.curtain_up)
    .bind(content.device_limit)
    .bind(content.attendance.as_str())
    .bind(content.mp4)
    .bind(content.show_viewers)
    .bind(content.viewer_download)
    .bind(now_ms)
    .bind(breakout.as_str())
    .execute(conn)
    .await
    .map_err(|error| Error::on_insert(error, "breakout", &content.name))?;
    Ok(())
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<BreakoutRow, Error> {
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
    let duration_minutes = optional_integer(row, "duration_minutes")?;
    Ok(BreakoutRow {
        id: id(row, "id")?,
        channel: optional_id(row, "channel_id")?,
        cluster: optional_text(row, "cluster")?,
        content: BreakoutContent {
            name: text(row, "name")?,
            description: text(row, "description")?,
            tags: json(row, "tags")?,
            event: optional_id(row, "event_id")?,
            ingest_allow: json(row, "ingest_allow")?,
            scheduled_at: optional_integer(row, "scheduled_at")?,
            duration_minutes: duration_minutes.and_then(|minutes| u32::try_from(minutes).ok()),
            curtain_up: flag(row, "curtain_up")?,
            device_limit: unsigned(row, "device_limit")?,
            attendance: word(row, "attendance", Attendance::parse)?,
            mp4: flag(row, "mp4")?,
            show_viewers: flag(row, "show_viewers")?,
            viewer_download: flag(row, "viewer_download")?,
        },
        state: word(row, "state", BreakoutState::parse)?,
        session: unsigned(row, "session")?,
        revoked_before: integer(row, "revoked_before")?,
        refreshes: unsigned(row, "refreshes")?,
        changed_version: unsigned(row, "changed_version")?,
        problem: optional_text(row, "problem")?,
        notice: optional_text(row, "notice")?,
        started_at: optional_integer(row, "started_at")?,
        ended_at: optional_integer(row, "ended_at")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
