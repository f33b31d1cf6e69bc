//! HTTP to the API.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::address::escape;
use super::connection::Connection;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of a list that are followed at the most.
const MAX_PAGES: usize = 1_000;

/// Longest silence on an event stream: the server says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// Longest time for one piece of a file.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The server has answered and will not do it: trying again is of no use.
#[derive(Debug)]
pub(super) struct Refused(anyhow::Error, Option<StatusCode>);

impl Refused {
    /// With which status, if that is known.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.1
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self> {
        let server = connection.server.trim_end_matches('/').to_owned();
        ensure!(
            server.starts_with("http://") || server.starts_with("https://"),
            "a server address begins with http:// or https://: {server:?}"
        );
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().context("cannot set up HTTP")?;
        Ok(Self { http, server, token: connection.token.clone() })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None, None).await
    }

    /// An answer that is no JSON.
    pub(super) async fn text(&self, path: &str) -> Result<String> {
        let mut request = self.http.get(format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        let text = response.text().await.context("the answer broke off")?;
        if status.is_success() {
            return Ok(text);
        }
        match serde_json::from_str(&text) {
            Ok(problem) => Err(Refused(self.refusal(status, &problem), Some(status)).into()),
            Err(_) => Err(self.not_the_api(status)),
        }
    }

    /// The same; nothing when there is none.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.exchange(Method::GET, path, None, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, value) if status.is_success() => Ok(Some(value)),
            (status, value) => Err(self.refusal(status, &value)),
        }
    }

    /// An event stream behind the sequence `after`, or from now on.
    pub(super) async fn stream(&self, path: &str, after: Option<u64>) -> Result<reqwest::Response> {
        let http = reqwest::Client::builder().connect_timeout(TIMEOUT).read_timeout(SILENCE).no_proxy().build()?;
        let mut request = http.get(format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after.to_string());
        }
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.context("the answer broke off")?;
        match serde_json::from_str(&text) {
            Ok(problem) => Err(Refused(self.refusal(status, &problem), Some(status)).into()),
            Err(_) => Err(self.not_the_api(status)),
        }
    }

    /// A request of an upload (tus 1.0).
    pub(super) fn tus(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server)).timeout(PIECE_TIMEOUT);
        let request = request.header("Tus-Resumable", "1.0.0");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The headers that answer a request whose answer has no body; a refusal is a [`Refused`].
    pub(super) async fn answered(&self, request: reqwest::RequestBuilder) -> Result<reqwest::header::HeaderMap> {
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.headers().clone());
        }
        let text = response.text().await.context("the answer broke off")?;
        let error = match serde_json::from_str(&text) {
            Ok(problem) => self.refusal(status, &problem),
            Err(_) if text.is_empty() => self.refusal(status, &Value::Null),
            Err(_) => self.not_the_api(status),
        };
        Err(Refused(error, Some(status)).into())
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body), None).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.call(Method::DELETE, path, None, None).await.map(|_| ())
    }

    /// All pages of a list, as one.
    pub(super) async fn list(&self, path: &str) -> Result<Value> {
        let mut items = Vec::new();
        let mut after = None::<String>;
        for _ in 0..MAX_PAGES {
            let join = if path.contains('?') { '&' } else { '?' };
            let query = after.as_ref().map_or_else(String::new, |after| format!("{join}after={}", escape(after)));
            let page = self.get(&format!("{path}{query}")).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        Ok(serde_json::json!({ "items": items }))
    }

    /// One request; with `etag` it is done only if that is still the ETag of what it addresses.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        etag: Option<&str>,
    ) -> Result<Value> {
        let (status, value) = self.exchange(method, path, body, etag).await?;
        if status.is_success() { Ok(value) } else { Err(self.refusal(status, &value)) }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        etag: Option<&str>,
    ) -> Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.server);
        let mut request = self.http.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(etag) = etag {
            request = request.header(reqwest::header::IF_MATCH, format!("\"{}\"", etag.trim_matches('"')));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        let text = response.text().await.context("the answer broke off")?;
        let value = match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(_) if text.is_empty() && status.is_success() => Value::Null,
            Err(_) => return Err(self.not_the_api(status)),
        };
        Ok((status, value))
    }

    /// Of the chain of causes only the last one tells the operator something.
    fn no_answer(&self, error: &reqwest::Error) -> anyhow::Error {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        anyhow!("no answer from {}: {cause}; is `anabranch serve` running there?", self.server)
    }

    fn not_the_api(&self, status: StatusCode) -> anyhow::Error {
        anyhow!(
            "what answers at {} is not the API of anabranch: set ANABRANCH_SERVER or give --server ({})",
            self.server,
            status.as_u16()
        )
    }

    fn refusal(&self, status: StatusCode, problem: &Value) -> anyhow::Error {
        let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("no reason given");
        if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            return anyhow!("{detail}: set ANABRANCH_TOKEN or give --token");
        }
        anyhow!("{detail} ({})", status.as_u16())
    }
}
