//! Votes of a watch on a region of a cluster, again and again: who says nothing within the silence limit has no vote and is an alarm.

use std::sync::Arc;
use std::time::Duration;

use anabranch_cluster::watch::{Verdict, VerdictState};
use anabranch_net::Shutdown;
use anyhow::{Context, Result, ensure};
use http::{HeaderValue, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Time between two votes as long as the silence limit is not known.
const EVERY: Duration = Duration::from_secs(1);

/// The same at least and at most, whatever the silence limit is.
const EVERY_MIN: Duration = Duration::from_millis(300);
const EVERY_MAX: Duration = Duration::from_secs(5);

/// Votes within one silence limit: two may be lost.
const VOTES_IN_SILENCE: u32 = 3;

/// After so long the silence limit is asked for again, and after so long when that failed.
const ASK_AGAIN: Duration = Duration::from_secs(60);
const ASK_RETRY: Duration = Duration::from_secs(10);

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Sentences of one watch that a vote has as evidence at most, and the longest one, in characters: a longer evidence would not be kept.
const SAID_MAX: usize = 5;
const SENTENCE_MAX: usize = 240;

/// Where votes go, and in whose name.
#[derive(Clone, Debug)]
pub(super) struct Ballot {
    /// API of the instance that is told.
    pub(super) server: Url,
    pub(super) cluster: String,
    pub(super) region: String,
    /// Name of the watcher.
    pub(super) watcher: String,
    /// `Authorization`.
    pub(super) authorization: HeaderValue,
}

impl Ballot {
    /// The address of an instance's API.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn server(text: &str) -> Result<Url> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let plain = url.filter(|url| url.username().is_empty() && url.password().is_none() && url.query().is_none());
        plain.with_context(|| {
            let shown = anabranch_cluster::watch::shown(text);
            format!("--vote-to must be the address of an API, such as https://control.example.com: {shown:?}")
        })
    }

    fn url(&self, of: &str) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["v1", "clusters", &self.cluster, of]);
        }
        url
    }
}

/// `Authorization` with a token.
///
/// # Errors
/// It is no token.
pub(super) fn bearer(token: &str) -> Result<HeaderValue> {
    let token = token.trim();
    ensure!(
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
        "a token is one line of visible characters"
    );
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// By the name of who hears votes, what is wrong with them.
pub(super) type Told = (String, watch::Receiver<Option<String>>);

/// Votes while watches run.
pub(super) struct Voter {
    ballot: Ballot,
    http: Client,
    /// Of each watch, with its name.
    verdicts: Vec<(String, watch::Receiver<Verdict>)>,
    problem: watch::Sender<Option<String>>,
    every: Duration,
    ask_at: Instant,
    /// Why the silence limit is not known.
    unknown: Option<String>,
}

impl Voter {
    /// Sets up connections, and what is wrong with the votes, by the name of who hears them; none is given yet.
    pub(super) fn new(ballot: Ballot, verdicts: Vec<(String, watch::Receiver<Verdict>)>) -> Result<(Self, Told)> {
        let http = Client::builder()
            .timeout(TIMEOUT)
            // A token is for one place.
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("anabranch/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot set up HTTP")?;
        let (problem, told) = watch::channel(None);
        let name = format!("votes to {}", ballot.server);
        let (every, ask_at, unknown) = (EVERY, Instant::now(), None);
        Ok((Self { ballot, http, verdicts, problem, every, ask_at, unknown }, (name, told)))
    }

    /// Votes until `shutdown`. What fails is shown, and the next vote is the next try.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let changed = Arc::new(Notify::new());
        let mut listening = JoinSet::new();
        for (_, verdict) in &self.verdicts {
            let (mut verdict, changed) = (verdict.clone(), changed.clone());
            listening.spawn(async move {
                while verdict.changed().await.is_ok() {
                    changed.notify_one();
                }
            });
        }
        loop {
            let next = Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = changed.notified() => {}
                () = tokio::time::sleep_until(next + self.every) => {}
            }
        }
    }

    /// Votes, and asks for the silence limit when it is time.
    async fn look(&mut self) {
        let voted = self.vote().await;
        if Instant::now() >= self.ask_at {
            let silence = self.silence().await;
            self.ask_at = Instant::now() + if silence.is_ok() { ASK_AGAIN } else { ASK_RETRY };
            match silence {
                Ok(silence) => {
                    self.every = (silence / VOTES_IN_SILENCE).clamp(EVERY_MIN, EVERY_MAX);
                    self.unknown = None;
                }
                Err(why) => self.unknown = Some(format!("the silence limit cannot be read: {why}")),
            }
        }
        let problem = voted.err().or_else(|| self.unknown.clone());
        self.problem.send_if_modified(|known| {
            let is_new = *known != problem;
            *known = problem;
            is_new
        });
    }

    async fn vote(&self) -> Result<(), String> {
        let seen: Vec<(&str, Verdict)> =
            self.verdicts.iter().map(|(name, verdict)| (name.as_str(), verdict.borrow().clone())).collect();
        let body = ballot(&self.ballot, &seen);
        self.ask(self.http.post(self.ballot.url("votes")).json(&body)).await.map(drop)
    }

    /// The silence limit of the cluster.
    async fn silence(&self) -> Result<Duration, String> {
        let response = self.ask(self.http.get(self.ballot.url("state"))).await?;
        let state: Value = serde_json::from_slice(&read(response).await?).map_err(|error| error.to_string())?;
        let told = state["definition"]["watch"]["silence_ms"].as_u64();
        told.map(Duration::from_millis).ok_or_else(|| "the server does not tell it".to_owned())
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, String> {
        let sent = request.header(header::AUTHORIZATION, self.ballot.authorization.clone()).send().await;
        let response = sent.map_err(|error| {
            if error.is_timeout() {
                format!("no answer within {TIMEOUT:?}")
            } else {
                format!("no connection: {}", cause(&error))
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = serde_json::from_slice(&read(response).await.unwrap_or_default()).unwrap_or_default();
        Err(refusal(status, problem["detail"].as_str()))
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| format!("the answer broke off: {}", cause(&error)))?
    {
        if body.len() + piece.len() > ANSWER_MAX_BYTES {
            return Err(format!("the answer has more than {ANSWER_MAX_BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn refusal(status: StatusCode, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("status {}: {detail}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    }
}

/// Of the chain of causes only the last one tells the operator something.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// One vote of all watches: the worst of them speaks.
fn ballot(of: &Ballot, seen: &[(&str, Verdict)]) -> Value {
    let rank = |state: VerdictState| match state {
        VerdictState::Stale => 3,
        VerdictState::Unknown => 2,
        VerdictState::Fresh => 1,
        VerdictState::Ended => 0,
    };
    let state = seen.iter().map(|(_, verdict)| verdict.state).max_by_key(|state| rank(*state)).unwrap_or_default();
    let cut = |text: &str| -> String { text.chars().take(SENTENCE_MAX).collect() };
    let said =
        |verdict: &Verdict| -> Vec<String> { verdict.evidence.iter().take(SAID_MAX).map(|one| cut(one)).collect() };
    let speak = || seen.iter().filter(|(_, verdict)| verdict.state == state);
    let reason = speak().next().map_or_else(String::new, |(name, verdict)| {
        format!("{name}: {}", said(verdict).first().map_or(verdict.reason.as_str(), String::as_str))
    });
    let evidence: Vec<Value> = speak()
        .map(|(name, verdict)| json!({ "of": name, "since_ms": verdict.since_ms, "seen": said(verdict) }))
        .collect();
    // Since when is left to who hears it: two clocks may differ.
    json!({ "region": of.region, "watcher": of.watcher, "state": state.as_str(), "reason": reason, "evidence": evidence })
}

#[cfg(test)]
mod tests {
    use anabranch_cluster::watch::Reason;

    use super::*;

    fn of(server: &str) -> Ballot {
        Ballot {
            server: Ballot::server(server).unwrap(),
            cluster: "a b".to_owned(),
            region: "eu".to_owned(),
            watcher: "outside".to_owned(),
            authorization: bearer("secret-word\n").unwrap(),
        }
    }

    #[test]
    fn the_worst_watch_speaks() {
        let verdict = |state, evidence: &[&str]| Verdict {
            state,
            since_ms: 7,
            reason: Reason::AllFresh,
            evidence: evidence.iter().map(|text| (*text).to_owned()).collect(),
        };
        let (good, bad) = (verdict(VerdictState::Fresh, &[]), verdict(VerdictState::Stale, &["it stands still"]));
        let vote = ballot(&of("http://c"), &[("gala origin", good.clone()), ("gala cdn", bad)]);
        assert_eq!(
            (&vote["state"], &vote["reason"], &vote["watcher"], &vote["region"]),
            (&json!("stale"), &json!("gala cdn: it stands still"), &json!("outside"), &json!("eu"))
        );
        assert_eq!(vote["evidence"], json!([{ "of": "gala cdn", "since_ms": 7, "seen": ["it stands still"] }]));
        let long: Vec<String> = (0..10).map(|_| "x".repeat(1_000)).collect();
        let long = Verdict { evidence: long, ..verdict(VerdictState::Stale, &[]) };
        let vote = ballot(&of("http://c"), &[("origin", long.clone()), ("cdn", long)]);
        assert!(vote["evidence"].to_string().len() <= 4 * 1024, "a longer one is not kept");
        assert_eq!(ballot(&of("http://c"), &[("gala", good)])["reason"], "gala: all fresh");
    }

    #[test]
    fn addresses_and_tokens_are_read() {
        assert_eq!(of("https://c:1/below/").url("votes").as_str(), "https://c:1/below/v1/clusters/a%20b/votes");
        assert!(!format!("{:?}", of("http://c")).contains("secret-word"));
        for wrong in ["c", "ftp://c", "http://user@c", "http://c?x=1"] {
            assert!(Ballot::server(wrong).unwrap_err().to_string().contains("--vote-to"), "{wrong}");
        }
        for wrong in ["", " \n", "two words", "two\nlines"] {
            assert!(bearer(wrong).is_err(), "{wrong:?}");
        }
    }
}
