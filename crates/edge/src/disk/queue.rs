//! Work for the disk's threads. Whoever gives it never waits.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Jobs in the order in which they came, up to a number and an amount of bytes.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    max_jobs: usize,
    max_bytes: u64,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<(T, u64)>,
    bytes: u64,
    closed: bool,
}

/// What a thread finds that asks for work.
#[derive(Debug)]
pub(super) enum Popped<T> {
    Job(T),
    /// Nothing has come in the given time.
    Quiet,
    /// Nothing will come any more.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(max_jobs: usize, max_bytes: u64) -> Self {
        let state = Mutex::new(State { jobs: VecDeque::new(), bytes: 0, closed: false });
        Self { state, ready: Condvar::new(), max_jobs, max_bytes }
    }

    /// Adds a job that holds so many bytes; false if the queue is full or closed.
    pub(super) fn try_push(&self, job: T, bytes: u64) -> bool {
        let mut state = self.state.lock();
        if state.closed || state.jobs.len() >= self.max_jobs || state.bytes.saturating_add(bytes) > self.max_bytes {
            return false;
        }
        state.bytes += bytes;
        state.jobs.push_back((job, bytes));
        self.ready.notify_one();
        true
    }

    /// Adds a job that must not be lost, also to a full queue. There is at most a handful of such for each file of the tier.
    pub(super) fn push(&self, job: T) {
        self.state.lock().jobs.push_back((job, 0));
        self.ready.notify_one();
    }

    /// Waits for a job, as long as told.
    pub(super) fn pop(&self, patience: Option<Duration>) -> Popped<T> {
        let mut state = self.state.lock();
        loop {
            if let Some((job, bytes)) = state.jobs.pop_front() {
                state.bytes -= bytes;
                return Popped::Job(job);
            }
            if state.closed {
                return Popped::Closed;
            }
            match patience {
                None => self.ready.wait(&mut state),
                Some(patience) => {
                    let timed_out = self.ready.wait_for(&mut state, patience).timed_out();
                    if timed_out && state.jobs.is_empty() && !state.closed {
                        return Popped::Quiet;
                    }
                }
            }
        }
    }

    /// What is in the queue is still done; after that threads end.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_what_must_not_be_lost_is_not() {
        let queue = Queue::new(2, 10);
        assert!(queue.try_push(1, 4));
        assert!(!queue.try_push(2, 7), "too many bytes");
        assert!(queue.try_push(3, 6));
        assert!(!queue.try_push(4, 0), "too many jobs");
        queue.push(5);
        queue.close();
        assert!(!queue.try_push(6, 0));
        for wanted in [1, 3, 5] {
            assert!(matches!(queue.pop(None), Popped::Job(got) if got == wanted));
        }
        assert!(matches!(queue.pop(None), Popped::Closed));
    }

    #[test]
    fn quiet_is_told() {
        assert!(matches!(Queue::<u8>::new(1, 1).pop(Some(Duration::from_millis(1))), Popped::Quiet));
    }
}
