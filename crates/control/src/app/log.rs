//! The log: what operators did, what has changed, and what was observed of streams, as one list and as one stream of events.

use anabranch_db::{LogFilter, LogKind, LogOrder, LogRange};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Error};
use crate::time;

/// Entries of a page when the caller names no number.
const LIMIT_DEFAULT: u32 = 50;

/// Entries of a page at most.
const LIMIT_MAX: u32 = 200;

/// Longest word of a filter, in bytes.
const WORD_MAX: usize = 128;

/// Which entries of the log, and which page of them. Conditions stack.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Entries at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// Entries behind this sequence.
    after: Option<u64>,
    /// Entries before this sequence.
    before: Option<u64>,
    /// `desc`, which is the newest first, or `asc`; `desc` if it is missing.
    sort: Option<String>,
    /// `transition`, `stream` or `activity`.
    kind: Option<String>,
    /// Type, or what types begin with: `breakout` stands for `breakout.running`, too.
    r#type: Option<String>,
    /// Entries about what has this id.
    subject: Option<String>,
    /// Entries that concern this channel, by id or name.
    channel: Option<String>,
    /// Entries that concern this breakout, by id or name.
    breakout: Option<String>,
    /// Entries that concern this account, by id.
    account: Option<String>,
    /// Entries of what was done with the token of this name.
    actor: Option<String>,
    /// Entries of this time or later (RFC 3339).
    since: Option<String>,
    /// Entries before this time (RFC 3339).
    until: Option<String>,
}

/// Which entries of the log as they come. Conditions stack.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogStreamQuery {
    /// Entries behind this sequence, those of the past first; if it is missing, what happens from now on.
    after: Option<u64>,
    /// `transition`, `stream` or `activity`.
    kind: Option<String>,
    /// Type, or what types begin with: `breakout` stands for `breakout.running`, too.
    r#type: Option<String>,
    /// Entries about what has this id.
    subject: Option<String>,
    /// Entries that concern this channel, by id or name.
    channel: Option<String>,
    /// Entries that concern this breakout, by id or name.
    breakout: Option<String>,
    /// Entries that concern this account, by id.
    account: Option<String>,
    /// Entries of what was done with the token of this name.
    actor: Option<String>,
}

/// A part of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Log {
    /// Entries in the order that was asked for.
    pub(crate) items: Vec<LogEntry>,
    /// Value of `before` for the next page, or of `after` where the oldest come first; null on the last.
    pub(crate) next: Option<String>,
    /// Sequence of the newest entry of the whole log; 0 if there is none.
    pub(crate) newest: u64,
    /// Sequence of the oldest entry that is still kept.
    pub(crate) oldest: u64,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogEntry {
    /// Goes up by one with each entry of the log.
    pub(crate) sequence: u64,
    /// RFC 3339.
    pub(crate) at: String,
    /// A state has changed, something was observed of a stream, or an operator has made, changed or deleted something.
    #[schema(example = "transition", pattern = "^(transition|stream|activity)$")]
    pub(crate) kind: &'static str,
    /// What happened.
    #[schema(example = "breakout.running")]
    pub(crate) r#type: String,
    /// What it happened to.
    pub(crate) subject: LogSubject,
    /// Channel that it concerns.
    pub(crate) channel: Option<String>,
    /// Breakout that it concerns.
    pub(crate) breakout: Option<String>,
    /// Account that it concerns.
    pub(crate) account: Option<String>,
    /// Name of the token with which it was done; null for the system.
    pub(crate) actor: Option<String>,
    /// More, by type.
    #[schema(value_type = Object)]
    pub(crate) details: serde_json::Value,
}

/// What an entry is about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogSubject {
    /// Its kind.
    #[schema(example = "breakout")]
    pub(crate) kind: String,
    /// Its id; it may be deleted by now.
    pub(crate) id: String,
}

/// An entry as everybody gets it: lists, the stream and webhooks.
pub(crate) fn view(entry: anabranch_db::LogEntry) -> LogEntry {
    LogEntry {
        sequence: entry.sequence,
        at: time::render_ms(entry.at),
        kind: entry.kind.as_str(),
        r#type: entry.word,
        subject: LogSubject { kind: entry.subject_kind, id: entry.subject },
        channel: entry.channel,
        breakout: entry.breakout,
        account: entry.account,
        actor: entry.actor,
        details: entry.details,
    }
}

impl App {
    pub(crate) async fn log_list(&self, query: LogQuery) -> Result<Log, Error> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("a page has 1 to {LIMIT_MAX} entries: {limit}")));
        }
        let order = match query.sort.as_deref() {
            None | Some("desc") => LogOrder::NewestFirst,
            Some("asc") => LogOrder::OldestFirst,
            Some(other) => return Err(Error::invalid("sort", format!("sort is asc or desc: {:?}", brief(other)))),
        };
        let range = LogRange { after: query.after, before: query.before, order, limit };
        let filter = LogFilter {
            kind: kind(query.kind.as_deref())?,
            word: word("type", query.r#type)?,
            subject: word("subject", query.subject)?,
            channel: self.channel_id(query.channel).await?,
            breakout: self.breakout_id(query.breakout).await?,
            account: word("account", query.account)?,
            actor: query.actor,
            since: when("since", query.since.as_deref())?,
            until: when("until", query.until.as_deref())?,
        };
        let page = self.db.log_page(&filter, &range).await?;
        let next = page.entries.last().filter(|_| page.more).map(|last| last.sequence.to_string());
        let items = page.entries.into_iter().map(view).collect();
        Ok(Log { items, next, newest: page.newest, oldest: page.floor + 1 })
    }

    /// What a stream of events is of, and behind which sequence it begins. `resumed` is what the reader has seen last.
    pub(crate) async fn log_follow(
        &self,
        query: LogStreamQuery,
        resumed: Option<u64>,
    ) -> Result<(LogFilter, u64), Error> {
        let after = match resumed.or(query.after) {
            Some(after) => after,
            None => self.db.log_newest().await?,
        };
        let filter = LogFilter {
            kind: kind(query.kind.as_deref())?,
            word: word("type", query.r#type)?,
            subject: word("subject", query.subject)?,
            channel: self.channel_id(query.channel).await?,
            breakout: self.breakout_id(query.breakout).await?,
            account: word("account", query.account)?,
            actor: query.actor,
            since: None,
            until: None,
        };
        Ok((filter, after))
    }

    /// The id of a channel by id or name. What has been deleted is still found by its id.
    async fn channel_id(&self, wanted: Option<String>) -> Result<Option<String>, Error> {
        let Some(wanted) = wanted else { return Ok(None) };
        match self.db.channel_find(&wanted).await {
            Err(anabranch_db::Error::NotFound { .. }) => Ok(Some(wanted)),
            found => Ok(Some(found?.id.into())),
        }
    }

    async fn breakout_id(&self, wanted: Option<String>) -> Result<Option<String>, Error> {
        let Some(wanted) = wanted else { return Ok(None) };
        match self.db.breakout_find(&wanted).await {
            Err(anabranch_db::Error::NotFound { .. }) => Ok(Some(wanted)),
            found => Ok(Some(found?.id.into())),
        }
    }
}

fn kind(word: Option<&str>) -> Result<Option<LogKind>, Error> {
    let Some(word) = word else { return Ok(None) };
    let refuse = || Error::invalid("kind", format!("a kind is transition, stream or activity: {:?}", brief(word)));
    LogKind::parse(word).map(Some).ok_or_else(refuse)
}

fn word(field: &'static str, text: Option<String>) -> Result<Option<String>, Error> {
    match text {
        Some(text) if text.is_empty() || text.len() > WORD_MAX => {
            Err(Error::invalid(field, format!("{field} has 1 to {WORD_MAX} bytes: {}", text.len())))
        }
        text => Ok(text),
    }
}

fn when(field: &'static str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    let refuse = || Error::invalid(field, format!("not a time of RFC 3339: {:?}", brief(text)));
    time::parse_seconds(text).map(|seconds| Some(seconds.saturating_mul(1000))).ok_or_else(refuse)
}

fn brief(text: &str) -> String {
    text.chars().take(100).collect()
}
