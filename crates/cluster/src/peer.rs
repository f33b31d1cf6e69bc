//! What a peer tells, judged before anything of it is believed.

use anabranch_model::{
    ANCHORS_MAX, Anchors, COUNTER_MAX, Cluster, ClusterDefinition, ClusterState, InForce, REGIONS_MAX, RegisterOf,
    VerdictState, VoteOf,
};
use serde_json::Value;

/// Longest answer of a peer, in bytes.
pub const ANSWER_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Watchers of a cluster at most; votes of more are not heard.
pub const WATCHERS_MAX: usize = 32;

/// Longest name of a watcher and of who said a word, in characters.
pub const NAME_MAX: usize = 100;

/// Longest reason, in characters.
pub const REASON_MAX: usize = 1_000;

/// Longest evidence of a vote as JSON, in bytes; a longer one is left out.
pub const VOTE_EVIDENCE_MAX: usize = 4 * 1024;

/// Longest evidence of a word as JSON, in bytes: that of every watcher.
const WORD_EVIDENCE_MAX: usize = 256 * 1024;

/// Greatest counter that is believed: there must be room for words that are newer.
const COUNTER_BELIEVED: u64 = COUNTER_MAX / 2;

/// Greatest time that names a vote, Unix milliseconds; for the same reason.
const AT_BELIEVED: i64 = 1 << 52;

/// Longest id of a control plane, in bytes.
const NODE_MAX: usize = 64;

/// Longest URL, in bytes.
const URL_MAX: usize = 2048;

/// Streams of a cluster whose anchors are heard at most, and the longest name of one, in bytes.
const STREAMS_MAX: usize = 100;
const STREAM_MAX: usize = 512;

/// Why nothing of an answer is believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no state of a cluster.
    #[error("the peer answers something else than the state of a cluster: {0}")]
    Unreadable(String),
    /// It is of another cluster.
    #[error("the peer tells of another cluster: {0:?}")]
    Other(String),
    /// Its id cannot be one.
    #[error("the peer has no usable id")]
    Node,
    /// It is this very instance.
    #[error("the peer is this very instance: give the address of the other one")]
    Ourselves,
    /// A word of it has a counter that nothing could follow.
    #[error("a word on region {0:?} has a counter out of all reason")]
    Counter(String),
}

/// What is believed of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Who tells.
    pub node: String,
    /// What is to be handed in for the next answer.
    pub version: u64,
    /// Whether its automat is on and can act.
    pub acts: bool,
    /// Whether it can write.
    pub writes: bool,
    /// Words on regions that are known here.
    pub words: Vec<RegisterOf>,
    /// Votes on regions that are known here.
    pub votes: Vec<VoteOf>,
    /// Places of the encoders' streams, as its packager tells them.
    pub anchors: Vec<Anchors>,
    /// How it defines the cluster; not checked, since it is only compared.
    pub definition: Option<ClusterDefinition>,
    /// What its edges do for the region that it is.
    pub in_force: Option<InForce>,
    /// Where its copies of the merged playlists are; whoever asks there checks the address.
    pub merged: Option<String>,
}

/// Reads and judges an answer. What is of regions that are not known here is passed over: definitions may differ for a while.
///
/// # Errors
/// [`Refused`]; then nothing of it may be used.
pub fn read(cluster: &Cluster, node: &str, answer: &[u8]) -> Result<Told, Refused> {
    let state: ClusterState = serde_json::from_slice(answer).map_err(|error| Refused::Unreadable(error.to_string()))?;
    if state.cluster != cluster.name {
        return Err(Refused::Other(cut(&state.cluster, NAME_MAX)));
    }
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if state.node.is_empty() || state.node.len() > NODE_MAX || !state.node.bytes().all(usable) {
        return Err(Refused::Node);
    }
    if state.node == node {
        return Err(Refused::Ourselves);
    }
    let mut words = Vec::new();
    for mut word in state.registers.into_iter().filter(|word| cluster.region(&word.region).is_some()) {
        let stamp = &word.register.stamp;
        if stamp.counter > COUNTER_BELIEVED || stamp.node.len() > NODE_MAX {
            return Err(Refused::Counter(word.region));
        }
        let register = &mut word.register;
        // What is cut here was never written by this code, so that it is cut everywhere alike.
        register.who = cut(&register.who, NAME_MAX);
        register.why = cut(&register.why, REASON_MAX);
        limit(&mut register.evidence, WORD_EVIDENCE_MAX);
        words.push(word);
    }
    let known =
        state.votes.into_iter().filter(|vote| cluster.region(&vote.region).is_some() && is_named(&vote.watcher));
    let mut votes: Vec<VoteOf> = known.filter(|vote| (0..AT_BELIEVED).contains(&vote.at_ms)).collect();
    for vote in &mut votes {
        tidy(&mut vote.verdict);
    }
    let anchors = anchors(cluster, state.region.as_deref(), state.anchors);
    let merged = state.merged.filter(|url| url.len() <= URL_MAX);
    let ClusterState { node, version, acts, writes, definition, in_force, .. } = state;
    Ok(Told { node, version, acts, writes, words, votes, anchors, definition, in_force, merged })
}

/// Reads the definition that a peer has of a cluster of this name, for an instance that takes it over. Its texts are not checked.
///
/// # Errors
/// [`Refused`], also of a peer that is this instance; `None` of one that does not tell definitions.
pub fn read_definition(name: &str, node: &str, answer: &[u8]) -> Result<Option<ClusterDefinition>, Refused> {
    let state: ClusterState = serde_json::from_slice(answer).map_err(|error| Refused::Unreadable(error.to_string()))?;
    if state.cluster != name {
        return Err(Refused::Other(cut(&state.cluster, NAME_MAX)));
    }
    if state.node == node {
        return Err(Refused::Ourselves);
    }
    Ok(state.definition.filter(|definition| definition.regions.len() <= REGIONS_MAX))
}

/// Anchors of streams of this cluster, as the teller's own region has them.
fn anchors(cluster: &Cluster, region: Option<&str>, told: Vec<Anchors>) -> Vec<Anchors> {
    let known = region.filter(|region| cluster.region(region).is_some());
    let is_of = |one: &Anchors| {
        known == Some(one.region.as_str())
            && one.stream.len() <= STREAM_MAX
            && one.stream.strip_prefix(cluster.name.as_str()).is_some_and(|rest| rest.starts_with('/'))
            && one.anchors.len() <= ANCHORS_MAX
    };
    told.into_iter().filter(is_of).take(STREAMS_MAX).collect()
}

/// Whether a watcher may be called so.
#[must_use]
pub fn is_named(watcher: &str) -> bool {
    let length = watcher.chars().count();
    (1..=NAME_MAX).contains(&length) && watcher.trim() == watcher && !watcher.chars().any(char::is_control)
}

/// Cuts what is too long in a verdict.
pub fn tidy(verdict: &mut anabranch_model::Verdict) {
    verdict.reason = cut(&verdict.reason, REASON_MAX);
    limit(&mut verdict.evidence, VOTE_EVIDENCE_MAX);
    if verdict.since_ms < 0 {
        // Before there were clocks: it is not known since when.
        verdict.since_ms = 0;
        verdict.state = VerdictState::Unknown;
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn limit(evidence: &mut Value, most: usize) {
    if evidence.to_string().len() > most {
        *evidence = Value::String("left out: it is too long".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::{AutomatSettings, ClusterId, ClusterRegion, WatchSettings};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::state::{Registers, Vote, Votes, effective, judge};

    fn cluster() -> Cluster {
        let region = |name: &str| ClusterRegion {
            name: name.to_owned(),
            origin_url: String::new(),
            cdn_url: String::new(),
            distribution: None,
            paths: Vec::new(),
            peer: None,
            headers: Default::default(),
        };
        Cluster {
            id: ClusterId::random(),
            name: "c".to_owned(),
            here: None,
            regions: vec![region("one"), region("two")],
            watch: WatchSettings::default(),
            automat: AutomatSettings::default(),
        }
    }

    fn answer() -> Value {
        json!({
            "cluster": "c", "node": "p2", "region": "two", "version": 7, "now_ms": 5, "acts": true,
            "registers": [
                { "region": "one", "voice": "operator", "word": "closed", "who": "ann", "why": "x", "since_ms": 1, "from_ms": 1,
                  "stamp": { "counter": 3, "wall_ms": 1, "node": "p2" } },
                { "region": "nine", "voice": "operator", "word": "closed", "who": "ann", "why": "x", "since_ms": 1, "from_ms": 1,
                  "stamp": { "counter": 3, "wall_ms": 1, "node": "p2" } },
            ],
            "votes": [
                { "region": "one", "watcher": "w", "state": "stale", "since_ms": 1, "reason": "r", "at_ms": 2, "age_ms": 3 },
                { "region": "nine", "watcher": "w", "state": "stale", "since_ms": 1, "reason": "r", "at_ms": 2, "age_ms": 3 },
            ],
            "something": "of a later version",
        })
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let told = read(&cluster(), "p1", answer().to_string().as_bytes()).unwrap();
        assert_eq!((told.node.as_str(), told.version, told.acts), ("p2", 7, true));
        assert_eq!((told.words.len(), told.votes.len()), (1, 1));
        assert_eq!(told.definition, None);
        assert!(!told.writes, "one that does not tell it is waited for by nobody");
    }

    #[test]
    fn a_definition_is_taken_from_others_only() {
        let mut told = answer();
        told["definition"] = serde_json::to_value(ClusterDefinition::from(&cluster())).unwrap();
        let text = told.to_string();
        let definition = read_definition("c", "p1", text.as_bytes()).unwrap().unwrap();
        assert_eq!(definition.differs(&(&cluster()).into()), None);
        let mut other = cluster();
        other.automat.hold_ms += 1;
        assert_eq!(definition.differs(&(&other).into()), Some("settings of the automat"));
        other.regions.swap(0, 1);
        assert_eq!(definition.differs(&(&other).into()), Some("regions or their order"));
        assert_eq!(read_definition("c", "p2", text.as_bytes()), Err(Refused::Ourselves));
        assert!(matches!(read_definition("d", "p1", text.as_bytes()), Err(Refused::Other(_))));
        assert_eq!(read_definition("c", "p1", answer().to_string().as_bytes()), Ok(None));
    }

    #[test]
    fn what_is_not_credible_is_refused() {
        let refused = |change: fn(&mut Value)| {
            let mut answer = answer();
            change(&mut answer);
            read(&cluster(), "p1", answer.to_string().as_bytes()).unwrap_err()
        };
        assert!(matches!(refused(|answer| answer["cluster"] = json!("d")), Refused::Other(name) if name == "d"));
        assert!(matches!(refused(|answer| answer["node"] = json!("a b")), Refused::Node));
        assert!(matches!(refused(|answer| answer["node"] = json!("p1")), Refused::Ourselves));
        assert!(matches!(refused(|answer| answer["registers"] = json!(1)), Refused::Unreadable(_)));
        let far = |answer: &mut Value| answer["registers"][0]["stamp"]["counter"] = json!(COUNTER_MAX);
        assert!(matches!(refused(far), Refused::Counter(region) if region == "one"));
    }

    proptest! {
        #[test]
        fn no_answer_harms(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..800_usize, by in any::<u8>()) {
            let cluster = cluster();
            let _ = read(&cluster, "p1", &bytes);
            let mut text = answer().to_string().into_bytes();
            let at = at % text.len();
            text[at] = by;
            if let Ok(told) = read(&cluster, "p1", &text) {
                let registers: Registers = told.words.into_iter().collect();
                let _ = effective(&cluster, &registers, i64::MAX);
                prop_assert!(registers.next_stamp("p1", 0).counter < COUNTER_MAX);
                let mut votes = Votes::default();
                for of in told.votes {
                    let (region, watcher) = (of.region.clone(), of.watcher.clone());
                    votes.merge(&region, &watcher, Vote::told(of, i64::MIN));
                }
                let _ = judge(&cluster, &votes, "one", i64::MIN);
            }
        }
    }
}
