//! Objects as files below one folder.

use std::fs::{self, File, Metadata};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;

use crate::files::{absent_is_fine, sync_folder};
use crate::{key, tree};

/// Folder of files that are being written; emptied at open. Keys never begin with a dot, so no object can live there.
const TEMPORARY: &str = ".tmp";

/// Files that are removed before others may use the thread.
const BATCH: usize = 1_000;

/// Slices in one `writev`; the kernel takes 1024.
const MAX_SLICES: usize = 1024;

/// Why an object cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object has that key.
    #[error("no such object: {key}")]
    NotFound {
        /// Key asked for.
        key: String,
    },
    /// The key is not made of plain names.
    #[error("not an object key: {key:?}")]
    InvalidKey {
        /// Key given.
        key: String,
    },
    /// The disk is full, or only the configured reserve is left.
    #[error("disk full: {free} bytes free at {}, of which {reserve} are kept in reserve; free some space", root.display())]
    Full {
        /// Bytes that the file system still offers.
        free: u64,
        /// Bytes that are never used.
        reserve: u64,
        /// Folder of the store.
        root: PathBuf,
    },
    /// The file system failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// An object open for reading.
#[derive(Debug)]
pub struct Object {
    /// Its bytes, from the start.
    pub file: tokio::fs::File,
    /// Its size in bytes.
    pub len: u64,
    /// When it was stored, if the file system knows.
    pub modified: Option<SystemTime>,
    /// Another one whenever the object was stored again: letters, digits and `-`.
    pub version: String,
}

/// A store on local disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Folder of files that are being written by this process.
    temporary: PathBuf,
    reserve: u64,
    serial: AtomicU64,
}

impl LocalStore {
    /// Opens or creates the store at `root`, keeping `reserve` bytes of the file system free.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn open(root: &Path, reserve: u64) -> Result<Self, StoreError> {
        Self::open_in(root, root.join(TEMPORARY), reserve)
    }

    /// Opens the store at `root` beside the process that it belongs to. `name`, of letters, digits and hyphens, is unique among those
    /// who do so at one time.
    ///
    /// # Errors
    /// As [`LocalStore::open`].
    pub fn join(root: &Path, name: &str, reserve: u64) -> Result<Self, StoreError> {
        Self::open_in(root, root.join(format!("{TEMPORARY}-{name}")), reserve)
    }

    fn open_in(root: &Path, temporary: PathBuf, reserve: u64) -> Result<Self, StoreError> {
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(io_error("empty", &temporary))?;
        }
        fs::create_dir_all(&temporary).map_err(io_error("create", &temporary))?;
        Ok(Self { inner: Arc::new(Inner { root: root.to_owned(), temporary, reserve, serial: AtomicU64::new(0) }) })
    }

    /// Stores `body` under `key`, replacing what was there. When it returns the object is durable and whole; when it
    /// fails, or the process dies in the middle, the earlier object is untouched.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::InvalidKey`] or [`StoreError::Io`].
    pub async fn put(&self, key: &str, body: Vec<Bytes>) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        let path = inner.path(key)?;
        blocking(move || inner.put(&path, &body)).await
    }

    /// Opens the object `key`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::InvalidKey`] or [`StoreError::Io`].
    pub async fn get(&self, key: &str) -> Result<Object, StoreError> {
        let path = self.inner.path(key)?;
        let key = key.to_owned();
        blocking(move || {
            let file = File::open(&path).map_err(read_error(&key, &path))?;
            let meta = file.metadata().map_err(read_error(&key, &path))?;
            if !meta.is_file() {
                return Err(StoreError::NotFound { key });
            }
            Ok(Object {
                file: tokio::fs::File::from_std(file),
                len: meta.len(),
                modified: meta.modified().ok(),
                version: version(&meta),
            })
        })
        .await
    }

    /// Reads the whole object `key`, which must be small enough for memory.
    ///
    /// # Errors
    /// As [`LocalStore::get`].
    pub async fn read(&self, key: &str) -> Result<Bytes, StoreError> {
        let path = self.inner.path(key)?;
        let key = key.to_owned();
        blocking(move || fs::read(&path).map(Bytes::from).map_err(read_error(&key, &path))).await
    }

    /// Removes the object `key`, durably; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`] or [`StoreError::Io`].
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.inner.path(key)?;
        blocking(move || {
            let removed = fs::remove_file(&path).and_then(|()| path.parent().map_or(Ok(()), sync_folder));
            absent_is_fine(removed).map_err(io_error("delete", &path))
        })
        .await
    }

    /// Removes every object whose key begins with `prefix`, which must end with `/`, and what else lies there. A link is removed, not
    /// followed. Whoever is interrupted calls again: nothing remains of what was removed, the rest is as it was. May be dropped.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`] or [`StoreError::Io`].
    pub async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        let path = self.folder(prefix)?;
        loop {
            let path = path.clone();
            if blocking(move || tree::remove(&path, BATCH).map_err(io_error("delete", &path))).await? {
                return Ok(());
            }
        }
    }

    /// Objects whose key begins with `prefix`, which must end with `/`: those after the key `after`, in order, at most `limit`.
    /// Each comes with its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`] or [`StoreError::Io`].
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let path = self.folder(prefix)?;
        let (inner, after) = (self.inner.clone(), after.map(str::to_owned));
        blocking(move || tree::list(&inner.root, &path, after.as_deref(), limit).map_err(io_error("list", &path))).await
    }

    /// The file of the object `key`, whether there is one or not: for tools that read and write files. What they write beside it under a
    /// name that begins with a dot is no object.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`].
    pub fn file(&self, key: &str) -> Result<PathBuf, StoreError> {
        self.inner.path(key)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.inner.root
    }

    /// A path in the folder of files that are being written, of its own.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.inner.temporary()
    }

    /// Whether there is room for so many bytes more beside the reserve.
    ///
    /// # Errors
    /// [`StoreError::Full`], or [`StoreError::Io`] when the file system cannot be asked.
    pub fn room(&self, size: u64) -> Result<(), StoreError> {
        self.inner.room(size)
    }

    /// What a failure to write `path` is.
    pub(crate) fn write_error(&self, path: &Path, source: io::Error) -> StoreError {
        self.inner.write_error(path, source)
    }

    fn folder(&self, prefix: &str) -> Result<PathBuf, StoreError> {
        let invalid = || StoreError::InvalidKey { key: prefix.to_owned() };
        self.inner.path(prefix.strip_suffix('/').ok_or_else(invalid)?)
    }
}

impl Inner {
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        if key::is_valid(key) { Ok(self.root.join(key)) } else { Err(StoreError::InvalidKey { key: key.to_owned() }) }
    }

    fn put(&self, path: &Path, body: &[Bytes]) -> Result<(), StoreError> {
        self.room(body.iter().map(|chunk| chunk.len() as u64).sum())?;
        let temporary = self.temporary();
        let written = write_through(&temporary, body).and_then(|()| move_into_place(&temporary, path));
        written.map_err(|source| {
            // A leftover is emptied at the next open as well, so failing here is harmless.
            let _ = fs::remove_file(&temporary);
            self.write_error(path, source)
        })
    }

    fn temporary(&self) -> PathBuf {
        self.temporary.join(self.serial.fetch_add(1, Ordering::Relaxed).to_string())
    }

    fn room(&self, size: u64) -> Result<(), StoreError> {
        let free = self.free()?;
        if free < self.reserve.saturating_add(size) { Err(self.full(free)) } else { Ok(()) }
    }

    fn write_error(&self, path: &Path, source: io::Error) -> StoreError {
        if source.kind() == io::ErrorKind::StorageFull {
            self.full(self.free().unwrap_or(0))
        } else {
            io_error("write", path)(source)
        }
    }

    fn full(&self, free: u64) -> StoreError {
        StoreError::Full { free, reserve: self.reserve, root: self.root.clone() }
    }

    fn free(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|e| io_error("measure", &self.root)(e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn write_through(path: &Path, body: &[Bytes]) -> io::Result<()> {
    let mut file = File::create(path)?;
    for chunks in body.chunks(MAX_SLICES) {
        let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = file.write_vectored(rest)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    file.sync_data()
}

fn move_into_place(temporary: &Path, path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
    if let Err(error) = fs::rename(temporary, path) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        fs::create_dir_all(folder)?;
        fs::rename(temporary, path)?;
    }
    sync_folder(folder)
}

/// Each `put` makes a new file, so file and time together are a name for what it wrote.
fn version(meta: &Metadata) -> String {
    format!("{:x}-{:x}-{:x}-{:x}", meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len())
}

fn read_error<'a>(key: &'a str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |source| {
        if source.kind() == io::ErrorKind::NotFound {
            StoreError::NotFound { key: key.to_owned() }
        } else {
            io_error("read", path)(source)
        }
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path: path.clone(), source }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(StoreError::Io { action: "finish work on", path: PathBuf::new(), source: io::Error::other(error) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(reserve: u64) -> (tempfile::TempDir, LocalStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path(), reserve).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn an_object_comes_back_whole() {
        let (_dir, store) = store(0);
        let body: Vec<Bytes> = (0..3000_u32).map(|n| Bytes::from(n.to_be_bytes().to_vec())).collect();
        store.put("live/c/b/video/1.m4s", body.clone()).await.unwrap();
        assert_eq!(store.read("live/c/b/video/1.m4s").await.unwrap(), body.concat());
        assert_eq!(store.get("live/c/b/video/1.m4s").await.unwrap().len, 12_000);
        store.put("live/c/b/video/1.m4s", vec![Bytes::new(), Bytes::from_static(b"x")]).await.unwrap();
        assert_eq!(store.read("live/c/b/video/1.m4s").await.unwrap(), "x");
    }

    #[tokio::test]
    async fn the_reserve_is_never_used_and_nothing_is_lost() {
        let (dir, roomy) = store(0);
        roomy.put("a/kept", vec![Bytes::from_static(b"old")]).await.unwrap();
        let full = LocalStore::open(dir.path(), u64::MAX).unwrap();
        let error = full.put("a/kept", vec![Bytes::from_static(b"new")]).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(error.to_string().starts_with("disk full: "));
        assert_eq!(full.read("a/kept").await.unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path().join(TEMPORARY)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn deleting_is_idempotent() {
        let (_dir, store) = store(0);
        store.put("live/c/b/x", vec![Bytes::from_static(b"1")]).await.unwrap();
        store.delete("live/c/b/x").await.unwrap();
        store.delete("live/c/b/x").await.unwrap();
        store.put("live/c/b/y", vec![Bytes::from_static(b"1")]).await.unwrap();
        store.delete_prefix("live/c/b/").await.unwrap();
        store.delete_prefix("live/c/b/").await.unwrap();
        assert!(matches!(store.delete_prefix("live/c").await, Err(StoreError::InvalidKey { .. })));
        assert!(matches!(store.delete_prefix("live/../").await, Err(StoreError::InvalidKey { .. })));
        assert!(matches!(store.get("live/c/b/y").await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.get("live/c/b/x").await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.get("live/../x").await, Err(StoreError::InvalidKey { .. })));
        assert!(matches!(store.get("live/c").await, Err(StoreError::NotFound { .. })));
    }

    #[tokio::test]
    async fn leftovers_of_a_dead_process_are_removed() {
        let (dir, store) = store(0);
        fs::write(dir.path().join(TEMPORARY).join("9"), b"half").unwrap();
        drop(store);
        LocalStore::open(dir.path(), 0).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(TEMPORARY)).unwrap().count(), 0);
    }
}
