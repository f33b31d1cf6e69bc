//! Clusters as answers show them.

use std::collections::BTreeMap;

use anabranch_cluster::state::{Judged, Opening, silent, warning};
use anabranch_cluster::store::Kept;
use anabranch_model::{
    AutomatSettings, ClosedSpec, ClusterRegion, ClusterState, InForce as Acts, Snapshot, VerdictState, Voice,
    WatchSettings,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::cluster_seen::AlignmentView;
use crate::cluster::{Glance, Live};
use crate::observe::Applied;
use crate::time;

/// Which page of a history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// Entries at most, 1 to 200; 50 if it is missing.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before: the newest entries come first.
    pub(crate) after: Option<u64>,
}

/// Which state is known.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StateQuery {
    /// `version` of the answer before: the next one comes when it is another, or after a second.
    pub(crate) after: Option<u64>,
}

/// Whose decision is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DecisionQuery {
    /// Host of the CDN, or id of a distribution.
    pub(crate) distribution: Option<String>,
}

/// Whether a region is open, for edge functions elsewhere.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    /// False: answer 404, without a lifetime. Everything that is not known is open.
    pub(crate) open: bool,
    /// Name of the region; null where it is not known.
    pub(crate) region: Option<String>,
    /// Name of the cluster; null where it is not known.
    pub(crate) cluster: Option<String>,
}

/// The newest words and votes of a cluster, for peers.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct StateView(pub(crate) ClusterState);

/// The same live stream in several regions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClusterView {
    /// Identifier, of this instance only.
    pub(crate) id: String,
    /// Name, by which peers know it as well.
    pub(crate) name: String,
    /// The region that this instance is; null where it only watches.
    pub(crate) here: Option<String>,
    /// Regions, the preferred first.
    pub(crate) regions: Vec<RegionView>,
    /// How verdicts come about.
    pub(crate) watch: WatchView,
    /// When the automat closes and opens.
    pub(crate) automat: AutomatView,
    /// Whether the automat of this instance decides; else that of a peer does.
    pub(crate) decides: bool,
    /// What is alarming about which regions are open.
    pub(crate) warning: Option<String>,
    /// Watchers that have fallen silent.
    pub(crate) silent_watchers: Vec<String>,
    /// How its streams are aligned, as far as this server and its peers are regions of it.
    pub(crate) alignment: Vec<AlignmentView>,
    /// Changes with each change of state.
    pub(crate) version: u64,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339; of the definition.
    pub(crate) updated_at: String,
}

/// A region.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegionView {
    /// Name.
    pub(crate) name: String,
    /// Multivariant playlist at the origin.
    pub(crate) origin_url: String,
    /// The same through the CDN.
    pub(crate) cdn_url: String,
    /// Distribution of this server that serves it.
    pub(crate) distribution: Option<String>,
    /// Path patterns of the distribution that are the region's; empty for all of it.
    pub(crate) paths: Vec<String>,
    /// Whether it is open.
    #[schema(example = "open", pattern = "^(open|draining|closed)$")]
    pub(crate) opening: &'static str,
    /// Whether every edge acts by that: those of this server, and of the one that is the region, as it says itself.
    pub(crate) in_force: bool,
    /// For what that waits; null when it is in force.
    pub(crate) waiting_for: Option<String>,
    /// By what: nobody's word, the operator's, a drill, the automat's, or that no region would be open otherwise.
    #[schema(example = "operator", pattern = "^(nothing|operator|drill|automat|fail_open)$")]
    pub(crate) by: &'static str,
    /// Name of the token in whose name it was said, or `automat`.
    pub(crate) who: Option<String>,
    /// Why.
    pub(crate) why: Option<String>,
    /// Since when; RFC 3339; null for always.
    pub(crate) since: Option<String>,
    /// When it ends by itself; RFC 3339.
    pub(crate) until: Option<String>,
    /// The operator's word that stands.
    #[schema(pattern = "^(open|closed|automatic)$")]
    pub(crate) operator: Option<&'static str>,
    /// The automat's word, whether it counts or not.
    #[schema(pattern = "^(open|closed)$")]
    pub(crate) automat: Option<&'static str>,
    /// What watchers say.
    #[schema(example = "fresh", pattern = "^(fresh|stale|ended|unknown)$")]
    pub(crate) verdict: &'static str,
    /// Since when they do; RFC 3339; null where none is heard.
    pub(crate) verdict_since: Option<String>,
    /// Why, in the words of one of them.
    pub(crate) verdict_reason: Option<String>,
    /// Watchers that are heard and do not abstain, as they do while nothing is on air.
    pub(crate) watchers: usize,
    /// Those of them that say stale.
    pub(crate) watchers_stale: usize,
    /// How long its playlists take to answer through the CDN, the middle one, in milliseconds; null where this server has not measured it.
    pub(crate) latency_ms: Option<u64>,
    /// The same at the origin.
    pub(crate) origin_latency_ms: Option<u64>,
    /// How far the end of its newest segments lies behind the clock, in milliseconds.
    pub(crate) behind_ms: Option<i64>,
    /// Age of that of its playlists that has not changed for longest, in milliseconds.
    pub(crate) age_ms: Option<u64>,
    /// Playlists that this server watches through the CDN.
    pub(crate) playlists: usize,
    /// Those of them that are stale.
    pub(crate) playlists_stale: usize,
    /// The instance that is this region.
    pub(crate) peer: Option<PeerView>,
    /// Names of the headers with which its origin is asked; their values are never shown.
    pub(crate) headers: Vec<String>,
}

/// Another instance, without its token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeerView {
    /// Address of its API.
    pub(crate) url: String,
    /// Its id; null until it has answered.
    pub(crate) node: Option<String>,
    /// Whether it answers.
    pub(crate) reachable: bool,
    /// Why it does not.
    pub(crate) problem: Option<String>,
    /// When it has answered last; RFC 3339.
    pub(crate) heard_at: Option<String>,
    /// When it is asked again; RFC 3339.
    pub(crate) next_try_at: Option<String>,
    /// In what its definition of the cluster differs from this server's.
    pub(crate) differs: Option<&'static str>,
}

/// How verdicts come about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatchView {
    /// Name of the watcher's preset.
    pub(crate) preset: String,
    /// A playlist is stale after its duration times this; null as the preset says.
    pub(crate) multiplier: Option<f64>,
    /// Share of a region's playlists that must be stale; null as the preset says.
    pub(crate) tolerance: Option<f64>,
    /// How many watchers must say so.
    #[schema(example = "majority", pattern = "^(any|majority|all)$")]
    pub(crate) vote: &'static str,
    /// Silence after which a watcher has no vote and is an alarm, in milliseconds.
    pub(crate) silence_ms: u32,
    /// What counts as a change of a playlist; null as the preset says.
    #[schema(example = "media-sequence", pattern = "^(media-sequence|content-hash)$")]
    pub(crate) change_detect: Option<&'static str>,
    /// While a change is due, a playlist is looked at each time that its duration divided by this has passed; null as the preset says.
    pub(crate) poll_divisor: Option<u32>,
    /// Longest wait for one answer, in milliseconds; null as the preset says.
    pub(crate) timeout_ms: Option<u32>,
    /// Whether a changed multivariant playlist changes what is watched; null as the preset says.
    pub(crate) reload: Option<bool>,
}

/// When the automat closes and opens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AutomatView {
    /// Who closes.
    #[schema(example = "manual", pattern = "^(manual|automatic)$")]
    pub(crate) mode: &'static str,
    /// A region must be stale for so long before it is closed, in milliseconds.
    pub(crate) confirm_ms: u32,
    /// Shortest time between two switches of a region, and for which it must be fresh before it is opened again.
    pub(crate) hold_ms: u32,
    /// Time after a closing in which no other region is closed, in milliseconds.
    pub(crate) cool_down_ms: u32,
    /// Time between a closing and its effect, in milliseconds.
    pub(crate) drain_ms: u32,
}

/// A decision.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryItem {
    /// Goes up with each entry of the cluster.
    pub(crate) sequence: u64,
    /// RFC 3339.
    pub(crate) at: String,
    /// Region that it is about.
    pub(crate) region: String,
    /// Who decided.
    #[schema(example = "operator", pattern = "^(operator|automat)$")]
    pub(crate) by: &'static str,
    /// What; `withheld` for what was not done and would have been, `fail_open` for a closing that does not count since no region would be
    /// open.
    #[schema(example = "closed", pattern = "^(open|closed|automatic|drill|withheld|fail_open)$")]
    pub(crate) what: String,
    /// In whose name.
    pub(crate) who: String,
    /// Why.
    pub(crate) why: String,
    /// When it ends by itself; RFC 3339.
    pub(crate) until: Option<String>,
    /// What it was decided by.
    #[schema(value_type = Object)]
    pub(crate) evidence: serde_json::Value,
    /// Id of the instance that decided.
    pub(crate) node: String,
}

/// What a watcher says of a region.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VoteView {
    /// Name of the region.
    pub(crate) region: String,
    /// Name of the watcher.
    pub(crate) watcher: String,
    /// What it says.
    #[schema(example = "fresh", pattern = "^(fresh|stale|ended|unknown)$")]
    pub(crate) state: &'static str,
    /// Since when; RFC 3339.
    pub(crate) since: String,
    /// Why.
    pub(crate) reason: String,
    /// What it has measured.
    #[schema(value_type = Object)]
    pub(crate) evidence: serde_json::Value,
    /// When it said so last; RFC 3339.
    pub(crate) heard_at: String,
    /// Whether it counts: it was heard within the silence limit, and does not abstain since nothing is on air.
    pub(crate) counts: bool,
}

/// What edges of this server do now, as far as every one of them does.
pub(crate) struct InForce {
    snapshot: std::sync::Arc<Snapshot>,
    everywhere: bool,
}

impl InForce {
    /// For what it is waited until a region is as it is meant to be; none when it is: at our edges as far as they serve it, and at those of
    /// the instance that it is.
    fn waits(&self, live: &Live, region: &ClusterRegion, opening: Opening) -> Option<String> {
        if !self.holds(&live.cluster().name, region, opening) {
            return Some("an edge of this server acts otherwise still".to_owned());
        }
        region.peer.as_ref()?;
        let (name, seen) = (&region.name, live.peers.get(&region.name));
        let Some(seen) = seen.filter(|seen| seen.answered_ms.is_some() || seen.problem.is_some()) else {
            return Some(format!("the server of {name} has not answered yet"));
        };
        if let Some(problem) = &seen.problem {
            return Some(format!("the server of {name} is not heard: {problem}"));
        }
        match seen.in_force {
            None => Some(format!("the server of {name} does not tell what its edges do")),
            Some(now) if now == wanted(opening) => None,
            Some(_) => Some(format!("the edges of {name} act otherwise still")),
        }
    }

    /// Whether our own edges do, as far as they serve the region.
    fn holds(&self, cluster: &str, region: &ClusterRegion, opening: Opening) -> bool {
        let Some(distribution) = &region.distribution else { return true };
        let is_told = |closed: &ClosedSpec| {
            closed.distribution == *distribution && closed.cluster == cluster && closed.region == region.name
        };
        self.everywhere && self.snapshot.closed.iter().any(is_told) == (opening == Opening::Closed)
    }

    /// What our edges do for the region that this instance is; none where it only watches.
    pub(crate) fn of_here(&self, live: &Live, now_ms: i64) -> Option<Acts> {
        let cluster = live.cluster();
        let region = cluster.region(cluster.here.as_deref()?)?;
        let opening = live.openings(now_ms).get(&region.name)?.opening;
        Some(if self.holds(&cluster.name, region, opening) { wanted(opening) } else { Acts::Changing })
    }
}

/// What edges do when a region is so.
fn wanted(opening: Opening) -> Acts {
    if opening == Opening::Closed { Acts::Closed } else { Acts::Open }
}

impl App {
    pub(crate) fn openings_in_force(&self) -> InForce {
        let snapshot = self.nodes.snapshots.borrow().clone();
        let everywhere = !matches!(self.observed.applied("edge", snapshot.version), Applied::Behind(_));
        InForce { snapshot, everywhere }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<&WatchSettings> for WatchView {
    fn from(watch: &WatchSettings) -> Self {
        Self {
            preset: watch.preset.clone(),
            multiplier: watch.multiplier,
            tolerance: watch.tolerance,
            vote: watch.vote.as_str(),
            silence_ms: watch.silence_ms,
            change_detect: watch.change_detect.map(anabranch_model::ChangeDetect::as_str),
            poll_divisor: watch.poll_divisor,
            timeout_ms: watch.timeout_ms,
            reload: watch.reload,
        }
    }
}

impl From<&AutomatSettings> for AutomatView {
    fn from(automat: &AutomatSettings) -> Self {
        Self {
            mode: automat.mode.as_str(),
            confirm_ms: automat.confirm_ms,
            hold_ms: automat.hold_ms,
            cool_down_ms: automat.cool_down_ms,
            drain_ms: automat.drain_ms,
        }
    }
}

impl ClusterView {
    pub(crate) fn of(live: &Live, in_force: &InForce, now_ms: i64) -> Self {
        let cluster = live.cluster();
        let openings = live.openings(now_ms);
        let region = |region: &ClusterRegion| RegionView::of(live, region, in_force, now_ms);
        let silent: Vec<String> = silent(cluster, &live.votes, now_ms).into_iter().map(str::to_owned).collect();
        Self {
            id: cluster.id.to_string(),
            name: cluster.name.clone(),
            here: cluster.here.clone(),
            regions: cluster.regions.iter().map(region).collect(),
            watch: (&cluster.watch).into(),
            automat: (&cluster.automat).into(),
            decides: live.leads(),
            warning: warning(&openings).map(str::to_owned),
            silent_watchers: silent,
            alignment: live.anchors().map(AlignmentView::of).collect(),
            version: live.version,
            created_at: time::render_ms(live.row.created_at),
            updated_at: time::render_ms(live.row.updated_at),
        }
    }
}

/// Why a verdict is what it is, by one of those who say so. Where watchers do not agree, what one of them finds wrong.
fn reason(live: &Live, region: &str, judged: &Judged, now_ms: i64) -> Option<String> {
    let silence_ms = live.cluster().watch.silence_ms;
    let of = |state: VerdictState| {
        let mut votes = live.votes.of(region).filter(|(_, vote)| vote.is_heard(silence_ms, now_ms));
        votes.find(|(_, vote)| vote.verdict.state == state).map(|(who, vote)| (who, vote.verdict.reason.as_str()))
    };
    let said = match of(VerdictState::Stale).filter(|_| judged.state == VerdictState::Unknown) {
        Some((who, why)) => format!("{} of {} watchers say stale; {who}: {why}", judged.stale, judged.heard),
        None => of(judged.state)?.1.to_owned(),
    };
    Some(said).filter(|said| !said.is_empty())
}

impl RegionView {
    fn of(live: &Live, region: &ClusterRegion, in_force: &InForce, now_ms: i64) -> Self {
        let openings: BTreeMap<_, _> = live.openings(now_ms);
        let judged = live.judge(&region.name, now_ms);
        let reason = reason(live, &region.name, &judged, now_ms);
        let word = |voice| live.registers.get(&region.name, voice).map(|register| register.word.as_str());
        let glance = Glance::of(&live.seen, &region.name);
        // Every region of the definition has an opening.
        let opening = openings.get(&region.name);
        let is = opening.map_or(Opening::Open, |one| one.opening);
        let waiting_for = in_force.waits(live, region, is);
        let peer = region.peer.as_ref().map(|peer| {
            let seen = live.peers.get(&region.name).cloned().unwrap_or_default();
            PeerView {
                url: peer.url.clone(),
                node: seen.node,
                reachable: seen.problem.is_none() && seen.answered_ms.is_some(),
                problem: seen.problem,
                heard_at: seen.answered_ms.map(time::render_ms),
                next_try_at: seen.next_try_ms.map(time::render_ms),
                differs: seen.differs,
            }
        });
        Self {
            name: region.name.clone(),
            origin_url: region.origin_url.clone(),
            cdn_url: region.cdn_url.clone(),
            distribution: region.distribution.as_ref().map(ToString::to_string),
            paths: region.paths.clone(),
            opening: is.as_str(),
            in_force: waiting_for.is_none(),
            waiting_for,
            by: opening.map_or("nothing", |one| one.ground.as_str()),
            who: opening.and_then(|one| some(&one.who)),
            why: opening.and_then(|one| some(&one.why)),
            since: opening.filter(|one| one.since_ms > 0).map(|one| time::render_ms(one.since_ms)),
            until: opening.and_then(|one| one.until_ms).map(time::render_ms),
            operator: word(Voice::Operator),
            automat: word(Voice::Automat),
            verdict: judged.state.as_str(),
            verdict_since: (judged.heard > 0).then(|| time::render_ms(judged.since_ms)),
            verdict_reason: reason,
            watchers: judged.heard,
            watchers_stale: judged.stale,
            latency_ms: glance.latency_ms,
            origin_latency_ms: glance.origin_latency_ms,
            behind_ms: glance.behind_ms,
            age_ms: glance.age_ms,
            playlists: glance.playlists,
            playlists_stale: glance.playlists_stale,
            peer,
            headers: region.headers.names().map(str::to_owned).collect(),
        }
    }
}

impl HistoryItem {
    pub(crate) fn of(kept: Kept) -> Self {
        let entry = kept.entry;
        Self {
            sequence: kept.sequence,
            at: time::render_ms(entry.at_ms),
            region: entry.region,
            by: entry.voice.as_str(),
            what: entry.what,
            who: entry.who,
            why: entry.why,
            until: entry.until_ms.map(time::render_ms),
            evidence: entry.evidence,
            node: entry.node,
        }
    }
}

impl VoteView {
    pub(crate) fn all(live: &Live, now_ms: i64) -> Vec<Self> {
        let silence_ms = live.cluster().watch.silence_ms;
        live.votes
            .iter()
            .map(|(region, watcher, vote)| Self {
                region: region.to_owned(),
                watcher: watcher.to_owned(),
                state: vote.verdict.state.as_str(),
                since: time::render_ms(vote.verdict.since_ms),
                reason: vote.verdict.reason.clone(),
                evidence: vote.verdict.evidence.clone(),
                heard_at: time::render_ms(vote.heard_ms),
                counts: vote.is_heard(silence_ms, now_ms) && !vote.verdict.abstains(),
            })
            .collect()
    }
}
