//! HTTP to the control plane.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anabranch_model::{
    Acknowledged, Briefing, InstanceId, NODES_PATH, NodeName, POLL_SECONDS, PriceClass, REPORTS_PATH, SNAPSHOT_PATH,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode, Url};

use super::known::Known;
use crate::config::Config;

/// Time for a connection to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a held request beyond what the control plane holds it.
const POLL_GRACE: Duration = Duration::from_secs(10);

/// Time for any other request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest snapshot that is taken, in bytes.
const SNAPSHOT_MAX_BYTES: usize = 64 << 20;

/// Largest other answer, in bytes: a problem, an acknowledgement.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// Largest job that is taken, in bytes.
const JOB_MAX_BYTES: usize = 64 << 10;

/// Shortest and longest pause after a failure, before jitter.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What became of a batch that was sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// It is counted.
    Acknowledged,
    /// It will never be: sending it again is of no use.
    Refused(String),
}

/// The way to the control plane, and who this node is there.
pub(super) struct Uplink {
    http: reqwest::Client,
    control: Url,
    token: String,
    pub(super) name: NodeName,
    instance: InstanceId,
    location: String,
    location_class: PriceClass,
    /// Unix milliseconds until which all that was sent to viewers is counted there.
    told_ms: AtomicI64,
}

impl Uplink {
    /// The way that the configuration names, for a node of this name.
    ///
    /// # Errors
    /// The configuration names no control plane, or no token for it.
    pub(super) fn new(config: &Config, name: NodeName) -> Result<Self> {
        let control =
            config.control.url.as_deref().context("a node of its own needs --control URL or the key control.url")?;
        let token = config.node.token.as_ref().context(
            "a node of its own needs the key node.token or ANABRANCH_NODE_TOKEN: `anabranch node token` shows it on the control plane's machine",
        )?;
        let control = Url::parse(control).with_context(|| format!("control.url is not a URL: {control:?}"))?;
        ensure!(control.host_str().is_some(), "control.url names no host: {control}");
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot set up HTTP")?;
        Ok(Self {
            http,
            control,
            token: token.0.clone(),
            name,
            instance: InstanceId::random(),
            location: config.edge.location.clone(),
            location_class: config.edge.location_class,
            told_ms: AtomicI64::new(0),
        })
    }

    /// Notes until when all that was sent to viewers is counted by the control plane, which hears of it with the next question.
    pub(super) fn told(&self, until_ms: i64) {
        self.told_ms.fetch_max(until_ms, Ordering::Relaxed);
    }

    /// Host by which the control plane is reached; an IPv6 address in brackets.
    pub(super) fn host(&self) -> &str {
        self.control.host_str().unwrap_or_default()
    }

    /// The newest snapshot if it is news to one who knows `known`; nothing when none came while the request was held.
    /// Asking confirms that `known` is in force here.
    pub(super) async fn snapshot(&self, known: Option<&Known>) -> Result<Option<Briefing>> {
        let mut url = self.url(SNAPSHOT_PATH);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("node", self.name.as_str());
            query.append_pair("instance", self.instance.as_str());
            query.append_pair("role", "edge");
            query.append_pair("location", &self.location);
            query.append_pair("told_ms", &self.told_ms.load(Ordering::Relaxed).to_string());
            let class = serde_json::to_value(self.location_class)?;
            query.append_pair("location_class", class.as_str().unwrap_or_default());
            if let Some(known) = known {
                query.append_pair("plane", known.plane.as_str());
                query.append_pair("after", &known.version.to_string());
                if let Some(origin) = &known.origin {
                    query.append_pair("origin", origin);
                }
            }
        }
        let timeout = Duration::from_secs(POLL_SECONDS) + POLL_GRACE;
        let request = self.http.get(url).bearer_auth(&self.token).timeout(timeout);
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => {
                let bytes = body(response, SNAPSHOT_MAX_BYTES).await?;
                Ok(Some(serde_json::from_slice(&bytes).context("the control plane's answer is not a snapshot")?))
            }
            status => Err(refusal(status, response).await),
        }
    }

    /// Sends a batch as it was kept.
    ///
    /// # Errors
    /// It may have arrived or not: send it again.
    pub(super) async fn report(&self, sequence: u64, batch: Vec<u8>) -> Result<Sent> {
        let request = self.http.post(self.url(REPORTS_PATH)).bearer_auth(&self.token).timeout(TIMEOUT);
        let request = request.header(CONTENT_TYPE, "application/json").body(batch);
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        match response.status() {
            StatusCode::OK => {
                let answer: Acknowledged = serde_json::from_slice(&body(response, ANSWER_MAX_BYTES).await?)
                    .context("the control plane's answer is no acknowledgement")?;
                ensure!(answer.acknowledged == sequence, "another batch was acknowledged: {}", answer.acknowledged);
                Ok(Sent::Acknowledged)
            }
            status @ (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY) => {
                Ok(Sent::Refused(refusal(status, response).await.to_string()))
            }
            status => Err(refusal(status, response).await),
        }
    }

    /// Asks or tells something about a job; 410 is an answer like any other.
    pub(super) async fn job(&self, path: &str, body_of: &impl serde::Serialize) -> Result<(StatusCode, Vec<u8>)> {
        let request = self.http.post(self.url(path)).bearer_auth(&self.token).timeout(TIMEOUT).json(body_of);
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        match response.status() {
            status @ (StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::GONE) => {
                Ok((status, body(response, JOB_MAX_BYTES).await?))
            }
            status => Err(refusal(status, response).await),
        }
    }

    /// Says that this node goes and need not be waited for.
    pub(super) async fn goodbye(&self) -> Result<()> {
        let mut url = self.url(&format!("{NODES_PATH}/{}", self.name));
        url.query_pairs_mut().append_pair("instance", self.instance.as_str());
        let request = self.http.delete(url).bearer_auth(&self.token).timeout(TIMEOUT);
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(refusal(status, response).await),
        }
    }

    /// `path` below whatever path the control plane's URL has.
    fn url(&self, path: &str) -> Url {
        let mut url = self.control.clone();
        let below = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&below);
        url
    }
}

/// Of the chain of causes only the last one tells the operator something.
fn no_answer(error: &reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    anyhow!("no answer from the control plane: {cause}")
}

async fn refusal(status: StatusCode, response: Response) -> anyhow::Error {
    let problem = body(response, ANSWER_MAX_BYTES).await.unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("no reason given");
    anyhow!("the control plane refuses: {detail} ({})", status.as_u16())
}

async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error))? {
        if bytes.len() + chunk.len() > limit {
            bail!("the control plane's answer is too large: more than {limit} bytes");
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Pauses between attempts: doubled from one to the next, capped, with jitter so that nodes do not come back in step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The failure that was logged last, so that a lasting one makes one line.
    said: Option<String>,
}

impl Backoff {
    /// Notes a failure and gives the pause before the next attempt.
    pub(super) fn failed(&mut self, what: &str, error: &anyhow::Error) -> Duration {
        let text = format!("{error:#}");
        if self.said.as_ref() != Some(&text) {
            tracing::warn!(error = text, "{what}; it is tried again");
            self.said = Some(text);
        }
        self.pause()
    }

    /// Notes a success.
    pub(super) fn succeeded(&mut self, what: &str) {
        self.failures = 0;
        if self.said.take().is_some() {
            tracing::info!("{what} again");
        }
    }

    /// The pause before the next attempt.
    pub(super) fn pause(&mut self) -> Duration {
        let whole = PAUSE.0.saturating_mul(1 << self.failures.min(8)).min(PAUSE.1);
        self.failures = self.failures.saturating_add(1);
        let mut byte = [0_u8; 1];
        getrandom::fill(&mut byte).expect("the operating system gives random bytes");
        // Half to whole.
        whole / 2 + whole * u32::from(byte[0]) / 512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_cap_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        assert!(backoff.pause() <= PAUSE.0);
        for _ in 0..100 {
            backoff.pause();
        }
        let long = backoff.pause();
        assert!(long >= PAUSE.1 / 2 && long <= PAUSE.1, "{long:?}");
        backoff.succeeded("the test works");
        assert!(backoff.pause() <= PAUSE.0);
    }
}
