//! What the tier's threads and its users share.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use metrics::{Counter, counter};
use nix::sys::resource::{Resource, getrlimit};
use parking_lot::{Mutex, MutexGuard};
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache as QuickCache;

use super::health::{Failure, Health};
use super::index::{Entry, Gone, Index};
use super::jobs::{Answers, Read, Write};
use super::listing::Listing;
use super::lock::lock;
use super::queue::Queue;
use crate::config::DiskConfig;
use crate::memory::Memory;
use crate::object::Object;
use crate::object_key::Key;

/// Jobs that wait for the writer, and bytes that they hold.
const MAX_WRITES: usize = 16_384;
const MAX_WRITE_BYTES: u64 = 64 << 20;

/// Files that wait to be read.
const MAX_READS: usize = 4096;

/// Files open for objects in memory, at least and at most; between them a quarter of what the process may have open.
const MIN_OPENED: usize = 16;
const MAX_OPENED: usize = 4096;

/// Keys that may change while the scan runs; after more of them it believes no file any more.
const MAX_TOUCHED: usize = 1 << 20;

/// Locks over which keys are spread.
const TURNS: usize = 64;

/// State of the tier.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) dir: PathBuf,
    pub(super) limit_bytes: u64,
    pub(super) reserve_bytes: u64,
    pub(super) file_from_bytes: u64,
    pub(super) memory: Arc<Memory>,
    /// Objects whose file is open.
    pub(super) opened: QuickCache<Key, Arc<Object>, UnitWeighter>,
    pub(super) index: Index,
    /// Small objects on their way to disk and the file that they go to.
    pub(super) pending: Mutex<HashMap<Key, u64>>,
    pub(super) loads: Mutex<HashMap<Key, Answers>>,
    pub(super) writes: Queue<Write>,
    pub(super) reads: Queue<Read>,
    pub(super) health: Health,
    pub(super) counters: Counters,
    /// Bytes of files that are out of the index and not yet removed.
    pub(super) doomed_bytes: AtomicU64,
    /// Drafts under way.
    pub(super) drafts: AtomicUsize,
    /// Absent until the directory has been occupied.
    pub(super) lock: Mutex<Option<File>>,
    /// Changes of one key come one after another.
    turns: [Mutex<()>; TURNS],
    /// While the scan runs, hashes of keys of which it may not tell anything any more.
    touched: Mutex<HashSet<u64>>,
    scanning: AtomicBool,
    next_serial: AtomicU64,
    closed: AtomicBool,
}

/// Counters of the tier.
pub(super) struct Counters {
    pub(super) written: Counter,
    pub(super) abandoned: Counter,
    pub(super) loaded: Counter,
    pub(super) unreadable: Counter,
    pub(super) evicted: Counter,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl Tier {
    pub(super) fn new(config: &DiskConfig, memory: Arc<Memory>) -> Self {
        Self {
            dir: config.dir.clone(),
            limit_bytes: config.limit_bytes,
            reserve_bytes: config.reserve_bytes,
            file_from_bytes: config.file_from_bytes,
            memory,
            opened: QuickCache::new(max_opened()),
            index: Index::new(config.limit_bytes),
            pending: Mutex::default(),
            loads: Mutex::default(),
            writes: Queue::new(MAX_WRITES, MAX_WRITE_BYTES),
            reads: Queue::new(MAX_READS, u64::MAX),
            health: Health::new(&config.dir),
            counters: Counters {
                written: counter!("anabranch_edge_disk_written_bytes_total"),
                abandoned: counter!("anabranch_edge_disk_abandoned_total"),
                loaded: counter!("anabranch_edge_disk_loads_total"),
                unreadable: counter!("anabranch_edge_disk_unreadable_total"),
                evicted: counter!("anabranch_edge_disk_evictions_total"),
            },
            doomed_bytes: AtomicU64::new(0),
            drafts: AtomicUsize::new(0),
            lock: Mutex::default(),
            turns: std::array::from_fn(|_| Mutex::default()),
            touched: Mutex::default(),
            scanning: AtomicBool::new(true),
            next_serial: AtomicU64::new(1),
            closed: AtomicBool::new(false),
        }
    }

    /// Makes the directory if it is missing, takes its lock and lists what is there. To be called before anything is written.
    pub(super) fn occupy(&self) -> Result<Listing, Failure> {
        std::fs::create_dir_all(&self.dir).map_err(|error| Failure::Io("make the directory", error))?;
        let lock = lock(&self.dir)?;
        let listing = Listing::read(&self.dir).map_err(|error| Failure::Io("list the directory", error))?;
        self.next_serial.fetch_max(listing.next_serial, Ordering::Relaxed);
        *self.lock.lock() = Some(lock);
        Ok(listing)
    }

    /// A name that no file has had.
    pub(super) fn serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The right to change what is stored under a key.
    pub(super) fn turn(&self, key: &[u8]) -> MutexGuard<'_, ()> {
        self.turns[crc32fast::hash(key) as usize % TURNS].lock()
    }

    /// What is stored under the key is newer than anything that the scan may find. To be called in the key's turn.
    pub(super) fn touch(&self, key: &[u8]) {
        if self.scanning.load(Ordering::Relaxed) {
            let mut touched = self.touched.lock();
            if touched.len() < MAX_TOUCHED {
                touched.insert(hash(key));
            }
        }
    }

    pub(super) fn is_touched(&self, key: &[u8]) -> bool {
        let touched = self.touched.lock();
        touched.len() >= MAX_TOUCHED || touched.contains(&hash(key))
    }

    pub(super) fn scan_ends(&self) {
        self.scanning.store(false, Ordering::Relaxed);
        *self.touched.lock() = HashSet::new();
    }

    /// A file of this process enters the index.
    pub(super) fn enter(&self, key: Key, serial: u64, bytes: u64) {
        self.forget(&key);
        let entry = Entry { serial, bytes, checked: AtomicBool::new(true) };
        self.doom_all(self.index.insert(key, Arc::new(entry)));
    }

    /// The file of a key, if there is one, leaves the index and the disk.
    pub(super) fn forget(&self, key: &[u8]) {
        if let Some(entry) = self.index.remove(key) {
            self.doom(entry.serial, entry.bytes);
        }
    }

    /// Files that have left the index leave the disk, and memory too.
    pub(super) fn doom_all(&self, gone: Vec<Gone>) {
        for (key, entry) in gone {
            self.close_file(&key, entry.serial);
            self.counters.evicted.increment(1);
            self.doom(entry.serial, entry.bytes);
        }
    }

    /// An open file that is no longer in the index is not kept open: its space would stay taken.
    pub(super) fn close_file(&self, key: &[u8], serial: u64) {
        self.opened.remove_if(key, |object| match &object.body {
            crate::body::StoredBody::File(file) => file.claim.serial == serial,
            crate::body::StoredBody::Memory(_) => false,
        });
    }

    /// A file is to be removed.
    pub(super) fn doom(&self, serial: u64, bytes: u64) {
        self.doomed_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.writes.push(Write::Remove { serial, bytes });
    }

    /// Puts a small object on its way to disk, if there is room on it. To be called in the key's turn.
    pub(super) fn write_behind(&self, key: &Key, object: &Arc<Object>) {
        if self.health.has_failed() {
            return;
        }
        let serial = self.serial();
        let mut pending = self.pending.lock();
        let job = Write::Whole { serial, key: key.clone(), object: object.clone() };
        if self.writes.try_push(job, object.weight()) {
            pending.insert(key.clone(), serial);
        } else {
            self.counters.abandoned.increment(1);
        }
    }

    /// No new work; what is there is still done.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.reads.close();
        self.writes.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn max_opened() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(soft / 4).unwrap_or(MAX_OPENED).clamp(MIN_OPENED, MAX_OPENED)
}
