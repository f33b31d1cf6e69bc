//! Statistics of the intervals between changes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::WINDOW_MAX;

/// Of the last [`WINDOW_MAX`] intervals between two changes that were seen, in seconds with one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Intervals that these are of.
    pub intervals: usize,
    /// Nine of ten are not longer.
    pub p90_seconds: f64,
    /// Mean.
    pub mean_seconds: f64,
    /// Median.
    pub median_seconds: f64,
    /// Shortest.
    pub min_seconds: f64,
    /// Longest.
    pub max_seconds: f64,
}

/// The last intervals.
#[derive(Clone, Debug, Default)]
pub(super) struct Window(VecDeque<u64>);

impl Window {
    pub(super) fn push(&mut self, interval_ms: u64) {
        if self.0.len() == WINDOW_MAX {
            self.0.pop_front();
        }
        self.0.push_back(interval_ms);
    }

    /// The middle one, in milliseconds; of two, the shorter. Nothing without one.
    pub(super) fn median_ms(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }

    /// Nothing without an interval.
    pub(super) fn statistics(&self) -> Option<Statistics> {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let count = sorted.len();
        let sum: u64 = sorted.iter().fold(0, |sum, interval| sum.saturating_add(*interval));
        let median = (sorted[(count - 1) / 2] as f64 + sorted[count / 2] as f64) / 2.0;
        // The nearest rank: the smallest interval that at least nine of ten do not exceed.
        let p90 = sorted[(count * 9).div_ceil(10) - 1];
        Some(Statistics {
            intervals: count,
            p90_seconds: seconds(p90 as f64),
            mean_seconds: seconds(sum as f64 / count as f64),
            median_seconds: seconds(median),
            min_seconds: seconds(min as f64),
            max_seconds: seconds(max as f64),
        })
    }
}

/// Milliseconds as seconds with one decimal.
pub(super) fn seconds(ms: f64) -> f64 {
    (ms / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_few() {
        let mut window = Window::default();
        assert_eq!((window.statistics(), window.median_ms()), (None, None));
        window.push(6040);
        let one = window.statistics().unwrap();
        assert_eq!((one.p90_seconds, one.mean_seconds, one.median_seconds), (6.0, 6.0, 6.0));
        for interval in [1000, 2000, 3000, 4000, 5000, 7000, 8000, 9000, 20_000] {
            window.push(interval);
        }
        let ten = window.statistics().unwrap();
        assert_eq!((ten.min_seconds, ten.median_seconds, ten.p90_seconds, ten.max_seconds), (1.0, 5.5, 9.0, 20.0));
        assert_eq!((ten.mean_seconds, ten.intervals), (6.5, 10));
        assert_eq!(window.median_ms(), Some(5000));
    }

    proptest! {
        #[test]
        fn they_are_in_order_and_of_the_last(intervals in prop::collection::vec(0_u64..1_000_000, 1..80)) {
            let mut window = Window::default();
            intervals.iter().for_each(|interval| window.push(*interval));
            let all = window.statistics().unwrap();
            prop_assert_eq!(all.intervals, intervals.len().min(WINDOW_MAX));
            prop_assert!(all.min_seconds <= all.median_seconds && all.median_seconds <= all.p90_seconds);
            prop_assert!(all.p90_seconds <= all.max_seconds);
            prop_assert!(all.min_seconds <= all.mean_seconds && all.mean_seconds <= all.max_seconds);
            let newest = &intervals[intervals.len() - all.intervals..];
            prop_assert_eq!(all.max_seconds, seconds(*newest.iter().max().unwrap() as f64));
        }
    }
}
