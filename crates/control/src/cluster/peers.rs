//! Pulling the state of clusters from peers: a task each, that asks again as soon as it was answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_cluster::peer::{Told, read};
use anabranch_db::NewEntry;
use anabranch_model::{ClusterId, Peer};
use anabranch_net::Shutdown;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::pull::PeerSeen;
use crate::app::App;
use crate::chain::chain;

/// Shortest time between two requests to a peer, however often it answers.
const PAUSE: Duration = Duration::from_millis(50);

/// Time until a peer that failed is asked again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);

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
        let after = live.peers.get(region).map_or(0, PeerSeen::version);
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
        *seen = PeerSeen::answered(told, merged, differs, now_ms);
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
    let lost = app
        .clusters
        .change(id, false, |live| live.peers.entry(region.to_owned()).or_default().failed(&problem, next_try_ms));
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
