//! Whether a service can be asked. One that is away is asked again by one request at a time, so that nobody waits for it in a queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time between two requests to a service that is away.
const REST: Duration = Duration::from_secs(1);

/// What is wrong with a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In words.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Whether the service does not answer; otherwise it refuses.
    pub is_away: bool,
}

#[derive(Debug)]
struct Trouble {
    problem: Problem,
    /// When the next request is made to one that is away; none for one that answers, but refuses.
    again: Option<Instant>,
}

/// What is known of one backend.
#[derive(Debug, Default)]
pub(super) struct Health {
    trouble: Mutex<Option<Trouble>>,
    /// How often the service has fallen away.
    outages: AtomicU64,
}

/// Whether a request may be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// And repeated.
    Yes,
    /// Once: it is to show whether the service is back.
    Once,
    /// Not now, for this reason.
    No(String),
}

impl Health {
    pub(super) fn admit(&self, now: Instant) -> Admitted {
        let mut trouble = self.trouble.lock();
        let Some(Trouble { problem, again: Some(again) }) = trouble.as_mut() else { return Admitted::Yes };
        if now < *again {
            return Admitted::No(problem.reason.clone());
        }
        *again = now + REST;
        Admitted::Once
    }

    /// The service answered as it should. Returns whether there was trouble.
    pub(super) fn well(&self) -> bool {
        self.trouble.lock().take().is_some()
    }

    /// It did not answer, or (`is_away` is false) refuses what it should not. Returns whether that is new.
    pub(super) fn troubled(&self, reason: &str, is_away: bool, (now, time): (Instant, SystemTime)) -> bool {
        let mut trouble = self.trouble.lock();
        let since = trouble.as_ref().map_or(time, |before| before.problem.since);
        let again = is_away.then_some(now + REST);
        let is_new = trouble.as_ref().is_none_or(|before| before.again.is_some() != is_away);
        if is_new && is_away {
            self.outages.fetch_add(1, Ordering::Relaxed);
        }
        *trouble = Some(Trouble { problem: Problem { reason: reason.to_owned(), since, is_away }, again });
        is_new
    }

    pub(super) fn problem(&self) -> Option<Problem> {
        self.trouble.lock().as_ref().map(|trouble| trouble.problem.clone())
    }

    pub(super) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_at_a_time_asks_who_is_away() {
        let (health, time, now) = (Health::default(), SystemTime::UNIX_EPOCH, Instant::now());
        assert_eq!(health.admit(now), Admitted::Yes);
        assert!(health.troubled("gone", true, (now, time)));
        assert!(!health.troubled("still gone", true, (now, time + REST)));
        assert_eq!(health.admit(now), Admitted::No("still gone".to_owned()));
        let later = now + REST;
        assert_eq!(health.admit(later), Admitted::Once);
        assert_eq!(health.admit(later), Admitted::No("still gone".to_owned()));
        let problem = Problem { reason: "still gone".to_owned(), since: time, is_away: true };
        assert_eq!((health.problem(), health.outages()), (Some(problem), 1));
        assert!(health.troubled("refused", false, (later, time)));
        assert_eq!(health.admit(later), Admitted::Yes);
        assert!(health.well() && !health.well());
        assert_eq!(health.problem(), None);
    }
}
