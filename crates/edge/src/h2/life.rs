//! Signs of life of an HTTP/2 connection, told by its parts without a clock, and judged now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two judgements.
const MIN_LOOK: Duration = Duration::from_millis(20);

/// What the parts of a connection tell.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Requests that are not answered to the end.
    open: AtomicUsize,
    /// Bodies that wait for the viewer to take more.
    waiting: AtomicUsize,
    /// Counts whatever got further.
    progress: AtomicU64,
    /// Whether the kernel takes no bytes.
    blocked: AtomicBool,
}

impl Life {
    /// Something got further.
    pub(crate) fn progress(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        self.progress();
        self.open.fetch_add(1, Ordering::Relaxed);
        Open { life: self.clone(), waiting: false }
    }
}

/// A request that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    life: Arc<Life>,
    waiting: bool,
}

impl Open {
    /// There are bytes for the viewer, or there are none yet.
    pub(crate) fn waits_for_viewer(&mut self, waits: bool) {
        if waits && !self.waiting {
            self.life.waiting.fetch_add(1, Ordering::Relaxed);
        } else if !waits && self.waiting {
            self.life.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        self.waiting = waits;
        self.life.progress();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.waiting {
            self.life.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        self.life.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Before its first request.
    pub(crate) first: Duration,
    /// Without an open request.
    pub(crate) idle: Duration,
    /// With bytes that the viewer does not take.
    pub(crate) stall: Duration,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing; look again then.
    Fine(Instant),
    /// It has nothing to do: close it politely.
    Idle,
    /// Its viewer takes nothing: cut it.
    Stalled,
}

/// Judges one connection.
#[derive(Debug)]
pub(crate) struct Judge {
    limits: Limits,
    seen: u64,
    since: Instant,
}

impl Judge {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, seen: 0, since: now }
    }

    /// To be asked at the moments that it gives. A limit may be passed by half before it is noticed.
    pub(crate) fn judge(&mut self, life: &Life, now: Instant) -> Verdict {
        let progress = life.progress.load(Ordering::Relaxed);
        if progress != self.seen {
            self.seen = progress;
            self.since = now;
        }
        let still = now - self.since;
        let shortest = self.limits.stall.min(self.limits.idle) / 2;
        let stalls = life.waiting.load(Ordering::Relaxed) > 0 || life.blocked.load(Ordering::Relaxed);
        let limit = if stalls {
            if still >= self.limits.stall {
                return Verdict::Stalled;
            }
            self.limits.stall
        } else if life.open.load(Ordering::Relaxed) == 0 {
            let limit = if progress == 0 { self.limits.first } else { self.limits.idle };
            if still >= limit {
                return Verdict::Idle;
            }
            limit
        } else {
            // An origin has its own limits.
            return Verdict::Fine(now + shortest);
        };
        Verdict::Fine((self.since + limit).min(now + shortest).max(now + MIN_LOOK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { first: Duration::from_secs(10), idle: Duration::from_secs(70), stall: Duration::from_secs(30) };

    #[test]
    fn connections_are_judged_by_what_they_wait_for() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let life = Arc::new(Life::default());
        let mut judge = Judge::new(LIMITS, began);
        assert_eq!(judge.judge(&life, began), Verdict::Fine(at(10)));
        assert_eq!(judge.judge(&life, at(10)), Verdict::Idle, "no request ever came");
        let mut open = life.begin();
        assert_eq!(judge.judge(&life, at(12)), Verdict::Fine(at(27)));
        assert_eq!(judge.judge(&life, at(500)), Verdict::Fine(at(515)), "the origin takes its time");
        open.waits_for_viewer(true);
        assert!(matches!(judge.judge(&life, at(501)), Verdict::Fine(_)));
        assert_eq!(judge.judge(&life, at(531)), Verdict::Stalled);
        open.waits_for_viewer(true);
        assert!(matches!(judge.judge(&life, at(532)), Verdict::Fine(_)), "the viewer took something");
        drop(open);
        assert!(matches!(judge.judge(&life, at(590)), Verdict::Fine(_)));
        assert_eq!(judge.judge(&life, at(602)), Verdict::Idle);
        life.blocked(true);
        assert_eq!(judge.judge(&life, at(602)), Verdict::Stalled);
    }
}
