//! The loop that lets the automat act, and tells what of verdicts, watchers and openings has changed.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_cluster::decide::{Action, Decision, View, decide};
use anabranch_cluster::state::{Ground, Opening, Registers, silent};
use anabranch_cluster::store::{StateStore as _, StoreError};
use anabranch_db::NewEntry;
use anabranch_model::{Cluster, ClusterId, HistoryEntry, RegisterOf, Stamp, VerdictState, Voice, VoteOf};
use anabranch_net::Shutdown;

use super::meters::Meters;
use super::turned::turned;
use super::{FORGET_MS, Live, Remembered};
use crate::app::App;
use crate::chain::chain;

/// Longest time between two looks while there are clusters: time alone decides, too.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The same while there are none.
const LOOK_IDLE: Duration = Duration::from_secs(5);

/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(20);

/// Why a look was not finished.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Db(#[from] anabranch_db::Error),
}

/// Looks until `shutdown`.
pub(crate) async fn run(app: &App, shutdown: &Shutdown) {
    let mut moved = app.clusters.moved.subscribe();
    let (mut failing, mut meters) = (BTreeMap::new(), Meters::default());
    loop {
        moved.mark_unchanged();
        let ids = app.clusters.ids();
        let is_leader = app.db.is_leader();
        if is_leader {
            for id in &ids {
                let looked = look(app, id).await;
                note(app, &mut failing, id, looked);
            }
            failing.retain(|id, _| ids.contains(id));
        }
        meters.set(app, is_leader);
        let pause = if ids.is_empty() { LOOK_IDLE } else { LOOK_AGAIN };
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = moved.changed() => tokio::time::sleep(BREATH).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Says once of each cluster what fails.
fn note(app: &App, failing: &mut BTreeMap<ClusterId, String>, id: &ClusterId, looked: Result<(), LookError>) {
    let Err(error) = looked else {
        failing.remove(id);
        return;
    };
    let of_rows = match &error {
        LookError::Db(error) => Some(error),
        // It was deleted meanwhile.
        LookError::Store(StoreError::NotFound(_)) => return,
        LookError::Store(StoreError::Failed(source)) => source.downcast_ref::<anabranch_db::Error>(),
    };
    if of_rows.is_some_and(|error| app.health.met(error)) {
        return;
    }
    let text = chain(&error);
    if failing.get(id) != Some(&text) {
        tracing::error!(
            cluster.id = %id, error = text, "a cluster cannot be judged or its state not be written; it is tried again"
        );
    }
    failing.insert(id.clone(), text);
}

async fn look(app: &App, id: &ClusterId) -> Result<(), LookError> {
    act(app, id).await?;
    tell(app, id).await
}

/// What the automat does becomes words.
async fn act(app: &App, id: &ClusterId) -> Result<(), LookError> {
    let writing = app.clusters.writing.lock().await;
    let now_ms = app.clock.now_ms();
    let planned = app.clusters.look(id.as_str(), |live| live.leads().then(|| plan(live, &app.clusters.node, now_ms)));
    let Some((words, withheld)) = planned.flatten() else {
        // Another one says it now. Who leads again later says it anew.
        app.clusters.change(id, false, |live| live.told.withheld.clear());
        return Ok(());
    };
    let taken = app.clusters.write(id, &words).await?;
    drop(writing);
    for word in &taken {
        let (region, said) = (word.region.as_str(), word.register.word.as_str());
        metrics::counter!("anabranch_cluster_decisions_total", "word" => said).increment(1);
        tracing::info!(cluster.id = %id, cluster.region = region, word = said, why = word.register.why, "the automat has decided");
    }
    if !taken.is_empty() {
        app.changed();
    }
    // As long as the same rule holds it is one decision, even if other watchers are counted meanwhile and it dates from another moment.
    let rules = withheld.iter().map(|(rule, entry)| (entry.region.clone(), *rule)).collect();
    let known = app.clusters.change(id, false, |live| std::mem::replace(&mut live.told.withheld, rules));
    let known = known.unwrap_or_default();
    let is_new = |(rule, entry): &Withheld| !known.contains(&(entry.region.clone(), *rule));
    let new: Vec<HistoryEntry> = withheld.into_iter().filter(is_new).map(|(_, entry)| entry).collect();
    if !new.is_empty() {
        if let Err(error) = app.clusters.store.history_append(id, &new, now_ms).await {
            // It is said at the next look.
            app.clusters.change(id, false, |live| live.told.withheld.clear());
            return Err(error.into());
        }
        app.log_wake.notify_one();
    }
    Ok(())
}

/// A decision that is not carried out, with the rule that forbids it.
type Withheld = (&'static str, HistoryEntry);

fn plan(live: &Live, node: &str, now_ms: i64) -> (Vec<RegisterOf>, Vec<Withheld>) {
    let view = View { cluster: live.cluster(), registers: &live.registers, votes: &live.votes, now_ms };
    let decisions = decide(&view);
    let mut registers = live.registers.clone();
    let (mut words, mut withheld) = (Vec::new(), Vec::new());
    for decision in decisions {
        match decision.action {
            Action::Withhold(rule) => withheld.extend(decision.withheld(node, now_ms).map(|entry| (rule, entry))),
            Action::Close | Action::Reopen | Action::EndDrill => {
                let stamp = over(&registers, &decision, now_ms).unwrap_or_else(|| registers.next_stamp(node, now_ms));
                let word = decision.word(live.cluster(), stamp, now_ms);
                if let Some(word) = word {
                    registers.merge(word.clone());
                    words.push(word);
                }
            }
        }
    }
    (words, withheld)
}

/// The stamp of the word that ends a drill at its time, which was said with the drill: it is the same on every instance, so that those which
/// do not hear each other end it once.
fn over(registers: &Registers, decision: &Decision, now_ms: i64) -> Option<Stamp> {
    let drill = registers.get(&decision.region, Voice::Operator).filter(|_| decision.action == Action::EndDrill)?;
    drill.until_ms.filter(|until_ms| now_ms >= *until_ms).map(|_| drill.stamp.following())
}

/// What a look has found to be told.
#[derive(Default)]
struct News {
    entries: Vec<NewEntry>,
    votes: Vec<(VoteOf, i64)>,
    gone: Vec<(String, String)>,
    told: Remembered,
    openings: bool,
    turned: Vec<HistoryEntry>,
}

/// Writes what has changed, and wakes those who act by it.
async fn tell(app: &App, id: &ClusterId) -> Result<(), LookError> {
    let now_ms = app.clock.now_ms();
    let listening = now_ms.saturating_sub(app.clusters.started_ms);
    let news = app.clusters.look(id.as_str(), |live| news(live, &app.clusters.node, listening, now_ms));
    let Some(news) = news else { return Ok(()) };
    if news.openings {
        // Time alone has opened or closed something: peers and edges are told.
        app.clusters.change(id, true, |_| ());
        app.changed();
    }
    if !news.turned.is_empty() {
        app.clusters.store.history_append(id, &news.turned, now_ms).await?;
        app.log_wake.notify_one();
    }
    if !(news.entries.is_empty() && news.votes.is_empty() && news.gone.is_empty()) {
        app.db.cluster_votes_put(id, &news.votes, &news.gone, &news.entries, now_ms).await?;
        app.log_wake.notify_one();
    }
    app.clusters.change(id, false, |live| {
        for (vote, _) in &news.votes {
            live.unsaved.remove(&(vote.region.clone(), vote.watcher.clone()));
        }
        live.votes.retain(|region, watcher, _| !news.gone.iter().any(|(of, by)| of == region && by == watcher));
        live.told.verdicts = news.told.verdicts;
        live.told.openings = news.told.openings;
        live.told.silent = news.told.silent;
        live.told.problems = news.told.problems;
    });
    Ok(())
}

fn news(live: &Live, node: &str, listening_ms: i64, now_ms: i64) -> News {
    let cluster = live.cluster();
    let mut news = News::default();
    for region in &cluster.regions {
        let judged = live.judge(&region.name, now_ms);
        let before = live.told.verdicts.get(&region.name).copied().unwrap_or_default();
        news.told.verdicts.insert(region.name.clone(), judged.state);
        if before != judged.state {
            let word = match judged.state {
                VerdictState::Fresh => "cluster.region.fresh",
                VerdictState::Stale => "cluster.region.stale",
                VerdictState::Ended => "cluster.region.ended",
                VerdictState::Unknown => "cluster.region.unknown",
            };
            let reasons: Vec<&str> = live
                .votes
                .of(&region.name)
                .filter(|(_, vote)| vote.verdict.state == judged.state)
                .map(|(_, vote)| vote.verdict.reason.as_str())
                .collect();
            let reason = reasons.first().copied().unwrap_or_default();
            news.entries.push(entry(cluster, word).detail("region", region.name.as_str()).detail("reason", reason));
        }
    }
    watchers(live, listening_ms, now_ms, &mut news);
    problems(live, &mut news);
    for (region, watcher, vote) in live.votes.iter() {
        if now_ms.saturating_sub(vote.heard_ms) > FORGET_MS && listening_ms > FORGET_MS {
            news.gone.push((region.to_owned(), watcher.to_owned()));
        } else if live.unsaved.contains(&(region.to_owned(), watcher.to_owned())) {
            let of = VoteOf {
                region: region.to_owned(),
                watcher: watcher.to_owned(),
                verdict: vote.verdict.clone(),
                at_ms: vote.at_ms,
                age_ms: 0,
            };
            news.votes.push((of, vote.heard_ms));
        }
    }
    news.told.openings =
        live.openings(now_ms).into_iter().map(|(region, one)| (region, (one.opening, one.ground))).collect();
    let only = |of: &BTreeMap<String, (Opening, Ground)>| of.values().map(|(opening, _)| *opening).collect::<Vec<_>>();
    // At the first look there is nothing to compare with, and nobody who was told otherwise.
    news.openings = !live.told.openings.is_empty() && only(&news.told.openings) != only(&live.told.openings);
    news.turned = turned(live, node, now_ms);
    news
}

fn entry(cluster: &Cluster, word: &'static str) -> NewEntry {
    NewEntry::stream(word, "cluster", cluster.id.as_str()).detail("name", cluster.name.as_str())
}

/// Who has fallen silent, and who is heard again.
fn watchers(live: &Live, listening_ms: i64, now_ms: i64, news: &mut News) {
    let cluster = live.cluster();
    // Who was not heard because nobody listened is not silent yet.
    let quiet = if listening_ms > i64::from(cluster.watch.silence_ms) {
        silent(cluster, &live.votes, now_ms)
    } else {
        Vec::new()
    };
    news.told.silent = quiet.iter().map(|watcher| (*watcher).to_owned()).collect();
    for watcher in news.told.silent.difference(&live.told.silent) {
        news.entries.push(entry(cluster, "cluster.watcher.silent").detail("watcher", watcher.as_str()));
    }
    // One that was forgotten, or whose region is gone, has not come back.
    let is_heard = |watcher: &str| {
        let mut votes = live.votes.iter().filter(|(_, by, _)| *by == watcher);
        votes.any(|(.., vote)| vote.is_heard(cluster.watch.silence_ms, now_ms))
    };
    for watcher in live.told.silent.difference(&news.told.silent).filter(|watcher| is_heard(watcher)) {
        news.entries.push(entry(cluster, "cluster.watcher.heard").detail("watcher", watcher.as_str()));
    }
}

/// What keeps streams from being aligned, and what no longer does.
fn problems(live: &Live, news: &mut News) {
    let cluster = live.cluster();
    let aligned = live.anchors().filter_map(|one| {
        let problem = one.problem.clone()?;
        Some(((one.stream.clone(), one.region.clone()), problem))
    });
    news.told.problems = aligned.collect();
    for (of, problem) in &news.told.problems {
        if live.told.problems.get(of) != Some(problem) {
            let (stream, region) = (of.0.as_str(), of.1.as_str());
            let entry = entry(cluster, "cluster.stream.problem").detail("stream", stream).detail("region", region);
            news.entries.push(entry.detail("problem", problem.as_str()));
        }
    }
    for of in live.told.problems.keys().filter(|of| !news.told.problems.contains_key(of)) {
        let (stream, region) = (of.0.as_str(), of.1.as_str());
        news.entries.push(entry(cluster, "cluster.stream.aligned").detail("stream", stream).detail("region", region));
    }
}
