//! The loop that delivers: rows and log in, requests out, outcomes back into rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_db::{Error, LogEntry, LogFilter, LogOrder, LogRange, WebhookRow};
use anabranch_model::WebhookId;
use anabranch_net::Shutdown;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::plan::{Plan, is_wanted};
use super::send::{Delivery, Outcome, Target};
use crate::app::App;
use crate::chain::chain;

/// Longest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Shortest time between two writings of what has become of deliveries; in between it is only in memory, and a process that
/// dies delivers it again.
const WRITE_EVERY: Duration = Duration::from_millis(200);

/// Entries read at once.
const READ_MAX: u32 = 200;

/// What a delivery needs beside its webhook.
enum Sent {
    /// It was tried.
    Tried(Outcome),
    /// The log no longer has the entry.
    Missing,
    /// The database did not answer.
    Unread,
}

/// A webhook that is told.
struct Told {
    row: WebhookRow,
    plan: Plan,
    /// Tells outcomes of this plan from those of one before.
    life: u64,
}

/// The loop, ready to run.
pub(crate) struct Driver {
    app: Arc<App>,
    told: HashMap<WebhookId, Told>,
    sends: JoinSet<(WebhookId, u64, u64, Sent)>,
    lives: u64,
    written_at: Instant,
    /// When rows of webhooks were read last; none when they are to be read at once.
    met_at: Option<Instant>,
    /// The failure that was logged last, so that a lasting one makes one line.
    failing: Option<String>,
}

impl Driver {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let sends = JoinSet::new();
        Self { app, told: HashMap::new(), sends, lives: 0, written_at: Instant::now(), met_at: None, failing: None }
    }

    /// Delivers until `shutdown`. What is under way then is delivered again after the next start.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut newest = self.app.log_newest.subscribe();
        loop {
            newest.mark_unchanged();
            let passed = self.pass().await;
            self.note(passed);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(sent) = self.sends.join_next() => self.settle(sent),
                _ = newest.changed() => {}
                () = self.app.webhooks_changed.notified() => self.met_at = None,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            while let Some(sent) = self.sends.try_join_next() {
                self.settle(sent);
            }
        }
        self.sends.shutdown().await;
        let written = self.write().await;
        self.note(written);
    }

    async fn pass(&mut self) -> Result<(), Error> {
        if !self.app.db.is_leader() {
            // Another controller delivers now, from the rows.
            self.sends.abort_all();
            self.told.clear();
            return Ok(());
        }
        self.meet_and_load().await?;
        let mut began = Vec::new();
        for (id, told) in &mut self.told {
            began.extend(told.plan.due(self.app.clock.now_ms()).into_iter().map(|sequence| (id.clone(), sequence)));
        }
        for (id, sequence) in began {
            self.begin(id, sequence);
        }
        let urgent = self.told.values().any(|told| told.plan.urgent());
        if urgent || self.written_at.elapsed() >= WRITE_EVERY {
            self.write().await?;
        }
        Ok(())
    }

    /// Reads rows and log, until no entry says that a row which was read has changed since.
    async fn meet_and_load(&mut self) -> Result<(), Error> {
        loop {
            if self.met_at.is_none_or(|met| met.elapsed() >= LOOK_AGAIN) {
                self.meet_rows().await?;
                self.met_at = Some(Instant::now());
            }
            let mut changed = false;
            for (id, told) in &mut self.told {
                changed |= load(&self.app, id, told).await? == Loaded::UpToChange;
            }
            if !changed {
                return Ok(());
            }
            self.met_at = None;
        }
    }

    /// Makes plans of webhooks that have come, and drops those of webhooks that have gone.
    async fn meet_rows(&mut self) -> Result<(), Error> {
        let rows = self.app.db.webhooks_enabled().await?;
        self.told.retain(|id, _| rows.iter().any(|row| row.id == *id));
        for row in rows {
            if let Some(told) = self.told.get_mut(&row.id) {
                if told.row.updated_at != row.updated_at {
                    told.plan.acknowledge();
                }
                told.row = row;
                continue;
            }
            let (cursor, backlog) = self.app.db.webhook_backlog(&row.id).await?;
            let plan = Plan::new(row.id.as_str(), cursor, row.attempts, row.problem.clone(), backlog);
            self.lives += 1;
            self.told.insert(row.id.clone(), Told { row, plan, life: self.lives });
        }
        Ok(())
    }

    fn begin(&mut self, id: WebhookId, sequence: u64) {
        let Some(told) = self.told.get(&id) else { return };
        let (app, life) = (self.app.clone(), told.life);
        let target = Target::of(&told.row, app.clock.now_ms());
        self.sends.spawn(async move {
            let sent = match app.db.log_find(sequence).await {
                Ok(Some(entry)) => match delivery(&id, entry) {
                    Some(delivery) => Sent::Tried(app.sender.send(&target, delivery, app.clock.now_seconds()).await),
                    None => Sent::Missing,
                },
                Ok(None) => Sent::Missing,
                Err(_) => Sent::Unread,
            };
            (id, life, sequence, sent)
        });
    }

    fn settle(&mut self, sent: Result<(WebhookId, u64, u64, Sent), tokio::task::JoinError>) {
        // A task that was aborted belongs to a plan that is no more.
        let Ok((id, life, sequence, sent)) = sent else { return };
        let Some(told) = self.told.get_mut(&id).filter(|told| told.life == life) else { return };
        let now_ms = self.app.clock.now_ms();
        let outcome = match sent {
            Sent::Tried(Outcome::Delivered(_)) => {
                told.plan.delivered(sequence, now_ms);
                "delivered"
            }
            Sent::Tried(Outcome::Failed(error)) => {
                tracing::debug!(webhook.id = %id, log.sequence = sequence, error, "delivery failed; it is tried again");
                told.plan.failed(sequence, &error, now_ms);
                "failed"
            }
            Sent::Tried(Outcome::Gone) => {
                tracing::warn!(webhook.id = %id, "the receiver answered 410: the webhook is disabled");
                told.plan.gone(sequence, "the receiver answered with status 410: it wants no more");
                "gone"
            }
            Sent::Missing => {
                told.plan.missing(sequence);
                "missing"
            }
            Sent::Unread => {
                told.plan.put_back(sequence);
                "unread"
            }
        };
        metrics::counter!("anabranch_control_webhook_deliveries_total", "outcome" => outcome).increment(1);
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.written_at = Instant::now();
        let now_ms = self.app.clock.now_ms();
        let mut disabled = Vec::new();
        let mut failed = None;
        for (id, told) in &mut self.told {
            let Some(progress) = told.plan.take_changes(now_ms) else { continue };
            for subject in &progress.gave_up {
                tracing::warn!(
                    webhook.id = %id, subject = subject.subject, entries = subject.entries, error = subject.error,
                    "a backlog is given up"
                );
            }
            if let Err(error) = self.app.db.webhook_progress(id, &progress, now_ms).await {
                failed = Some(error);
                break;
            }
            if progress.disable.is_some() {
                disabled.push(id.clone());
            }
            if progress.disable.is_some() || !progress.gave_up.is_empty() {
                self.app.log_wake.notify_one();
            }
        }
        disabled.iter().for_each(|id| drop(self.told.remove(id)));
        match failed {
            None => Ok(()),
            Some(error) => {
                // What rows did not hear is lost to memory as well; going on from the rows repeats deliveries and loses none.
                self.sends.abort_all();
                self.told.clear();
                self.met_at = None;
                Err(error)
            }
        }
    }

    /// Logs a failure when it begins and when it is over.
    fn note(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!("webhooks are told again");
                }
            }
            // Told once for all who meet it.
            Err(error) if self.app.health.met(&error) => {}
            Err(error) => {
                let text = chain(&error);
                if self.failing.as_ref() != Some(&text) {
                    tracing::error!(error = text, "webhooks cannot be told; it is tried again");
                }
                self.failing = Some(text);
            }
        }
    }
}

/// How far the log was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loaded {
    /// As far as there is room.
    Whole,
    /// To an entry that says that the webhook was changed: what comes after it is judged by the row as it is then.
    UpToChange,
}

/// Takes in what the log has more, as far as there is room and the row is known to hold.
async fn load(app: &App, id: &WebhookId, told: &mut Told) -> Result<Loaded, Error> {
    loop {
        let limit = u32::try_from(told.plan.room()).unwrap_or(READ_MAX).min(READ_MAX);
        if limit == 0 || told.plan.loaded() >= *app.log_newest.borrow() {
            return Ok(Loaded::Whole);
        }
        let range = LogRange { after: Some(told.plan.loaded()), before: None, order: LogOrder::OldestFirst, limit };
        let mut page = app.db.log_page(&LogFilter::default(), &range).await?;
        let change =
            page.entries.iter().position(|entry| entry.subject_kind == "webhook" && entry.subject == id.as_str());
        if let Some(at) = change {
            page.entries.truncate(at + 1);
        }
        let whole = change.is_none() && !page.more;
        let upto = if whole { page.newest } else { page.entries.last().map_or(page.newest, |last| last.sequence) };
        let types = &told.row.types;
        let wanted = page.entries.into_iter().filter(|entry| is_wanted(types, &entry.word));
        let wanted = wanted.map(|entry| (entry.sequence, format!("{}:{}", entry.subject_kind, entry.subject)));
        told.plan.load(wanted, upto);
        if change.is_some() {
            return Ok(Loaded::UpToChange);
        }
        if whole {
            return Ok(Loaded::Whole);
        }
    }
}

fn delivery(webhook: &WebhookId, entry: LogEntry) -> Option<Delivery> {
    let name = format!("{webhook}-{}", entry.sequence);
    let event = entry.word.clone();
    let body = serde_json::to_vec(&crate::app::log::view(entry)).ok()?;
    Some(Delivery { event, name, body: body.into() })
}
