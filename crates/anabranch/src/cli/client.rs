//! HTTP to the API.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Connection;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of a list that are followed at the most.
const MAX_PAGES: usize = 1_000;

pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().context("cannot set up HTTP")?;
        Ok(Self { http, server: connection.server.trim_end_matches('/').to_owned(), token: connection.token.clone() })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.send(Method::DELETE, path, None).await.map(|_| ())
    }

    /// All pages of a list, as one.
    pub(super) async fn list(&self, path: &str) -> Result<Value> {
        let mut items = Vec::new();
        let mut after = None::<String>;
        for _ in 0..MAX_PAGES {
            let query = after.as_ref().map_or_else(String::new, |after| format!("?after={after}"));
            let page = self.get(&format!("{path}{query}")).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        Ok(serde_json::json!({ "items": items }))
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.server);
        let mut request = self.http.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}: is `anabranch serve` running there?", self.server))?;
        let status = response.status();
        let text = response.text().await.context("the answer broke off")?;
        let value: Value =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::Null) };
        if status.is_success() {
            return Ok(value);
        }
        Err(self.refusal(status, &value))
    }

    fn refusal(&self, status: StatusCode, problem: &Value) -> anyhow::Error {
        let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no reason given");
        if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            return anyhow!("{detail}: set ANABRANCH_TOKEN or give --token");
        }
        anyhow!("{detail} ({})", status.as_u16())
    }
}
