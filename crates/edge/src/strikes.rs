//! What unsafe requests have made unusable (RFC 9111 §4.4).
//!
//! One resource has any number of keys: a request's headers, cookies and codings may be part of them. They are not looked for:
//! the resource is struck, and each object that was asked for before is judged when it is next looked up.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

/// Resources that are told apart. Two that share a slot cost a fetch too many, nothing else.
const SLOTS: usize = 1 << 14;

/// The last strike of each resource, as moments that go up with each strike.
#[derive(Debug)]
pub(crate) struct Strikes {
    last: AtomicI64,
    slots: Box<[AtomicI64]>,
    hasher: RandomState,
    turn: Mutex<()>,
}

impl Strikes {
    pub(crate) fn new() -> Self {
        Self {
            last: AtomicI64::new(i64::MIN),
            slots: (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect(),
            hasher: RandomState::new(),
            turn: Mutex::default(),
        }
    }

    /// The moment that a fetch beginning now carries.
    pub(crate) fn moment(&self, now_ms: i64) -> i64 {
        self.last().max(now_ms)
    }

    /// The moment of the newest strike of all.
    pub(crate) fn last(&self) -> i64 {
        self.last.load(Ordering::Acquire)
    }

    /// Every object of `resource` whose fetch has begun so far is unusable.
    pub(crate) fn strike(&self, resource: &[u8], now_ms: i64) {
        let _turn = self.turn.lock();
        let moment = self.moment(now_ms).saturating_add(1);
        // Before `last`: whoever sees that sees this.
        self.slot(resource).store(moment, Ordering::Relaxed);
        self.last.store(moment, Ordering::Release);
    }

    /// Whether an object of `resource` that carries `moment` is still usable.
    pub(crate) fn spares(&self, resource: &[u8], moment: i64) -> bool {
        self.slot(resource).load(Ordering::Relaxed) <= moment
    }

    fn slot(&self, resource: &[u8]) -> &AtomicI64 {
        &self.slots[usize::try_from(self.hasher.hash_one(resource)).unwrap_or(0) % SLOTS]
    }
}

/// The resource of a key: distribution, path and the query that counts.
pub(crate) fn resource(key: &[u8]) -> &[u8] {
    key.split(|&byte| byte == b'\n').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strike_hits_what_began_before_it() {
        let strikes = Strikes::new();
        let before = strikes.moment(5);
        assert!(strikes.spares(b"E1/a", before) && strikes.last() < before);
        strikes.strike(resource(b"E1/a\n=br"), 5);
        assert!(!strikes.spares(b"E1/a", before) && strikes.last() > before);
        assert!(strikes.spares(b"E1/b", before), "unless they share a slot, one time in 16384");
        let after = strikes.moment(5);
        assert!(strikes.spares(b"E1/a", after));
        strikes.strike(b"E1/a", 1);
        assert!(!strikes.spares(b"E1/a", after), "also with a clock that went back");
    }
}
