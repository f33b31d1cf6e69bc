//! How a peer is asked, and what is known of one.

use std::time::Duration;

use anabranch_cluster::peer::{ANSWER_MAX_BYTES, Told};
use anabranch_model::{InForce, Peer};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use crate::webhook::{PrivateAddresses, unanswered};

/// Longest exchange with a peer: it holds a request for a second.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Time for a connection within that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections to one peer that are kept.
const IDLE_MAX: usize = 2;

/// Silence after which a peer no longer decides for us.
const DECIDES: Duration = Duration::from_secs(3);

/// Failures in a row after which a peer counts as lost.
const LOST_AFTER: u32 = 2;

/// Longest URL, in bytes.
const URL_MAX_BYTES: usize = 2048;

/// What is known of a peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerSeen {
    /// When it answered last.
    answered: Option<Instant>,
    /// The same by the clock, Unix milliseconds.
    pub(crate) answered_ms: Option<i64>,
    acts: bool,
    writes: bool,
    /// What is to be handed in.
    version: u64,
    /// Its id.
    pub(crate) node: Option<String>,
    /// Why it cannot be asked.
    pub(crate) problem: Option<String>,
    /// Failures since the last answer.
    failures: u32,
    /// When it is asked again, Unix milliseconds.
    pub(crate) next_try_ms: Option<i64>,
    /// In what its definition of the cluster differs from ours.
    pub(crate) differs: Option<&'static str>,
    /// What its edges do for its region, as it said last.
    pub(crate) in_force: Option<InForce>,
    /// Where its copies of the merged playlists are; what it said last, also while it is not heard.
    pub(crate) merged: Option<Url>,
}

impl PeerSeen {
    /// Whether it is heard and decides.
    pub(crate) fn acts(&self) -> bool {
        self.acts && self.is_near()
    }

    /// Whether it is heard and can write words, whatever its automat does.
    pub(crate) fn writes(&self) -> bool {
        self.writes && self.is_near()
    }

    fn is_near(&self) -> bool {
        self.answered.is_some_and(|at| at.elapsed() <= DECIDES)
    }

    /// What is known of one that has just answered. `merged` and `differs` are what follows of its words.
    pub(super) fn answered(told: &Told, merged: Option<Url>, differs: Option<&'static str>, now_ms: i64) -> Self {
        Self {
            answered: Some(Instant::now()),
            answered_ms: Some(now_ms),
            acts: told.acts,
            writes: told.writes,
            version: told.version,
            node: Some(told.node.clone()),
            differs,
            in_force: told.in_force,
            merged,
            ..Self::default()
        }
    }

    /// Takes note of a failure, after which it is asked again at `next_try_ms`; true when it counts as lost from now on.
    pub(super) fn failed(&mut self, problem: &str, next_try_ms: i64) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.problem = Some(problem.to_owned());
        self.next_try_ms = Some(next_try_ms);
        self.failures == LOST_AFTER
    }

    /// Version of its state that was told last.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether it has not answered several times in a row.
    pub(crate) fn is_lost(&self) -> bool {
        self.failures >= LOST_AFTER
    }
}

/// Asks peers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    http: reqwest::Client,
    policy: PrivateAddresses,
}

impl Pull {
    pub(crate) fn new(policy: PrivateAddresses) -> Result<Self, reqwest::Error> {
        let http = policy.client(TIMEOUT, CONNECT_TIMEOUT, IDLE_MAX)?;
        Ok(Self { http, policy })
    }

    /// The address of a peer's API, or why it may not be one.
    pub(crate) fn check(&self, text: &str) -> Result<Url, String> {
        if text.len() > URL_MAX_BYTES {
            return Err(format!("the URL of a peer has at most {URL_MAX_BYTES} bytes"));
        }
        let url = Url::parse(text).map_err(|error| format!("the URL of a peer cannot be read: {error}"))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain || url.query().is_some() {
            return Err("the URL of a peer is that of its API, such as https://control.example.com".to_owned());
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse() {
            Ok(ip) if !self.policy.admits(ip) => Err(format!("peers may not have this address: {ip}")),
            _ => Ok(url),
        }
    }

    /// The state that a peer tells: at once, or when it is no longer the version `after`.
    pub(crate) async fn state(&self, peer: &Peer, cluster: &str, after: Option<u64>) -> Result<Vec<u8>, String> {
        let mut url = self.check(&peer.url)?;
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["v1", "clusters", cluster, "state"]);
        }
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let sent = self.http.get(url).bearer_auth(&peer.token).send().await;
        let mut response = sent.map_err(|error| unanswered(&error, "peer", TIMEOUT))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(match status {
                StatusCode::NOT_FOUND => format!("the peer has no cluster {cluster:?}: create it there, too"),
                StatusCode::UNAUTHORIZED => "the peer does not know the token, or it has expired".to_owned(),
                StatusCode::FORBIDDEN => "the peer's token needs the scope cluster".to_owned(),
                other => format!("the peer answered with status {}", other.as_u16()),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error, "peer", TIMEOUT))? {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err(format!("the peer answers more than {ANSWER_MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
