//! Whether the newest segment that a playlist names is there.

use super::finding::{Effect, FindingKind, Findings};
use super::sample::Newest;
use super::{Moment, Role, SegmentAnswer};

/// Durations between two looks at segments of one playlist.
const EVERY_DURATIONS: u64 = 3;

/// Segments in a row that are missing, from which the playlist is stale.
const MISSING_STALE: u32 = 2;

/// The looks at segments of one playlist.
#[derive(Clone, Debug, Default)]
pub(super) struct Probe {
    last_ms: Option<u64>,
    /// Sequence number and URI of the segment that was last asked for.
    asked: Option<Newest>,
    is_under_way: bool,
    /// Different segments in a row that were not there.
    missing: u32,
}

impl Probe {
    /// When a look is due next, if at all: at a segment that was not looked at before, or once more at one that was missing.
    pub(super) fn due_ms(&self, role: Role, newest: Option<&Newest>, duration_ms: u64) -> Option<u64> {
        // The ranges of I-frame playlists lie in segments that are looked at anyway.
        if self.is_under_way || role == Role::IFrames {
            return None;
        }
        let newest = newest?;
        let Some(last_ms) = self.last_ms else { return Some(0) };
        let is_another = self.asked.as_ref() != Some(newest);
        match (self.missing, is_another) {
            (0, false) => None,
            (0, true) => Some(last_ms.saturating_add(duration_ms.saturating_mul(EVERY_DURATIONS))),
            // One that is doubted is looked at with each change, and one that may only have come late once more.
            (_, true) => Some(last_ms),
            (_, false) => Some(last_ms.saturating_add(duration_ms)),
        }
    }

    pub(super) fn begin(&mut self, newest: &Newest, now: Moment) {
        self.is_under_way = true;
        self.last_ms = Some(now.at_ms);
        if self.asked.as_ref() != Some(newest) {
            self.asked = Some(newest.clone());
        } else if self.missing > 0 {
            // The same once more does not count twice.
            self.missing -= 1;
        }
    }

    pub(super) fn answered(&mut self, answer: &SegmentAnswer, findings: &mut Findings, of: &str, now: Moment) {
        self.is_under_way = false;
        let SegmentAnswer::Missing(why) = answer else {
            self.missing = 0;
            findings.set(FindingKind::SegmentMissing, None, of, now.unix_ms);
            return;
        };
        self.missing = self.missing.saturating_add(1);
        let effect = if self.missing >= MISSING_STALE { Effect::Stale } else { Effect::Warn };
        let sequence = self.asked.as_ref().map_or(0, |newest| newest.sequence);
        let evidence = format!("newest segment {sequence} cannot be fetched: {why}");
        findings.set(FindingKind::SegmentMissing, Some((effect, evidence)), of, now.unix_ms);
    }

    /// The playlist is another than it was: what is under way says nothing.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(sequence: u64) -> Newest {
        Newest { sequence, uri: format!("{sequence}.ts"), end_byte: None }
    }

    fn look(probe: &mut Probe, findings: &mut Findings, sequence: u64, at_ms: u64, is_there: bool) {
        let now = Moment { at_ms, unix_ms: 0 };
        probe.begin(&newest(sequence), now);
        assert_eq!(probe.due_ms(Role::Variant, Some(&newest(sequence + 1)), 6000), None, "one at a time");
        let answer = if is_there { SegmentAnswer::There } else { SegmentAnswer::Missing("status 404".to_owned()) };
        probe.answered(&answer, findings, "u", now);
    }

    #[test]
    fn two_different_segments_make_stale_and_one_that_is_there_is_enough() {
        let (mut probe, mut findings) = (Probe::default(), Findings::default());
        assert_eq!(probe.due_ms(Role::Variant, Some(&newest(1)), 6000), Some(0));
        assert_eq!(probe.due_ms(Role::IFrames, Some(&newest(1)), 6000), None);
        assert_eq!(probe.due_ms(Role::Variant, None, 6000), None);
        look(&mut probe, &mut findings, 1, 0, false);
        assert!(!findings.makes_stale());
        look(&mut probe, &mut findings, 1, 6000, false);
        assert!(!findings.makes_stale(), "the same segment counts once");
        assert_eq!(probe.due_ms(Role::Variant, Some(&newest(1)), 6000), Some(12_000));
        assert_eq!(probe.due_ms(Role::Variant, Some(&newest(2)), 6000), Some(6000));
        look(&mut probe, &mut findings, 2, 6000, false);
        assert!(findings.makes_stale());
        assert_eq!(findings.iter().next().unwrap().evidence, "newest segment 2 cannot be fetched: status 404");
        look(&mut probe, &mut findings, 3, 12_000, true);
        assert_eq!(findings.iter().count(), 0);
        assert_eq!(probe.due_ms(Role::Variant, Some(&newest(3)), 6000), None);
        assert_eq!(probe.due_ms(Role::Variant, Some(&newest(4)), 6000), Some(30_000));
    }
}
