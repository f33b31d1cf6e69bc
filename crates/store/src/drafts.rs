//! Files that come in piece by piece, over several requests and maybe several lives of the process.
//!
//! `<root>/.drafts/<id>` has the bytes that have come, and its length is how many. `<id>.from` beside it says where a stretch begins that is
//! not checked yet; `<id>.done` says that the file has been taken and its bytes are elsewhere.
//!
//! File systems that keep order (ext4, XFS, Btrfs) never show a file longer than what was written of it, also after a loss of power.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::buckets::types::{BucketError, Inspector};
use crate::files::{absent_is_fine, sync_folder};
use crate::local::{LocalStore, StoreError, blocking, io_error};

/// Folder of drafts in the store. Keys never begin with a dot, so no object can live there.
const FOLDER: &str = ".drafts";

/// Longest id, in bytes.
const MAX_ID_BYTES: usize = 64;

/// Bytes that wait in memory before they are written.
const PIECE_BYTES: usize = 256 * 1024;

/// Drafts that are written to at one time. Each holds a piece in memory.
const HELD_MAX: usize = 256;

/// Bytes after which what was written is sent to the disk, so that the end has not everything to wait for.
const STRETCH_BYTES: u64 = 32 * 1024 * 1024;

/// Why a draft cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// There is none of that id.
    #[error("no such upload: {id}")]
    NoSuchDraft {
        /// Id asked for.
        id: String,
    },
    /// Somebody else writes to it.
    #[error("the upload is being written to: {id}; try again when that has ended")]
    Busy {
        /// Id asked for.
        id: String,
    },
    /// Too many are written to at this time.
    #[error("{HELD_MAX} uploads are being written to; try again when one of them has ended")]
    TooMany,
    /// The disk does not do it, or the bytes are not those that were announced.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl From<StoreError> for DraftError {
    fn from(error: StoreError) -> Self {
        Self::Bucket(error.into())
    }
}

/// The drafts of a store. Cheap to clone; all of one process have to be clones of one, for they know by each other which drafts are written to.
#[derive(Clone, Debug)]
pub struct Drafts {
    store: LocalStore,
    held: Arc<Mutex<HashSet<String>>>,
}

impl Drafts {
    pub(crate) fn new(store: LocalStore) -> Self {
        Self { store, held: Arc::default() }
    }

    /// Begins a draft, durably. An id has 1 to 64 letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`DraftError::NoSuchDraft`] for what is no id, [`DraftError::Busy`], [`DraftError::TooMany`] or [`DraftError::Bucket`].
    pub async fn create(&self, id: &str) -> Result<Draft, DraftError> {
        let held = self.hold(id)?;
        let (folder, path) = (self.folder(), self.folder().join(id));
        let file = blocking(move || {
            fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
            let file = File::create(&path).map_err(io_error("create", &path))?;
            sync_folder(&folder).map_err(io_error("sync", &folder))?;
            Ok(file)
        });
        Ok(Draft::new(self, held, file.await?, 0))
    }

    /// Takes hold of a draft to go on with. What was not checked when the process died is cut off.
    ///
    /// # Errors
    /// [`DraftError::NoSuchDraft`], also when it was taken, [`DraftError::Busy`], [`DraftError::TooMany`] or [`DraftError::Bucket`].
    pub async fn open(&self, id: &str) -> Result<Draft, DraftError> {
        let held = self.hold(id)?;
        let path = self.folder().join(id);
        let opened = blocking(move || {
            let file = match File::options().write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other.map_err(io_error("open", &path))?,
            };
            let reopened = || {
                if let Ok(from) = fs::read_to_string(beside(&path, "from")) {
                    // One that was only half written is of a stretch of which nothing came.
                    if let Ok(from) = from.trim_end_matches('\n').parse::<u64>()
                        && from < file.metadata()?.len()
                    {
                        file.set_len(from)?;
                        file.sync_all()?;
                    }
                    absent_is_fine(fs::remove_file(beside(&path, "from")))?;
                }
                Ok(file.metadata()?.len())
            };
            let len = reopened().map_err(io_error("open", &path))?;
            Ok(Some((file, len)))
        });
        let Some((file, len)) = opened.await? else { return Err(no_such(id)) };
        Ok(Draft::new(self, held, file, len))
    }

    /// Whether the file of this draft was taken.
    ///
    /// # Errors
    /// [`DraftError::NoSuchDraft`] for what is no id, or [`DraftError::Bucket`].
    pub async fn is_done(&self, id: &str) -> Result<bool, DraftError> {
        if !is_id(id) {
            return Err(no_such(id));
        }
        let path = beside(&self.folder().join(id), "done");
        Ok(blocking(move || path.try_exists().map_err(io_error("find", &path))).await?)
    }

    /// Removes all that there is of a draft; one that is not there is no error.
    ///
    /// # Errors
    /// [`DraftError::NoSuchDraft`] for what is no id, [`DraftError::Busy`], [`DraftError::TooMany`] or [`DraftError::Bucket`].
    pub async fn remove(&self, id: &str) -> Result<(), DraftError> {
        let _held = self.hold(id)?;
        let path = self.folder().join(id);
        let removed = blocking(move || {
            let files = [path.clone(), beside(&path, "from"), beside(&path, "done")];
            files.iter().try_for_each(|file| absent_is_fine(fs::remove_file(file)).map_err(io_error("delete", file)))
        });
        Ok(removed.await?)
    }

    fn folder(&self) -> PathBuf {
        self.store.root().join(FOLDER)
    }

    fn hold(&self, id: &str) -> Result<Held, DraftError> {
        if !is_id(id) {
            return Err(no_such(id));
        }
        let mut held = self.held.lock();
        if held.contains(id) {
            return Err(DraftError::Busy { id: id.to_owned() });
        }
        if held.len() >= HELD_MAX {
            return Err(DraftError::TooMany);
        }
        held.insert(id.to_owned());
        Ok(Held { id: id.to_owned(), all: self.held.clone() })
    }
}

/// Says that a draft is held, until it is dropped.
#[derive(Debug)]
struct Held {
    id: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

/// A draft that nobody else may write to meanwhile. Dropped, it keeps what is on the disk; some bytes that were just given may be missing.
pub struct Draft {
    store: LocalStore,
    path: PathBuf,
    file: Arc<File>,
    /// Bytes on the disk.
    len: u64,
    /// Of these, those that are there after a loss of power.
    synced: u64,
    /// Where the stretch that is being written begins.
    from: u64,
    inspector: Option<Box<dyn Inspector>>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    // The last one: it lets others in.
    _held: Held,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("path", &self.path).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Draft {
    fn new(drafts: &Drafts, held: Held, file: File, len: u64) -> Self {
        Self {
            store: drafts.store.clone(),
            path: drafts.folder().join(&held.id),
            file: Arc::new(file),
            len,
            synced: len,
            from: len,
            inspector: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            _held: held,
        }
    }

    /// Bytes that have come, with those that wait in memory.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.len + self.waiting_bytes as u64
    }

    /// Where the bytes are, for whoever takes the whole file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses when the disk has no room for so many bytes more.
    ///
    /// # Errors
    /// [`DraftError::Bucket`].
    pub async fn room(&mut self, size: u64) -> Result<(), DraftError> {
        let store = self.store.clone();
        Ok(blocking(move || store.room(size)).await?)
    }

    /// Begins a stretch. With an inspector it counts only when [`Draft::keep`] finds it to be what was announced, also after `kill -9`.
    ///
    /// # Errors
    /// [`DraftError::Bucket`].
    pub async fn begin(&mut self, inspector: Option<Box<dyn Inspector>>) -> Result<(), DraftError> {
        self.from = self.len;
        if inspector.is_some() {
            let (path, from) = (beside(&self.path, "from"), self.from);
            let noted = move || {
                let mut file = File::create(&path)?;
                writeln!(file, "{from}")?;
                file.sync_data()?;
                sync_folder(path.parent().unwrap_or(&path))
            };
            let (store, path) = (self.store.clone(), self.path.clone());
            blocking(move || noted().map_err(|error| store.write_error(&path, error))).await?;
        }
        self.inspector = inspector;
        Ok(())
    }

    /// Takes the next bytes of the stretch.
    ///
    /// # Errors
    /// [`DraftError::Bucket`]; what was written before can be kept.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), DraftError> {
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_bytes < PIECE_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Ends the stretch: it is durable then. Returns how many bytes the draft has.
    ///
    /// # Errors
    /// [`BucketError::Digest`] when it is not what was announced, and nothing of it is kept; or another [`DraftError::Bucket`].
    pub async fn keep(&mut self) -> Result<u64, DraftError> {
        self.flush().await?;
        let inspector = self.inspector.take();
        let is_inspected = inspector.is_some();
        if let Some(Err(error)) = inspector.map(Inspector::finish) {
            self.rewind().await?;
            return Err(error.into());
        }
        self.sync().await?;
        if is_inspected {
            self.checked().await?;
        }
        self.from = self.len;
        Ok(self.len)
    }

    /// Ends the stretch and forgets it.
    ///
    /// # Errors
    /// [`DraftError::Bucket`].
    pub async fn rewind(&mut self) -> Result<(), DraftError> {
        self.inspector = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
        let (file, path, from) = (self.file.clone(), self.path.clone(), self.from);
        blocking(move || file.set_len(from).and_then(|()| file.sync_all()).map_err(io_error("cut", &path))).await?;
        (self.len, self.synced) = (from, from);
        self.checked().await
    }

    /// Notes that the file was taken, and removes its bytes.
    ///
    /// # Errors
    /// [`DraftError::Bucket`].
    pub async fn done(self) -> Result<(), DraftError> {
        let path = self.path.clone();
        let done = blocking(move || {
            let noted = || {
                File::create(beside(&path, "done"))?;
                sync_folder(path.parent().unwrap_or(&path))?;
                absent_is_fine(fs::remove_file(&path))
            };
            noted().map_err(io_error("end", &path))
        });
        Ok(done.await?)
    }

    async fn flush(&mut self) -> Result<(), DraftError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let pieces = std::mem::take(&mut self.waiting);
        let bytes = std::mem::take(&mut self.waiting_bytes) as u64;
        let (store, file, path, at) = (self.store.clone(), self.file.clone(), self.path.clone(), self.len);
        let mut inspector = self.inspector.take();
        let (inspector, written) = tokio::task::spawn_blocking(move || {
            let write = || {
                store.room(bytes)?;
                let mut to = at;
                for piece in &pieces {
                    file.write_all_at(piece, to).map_err(|error| store.write_error(&path, error))?;
                    to += piece.len() as u64;
                }
                Ok::<_, StoreError>(())
            };
            let written = write();
            match &written {
                Ok(()) => {
                    if let Some(inspector) = &mut inspector {
                        pieces.iter().for_each(|piece| inspector.update(piece));
                    }
                }
                // What is there of it is cut off: the length is what counts. Failing here is told by the failure itself.
                Err(_) => drop(file.set_len(at)),
            }
            (inspector, written)
        })
        .await
        .map_err(|error| StoreError::Io {
            action: "write",
            path: self.path.clone(),
            source: io::Error::other(error),
        })?;
        self.inspector = inspector;
        written?;
        self.len += bytes;
        if self.len - self.synced >= STRETCH_BYTES { self.sync().await } else { Ok(()) }
    }

    async fn sync(&mut self) -> Result<(), DraftError> {
        if self.synced < self.len {
            let (store, file, path) = (self.store.clone(), self.file.clone(), self.path.clone());
            blocking(move || file.sync_data().map_err(|error| store.write_error(&path, error))).await?;
            self.synced = self.len;
        }
        Ok(())
    }

    /// What was written up to here counts.
    async fn checked(&mut self) -> Result<(), DraftError> {
        let path = beside(&self.path, "from");
        let removed = blocking(move || {
            let removed = match fs::remove_file(&path) {
                Ok(()) => sync_folder(path.parent().unwrap_or(&path)),
                other => absent_is_fine(other),
            };
            removed.map_err(io_error("delete", &path))
        });
        Ok(removed.await?)
    }
}

fn no_such(id: &str) -> DraftError {
    DraftError::NoSuchDraft { id: id.chars().take(MAX_ID_BYTES).collect() }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A file beside that of the draft. Ids have no dot.
fn beside(path: &Path, what: &str) -> PathBuf {
    path.with_extension(what)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Wants(Vec<u8>, Vec<u8>);

    impl Inspector for Wants {
        fn update(&mut self, bytes: &[u8]) {
            self.1.extend_from_slice(bytes);
        }

        fn finish(self: Box<Self>) -> Result<BTreeMap<String, String>, BucketError> {
            if self.0 == self.1 { Ok(BTreeMap::new()) } else { Err(BucketError::Digest { digest: "test" }) }
        }
    }

    fn wants(bytes: &[u8]) -> Option<Box<dyn Inspector>> {
        Some(Box::new(Wants(bytes.to_vec(), Vec::new())))
    }

    fn drafts(reserve: u64) -> (tempfile::TempDir, Drafts) {
        let dir = tempfile::tempdir().unwrap();
        let drafts = Drafts::new(LocalStore::open(dir.path(), reserve).unwrap());
        (dir, drafts)
    }

    #[tokio::test]
    async fn a_file_comes_in_stretches() {
        let (dir, drafts) = drafts(0);
        let mut draft = drafts.create("u1").await.unwrap();
        assert!(matches!(drafts.open("u1").await.unwrap_err(), DraftError::Busy { .. }));
        draft.begin(None).await.unwrap();
        let piece = Bytes::from(vec![7; PIECE_BYTES / 2 + 1]);
        for _ in 0..3 {
            draft.write(piece.clone()).await.unwrap();
        }
        assert_eq!(draft.size(), 3 * piece.len() as u64);
        assert_eq!(draft.keep().await.unwrap(), draft.size());
        drop(draft);
        // The store is opened again, as by another life of the process.
        let again = Drafts::new(LocalStore::open(dir.path(), 0).unwrap());
        let mut draft = again.open("u1").await.unwrap();
        draft.begin(None).await.unwrap();
        draft.write(Bytes::from_static(b"end")).await.unwrap();
        let len = draft.keep().await.unwrap();
        assert_eq!((len, fs::read(draft.path()).unwrap().len() as u64), (draft.size(), len));
        draft.done().await.unwrap();
        assert!(again.is_done("u1").await.unwrap());
        assert!(matches!(again.open("u1").await.unwrap_err(), DraftError::NoSuchDraft { .. }));
        again.remove("u1").await.unwrap();
        again.remove("u1").await.unwrap();
        assert!(!again.is_done("u1").await.unwrap());
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_stretch_that_is_not_what_was_announced_does_not_count() {
        let (dir, drafts) = drafts(0);
        let mut draft = drafts.create("u1").await.unwrap();
        draft.begin(wants(b"first")).await.unwrap();
        draft.write(Bytes::from_static(b"first")).await.unwrap();
        assert_eq!(draft.keep().await.unwrap(), 5);
        draft.begin(wants(b"second")).await.unwrap();
        draft.write(Bytes::from_static(b"other")).await.unwrap();
        assert!(matches!(draft.keep().await.unwrap_err(), DraftError::Bucket(BucketError::Digest { .. })));
        assert_eq!(draft.size(), 5);
        // The process dies in the middle of one.
        draft.begin(wants(b"second")).await.unwrap();
        draft.write(Bytes::from(vec![1; PIECE_BYTES])).await.unwrap();
        drop(draft);
        let again = Drafts::new(LocalStore::open(dir.path(), 0).unwrap());
        assert_eq!(again.open("u1").await.unwrap().size(), 5);
        assert_eq!(fs::read(dir.path().join(FOLDER).join("u1")).unwrap(), b"first");
    }

    #[tokio::test]
    async fn the_reserve_is_never_used() {
        let (_dir, drafts) = drafts(u64::MAX);
        let mut draft = drafts.create("u1").await.unwrap();
        assert!(draft.room(1).await.is_err());
        draft.begin(None).await.unwrap();
        draft.write(Bytes::from_static(b"x")).await.unwrap();
        let error = draft.keep().await.unwrap_err();
        assert!(matches!(error, DraftError::Bucket(BucketError::Store(StoreError::Full { .. }))), "{error}");
    }

    #[tokio::test]
    async fn memory_has_an_end() {
        let (_dir, drafts) = drafts(0);
        let mut held = Vec::new();
        for n in 0..HELD_MAX {
            held.push(drafts.create(&n.to_string()).await.unwrap());
        }
        assert!(matches!(drafts.create("more").await.unwrap_err(), DraftError::TooMany));
        held.pop();
        assert!(drafts.create("more").await.is_ok());
    }

    #[tokio::test]
    async fn an_id_is_a_plain_word() {
        let (_dir, drafts) = drafts(0);
        for id in ["", "../x", "a.done", "a/b", &"x".repeat(65)] {
            assert!(matches!(drafts.create(id).await.unwrap_err(), DraftError::NoSuchDraft { .. }), "{id}");
            assert!(drafts.is_done(id).await.is_err(), "{id}");
        }
    }
}
