//! What operators say of a cluster: which regions are closed and open, drills, and its end.

use anabranch_cluster::decide::{View, evidence};
use anabranch_cluster::peer::REASON_MAX;
use anabranch_cluster::state::{Opening, standing};
use anabranch_db::Retire;
use anabranch_model::{Cluster, Register, RegisterOf, VerdictState, Voice, Word};
use serde::Deserialize;
use utoipa::ToSchema;

use super::cluster_view::ClusterView;
use super::{App, Error};
use crate::cluster::Live;

/// Shortest and longest drill, in seconds.
const DRILL_SECONDS: std::ops::RangeInclusive<u32> = 1..=3_600;

/// Breakouts that a refusal names at most.
const NAMED_MAX: usize = 5;

/// What an operator says of a region.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionOrder {
    /// Name of the region.
    region: String,
    /// Why, for the history.
    #[serde(default)]
    why: String,
}

/// A drill.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrillOrder {
    /// Name of the region that is closed.
    region: String,
    /// How long, in seconds, 1 to 3600.
    seconds: u32,
    /// Why, for the history.
    #[serde(default)]
    why: String,
}

/// What is said of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is to be closed.
    Close,
    /// It is to be open.
    Open,
    /// The automat is to say.
    Automatic,
}

impl App {
    /// Deletes a cluster with the distribution of its merged playlists.
    pub(crate) async fn cluster_delete(&self, wanted: &str) -> Result<(), Error> {
        let cluster = self.clusters.find(wanted, |live| live.cluster().clone())?;
        self.refuse_on_air(&cluster).await?;
        // First of all: who is stopped in between finds it by the cluster.
        if let Some(merged) = self.db.distribution_by_reference(&Self::reference(&cluster)).await? {
            let content = self.disabled_content(&merged)?;
            let now_ms = self.clock.now_ms();
            self.db.distribution_retire(merged.id.as_str(), &content, Retire::Forced, None, now_ms).await?;
        }
        let row = self.db.cluster_delete(cluster.id.as_str(), self.clock.now_ms()).await?;
        self.clusters.forget(&row.cluster.id);
        self.changed();
        Ok(())
    }

    async fn refuse_on_air(&self, cluster: &Cluster) -> Result<(), Error> {
        let mut on_air = Vec::new();
        for id in self.db.breakouts_of_cluster(&cluster.name).await? {
            on_air.push(self.db.breakout_find(id.as_str()).await?.content.name);
        }
        if on_air.is_empty() {
            return Ok(());
        }
        let more = on_air.len().saturating_sub(NAMED_MAX);
        on_air.truncate(NAMED_MAX);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (name, on_air) = (&cluster.name, on_air.join(", "));
        Err(Error::Conflict(format!("breakouts of cluster {name} are on air: {on_air}{rest}; stop them first")))
    }

    /// Says something of a region in the name of an operator.
    pub(crate) async fn cluster_order(
        &self,
        wanted: &str,
        order: Order,
        request: RegionOrder,
        who: &str,
    ) -> Result<ClusterView, Error> {
        let said = match order {
            Order::Close => Word::Closed,
            Order::Open => Word::Open,
            Order::Automatic => Word::Automatic,
        };
        self.say(wanted, &request.region, said, &request.why, None, who).await
    }

    /// Closes a region for a while, for practice.
    pub(crate) async fn cluster_drill(
        &self,
        wanted: &str,
        request: DrillOrder,
        who: &str,
    ) -> Result<ClusterView, Error> {
        if !DRILL_SECONDS.contains(&request.seconds) {
            let (least, most) = (DRILL_SECONDS.start(), DRILL_SECONDS.end());
            return Err(Error::invalid(
                "seconds",
                format!("a drill takes {least} to {most} seconds: {}", request.seconds),
            ));
        }
        self.say(wanted, &request.region, Word::Closed, &request.why, Some(request.seconds), who).await
    }

    async fn say(
        &self,
        wanted: &str,
        region: &str,
        said: Word,
        why: &str,
        drill_seconds: Option<u32>,
        who: &str,
    ) -> Result<ClusterView, Error> {
        let why = why.trim();
        if why.chars().count() > REASON_MAX {
            return Err(Error::invalid("why", format!("a reason has at most {REASON_MAX} characters")));
        }
        let writing = self.clusters.writing.lock().await;
        let now_ms = self.clock.now_ms();
        let (id, known, refusal) = self.clusters.find(wanted, |live| {
            let known = live.cluster().region(region).is_some();
            let refusal = drill_seconds.and_then(|_| drill_refused(live, region, now_ms));
            (live.cluster().id.clone(), known, refusal)
        })?;
        if !known {
            let short: String = region.chars().take(100).collect();
            return Err(Error::invalid("region", format!("the cluster has no region with this name: {short:?}")));
        }
        if let Some(refusal) = refusal {
            return Err(Error::Conflict(refusal));
        }
        let (stamp, drain_ms, evidence) = self.clusters.find(wanted, |live| {
            let (cluster, registers, votes) = (live.cluster(), &live.registers, &live.votes);
            let evidence = evidence(&View { cluster, registers, votes, now_ms }, region);
            (registers.next_stamp(&self.clusters.node, now_ms), cluster.automat.drain_ms, evidence)
        })?;
        let drain_ms = if said == Word::Closed { i64::from(drain_ms) } else { 0 };
        let from_ms = now_ms.saturating_add(drain_ms);
        let register = Register {
            word: said,
            who: who.chars().take(anabranch_cluster::peer::NAME_MAX).collect(),
            why: why.to_owned(),
            since_ms: now_ms,
            from_ms,
            until_ms: drill_seconds.map(|seconds| from_ms.saturating_add(i64::from(seconds) * 1_000)),
            drill: drill_seconds.is_some(),
            evidence,
            stamp,
        };
        let words = [RegisterOf { region: region.to_owned(), voice: Voice::Operator, register }];
        let taken = self.clusters.write(&id, &words).await.map_err(Error::of_store)?;
        drop(writing);
        if taken.is_empty() {
            return Err(Error::Conflict("a newer word is kept: look at the cluster, and say it again".to_owned()));
        }
        self.changed();
        self.cluster_show(id.as_str())
    }
}

fn drill_refused(live: &Live, region: &str, now_ms: i64) -> Option<String> {
    if let Some(word) = standing(&live.registers, region, now_ms).filter(|word| !word.drill) {
        let why = if word.why.is_empty() { "no reason given" } else { word.why.as_str() };
        return Some(format!(
            "region {region} is {} by the word of {} ({why}), which a drill would end: hand it back to the automat first",
            word.word.as_str(),
            word.who
        ));
    }
    let openings = live.openings(now_ms);
    let is_open = |name: &str| openings.get(name).is_some_and(|one| one.opening == Opening::Open);
    let mut others =
        live.cluster().regions.iter().filter(|other| other.name != region && is_open(&other.name)).peekable();
    if others.peek().is_none() {
        return Some("no other region is open: a drill would leave viewers without any".to_owned());
    }
    let all_stale = others.all(|other| live.judge(&other.name, now_ms).state == VerdictState::Stale);
    all_stale.then(|| "every other open region is stale: a drill would leave viewers without any".to_owned())
}
