//! Fetches under way: one per key over all workers, followed by any number of requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::object::Object;
use crate::object_head::{Begun, ObjectHead};
use crate::object_key::Key;
use crate::segments::Segments;

/// How a landed object came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    /// Fetched anew.
    Fetched,
    /// The stored one, confirmed by the origin.
    Revalidated,
    /// The stored one, because the origin failed.
    StaleOnError,
}

/// The origin's body ended early, or the fetch was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body from the origin is incomplete")]
pub(crate) struct Broken;

#[derive(Debug)]
enum Phase {
    Waiting,
    Growing { head: Arc<ObjectHead>, body: Segments, ended: bool },
    Landed { object: Arc<Object>, landing: Landing },
    Broken,
}

/// One fetch.
#[derive(Debug)]
pub(crate) struct Flight {
    phase: Mutex<Phase>,
    wake: watch::Sender<()>,
    followers: AtomicUsize,
    /// Invalidation sequence and moment at its beginning.
    pub(crate) begun: Begun,
    /// Whether one follower at most takes its body, which is not kept.
    alone: AtomicBool,
    /// How much of the body that follower has taken.
    taken: AtomicU64,
    taking: Notify,
}

/// Bytes of an origin's body that is not kept which wait for its viewer.
pub(crate) const WINDOW_BYTES: u64 = 2 << 20;

impl Flight {
    fn new(begun: Begun, alone: bool) -> Arc<Self> {
        Arc::new(Self {
            phase: Mutex::new(Phase::Waiting),
            wake: watch::Sender::new(()),
            followers: AtomicUsize::new(0),
            begun,
            alone: AtomicBool::new(alone),
            taken: AtomicU64::new(0),
            taking: Notify::new(),
        })
    }

    /// A flight of one request, under no key.
    pub(crate) fn alone(begun: Begun) -> Arc<Self> {
        Self::new(begun, true)
    }

    /// Its answer turned out to be for the request alone that caused it. To be called before [`Self::begin`].
    pub(crate) fn part(&self) {
        self.alone.store(true, Ordering::Release);
    }

    /// Waits until no more than `window` bytes wait for the only follower, or it is gone. What it has taken is given back.
    pub(crate) async fn room(&self, window: u64) {
        loop {
            let taking = self.taking.notified();
            let taken = self.taken.load(Ordering::Acquire);
            let waiting = match &mut *self.phase.lock() {
                Phase::Growing { body, .. } => {
                    body.discard(taken);
                    body.length().saturating_sub(taken)
                }
                Phase::Waiting | Phase::Landed { .. } | Phase::Broken => 0,
            };
            if waiting <= window || self.is_deserted() {
                return;
            }
            taking.await;
        }
    }

    /// The body has ended and is not kept.
    pub(crate) fn end(&self) {
        if let Phase::Growing { ended, .. } = &mut *self.phase.lock() {
            *ended = true;
        }
        self.wake.send_replace(());
    }

    /// Joins the flight.
    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        self.followers.fetch_add(1, Ordering::Relaxed);
        Follower { wake: self.wake.subscribe(), flight: self.clone() }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_deserted(&self) -> bool {
        self.followers.load(Ordering::Relaxed) == 0
    }

    /// The head is known.
    pub(crate) fn begin(&self, head: Arc<ObjectHead>) {
        self.enter(Phase::Growing { head, body: Segments::default(), ended: false });
    }

    /// More of the body; returns its length so far.
    pub(crate) fn grow(&self, bytes: Bytes) -> u64 {
        let length = match &mut *self.phase.lock() {
            Phase::Growing { body, .. } => {
                body.push(bytes);
                body.length()
            }
            Phase::Waiting | Phase::Landed { .. } | Phase::Broken => 0,
        };
        self.wake.send_replace(());
        length
    }

    /// The body so far as one that is joined and shared; followers go on reading from the flight.
    pub(crate) fn take_body(&self) -> Segments {
        match &mut *self.phase.lock() {
            Phase::Growing { body, .. } => {
                body.join();
                body.clone()
            }
            Phase::Waiting | Phase::Landed { .. } | Phase::Broken => Segments::default(),
        }
    }

    /// All is there.
    pub(crate) fn land(&self, object: Arc<Object>, landing: Landing) {
        self.enter(Phase::Landed { object, landing });
    }

    /// It failed; nothing if it has landed.
    pub(crate) fn fail(&self) {
        if !matches!(*self.phase.lock(), Phase::Landed { .. } | Phase::Growing { ended: true, .. }) {
            self.enter(Phase::Broken);
        }
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock() = phase;
        self.wake.send_replace(());
    }
}

/// What a follower finds first.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The head; the body comes by [`Follower::next`].
    Head(Arc<ObjectHead>),
    /// Everything.
    Whole(Arc<Object>, Landing),
}

impl Arrival {
    pub(crate) fn head(&self) -> &ObjectHead {
        match self {
            Self::Head(head) => head,
            Self::Whole(object, _) => &object.head,
        }
    }
}

/// One request's view of a flight.
#[derive(Debug)]
pub(crate) struct Follower {
    flight: Arc<Flight>,
    wake: watch::Receiver<()>,
}

impl Follower {
    /// Waits for the head. Cancel safe.
    ///
    /// # Errors
    /// The fetch was abandoned.
    pub(crate) async fn arrival(&mut self) -> Result<Arrival, Broken> {
        loop {
            self.wake.mark_unchanged();
            match &*self.flight.phase.lock() {
                Phase::Waiting => {}
                Phase::Growing { head, .. } => return Ok(Arrival::Head(head.clone())),
                Phase::Landed { object, landing } => return Ok(Arrival::Whole(object.clone(), *landing)),
                Phase::Broken => return Err(Broken),
            }
            self.wake.changed().await.map_err(|_| Broken)?;
        }
    }

    /// The next bytes at `offset`, not past `end`; `None` at the end of the body or of the wish. Cancel safe.
    ///
    /// # Errors
    /// The body ended early.
    pub(crate) async fn next(&mut self, offset: u64, end: u64) -> Result<Option<Bytes>, Broken> {
        loop {
            if offset >= end {
                return Ok(None);
            }
            if self.flight.alone.load(Ordering::Acquire) {
                self.flight.taken.store(offset, Ordering::Release);
                self.flight.taking.notify_one();
            }
            self.wake.mark_unchanged();
            match &*self.flight.phase.lock() {
                Phase::Waiting => {}
                Phase::Growing { body, ended, .. } => {
                    if let Some(bytes) = body.at(offset, end) {
                        return Ok(Some(bytes));
                    }
                    if *ended {
                        return Ok(None);
                    }
                }
                Phase::Landed { object, .. } => return object.body.at(offset, end).map_err(|_| Broken),
                Phase::Broken => return Err(Broken),
            }
            self.wake.changed().await.map_err(|_| Broken)?;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.followers.fetch_sub(1, Ordering::Relaxed);
        self.flight.taking.notify_one();
    }
}

/// Flights by key.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, Arc<Flight>>>);

/// What a request finds that wants a flight.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// Its own to fly.
    Lead(Arc<Flight>),
    /// Another request's.
    Join(Arc<Flight>),
    /// None is needed: an object has come since the lookup.
    Landed(Arc<Object>),
    /// Too many are under way.
    Full,
}

/// Most fetches under way at once.
const MAX_FLIGHTS: usize = 4096;

impl Flights {
    /// The flight of `key`, a new one if there is none that `serves`. `recheck` looks into the cache once more, under the lock that
    /// a landing flight takes after its object is in the cache: so an expiry costs one fetch, not two.
    pub(crate) fn board(
        &self,
        key: &[u8],
        begun: Begun,
        serves: impl FnOnce(&Flight) -> bool,
        recheck: impl FnOnce() -> Option<Arc<Object>>,
    ) -> Boarding {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(key).filter(|flight| serves(flight)) {
            return Boarding::Join(flight.clone());
        }
        if let Some(object) = recheck() {
            return Boarding::Landed(object);
        }
        if flights.len() >= MAX_FLIGHTS {
            return Boarding::Full;
        }
        let flight = Flight::new(begun, false);
        flights.insert(key.into(), flight.clone());
        Boarding::Lead(flight)
    }

    /// The flight is over; later requests look into the cache or start another.
    pub(crate) fn clear(&self, key: &[u8], flight: &Arc<Flight>) {
        let mut flights = self.0.lock();
        if flights.get(key).is_some_and(|present| Arc::ptr_eq(present, flight)) {
            flights.remove(key);
        }
    }
}
