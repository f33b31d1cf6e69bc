//! How many watch: when a session counts as one that has left, and numbers that are told again for a while.

use std::collections::HashMap;

use anabranch_model::BreakoutId;
use parking_lot::Mutex;

/// A session that has not asked for anything for so long has left, in milliseconds. Players ask at least once a segment.
pub(crate) const LEFT_AFTER_MS: i64 = 30_000;

/// How long a number of viewers is told again without being counted anew, in milliseconds.
const COUNT_FOR_MS: i64 = 5_000;

/// Breakouts whose number of viewers is remembered.
const COUNTS_MAX: usize = 1_000;

/// When each breakout's viewers were counted last, in Unix milliseconds, and how many they were.
#[derive(Default)]
pub(super) struct Counts(Mutex<HashMap<BreakoutId, (i64, u64)>>);

impl Counts {
    pub(super) fn recall(&self, breakout: &BreakoutId, now_ms: i64) -> Option<u64> {
        let (at, count) = *self.0.lock().get(breakout)?;
        (0..COUNT_FOR_MS).contains(&(now_ms - at)).then_some(count)
    }

    pub(super) fn keep(&self, breakout: &BreakoutId, now_ms: i64, count: u64) {
        let mut known = self.0.lock();
        if known.len() >= COUNTS_MAX {
            known.clear();
        }
        known.insert(breakout.clone(), (now_ms, count));
    }
}
