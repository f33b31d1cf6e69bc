//! The log: transitions, what was observed of streams, and what operators did, in one sequence without gaps.

use anabranch_model::{AccountId, BreakoutId, ChannelId};
use serde_json::{Map, Value};

use crate::row::{integer, json, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error, meta};

/// Characters of a text in the details that are kept.
const TEXT_MAX: usize = 1000;

tokio::task_local! {
    static ACTOR: String;
}

/// What sort of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// A state has changed, by whomever.
    Transition,
    /// Something was observed of a stream.
    Stream,
    /// An operator has made, changed or deleted something.
    Activity,
}

impl LogKind {
    /// The one spelling for rows and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transition => "transition",
            Self::Stream => "stream",
            Self::Activity => "activity",
        }
    }

    /// The kind that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Transition, Self::Stream, Self::Activity].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Goes up by one with each entry, from 1.
    pub sequence: u64,
    /// Unix milliseconds, by the clock of the controller that wrote it.
    pub at: i64,
    /// What sort of entry.
    pub kind: LogKind,
    /// What happened, such as `breakout.running`.
    pub word: String,
    /// What it happened to, such as `breakout`.
    pub subject_kind: String,
    /// Its id.
    pub subject: String,
    /// Channel that it concerns.
    pub channel: Option<String>,
    /// Breakout that it concerns.
    pub breakout: Option<String>,
    /// Account that it concerns.
    pub account: Option<String>,
    /// Name of the token in whose name it was done; none for the system.
    pub actor: Option<String>,
    /// More, by type.
    pub details: Value,
}

/// An entry to write.
#[derive(Clone, Debug)]
pub struct NewEntry {
    kind: LogKind,
    word: &'static str,
    subject_kind: &'static str,
    subject: String,
    channel: Option<String>,
    breakout: Option<String>,
    account: Option<String>,
    details: Map<String, Value>,
}

impl NewEntry {
    /// A state that has changed. `word` is what happened, such as `breakout.running`.
    #[must_use]
    pub fn transition(word: &'static str, subject_kind: &'static str, subject: impl Into<String>) -> Self {
        Self::new(LogKind::Transition, word, subject_kind, subject.into())
    }

    /// Something observed of a stream.
    #[must_use]
    pub fn stream(word: &'static str, subject_kind: &'static str, subject: impl Into<String>) -> Self {
        Self::new(LogKind::Stream, word, subject_kind, subject.into())
    }

    /// Something that an operator did.
    #[must_use]
    pub fn activity(word: &'static str, subject_kind: &'static str, subject: impl Into<String>) -> Self {
        Self::new(LogKind::Activity, word, subject_kind, subject.into())
    }

    fn new(kind: LogKind, word: &'static str, subject_kind: &'static str, subject: String) -> Self {
        Self { kind, word, subject_kind, subject, channel: None, breakout: None, account: None, details: Map::new() }
    }

    /// It concerns this channel.
    #[must_use]
    pub fn channel(mut self, id: &ChannelId) -> Self {
        self.channel = Some(id.to_string());
        self
    }

    /// It concerns this breakout.
    #[must_use]
    pub fn breakout(mut self, id: &BreakoutId) -> Self {
        self.breakout = Some(id.to_string());
        self
    }

    /// It concerns this account.
    #[must_use]
    pub fn account(mut self, id: &AccountId) -> Self {
        self.account = Some(id.to_string());
        self
    }

    /// Adds to the details. Texts are cut at 1000 characters. Never a secret.
    #[must_use]
    pub fn detail(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(text.chars().take(TEXT_MAX).collect()),
            other => other,
        };
        self.details.insert(key.to_owned(), value);
        self
    }
}

/// Which entries are wanted. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Of this kind.
    pub kind: Option<LogKind>,
    /// Of this type or one that begins with it and a dot.
    pub word: Option<String>,
    /// About what has this id.
    pub subject: Option<String>,
    /// Concerning this channel.
    pub channel: Option<String>,
    /// Concerning this breakout.
    pub breakout: Option<String>,
    /// Concerning this account.
    pub account: Option<String>,
    /// Done in this name.
    pub actor: Option<String>,
    /// At this time or later, Unix milliseconds.
    pub since: Option<i64>,
    /// Before this time, Unix milliseconds.
    pub until: Option<i64>,
}

/// In which order entries come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogOrder {
    /// As they happened.
    #[default]
    OldestFirst,
    /// The other way.
    NewestFirst,
}

/// Which part of the log is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Behind this sequence.
    pub after: Option<u64>,
    /// Before this sequence.
    pub before: Option<u64>,
    /// In which order.
    pub order: LogOrder,
    /// Entries at most; the caller limits it.
    pub limit: u32,
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The entries.
    pub entries: Vec<LogEntry>,
    /// Whether there are more in this direction.
    pub more: bool,
    /// Sequence of the newest entry of the whole log at that moment; 0 if there is none.
    pub newest: u64,
    /// Sequence of the newest entry that is no longer kept; 0 if all are.
    pub floor: u64,
}

/// Does `work` in the name of `actor`: entries that it appends say so. What it spawns is not in that name.
pub async fn acting<F: Future>(actor: &str, work: F) -> F::Output {
    ACTOR.scope(actor.to_owned(), work).await
}

/// Writes an entry in the transaction that makes the change, and answers its sequence. There is one writer at a time, so the
/// numbers have no gaps and become visible in their order.
pub(crate) async fn append(tx: &mut Conn, entry: &NewEntry, now_ms: i64) -> Result<u64, Error> {
    let sequence: i64 = sql::scalar("UPDATE meta SET value = value + 1 WHERE key = 'log_sequence' RETURNING value")
        .fetch_one(&mut *tx)
        .await?;
    sql::query(
        "INSERT INTO log (sequence, created_at, kind, type, subject_kind, subject, channel, breakout, account, actor, details)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(sequence)
    .bind(now_ms)
    .bind(entry.kind.as_str())
    .bind(entry.word)
    .bind(entry.subject_kind)
    .bind(&entry.subject)
    .bind(&entry.channel)
    .bind(&entry.breakout)
    .bind(&entry.account)
    .bind(ACTOR.try_with(Clone::clone).ok())
    .bind(serde_json::to_string(&entry.details).unwrap_or_default())
    .execute(tx)
    .await?;
    u64::try_from(sequence).map_err(|_| Error::Value { column: "value", value: sequence.to_string() })
}

/// Entries by an index, a range and every condition, in an order.
macro_rules! select {
    ($index:literal, $order:literal) => {
        concat!(
            "SELECT * FROM log WHERE ",
            $index,
            " AND sequence > $1 AND sequence < $2 AND ($3 IS NULL OR kind = $3)
               AND ($4 IS NULL OR type = $4 OR substr(type, 1, length($4) + 1) = $4 || '.')
               AND ($5 IS NULL OR subject = $5) AND ($6 IS NULL OR channel = $6) AND ($7 IS NULL OR breakout = $7)
               AND ($8 IS NULL OR account = $8) AND ($9 IS NULL OR actor = $9)
               AND ($10 IS NULL OR created_at >= $10) AND ($11 IS NULL OR created_at < $11)
             ORDER BY sequence ",
            $order,
            " LIMIT $12"
        )
    };
}

/// The statement that finds the entries of a filter by the index that leaves the fewest.
fn statement(filter: &LogFilter, order: LogOrder) -> &'static str {
    use LogOrder::{NewestFirst, OldestFirst};
    match (order, &filter.subject, &filter.breakout, &filter.channel, &filter.actor) {
        (OldestFirst, Some(_), _, _, _) => select!("subject = $5", "ASC"),
        (OldestFirst, None, Some(_), _, _) => select!("breakout = $7", "ASC"),
        (OldestFirst, None, None, Some(_), _) => select!("channel = $6", "ASC"),
        (OldestFirst, None, None, None, Some(_)) => select!("actor = $9", "ASC"),
        (OldestFirst, None, None, None, None) => select!("1 = 1", "ASC"),
        (NewestFirst, Some(_), _, _, _) => select!("subject = $5", "DESC"),
        (NewestFirst, None, Some(_), _, _) => select!("breakout = $7", "DESC"),
        (NewestFirst, None, None, Some(_), _) => select!("channel = $6", "DESC"),
        (NewestFirst, None, None, None, Some(_)) => select!("actor = $9", "DESC"),
        (NewestFirst, None, None, None, None) => select!("1 = 1", "DESC"),
    }
}

impl Db {
    /// Writes entries about what no other change of rows stands for, such as what was observed.
    ///
    /// # Errors
    /// The query fails; then none was written.
    pub async fn log_add(&self, entries: &[NewEntry], now_ms: i64) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for entry in entries {
            append(&mut tx, entry, now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A part of the log.
    ///
    /// # Errors
    /// The query fails.
    pub async fn log_page(&self, filter: &LogFilter, range: &LogRange) -> Result<LogPage, Error> {
        // One read transaction, so that `newest` is no older than the entries.
        let mut tx = self.readers.read().await?;
        let newest = meta::mark(&mut tx, "log_sequence").await?;
        let floor = meta::mark(&mut tx, "log_floor").await?;
        let rows = sql::query(statement(filter, range.order))
            .bind(range.after.map_or(0, signed))
            .bind(range.before.map_or(i64::MAX, signed))
            .bind(filter.kind.map(LogKind::as_str))
            .bind(&filter.word)
            .bind(&filter.subject)
            .bind(&filter.channel)
            .bind(&filter.breakout)
            .bind(&filter.account)
            .bind(&filter.actor)
            .bind(filter.since)
            .bind(filter.until)
            .bind(i64::from(range.limit) + 1)
            .fetch_all(&mut tx)
            .await?;
        let mut entries = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let more = entries.len() > range.limit as usize;
        entries.truncate(range.limit as usize);
        Ok(LogPage { entries, more, newest, floor })
    }

    /// The entry with this sequence, if it is still kept.
    ///
    /// # Errors
    /// The query fails.
    pub async fn log_find(&self, sequence: u64) -> Result<Option<LogEntry>, Error> {
        let row = sql::query("SELECT * FROM log WHERE sequence = $1")
            .bind(signed(sequence))
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Sequence of the newest entry; 0 if there is none.
    ///
    /// # Errors
    /// The query fails.
    pub async fn log_newest(&self) -> Result<u64, Error> {
        meta::mark(&mut self.readers.acquire().await?, "log_sequence").await
    }
}

fn read(row: &Row) -> Result<LogEntry, Error> {
    Ok(LogEntry {
        sequence: unsigned(row, "sequence")?,
        at: integer(row, "created_at")?,
        kind: word(row, "kind", LogKind::parse)?,
        word: text(row, "type")?,
        subject_kind: text(row, "subject_kind")?,
        subject: text(row, "subject")?,
        channel: optional_text(row, "channel")?,
        breakout: optional_text(row, "breakout")?,
        account: optional_text(row, "account")?,
        actor: optional_text(row, "actor")?,
        details: json(row, "details")?,
    })
}
