//! The automat: what is closed and opened without an operator. A value of registers, votes and time; it remembers nothing.

use std::collections::BTreeMap;

use anabranch_model::{
    AutomatMode, Cluster, HistoryEntry, LastChange, Register, RegisterOf, Stamp, VerdictState, Voice, WITHHELD, Word,
};
use serde_json::{Value, json};

use crate::state::{Effective, Ground, Judged, Opening, Registers, Votes, effective, judge, standing};

/// The name of the automat where others are named.
pub const AUTOMAT: &str = "automat";

/// What is decided by.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Newest words.
    pub registers: &'a Registers,
    /// Votes, heard and silent.
    pub votes: &'a Votes,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// What the automat does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Closes a region.
    Close,
    /// Opens one that it had closed.
    Reopen,
    /// Ends a drill, at its time or before.
    EndDrill,
    /// Does not close a region that is stale; the word says which rule forbids it.
    Withhold(&'static str),
}

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Region that it is about.
    pub region: String,
    /// What is done.
    pub action: Action,
    /// Why, in words.
    pub why: String,
    /// By what.
    pub evidence: Value,
    /// Since when the verdict stands that it is about, Unix milliseconds.
    pub verdict_since_ms: i64,
}

impl Decision {
    /// The word that carries it out; none for what is not done.
    #[must_use]
    pub fn word(&self, cluster: &Cluster, stamp: Stamp, now_ms: i64) -> Option<RegisterOf> {
        let (voice, word, drain_ms) = match self.action {
            Action::Close => (Voice::Automat, Word::Closed, cluster.automat.drain_ms),
            Action::Reopen => (Voice::Automat, Word::Open, 0),
            Action::EndDrill => (Voice::Operator, Word::Automatic, 0),
            Action::Withhold(_) => return None,
        };
        let register = Register {
            word,
            who: AUTOMAT.to_owned(),
            why: self.why.clone(),
            since_ms: now_ms,
            from_ms: now_ms.saturating_add(i64::from(drain_ms)),
            until_ms: None,
            drill: false,
            evidence: self.evidence.clone(),
            stamp,
        };
        Some(RegisterOf { region: self.region.clone(), voice, register })
    }

    /// The entry of the history for what is not done. The same reason in the same spell of staleness has the same mark.
    #[must_use]
    pub fn withheld(&self, node: &str, now_ms: i64) -> Option<HistoryEntry> {
        let Action::Withhold(rule) = self.action else { return None };
        Some(HistoryEntry {
            region: self.region.clone(),
            voice: Voice::Automat,
            what: WITHHELD.to_owned(),
            who: AUTOMAT.to_owned(),
            why: self.why.clone(),
            at_ms: now_ms,
            until_ms: None,
            evidence: self.evidence.clone(),
            node: node.to_owned(),
            mark: format!("{}/{WITHHELD}/{rule}/{}/{node}", self.region, self.verdict_since_ms),
        })
    }
}

/// What the automat does now, in the order of regions: a closing counts for those that come after.
#[must_use]
pub fn decide(view: &View<'_>) -> Vec<Decision> {
    let mut automat = Automat::of(view);
    let mut decisions = Vec::new();
    for region in &view.cluster.regions {
        decisions.extend(automat.region(&region.name));
    }
    decisions
}

/// What is known of a region now, as the automat's own decisions keep it: each vote with whether it counts, the verdict, and how the other
/// regions are. Null for a region that there is not.
#[must_use]
pub fn evidence(view: &View<'_>, region: &str) -> Value {
    let automat = Automat::of(view);
    automat.judged.get(region).map_or(Value::Null, |judged| automat.evidence(region, judged))
}

/// When the automat has closed a region last.
fn last_closing(view: &View<'_>) -> Option<i64> {
    let closings =
        view.registers.iter().filter(|(_, voice, register)| *voice == Voice::Automat && register.word == Word::Closed);
    closings.map(|(_, _, register)| register.since_ms).max()
}

struct Automat<'a> {
    view: View<'a>,
    openings: BTreeMap<String, Effective>,
    judged: BTreeMap<String, Judged>,
    closed_ms: Option<i64>,
}

impl<'a> Automat<'a> {
    fn of(view: &View<'a>) -> Self {
        let View { cluster, registers, votes, now_ms } = *view;
        let judged = |name: &String| (name.clone(), judge(cluster, votes, name, now_ms));
        Self {
            view: *view,
            openings: effective(cluster, registers, now_ms),
            judged: cluster.regions.iter().map(|region| judged(&region.name)).collect(),
            closed_ms: last_closing(view),
        }
    }
}

impl Automat<'_> {
    fn region(&mut self, region: &str) -> Option<Decision> {
        let judged = *self.judged.get(region)?;
        let word = self.view.registers.get(region, Voice::Automat);
        let is_closed = word.is_some_and(|word| word.word == Word::Closed);
        if let Some(drill) = self.view.registers.get(region, Voice::Operator).filter(|word| word.drill) {
            return self.drill(region, drill, &judged);
        }
        match judged.state {
            VerdictState::Stale if !is_closed => self.stale(region, &judged),
            VerdictState::Fresh if is_closed => self.fresh(region, &judged),
            _ => None,
        }
    }

    /// Time since something, never negative: a clock that was set back makes nothing older.
    fn since(&self, at_ms: i64) -> i64 {
        self.view.now_ms.saturating_sub(at_ms).max(0)
    }

    /// Whether another region is open and healthy.
    fn another(&self, region: &str, state: VerdictState) -> bool {
        self.openings.iter().any(|(other, effective)| {
            other != region
                && effective.opening == Opening::Open
                && self.judged.get(other).is_some_and(|judged| judged.state == state)
        })
    }

    /// Whether another region that is open and fresh has brought something new since this one should have: what made this one stale may have
    /// stopped all of them, and the others be stale a moment later. Watchers that do not tell what came when are believed.
    fn another_goes_on(&self, region: &str) -> bool {
        let View { cluster, votes, now_ms, .. } = self.view;
        let last = |of: &str, watcher: &str, state: VerdictState| {
            let vote = votes.get(of, watcher)?;
            (vote.verdict.state == state && vote.is_heard(cluster.watch.silence_ms, now_ms))
                .then_some(vote.verdict.last)
        };
        // What each watcher that sees both says of it.
        let words = |other: &str| -> Vec<bool> {
            let watchers = votes.watchers().into_iter();
            let both = watchers.filter_map(|watcher| {
                last(region, watcher, VerdictState::Stale).zip(last(other, watcher, VerdictState::Fresh))
            });
            let goes_on = |(here, there): (Option<LastChange>, Option<LastChange>)| {
                // Aligned regions bring theirs at the same moment, and are seen to a little earlier or later.
                let early_ms = |here: LastChange| here.next_ms.saturating_sub(here.at_ms) / 4;
                here.zip(there).is_none_or(|(here, there)| there.at_ms > here.next_ms.saturating_sub(early_ms(here)))
            };
            both.map(goes_on).collect()
        };
        self.openings.iter().any(|(other, effective)| {
            let is_fresh = self.judged.get(other).is_some_and(|judged| judged.state == VerdictState::Fresh);
            let is_open = effective.opening == Opening::Open;
            // Where nobody sees both, the verdicts stand as they are.
            let words = words(other);
            other != region && is_open && is_fresh && (words.is_empty() || words.contains(&true))
        })
    }

    fn stale(&mut self, region: &str, judged: &Judged) -> Option<Decision> {
        let automat = &self.view.cluster.automat;
        let stale_ms = self.since(judged.since_ms);
        if stale_ms < i64::from(automat.confirm_ms) {
            return None;
        }
        let words = format!("stale for {} ms by {} of {} watchers", stale_ms, judged.stale, judged.heard);
        let withhold = |rule: &'static str, reason: &str| {
            Some(self.decision(region, Action::Withhold(rule), format!("{words}; not closed: {reason}"), judged))
        };
        if let Some(word) = standing(self.view.registers, region, self.view.now_ms) {
            // What an operator has closed is closed.
            return match word.word {
                Word::Open => withhold("operator", "an operator has opened it, whose word wins"),
                Word::Closed | Word::Automatic => None,
            };
        }
        if automat.mode == AutomatMode::Manual {
            return withhold("manual", "the automat is off");
        }
        if !self.another(region, VerdictState::Fresh) {
            return withhold("last", "no other region is open and fresh");
        }
        // It is soon known: the other one goes on, or is stale, too.
        if !self.another_goes_on(region) {
            return None;
        }
        let switched = self.view.registers.get(region, Voice::Automat).map(|word| self.since(word.since_ms));
        if switched.is_some_and(|passed| passed < i64::from(automat.hold_ms)) {
            return withhold("hold", "it was switched a short while ago");
        }
        if self.closed_ms.is_some_and(|at_ms| self.since(at_ms) < i64::from(automat.cool_down_ms)) {
            return withhold("cool_down", "another region was closed a short while ago");
        }
        let decision = self.decision(region, Action::Close, words, judged);
        // What is decided counts for the regions that come after.
        self.closed_ms = Some(self.view.now_ms);
        if let Some(effective) = self.openings.get_mut(region) {
            effective.opening = Opening::Closed;
            effective.ground = Ground::Automat;
        }
        Some(decision)
    }

    fn fresh(&self, region: &str, judged: &Judged) -> Option<Decision> {
        let automat = &self.view.cluster.automat;
        let word = self.view.registers.get(region, Voice::Automat)?;
        let (fresh_ms, hold_ms) = (self.since(judged.since_ms), i64::from(automat.hold_ms));
        if self.since(word.since_ms) < hold_ms {
            return None;
        }
        // Where viewers have nothing better, a region that has just come back is better than nothing.
        let needed = fresh_ms >= i64::from(automat.confirm_ms) && !self.another(region, VerdictState::Fresh);
        if (fresh_ms < hold_ms || !self.goes_on_again(region)) && !needed {
            return None;
        }
        let why = format!("fresh for {fresh_ms} ms by {} of {} watchers", judged.fresh, judged.heard);
        Some(self.decision(region, Action::Reopen, why, judged))
    }

    /// Whether a region has brought something new since it is fresh: a stream that stands still may end its last segment late, and be fresh
    /// by that for longer than a short hold. Watchers that do not tell what came when are believed.
    fn goes_on_again(&self, region: &str) -> bool {
        let View { cluster, votes, now_ms, .. } = self.view;
        let mut fresh = votes.of(region).map(|(_, vote)| vote).filter(|vote| {
            vote.verdict.state == VerdictState::Fresh && vote.is_heard(cluster.watch.silence_ms, now_ms)
        });
        fresh.any(|vote| vote.verdict.last.is_none_or(|last| last.at_ms > vote.verdict.since_ms))
    }

    /// A drill ends when its time is over, or when the regions that were to take over are known to fail.
    fn drill(&self, region: &str, drill: &Register, judged: &Judged) -> Option<Decision> {
        if drill.until_ms.is_none_or(|until_ms| self.view.now_ms >= until_ms) {
            let why = format!("the drill of {} is over", drill.who);
            return Some(self.decision(region, Action::EndDrill, why, judged));
        }
        let others_fail = self.another(region, VerdictState::Stale)
            && !self.another(region, VerdictState::Fresh)
            && !self.another(region, VerdictState::Unknown);
        if !others_fail {
            return None;
        }
        let why = format!("the drill of {} ends early: every other open region is stale", drill.who);
        Some(self.decision(region, Action::EndDrill, why, judged))
    }

    fn decision(&self, region: &str, action: Action, why: String, judged: &Judged) -> Decision {
        Decision {
            region: region.to_owned(),
            action,
            why,
            evidence: self.evidence(region, judged),
            verdict_since_ms: judged.since_ms,
        }
    }

    fn evidence(&self, region: &str, judged: &Judged) -> Value {
        let View { cluster, votes, now_ms, .. } = self.view;
        let silence_ms = cluster.watch.silence_ms;
        let said: Vec<Value> = votes
            .of(region)
            .map(|(watcher, vote)| {
                json!({
                    "watcher": watcher,
                    "state": vote.verdict.state,
                    "since_ms": vote.verdict.since_ms,
                    "reason": vote.verdict.reason,
                    "heard_ago_ms": now_ms.saturating_sub(vote.heard_ms),
                    "counts": vote.is_heard(silence_ms, now_ms) && !vote.verdict.abstains(),
                    "evidence": vote.verdict.evidence,
                })
            })
            .collect();
        let others: Vec<Value> = self
            .openings
            .iter()
            .filter(|(other, _)| *other != region)
            .map(|(other, effective)| {
                let state = self.judged.get(other).map_or(VerdictState::Unknown, |judged| judged.state);
                json!({ "region": other, "opening": effective.opening.as_str(), "verdict": state })
            })
            .collect();
        json!({
            "verdict": judged.state,
            "since_ms": judged.since_ms,
            "for_ms": self.since(judged.since_ms),
            "rule": cluster.watch.vote,
            "votes": said,
            "others": others,
            "automat": cluster.automat,
        })
    }
}
