//! Webhooks: where entries of the log are told, how far each has got, and what it has not taken yet.

use anabranch_model::WebhookId;

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, flag, id, integer, optional_integer, optional_text, signed, text, unsigned};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest, meta};

/// A webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Identifier.
    pub id: WebhookId,
    /// Where entries are posted.
    pub url: String,
    /// What signs.
    pub secret: String,
    /// The secret before, and until when it signs as well, in Unix milliseconds.
    pub secret_before: Option<(String, i64)>,
    /// Types and beginnings of types that are told; empty stands for all.
    pub types: Vec<String>,
    /// Whether entries are told.
    pub enabled: bool,
    /// Every entry up to this one is delivered, not wanted, or in the backlog.
    pub cursor: u64,
    /// What is wrong, in words.
    pub problem: Option<String>,
    /// Failures since the last success.
    pub attempts: u64,
    /// When the next failed one is tried again, Unix milliseconds.
    pub next_try_at: Option<i64>,
    /// Entries delivered.
    pub delivered_total: u64,
    /// Attempts that failed.
    pub failed_total: u64,
    /// Entries given up.
    pub given_up_total: u64,
    /// Last success, Unix milliseconds.
    pub delivered_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; of what an operator gave it.
    pub updated_at: i64,
}

impl std::fmt::Debug for WebhookRow {
    // Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookRow").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

/// A webhook to make. It is told what happens from then on.
#[derive(Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Where entries are posted.
    pub url: String,
    /// What signs.
    pub secret: String,
    /// Types and beginnings of types; empty stands for all.
    pub types: Vec<String>,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

/// What is to become different; what is missing stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// Where entries are posted.
    pub url: Option<String>,
    /// Types and beginnings of types; empty stands for all.
    pub types: Option<Vec<String>>,
    /// Whether entries are told.
    pub enabled: Option<bool>,
}

/// An entry that a webhook has not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogRow {
    /// Sequence of the entry.
    pub sequence: u64,
    /// Entries of one subject wait for each other.
    pub subject: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it failed first, Unix milliseconds.
    pub first_failed_at: Option<i64>,
    /// When it is tried again, Unix milliseconds.
    pub next_try_at: i64,
    /// Why it failed last.
    pub error: Option<String>,
}

/// A subject whose backlog is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaveUp {
    /// The subject.
    pub subject: String,
    /// Entries that are lost to the webhook.
    pub entries: u64,
    /// Why they failed last.
    pub error: String,
}

/// What has become of deliveries of one webhook since the last time. Written whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookProgress {
    /// Every entry up to this one is delivered, not wanted, or in the backlog.
    pub cursor: u64,
    /// Rows of the backlog, new or with another attempt.
    pub parked: Vec<BacklogRow>,
    /// Sequences that are no longer in the backlog.
    pub removed: Vec<u64>,
    /// Successes.
    pub delivered: u64,
    /// Failures.
    pub failed: u64,
    /// Subjects that are given up.
    pub gave_up: Vec<GaveUp>,
    /// Why it tells nothing any more.
    pub disable: Option<String>,
    /// What is wrong; none when the last attempt succeeded.
    pub problem: Option<String>,
    /// Failures since the last success.
    pub attempts: u64,
    /// When the next failed one is tried again, Unix milliseconds.
    pub next_try_at: Option<i64>,
}

impl Db {
    /// Makes a webhook.
    ///
    /// # Errors
    /// The idempotency key was used otherwise, or the query fails.
    pub async fn webhook_create(&self, new: &NewWebhook, now_ms: i64) -> Result<Created<WebhookRow>, Error> {
        let mut tx = self.begin().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM webhooks WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        let newest = meta::mark(&mut tx, "log_sequence").await?;
        sql::query(
            "INSERT INTO webhooks (id, url, secret, types, enabled, log_cursor, created_at, updated_at, idempotency_key,
                                   request_hash)
             VALUES ($1, $2, $3, $4, 1, $5, $6, $6, $7, $8)",
        )
        .bind(new.id.as_str())
        .bind(&new.url)
        .bind(&new.secret)
        .bind(new.types.join(","))
        .bind(signed(newest))
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut tx)
        .await?;
        let entry = activity("webhook.created", &new.id).detail("types", new.types.clone());
        log::append(&mut tx, &entry, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Changes a webhook. To enable it, again or still, is to say that its problem was seen, so that it is cleared. One that was
    /// disabled goes on at its cursor, or at the oldest entry that is still kept.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn webhook_update(&self, wanted: &str, change: &WebhookChange, now_ms: i64) -> Result<WebhookRow, Error> {
        let mut tx = self.begin().await?;
        let before = find(&mut tx, wanted).await?;
        let url = change.url.as_ref().unwrap_or(&before.url);
        let types = change.types.as_ref().unwrap_or(&before.types);
        let enabled = change.enabled.unwrap_or(before.enabled);
        let (mut cursor, mut problem, mut given_up) = (before.cursor, before.problem.clone(), before.given_up_total);
        let mut attempts = before.attempts;
        if change.enabled == Some(true) {
            // Whoever says so has seen what was wrong.
            problem = None;
            attempts = 0;
        }
        if enabled && !before.enabled {
            let floor = meta::mark(&mut tx, "log_floor").await?;
            if cursor < floor {
                problem = Some(format!("{} entries were no longer kept when it was enabled again", floor - cursor));
                given_up += floor - cursor;
                cursor = floor;
            }
        }
        sql::query(
            "UPDATE webhooks SET url = $1, types = $2, enabled = $3, problem = $4, log_cursor = $5, given_up_total = $6,
                                 attempts = $7, updated_at = $8
             WHERE id = $9",
        )
        .bind(url)
        .bind(types.join(","))
        .bind(enabled)
        .bind(&problem)
        .bind(signed(cursor))
        .bind(signed(given_up))
        .bind(signed(attempts))
        .bind(now_ms)
        .bind(before.id.as_str())
        .execute(&mut tx)
        .await?;
        let after = find(&mut tx, before.id.as_str()).await?;
        let same = WebhookRow { updated_at: before.updated_at, ..after.clone() } == before;
        if same {
            return Ok(before);
        }
        let entry = activity("webhook.updated", &before.id).detail("types", types.clone()).detail("enabled", enabled);
        log::append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Gives a webhook another secret; the one that it has signs as well until `keep_until_ms`.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn webhook_rotate(
        &self,
        wanted: &str,
        secret: &str,
        keep_until_ms: i64,
        now_ms: i64,
    ) -> Result<WebhookRow, Error> {
        let mut tx = self.begin().await?;
        let before = find(&mut tx, wanted).await?;
        sql::query(
            "UPDATE webhooks SET secret_before = secret, secret_before_until = $1, secret = $2, updated_at = $3
             WHERE id = $4",
        )
        .bind(keep_until_ms)
        .bind(secret)
        .bind(now_ms)
        .bind(before.id.as_str())
        .execute(&mut tx)
        .await?;
        log::append(&mut tx, &activity("webhook.secret_rotated", &before.id), now_ms).await?;
        let row = find(&mut tx, before.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes a webhook with its backlog.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn webhook_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        sql::query("DELETE FROM webhooks WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &activity("webhook.deleted", &row.id), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The webhook with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn webhook_find(&self, wanted: &str) -> Result<WebhookRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// A page of webhooks.
    ///
    /// # Errors
    /// The query fails.
    pub async fn webhook_page(&self, page: &PageRequest) -> Result<Page<WebhookRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM webhooks WHERE ", "created_at", "id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
        .await
    }

    /// How many webhooks there are, enabled or not.
    ///
    /// # Errors
    /// The query fails.
    pub async fn webhook_count(&self) -> Result<u64, Error> {
        let count: i64 = sql::scalar("SELECT COUNT(*) FROM webhooks").fetch_one(&self.readers).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Webhooks that are told.
    ///
    /// # Errors
    /// The query fails.
    pub async fn webhooks_enabled(&self) -> Result<Vec<WebhookRow>, Error> {
        let rows = sql::query("SELECT * FROM webhooks WHERE enabled = 1 ORDER BY id").fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// How far the webhook has got and what it has not taken, of one moment; oldest first.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn webhook_backlog(&self, webhook: &WebhookId) -> Result<(u64, Vec<BacklogRow>), Error> {
        let mut tx = self.readers.read().await?;
        let cursor = find(&mut tx, webhook.as_str()).await?.cursor;
        let rows = sql::query("SELECT * FROM webhook_backlog WHERE webhook_id = $1 ORDER BY sequence")
            .bind(webhook.as_str())
            .fetch_all(&mut tx)
            .await?;
        Ok((cursor, rows.iter().map(read_backlog).collect::<Result<_, _>>()?))
    }

    /// Entries in the backlog of a webhook.
    ///
    /// # Errors
    /// The query fails.
    pub async fn webhook_backlog_count(&self, webhook: &WebhookId) -> Result<u64, Error> {
        let count: i64 = sql::scalar("SELECT COUNT(*) FROM webhook_backlog WHERE webhook_id = $1")
            .bind(webhook.as_str())
            .fetch_one(&self.readers)
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Keeps what has become of deliveries. Nothing when the webhook was deleted meanwhile.
    ///
    /// # Errors
    /// The query fails; then nothing was written.
    pub async fn webhook_progress(
        &self,
        webhook: &WebhookId,
        progress: &WebhookProgress,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let given_up: u64 = progress.gave_up.iter().map(|subject| subject.entries).sum();
        let known = sql::query(
            "UPDATE webhooks SET log_cursor = CASE WHEN log_cursor < $1 THEN $1 ELSE log_cursor END,
                                 delivered_total = delivered_total + $2, failed_total = failed_total + $3,
                                 given_up_total = given_up_total + $4, problem = $5, attempts = $6, next_try_at = $7,
                                 delivered_at = CASE WHEN $2 > 0 THEN $8 ELSE delivered_at END
             WHERE id = $9",
        )
        .bind(signed(progress.cursor))
        .bind(signed(progress.delivered))
        .bind(signed(progress.failed))
        .bind(signed(given_up))
        .bind(&progress.problem)
        .bind(signed(progress.attempts))
        .bind(progress.next_try_at)
        .bind(now_ms)
        .bind(webhook.as_str())
        .execute(&mut tx)
        .await?;
        if known == 0 {
            return Ok(());
        }
        for row in &progress.parked {
            park(&mut tx, webhook, row).await?;
        }
        for sequence in &progress.removed {
            sql::query("DELETE FROM webhook_backlog WHERE webhook_id = $1 AND sequence = $2")
                .bind(webhook.as_str())
                .bind(signed(*sequence))
                .execute(&mut tx)
                .await?;
        }
        for subject in &progress.gave_up {
            let entry = NewEntry::transition("webhook.gave_up", "webhook", webhook.as_str())
                .detail("subject", subject.subject.as_str())
                .detail("entries", subject.entries)
                .detail("error", subject.error.as_str());
            log::append(&mut tx, &entry, now_ms).await?;
        }
        if let Some(reason) = &progress.disable {
            disable(&mut tx, webhook.as_str(), reason, now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn park(tx: &mut Conn, webhook: &WebhookId, row: &BacklogRow) -> Result<(), Error> {
    sql::query(
        "INSERT INTO webhook_backlog (webhook_id, sequence, subject, attempts, first_failed_at, next_try_at, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (webhook_id, sequence) DO UPDATE SET attempts = $4, first_failed_at = $5, next_try_at = $6, error = $7",
    )
    .bind(webhook.as_str())
    .bind(signed(row.sequence))
    .bind(&row.subject)
    .bind(signed(row.attempts))
    .bind(row.first_failed_at)
    .bind(row.next_try_at)
    .bind(&row.error)
    .execute(tx)
    .await?;
    Ok(())
}

/// Stops telling a webhook, visibly.
async fn disable(tx: &mut Conn, webhook: &str, reason: &str, now_ms: i64) -> Result<(), Error> {
    sql::query("UPDATE webhooks SET enabled = 0, problem = $1, next_try_at = NULL WHERE id = $2")
        .bind(reason)
        .bind(webhook)
        .execute(&mut *tx)
        .await?;
    let entry = NewEntry::transition("webhook.disabled", "webhook", webhook).detail("reason", reason);
    log::append(tx, &entry, now_ms).await?;
    Ok(())
}

/// The oldest sequence that an enabled webhook has not got. One that is behind `hard` is disabled instead of waited for.
pub(crate) async fn needed_from(tx: &mut Conn, hard: u64, now_ms: i64) -> Result<u64, Error> {
    let rows = sql::query(
        "SELECT w.id, w.log_cursor, (SELECT MIN(b.sequence) FROM webhook_backlog b WHERE b.webhook_id = w.id) AS parked
         FROM webhooks w WHERE w.enabled = 1",
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut from = u64::MAX;
    for row in &rows {
        let cursor: u64 = unsigned(row, "log_cursor")?;
        let parked = optional_integer(row, "parked")?.and_then(|sequence| u64::try_from(sequence).ok());
        let needs = parked.map_or(cursor + 1, |parked| parked.min(cursor + 1));
        if needs < hard {
            let reason = "it was so far behind that entries it has not got are no longer kept; see to the receiver, then \
                          enable it again";
            disable(tx, &text(row, "id")?, reason, now_ms).await?;
        } else {
            from = from.min(needs);
        }
    }
    Ok(from)
}

fn activity(word: &'static str, webhook: &WebhookId) -> NewEntry {
    NewEntry::activity(word, "webhook", webhook.as_str())
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<WebhookRow, Error> {
    row::find(conn, "SELECT * FROM webhooks WHERE id = $1", "webhook", wanted, read).await
}

fn read(row: &Row) -> Result<WebhookRow, Error> {
    let until = optional_integer(row, "secret_before_until")?;
    Ok(WebhookRow {
        id: id(row, "id")?,
        url: text(row, "url")?,
        secret: text(row, "secret")?,
        secret_before: optional_text(row, "secret_before")?.zip(until),
        types: text(row, "types")?.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        enabled: flag(row, "enabled")?,
        cursor: unsigned(row, "log_cursor")?,
        problem: optional_text(row, "problem")?,
        attempts: unsigned(row, "attempts")?,
        next_try_at: optional_integer(row, "next_try_at")?,
        delivered_total: unsigned(row, "delivered_total")?,
        failed_total: unsigned(row, "failed_total")?,
        given_up_total: unsigned(row, "given_up_total")?,
        delivered_at: optional_integer(row, "delivered_at")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}

fn read_backlog(row: &Row) -> Result<BacklogRow, Error> {
    Ok(BacklogRow {
        sequence: unsigned(row, "sequence")?,
        subject: text(row, "subject")?,
        attempts: unsigned(row, "attempts")?,
        first_failed_at: optional_integer(row, "first_failed_at")?,
        next_try_at: integer(row, "next_try_at")?,
        error: optional_text(row, "error")?,
    })
}
