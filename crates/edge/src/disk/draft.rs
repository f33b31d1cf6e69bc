//! Bodies that go to disk while they come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::jobs::Write;
use super::tier::Tier;
use crate::body::FileBody;
use crate::object_codec::encode;
use crate::object_head::ObjectHead;
use crate::object_key::Key;

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
