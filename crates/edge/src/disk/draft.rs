//! Bodies that go to disk while they come.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::tier::Tier;
use super::writer::Write;
use crate::body::FileBody;
use crate::cache::Key;
use crate::object::ObjectHead;
use crate::object_codec::encode;

/// Most drafts at once: each is an open file.
const MAX_DRAFTS: usize = 256;

/// A body on its way into a file. Dropped, it is abandoned and its file removed.
#[derive(Debug)]
pub(crate) struct Draft {
    tier: Arc<Tier>,
    serial: u64,
    /// Whether all bytes so far have been handed to the writer.
    whole: bool,
    finished: bool,
}

impl Draft {
    pub(super) fn new(tier: &Arc<Tier>) -> Option<Self> {
        if tier.health.has_failed() {
            return None;
        }
        let place = |drafts| (drafts < MAX_DRAFTS).then_some(drafts + 1);
        tier.drafts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).ok()?;
        Some(Self { tier: tier.clone(), serial: tier.serial(), whole: true, finished: false })
    }

    /// The next bytes. Never waits: if the writer has fallen behind or the disk has failed the draft is abandoned.
    pub(crate) fn append(&mut self, bytes: Bytes) {
        if bytes.is_empty() || !self.whole {
            return;
        }
        let size = bytes.len() as u64;
        let write = Write::Append { serial: self.serial, bytes };
        self.whole = !self.tier.health.has_failed() && self.tier.writes.try_push(write, size);
    }

    /// Waits until everything is written, and gives the body as it is read from the file. None if the draft has been abandoned.
    /// The file is removed with the body unless an object with it is admitted.
    pub(crate) async fn finish(mut self, key: &Key, head: &ObjectHead) -> Option<FileBody> {
        if !self.whole {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let head = encode(head);
        let size = (key.len() + head.len()) as u64;
        let write = Write::Finish { serial: self.serial, key: key.clone(), head, reply };
        self.finished = self.tier.writes.try_push(write, size);
        if self.finished { answer.await.ok() } else { None }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.tier.drafts.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            self.tier.counters.abandoned.increment(1);
            self.tier.writes.push(Write::Abandon { serial: self.serial });
        }
    }
}

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

    /// Of a file that is not in the index yet, as a body.
    pub(super) fn draft(tier: &Arc<Tier>, serial: u64, bytes: u64, file: File, length: u64) -> FileBody {
        let (kept, spoilt) = (AtomicBool::new(false), AtomicBool::new(false));
        let claim = Self { serial, bytes, kept, spoilt, tier: Arc::downgrade(tier) };
        FileBody { file: Arc::new(file), start: 0, length, claim: Arc::new(claim) }
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
