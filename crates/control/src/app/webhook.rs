//! Webhooks: where entries of the log are told.

use anabranch_db::{Idempotency, NewWebhook, WebhookChange, WebhookRow};
use anabranch_model::WebhookId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::List;
use super::{App, Error};
use crate::secret;
use crate::time;
use crate::webhook::{Delivery, Outcome, Target};

/// Webhooks at most: each has its own place in the log, kept in memory.
const WEBHOOKS_MAX: u64 = 50;

/// Types that a webhook may name at most.
const TYPES_MAX: usize = 32;

/// Longest type, in bytes.
const TYPE_MAX: usize = 64;

/// How long the old secret signs after a rotation when the caller names no time, in seconds.
const KEEP_DEFAULT: u64 = 24 * 60 * 60;

/// Longest time of that, in seconds.
const KEEP_MAX: u64 = 7 * 24 * 60 * 60;

/// Type of the entry that a test sends.
const PING: &str = "ping";

/// A webhook to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookCreate {
    /// Where entries are posted: `http` or `https`, without a user name.
    url: String,
    /// Types, or what types begin with: `breakout` stands for `breakout.running`, too. All if it is missing or empty.
    #[serde(default)]
    types: Vec<String>,
}

/// What is to become different; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookUpdate {
    /// Where entries are posted.
    url: Option<String>,
    /// Types, or what types begin with; all if it is empty.
    types: Option<Vec<String>>,
    /// Whether entries are told. One that is enabled again goes on where it was, as far as the log is still kept.
    enabled: Option<bool>,
}

/// How a secret is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookRotate {
    /// How long deliveries are signed with the old secret as well, in seconds, up to 604800; 86400 if it is missing.
    keep_seconds: Option<u64>,
}

/// Where entries of the log are told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Webhook {
    /// Identifier.
    pub(crate) id: String,
    /// Where entries are posted.
    pub(crate) url: String,
    /// Types, or what types begin with; empty stands for all.
    pub(crate) types: Vec<String>,
    /// Whether entries are told.
    pub(crate) enabled: bool,
    /// What is wrong, in words.
    pub(crate) problem: Option<String>,
    /// Failures since the last success.
    pub(crate) attempts: u64,
    /// When the next failed delivery is tried again; RFC 3339.
    pub(crate) next_try_at: Option<String>,
    /// Sequence up to which every entry is delivered, not wanted, or in the backlog.
    pub(crate) cursor: u64,
    /// Entries that have failed, or wait behind one of the same subject that has.
    pub(crate) backlog: u64,
    /// Entries delivered.
    pub(crate) delivered_total: u64,
    /// Deliveries that failed.
    pub(crate) failed_total: u64,
    /// Entries that were never delivered and never will be.
    pub(crate) given_up_total: u64,
    /// Last success; RFC 3339.
    pub(crate) delivered_at: Option<String>,
    /// Until when the secret before signs as well; RFC 3339.
    pub(crate) secret_before_until: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// A webhook with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookSecret {
    /// What it is.
    #[serde(flatten)]
    pub(crate) webhook: Webhook,
    /// What `Anabranch-Signature` is made with: HMAC-SHA-256, keyed by this whole text, of the time `t`, a dot and the body.
    /// No other answer has it.
    pub(crate) secret: String,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookTest {
    /// Whether the receiver took it.
    pub(crate) delivered: bool,
    /// Status of its answer, if that was one of success.
    pub(crate) status: Option<u16>,
    /// What is wrong, in words.
    pub(crate) problem: Option<String>,
    /// Time that it took, in milliseconds.
    pub(crate) milliseconds: u64,
}

impl App {
    pub(crate) async fn webhook_create(
        &self,
        request: WebhookCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<WebhookSecret, Error> {
        if self.db.webhook_count().await? >= WEBHOOKS_MAX {
            return Err(Error::Conflict(format!(
                "there are {WEBHOOKS_MAX} webhooks, which is the most: delete one first"
            )));
        }
        let new = NewWebhook {
            id: WebhookId::random(),
            url: self.webhook_url(&request.url)?,
            secret: secret::random("whsec_"),
            types: types(request.types)?,
            idempotency,
        };
        let row = self.db.webhook_create(&new, self.clock.now_ms()).await?.into_inner();
        self.webhooks_moved();
        self.webhook_secret(row).await
    }

    pub(crate) async fn webhook_list(&self, query: &PageQuery) -> Result<List<Webhook>, Error> {
        let page = list(self.db.webhook_page(&query.request()?).await?, |row| row);
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(self.webhook_view(row).await?);
        }
        Ok(List { items, next: page.next })
    }

    pub(crate) async fn webhook_show(&self, wanted: &str) -> Result<Webhook, Error> {
        let row = self.db.webhook_find(wanted).await?;
        self.webhook_view(row).await
    }

    pub(crate) async fn webhook_update(&self, wanted: &str, request: WebhookUpdate) -> Result<Webhook, Error> {
        let change = WebhookChange {
            url: request.url.map(|url| self.webhook_url(&url)).transpose()?,
            types: request.types.map(types).transpose()?,
            enabled: request.enabled,
        };
        let row = self.db.webhook_update(wanted, &change, self.clock.now_ms()).await?;
        self.webhooks_moved();
        self.webhook_view(row).await
    }

    pub(crate) async fn webhook_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.webhook_delete(wanted, self.clock.now_ms()).await?;
        self.webhooks_moved();
        Ok(())
    }

    pub(crate) async fn webhook_rotate(&self, wanted: &str, request: &WebhookRotate) -> Result<WebhookSecret, Error> {
        let keep = request.keep_seconds.unwrap_or(KEEP_DEFAULT);
        if keep > KEEP_MAX {
            let detail = format!("an old secret signs for up to {KEEP_MAX} seconds: {keep}");
            return Err(Error::invalid("keep_seconds", detail));
        }
        let now_ms = self.clock.now_ms();
        let until = now_ms.saturating_add(i64::try_from(keep).unwrap_or(i64::MAX).saturating_mul(1000));
        let row = self.db.webhook_rotate(wanted, &secret::random("whsec_"), until, now_ms).await?;
        self.webhooks_moved();
        self.webhook_secret(row).await
    }

    /// Sends a `ping`, beside whatever is under way and whether the webhook is enabled or not.
    pub(crate) async fn webhook_test(&self, wanted: &str) -> Result<WebhookTest, Error> {
        let row = self.db.webhook_find(wanted).await?;
        let now_ms = self.clock.now_ms();
        let body = json!({
            "sequence": 0,
            "at": time::render_ms(now_ms),
            "kind": "activity",
            "type": PING,
            "subject": { "kind": "webhook", "id": row.id.as_str() },
            "channel": null,
            "breakout": null,
            "account": null,
            "actor": null,
            "details": {},
        });
        let delivery = Delivery {
            event: PING.to_owned(),
            name: format!("{}-ping-{now_ms}", row.id),
            body: body.to_string().into_bytes().into(),
        };
        let began = Instant::now();
        let outcome = self.sender.send(&Target::of(&row, now_ms), delivery, self.clock.now_seconds()).await;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(match outcome {
            Outcome::Delivered(status) => {
                WebhookTest { delivered: true, status: Some(status), problem: None, milliseconds }
            }
            Outcome::Failed(problem) => {
                WebhookTest { delivered: false, status: None, problem: Some(problem), milliseconds }
            }
            Outcome::Gone => {
                let problem = "the receiver answered with status 410, which would disable the webhook".to_owned();
                WebhookTest { delivered: false, status: None, problem: Some(problem), milliseconds }
            }
        })
    }

    fn webhook_url(&self, url: &str) -> Result<String, Error> {
        self.sender.check(url).map_err(|refusal| Error::invalid("url", refusal))
    }

    fn webhooks_moved(&self) {
        self.changed();
        self.webhooks_changed.notify_one();
    }

    async fn webhook_secret(&self, row: WebhookRow) -> Result<WebhookSecret, Error> {
        let secret = row.secret.clone();
        Ok(WebhookSecret { webhook: self.webhook_view(row).await?, secret })
    }

    async fn webhook_view(&self, row: WebhookRow) -> Result<Webhook, Error> {
        let now_ms = self.clock.now_ms();
        Ok(Webhook {
            backlog: self.db.webhook_backlog_count(&row.id).await?,
            id: row.id.into(),
            url: row.url,
            types: row.types,
            enabled: row.enabled,
            problem: row.problem,
            attempts: row.attempts,
            next_try_at: row.next_try_at.map(time::render_ms),
            cursor: row.cursor,
            delivered_total: row.delivered_total,
            failed_total: row.failed_total,
            given_up_total: row.given_up_total,
            delivered_at: row.delivered_at.map(time::render_ms),
            secret_before_until: row
                .secret_before
                .filter(|(_, until)| *until > now_ms)
                .map(|(_, at)| time::render_ms(at)),
            created_at: time::render_ms(row.created_at),
        })
    }
}

/// Types without repetitions.
fn types(mut types: Vec<String>) -> Result<Vec<String>, Error> {
    types.sort_unstable();
    types.dedup();
    if types.len() > TYPES_MAX {
        return Err(Error::invalid("types", format!("a webhook names at most {TYPES_MAX} types: {}", types.len())));
    }
    for text in &types {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if text.len() > TYPE_MAX || !text.split('.').all(part) {
            let text: String = text.chars().take(100).collect();
            let detail =
                format!("a type is words of lower-case letters with dots between, such as breakout.running: {text:?}");
            return Err(Error::invalid("types", detail));
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_words() {
        let of = |list: &[&str]| types(list.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(of(&["channel", "breakout.running", "channel"]).unwrap(), ["breakout.running", "channel"]);
        for bad in ["", ".", "a.", "A", "a,b", "a b", "a.*", &"x".repeat(65)] {
            assert!(of(&[bad]).is_err(), "{bad:?}");
        }
    }
}
