//! What is on disk, by key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use quick_cache::sync::Cache as QuickCache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::object_key::Key;

/// Space on disk is given in blocks of this size.
const BLOCK_BYTES: u64 = 4 << 10;

/// Most files: the index is in memory, about 250 bytes each. An entry counts as at least the limit divided by this.
const MAX_FILES: u64 = 1 << 19;

/// Least limit: shares of it are scaled with it, and must survive that.
const MIN_LIMIT_BYTES: u64 = 16 << 10;

/// Bytes of one shard at least, so that large objects fit into one.
const SHARD_BYTES: u64 = 1 << 30;

/// Most shards.
const MAX_SHARDS: u64 = 16;

/// Entries that tables have room for at first.
const FIRST_ITEMS: usize = 1024;

/// A file on disk.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name.
    pub(super) serial: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// Whether its body is known to be what was written: by this process, or by its checksum.
    pub(super) checked: AtomicBool,
}

/// Removed from the index; the file is still there.
pub(super) type Gone = (Key, Arc<Entry>);

#[derive(Clone, Debug)]
struct ByFileBytes {
    least: u64,
}

impl Weighter<Key, Arc<Entry>> for ByFileBytes {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.bytes.next_multiple_of(BLOCK_BYTES).max(self.least)
    }
}

/// Collects what is evicted.
#[derive(Clone, Debug, Default)]
struct Evictions(Arc<Mutex<Vec<Gone>>>);

impl Lifecycle<Key, Arc<Entry>> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), key: Key, entry: Arc<Entry>) {
        self.0.lock().push((key, entry));
    }
}

/// Files by key, evicted by use once their bytes pass the limit.
#[derive(Debug)]
pub(super) struct Index {
    entries: QuickCache<Key, Arc<Entry>, ByFileBytes, DefaultHashBuilder, Evictions>,
    evicted: Evictions,
    bytes: AtomicU64,
    largest: u64,
}

impl Index {
    pub(super) fn new(limit_bytes: u64) -> Self {
        let shards = (limit_bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(FIRST_ITEMS)
            .weight_capacity(limit_bytes)
            .build()
            .expect("every required option is set");
        let evicted = Evictions::default();
        let weighter = ByFileBytes { least: limit_bytes / MAX_FILES };
        let entries = QuickCache::with_options(options, weighter, DefaultHashBuilder::default(), evicted.clone());
        let largest = entries.shard_capacity();
        Self { entries, evicted, bytes: AtomicU64::new(0), largest }
    }

    /// The entry of a key, which counts as a use.
    pub(super) fn used(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    pub(super) fn peek(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.entries.peek(key)
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    /// Puts an entry in and returns what goes for it, the former one of that key included.
    pub(super) fn insert(&self, key: Key, entry: Arc<Entry>) -> Vec<Gone> {
        let former = self.remove(&key).map(|former| (key.clone(), former));
        self.bytes.fetch_add(entry.bytes, Ordering::Relaxed);
        self.entries.insert(key, entry);
        let mut gone = self.evictions();
        gone.extend(former);
        gone
    }

    pub(super) fn remove(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let (_, entry) = self.entries.remove(key)?;
        self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
        Some(entry)
    }

    /// Removes the entry of a key if it is that file's.
    pub(super) fn remove_serial(&self, key: &[u8], serial: u64) -> Option<Arc<Entry>> {
        let (_, entry) = self.entries.remove_if(key, |entry| entry.serial == serial)?;
        self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
        Some(entry)
    }

    /// Sets another limit and returns what goes for it.
    pub(super) fn limit(&self, bytes: u64) -> Vec<Gone> {
        self.entries.set_capacity(bytes.max(MIN_LIMIT_BYTES));
        self.evictions()
    }

    /// Bytes of the largest file that has a place under the limit given at first.
    pub(super) fn largest(&self) -> u64 {
        self.largest
    }

    /// What counts against the limit.
    pub(super) fn weight(&self) -> u64 {
        self.entries.weight()
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn objects(&self) -> usize {
        self.entries.len()
    }

    fn evictions(&self) -> Vec<Gone> {
        let gone = std::mem::take(&mut *self.evicted.0.lock());
        self.bytes.fetch_sub(gone.iter().map(|(_, entry)| entry.bytes).sum(), Ordering::Relaxed);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(serial: u64, bytes: u64) -> Arc<Entry> {
        Arc::new(Entry { serial, bytes, checked: AtomicBool::new(true) })
    }

    #[test]
    fn the_limit_holds_and_everything_that_goes_is_told() {
        let index = Index::new(100 * 4096);
        let mut there: std::collections::BTreeSet<u64> = (0..300).collect();
        for serial in 0_u64..300 {
            for (_, gone) in index.insert(serial.to_le_bytes().as_slice().into(), entry(serial, 4000)) {
                assert!(there.remove(&gone.serial));
            }
        }
        assert!(index.weight() <= 100 * 4096 && index.objects() > 50);
        assert_eq!(index.objects(), there.len());
        assert_eq!(index.bytes(), 4000 * there.len() as u64);
        for (_, gone) in index.limit(10 * 4096) {
            assert!(there.remove(&gone.serial));
        }
        assert!(index.weight() <= 10 * 4096);
        assert_eq!(index.objects(), there.len());
        assert_eq!(index.largest(), 100 * 4096, "what is refused for now is not refused for ever");
        index.limit(100 * 4096);
        assert_eq!(index.insert(Box::from(*b"a"), entry(900, 10)).len(), 0);
        let gone = index.insert(Box::from(*b"a"), entry(901, 10));
        assert_eq!(gone.iter().map(|(_, entry)| entry.serial).collect::<Vec<_>>(), [900]);
        assert!(index.remove_serial(b"a", 900).is_none());
        assert!(index.remove_serial(b"a", 901).is_some());
        // What is larger than the tier goes at once.
        let gone = index.insert(Box::from(*b"b"), entry(902, 1 << 30));
        assert_eq!(gone.iter().map(|(_, entry)| entry.serial).collect::<Vec<_>>(), [902]);
    }
}
