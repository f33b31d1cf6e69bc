//! What the data plane has reported, as far as it lives in memory. Nodes tell it again after a restart.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use anabranch_model::{
    BreakoutId, ChannelId, DistributionId, InputId, InputState, NodeName, PackagingState, QUALITY_MAX, Quality, Report,
    SpoolId, Traffic, TrafficKey,
};
use parking_lot::Mutex;

/// Nodes remembered; more are passed over.
const MAX_NODES: usize = 1024;

/// Inputs, breakouts and distributions remembered, each.
const MAX_ENTRIES: usize = 100_000;

/// Rows of viewers among them.
const MAX_VIEWER_ROWS: usize = 100_000;

/// Facts kept for the next look.
const MAX_FACTS: usize = 10_000;

/// Whether a role acts by a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Every node of the role does.
    Yes,
    /// No node of the role has reported.
    NoNode,
    /// This node does not yet.
    Behind(String),
}

/// Packaging of a breakout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packaging {
    /// The newest report.
    pub(crate) state: PackagingState,
    /// Whether segments have ever been published since this process began.
    pub(crate) published: bool,
    /// Whether the row still has to hear of it.
    unwritten: bool,
}

/// Files of an edge's journal that wait to be written; more are put together with the newest of them.
const MAX_COUNTED: usize = 64;

/// What a file of an edge's journal held.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) journal: SpoolId,
    pub(crate) generation: u64,
    /// Unix milliseconds until which all is in it and in earlier ones.
    pub(crate) until_ms: i64,
    pub(crate) traffic: Vec<Traffic>,
    pub(crate) quality: Vec<Quality>,
}

#[derive(Debug, Default)]
struct Inner {
    applied: BTreeMap<(String, String), u64>,
    /// Nodes that are waited for and do not ask.
    silent: Vec<NodeName>,
    inputs: HashMap<InputId, InputState>,
    /// Inputs with an encoder, by channel.
    connected: HashMap<ChannelId, HashSet<InputId>>,
    packaging: HashMap<BreakoutId, Packaging>,
    /// What the rows do not count yet, by distribution, behavior and breakout.
    traffic: HashMap<TrafficKey, Traffic>,
    /// Files of the journal of this process's edge that rows do not have yet, oldest first.
    counted: VecDeque<Counted>,
    /// Unix milliseconds until which rows have all that this process's edge has sent.
    told_until: Option<i64>,
    /// What players told, that rows do not have yet.
    quality: Vec<Quality>,
    /// Input in use and why, by channel.
    active: HashMap<ChannelId, (Option<InputId>, String)>,
    /// What becomes rows at the next look.
    facts: Vec<Report>,
}

/// Everything heard.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<Inner>);

impl Observed {
    pub(crate) fn take(&self, report: Report) {
        let mut inner = self.0.lock();
        match report {
            Report::Applied { role, node, version } => {
                if inner.applied.len() < MAX_NODES || inner.applied.contains_key(&(role.clone(), node.clone())) {
                    inner.applied.insert((role, node), version);
                }
            }
            Report::Begun { role, node } => {
                // There is one ingest: all that is known of inputs is what it has said.
                if role == "ingest" {
                    inner.inputs.clear();
                    inner.connected.clear();
                    inner.active.clear();
                    inner.fact(Report::Begun { role, node });
                }
            }
            Report::Input { channel, input, state } => {
                let connected = |state: &InputState| matches!(state, InputState::Connected { .. });
                let was = inner.inputs.get(&input).is_some_and(connected);
                if was != connected(&state) {
                    let fact = Report::Input { channel: channel.clone(), input: input.clone(), state: state.clone() };
                    inner.fact(fact);
                }
                inner.connection(channel, &input, &state);
                if inner.inputs.len() < MAX_ENTRIES || inner.inputs.contains_key(&input) {
                    inner.inputs.insert(input, state);
                }
            }
            Report::Packaging { breakout, state } => inner.packaging(breakout, state),
            Report::Traffic(traffic) => inner.traffic(traffic),
            Report::Quality(quality) => {
                let room = QUALITY_MAX.saturating_sub(inner.quality.len());
                inner.quality.extend(quality.into_iter().take(room));
            }
            Report::Counted { journal, generation, until_ms, traffic, quality } => {
                inner.counted(Counted { journal, generation, until_ms, traffic, quality });
            }
            Report::ActiveInput { channel, input, reason } => {
                let known = inner.active.len() < MAX_ENTRIES || inner.active.contains_key(&channel);
                if known {
                    inner.active.insert(channel.clone(), (input.clone(), reason.clone()));
                }
                inner.fact(Report::ActiveInput { channel, input, reason });
            }
            fact @ (Report::Alarm { .. } | Report::Recorded { .. } | Report::Viewers(_)) => inner.fact(fact),
        }
    }

    /// Facts that no row has yet, oldest first; asking empties it.
    pub(crate) fn take_facts(&self) -> Vec<Report> {
        std::mem::take(&mut self.0.lock().facts)
    }

    /// Says that rows could not be told these, which are older than any since.
    pub(crate) fn facts_again(&self, mut facts: Vec<Report>) {
        let mut inner = self.0.lock();
        let since = std::mem::take(&mut inner.facts);
        facts.extend(since);
        facts.truncate(MAX_FACTS);
        inner.facts = facts;
    }

    /// Whether every node of `role` acts by `version` or a newer one.
    pub(crate) fn applied(&self, role: &str, version: u64) -> Applied {
        self.applied_where(role, version, |_| true)
    }

    /// The same of those nodes of `role` that `counts`, by name; when none of them does there is nobody to wait for.
    pub(crate) fn applied_where(&self, role: &str, version: u64, counts: impl Fn(&str) -> bool) -> Applied {
        let inner = self.0.lock();
        let mut nodes = inner.applied.iter().filter(|((of, _), _)| of == role).peekable();
        if nodes.peek().is_none() {
            return Applied::NoNode;
        }
        nodes
            .find(|((_, node), has)| **has < version && counts(node))
            .map_or(Applied::Yes, |((_, node), _)| Applied::Behind(node.clone()))
    }

    /// These nodes, and no others, are waited for and do not ask.
    pub(crate) fn fall_silent(&self, nodes: Vec<NodeName>) {
        self.0.lock().silent = nodes;
    }

    /// What an operator can do about a node that is waited for, to be added to what is said of it; empty if it asks.
    pub(crate) fn remedy(&self, node: &str) -> String {
        if !self.0.lock().silent.iter().any(|name| name.as_str() == node) {
            return String::new();
        }
        format!("; it is silent: start it again, or `anabranch node forget {node}` if it will not come back")
    }

    /// Waits for the node no longer.
    pub(crate) fn gone(&self, role: &str, node: &str) {
        self.0.lock().applied.remove(&(role.to_owned(), node.to_owned()));
    }

    /// Whether the node is waited for.
    pub(crate) fn waits_for(&self, role: &str, node: &str) -> bool {
        self.0.lock().applied.contains_key(&(role.to_owned(), node.to_owned()))
    }

    /// Role, name and version of every node that is waited for.
    pub(crate) fn nodes(&self) -> Vec<(String, String, u64)> {
        let inner = self.0.lock();
        inner.applied.iter().map(|((role, node), version)| (role.clone(), node.clone(), *version)).collect()
    }

    pub(crate) fn input(&self, input: &InputId) -> InputState {
        self.0.lock().inputs.get(input).cloned().unwrap_or(InputState::Disconnected)
    }

    /// The input of the channel that is in use, and why; none when nothing is known.
    pub(crate) fn active_input(&self, channel: &ChannelId) -> Option<(Option<InputId>, String)> {
        self.0.lock().active.get(channel).cloned()
    }

    /// Whether any input of the channel has an encoder.
    pub(crate) fn has_encoder(&self, channel: &ChannelId) -> bool {
        self.0.lock().connected.contains_key(channel)
    }

    pub(crate) fn packaging(&self, breakout: &BreakoutId) -> Option<Packaging> {
        self.0.lock().packaging.get(breakout).cloned()
    }

    /// Requests and bytes that the row does not count yet.
    pub(crate) fn traffic(&self, distribution: &DistributionId) -> (u64, u64) {
        self.traffic_of(distribution)
            .iter()
            .fold((0, 0), |sum, one| (sum.0.saturating_add(one.requests), sum.1.saturating_add(one.bytes)))
    }

    /// The same by behavior and breakout.
    pub(crate) fn traffic_of(&self, distribution: &DistributionId) -> Vec<Traffic> {
        let inner = self.0.lock();
        let counted = inner.counted.iter().flat_map(|counted| &counted.traffic);
        inner.traffic.values().chain(counted).filter(|one| one.distribution == *distribution).cloned().collect()
    }

    /// The oldest file of the journal that rows do not have yet. It counts here, too, until [`Self::counted_written`].
    pub(crate) fn counted_pending(&self) -> Option<Counted> {
        self.0.lock().counted.front().cloned()
    }

    /// Says that rows have it now.
    pub(crate) fn counted_written(&self, written: &Counted) {
        let mut inner = self.0.lock();
        if inner.counted.front().is_some_and(|first| first.generation == written.generation) {
            inner.counted.pop_front();
        }
        inner.told_until = inner.told_until.max(Some(written.until_ms));
    }

    /// Until when rows have all that this process's edge has sent, Unix milliseconds; none if it has no journal.
    pub(crate) fn told_until(&self) -> Option<i64> {
        self.0.lock().told_until
    }

    /// What players told, to be added to rows; asking empties it.
    pub(crate) fn take_quality(&self) -> Vec<Quality> {
        std::mem::take(&mut self.0.lock().quality)
    }

    /// What rows have to hear; asking empties it.
    pub(crate) fn unwritten(&self) -> Vec<(BreakoutId, PackagingState)> {
        let mut inner = self.0.lock();
        let packaging = inner.packaging.iter_mut().filter(|(_, packaging)| packaging.unwritten);
        packaging
            .map(|(breakout, packaging)| {
                packaging.unwritten = false;
                (breakout.clone(), packaging.state.clone())
            })
            .collect()
    }

    /// Says that a row could not be told.
    pub(crate) fn write_again(&self, breakout: &BreakoutId) {
        if let Some(packaging) = self.0.lock().packaging.get_mut(breakout) {
            packaging.unwritten = true;
        }
    }

    /// Traffic to be added to the rows. It counts here, too, until [`Self::traffic_written`].
    pub(crate) fn traffic_pending(&self) -> Vec<Traffic> {
        self.0.lock().traffic.values().cloned().collect()
    }

    /// Says that the rows count this now.
    pub(crate) fn traffic_written(&self, traffic: &[Traffic]) {
        let mut inner = self.0.lock();
        for one in traffic {
            if let Some(pending) = inner.traffic.get_mut(&one.key()) {
                pending.discharge(one);
            }
        }
        inner.traffic.retain(|_, pending| pending.counts().any(|count| count > 0));
    }

    /// Whether there is something that no row knows.
    pub(crate) fn entries(&self) -> usize {
        let inner = self.0.lock();
        inner.inputs.len() + inner.packaging.len()
    }

    /// Forgets inputs and breakouts that are not in `alive`.
    pub(crate) fn forget(&self, alive: &HashSet<String>) {
        let mut inner = self.0.lock();
        inner.inputs.retain(|input, _| alive.contains(input.as_str()));
        inner.active.retain(|_, (input, _)| input.as_ref().is_none_or(|input| alive.contains(input.as_str())));
        inner.packaging.retain(|breakout, _| alive.contains(breakout.as_str()));
    }
}

impl Inner {
    fn fact(&mut self, fact: Report) {
        let rows = |report: &Report| if let Report::Viewers(viewers) = report { viewers.len() } else { 0 };
        // A database that is away must not cost more memory than this, however many watch.
        let room = rows(&fact) == 0 || self.facts.iter().map(rows).sum::<usize>() + rows(&fact) <= MAX_VIEWER_ROWS;
        if room && self.facts.len() < MAX_FACTS {
            self.facts.push(fact);
        } else {
            metrics::counter!("anabranch_control_facts_dropped_total").increment(1);
        }
    }

    fn counted(&mut self, one: Counted) {
        // The first may be under way, so it stays as it is.
        let full = self.counted.len() >= MAX_COUNTED;
        match self.counted.back_mut().filter(|_| full) {
            Some(last) => {
                (last.generation, last.until_ms) = (one.generation, one.until_ms);
                for row in one.traffic {
                    match last.traffic.iter_mut().find(|known| known.key() == row.key()) {
                        Some(sum) => sum.absorb(&row),
                        None => last.traffic.push(row),
                    }
                }
            }
            None => self.counted.push_back(one),
        }
    }

    fn connection(&mut self, channel: ChannelId, input: &InputId, state: &InputState) {
        match state {
            InputState::Connected { .. } if self.connected.len() < MAX_ENTRIES => {
                self.connected.entry(channel).or_default().insert(input.clone());
            }
            InputState::Connected { .. } => {}
            InputState::Disconnected => {
                if let Some(inputs) = self.connected.get_mut(&channel) {
                    inputs.remove(input);
                    if inputs.is_empty() {
                        self.connected.remove(&channel);
                    }
                }
            }
        }
    }

    fn packaging(&mut self, breakout: BreakoutId, state: PackagingState) {
        let known = self.packaging.get(&breakout);
        if known.is_none() && self.packaging.len() >= MAX_ENTRIES {
            return;
        }
        let published = state == PackagingState::Live || known.is_some_and(|packaging| packaging.published);
        let unwritten = matches!(state, PackagingState::Live | PackagingState::Blocked { .. });
        self.packaging.insert(breakout, Packaging { state, published, unwritten });
    }

    fn traffic(&mut self, traffic: Vec<Traffic>) {
        for one in traffic {
            let key = one.key();
            if let Some(sum) = self.traffic.get_mut(&key) {
                sum.absorb(&one);
            } else if self.traffic.len() < MAX_ENTRIES {
                self.traffic.insert(key, one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(role: &str, node: &str, version: u64) -> Report {
        Report::Applied { role: role.into(), node: node.into(), version }
    }

    #[test]
    fn a_role_has_applied_when_all_its_nodes_have() {
        let observed = Observed::default();
        assert_eq!(observed.applied("edge", 1), Applied::NoNode);
        observed.take(applied("edge", "a", 5));
        observed.take(applied("edge", "b", 4));
        assert_eq!(observed.applied("edge", 4), Applied::Yes);
        assert_eq!(observed.applied("edge", 5), Applied::Behind("b".into()));
        observed.take(applied("edge", "b", 6));
        assert_eq!(observed.applied("edge", 5), Applied::Yes);
        assert_eq!(observed.applied("packager", 1), Applied::NoNode);
    }

    #[test]
    fn traffic_counts_once() {
        let observed = Observed::default();
        let distribution = DistributionId::random();
        let one = Traffic { requests: 2, bytes: 10, ..Traffic::none(distribution.clone()) };
        observed.take(Report::Traffic(vec![one.clone(), one.clone()]));
        assert_eq!(observed.traffic(&distribution), (4, 20));
        let pending = observed.traffic_pending();
        observed.take(Report::Traffic(vec![one]));
        observed.traffic_written(&pending);
        assert_eq!(observed.traffic(&distribution), (2, 10));
    }
}
