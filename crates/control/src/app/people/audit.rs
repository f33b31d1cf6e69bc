//! The audit: who asked for which change, when and from where, and what became of it.

use anabranch_db::{AuditFilter, AuditRow, NewAudit, PageOrder};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use utoipa::{IntoParams, ToSchema};

use super::via::Via;
use crate::app::{App, Error, page};
use crate::time;

/// Rows that wait to be written; more are lost, and counted.
const QUEUE: usize = 10_000;

/// Rows written at once.
pub(super) const BATCH: usize = 500;

/// Rows of a page when the caller names no number.
const LIMIT_DEFAULT: u32 = 50;

/// Rows of a page at most.
const LIMIT_MAX: u32 = 200;

/// Longest word of a filter, in bytes.
const WORD_MAX: usize = 256;

/// Which rows of the audit. Conditions stack.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Of the user or token with this name.
    actor: Option<String>,
    /// About this kind of thing, such as `breakout`.
    object: Option<String>,
    /// About this one, as the request named it.
    subject: Option<String>,
    /// Of this time or later (RFC 3339).
    since: Option<String>,
    /// Before this time (RFC 3339).
    until: Option<String>,
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `newest` or `oldest`: what comes first; `newest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
}

/// A request that wanted to change something, done or refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    /// Goes up by one with each.
    id: u64,
    /// When it was answered (RFC 3339).
    at: String,
    /// Name of the user or token; null if the request showed none that is known.
    actor: Option<String>,
    /// `user`, `token` or `none`.
    #[schema(example = "user", pattern = "^(user|token|none)$")]
    actor_kind: String,
    /// Operation of this document.
    #[schema(example = "breakout_stop")]
    operation: String,
    /// Kind of what it is about.
    #[schema(example = "breakout")]
    object: String,
    /// What it is about, as the request named it.
    subject: Option<String>,
    /// Status of the answer.
    status: u16,
    /// Address that it came from.
    remote: String,
    /// `X-Request-ID` of the answer, by which logs know it.
    request_id: String,
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    /// Items in the order that was asked for.
    items: Vec<Audit>,
    /// Value of `cursor` for the next page; null on the last.
    next: Option<String>,
}

/// Rows on their way into the database.
pub(super) struct Queue {
    sender: mpsc::Sender<NewAudit>,
    pub(super) waiting: Mutex<Waiting>,
}

/// The other end.
pub(super) struct Waiting {
    pub(super) receiver: mpsc::Receiver<NewAudit>,
    /// Taken, and not written yet.
    pub(super) batch: Vec<NewAudit>,
}

impl Queue {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, waiting: Mutex::new(Waiting { receiver, batch: Vec::new() }) }
    }
}

impl App {
    /// Keeps a request, without waiting for it to be written.
    pub(crate) fn audit(&self, entry: NewAudit, via: &Via) {
        let refused = matches!(entry.status, 401 | 403 | 429);
        if refused {
            // Who knocks all day must not push out what was done.
            let people = &self.people;
            let taken =
                people.refused.take(&via.sender(), entry.at).and_then(|()| people.refused_of_all.take(&(), entry.at));
            if taken.is_err() {
                metrics::counter!("anabranch_control_audit_skipped_total").increment(1);
                return;
            }
        }
        if self.people.audit.sender.try_send(entry).is_err() {
            metrics::counter!("anabranch_control_audit_lost_total").increment(1);
        }
    }

    pub(crate) async fn audit_list(&self, query: AuditQuery) -> Result<AuditPage, Error> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("a page has 1 to {LIMIT_MAX} items: {limit}")));
        }
        let behind = query.cursor.as_deref().map(str::parse::<u64>).transpose();
        let behind = behind.map_err(|_| Error::invalid("cursor", "not what a list has answered as \"next\""))?;
        let filter = AuditFilter {
            actor: word("actor", query.actor)?,
            object: word("object", query.object)?,
            subject: word("subject", query.subject)?,
            since: crate::app::names::time("since", query.since.as_deref())?,
            until: crate::app::names::time("until", query.until.as_deref())?,
        };
        let order = query.order.as_deref().map_or(Ok(PageOrder::NewestFirst), page::order)?;
        let (rows, more) = self.db.audit_page(&filter, order, behind, limit).await?;
        let next = rows.last().filter(|_| more).map(|row| row.sequence.to_string());
        Ok(AuditPage { items: rows.into_iter().map(view).collect(), next })
    }
}

fn word(field: &'static str, text: Option<String>) -> Result<Option<String>, Error> {
    match text {
        Some(text) if text.is_empty() || text.len() > WORD_MAX => {
            Err(Error::invalid(field, format!("{field} has 1 to {WORD_MAX} bytes: {}", text.len())))
        }
        text => Ok(text),
    }
}

fn view(row: AuditRow) -> Audit {
    let entry = row.entry;
    Audit {
        id: row.sequence,
        at: time::render_ms(entry.at),
        actor: entry.actor,
        actor_kind: entry.actor_kind,
        operation: entry.operation,
        object: entry.object,
        subject: entry.subject,
        status: entry.status,
        remote: entry.remote,
        request_id: entry.request_id,
    }
}
