//! How slowly a request's body may come.

use std::time::Duration;

use tokio::time::Instant;

/// Time that any body may take.
const BASE: Duration = Duration::from_secs(60);

/// Bytes for which a body may take a second more.
const BYTES_A_SECOND: u64 = 16 << 10;

/// The time that a body has left: between two pieces no more than a limit, and in all what its length deserves.
#[derive(Debug)]
pub(crate) struct BodyPace {
    gap: Duration,
    began: Instant,
    last: Instant,
    bytes: u64,
}

impl BodyPace {
    pub(crate) fn new(gap: Duration, now: Instant) -> Self {
        Self { gap, began: now, last: now, bytes: 0 }
    }

    /// Counts a piece.
    pub(crate) fn came(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        self.last = now;
    }

    /// When the next piece must have come.
    pub(crate) fn deadline(&self) -> Instant {
        let whole = BASE + Duration::from_secs(self.bytes / BYTES_A_SECOND);
        (self.last + self.gap).min(self.began + whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trickling_does_not_go_on_for_ever() {
        let began = Instant::now();
        let mut pace = BodyPace::new(Duration::from_secs(10), began);
        assert_eq!(pace.deadline(), began + Duration::from_secs(10));
        pace.came(1, began + Duration::from_secs(55));
        assert_eq!(pace.deadline(), began + BASE);
        pace.came(1 << 20, began + Duration::from_secs(55));
        assert_eq!(pace.deadline(), began + Duration::from_secs(65));
    }
}
