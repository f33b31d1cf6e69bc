//! How far a playlist has come, and whether that is further than before.

use std::collections::VecDeque;

use aws_lc_rs::digest;

use super::ChangeDetect;
use super::sample::Sample;

/// Texts and hints that are remembered, so that caches that give old ones in turn do not look like a stream that goes on.
const REMEMBERED: usize = 16;

/// SHA-256 of a text.
pub(super) type Hash = [u8; 32];

pub(super) fn hash(body: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, body).as_ref());
    hash
}

/// What a sample is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first: whether anything changes is not known.
    First,
    /// There is something new.
    Forward,
    /// Nothing is new.
    Same,
    /// The newest segment is older than one that was there; from the one to the other.
    Back { from: u64, to: u64 },
    /// After going back it goes on from there.
    Restarted,
}

/// How far a playlist has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    /// Next sequence number and parts behind it, the furthest that were seen.
    furthest: Option<(u64, u32)>,
    /// Where it went back to.
    restart: Option<(u64, u32)>,
    texts: VecDeque<Hash>,
    hints: VecDeque<String>,
}

impl Position {
    pub(super) fn step(&mut self, detect: ChangeDetect, sample: &Sample, text: Hash) -> Step {
        let is_new_text = remember(&mut self.texts, text);
        let is_new_hint = sample.hint.as_ref().is_some_and(|hint| remember(&mut self.hints, hint.clone()));
        let at = (sample.next_sequence, sample.parts);
        let Some(furthest) = self.furthest else {
            self.furthest = Some(at);
            return Step::First;
        };
        if at.0 < furthest.0 {
            return self.back(furthest.0, at, is_new_text);
        }
        let only_gaps = sample.trailing_gaps > 0 && at <= furthest;
        let is_forward = match detect {
            ChangeDetect::MediaSequence => at > furthest || (at == furthest && is_new_hint),
            ChangeDetect::ContentHash => !only_gaps,
        };
        if is_forward && is_new_text {
            self.furthest = Some(at.max(furthest));
            // Behind a balancer of two packagers one may lag: it is not a restart when the other has gone on.
            self.restart = None;
            return Step::Forward;
        }
        Step::Same
    }

    fn back(&mut self, furthest: u64, at: (u64, u32), is_new_text: bool) -> Step {
        match self.restart {
            Some(restart) if at > restart && is_new_text => {
                self.furthest = Some(at);
                self.restart = None;
                Step::Restarted
            }
            Some(_) => Step::Same,
            None => {
                self.restart = Some(at);
                Step::Back { from: furthest, to: at.0 }
            }
        }
    }
}

/// Whether it was not there; it is then.
fn remember<T: PartialEq>(known: &mut VecDeque<T>, one: T) -> bool {
    if known.contains(&one) {
        return false;
    }
    if known.len() == REMEMBERED {
        known.pop_front();
    }
    known.push_back(one);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(next_sequence: u64, parts: u32) -> Sample {
        Sample { next_sequence, parts, segments: 3, ..Sample::default() }
    }

    fn text(sample: &Sample) -> Hash {
        hash(format!("{sample:?}").as_bytes())
    }

    fn steps(detect: ChangeDetect, samples: &[Sample]) -> Vec<Step> {
        let mut position = Position::default();
        samples.iter().map(|sample| position.step(detect, sample, text(sample))).collect()
    }

    #[test]
    fn segments_parts_and_hints_are_news() {
        use Step::{First, Forward, Same};
        let hint = |name: &str| Sample { hint: Some(name.to_owned()), ..at(11, 1) };
        let found = steps(
            ChangeDetect::MediaSequence,
            &[at(10, 0), at(10, 0), at(10, 1), at(11, 0), at(11, 1), hint("a"), hint("a"), hint("b"), hint("a")],
        );
        assert_eq!(found, [First, Same, Forward, Forward, Forward, Forward, Same, Forward, Same]);
    }

    #[test]
    fn a_restart_counts_when_it_goes_on() {
        use Step::{Back, First, Forward, Restarted, Same};
        let found = steps(
            ChangeDetect::MediaSequence,
            &[at(100, 0), at(3, 0), at(3, 0), at(4, 0), at(5, 0), at(2, 0), at(6, 0)],
        );
        assert_eq!(
            found,
            [First, Back { from: 100, to: 3 }, Same, Restarted, Forward, Back { from: 5, to: 2 }, Forward]
        );
    }

    #[test]
    fn frozen_caches_in_turn_are_no_stream() {
        let turns: Vec<Sample> = [100, 97, 98, 99].iter().cycle().take(60).map(|next| at(*next, 0)).collect();
        for detect in [ChangeDetect::MediaSequence, ChangeDetect::ContentHash] {
            let found = steps(detect, &turns);
            assert!(found[8..].iter().all(|step| matches!(step, Step::Same | Step::Back { .. })), "{found:?}");
        }
    }

    #[test]
    fn gaps_are_no_news_to_a_hash_either() {
        let gap = |gaps| Sample { trailing_gaps: gaps, ..at(10, 0) };
        assert_eq!(
            steps(ChangeDetect::ContentHash, &[at(10, 0), gap(1), gap(2), Sample { media_sequence: 7, ..at(10, 0) }]),
            [Step::First, Step::Same, Step::Same, Step::Forward]
        );
    }

    proptest! {
        #[test]
        fn what_only_grows_is_always_forward(starts in 0_u64..1000, growth in prop::collection::vec(1_u64..5, 1..50)) {
            let mut next = starts;
            let mut samples = vec![at(next, 0)];
            for more in growth {
                next += more;
                samples.push(at(next, 0));
            }
            let found = steps(ChangeDetect::MediaSequence, &samples);
            prop_assert!(found[1..].iter().all(|step| *step == Step::Forward));
        }

        #[test]
        fn few_texts_are_soon_old(turns in prop::collection::vec(0_u64..8, 40..80)) {
            let samples: Vec<Sample> = turns.iter().map(|next| at(*next, 0)).collect();
            let found = steps(ChangeDetect::MediaSequence, &samples);
            let news = found.iter().filter(|step| matches!(step, Step::Forward | Step::Restarted)).count();
            prop_assert!(news <= 8, "{} of {:?}", news, turns);
        }
    }
}
