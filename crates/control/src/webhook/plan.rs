//! What to deliver next to one webhook, and what to do when it fails. No I/O; `now` is an argument.
//!
//! Entries behind the cursor are loaded into a window. One that is delivered or not wanted is settled; the cursor follows the
//! oldest that is not. One that fails is parked in the backlog, with every later one of its subject, so that the cursor and the
//! other subjects go on. The head of a subject is tried until it is taken or its time is over; nothing overtakes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anabranch_db::{BacklogRow, GaveUp, WebhookProgress};

/// Entries loaded and neither settled nor parked, at most.
const WINDOW: usize = 256;

/// Entries parked at most. While there are as many, no more are loaded: then subjects do block each other.
pub(super) const BACKLOG_MAX: usize = 5000;

/// Deliveries of one webhook under way at once, of different subjects.
const PARALLEL: usize = 4;

/// Failures in a row after which a webhook gets one delivery at a time.
const PROBE_AFTER: u64 = 5;

/// Pause after the first failure, in milliseconds; it doubles with each.
const BACKOFF_MS: i64 = 1000;

/// Longest pause, in milliseconds.
const BACKOFF_MAX_MS: i64 = 60 * 60 * 1000;

/// Time from the first failure of an entry to giving its subject's backlog up, in milliseconds.
pub(super) const GIVE_UP_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// Tries without which nothing is given up, however late it is: a clock that jumps must not make three days of a minute. By then
/// the pauses have grown to an hour.
pub(super) const GIVE_UP_TRIES: u64 = 12;

/// An entry that is not settled.
#[derive(Clone, Debug)]
struct Pending {
    subject: String,
    parked: bool,
    in_flight: bool,
    attempts: u64,
    first_failed_at: Option<i64>,
    next_try_at: i64,
    error: Option<String>,
}

/// Deliveries of one webhook.
#[derive(Debug)]
pub(super) struct Plan {
    id: String,
    /// Every entry up to this one has been loaded.
    loaded: u64,
    pending: BTreeMap<u64, Pending>,
    /// What is pending and not parked: the cursor may not pass it.
    open: BTreeSet<u64>,
    subjects: HashMap<String, BTreeSet<u64>>,
    in_flight: usize,
    /// Failures since the last success.
    failures: u64,
    problem: Option<String>,
    /// What was given up last; shown until an operator has seen to the webhook.
    loss: Option<String>,
    changes: WebhookProgress,
    dirty: bool,
}

impl Plan {
    /// Where a webhook stands by its rows.
    pub(super) fn new(id: &str, cursor: u64, failures: u64, problem: Option<String>, backlog: Vec<BacklogRow>) -> Self {
        let mut plan = Self {
            id: id.to_owned(),
            loaded: cursor,
            pending: BTreeMap::new(),
            open: BTreeSet::new(),
            subjects: HashMap::new(),
            in_flight: 0,
            failures,
            // Without a failure since the last success it can only be a loss.
            loss: problem.clone().filter(|_| failures == 0),
            problem: problem.filter(|_| failures > 0),
            changes: WebhookProgress { cursor, ..WebhookProgress::default() },
            dirty: false,
        };
        for row in backlog {
            let pending = Pending {
                subject: row.subject,
                parked: true,
                in_flight: false,
                attempts: row.attempts,
                first_failed_at: row.first_failed_at,
                next_try_at: row.next_try_at,
                error: row.error,
            };
            plan.insert(row.sequence, pending);
        }
        plan
    }

    /// Every entry up to this one has been loaded.
    pub(super) fn loaded(&self) -> u64 {
        self.loaded
    }

    /// How many more entries may be loaded.
    pub(super) fn room(&self) -> usize {
        let parked = self.pending.len() - self.open.len();
        WINDOW.saturating_sub(self.open.len()).min(BACKLOG_MAX.saturating_sub(parked))
    }

    /// Takes in what follows, up to `upto`: sequence and subject of each entry that is wanted, in order.
    pub(super) fn load(&mut self, entries: impl IntoIterator<Item = (u64, String)>, upto: u64) {
        for (sequence, subject) in entries {
            if self.pending.contains_key(&sequence) {
                continue;
            }
            // Of one subject all are parked, or none.
            let head = self.subjects.get(&subject).and_then(|queue| queue.first());
            let behind_parked = head.is_some_and(|head| self.pending[head].parked);
            let pending = Pending {
                subject,
                parked: behind_parked,
                in_flight: false,
                attempts: 0,
                first_failed_at: None,
                next_try_at: 0,
                error: None,
            };
            self.insert(sequence, pending);
            if behind_parked {
                self.note_parked(sequence);
            }
        }
        self.loaded = self.loaded.max(upto);
    }

    /// What to deliver now; it counts as under way until its outcome is told.
    pub(super) fn due(&mut self, now_ms: i64) -> Vec<u64> {
        let parallel = if self.failures >= PROBE_AFTER { 1 } else { PARALLEL };
        let slots = parallel.saturating_sub(self.in_flight);
        if slots == 0 {
            return Vec::new();
        }
        let mut due: Vec<(i64, u64)> = self
            .heads()
            // A clock that was set back must not make an hour a year.
            .filter(|(_, head)| head.next_try_at <= now_ms || head.next_try_at > now_ms + BACKOFF_MAX_MS)
            .map(|(sequence, head)| (head.next_try_at, sequence))
            .collect();
        due.sort_unstable();
        due.truncate(slots);
        for (_, sequence) in &due {
            if let Some(pending) = self.pending.get_mut(sequence) {
                pending.in_flight = true;
                self.in_flight += 1;
            }
        }
        due.into_iter().map(|(_, sequence)| sequence).collect()
    }

    /// The receiver has taken it.
    pub(super) fn delivered(&mut self, sequence: u64, now_ms: i64) {
        if !self.land(sequence) {
            return;
        }
        self.remove(sequence);
        self.changes.delivered += 1;
        if self.failures >= PROBE_AFTER {
            // The receiver is back: nothing waits for a pause that it no longer deserves.
            self.pending
                .values_mut()
                .filter(|pending| pending.next_try_at > now_ms)
                .for_each(|p| p.next_try_at = now_ms);
        }
        self.failures = 0;
        self.problem = None;
        self.dirty = true;
    }

    /// The receiver has not taken it.
    pub(super) fn failed(&mut self, sequence: u64, error: &str, now_ms: i64) {
        if !self.land(sequence) {
            return;
        }
        self.failures += 1;
        self.changes.failed += 1;
        self.problem = Some(error.to_owned());
        self.dirty = true;
        let id = self.id.clone();
        let Some(pending) = self.pending.get_mut(&sequence) else { return };
        pending.attempts += 1;
        // Later than now it was before the clock was set back.
        let first = pending.first_failed_at.map_or(now_ms, |first| first.min(now_ms));
        pending.first_failed_at = Some(first);
        pending.next_try_at = now_ms.saturating_add(backoff_ms(&id, sequence, pending.attempts));
        pending.error = Some(error.to_owned());
        let subject = pending.subject.clone();
        if now_ms.saturating_sub(first) >= GIVE_UP_MS && pending.attempts >= GIVE_UP_TRIES {
            self.give_up(&subject, error);
            return;
        }
        let queue: Vec<u64> = self.subjects.get(&subject).into_iter().flatten().copied().collect();
        for other in queue {
            let parked =
                self.pending.get_mut(&other).is_some_and(|pending| std::mem::replace(&mut pending.parked, true));
            if !parked || other == sequence {
                self.open.remove(&other);
                self.note_parked(other);
            }
        }
    }

    /// The receiver wants no more (410).
    pub(super) fn gone(&mut self, sequence: u64, reason: &str) {
        if self.land(sequence) {
            self.changes.failed += 1;
            self.changes.disable = Some(reason.to_owned());
            self.problem = Some(reason.to_owned());
            self.dirty = true;
        }
    }

    /// It was not tried after all.
    pub(super) fn put_back(&mut self, sequence: u64) {
        self.land(sequence);
    }

    /// The log no longer has it.
    pub(super) fn missing(&mut self, sequence: u64) {
        if !self.land(sequence) {
            return;
        }
        let Some(subject) = self.pending.get(&sequence).map(|pending| pending.subject.clone()) else { return };
        self.remove(sequence);
        let error = "the log no longer has the entry".to_owned();
        self.give_notice(GaveUp { subject, entries: 1, error });
        self.dirty = true;
    }

    /// An operator has seen to the webhook.
    pub(super) fn acknowledge(&mut self) {
        self.dirty |= self.loss.take().is_some();
    }

    /// When something is due next that is not yet.
    pub(super) fn next_try_at(&self, now_ms: i64) -> Option<i64> {
        self.heads().map(|(_, head)| head.next_try_at).filter(|at| *at > now_ms).min()
    }

    /// What rows have to hear, if anything; asking empties it.
    pub(super) fn take_changes(&mut self, now_ms: i64) -> Option<WebhookProgress> {
        let cursor = self.cursor();
        if !self.dirty && cursor == self.changes.cursor {
            return None;
        }
        self.dirty = false;
        let next_try_at = self.next_try_at(now_ms);
        let mut changes =
            std::mem::replace(&mut self.changes, WebhookProgress { cursor, ..WebhookProgress::default() });
        changes.cursor = cursor;
        changes.attempts = self.failures;
        changes.problem = self.loss.clone().or_else(|| self.problem.clone());
        changes.next_try_at = next_try_at;
        Some(changes)
    }

    /// Whether rows should hear of it at once.
    pub(super) fn urgent(&self) -> bool {
        self.changes.disable.is_some() || !self.changes.gave_up.is_empty()
    }

    /// Every entry up to this one is settled or parked.
    fn cursor(&self) -> u64 {
        self.open.first().map_or(self.loaded, |first| first - 1)
    }

    /// The oldest of each subject of which none is under way.
    fn heads(&self) -> impl Iterator<Item = (u64, &Pending)> {
        self.subjects
            .values()
            .filter_map(|queue| queue.first())
            .map(|sequence| (*sequence, &self.pending[sequence]))
            .filter(|(_, head)| !head.in_flight)
    }

    fn insert(&mut self, sequence: u64, pending: Pending) {
        if !pending.parked {
            self.open.insert(sequence);
        }
        self.subjects.entry(pending.subject.clone()).or_default().insert(sequence);
        self.pending.insert(sequence, pending);
    }

    /// Says that it is no longer under way; whether it was.
    fn land(&mut self, sequence: u64) -> bool {
        match self.pending.get_mut(&sequence) {
            Some(pending) if pending.in_flight => {
                pending.in_flight = false;
                self.in_flight -= 1;
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, sequence: u64) {
        let Some(pending) = self.pending.remove(&sequence) else { return };
        self.open.remove(&sequence);
        if pending.parked {
            self.changes.parked.retain(|row| row.sequence != sequence);
            self.changes.removed.push(sequence);
        }
        if let Some(queue) = self.subjects.get_mut(&pending.subject) {
            queue.remove(&sequence);
            if queue.is_empty() {
                self.subjects.remove(&pending.subject);
            }
        }
    }

    fn give_up(&mut self, subject: &str, error: &str) {
        let queue: Vec<u64> = self.subjects.get(subject).into_iter().flatten().copied().collect();
        queue.iter().for_each(|sequence| self.remove(*sequence));
        let entries = queue.len() as u64;
        self.give_notice(GaveUp { subject: subject.to_owned(), entries, error: error.to_owned() });
    }

    fn give_notice(&mut self, lost: GaveUp) {
        self.loss = Some(format!("{} entries of {} were given up: {}", lost.entries, lost.subject, lost.error));
        self.changes.gave_up.push(lost);
    }

    fn note_parked(&mut self, sequence: u64) {
        let Some(pending) = self.pending.get(&sequence) else { return };
        let row = BacklogRow {
            sequence,
            subject: pending.subject.clone(),
            attempts: pending.attempts,
            first_failed_at: pending.first_failed_at,
            next_try_at: pending.next_try_at,
            error: pending.error.clone(),
        };
        self.changes.parked.retain(|row| row.sequence != sequence);
        self.changes.parked.push(row);
        self.dirty = true;
    }
}

/// Whether an entry of type `word` is told: `breakout` stands for `breakout.running`, too.
pub(super) fn is_wanted(types: &[String], word: &str) -> bool {
    let begins =
        |kind: &String| word.strip_prefix(kind.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    types.is_empty() || types.iter().any(begins)
}

/// The pause after so many failures of an entry: doubled with each, and half of it or more, so that what failed together does
/// not come back together.
fn backoff_ms(id: &str, sequence: u64, attempts: u64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(30);
    let full = BACKOFF_MS.saturating_mul(1 << doublings).min(BACKOFF_MAX_MS);
    let seed = id.bytes().chain(sequence.to_le_bytes()).chain(attempts.to_le_bytes());
    // FNV-1a: spread is all that is asked of it.
    let hash =
        seed.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let share = i64::try_from((hash >> 32) % 1000).unwrap_or(0);
    full / 2 + full / 2 * share / 1000
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
