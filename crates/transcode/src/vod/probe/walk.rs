//! A walk over all packets of a file: what is there, whatever the header says.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::header::micros;
use crate::vod::{Pace, Rational};

/// What is asked of each packet; ffprobe's order is that of [`Packet::parse`].
pub(super) const ENTRIES: &str = "packet=stream_index,pts_time,dts_time,duration_time,size,flags";

/// Frames that may come before one that is shown earlier.
const REORDER_MAX: usize = 64;

/// Kept entry points are at least so far apart.
const KEYFRAME_MIN_US: i64 = 1_000_000;

/// Times between frames that are told apart; further ones are counted as odd.
const DELTAS_MAX: usize = 4096;

/// Time between frames that is the same as another: containers of whole milliseconds round.
const SAME_US: i64 = 1_100;

/// Share of frames that may come at other times than the rest, as one in so many.
const ODD_SHARE: u64 = 50;

/// Rates that cameras and screens have.
const COMMON: [(u32, u32); 20] = [
    (1, 1),
    (2, 1),
    (5, 1),
    (8, 1),
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (100, 1),
    (120, 1),
    (240, 1),
];

#[derive(Debug, PartialEq, Eq)]
struct Packet {
    stream: u32,
    at_us: i64,
    duration_us: i64,
    size: u64,
    is_key: bool,
    /// Decoded and not shown.
    is_discarded: bool,
}

impl Packet {
    /// A line of `-of compact=p=0:nk=1`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('|');
        let stream = fields.next()?.parse().ok()?;
        let (pts, dts) = (micros(fields.next()), micros(fields.next()));
        let duration_us = micros(fields.next()).unwrap_or(0).max(0);
        let size = fields.next()?.parse().ok()?;
        let flags = fields.next()?;
        let (is_key, is_discarded) = (flags.starts_with('K'), flags.contains('D'));
        Some(Self { stream, at_us: pts.or(dts)?, duration_us, size, is_key, is_discarded })
    }
}

/// What the packets of a file say.
#[derive(Debug, Default)]
pub(super) struct Walk {
    picture: Option<u32>,
    pub(super) video: Frames,
    /// Where the tracks of sound begin and end, in microseconds.
    pub(super) audio: HashMap<u32, (i64, i64)>,
}

impl Walk {
    /// For this track of pictures, and these of sound.
    pub(super) fn new(picture: Option<u32>) -> Self {
        Self { picture, ..Self::default() }
    }

    pub(super) fn line(&mut self, line: &str) {
        let Some(packet) = Packet::parse(line).filter(|packet| !packet.is_discarded) else { return };
        if self.picture == Some(packet.stream) {
            self.video.push(&packet);
        } else {
            let end = packet.at_us.saturating_add(packet.duration_us);
            let span = self.audio.entry(packet.stream).or_insert((packet.at_us, end));
            *span = (span.0.min(packet.at_us), span.1.max(end));
        }
    }

    pub(super) fn end(&mut self) {
        self.video.end();
    }
}

/// What the packets of pictures say.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// First and last shown, in microseconds.
    first_us: i64,
    last_us: i64,
    /// How long the last shown says that it lasts.
    last_duration_us: i64,
    /// Entry points, one a second at most, and how far they are apart at most.
    pub(super) keyframes_us: Vec<i64>,
    last_key_us: Option<i64>,
    key_gap_us: i64,
    waiting: BinaryHeap<Reverse<i64>>,
    shown_us: Option<i64>,
    /// How often a frame comes so long after the one before it, in microseconds.
    deltas: HashMap<i64, u64>,
    uncounted: u64,
    pub(super) longest_still_us: i64,
    /// How far time went back at most.
    pub(super) back_us: i64,
}

impl Frames {
    fn push(&mut self, packet: &Packet) {
        if self.count == 0 {
            (self.first_us, self.last_us) = (packet.at_us, packet.at_us);
        }
        self.count += 1;
        self.bytes = self.bytes.saturating_add(packet.size);
        self.first_us = self.first_us.min(packet.at_us);
        if packet.at_us >= self.last_us {
            (self.last_us, self.last_duration_us) = (packet.at_us, packet.duration_us);
        }
        if packet.is_key {
            if let Some(last) = self.last_key_us {
                self.key_gap_us = self.key_gap_us.max(packet.at_us.saturating_sub(last));
            }
            self.last_key_us = Some(packet.at_us);
            if self.keyframes_us.last().is_none_or(|last| packet.at_us.saturating_sub(*last) >= KEYFRAME_MIN_US) {
                self.keyframes_us.push(packet.at_us);
            }
        }
        self.waiting.push(Reverse(packet.at_us));
        if self.waiting.len() > REORDER_MAX {
            self.show();
        }
    }

    fn show(&mut self) {
        let Some(Reverse(at)) = self.waiting.pop() else { return };
        if let Some(before) = self.shown_us {
            let delta = at.saturating_sub(before);
            self.longest_still_us = self.longest_still_us.max(delta);
            self.back_us = self.back_us.max(delta.saturating_neg());
            if self.deltas.len() < DELTAS_MAX || self.deltas.contains_key(&delta) {
                *self.deltas.entry(delta).or_default() += 1;
            } else {
                self.uncounted += 1;
            }
        }
        self.shown_us = Some(at);
    }

    fn end(&mut self) {
        while !self.waiting.is_empty() {
            self.show();
        }
        self.deltas.remove(&0);
    }

    /// The middle one of the times between frames.
    fn median_us(&self) -> Option<i64> {
        let mut sorted: Vec<(i64, u64)> = self.deltas.iter().map(|(delta, count)| (*delta, *count)).collect();
        sorted.sort_unstable();
        let half = sorted.iter().map(|(_, count)| count).sum::<u64>() / 2;
        let mut seen = 0;
        sorted
            .iter()
            .find(|(_, count)| {
                seen += count;
                seen > half
            })
            .map(|(delta, _)| *delta)
            .filter(|delta| *delta > 0)
    }

    /// Frames per second, and whether they come evenly. `claimed` are the rates that the header names.
    pub(super) fn rate(&self, claimed: &[Rational]) -> (Rational, Pace) {
        let claim = || claimed.iter().copied().find(|rate| (0.1..=1000.0).contains(&rate.as_f64()));
        let Some(median) = self.median_us() else {
            return (claim().filter(|rate| rate.as_f64() <= 120.0).unwrap_or(TWENTY_FIVE), Pace::Constant);
        };
        let near = |delta: i64| (delta - median).abs() <= SAME_US.max(median / 100);
        let all: u64 = self.deltas.values().sum::<u64>() + self.uncounted;
        let even: u64 = self.deltas.iter().filter(|(delta, _)| near(**delta)).map(|(_, count)| count).sum();
        let sum: i128 = self
            .deltas
            .iter()
            .filter(|(delta, _)| near(**delta))
            .map(|(delta, count)| i128::from(*delta) * i128::from(*count))
            .sum();
        let mean_us = sum as f64 / (even.max(1)) as f64;
        let measured = 1e6 / mean_us;
        let within = |rate: Rational, share: f64| (rate.as_f64() / measured - 1.0).abs() < share;
        if (all - even).saturating_mul(ODD_SHARE) <= all {
            // What the header says is exact, if it is true; short files tell 30 from 29.97 by nothing else.
            let said = claimed.iter().copied().find(|rate| within(*rate, 0.004));
            let nearest = said.or_else(|| common().find(|rate| within(*rate, 0.0006)));
            return (nearest.unwrap_or_else(|| from_f64(measured)), Pace::Constant);
        }
        let usual = common().filter(|rate| rate.as_f64() <= 60.0);
        let off = |rate: &Rational| (rate.as_f64() / measured - 1.0).abs();
        let near = usual.clone().filter(|rate| off(rate) < 0.015).min_by(|a, b| off(a).total_cmp(&off(b)));
        let fitting = near.or_else(|| usual.clone().find(|rate| rate.as_f64() >= measured));
        (fitting.unwrap_or(SIXTY), Pace::Variable)
    }

    /// Where the first frame begins and the last ends.
    pub(super) fn span_us(&self, rate: Rational) -> (i64, i64) {
        let usual = i64::try_from(rate.micros_of(1)).unwrap_or(i64::MAX).max(1);
        // A last frame that claims to last for hours is not believed.
        let last = if (1..=usual.saturating_mul(4).max(KEYFRAME_MIN_US)).contains(&self.last_duration_us) {
            self.last_duration_us
        } else {
            usual
        };
        (self.first_us, self.last_us.saturating_add(last))
    }

    /// Longest time that must be decoded to see a frame.
    pub(super) fn key_gap_us(&self, end_us: i64) -> i64 {
        let last = self.last_key_us.map_or(end_us.saturating_sub(self.first_us), |last| end_us.saturating_sub(last));
        self.key_gap_us.max(last)
    }
}

const TWENTY_FIVE: Rational = match Rational::new(25, 1) {
    Some(rate) => rate,
    None => Rational::ONE,
};

const SIXTY: Rational = match Rational::new(60, 1) {
    Some(rate) => rate,
    None => Rational::ONE,
};

fn common() -> impl Iterator<Item = Rational> + Clone {
    COMMON.into_iter().filter_map(|(num, den)| Rational::new(num, den))
}

fn from_f64(rate: f64) -> Rational {
    let thousandths = (rate * 1000.0).round().clamp(1.0, 1e9) as u32;
    Rational::new(thousandths, 1000).unwrap_or(Rational::ONE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(times_us: impl IntoIterator<Item = i64>) -> Frames {
        let mut walk = Walk::new(Some(0));
        for (at, time) in times_us.into_iter().enumerate() {
            let seconds = time as f64 / 1e6;
            walk.line(&format!("0|{seconds:.6}|N/A|0.040000|100|{}", if at % 50 == 0 { "K_" } else { "__" }));
        }
        walk.end();
        walk.video
    }

    fn rational(text: &str) -> Rational {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_measured() {
        let even = |micros: f64, count: i64| walk((0..count).map(move |at| (at as f64 * micros) as i64));
        assert_eq!(even(40_000.0, 250).rate(&[]), (rational("25"), Pace::Constant));
        assert_eq!(even(33_366.67, 600).rate(&[rational("30000/1001")]), (rational("30000/1001"), Pace::Constant));
        assert_eq!(even(4_166.67, 600).rate(&[rational("240")]), (rational("240"), Pace::Constant));
        assert_eq!(even(1e6, 5).rate(&[rational("1")]), (rational("1"), Pace::Constant));
        // Whole milliseconds, as Matroska has them.
        let rounded = walk((0..600).map(|at| (f64::from(at) * 33.366_667).round() as i64 * 1000));
        assert_eq!(rounded.rate(&[]).0, rational("30000/1001"));
        // A header that lies is not believed.
        assert_eq!(even(40_000.0, 250).rate(&[rational("90000")]).0, rational("25"));
        let uneven = walk((0..600).scan(0, |time, at| {
            *time += if at % 3 == 0 { 60_000 } else { 33_333 };
            Some(*time)
        }));
        assert_eq!(uneven.rate(&[]), (rational("30"), Pace::Variable));
        assert_eq!(walk([0]).rate(&[]), (rational("25"), Pace::Constant));
    }

    #[test]
    fn reordered_frames_are_put_in_order() {
        let frames = walk([0, 120_000, 40_000, 80_000, 240_000, 160_000, 200_000]);
        assert_eq!(frames.rate(&[]), (rational("25"), Pace::Constant));
        assert_eq!((frames.back_us, frames.longest_still_us), (0, 40_000));
        assert_eq!(frames.span_us(rational("25")), (0, 280_000));
        let jump = walk((0..100).map(|at| at * 40_000).chain((0..100).map(|at| at * 40_000)));
        assert!(jump.back_us > 1_000_000, "{}", jump.back_us);
    }

    proptest! {
        #[test]
        fn no_packet_panics(lines in proptest::collection::vec("[0-9|.NAeK_D/-]{0,60}", 0..20), times in proptest::collection::vec(any::<i64>(), 0..100)) {
            let mut walk = Walk::new(Some(0));
            lines.iter().for_each(|line| walk.line(line));
            walk.end();
            let frames = self::walk(times);
            let (rate, _) = frames.rate(&[]);
            let (_, end) = frames.span_us(rate);
            let _ = frames.key_gap_us(end);
        }
    }
}
