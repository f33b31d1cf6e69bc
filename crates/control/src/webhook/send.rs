//! One delivery: a signed POST, and what came of it.

use std::time::Duration;

use anabranch_db::WebhookRow;
use axum::body::Bytes;
use reqwest::{StatusCode, header};

use super::address::PrivateAddresses;
use super::signature::signature;

/// Longest delivery, from the first look-up to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a connection within that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read, so that its connection can be used again. What they say does not matter.
const ANSWER_MAX_BYTES: usize = 4096;

/// Connections to one receiver that are kept.
const IDLE_MAX: usize = 4;

/// What came of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken, with this status.
    Delivered(u16),
    /// Not taken, in words.
    Failed(String),
    /// The receiver wants no more (410).
    Gone,
}

/// What is delivered.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Type of the entry.
    pub(crate) event: String,
    /// The same at each attempt: receivers know repetitions by it.
    pub(crate) name: String,
    /// JSON.
    pub(crate) body: Bytes,
}

/// Where a delivery goes.
#[derive(Clone)]
pub(crate) struct Target {
    url: String,
    secrets: Vec<String>,
}

impl Target {
    /// Where a webhook is told, with the secrets that sign at this time.
    pub(crate) fn of(row: &WebhookRow, now_ms: i64) -> Self {
        let before = row.secret_before.iter().filter(|(_, until)| *until > now_ms).map(|(secret, _)| secret.clone());
        Self { url: row.url.clone(), secrets: std::iter::once(row.secret.clone()).chain(before).collect() }
    }
}

/// Makes deliveries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    http: reqwest::Client,
    policy: PrivateAddresses,
}

impl Sender {
    pub(crate) fn new(policy: PrivateAddresses) -> Result<Self, reqwest::Error> {
        let http = policy.client(TIMEOUT, CONNECT_TIMEOUT, IDLE_MAX)?;
        Ok(Self { http, policy })
    }

    /// Whether a webhook may have this URL; else why not.
    pub(crate) fn check(&self, url: &str) -> Result<String, String> {
        self.policy.check(url).map(String::from)
    }

    pub(crate) async fn send(&self, target: &Target, delivery: Delivery, now_seconds: i64) -> Outcome {
        // A policy that has become stricter holds for URLs of before, too.
        let url = match self.policy.check(&target.url) {
            Ok(url) => url,
            Err(refusal) => return Outcome::Failed(refusal),
        };
        let secrets: Vec<&str> = target.secrets.iter().map(String::as_str).collect();
        let request = self
            .http
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Anabranch-Event", delivery.event)
            .header("Anabranch-Delivery", delivery.name)
            .header("Anabranch-Signature", signature(now_seconds, &delivery.body, &secrets))
            .body(delivery.body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Outcome::Failed(unanswered(&error, "receiver", TIMEOUT)),
        };
        let status = response.status();
        let mut read = 0;
        while read < ANSWER_MAX_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                // The status has said it all.
                Ok(None) | Err(_) => break,
            }
        }
        match status {
            StatusCode::GONE => Outcome::Gone,
            status if status.is_success() => Outcome::Delivered(status.as_u16()),
            status if status.is_redirection() => {
                Outcome::Failed(format!("the receiver redirects, which is not followed: status {}", status.as_u16()))
            }
            status => Outcome::Failed(format!("the receiver answered with status {}", status.as_u16())),
        }
    }
}

/// Why `who` gave no answer within `limit`. Of the chain of causes only the last one tells the operator something.
pub(crate) fn unanswered(error: &reqwest::Error, who: &str, limit: Duration) -> String {
    if error.is_timeout() {
        return format!("the {who} did not answer within {} seconds", limit.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("the {who} cannot be reached: {cause}")
}
