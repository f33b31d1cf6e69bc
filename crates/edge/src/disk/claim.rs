//! What ties a body to its file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::tier::Tier;

/// What ties a body to its file. The file of a body that was never admitted goes with it.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(super) serial: u64,
    pub(super) bytes: u64,
    kept: AtomicBool,
    /// Whether the file could not be read.
    spoilt: AtomicBool,
    tier: Weak<Tier>,
}

impl Claim {
    /// Of a file that is in the index.
    pub(crate) fn kept(serial: u64, bytes: u64) -> Self {
        Self { serial, bytes, kept: AtomicBool::new(true), spoilt: AtomicBool::new(false), tier: Weak::new() }
    }

    /// Of a file that is not in the index yet.
    pub(super) fn draft(tier: &Arc<Tier>, serial: u64, bytes: u64) -> Self {
        let (kept, spoilt) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { serial, bytes, kept, spoilt, tier: Arc::downgrade(tier) }
    }

    /// Number of the file.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The file cannot be read: whoever looks its object up next finds nothing.
    pub(crate) fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::Relaxed)
    }

    /// The file is to stay; false if that has been said before.
    pub(super) fn keep(&self) -> bool {
        !self.kept.swap(true, Ordering::Relaxed)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed)
            && let Some(tier) = self.tier.upgrade()
        {
            tier.doom(self.serial, self.bytes);
        }
    }
}
