//! Regions that open or close although nobody says a word at that moment: entries of the history.

use anabranch_cluster::decide::{AUTOMAT, View, evidence};
use anabranch_cluster::state::{Effective, Ground, Opening, standing};
use anabranch_model::{FAIL_OPEN, HistoryEntry, Register, Stamp, Voice, Word};

use super::Live;

/// Entries for what has turned since it was told last. What is told twice, as after a start, has the same mark.
pub(super) fn turned(live: &Live, node: &str, now_ms: i64) -> Vec<HistoryEntry> {
    let openings = live.openings(now_ms);
    openings.iter().filter_map(|(region, now)| Turned { live, node, region, now_ms }.entry(now)).collect()
}

struct Turned<'a> {
    live: &'a Live,
    node: &'a str,
    region: &'a str,
    now_ms: i64,
}

impl Turned<'_> {
    fn entry(&self, now: &Effective) -> Option<HistoryEntry> {
        let before = self.live.told.openings.get(self.region).copied();
        let failed_open = before.is_some_and(|(_, ground)| ground == Ground::FailOpen);
        let was_closed = before.is_some_and(|(opening, _)| opening == Opening::Closed);
        match (now.ground, now.opening) {
            (Ground::FailOpen, _) if !failed_open => {
                let mark = self.mark(FAIL_OPEN, self.newest()?);
                Some(self.made(FAIL_OPEN, now.why.clone(), None, self.now_ms, mark))
            }
            (_, Opening::Closed) if failed_open => {
                let closing = self.closing()?;
                let why = format!("another region is open again: {}", closing.1.why);
                let mark = self.mark("counts", self.newest()?);
                Some(self.made(Word::Closed.as_str(), why, Some(closing), self.now_ms, mark))
            }
            (_, Opening::Closed) if !was_closed => {
                let closing = self.closing()?;
                let drained_ms = closing.1.from_ms.saturating_sub(closing.1.since_ms);
                let why = format!("players were steered away for {drained_ms} ms: {}", closing.1.why);
                let mark = self.mark("drained", &closing.1.stamp);
                let closed = || self.made(Word::Closed.as_str(), why, Some(closing), closing.1.from_ms, mark);
                // Of a word that closes at once the history knows.
                (drained_ms > 0).then(closed)
            }
            _ => None,
        }
    }

    /// The closing that counts.
    fn closing(&self) -> Option<(Voice, &Register)> {
        let registers = &self.live.registers;
        let operator = standing(registers, self.region, self.now_ms).map(|word| (Voice::Operator, word));
        let word = operator.or_else(|| Some((Voice::Automat, registers.get(self.region, Voice::Automat)?)));
        word.filter(|(_, word)| word.word == Word::Closed)
    }

    /// The newest word on any region: what turns without one turns once after it.
    fn newest(&self) -> Option<&Stamp> {
        self.live.registers.iter().map(|(.., register)| &register.stamp).max()
    }

    fn mark(&self, what: &str, stamp: &Stamp) -> String {
        let Stamp { counter, wall_ms, node } = stamp;
        format!("{}/{what}/{counter}/{wall_ms}/{node}", self.region)
    }

    fn made(
        &self,
        what: &str,
        why: String,
        closing: Option<(Voice, &Register)>,
        at_ms: i64,
        mark: String,
    ) -> HistoryEntry {
        let Self { live, node, region, now_ms } = *self;
        let (cluster, registers, votes) = (live.cluster(), &live.registers, &live.votes);
        HistoryEntry {
            region: region.to_owned(),
            voice: closing.map_or(Voice::Automat, |(voice, _)| voice),
            what: what.to_owned(),
            who: closing.map_or(AUTOMAT, |(_, word)| word.who.as_str()).to_owned(),
            why,
            at_ms,
            until_ms: closing.and_then(|(_, word)| word.until_ms),
            evidence: evidence(&View { cluster, registers, votes, now_ms }, region),
            node: node.to_owned(),
            mark,
        }
    }
}
