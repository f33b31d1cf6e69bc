//! Signs of life of an HTTP/2 connection, told without a clock, and judged now and then.

use std::time::Duration;

use tokio::time::Instant;

/// Least time between two judgements.
const MIN_LOOK: Duration = Duration::from_millis(20);

/// Time between probes of a silent viewer, and for its answer.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// How a connection is doing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    /// Whether there are requests that are not answered to the end.
    pub(super) open: bool,
    /// Whether there are bytes that wait for the viewer to take more.
    pub(super) waiting: bool,
    /// Whether a head has begun and not ended.
    pub(super) heading: bool,
    /// Counts whatever got further.
    pub(super) progress: u64,
    /// Counts what was read.
    pub(super) heard: u64,
}

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Before its first request.
    pub(super) first: Duration,
    /// Without an open request.
    pub(super) idle: Duration,
    /// With bytes that the viewer does not take.
    pub(super) stall: Duration,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing; look again then.
    Fine(Instant),
    /// It has nothing to do: close it politely.
    Idle,
    /// Its viewer takes nothing: cut it.
    Stalled,
}

/// Judges one connection.
#[derive(Debug)]
pub(super) struct Judge {
    limits: Limits,
    seen: u64,
    since: Instant,
}

impl Judge {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, seen: 0, since: now }
    }

    /// To be asked at the moments that it gives. A limit may be passed by half before it is noticed.
    pub(super) fn judge(&mut self, signs: &Signs, now: Instant) -> Verdict {
        if signs.progress != self.seen {
            self.seen = signs.progress;
            self.since = now;
        }
        let still = now - self.since;
        let shortest = self.limits.stall.min(self.limits.idle) / 2;
        let limit = if signs.waiting {
            if still >= self.limits.stall {
                return Verdict::Stalled;
            }
            self.limits.stall
        } else if !signs.open {
            let limit = if signs.progress == 0 || signs.heading { self.limits.first } else { self.limits.idle };
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

/// Asks a silent viewer whether it is still there, while it has open requests.
#[derive(Debug)]
pub(super) struct Probe {
    heard: u64,
    since: Instant,
    sent: Option<Instant>,
}

/// What a look at the viewer's silence ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probing {
    /// Look again then.
    Fine(Instant),
    /// Ask the viewer, and look again then.
    Ask(Instant),
    /// It is gone.
    Gone,
}

impl Probe {
    pub(super) fn new(now: Instant) -> Self {
        Self { heard: 0, since: now, sent: None }
    }

    /// To be asked at the moments that it gives, or before.
    pub(super) fn look(&mut self, signs: &Signs, now: Instant) -> Probing {
        if signs.heard != self.heard || !signs.open {
            *self = Self { heard: signs.heard, since: now, sent: None };
        }
        match self.sent {
            Some(sent) if now >= sent + PROBE_TIMEOUT => Probing::Gone,
            Some(sent) => Probing::Fine(sent + PROBE_TIMEOUT),
            None if now >= self.since + PROBE_INTERVAL => {
                self.sent = Some(now);
                Probing::Ask(now + PROBE_TIMEOUT)
            }
            None => Probing::Fine(self.since + PROBE_INTERVAL),
        }
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
        let mut signs = Signs::default();
        let mut judge = Judge::new(LIMITS, began);
        assert_eq!(judge.judge(&signs, began), Verdict::Fine(at(10)));
        assert_eq!(judge.judge(&signs, at(10)), Verdict::Idle, "no request ever came");
        signs = Signs { open: true, progress: 1, ..signs };
        assert_eq!(judge.judge(&signs, at(12)), Verdict::Fine(at(27)));
        assert_eq!(judge.judge(&signs, at(500)), Verdict::Fine(at(515)), "the origin takes its time");
        signs = Signs { waiting: true, progress: 2, ..signs };
        assert!(matches!(judge.judge(&signs, at(501)), Verdict::Fine(_)));
        assert_eq!(judge.judge(&signs, at(531)), Verdict::Stalled);
        signs.progress = 3;
        assert!(matches!(judge.judge(&signs, at(532)), Verdict::Fine(_)), "the viewer took something");
        signs = Signs { open: false, waiting: false, ..signs };
        assert!(matches!(judge.judge(&signs, at(590)), Verdict::Fine(_)));
        assert_eq!(judge.judge(&signs, at(602)), Verdict::Idle);
        assert_eq!(judge.judge(&Signs { progress: 4, ..signs }, at(603)), Verdict::Fine(at(618)));
        assert_eq!(judge.judge(&Signs { heading: true, progress: 4, ..signs }, at(613)), Verdict::Idle, "half a head");
        assert_eq!(judge.judge(&Signs { waiting: true, progress: 4, ..signs }, at(633)), Verdict::Stalled);
    }

    #[test]
    fn silent_viewers_are_asked_whether_they_are_there() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut probe = Probe::new(began);
        let signs = Signs { open: true, ..Signs::default() };
        assert_eq!(probe.look(&signs, at(29)), Probing::Fine(at(30)));
        assert_eq!(probe.look(&signs, at(30)), Probing::Ask(at(45)));
        assert_eq!(probe.look(&signs, at(44)), Probing::Fine(at(45)));
        assert_eq!(probe.look(&Signs { heard: 1, ..signs }, at(44)), Probing::Fine(at(74)));
        assert_eq!(probe.look(&Signs { heard: 1, ..signs }, at(80)), Probing::Ask(at(95)));
        assert_eq!(probe.look(&Signs { heard: 1, ..signs }, at(95)), Probing::Gone);
        assert_eq!(probe.look(&Signs { heard: 1, open: false, ..signs }, at(999)), Probing::Fine(at(1029)));
    }
}
