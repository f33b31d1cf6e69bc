//! The memory tier: whole objects.

use std::sync::Arc;

use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::object::Object;
use crate::object_key::Key;

/// Bytes that an entry takes besides key, lines and body: the structures that hold them.
const ENTRY_OVERHEAD_BYTES: u64 = 512;

/// Bytes of one shard at least, so that large objects fit into one.
const SHARD_BYTES: u64 = 256 << 20;

/// Most shards.
const MAX_SHARDS: u64 = 16;

/// Expected bytes of an entry, by which tables are sized at first.
const TYPICAL_ENTRY_BYTES: u64 = 32 << 10;

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Arc<Object>> for ByBytes {
    fn weight(&self, key: &Key, object: &Arc<Object>) -> u64 {
        key.len() as u64 + object.weight() + ENTRY_OVERHEAD_BYTES
    }
}

/// Objects by key, evicted by use once their bytes pass the limit.
#[derive(Debug)]
pub(crate) struct Memory(QuickCache<Key, Arc<Object>, ByBytes>);

impl Memory {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let shards = (limit_bytes / SHARD_BYTES).clamp(1, MAX_SHARDS);
        let items = (limit_bytes / TYPICAL_ENTRY_BYTES).clamp(64, 65_536);
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(usize::try_from(items).unwrap_or(64))
            .weight_capacity(limit_bytes)
            .build()
            .expect("every required option is set");
        Self(QuickCache::with_options(options, ByBytes, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }

    /// The object of a key, which counts as a use.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.0.get(key)
    }

    /// The object of a key, not counted as a use.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.0.peek(key)
    }

    pub(crate) fn insert(&self, key: Key, object: Arc<Object>) {
        self.0.insert(key, object);
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    pub(crate) fn objects(&self) -> usize {
        self.0.len()
    }
}
