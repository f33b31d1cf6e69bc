//! Media time: 32-bit millisecond timestamps unwrapped into one line, and conversion between timescales.

use crate::TrackKind;

/// A timestamp further ahead of the session's newest one than this is a jump, in milliseconds.
pub const JUMP_AHEAD_MS: i64 = 10_000;

/// A timestamp further behind the newest one of its own track than this is a jump, in milliseconds; a smaller step back is
/// clamped.
pub const STEP_BACK_MS: i64 = 1_000;

/// How far behind the session's newest timestamp a track may start, in milliseconds.
pub const START_SKEW_MS: i64 = 10_000;

/// A track that has not followed a jump yet stays on the old clock for steps up to this, in milliseconds.
const LAGGARD_STEP_MS: i64 = 500;

/// Step that is assumed over a jump until a track has shown its own, in milliseconds.
const NOMINAL_STEP_MS: i64 = 33;

/// Converts `value` from units of `1/from` s to units of `1/to` s: exact, rounded to nearest, halves upwards, limited to the
/// range of `i64`. A `from` of zero counts as one.
pub fn rescale(value: i64, from: u32, to: u32) -> i64 {
    let from = i128::from(from.max(1));
    let scaled = (i128::from(value) * i128::from(to) * 2 + from).div_euclid(from * 2);
    scaled.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// How a sample's time relates to that of the session before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time goes on.
    Continues,
    /// Time jumped; the session was rebased.
    Jump,
}

/// Where a sample stands in the session's time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Decoding time: at or after that of the track's sample before (strictly after it, for pictures), never negative.
    pub dts: i64,
    /// The same before clamping: what composition times are counted from.
    pub unclamped: i64,
    /// Whether a jump was seen at this sample.
    pub step: Step,
}

/// Turns the 32-bit timestamps of one session into one line of time that audio and video share.
///
/// - **Unwrapping.** Of all numbers that are equal to a timestamp modulo 2³² the one nearest to the session's newest is
///   taken, so that the wrap is passed both forward and, by late samples, backward.
/// - **Continuing.** A timestamp continues when it is at most [`JUMP_AHEAD_MS`] ahead of the session's newest and at most
///   [`STEP_BACK_MS`] behind its own track's newest ([`START_SKEW_MS`] behind the session's newest, for the first sample of a
///   track on this clock). A step back is clamped: sound repeats the last decoding time, pictures take the last one plus 1 ms.
///   Where one track falls silent and the other goes on, session time goes on, and the silent one comes back without a jump.
/// - **Jump.** Anything else starts a new clock, once for the session: the sample lands one step of its track after the
///   newest decoding time of both tracks, and every later sample of either track on the new clock keeps its distance from it,
///   so sound and pictures stay in sync.
/// - **Laggards.** Samples of the other track that were under way on the old clock keep their old place until that track follows.
///   The same rule carries encoders whose audio and video clocks never agree.
#[derive(Clone, Debug, Default)]
pub struct Unwrapper {
    clock: Option<Clock>,
    before: Option<Clock>,
    audio: Lane,
    video: Lane,
}

/// One continuous clock of the encoder.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Counts jumps.
    generation: u64,
    /// Newest unwrapped timestamp.
    newest: i64,
    /// Added to an unwrapped timestamp, gives session time.
    shift: i64,
}

/// What is known of one track.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    last: Option<LaneSample>,
    step: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct LaneSample {
    generation: u64,
    /// Newest unwrapped timestamp of the track on its clock.
    unwrapped: i64,
    dts: i64,
}

impl Clock {
    /// The number equal to `raw` modulo 2³² that is nearest to the newest one.
    fn unwrap(&self, raw: u32) -> i64 {
        let distance = raw.wrapping_sub(self.newest as u32) as i32;
        self.newest + i64::from(distance)
    }

    fn continues(&self, lane: &Lane, unwrapped: i64) -> bool {
        let oldest = match lane.last {
            Some(last) if last.generation == self.generation => last.unwrapped - STEP_BACK_MS,
            _ => self.newest - START_SKEW_MS,
        };
        (oldest..=self.newest + JUMP_AHEAD_MS).contains(&unwrapped)
    }
}

impl Unwrapper {
    /// Time that starts with the first timestamp.
    pub fn new() -> Self {
        Self::default()
    }

    /// Places the next sample of a track.
    pub fn place(&mut self, kind: TrackKind, raw: u32) -> Placed {
        let lane = *self.lane(kind);
        if let Some(before) = self.before
            && let Some(last) = lane.last
            && last.generation == before.generation
            && (0..=LAGGARD_STEP_MS).contains(&(before.unwrap(raw) - last.unwrapped))
        {
            return self.settle_before(kind, before, raw);
        }
        let Some(clock) = self.clock else {
            let clock = Clock { generation: 0, newest: raw.into(), shift: 0 };
            return self.settle(kind, clock, raw, Step::Continues);
        };
        if clock.continues(&lane, clock.unwrap(raw)) {
            return self.settle(kind, clock, raw, Step::Continues);
        }
        if let Some(before) = self.before
            && lane.last.is_some_and(|last| last.generation == before.generation)
            && before.continues(&lane, before.unwrap(raw))
        {
            return self.settle_before(kind, before, raw);
        }
        self.before = Some(clock);
        let newest = [self.audio, self.video].iter().filter_map(|lane| lane.last).map(|last| last.dts).max();
        let shift = newest.unwrap_or(0) + lane.step.unwrap_or(NOMINAL_STEP_MS) - i64::from(raw);
        let clock = Clock { generation: clock.generation + 1, newest: raw.into(), shift };
        self.settle(kind, clock, raw, Step::Jump)
    }

    fn settle(&mut self, kind: TrackKind, mut clock: Clock, raw: u32, step: Step) -> Placed {
        let unwrapped = clock.unwrap(raw);
        clock.newest = clock.newest.max(unwrapped);
        self.clock = Some(clock);
        self.lane(kind).put(kind, clock, unwrapped, step)
    }

    fn settle_before(&mut self, kind: TrackKind, mut before: Clock, raw: u32) -> Placed {
        let unwrapped = before.unwrap(raw);
        before.newest = before.newest.max(unwrapped);
        self.before = Some(before);
        self.lane(kind).put(kind, before, unwrapped, Step::Continues)
    }

    fn lane(&mut self, kind: TrackKind) -> &mut Lane {
        match kind {
            TrackKind::Audio => &mut self.audio,
            TrackKind::Video => &mut self.video,
        }
    }
}

impl Lane {
    fn put(&mut self, kind: TrackKind, clock: Clock, unwrapped: i64, step: Step) -> Placed {
        let placed = unwrapped + clock.shift;
        let mut dts = placed.max(0);
        let mut newest = unwrapped;
        if let Some(last) = self.last {
            dts = dts.max(match kind {
                TrackKind::Audio => last.dts,
                TrackKind::Video => last.dts + 1,
            });
            if last.generation == clock.generation {
                let stride = unwrapped - last.unwrapped;
                if (1..=STEP_BACK_MS).contains(&stride) {
                    self.step = Some(stride);
                }
                newest = unwrapped.max(last.unwrapped);
            }
        }
        self.last = Some(LaneSample { generation: clock.generation, unwrapped: newest, dts });
        Placed { dts, unclamped: placed, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackKind::{Audio, Video};
    use proptest::prelude::*;

    fn run(samples: &[(TrackKind, u32)]) -> Vec<(i64, bool)> {
        let mut time = Unwrapper::new();
        let placed = samples.iter().map(|&(kind, raw)| time.place(kind, raw));
        placed.map(|placed| (placed.dts, placed.step == Step::Jump)).collect()
    }

    fn times(samples: &[(TrackKind, u32)]) -> Vec<i64> {
        let placed = run(samples);
        assert!(placed.iter().all(|(_, jump)| !jump), "{placed:?}");
        placed.into_iter().map(|(dts, _)| dts).collect()
    }

    #[test]
    fn rescale_is_exact() {
        assert_eq!(rescale(1001, 1000, 90_000), 90_090);
        assert_eq!(rescale(1, 1000, 44_100), 44);
        assert_eq!(rescale(-1, 1000, 500), 0);
        assert_eq!(rescale(1, 1000, 500), 1);
        assert_eq!(rescale(i64::MAX, 1, u32::MAX), i64::MAX);
        assert_eq!(rescale(i64::MIN, 1, u32::MAX), i64::MIN);
        assert_eq!(rescale(7, 0, 2), 14);
    }

    #[test]
    fn interleaved_tracks_pass_untouched() {
        assert_eq!(times(&[(Video, 0), (Audio, 0), (Audio, 23), (Video, 40), (Audio, 46)]), [0, 0, 23, 40, 46]);
    }

    #[test]
    fn the_wrap_is_passed_forward_and_backward() {
        let wrap = 1_i64 << 32;
        let got = times(&[(Video, u32::MAX - 9), (Video, 30), (Audio, u32::MAX - 4), (Audio, 20), (Video, 70)]);
        assert_eq!(got, [wrap - 10, wrap + 30, wrap - 5, wrap + 20, wrap + 70]);
        let three = [(Video, 0), (Video, 5_000), (Video, 9_000)];
        assert_eq!(times(&three), [0, 5_000, 9_000]);
    }

    #[test]
    fn time_before_zero_is_clamped() {
        assert_eq!(times(&[(Video, 5), (Audio, u32::MAX - 9), (Audio, 13)]), [5, 0, 13]);
    }

    #[test]
    fn small_steps_back_are_clamped() {
        assert_eq!(times(&[(Video, 1000), (Video, 500), (Video, 501), (Video, 1040)]), [1000, 1001, 1002, 1040]);
        assert_eq!(times(&[(Audio, 1000), (Audio, 500), (Audio, 1021)]), [1000, 1000, 1021]);
    }

    #[test]
    fn a_jump_ahead_rebases_both_tracks_once() {
        let got = run(&[
            (Video, 0),
            (Audio, 10),
            (Video, 40),
            (Video, 1_000_000),
            (Audio, 33),
            (Audio, 999_990),
            (Audio, 1_000_013),
            (Video, 1_000_040),
        ]);
        let jump_at = 40 + 40;
        let expected = [
            (0, false),
            (10, false),
            (40, false),
            (jump_at, true),
            (33, false),
            (70, false),
            (93, false),
            (120, false),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn a_jump_back_rebases_both_tracks_once() {
        let got = run(&[
            (Video, 60_000),
            (Audio, 60_010),
            (Video, 60_040),
            (Video, 0),
            (Audio, 60_033),
            (Audio, 5),
            (Video, 40),
        ]);
        let jump_at = 60_040 + 40;
        let dts: Vec<_> = got.iter().map(|&(dts, _)| dts).collect();
        assert_eq!(dts, [60_000, 60_010, 60_040, jump_at, 60_033, jump_at + 5, jump_at + 40]);
        assert_eq!(got.iter().filter(|(_, jump)| *jump).count(), 1);
    }

    #[test]
    fn a_jump_back_that_is_shorter_than_the_jump_ahead_is_not_mistaken_for_a_laggard() {
        let got = run(&[
            (Video, 20_000),
            (Audio, 20_000),
            (Video, 15_000),
            (Audio, 20_023),
            (Audio, 15_020),
            (Video, 15_040),
        ]);
        let dts: Vec<_> = got.iter().map(|&(dts, _)| dts).collect();
        assert_eq!(dts, [20_000, 20_000, 20_033, 20_023, 20_053, 20_073]);
    }

    #[test]
    fn a_track_that_pauses_comes_back_without_a_jump() {
        let mut samples = vec![(Video, 0)];
        samples.extend((0..30).map(|index| (Audio, index * 1000)));
        samples.push((Video, 29_500));
        assert_eq!(times(&samples).last(), Some(&29_500));
    }

    #[test]
    fn a_lone_track_that_pauses_too_long_jumps() {
        assert_eq!(run(&[(Audio, 0), (Audio, 23), (Audio, 10_024)])[2], (46, true));
        assert_eq!(run(&[(Audio, 0), (Audio, 23), (Audio, 10_023)])[2], (10_023, false));
    }

    #[test]
    fn clocks_that_never_agree_jump_only_once() {
        let mut samples = Vec::new();
        for index in 0..100 {
            samples.push((Video, 1_000_000_000 + index * 40));
            samples.push((Audio, index * 40));
        }
        let got = run(&samples);
        assert_eq!(got.iter().filter(|(_, jump)| *jump).count(), 1);
        assert_eq!(got[199].0 - got[198].0, 33);
    }

    proptest! {
        #[test]
        fn dts_never_goes_back(samples in prop::collection::vec((any::<bool>(), any::<u32>()), 0..200)) {
            let mut time = Unwrapper::new();
            let mut last = [-1_i64; 2];
            for (is_video, raw) in samples {
                let kind = if is_video { Video } else { Audio };
                let placed = time.place(kind, raw);
                let floor = last[usize::from(is_video)] + i64::from(is_video);
                prop_assert!(placed.dts >= floor && placed.dts >= 0);
                last[usize::from(is_video)] = placed.dts;
            }
        }
    }
}
