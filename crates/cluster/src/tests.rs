//! State and decisions: examples, and laws for any sequence of events.

use std::collections::BTreeMap;

use anabranch_model::{
    AutomatMode, AutomatSettings, Cluster, ClusterId, ClusterRegion, LastChange, Register, RegisterOf, Stamp, Verdict,
    VerdictState, Voice, VoteRule, WatchSettings, Word,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::contract::{self, Subject};
use crate::decide::{Action, Decision, View, decide, evidence};
use crate::memory::Memory;
use crate::state::{Effective, Ground, Opening, Registers, Vote, Votes, effective, judge, silent, warning};

const NOW: i64 = 1_767_225_600_000;
const HOLD: i64 = 60_000;

#[tokio::test]
async fn memory_keeps_the_contract() {
    let (memory, clusters) = (Memory::default(), [ClusterId::random(), ClusterId::random()]);
    clusters.iter().for_each(|cluster| memory.create(cluster));
    contract::run(Subject { store: &memory, clusters: [&clusters[0], &clusters[1]] }).await;
}

fn cluster(regions: &[&str]) -> Cluster {
    let region = |name: &&str| ClusterRegion {
        name: (*name).to_owned(),
        origin_url: format!("http://{name}/o.m3u8"),
        cdn_url: format!("http://{name}/c.m3u8"),
        distribution: None,
        paths: Vec::new(),
        peer: None,
        headers: Default::default(),
    };
    Cluster {
        id: ClusterId::random(),
        name: "c".to_owned(),
        here: None,
        regions: regions.iter().map(region).collect(),
        watch: WatchSettings::default(),
        automat: AutomatSettings { mode: AutomatMode::Automatic, ..AutomatSettings::default() },
    }
}

fn verdict(state: VerdictState, since_ms: i64) -> Verdict {
    let reason = format!("it is {}", state.as_str());
    Verdict { state, since_ms, reason, evidence: Value::Null, last: None }
}

/// One instance with what it knows.
struct Replica {
    node: String,
    cluster: Cluster,
    registers: Registers,
    votes: Votes,
    now_ms: i64,
}

impl Replica {
    fn new(node: &str, regions: &[&str]) -> Self {
        let (registers, votes) = (Registers::default(), Votes::default());
        Self { node: node.to_owned(), cluster: cluster(regions), registers, votes, now_ms: NOW }
    }

    /// The watcher of this name says so, now; since when it has not said otherwise.
    fn sees(&mut self, watcher: &str, region: &str, state: VerdictState) {
        let before = self.votes.get(region, watcher).filter(|vote| vote.verdict.state == state);
        let since_ms = before.map_or(self.now_ms, |vote| vote.verdict.since_ms);
        self.votes.say(region, watcher, verdict(state, since_ms), self.now_ms);
    }

    fn operator(&mut self, region: &str, word: Word, until_ms: Option<i64>) {
        let register = Register {
            word,
            who: "ann".to_owned(),
            why: "because".to_owned(),
            since_ms: self.now_ms,
            from_ms: self.now_ms,
            until_ms,
            drill: until_ms.is_some(),
            evidence: Value::Null,
            stamp: self.registers.next_stamp(&self.node, self.now_ms),
        };
        self.registers.merge(RegisterOf { region: region.to_owned(), voice: Voice::Operator, register });
    }

    fn view(&self) -> View<'_> {
        View { cluster: &self.cluster, registers: &self.registers, votes: &self.votes, now_ms: self.now_ms }
    }

    /// Lets the automat act; what it has decided.
    fn act(&mut self) -> Vec<Decision> {
        let decisions = decide(&self.view());
        for decision in &decisions {
            let stamp = self.registers.next_stamp(&self.node, self.now_ms);
            if let Some(word) = decision.word(&self.cluster, stamp, self.now_ms) {
                assert!(self.registers.merge(word), "a new word is newer");
            }
        }
        let again = decide(&self.view());
        // What comes of a decision at the same moment is about other regions.
        let twice =
            switches(&again).iter().any(|(region, _)| switches(&decisions).iter().any(|(one, _)| one == region));
        assert!(!twice, "{decisions:?}, then {again:?}");
        decisions
    }

    fn openings(&self) -> BTreeMap<String, Effective> {
        effective(&self.cluster, &self.registers, self.now_ms)
    }

    fn opening(&self, region: &str) -> Opening {
        self.openings()[region].opening
    }

    /// Time passes in seconds, in which the watcher goes on saying what it said.
    fn pass(&mut self, watcher: &str, seconds: i64) -> Vec<Decision> {
        let mut all = Vec::new();
        for _ in 0..seconds {
            self.now_ms += 1_000;
            for region in self.cluster.regions.clone() {
                let state = self.votes.get(&region.name, watcher).map(|vote| vote.verdict.state);
                if let Some(state) = state {
                    self.sees(watcher, &region.name, state);
                }
            }
            all.extend(self.act());
        }
        all
    }
}

fn switches(decisions: &[Decision]) -> Vec<(&str, Action)> {
    let acts = decisions.iter().filter(|decision| !matches!(decision.action, Action::Withhold(_)));
    acts.map(|decision| (decision.region.as_str(), decision.action)).collect()
}

fn withheld(decisions: &[Decision]) -> Vec<&str> {
    decisions
        .iter()
        .filter_map(|decision| match decision.action {
            Action::Withhold(rule) => Some(rule),
            _ => None,
        })
        .collect()
}

#[test]
fn a_stale_region_is_closed_with_evidence_and_opened_after_the_hold() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.sees("w", "one", VerdictState::Stale);
    here.sees("w", "two", VerdictState::Fresh);
    assert!(here.act().is_empty(), "not confirmed yet");
    let decisions = here.pass("w", 1);
    assert_eq!(switches(&decisions), [("one", Action::Close)]);
    let evidence = &decisions[0].evidence;
    assert_eq!(evidence["votes"][0]["reason"], "it is stale", "{evidence}");
    assert_eq!(evidence["others"][0]["verdict"], "fresh", "{evidence}");
    assert_eq!(here.opening("one"), Opening::Closed);
    here.sees("w", "one", VerdictState::Fresh);
    assert!(here.pass("w", 59).is_empty());
    let decisions = here.pass("w", 2);
    assert_eq!(switches(&decisions), [("one", Action::Reopen)]);
    assert_eq!(here.opening("one"), Opening::Open);
}

#[test]
fn the_last_healthy_region_stays_open() {
    let mut here = Replica::new("p1", &["one", "two", "three"]);
    for region in ["one", "two"] {
        here.sees("w", region, VerdictState::Stale);
    }
    here.sees("w", "three", VerdictState::Unknown);
    let decisions = here.pass("w", 30);
    assert!(switches(&decisions).is_empty(), "nothing is known to be better");
    assert!(withheld(&decisions).iter().all(|rule| *rule == "last"));
    here.sees("w", "three", VerdictState::Fresh);
    assert_eq!(switches(&here.pass("w", 1)), [("one", Action::Close)], "one at a time");
    assert_eq!(switches(&here.pass("w", 11)), [("two", Action::Close)], "the other after the cool-down");
    here.sees("w", "three", VerdictState::Stale);
    let decisions = here.pass("w", 300);
    assert!(switches(&decisions).is_empty(), "all bad: nothing is closed, {decisions:?}");
    assert_eq!(here.opening("three"), Opening::Open);
    here.sees("w", "two", VerdictState::Fresh);
    let expected = [("two", Action::Reopen), ("three", Action::Close)];
    assert_eq!(switches(&here.pass("w", 2)), expected, "better than nothing, before its hold");
}

#[test]
fn manual_mode_closes_nothing_and_says_what_it_would_do() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.cluster.automat.mode = AutomatMode::Manual;
    here.sees("w", "one", VerdictState::Stale);
    here.sees("w", "two", VerdictState::Fresh);
    let decisions = here.pass("w", 3);
    assert!(switches(&decisions).is_empty());
    let marks: Vec<String> =
        decisions.iter().filter_map(|decision| decision.withheld("p1", here.now_ms)).map(|entry| entry.mark).collect();
    assert_eq!(marks.len(), 3);
    assert!(marks.iter().all(|mark| *mark == marks[0]), "one entry for one spell: {marks:?}");
}

#[test]
fn the_operators_word_wins() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.operator("one", Word::Open, None);
    here.sees("w", "one", VerdictState::Stale);
    here.sees("w", "two", VerdictState::Fresh);
    assert_eq!(withheld(&here.pass("w", 1)), ["operator"]);
    here.operator("one", Word::Closed, None);
    assert!(here.pass("w", 1).is_empty());
    assert_eq!((here.opening("one"), here.openings()["one"].ground), (Opening::Closed, Ground::Operator));
    here.operator("two", Word::Closed, None);
    assert_eq!(warning(&here.openings()), Some("every region is closed by an operator: nobody can watch"));
    here.operator("two", Word::Automatic, None);
    here.operator("one", Word::Automatic, None);
    assert_eq!(switches(&here.pass("w", 1)), [("one", Action::Close)], "handed back to the automat");
}

#[test]
fn a_drill_ends_by_itself_and_early_when_the_others_fail() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.sees("w", "one", VerdictState::Fresh);
    here.sees("w", "two", VerdictState::Fresh);
    here.operator("one", Word::Closed, Some(here.now_ms + 30_000));
    assert!(here.pass("w", 29).is_empty());
    assert_eq!((here.opening("one"), here.openings()["one"].ground), (Opening::Closed, Ground::Drill));
    assert_eq!(switches(&here.pass("w", 1)), [("one", Action::EndDrill)]);
    assert_eq!(here.opening("one"), Opening::Open);
    assert!(here.pass("w", 1).is_empty());
    here.operator("one", Word::Closed, Some(here.now_ms + 30_000));
    here.sees("w", "two", VerdictState::Stale);
    assert_eq!(switches(&here.pass("w", 1)), [("one", Action::EndDrill)]);
    assert_eq!(here.opening("one"), Opening::Open);
}

#[test]
fn a_closing_drains_first() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.cluster.automat.drain_ms = 5_000;
    here.sees("w", "one", VerdictState::Stale);
    here.sees("w", "two", VerdictState::Fresh);
    here.pass("w", 1);
    assert_eq!(here.opening("one"), Opening::Draining);
    here.pass("w", 5);
    assert_eq!(here.opening("one"), Opening::Closed);
}

#[test]
fn halves_that_closed_each_other_agree_that_both_are_open() {
    let mut replicas = ["one", "two"].map(|node| Replica::new(node, &["one", "two"]));
    for (at, (good, bad)) in [("one", "two"), ("two", "one")].into_iter().enumerate() {
        replicas[at].sees(good, good, VerdictState::Fresh);
        replicas[at].sees(good, bad, VerdictState::Stale);
        replicas[at].pass(good, 2);
        assert_eq!(replicas[at].opening(bad), Opening::Closed);
    }
    let words: Vec<RegisterOf> = replicas.iter().flat_map(|replica| replica.registers.to_wire()).collect();
    for replica in &mut replicas {
        for word in &words {
            replica.registers.merge(word.clone());
        }
        assert!(replica.openings().values().all(|one| one.opening == Opening::Open && one.ground == Ground::FailOpen));
        assert!(warning(&replica.openings()).is_some());
    }
    assert_eq!(replicas[0].openings(), replicas[1].openings());
}

#[test]
fn votes_are_counted_by_the_rule_and_while_they_are_heard() {
    use VerdictState::{Ended, Fresh, Stale, Unknown};
    for (rule, said, expected) in [
        (VoteRule::Any, &[Stale, Fresh, Fresh][..], Stale),
        (VoteRule::Majority, &[Stale, Fresh, Fresh], Fresh),
        (VoteRule::Majority, &[Stale, Fresh], Unknown),
        (VoteRule::Majority, &[Stale, Stale, Unknown], Stale),
        (VoteRule::All, &[Stale, Stale, Fresh], Fresh),
        (VoteRule::All, &[Stale, Stale], Stale),
        (VoteRule::All, &[Stale, Unknown], Unknown),
        (VoteRule::Any, &[Fresh, Unknown], Fresh),
        (VoteRule::Any, &[Ended, Unknown], Ended),
        (VoteRule::Majority, &[Ended, Ended], Ended),
        (VoteRule::Majority, &[], Unknown),
    ] {
        let mut here = Replica::new("p1", &["one", "two"]);
        here.cluster.watch.vote = rule;
        for (at, state) in said.iter().enumerate() {
            here.sees(&format!("w{at}"), "one", *state);
        }
        let judged = judge(&here.cluster, &here.votes, "one", here.now_ms);
        assert_eq!((judged.state, judged.heard), (expected, said.len()), "{rule:?} {said:?}");
        here.now_ms += i64::from(here.cluster.watch.silence_ms) + 1;
        assert_eq!(judge(&here.cluster, &here.votes, "one", here.now_ms).state, Unknown);
        assert_eq!(silent(&here.cluster, &here.votes, here.now_ms).len(), said.len());
    }
}

#[test]
fn a_vote_that_goes_round_does_not_stay_young() {
    let (mut one, mut two) = (Votes::default(), Votes::default());
    one.say("r", "w", verdict(VerdictState::Fresh, NOW), NOW);
    for round in 1..20 {
        let now_ms = NOW + round * 1_000;
        // Each way takes half a second that nobody can see.
        for of in one.to_wire(now_ms) {
            two.merge("r", "w", Vote::told(of, now_ms + 500));
        }
        for of in two.to_wire(now_ms) {
            one.merge("r", "w", Vote::told(of, now_ms + 500));
        }
    }
    assert_eq!(one.get("r", "w").unwrap().heard_ms, NOW);
    assert!(two.get("r", "w").unwrap().heard_ms <= NOW + 500);
    one.say("r", "w", verdict(VerdictState::Stale, NOW), NOW - 5_000);
    assert_eq!(
        one.get("r", "w").unwrap().verdict.state,
        VerdictState::Stale,
        "a clock that was set back silences nobody"
    );
}

fn any_word() -> impl Strategy<Value = RegisterOf> {
    let words = prop_oneof![Just(Word::Open), Just(Word::Closed), Just(Word::Automatic)];
    let voices = prop_oneof![Just(Voice::Operator), Just(Voice::Automat)];
    // Few of each, so that words meet, even of the same stamp with other contents.
    (words, voices, 0..2_usize, 0..4_u64, 0..2_i64, 0..2_usize, 0..2_i64).prop_map(
        |(word, voice, region, counter, wall_ms, node, since_ms)| RegisterOf {
            region: ["one", "two"][region].to_owned(),
            voice,
            register: Register {
                word,
                who: "w".to_owned(),
                why: String::new(),
                since_ms,
                from_ms: since_ms,
                until_ms: None,
                drill: false,
                evidence: Value::Null,
                stamp: Stamp { counter, wall_ms, node: ["p1", "p2"][node].to_owned() },
            },
        },
    )
}

/// What may happen to instances.
#[derive(Clone, Debug)]
enum Event {
    /// A watcher of an instance sees something of a region.
    See { replica: usize, region: usize, state: VerdictState },
    /// Time passes everywhere.
    Pass { ms: i64 },
    /// One instance pulls from another.
    Pull { from: usize, to: usize },
    /// The automat of an instance acts.
    Act { replica: usize },
}

fn any_event() -> impl Strategy<Value = Event> {
    let state = prop_oneof![
        4 => Just(VerdictState::Fresh),
        4 => Just(VerdictState::Stale),
        1 => Just(VerdictState::Unknown),
        1 => Just(VerdictState::Ended),
    ];
    prop_oneof![
        4 => (0..2_usize, 0..3_usize, state).prop_map(|(replica, region, state)| Event::See { replica, region, state }),
        3 => (1..40_000_i64).prop_map(|ms| Event::Pass { ms }),
        2 => (0..2_usize, 0..2_usize).prop_map(|(from, to)| Event::Pull { from, to }),
        4 => (0..2_usize).prop_map(|replica| Event::Act { replica }),
    ]
}

const REGIONS: [&str; 3] = ["one", "two", "three"];

fn pull(replicas: &mut [Replica; 2], from: usize, to: usize) {
    let (words, votes) = (replicas[from].registers.to_wire(), replicas[from].votes.to_wire(replicas[from].now_ms));
    let now_ms = replicas[to].now_ms;
    for word in words {
        replicas[to].registers.merge(word);
    }
    for of in votes {
        let (region, watcher) = (of.region.clone(), of.watcher.clone());
        replicas[to].votes.merge(&region, &watcher, Vote::told(of, now_ms));
    }
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        words in prop::collection::vec(any_word(), 0..24),
        cut in 0..24_usize,
        seed in any::<prop::sample::Index>(),
    ) {
        let whole: Registers = words.iter().cloned().collect();
        let backwards: Registers = words.iter().rev().cloned().collect();
        prop_assert_eq!(&whole, &backwards);
        let cut = cut.min(words.len());
        let (left, right) = words.split_at(cut);
        let (left, right): (Registers, Registers) = (left.iter().cloned().collect(), right.iter().cloned().collect());
        let joined: Registers = right.to_wire().into_iter().chain(left.to_wire()).chain(right.to_wire()).collect();
        prop_assert_eq!(&whole, &joined);
        if !words.is_empty() {
            let mut again = whole.clone();
            let word = words[seed.index(words.len())].clone();
            prop_assert_eq!(again.is_news(&word), false);
            prop_assert!(!again.merge(word));
            prop_assert_eq!(&whole, &again);
        }
        let next = whole.next_stamp("p0", 0);
        prop_assert!(whole.iter().all(|(_, _, register)| register.stamp < next));
    }

    #[test]
    fn the_automat_never_closes_everything_whatever_happens(events in prop::collection::vec(any_event(), 1..120)) {
        let mut replicas = ["p1", "p2"].map(|node| Replica::new(node, &REGIONS));
        for event in events {
            match event {
                Event::See { replica, region, state } => {
                    let watcher = format!("w{replica}");
                    replicas[replica].sees(&watcher, REGIONS[region], state);
                }
                Event::Pass { ms } => replicas.iter_mut().for_each(|replica| replica.now_ms += ms),
                Event::Pull { from, to } => pull(&mut replicas, from, to),
                Event::Act { replica } => {
                    let before = replicas[replica].openings();
                    let judged = |replica: &Replica, region: &str| {
                        judge(&replica.cluster, &replica.votes, region, replica.now_ms).state
                    };
                    let decisions = replicas[replica].act();
                    for decision in &decisions {
                        if decision.action == Action::Close {
                            let better = before.iter().any(|(other, effective)| {
                                *other != decision.region
                                    && effective.opening == Opening::Open
                                    && judged(&replicas[replica], other) == VerdictState::Fresh
                            });
                            prop_assert!(better, "the last open healthy region was closed: {:?}", decision);
                        }
                    }
                }
            }
            for replica in &replicas {
                let open = replica.openings().values().any(|effective| effective.opening == Opening::Open);
                prop_assert!(open, "nothing is open: {:?}", replica.openings());
            }
        }
        // The link is back: they agree.
        pull(&mut replicas, 0, 1);
        pull(&mut replicas, 1, 0);
        prop_assert_eq!(replicas[0].openings(), replicas[1].openings());
    }

    #[test]
    fn a_region_is_switched_once_in_a_hold_however_it_flaps(
        flaps in prop::collection::vec((0..2_usize, 1..9_i64, any::<bool>()), 1..60),
    ) {
        let mut here = Replica::new("p1", &["one", "two"]);
        let mut switched: BTreeMap<String, i64> = BTreeMap::new();
        for region in ["one", "two"] {
            here.sees("w", region, VerdictState::Fresh);
        }
        for (region, seconds, stale) in flaps {
            here.sees("w", REGIONS[region], if stale { VerdictState::Stale } else { VerdictState::Fresh });
            for _ in 0..seconds {
                for (region, _) in switches(&here.pass("w", 1)) {
                    let before = switched.insert(region.to_owned(), here.now_ms);
                    prop_assert!(before.is_none_or(|before| here.now_ms - before >= HOLD), "{region} was switched again");
                }
            }
        }
    }
}

#[test]
fn a_region_that_flaps_every_five_seconds_is_closed_once() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.sees("w", "two", VerdictState::Fresh);
    let mut all = Vec::new();
    for round in 0..120 {
        here.sees("w", "one", if round % 2 == 0 { VerdictState::Stale } else { VerdictState::Fresh });
        all.extend(here.pass("w", 5));
    }
    assert_eq!(switches(&all), [("one", Action::Close)], "never fresh for the hold");
}

#[test]
fn a_region_is_named_as_a_pathway_can_be() {
    assert_eq!(anabranch_model::REGION_NAME_MAX, anabranch_hls::merge::NAME_MAX_BYTES);
}

#[test]
fn what_stops_all_regions_at_once_closes_none() {
    let mut replica = Replica::new("p", &["one", "two"]);
    let saw = |state: VerdictState, at_ms: i64| {
        let last = Some(LastChange { at_ms, next_ms: at_ms + 2_000 });
        Verdict { last, ..verdict(state, NOW - 1_000) }
    };
    // One has stood still since a little earlier; the other would be stale in a moment.
    replica.votes.say("one", "w", saw(VerdictState::Stale, NOW - 4_000), NOW);
    replica.votes.say("two", "w", saw(VerdictState::Fresh, NOW - 2_500), NOW);
    assert_eq!(decide(&replica.view()), []);
    // Another watcher's word of one region alone proves nothing, a silent one's neither.
    replica.votes.say("two", "v", saw(VerdictState::Fresh, NOW), NOW);
    assert_eq!(decide(&replica.view()), []);
    replica.votes.say("two", "w", saw(VerdictState::Stale, NOW - 2_500), NOW);
    assert!(decide(&replica.view()).iter().all(|decision| matches!(decision.action, Action::Withhold("last"))));
    replica.votes.say("two", "w", saw(VerdictState::Fresh, NOW - 1_900), NOW);
    assert_eq!(decide(&replica.view())[0].action, Action::Close);
}

#[test]
fn a_last_change_of_what_stands_still_opens_nothing() {
    let mut replica = Replica::new("p", &["one", "two"]);
    replica.sees("w", "one", VerdictState::Stale);
    replica.sees("w", "two", VerdictState::Fresh);
    assert_eq!(switches(&replica.pass("w", 5)), [("one", Action::Close)]);
    // Its last segment is ended late: it is fresh by that for longer than the hold.
    replica.now_ms += 2 * HOLD;
    let since_ms = replica.now_ms - HOLD - 1_000;
    let saw = |at_ms: i64| {
        let last = Some(LastChange { at_ms, next_ms: at_ms + 6_000 });
        Verdict { last, ..verdict(VerdictState::Fresh, since_ms) }
    };
    let now_ms = replica.now_ms;
    replica.votes.say("two", "w", verdict(VerdictState::Fresh, since_ms), now_ms);
    replica.votes.say("one", "w", saw(since_ms), now_ms);
    assert_eq!(decide(&replica.view()), []);
    replica.votes.say("one", "w", saw(since_ms + 6_000), now_ms);
    assert_eq!(decide(&replica.view())[0].action, Action::Reopen);
}

#[test]
fn who_abstains_is_heard_and_has_no_vote() {
    let mut here = Replica::new("p1", &["one", "two"]);
    here.votes.say("one", "idle", Verdict::abstention(NOW), here.now_ms);
    let judged = |here: &Replica| judge(&here.cluster, &here.votes, "one", here.now_ms);
    assert_eq!((judged(&here).state, judged(&here).heard), (VerdictState::Unknown, 0));
    here.votes.say("one", "w", verdict(VerdictState::Stale, NOW), here.now_ms);
    assert_eq!((judged(&here).state, judged(&here).heard), (VerdictState::Stale, 1));
    assert!(silent(&here.cluster, &here.votes, here.now_ms).is_empty());
    let view = View { cluster: &here.cluster, registers: &here.registers, votes: &here.votes, now_ms: here.now_ms };
    let known = evidence(&view, "one");
    assert_eq!(
        (&known["verdict"], &known["votes"][0]["counts"], &known["votes"][1]["counts"]),
        (&"stale".into(), &false.into(), &true.into())
    );
    assert_eq!(evidence(&view, "nine"), Value::Null);
}
