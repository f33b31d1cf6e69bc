//! What players tell of playback (CTA-5004), added up.

use serde::{Deserialize, Serialize};

use crate::{AssetId, BreakoutId};

/// Buckets of a [`Histogram`].
pub const HISTOGRAM_BUCKETS: usize = 24;

/// Rows of a [`crate::Report::Quality`] at most.
pub const QUALITY_MAX: usize = 256;

/// A distribution of values in fixed buckets, each half as wide again as the one before: adding two is adding their buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// By bucket; trailing empty ones are left out.
    #[serde(default)]
    pub buckets: Vec<u64>,
}

impl Histogram {
    /// Upper end of a bucket, itself included: 50, 75, 113 and so on; the last has none.
    #[must_use]
    pub fn upper(bucket: usize) -> u64 {
        (0..bucket.min(HISTOGRAM_BUCKETS)).fold(50, |end: u64, _| end.saturating_mul(3).div_ceil(2))
    }

    /// Takes a value in.
    pub fn take(&mut self, value: u64) {
        let bucket = (0..HISTOGRAM_BUCKETS - 1).find(|at| value <= Self::upper(*at)).unwrap_or(HISTOGRAM_BUCKETS - 1);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds another one.
    pub fn absorb(&mut self, other: &Self) {
        let buckets = other.buckets.len().min(HISTOGRAM_BUCKETS);
        if self.buckets.len() < buckets {
            self.buckets.resize(buckets, 0);
        }
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum = sum.saturating_add(*more);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// The value that `percent` of all are at most, as the upper end of its bucket; none without values.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.buckets.iter().fold(0, |sum, more| sum.saturating_add(*more));
        let wanted = all.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0_u64;
        for (at, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return Some(Self::upper(at));
            }
        }
        None
    }

    /// The mean; none without values.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

/// Quality of experience of a breakout or an asset in five minutes, by players that tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Breakout, if the path belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakout: Option<BreakoutId>,
    /// Asset, if the path belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetId>,
    /// Beginning of the five minutes, Unix seconds by the edge's clock.
    pub at: i64,
    /// Playback sessions that told for the first time at this edge.
    #[serde(default)]
    pub sessions: u64,
    /// Requests that told anything.
    #[serde(default)]
    pub told: u64,
    /// Milliseconds from the wish to watch to the first picture.
    #[serde(default)]
    pub startup_ms: Histogram,
    /// How often playback stood still.
    #[serde(default)]
    pub stalls: u64,
    /// For how long, in milliseconds.
    #[serde(default)]
    pub stalled_ms: u64,
    /// For how long players were there, in milliseconds.
    #[serde(default)]
    pub watched_ms: u64,
    /// Requests that told of an empty buffer.
    #[serde(default)]
    pub starved: u64,
    /// Bit rate of what was asked for, in kilobits a second.
    #[serde(default)]
    pub bitrate_kbps: Histogram,
    /// Media in the buffer, in milliseconds.
    #[serde(default)]
    pub buffer_ms: Histogram,
    /// Throughput that was measured, in kilobits a second.
    #[serde(default)]
    pub throughput_kbps: Histogram,
}

impl Quality {
    /// Adds the counts of `other`, whatever it is of.
    pub fn absorb(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.sessions, other.sessions),
            (&mut self.told, other.told),
            (&mut self.stalls, other.stalls),
            (&mut self.stalled_ms, other.stalled_ms),
            (&mut self.watched_ms, other.watched_ms),
            (&mut self.starved, other.starved),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.startup_ms.absorb(&other.startup_ms);
        self.bitrate_kbps.absorb(&other.bitrate_kbps);
        self.buffer_ms.absorb(&other.buffer_ms);
        self.throughput_kbps.absorb(&other.throughput_kbps);
    }

    /// Whether its histograms have no more buckets than there are, and no count is greater than `most`.
    #[must_use]
    pub fn is_within(&self, most: u64) -> bool {
        let counts = [self.sessions, self.told, self.stalls, self.stalled_ms, self.watched_ms, self.starved];
        let histograms = [&self.startup_ms, &self.bitrate_kbps, &self.buffer_ms, &self.throughput_kbps];
        let fits = |histogram: &Histogram| {
            histogram.buckets.len() <= HISTOGRAM_BUCKETS
                && histogram.buckets.iter().chain([&histogram.count, &histogram.sum]).all(|count| *count <= most)
        };
        counts.iter().all(|count| *count <= most) && histograms.into_iter().all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ends_of_buckets() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50), histogram.mean()), (None, None));
        for value in [10, 60, 60, 500_000_000] {
            histogram.take(value);
        }
        assert_eq!((histogram.percentile(25), histogram.percentile(50)), (Some(50), Some(75)));
        assert_eq!(histogram.percentile(95), Some(Histogram::upper(HISTOGRAM_BUCKETS - 1)));
        assert_eq!(histogram.mean(), Some(500_000_130 / 4));
        let mut twice = histogram.clone();
        twice.absorb(&histogram);
        assert_eq!((twice.count, twice.percentile(50)), (8, Some(75)));
    }
}
