//! What is wrong with a stream beside its being stale.

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The last answer was none, an error, or no playlist. Only warns: the playlist ages, and that makes it stale.
    Unreachable,
    /// The media sequence went back (rfc8216bis §6.2.2). Only warns: what comes after it counts when it goes on from there.
    SequenceBack,
    /// A segment is longer than the target duration allows (rfc8216bis §4.4.3.1). Only warns.
    TargetDuration,
    /// The newest segments are gaps. Only warns: gaps are no change, so the playlist ages.
    Gap,
    /// The newest segment that a changing playlist names cannot be fetched. Warns at the first, makes the playlist stale at the second.
    SegmentMissing,
    /// Renditions are further apart than they may be. Only warns.
    Drift,
    /// Some playlists have ended, others go on. Only warns.
    EndedUnevenly,
    /// The multivariant playlist cannot be read any more. Only warns: who watches goes on, and a merged playlist does not need it.
    TopUnreachable,
    /// The multivariant playlist names others than before. Only warns.
    TopChanged,
    /// It names more playlists than are watched. Only warns.
    TooMany,
    /// A low-latency playlist announces partial segments and names none: players fall back behind its segments. Only warns.
    PartsMissing,
}

/// What a finding does to its playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing; people should know.
    Warn,
    /// The playlist is stale.
    Stale,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// What it does.
    pub effect: Effect,
    /// URL of the playlist, without what signs it; of the stream when it is about all.
    pub playlist: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// What was seen, one sentence.
    pub evidence: String,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::SequenceBack,
        Self::TargetDuration,
        Self::Gap,
        Self::SegmentMissing,
        Self::Drift,
        Self::EndedUnevenly,
        Self::TopUnreachable,
        Self::TopChanged,
        Self::TooMany,
        Self::PartsMissing,
    ];

    /// The word of the API, of metrics and of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::SequenceBack => "sequence-back",
            Self::TargetDuration => "target-duration",
            Self::Gap => "gap",
            Self::SegmentMissing => "segment-missing",
            Self::Drift => "drift",
            Self::EndedUnevenly => "ended-unevenly",
            Self::TopUnreachable => "top-unreachable",
            Self::TopChanged => "top-changed",
            Self::TooMany => "too-many",
            Self::PartsMissing => "parts-missing",
        }
    }
}

/// Findings of one playlist, one of a kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<Held>);

#[derive(Clone, Debug)]
struct Held {
    finding: Finding,
    /// For what happens rather than lasts: until when it is shown.
    until_ms: Option<u64>,
    is_told: bool,
}

impl Findings {
    /// Something lasts: with evidence it is there, without it is over. The evidence may change as it lasts.
    pub(super) fn set(&mut self, kind: FindingKind, evidence: Option<(Effect, String)>, of: &str, unix_ms: i64) {
        let Some((effect, evidence)) = evidence else {
            self.0.retain(|held| held.finding.kind != kind);
            return;
        };
        self.put(Finding { kind, effect, playlist: of.to_owned(), since_ms: unix_ms, evidence }, None);
    }

    /// Something happened, and is shown until then.
    pub(super) fn happened(&mut self, kind: FindingKind, evidence: String, of: &str, unix_ms: i64, until_ms: u64) {
        let finding = Finding { kind, effect: Effect::Warn, playlist: of.to_owned(), since_ms: unix_ms, evidence };
        self.put(finding, Some(until_ms));
    }

    fn put(&mut self, finding: Finding, until_ms: Option<u64>) {
        match self.0.iter_mut().find(|held| held.finding.kind == finding.kind) {
            Some(held) => {
                // What becomes worse is news.
                held.is_told &= held.finding.effect == finding.effect;
                held.until_ms = until_ms;
                held.finding = Finding { since_ms: held.finding.since_ms, ..finding };
            }
            None => self.0.push(Held { finding, until_ms, is_told: false }),
        }
    }

    /// Forgets what happened long enough ago.
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.0.retain(|held| held.until_ms.is_none_or(|until| now_ms < until));
    }

    /// Those that were not given by this before.
    pub(super) fn take_new(&mut self, found: &mut Vec<Finding>) {
        for held in self.0.iter_mut().filter(|held| !held.is_told) {
            held.is_told = true;
            found.push(held.finding.clone());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().map(|held| &held.finding)
    }

    pub(super) fn makes_stale(&self) -> bool {
        self.iter().any(|finding| finding.effect == Effect::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_once_and_again_when_it_is_worse() {
        let mut findings = Findings::default();
        let mut told = Vec::new();
        findings.set(FindingKind::SegmentMissing, Some((Effect::Warn, "one".to_owned())), "u", 5);
        findings.take_new(&mut told);
        findings.set(FindingKind::SegmentMissing, Some((Effect::Warn, "two".to_owned())), "u", 6);
        findings.take_new(&mut told);
        assert_eq!(told.len(), 1);
        assert!(!findings.makes_stale());
        findings.set(FindingKind::SegmentMissing, Some((Effect::Stale, "three".to_owned())), "u", 7);
        findings.take_new(&mut told);
        assert_eq!((told.len(), told[1].since_ms, told[1].evidence.as_str()), (2, 5, "three"));
        assert!(findings.makes_stale());
        findings.set(FindingKind::SegmentMissing, None, "u", 8);
        assert_eq!(findings.iter().count(), 0);
    }

    #[test]
    fn what_happened_is_shown_for_a_while() {
        let mut findings = Findings::default();
        findings.happened(FindingKind::SequenceBack, "from 9 to 1".to_owned(), "u", 5, 100);
        findings.expire(99);
        assert_eq!(findings.iter().count(), 1);
        findings.expire(100);
        assert_eq!(findings.iter().count(), 0);
    }

    #[test]
    fn words_are_those_of_json() {
        for kind in FindingKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
