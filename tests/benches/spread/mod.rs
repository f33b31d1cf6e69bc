//! Times of many runs.

use std::fmt;
use std::time::Duration;

/// The same time taken in many runs.
#[derive(Debug, Default)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// Adds a run's.
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
        self.0.sort();
    }

    fn at(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let place = (self.0.len() as f64 * share).ceil() as usize;
        let place = place.saturating_sub(1);
        self.0.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, median, high, most] = [0.0, 0.5, 0.95, 1.0].map(|share| self.at(share));
        write!(to, "min {least:.0}, median {median:.0}, p95 {high:.0}, max {most:.0} ms")
    }
}
