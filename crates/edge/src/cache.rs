//! The two tiers of the cache, shared by all workers.
//!
//! A key has at most one object, and that is whole in memory, or head and open file in memory and body on disk, or on disk
//! alone, from where [`Cache::load`] brings it back.

use std::io;
use std::sync::Arc;

use crate::config::DiskConfig;
use crate::disk::{Disk, Draft};
use crate::memory::Memory;
use crate::object::Object;
use crate::object_key::Key;

/// Limits of the tiers.
#[derive(Clone, Debug)]
pub(crate) struct CacheConfig {
    /// Of the memory tier, heads and bodies.
    pub(crate) memory_bytes: u64,
    /// Absent for none.
    pub(crate) disk: Option<DiskConfig>,
}

/// Objects by key.
#[derive(Debug)]
pub(crate) struct Cache {
    memory: Arc<Memory>,
    disk: Option<Disk>,
}

impl Cache {
    /// Opens both tiers. What an earlier process left on disk is taken in for up to two seconds before this returns, the rest
    /// beside serving.
    ///
    /// # Errors
    /// Another process uses the directory of the disk tier; the message names it and the fix.
    pub(crate) fn open(config: &CacheConfig) -> io::Result<Self> {
        let memory = Arc::new(Memory::new(config.memory_bytes));
        let disk = config.disk.as_ref().map(|disk| Disk::open(disk, memory.clone())).transpose()?;
        Ok(Self { memory, disk })
    }

    /// The object of a key if it is in memory, which counts as a use.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.memory.lookup(key).or_else(|| self.disk.as_ref()?.opened(key))
    }

    /// The object of a key if it is in memory, not counted as a use.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.memory.peek(key).or_else(|| self.disk.as_ref()?.peek_opened(key))
    }

    /// Whether the disk has the object of a key.
    pub(crate) fn on_disk(&self, key: &[u8]) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.contains(key))
    }

    /// The object of a key from the disk, which is in memory then. Loads of one key at once are one reading. Cancel safe.
    pub(crate) async fn load(&self, key: &[u8]) -> Option<Arc<Object>> {
        self.disk.as_ref()?.load(key).await
    }

    /// A file for a body of `expected` bytes, of which some may still be to come. None if the body belongs into memory: it is
    /// small, or of unknown length so far, or the disk cannot take it.
    pub(crate) fn draft(&self, expected: Option<u64>) -> Option<Draft> {
        self.disk.as_ref()?.draft(expected?)
    }

    /// Keeps `object` as the one of its key, in memory, and on disk if it is worth that. The file of a body that came by
    /// [`Self::draft`] is kept from here on; one that is never admitted is removed.
    pub(crate) fn admit(&self, key: Key, object: Arc<Object>) {
        match &self.disk {
            None => self.memory.insert(key, object),
            Some(disk) => disk.admit(key, object),
        }
    }

    /// What is stored under the key goes. A viewer who is being sent it gets the rest.
    pub(crate) fn purge(&self, key: &[u8]) {
        match &self.disk {
            None => self.memory.remove(key),
            Some(disk) => disk.purge(key),
        }
    }

    /// Bytes of the memory tier in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.memory.bytes() + self.disk.as_ref().map_or(0, Disk::opened_bytes)
    }

    /// Objects in memory, those with an open file included.
    pub(crate) fn objects(&self) -> usize {
        self.memory.objects() + self.disk.as_ref().map_or(0, Disk::opened_objects)
    }

    /// Bytes of files on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk.as_ref().map_or(0, Disk::bytes)
    }

    /// Objects on disk.
    pub(crate) fn disk_objects(&self) -> usize {
        self.disk.as_ref().map_or(0, Disk::objects)
    }
}
