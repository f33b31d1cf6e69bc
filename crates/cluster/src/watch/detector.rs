//! From the states of playlists to the verdict, with hysteresis.

use super::{Moment, Reason, Settings, VerdictState};

/// Shortest time between two notifications that only tell other counts, in milliseconds: many playlists that go one by one are one piece
/// of news.
const COUNTS_EVERY_MS: u64 = 1000;

/// How many playlists are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Those that are named.
    pub(super) named: usize,
    pub(super) fresh: usize,
    pub(super) stale: usize,
    pub(super) ended: usize,
}

impl Counts {
    /// Those that a verdict is made of: what has ended, and what is not known yet, says nothing.
    pub(super) fn total(self) -> usize {
        self.fresh + self.stale
    }

    fn unknown(self) -> usize {
        self.named - self.fresh - self.stale - self.ended
    }
}

/// The state of the verdict.
#[derive(Clone, Debug, Default)]
pub(super) struct Detector {
    pub(super) state: VerdictState,
    pub(super) reason: Reason,
    pub(super) since: Moment,
    /// Number of the next notification.
    pub(super) sequence: u64,
    told: Option<Counts>,
    told_ms: u64,
}

impl Detector {
    /// Nothing could be found out about which playlists there are. Gives whether that is news.
    pub(super) fn found_nothing(&mut self, now: Moment) -> bool {
        if self.told.is_some() {
            return false;
        }
        self.tell(VerdictState::Stale, Reason::NoPlaylists, Counts::default(), now);
        true
    }

    /// Judges by how many playlists are how. Gives whether there is news.
    pub(super) fn judge(&mut self, counts: Counts, settings: &Settings, now: Moment) -> bool {
        let was_told = self.told.is_some_and(|told| told.named > 0);
        // At first all have to be known. Later ones are waited for one by one, or a list that always changes would hide everything.
        if counts.named == 0 || (!was_told && counts.unknown() > 0) {
            return false;
        }
        let Some(state) = self.next(counts, settings) else { return false };
        let reason = match state {
            VerdictState::Ended => Reason::Ended,
            VerdictState::Fresh if counts.stale == 0 => Reason::AllFresh,
            VerdictState::Stale if exceeds(counts, settings) => Reason::ToleranceExceeded,
            _ => Reason::CountsChanged,
        };
        if state == self.state && was_told {
            let differs = self.told.is_none_or(|told| (told.fresh, told.stale) != (counts.fresh, counts.stale));
            if !differs || now.at_ms < self.told_ms.saturating_add(COUNTS_EVERY_MS) {
                return false;
            }
            self.tell(state, Reason::CountsChanged, counts, now);
            return true;
        }
        self.tell(state, reason, counts, now);
        true
    }

    fn next(&self, counts: Counts, settings: &Settings) -> Option<VerdictState> {
        if counts.ended == counts.named {
            return Some(VerdictState::Ended);
        }
        if counts.total() == 0 {
            return None;
        }
        Some(match self.state {
            _ if counts.stale == 0 => VerdictState::Fresh,
            _ if exceeds(counts, settings) => VerdictState::Stale,
            // Between the two the verdict stays; one that is not known is taken for stale.
            VerdictState::Fresh => VerdictState::Fresh,
            VerdictState::Stale | VerdictState::Unknown | VerdictState::Ended => VerdictState::Stale,
        })
    }

    fn tell(&mut self, state: VerdictState, reason: Reason, counts: Counts, now: Moment) {
        if self.state != state {
            self.since = now;
        }
        self.state = state;
        self.reason = reason;
        self.told = Some(counts);
        self.told_ms = now.at_ms;
    }

    /// When counts that were held back may be told.
    pub(super) fn wake_ms(&self, counts: Counts) -> u64 {
        let is_held = |told: Counts| told.named > 0 && (told.fresh, told.stale) != (counts.fresh, counts.stale);
        if counts.total() > 0 && self.told.is_some_and(is_held) {
            self.told_ms.saturating_add(COUNTS_EVERY_MS)
        } else {
            u64::MAX
        }
    }
}

fn exceeds(counts: Counts, settings: &Settings) -> bool {
    counts.total() > 0 && counts.stale as f64 / counts.total() as f64 >= settings.stale_tolerance
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(fresh: usize, stale: usize) -> Counts {
        Counts { named: fresh + stale, fresh, stale, ended: 0 }
    }

    fn at(at_ms: u64) -> Moment {
        Moment { at_ms, unix_ms: at_ms as i64 }
    }

    #[test]
    fn it_goes_at_the_tolerance_and_comes_back_only_with_all() {
        let settings = Settings::default();
        let mut detector = Detector::default();
        let mut news = Vec::new();
        let steps = [(20, 0), (20, 0), (2, 18), (1, 19), (0, 20), (19, 1), (20, 0), (19, 1)];
        for (second, (fresh, stale)) in steps.into_iter().enumerate() {
            if detector.judge(counts(fresh, stale), &settings, at(second as u64 * 10_000)) {
                news.push((second, detector.state.as_str(), detector.reason.as_str()));
            }
        }
        assert_eq!(
            news,
            [
                (0, "fresh", "all fresh"),
                (2, "fresh", "counts changed"),
                (3, "stale", "tolerance exceeded"),
                (4, "stale", "counts changed"),
                (5, "stale", "counts changed"),
                (6, "fresh", "all fresh"),
                (7, "fresh", "counts changed"),
            ]
        );
        assert_eq!(detector.since, at(60_000));
    }

    #[test]
    fn the_first_verdict_waits_for_all_and_counts_what_is_between_as_stale() {
        let settings = Settings::default();
        let mut detector = Detector::default();
        assert!(!detector.judge(Counts { named: 3, fresh: 2, ..Counts::default() }, &settings, at(0)));
        assert!(detector.judge(counts(2, 1), &settings, at(0)));
        assert_eq!((detector.state, detector.reason), (VerdictState::Stale, Reason::CountsChanged));
        assert!(
            detector.judge(Counts { named: 4, fresh: 3, ..Counts::default() }, &settings, at(1)),
            "a late one is not waited for"
        );
    }

    #[test]
    fn nothing_at_the_start_is_told_once() {
        let mut detector = Detector::default();
        assert!(detector.found_nothing(at(0)));
        assert!(!detector.found_nothing(at(2500)));
        assert_eq!((detector.state, detector.reason), (VerdictState::Stale, Reason::NoPlaylists));
        assert!(detector.judge(counts(3, 0), &Settings::default(), at(5000)));
        assert_eq!(detector.state, VerdictState::Fresh);
    }

    #[test]
    fn ended_ones_do_not_count() {
        let settings = Settings::default();
        let mut detector = Detector::default();
        assert!(detector.judge(Counts { named: 3, fresh: 1, stale: 0, ended: 2 }, &settings, at(0)));
        assert_eq!(detector.state, VerdictState::Fresh);
        assert!(detector.judge(Counts { named: 3, ended: 3, ..Counts::default() }, &settings, at(1)));
        assert_eq!((detector.state, detector.reason), (VerdictState::Ended, Reason::Ended));
    }

    #[test]
    fn counts_alone_are_told_once_a_second() {
        let settings = Settings::default();
        let mut detector = Detector::default();
        assert!(detector.judge(counts(100, 0), &settings, at(0)));
        assert!(!detector.judge(counts(99, 1), &settings, at(500)));
        assert_eq!(detector.wake_ms(counts(99, 1)), 1000);
        assert!(detector.judge(counts(98, 2), &settings, at(1000)));
        assert_eq!(detector.wake_ms(counts(98, 2)), u64::MAX);
        assert!(detector.judge(counts(0, 100), &settings, at(1001)), "a verdict does not wait");
    }

    proptest! {
        #[test]
        fn a_verdict_is_what_the_counts_allow(
            steps in prop::collection::vec((0_usize..20, 0_usize..20, 0_usize..3), 1..60), tolerance in 0.05_f64..1.0
        ) {
            let settings = Settings { stale_tolerance: tolerance, ..Settings::default() };
            let mut detector = Detector::default();
            for (second, (fresh, stale, ended)) in steps.into_iter().enumerate() {
                let before = detector.state;
                let now = Counts { named: fresh + stale + ended, fresh, stale, ended };
                detector.judge(now, &settings, at(second as u64 * 2000));
                let share = stale as f64 / (fresh + stale) as f64;
                match detector.state {
                    VerdictState::Fresh if before != VerdictState::Fresh => prop_assert_eq!(stale, 0),
                    VerdictState::Stale if before == VerdictState::Fresh => prop_assert!(share >= tolerance),
                    _ => {}
                }
                if fresh + stale > 0 && stale == 0 {
                    prop_assert_eq!(detector.state, VerdictState::Fresh);
                }
                if fresh == 0 && stale > 0 {
                    prop_assert_eq!(detector.state, VerdictState::Stale);
                }
            }
        }
    }
}
