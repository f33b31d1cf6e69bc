//! The disk tier: an object a file, an index in memory, threads of its own that write and read.
//!
//! Nothing here waits for the disk but those threads. When it fails, fills or falls behind, bodies stay in memory.
//! Files are not synchronised: after a loss of power checksums tell which are whole.

pub(crate) mod claim;
mod draft;
mod file;
mod health;
mod index;
mod jobs;
mod listing;
mod loader;
mod lock;
mod queue;
mod scan;
#[cfg(test)]
mod tests;
mod tier;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use self::claim::Claim;
pub(crate) use self::draft::Draft;
use self::health::Failure;
use self::jobs::Write;
use self::tier::Tier;
use crate::body::StoredBody;
use crate::config::DiskConfig;
use crate::memory::Memory;
use crate::object::Object;
use crate::object_codec::encode;
use crate::object_head::ObjectHead;
use crate::object_key::Key;

/// Threads that read.
const READERS: usize = 4;

/// Time that a start waits for the scan before it goes on beside it.
const SCAN_PATIENCE: Duration = Duration::from_secs(2);

/// Time that an end waits for what is still to be written.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Time between two tries of a disk that has failed.
const RETRY: Duration = Duration::from_secs(10);

/// Lifetime from which an object is worth writing, in milliseconds: what ends sooner is not there after a restart.
const MIN_LIFETIME_MS: i64 = 10_000;

/// Bytes that an entry with an open file takes in memory, about.
const OPENED_ENTRY_BYTES: u64 = 1 << 10;

/// The tier. Dropped, it ends its threads once they have written what they have.
#[derive(Debug)]
pub(crate) struct Disk {
    tier: Arc<Tier>,
    /// Tells when all threads have ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Disk {
    /// Opens the directory, takes its lock, starts the threads and takes in what is there. A directory that cannot be made, locked
    /// or read is a disk that has failed: it is tried again in the background.
    ///
    /// # Errors
    /// Another process uses the directory, or a thread cannot be started.
    pub(crate) fn open(config: &DiskConfig, memory: Arc<Memory>) -> io::Result<Self> {
        Self::open_with(config, memory, RETRY)
    }

    fn open_with(config: &DiskConfig, memory: Arc<Memory>, retry: Duration) -> io::Result<Self> {
        let tier = Arc::new(Tier::new(config, memory));
        let listing = match tier.occupy() {
            Ok(listing) => Some(listing),
            Err(Failure::Occupied) => {
                let problem = format!(
                    "cannot lock cache directory {}: another process uses it; give each edge a directory that it alone may write",
                    config.dir.display()
                );
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
            }
            Err(failure) => {
                tier.health.fail(&failure);
                None
            }
        };
        let (end, ended) = mpsc::sync_channel::<()>(0);
        let start = |name: String, end: mpsc::SyncSender<()>, run: Box<dyn FnOnce() + Send>| {
            let work = move || {
                run();
                drop(end);
            };
            thread::Builder::new().name(name).spawn(work).map(drop)
        };
        // From here on a failure ends the threads that run already.
        let disk = Self { tier: tier.clone(), ended: Mutex::new(ended) };
        let of_writer = tier.clone();
        start("edge-disk-write".to_owned(), end.clone(), Box::new(move || writer::run(&of_writer, retry)))?;
        for index in 0..READERS {
            let tier = tier.clone();
            start(format!("edge-disk-read-{index}"), end.clone(), Box::new(move || loader::run(&tier)))?;
        }
        let Some(listing) = listing else { return Ok(disk) };
        let (scanned, done) = mpsc::sync_channel::<()>(0);
        let scan = move || {
            scan::take_in(listing, &tier);
            drop(scanned);
        };
        start("edge-disk-scan".to_owned(), end, Box::new(scan))?;
        // Nothing is ever sent: it ends with the scan or with the patience.
        let _ = done.recv_timeout(SCAN_PATIENCE);
        Ok(disk)
    }

    /// The object of a key whose file is open, which counts as a use.
    pub(crate) fn opened(&self, key: &[u8]) -> Option<Arc<Object>> {
        let object = self.tier.opened.get(key)?;
        let _ = self.tier.index.used(key);
        Some(object)
    }

    /// The object of a key whose file is open, not counted as a use.
    pub(crate) fn peek_opened(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.tier.opened.peek(key)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.tier.index.contains(key)
    }

    /// See [`crate::cache::Cache::load`].
    pub(crate) async fn load(&self, key: &[u8]) -> Option<Arc<Object>> {
        loader::load(&self.tier, key).await
    }

    /// See [`crate::cache::Cache::draft`].
    pub(crate) fn draft(&self, expected: u64) -> Option<Draft> {
        if expected <= self.tier.file_from_bytes || expected >= self.tier.index.largest() {
            return None;
        }
        Draft::new(&self.tier)
    }

    /// Keeps an object in the tiers where it belongs.
    pub(crate) fn admit(&self, key: Key, object: Arc<Object>) {
        let _turn = self.tier.turn(&key);
        self.tier.touch(&key);
        match &object.body {
            StoredBody::File(file) => {
                let claim = file.claim.clone();
                self.admit_file(key, object, &claim);
            }
            StoredBody::Memory(_) => self.admit_memory(key, object),
        }
    }

    fn admit_file(&self, key: Key, object: Arc<Object>, claim: &Claim) {
        let tier = &self.tier;
        tier.memory.remove(&key);
        tier.pending.lock().remove(&key);
        let former = tier.opened.peek(&key);
        if claim.keep() {
            tier.opened.insert(key.clone(), object);
            tier.writes.push(Write::Keep { serial: claim.serial, key: key.clone() });
            tier.enter(key, claim.serial, claim.bytes);
        } else if tier.index.peek(&key).is_some_and(|entry| entry.serial == claim.serial) {
            if former.is_none_or(|former| !Arc::ptr_eq(&former.head, &object.head)) {
                self.freshen(&key, claim.serial, &object.head);
            }
            tier.opened.insert(key, object);
        } else {
            // Its file has been removed since: kept in memory it would take space that nobody counts.
            tier.opened.remove(&key);
            tier.forget(&key);
        }
    }

    fn admit_memory(&self, key: Key, object: Arc<Object>) {
        let tier = &self.tier;
        tier.opened.remove(&key);
        let former = tier.memory.peek(&key).filter(|former| same_body(former, &object));
        let same_head = former.as_ref().is_some_and(|former| Arc::ptr_eq(&former.head, &object.head));
        let stored = former.is_some().then(|| tier.index.peek(&key)).flatten();
        match stored {
            Some(entry) if !same_head => self.freshen(&key, entry.serial, &object.head),
            Some(_) => {}
            None if same_head && tier.pending.lock().contains_key(&key) => {}
            None => {
                tier.pending.lock().remove(&key);
                tier.forget(&key);
                if is_worth_writing(&object.head) && object.body.length() <= tier.file_from_bytes {
                    tier.write_behind(&key, &object);
                }
            }
        }
        tier.memory.insert(key, object);
    }

    /// A newer head for a file. If it does not last the older one is as good: either is stale after a restart.
    fn freshen(&self, key: &Key, serial: u64, head: &ObjectHead) {
        if lasts(head) {
            let bytes = encode(head);
            let size = bytes.len() as u64;
            self.tier.writes.try_push(Write::Freshen { serial, key: key.clone(), head: bytes }, size);
        }
    }

    /// What is stored under the key goes.
    pub(crate) fn purge(&self, key: &[u8]) {
        let tier = &self.tier;
        let _turn = tier.turn(key);
        tier.touch(key);
        tier.memory.remove(key);
        tier.opened.remove(key);
        tier.pending.lock().remove(key);
        tier.forget(key);
    }

    /// Bytes of memory that objects with open files take.
    pub(crate) fn opened_bytes(&self) -> u64 {
        self.tier.opened.len() as u64 * OPENED_ENTRY_BYTES
    }

    pub(crate) fn opened_objects(&self) -> usize {
        self.tier.opened.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.tier.index.bytes()
    }

    pub(crate) fn objects(&self) -> usize {
        self.tier.index.objects()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.tier.close();
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.ended.lock().recv_timeout(LAST_WRITES) {
            tracing::warn!(cache.dir = %self.tier.dir.display(), "the disk cache ends with bodies unwritten");
        }
    }
}

fn same_body(one: &Object, other: &Object) -> bool {
    match (&one.body, &other.body) {
        (StoredBody::Memory(one), StoredBody::Memory(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

fn lasts(head: &ObjectHead) -> bool {
    head.timing.fresh_until_ms.saturating_sub(head.timing.born_ms) >= MIN_LIFETIME_MS
}

/// Whether a small object may still be of use after a restart: fresh, or confirmed by its origin without another transfer.
/// Live playlists are rewritten before that.
fn is_worth_writing(head: &ObjectHead) -> bool {
    let has_validator = head.status == 200 && (head.etag.is_some() || head.last_modified.is_some());
    head.keep.is_ok() && (lasts(head) || (has_validator && !head.playlist))
}
