//! Pulling the state of clusters from peers: a task each, that asks again as soon as it was answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_cluster::peer::{ANSWER_MAX_BYTES, Told, read};
use anabranch_db::NewEntry;
use anabranch_model::{ClusterId, InForce, Peer};
use anabranch_net::Shutdown;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::app::App;
use crate::chain::chain;
use crate::webhook::{PrivateAddresses, Resolver, unanswered};

/// Longest exchange with a peer: it holds a request for a second.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Time for a connection within that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two requests to a peer, however often it answers.
const PAUSE: Duration = Duration::from_millis(50);

/// Time until a peer that failed is asked again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);

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
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(2)
            .user_agent(concat!("anabranch/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver(policy))
            .build()?;
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

/// Pulls from every peer of every cluster until `shutdown`.
pub(crate) async fn run(app: Arc<App>, shutdown: Shutdown) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut known: HashMap<(ClusterId, String), (Peer, AbortHandle)> = HashMap::new();
    loop {
        let wanted: Vec<(ClusterId, String, Peer)> = app
            .clusters
            .each(|live| {
                let cluster = live.cluster();
                let of = |region: &anabranch_model::ClusterRegion| {
                    region.peer.clone().map(|peer| (cluster.id.clone(), region.name.clone(), peer))
                };
                cluster.regions.iter().filter_map(of).collect::<Vec<_>>()
            })
            .into_iter()
            .flatten()
            .collect();
        known.retain(|(cluster, region), (peer, task)| {
            let stays = wanted.iter().any(|(of, named, as_now)| of == cluster && named == region && as_now == peer);
            if !stays {
                task.abort();
            }
            stays
        });
        for (cluster, region, peer) in wanted {
            let key = (cluster.clone(), region.clone());
            known.entry(key).or_insert_with(|| {
                let task = tasks.spawn(follow(app.clone(), cluster, region, peer.clone()));
                (peer, task)
            });
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = app.clusters.peers_changed.notified() => {}
            Some(_) = tasks.join_next() => {}
        }
    }
    tasks.shutdown().await;
}

async fn follow(app: Arc<App>, cluster: ClusterId, region: String, peer: Peer) {
    let mut retry = RETRY_FIRST;
    loop {
        let asked = Instant::now();
        match exchange(&app, &cluster, &region, &peer).await {
            Ok(()) => {
                retry = RETRY_FIRST;
                tokio::time::sleep_until(asked + PAUSE).await;
            }
            Err(problem) => {
                failed(&app, &cluster, &region, problem, retry).await;
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

/// One question, and what follows of the answer.
async fn exchange(app: &App, id: &ClusterId, region: &str, peer: &Peer) -> Result<(), String> {
    let asked = app.clusters.look(id.as_str(), |live| {
        let after = live.peers.get(region).map_or(0, |seen| seen.version);
        (live.cluster().clone(), after)
    });
    let Some((cluster, after)) = asked else { return Err("the cluster is gone".to_owned()) };
    let answer = app.clusters.pull.state(peer, &cluster.name, Some(after)).await?;
    let told = read(&cluster, &app.clusters.node, &answer).map_err(|refused| refused.to_string())?;
    app.clusters.hear(id, &told);
    app.clusters.hear_anchors(id, region, told.anchors.clone());
    let news: Vec<_> = app
        .clusters
        .look(id.as_str(), |live| told.words.iter().filter(|word| live.registers.is_news(word)).cloned().collect())
        .unwrap_or_default();
    // Who makes a stamp meanwhile must know these words.
    let writing = app.clusters.writing.lock().await;
    let written = app.clusters.write(id, &news).await;
    drop(writing);
    match written {
        Ok(taken) if taken.is_empty() => {}
        Ok(_) => app.changed(),
        // What the peer says now is not kept: it is asked for again.
        Err(error) => return Err(chain(&error)),
    }
    answered(app, id, region, &told).await;
    Ok(())
}

async fn answered(app: &App, id: &ClusterId, region: &str, told: &Told) {
    let now_ms = app.clock.now_ms();
    let was_lost = app.clusters.change(id, false, |live| {
        let merged = told.merged.as_ref().and_then(|url| app.clusters.pull.check(url).ok());
        let differs = told.definition.as_ref().and_then(|theirs| theirs.differs(&live.cluster().into()));
        let seen = live.peers.entry(region.to_owned()).or_default();
        let was_lost = seen.is_lost();
        *seen = PeerSeen {
            answered: Some(Instant::now()),
            answered_ms: Some(now_ms),
            acts: told.acts,
            writes: told.writes,
            version: told.version,
            node: Some(told.node.clone()),
            differs,
            in_force: told.in_force,
            merged,
            ..PeerSeen::default()
        };
        was_lost
    });
    if was_lost == Some(true) {
        tracing::info!(cluster.id = %id, cluster.region = region, "a peer of a cluster answers again");
        tell(app, id, region, "cluster.peer.found", None).await;
    }
}

async fn failed(app: &App, id: &ClusterId, region: &str, problem: String, retry: Duration) {
    metrics::counter!("anabranch_cluster_pulls_failed_total").increment(1);
    let next_try_ms = app.clock.now_ms().saturating_add(i64::try_from(retry.as_millis()).unwrap_or(i64::MAX));
    // What it has said grows old with each segment.
    app.clusters.hear_anchors(id, region, Vec::new());
    let lost = app.clusters.change(id, false, |live| {
        let seen = live.peers.entry(region.to_owned()).or_default();
        seen.failures = seen.failures.saturating_add(1);
        seen.problem = Some(problem.clone());
        seen.next_try_ms = Some(next_try_ms);
        seen.failures == LOST_AFTER
    });
    if lost == Some(true) {
        tracing::warn!(cluster.id = %id, cluster.region = region, problem, "a peer of a cluster cannot be asked; both go on");
        tell(app, id, region, "cluster.peer.lost", Some(problem)).await;
    }
}

async fn tell(app: &App, id: &ClusterId, region: &str, word: &'static str, problem: Option<String>) {
    let name = app.clusters.look(id.as_str(), |live| live.cluster().name.clone());
    let entry = NewEntry::stream(word, "cluster", id.as_str())
        .detail("name", name)
        .detail("region", region)
        .detail("problem", problem);
    match app.db.log_add(&[entry], app.clock.now_ms()).await {
        Ok(()) => app.log_wake.notify_one(),
        // The peer is shown as it is; only the line of the log is missing.
        Err(error) if app.health.met(&error) => {}
        Err(error) => tracing::warn!(error = chain(&error), "an entry of the log is lost"),
    }
}
