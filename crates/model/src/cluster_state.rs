//! What instances of a cluster tell each other: registers of what is wished and decided, and votes of what is seen.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Anchors, AutomatSettings, Cluster, ClusterRegion, WatchSettings};

/// Greatest counter of a stamp that is believed: what JSON readers hold exactly.
pub const COUNTER_MAX: u64 = 1 << 53;

/// Which of two words is the newer one: greatest wins. Its parts are compared in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// One more than the greatest that its writer had seen in the cluster.
    pub counter: u64,
    /// Clock of the writer, Unix milliseconds.
    pub wall_ms: i64,
    /// The writer: a control plane's id.
    pub node: String,
}

impl Stamp {
    /// The stamp of what follows of a word by itself, on whichever instance: newer than that word, and older than what anybody says after it.
    #[must_use]
    pub fn following(&self) -> Self {
        Self { counter: self.counter.saturating_add(1).min(COUNTER_MAX), ..self.clone() }
    }
}

/// Who speaks in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// A person, or a program in a person's name.
    Operator,
    /// The rule of this house.
    Automat,
}

impl Voice {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Automat => "automat",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Operator, Self::Automat].into_iter().find(|voice| voice.as_str() == word)
    }
}

/// What a register says of its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It is to be open.
    Open,
    /// It is to be closed.
    Closed,
    /// The automat is to say; a word of operators only.
    Automatic,
}

impl Word {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Automatic => "automatic",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Closed, Self::Automatic].into_iter().find(|value| value.as_str() == word)
    }
}

/// The newest word of one voice on one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// The word.
    pub word: Word,
    /// Who said it: name of a token, or `automat`.
    pub who: String,
    /// Why.
    pub why: String,
    /// When it was said, Unix milliseconds.
    pub since_ms: i64,
    /// When a closing takes effect, Unix milliseconds; until then players are steered away.
    pub from_ms: i64,
    /// When it ends by itself, Unix milliseconds; none: when another word is said.
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// Whether it is a drill: a closing for practice.
    #[serde(default)]
    pub drill: bool,
    /// What it was decided by.
    #[serde(default)]
    pub evidence: Value,
    /// Which is the newer one.
    pub stamp: Stamp,
}

impl Register {
    /// Order by age; of one age, which only broken writers make, by what they say. So of two unequal ones each reader keeps the
    /// same.
    #[must_use]
    pub fn age_cmp(&self, other: &Self) -> Ordering {
        let rest = |register: &Self| {
            let Self { word, who, why, since_ms, from_ms, until_ms, drill, evidence, stamp: _ } = register;
            (*word, who.clone(), why.clone(), *since_ms, *from_ms, *until_ms, *drill, evidence.to_string())
        };
        self.stamp.cmp(&other.stamp).then_with(|| rest(self).cmp(&rest(other)))
    }
}

/// A register and what it is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterOf {
    /// The region.
    pub region: String,
    /// Who speaks.
    pub voice: Voice,
    /// What.
    #[serde(flatten)]
    pub register: Register,
}

/// What a watcher sees of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictState {
    /// Its playlists go on.
    Fresh,
    /// They do not.
    Stale,
    /// They have ended as they should.
    Ended,
    /// Nobody can say.
    #[default]
    Unknown,
}

impl VerdictState {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Ended => "ended",
            Self::Unknown => "unknown",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Fresh, Self::Stale, Self::Ended, Self::Unknown].into_iter().find(|state| state.as_str() == word)
    }
}

/// What a watcher says of a region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it sees.
    pub state: VerdictState,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// Why, in words.
    pub reason: String,
    /// What it has measured.
    #[serde(default)]
    pub evidence: Value,
    /// When something new came last; none from watchers that do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastChange>,
}

/// Reason of a verdict by which a watcher abstains: the cluster has no stream that it could watch.
pub const NOTHING_ON_AIR: &str = "nothing on air";

impl Verdict {
    /// The verdict of a watcher that has nothing to watch since `since_ms`, Unix milliseconds: it is heard, so that nobody takes it for
    /// silent, and has no vote.
    #[must_use]
    pub fn abstention(since_ms: i64) -> Self {
        let (state, reason) = (VerdictState::Unknown, NOTHING_ON_AIR.to_owned());
        Self { state, since_ms, reason, evidence: Value::Null, last: None }
    }

    /// Whether it is [`Verdict::abstention`].
    #[must_use]
    pub fn abstains(&self) -> bool {
        self.state == VerdictState::Unknown && self.reason == NOTHING_ON_AIR
    }
}

/// When something new came last, by the clock of who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// When it was seen, Unix milliseconds.
    pub at_ms: i64,
    /// When the next was expected, Unix milliseconds: a segment later.
    pub next_ms: i64,
}

/// A vote as it travels between instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoteOf {
    /// The region.
    pub region: String,
    /// Name of the watcher.
    pub watcher: String,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// When it said so last, by the clock of the instance that it told, Unix milliseconds. Names the vote: the same one that
    /// comes by two ways is heard once.
    pub at_ms: i64,
    /// How long ago that was when this was written, in milliseconds.
    #[serde(default)]
    pub age_ms: u64,
}

/// What the edges of an instance do for its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InForce {
    /// Every one serves it.
    Open,
    /// Every one answers 404.
    Closed,
    /// Some have not been told yet what the others do.
    Changing,
}

/// What an instance tells its peers of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Name of the cluster.
    pub cluster: String,
    /// Who tells: a control plane's id.
    pub node: String,
    /// The region that it is; none where it only watches.
    pub region: Option<String>,
    /// Changes with each change of what follows; to be handed in as `after`.
    pub version: u64,
    /// Clock of the teller, Unix milliseconds.
    pub now_ms: i64,
    /// Whether its automat is on and can act.
    pub acts: bool,
    /// Whether it can write, whatever its automat does: who ends drills and says what is not done where every automat is off. False of
    /// instances that do not tell it.
    #[serde(default)]
    pub writes: bool,
    /// Newest words.
    pub registers: Vec<RegisterOf>,
    /// Votes that it has heard, and those that its peers have told it of.
    pub votes: Vec<VoteOf>,
    /// Where its packager has put what of the encoders' streams.
    #[serde(default)]
    pub anchors: Vec<Anchors>,
    /// How it defines the cluster, so that others see where theirs differs; none from instances that do not tell it.
    #[serde(default)]
    pub definition: Option<ClusterDefinition>,
    /// What all its edges do for the region that it is; none where it only watches, and from instances that do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<InForce>,
    /// Where its own copies of the merged playlists are served to those that it trusts, such as `https://edge.example.com/d/E1/peer`; none
    /// where they are not.
    #[serde(default)]
    pub merged: Option<String>,
}

/// What peers may take over of a cluster's definition: everything but tokens and what is of one instance alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterDefinition {
    /// Name of the cluster.
    pub name: String,
    /// The region that the teller is; none where it only watches.
    pub here: Option<String>,
    /// Regions, the preferred first.
    pub regions: Vec<RegionDefinition>,
    /// How verdicts come about.
    pub watch: WatchSettings,
    /// When the automat closes and opens.
    pub automat: AutomatSettings,
}

/// A region of a [`ClusterDefinition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionDefinition {
    /// Name.
    pub name: String,
    /// Multivariant playlist at the origin.
    pub origin_url: String,
    /// The same through the CDN.
    pub cdn_url: String,
    /// Where the API of the instance that is this region is; none for the teller's own, and where there is none.
    #[serde(default)]
    pub peer_url: Option<String>,
}

impl From<&Cluster> for ClusterDefinition {
    fn from(cluster: &Cluster) -> Self {
        let region = |region: &ClusterRegion| RegionDefinition {
            name: region.name.clone(),
            origin_url: region.origin_url.clone(),
            cdn_url: region.cdn_url.clone(),
            peer_url: region.peer.as_ref().map(|peer| peer.url.clone()),
        };
        Self {
            name: cluster.name.clone(),
            here: cluster.here.clone(),
            regions: cluster.regions.iter().map(region).collect(),
            watch: cluster.watch.clone(),
            automat: cluster.automat.clone(),
        }
    }
}

impl ClusterDefinition {
    /// What differs from another instance's definition of the same cluster, in words; none where nothing that both should have alike does.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<&'static str> {
        let regions = |of: &Self| -> Vec<(String, String, String)> {
            of.regions.iter().map(|one| (one.name.clone(), one.origin_url.clone(), one.cdn_url.clone())).collect()
        };
        let (ours, theirs) = (regions(self), regions(other));
        if ours.iter().map(|one| &one.0).ne(theirs.iter().map(|one| &one.0)) {
            return Some("regions or their order");
        }
        if ours != theirs {
            return Some("urls of a region");
        }
        if self.watch != other.watch {
            return Some("settings of the watch");
        }
        (self.automat != other.automat).then_some("settings of the automat")
    }
}

/// An entry of a cluster's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Region that it is about.
    pub region: String,
    /// Who decided.
    pub voice: Voice,
    /// What: `open`, `closed`, `automatic`, `drill`, `withheld` for what was not done and would have been, or `fail_open` for a closing
    /// that does not count since no region would be open.
    pub what: String,
    /// In whose name.
    pub who: String,
    /// Why.
    pub why: String,
    /// Decided when, Unix milliseconds.
    pub at_ms: i64,
    /// When it ends by itself, Unix milliseconds.
    pub until_ms: Option<i64>,
    /// What it was decided by.
    pub evidence: Value,
    /// The control plane that decided.
    pub node: String,
    /// Names the decision: the same one is written once.
    pub mark: String,
}

/// Entries of one cluster's history that are kept; the oldest go.
pub const HISTORY_MAX: u64 = 1_000;

/// What the history calls a decision that was not carried out.
pub const WITHHELD: &str = "withheld";

/// What the history calls a closing that does not count, since no region would be open.
pub const FAIL_OPEN: &str = "fail_open";

impl HistoryEntry {
    /// The entry of a word that is new here.
    #[must_use]
    pub fn of(of: &RegisterOf) -> Self {
        let register = &of.register;
        let what = if register.drill { "drill" } else { register.word.as_str() };
        let Stamp { counter, wall_ms, node } = &register.stamp;
        Self {
            region: of.region.clone(),
            voice: of.voice,
            what: what.to_owned(),
            who: register.who.clone(),
            why: register.why.clone(),
            at_ms: register.since_ms,
            until_ms: register.until_ms,
            evidence: register.evidence.clone(),
            node: node.clone(),
            mark: format!("{}/{}/{counter}/{wall_ms}/{node}", of.region, of.voice.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_travels_as_json() {
        let stamp = Stamp { counter: 7, wall_ms: 1, node: "p1".to_owned() };
        let register = Register {
            word: Word::Closed,
            who: "ann".to_owned(),
            why: "maintenance".to_owned(),
            since_ms: 1,
            from_ms: 2,
            until_ms: None,
            drill: false,
            evidence: Value::Null,
            stamp,
        };
        let of = RegisterOf { region: "one".to_owned(), voice: Voice::Operator, register };
        let text = serde_json::to_string(&of).unwrap();
        assert_eq!(serde_json::from_str::<RegisterOf>(&text).unwrap(), of);
        let without = r#"{"region":"one","voice":"automat","word":"open","who":"","why":"","since_ms":0,"from_ms":0,
                          "stamp":{"counter":1,"wall_ms":0,"node":""}}"#;
        assert_eq!(serde_json::from_str::<RegisterOf>(without).unwrap().register.until_ms, None);
        assert_eq!(HistoryEntry::of(&of).mark, "one/operator/7/1/p1");
    }

    #[test]
    fn stamps_are_ordered_by_counter_then_clock_then_node() {
        let stamp = |counter, wall_ms, node: &str| Stamp { counter, wall_ms, node: node.to_owned() };
        assert!(stamp(2, 0, "a") > stamp(1, 9, "b"));
        assert!(stamp(1, 2, "a") > stamp(1, 1, "b"));
        assert!(stamp(1, 1, "b") > stamp(1, 1, "a"));
    }
}
