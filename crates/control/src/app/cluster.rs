//! Clusters: what operators define and say, what watchers and peers tell.

use std::time::Duration;

use anabranch_cluster::peer::{is_named, tidy};
use anabranch_cluster::state::{Opening, effective};
use anabranch_db::Idempotency;
use anabranch_model::{
    AutomatSettings, Cluster, ClusterError, ClusterId, ClusterRegion, ClusterState, Verdict, VerdictState,
    WatchSettings,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::cluster_given::{AutomatGiven, RegionGiven, WatchGiven, spelled};
use super::cluster_view::{ClusterView, DecisionView, HistoryItem, HistoryQuery, VoteView};
use super::page::PageQuery;
use super::view::List;
use super::{App, Error, names};
use crate::cluster::url::read_url;
use crate::cluster::{Clusters, Live};
use anabranch_cluster::store::StateStore as _;

/// Clusters at most: each has tasks and memory of its own.
const CLUSTERS_MAX: usize = 100;

/// Longest time for which a request for a state is held. A peer hears by it that we are there.
const HOLD: Duration = Duration::from_secs(1);

/// Entries of a page of history when the caller names no number, and at most.
const HISTORY_DEFAULT: u32 = 50;
const HISTORY_PAGE_MAX: u32 = 200;

/// What watchers may say.
pub(super) const STATES: &[&str] = &["fresh", "stale", "ended", "unknown"];

/// A cluster to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterCreate {
    /// Name, 1 to 100 characters. Instances that take part give it the same name.
    pub(super) name: String,
    /// Name of the region that this instance is; missing where it only watches.
    pub(super) here: Option<String>,
    /// Regions, 2 to 8, the preferred first.
    pub(super) regions: Vec<RegionGiven>,
    /// How verdicts come about.
    #[serde(default)]
    pub(super) watch: WatchGiven,
    /// When the automat closes and opens.
    #[serde(default)]
    pub(super) automat: AutomatGiven,
}

/// What is to become different; what is missing stays, and a setting that is null is the default again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterPatch {
    /// Name of the region that this instance is; empty where it only watches.
    pub(super) here: Option<String>,
    /// All regions. A peer without a token keeps the one that it has, and a region without headers those that it has.
    pub(super) regions: Option<Vec<RegionGiven>>,
    /// How verdicts come about.
    #[serde(default)]
    pub(super) watch: WatchGiven,
    /// When the automat closes and opens.
    #[serde(default)]
    pub(super) automat: AutomatGiven,
}

/// What a watcher sees.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoteGiven {
    /// Name of the region.
    region: String,
    /// Name of the watcher, 1 to 100 characters.
    watcher: String,
    /// `fresh`, `stale`, `ended` or `unknown`.
    state: String,
    /// Since when, Unix milliseconds; since now if it is missing.
    since_ms: Option<i64>,
    /// Why, in words.
    #[serde(default)]
    reason: String,
    /// What it has measured: up to 4 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Object)]
    evidence: Value,
}

fn of_definition(error: ClusterError) -> Error {
    Error::Invalid { field: error.field, detail: error.detail }
}

impl App {
    pub(crate) async fn cluster_create(
        &self,
        request: ClusterCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<ClusterView, Error> {
        if self.clusters.ids().len() >= CLUSTERS_MAX {
            return Err(Error::Conflict(format!(
                "there are {CLUSTERS_MAX} clusters, which is the most: delete one first"
            )));
        }
        let cluster = Cluster {
            id: ClusterId::random(),
            name: names::name(&request.name)?,
            here: request.here.filter(|here| !here.is_empty()),
            regions: self.regions(request.regions, &[])?,
            watch: request.watch.over(WatchSettings::default())?,
            automat: request.automat.over(&AutomatSettings::default())?,
        };
        cluster.check().map_err(of_definition)?;
        let made = self.db.cluster_create(&cluster, idempotency.as_ref(), self.clock.now_ms()).await?;
        let id = match made {
            anabranch_db::Created::New(row) => {
                let id = row.cluster.id.clone();
                self.clusters.define(row);
                self.changed();
                id
            }
            anabranch_db::Created::Replayed(row) => row.cluster.id,
        };
        self.cluster_show(id.as_str())
    }

    pub(crate) async fn cluster_update(&self, wanted: &str, request: ClusterPatch) -> Result<ClusterView, Error> {
        let before = self.clusters.find(wanted, |live| live.cluster().clone())?;
        let regions = match request.regions {
            Some(regions) => self.regions(regions, &before.regions)?,
            None => before.regions,
        };
        let cluster = Cluster {
            here: request.here.or(before.here).filter(|here| !here.is_empty()),
            regions,
            watch: request.watch.over(before.watch)?,
            automat: request.automat.over(&before.automat)?,
            id: before.id,
            name: before.name,
        };
        cluster.check().map_err(of_definition)?;
        let row = self.db.cluster_update(&cluster, self.clock.now_ms()).await?;
        self.clusters.define(row);
        self.changed();
        self.cluster_show(cluster.id.as_str())
    }

    pub(crate) async fn cluster_list(&self, query: &PageQuery) -> Result<List<ClusterView>, Error> {
        let page = self.db.cluster_page(&query.request()?).await?;
        let next = page.next.map(|cursor| cursor.to_string());
        // One that was deleted meanwhile is gone.
        let items = page.items.iter().filter_map(|row| self.cluster_show(row.cluster.id.as_str()).ok()).collect();
        Ok(List { items, next })
    }

    pub(crate) fn cluster_show(&self, wanted: &str) -> Result<ClusterView, Error> {
        let now_ms = self.clock.now_ms();
        let in_force = self.openings_in_force();
        self.clusters.look_at();
        Ok(self.clusters.find(wanted, |live| ClusterView::of(live, &in_force, now_ms))?)
    }

    pub(crate) async fn cluster_history(&self, wanted: &str, query: &HistoryQuery) -> Result<List<HistoryItem>, Error> {
        let limit = query.limit.unwrap_or(HISTORY_DEFAULT);
        if !(1..=HISTORY_PAGE_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("a page has 1 to {HISTORY_PAGE_MAX} entries: {limit}")));
        }
        let id = self.clusters.find(wanted, |live| live.cluster().id.clone())?;
        let kept = self.clusters.store.history_list(&id, query.after, limit + 1).await.map_err(Error::of_store)?;
        let more = kept.len() > limit as usize;
        let items: Vec<HistoryItem> = kept.into_iter().take(limit as usize).map(HistoryItem::of).collect();
        let next = items.last().filter(|_| more).map(|last| last.sequence.to_string());
        Ok(List { items, next })
    }

    /// What peers are told, at once when it is other than `after`, else when it becomes so or a second has passed.
    pub(crate) async fn cluster_state(&self, wanted: &str, after: Option<u64>) -> Result<ClusterState, Error> {
        let Ok(_held) = self.clusters.held.clone().try_acquire_owned() else {
            return Err(Error::Busy("too many requests are held: ask again later".to_owned()));
        };
        let deadline = Instant::now() + HOLD;
        let mut moved = self.clusters.moved.subscribe();
        loop {
            moved.mark_unchanged();
            let version = self.clusters.find(wanted, |live| live.version)?;
            let is_over = after.is_none_or(|after| after != version) || Instant::now() >= deadline;
            if is_over || self.nodes.stopping.is_cancelled() {
                let can_write = !self.health.is_failing();
                let now_ms = self.clock.now_ms();
                let edge = &self.config.edge_base_url;
                let in_force = self.openings_in_force();
                let of = |live: &Live| {
                    let state = Clusters::state(live, &self.clusters.node, edge, can_write, now_ms);
                    ClusterState { in_force: in_force.of_here(live, now_ms), ..state }
                };
                return Ok(self.clusters.find(wanted, of)?);
            }
            tokio::select! {
                _ = moved.changed() => {}
                () = self.nodes.stopping.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    /// Takes what a watcher sees of a region.
    pub(crate) fn cluster_vote(
        &self,
        wanted: &str,
        region: &str,
        watcher: &str,
        mut verdict: Verdict,
    ) -> Result<(), Error> {
        if !is_named(watcher) {
            let short: String = watcher.chars().take(100).collect();
            return Err(Error::invalid(
                "watcher",
                format!("a watcher's name has 1 to 100 visible characters: {short:?}"),
            ));
        }
        tidy(&mut verdict);
        let found =
            self.clusters.find(wanted, |live| (live.cluster().id.clone(), live.cluster().region(region).is_some()));
        let (id, known) = found?;
        if !known {
            let short: String = region.chars().take(100).collect();
            return Err(Error::invalid("region", format!("the cluster has no region with this name: {short:?}")));
        }
        if self.clusters.say(&id, region, watcher, verdict) {
            return Ok(());
        }
        let most = anabranch_cluster::peer::WATCHERS_MAX;
        Err(Error::Conflict(format!(
            "{most} watchers vote already, which is the most; those that are silent are forgotten after an hour"
        )))
    }

    /// The same of a watcher elsewhere.
    pub(crate) fn cluster_vote_given(&self, wanted: &str, vote: VoteGiven) -> Result<(), Error> {
        let state = spelled("state", STATES, &vote.state, VerdictState::parse)?;
        let since_ms = vote.since_ms.unwrap_or_else(|| self.since_of(wanted, (&vote.region, &vote.watcher), state));
        let verdict = Verdict { state, since_ms, reason: vote.reason, evidence: vote.evidence, last: None };
        self.cluster_vote(wanted, &vote.region, &vote.watcher, verdict)
    }

    /// Since when a watcher says so that does not tell.
    pub(super) fn since_of(&self, wanted: &str, (region, watcher): (&str, &str), state: VerdictState) -> i64 {
        let now_ms = self.clock.now_ms();
        let before = |live: &Live| {
            let known = live.votes.get(region, watcher)?;
            (known.verdict.state == state).then_some(known.verdict.since_ms)
        };
        self.clusters.look(wanted, before).flatten().unwrap_or(now_ms)
    }

    pub(crate) fn cluster_votes(&self, wanted: &str) -> Result<List<VoteView>, Error> {
        let now_ms = self.clock.now_ms();
        let items = self.clusters.find(wanted, |live| VoteView::all(live, now_ms))?;
        Ok(List { items, next: None })
    }

    /// Takes that a watcher of this process has nothing to watch in any region.
    pub(crate) fn cluster_abstain(&self, wanted: &str, watcher: &str) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let of = |live: &Live| -> Vec<(String, i64)> {
            let since = |region: &str| {
                let known = live.votes.get(region, watcher).filter(|vote| vote.verdict.abstains());
                known.map_or(now_ms, |vote| vote.verdict.since_ms)
            };
            live.cluster().regions.iter().map(|region| (region.name.clone(), since(&region.name))).collect()
        };
        for (region, since_ms) in self.clusters.find(wanted, of)? {
            self.cluster_vote(wanted, &region, watcher, Verdict::abstention(since_ms))?;
        }
        Ok(())
    }

    /// Whether the region behind a host is open. What is not known is open.
    pub(crate) fn cluster_decision(&self, host: Option<&str>) -> DecisionView {
        let now_ms = self.clock.now_ms();
        let found = host.and_then(|host| {
            self.clusters
                .each(|live| {
                    let region = live.cluster().regions.iter().find(|region| is_behind(region, host))?;
                    let openings = effective(live.cluster(), &live.registers, now_ms);
                    let open = openings.get(&region.name).is_none_or(|one| one.opening != Opening::Closed);
                    Some(DecisionView {
                        open,
                        region: Some(region.name.clone()),
                        cluster: Some(live.cluster().name.clone()),
                    })
                })
                .into_iter()
                .flatten()
                // One that is closed in any of several clusters is closed.
                .reduce(|one, other| if one.open { other } else { one })
        });
        found.unwrap_or(DecisionView { open: true, region: None, cluster: None })
    }
}

/// Whether a host, with or without a port, or a distribution's id stands for this region.
fn is_behind(region: &ClusterRegion, host: &str) -> bool {
    if region.distribution.as_ref().is_some_and(|id| id.as_str().eq_ignore_ascii_case(host)) {
        return true;
    }
    let Some(url) = read_url(&region.cdn_url) else { return false };
    let Some(name) = url.host_str() else { return false };
    let with_port = url.port_or_known_default().map(|port| format!("{name}:{port}"));
    host.eq_ignore_ascii_case(name) || with_port.is_some_and(|with_port| with_port.eq_ignore_ascii_case(host))
}
