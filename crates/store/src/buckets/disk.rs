//! Objects as files: found, replaced, removed. Everything here blocks.

use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::record::{self, Record};
use super::spelling::{self, BESIDE};
use super::types::{
    Attributes, BucketError, BucketInfo, Condition, Event, Located, MAX_KEY_BYTES, ObjectInfo, Subscriber,
};
use crate::files::{absent_is_fine, sync_folder};
use crate::local::{LocalStore, io_error};

/// Folder of buckets in the store.
pub(super) const BUCKETS: &str = "bucket";

/// Folder of uploads in parts, in each bucket.
pub(super) const UPLOADS: &str = ".uploads";

/// Locks by which writers of one key wait for each other; keys share them.
const LOCKS: usize = 64;

/// How often an object is looked for again because it changed meanwhile.
const ATTEMPTS: usize = 8;

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) store: LocalStore,
    subscriber: Option<Arc<dyn Subscriber>>,
    locks: Vec<Mutex<()>>,
}

/// The file of an object, found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) meta: Metadata,
    pub(super) record: Option<Record>,
}

/// Bytes that are on the disk and are to become an object.
#[derive(Debug)]
pub(super) struct Ready {
    /// Where they are.
    pub(super) temporary: Temporary,
    /// Their ETag; `None` for one that is made of the version.
    pub(super) etag: Option<String>,
    pub(super) attributes: Attributes,
    pub(super) checksums: std::collections::BTreeMap<String, String>,
}

/// A file that is removed unless it was moved away.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Where there is none it has become an object. The folder of temporary files is emptied at open as well.
        let _ = fs::remove_file(&self.0);
    }
}

impl Disk {
    pub(super) fn new(store: LocalStore, subscriber: Option<Arc<dyn Subscriber>>) -> Self {
        Self { store, subscriber, locks: (0..LOCKS).map(|_| Mutex::new(())).collect() }
    }

    pub(super) fn temporary(&self) -> Temporary {
        Temporary(self.store.temporary())
    }

    /// The folder of a bucket that is there.
    pub(super) fn bucket(&self, bucket: &str) -> Result<PathBuf, BucketError> {
        let path = self.bucket_path(bucket)?;
        if path.is_dir() { Ok(path) } else { Err(BucketError::NoSuchBucket { bucket: bucket.to_owned() }) }
    }

    fn bucket_path(&self, bucket: &str) -> Result<PathBuf, BucketError> {
        if !spelling::is_bucket_name(bucket) {
            return Err(BucketError::InvalidBucket { bucket: bucket.to_owned() });
        }
        Ok(self.store.root().join(BUCKETS).join(bucket))
    }

    pub(super) fn bucket_create(&self, bucket: &str) -> Result<(), BucketError> {
        let path = self.bucket_path(bucket)?;
        let parent = self.store.root().join(BUCKETS);
        fs::create_dir_all(&parent).map_err(io_error("create", &parent))?;
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BucketError::BucketExists { bucket: bucket.to_owned() })
            }
            Err(error) => Err(self.store.write_error(&path, error).into()),
            Ok(()) => Ok(sync_folder(&parent).map_err(io_error("sync", &parent))?),
        }
    }

    /// Removes nothing but folders, records and uploads, so an object that is put meanwhile is kept.
    pub(super) fn bucket_delete(&self, bucket: &str) -> Result<(), BucketError> {
        // Every writer waits, and finds no bucket then. None of them holds two locks, so the order does not matter.
        let _writing: Vec<_> = self.locks.iter().map(|lock| lock.lock()).collect();
        let path = self.bucket(bucket)?;
        let not_empty = || BucketError::BucketNotEmpty { bucket: bucket.to_owned() };
        if super::list::any(&path).map_err(io_error("list", &path))? {
            return Err(not_empty());
        }
        let uploads = path.join(UPLOADS);
        absent_is_fine(fs::remove_dir_all(&uploads)).map_err(io_error("delete", &uploads))?;
        match remove_folders(&path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Err(not_empty()),
            other => {
                other.map_err(io_error("delete", &path))?;
                let parent = self.store.root().join(BUCKETS);
                Ok(sync_folder(&parent).map_err(io_error("sync", &parent))?)
            }
        }
    }

    pub(super) fn bucket_info(&self, bucket: &str) -> Result<BucketInfo, BucketError> {
        let path = self.bucket(bucket)?;
        let meta = fs::metadata(&path).map_err(io_error("read", &path))?;
        let created = meta.created().or_else(|_| meta.modified()).map_err(io_error("read", &path))?;
        Ok(BucketInfo { name: bucket.to_owned(), created })
    }

    pub(super) fn bucket_list(&self) -> Result<Vec<BucketInfo>, BucketError> {
        let path = self.store.root().join(BUCKETS);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error("list", &path))?,
        };
        let mut buckets = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("list", &path))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| spelling::is_bucket_name(name)) else { continue };
            match self.bucket_info(name) {
                Ok(info) => buckets.push(info),
                Err(BucketError::NoSuchBucket { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        buckets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(buckets)
    }

    /// The path that the object `key` has unless it is beside a folder.
    fn path(&self, bucket: &str, key: &str) -> Result<PathBuf, BucketError> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(BucketError::InvalidKey { len: key.len() });
        }
        let mut path = self.bucket(bucket)?;
        path.extend(spelling::spell(key));
        Ok(path)
    }

    /// The object `key`, if there is one, with its record, if it has one.
    pub(super) fn look(&self, bucket: &str, key: &str) -> Result<Option<Found>, BucketError> {
        let path = self.path(bucket, key)?;
        let mut earlier = None;
        for _ in 0..ATTEMPTS {
            let Some((path, meta)) = file_at(&path).map_err(io_error("read", &path))? else { return Ok(None) };
            let version = record::version(&meta);
            let record = record::find(&path, &version);
            // Without a record it may have been replaced between the two looks.
            if record.is_some() || earlier.as_ref() == Some(&version) {
                return Ok(Some(Found { path, meta, record }));
            }
            earlier = Some(version);
        }
        let Some((path, meta)) = file_at(&path).map_err(io_error("read", &path))? else { return Ok(None) };
        Ok(Some(Found { path, meta, record: None }))
    }

    pub(super) fn head(&self, bucket: &str, key: &str) -> Result<Located, BucketError> {
        let found = self.look(bucket, key)?.ok_or_else(|| no_such_key(bucket, key))?;
        Ok(Located { path: found.path, info: record::tell(key, &found.meta, found.record) })
    }

    pub(super) fn open(&self, bucket: &str, key: &str) -> Result<(File, ObjectInfo), BucketError> {
        for _ in 0..ATTEMPTS {
            let found = self.look(bucket, key)?.ok_or_else(|| no_such_key(bucket, key))?;
            let opened = File::open(&found.path).and_then(|file| file.metadata().map(|meta| (file, meta)));
            match opened {
                Ok((file, meta)) if record::version(&meta) == record::version(&found.meta) => {
                    return Ok((file, record::tell(key, &meta, found.record)));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("read", &found.path)(error).into());
                }
                // It was replaced or removed meanwhile.
                _ => {}
            }
        }
        Err(no_such_key(bucket, key))
    }

    /// Makes `ready` the object `key`, durably.
    pub(super) fn commit(
        &self,
        bucket: &str,
        key: &str,
        ready: Ready,
        condition: &Condition,
    ) -> Result<ObjectInfo, BucketError> {
        let path = self.path(bucket, key)?;
        let Ready { temporary, etag, attributes, checksums } = ready;
        let mut record = Record { version: String::new(), etag: String::new(), attributes, checksums };
        let mut attempts = 0;
        let meta = loop {
            self.make_folders(bucket, key)?;
            let _writing = self.lock(bucket, key);
            let current = self.look(bucket, key)?;
            check(condition, key, current.as_ref())?;
            let target = if path.is_dir() { path.join(BESIDE) } else { path.clone() };
            match self.replace(&target, &temporary.0, etag.as_deref(), &mut record, current.as_ref()) {
                Ok(meta) => break meta,
                // The folders went, or an object took the place of one, since they were made.
                Err(error) if is_about_folders(&error) && attempts < ATTEMPTS && temporary.0.exists() => attempts += 1,
                Err(error) => return Err(self.store.write_error(&target, error).into()),
            }
        };
        let info = record::tell(key, &meta, Some(record));
        self.tell(Event::ObjectCreated {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            size: info.size,
            etag: info.etag.clone(),
        });
        Ok(info)
    }

    /// The record first, so that the bytes are never without it.
    pub(super) fn replace(
        &self,
        target: &Path,
        temporary: &Path,
        etag: Option<&str>,
        record: &mut Record,
        current: Option<&Found>,
    ) -> io::Result<Metadata> {
        let meta = record::separate(temporary, current.map(|found| &found.meta))?;
        record.version = record::version(&meta);
        record.etag = etag.map_or_else(|| record.version.clone(), str::to_owned);
        let mut records = vec![&*record];
        records.extend(current.and_then(|found| found.record.as_ref()));
        record::write(target, &records, &self.store.temporary())?;
        fs::rename(temporary, target)?;
        sync_folder(target.parent().unwrap_or(target))?;
        Ok(meta)
    }

    /// Makes the folders of a key. An object that is in the way becomes one beside its folder.
    fn make_folders(&self, bucket: &str, key: &str) -> Result<(), BucketError> {
        let bucket_folder = self.bucket(bucket)?;
        let path = self.path(bucket, key)?;
        let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) else { return Ok(()) };
        let mut at = bucket_folder.clone();
        for name in folder.strip_prefix(&bucket_folder).unwrap_or(Path::new("")) {
            let parent = at.clone();
            at.push(name);
            for _ in 0..ATTEMPTS {
                match fs::create_dir(&at) {
                    Ok(()) => {
                        sync_folder(&parent).map_err(io_error("sync", &parent))?;
                        break;
                    }
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(self.store.write_error(&at, error).into());
                    }
                    Err(_) if at.is_dir() => break,
                    Err(_) => self.step_aside(&bucket_folder, bucket, &at).map_err(io_error("move", &at))?,
                }
            }
        }
        Ok(())
    }

    /// Puts a folder in the place of the object at `path`, with the object in it, at once.
    fn step_aside(&self, bucket_folder: &Path, bucket: &str, path: &Path) -> io::Result<()> {
        // Its writers wait, whichever spelling of the name is locked: the lock is by the path's text.
        let _writing = self.lock_path(bucket_folder, bucket, path);
        if !path.is_file() {
            return Ok(());
        }
        let folder = self.store.temporary();
        fs::create_dir(&folder)?;
        let made = || {
            let inside = folder.join(BESIDE);
            fs::hard_link(path, &inside)?;
            let (old, new) = (record::path(path), record::path(&inside));
            if old.is_file() {
                fs::create_dir(folder.join(record::FOLDER))?;
                fs::hard_link(&old, &new)?;
                sync_folder(&folder.join(record::FOLDER))?;
            }
            sync_folder(&folder)?;
            renameat_with(CWD, &folder, CWD, path, RenameFlags::EXCHANGE)?;
            sync_folder(path.parent().unwrap_or(path))?;
            absent_is_fine(fs::remove_file(old))
        };
        let done = made();
        // By now it is the object's first name, or, if that failed, the folder that was not needed.
        let _ = if folder.is_dir() { fs::remove_dir_all(&folder) } else { fs::remove_file(&folder) };
        done
    }

    /// Whether there was one.
    pub(super) fn delete(&self, bucket: &str, key: &str, condition: &Condition) -> Result<bool, BucketError> {
        let _writing = self.lock(bucket, key);
        let found = self.look(bucket, key)?;
        check(condition, key, found.as_ref())?;
        let Some(found) = found else { return Ok(false) };
        let folder = found.path.parent().unwrap_or(&found.path);
        let removed = absent_is_fine(fs::remove_file(&found.path)).and_then(|()| sync_folder(folder));
        removed.and_then(|()| record::remove(&found.path)).map_err(io_error("delete", &found.path))?;
        prune(&self.bucket(bucket)?, folder);
        self.tell(Event::ObjectRemoved { bucket: bucket.to_owned(), key: key.to_owned() });
        Ok(true)
    }

    pub(super) fn tell(&self, event: Event) {
        if let Some(subscriber) = &self.subscriber {
            subscriber.tell(event);
        }
    }

    fn lock(&self, bucket: &str, key: &str) -> MutexGuard<'_, ()> {
        self.lock_by(bucket, &spelling::spell(key).join("/"))
    }

    fn lock_path(&self, bucket_folder: &Path, bucket: &str, path: &Path) -> MutexGuard<'_, ()> {
        let names = path.strip_prefix(bucket_folder).unwrap_or(path);
        self.lock_by(bucket, &names.to_string_lossy())
    }

    fn lock_by(&self, bucket: &str, names: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (bucket, names).hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0);
        self.locks[at].lock()
    }
}

pub(super) fn no_such_key(bucket: &str, key: &str) -> BucketError {
    BucketError::NoSuchKey { bucket: bucket.to_owned(), key: key.to_owned() }
}

/// The regular file of an object whose own path is `path`.
fn file_at(path: &Path) -> io::Result<Option<(PathBuf, Metadata)>> {
    let Some(meta) = metadata(path)? else { return Ok(None) };
    if meta.is_file() {
        return Ok(Some((path.to_owned(), meta)));
    }
    if !meta.is_dir() {
        return Ok(None);
    }
    let beside = path.join(BESIDE);
    Ok(metadata(&beside)?.filter(Metadata::is_file).map(|meta| (beside, meta)))
}

fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_about_folders(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// Judges the condition by the object that is there.
fn check(condition: &Condition, key: &str, current: Option<&Found>) -> Result<(), BucketError> {
    let failed = |condition| Err(BucketError::Precondition { condition });
    let etag = || current.map(|found| record::tell(key, &found.meta, found.record.clone()).etag);
    match condition {
        Condition::Absent if current.is_some() => failed("if-none-match"),
        Condition::Present if current.is_none() => failed("if-match"),
        Condition::Matches(wanted) if etag().as_ref() != Some(wanted) => failed("if-match"),
        _ => Ok(()),
    }
}

/// Removes `folder` and those above it as far as nothing is in them; the bucket's own stays.
fn prune(bucket: &Path, folder: &Path) {
    let mut at = folder;
    while at.starts_with(bucket) {
        // Whatever is in it keeps it, and keeping it is never wrong.
        let _ = fs::remove_dir(at.join(record::FOLDER));
        if at == bucket || fs::remove_dir(at).is_err() {
            return;
        }
        let Some(parent) = at.parent() else { return };
        at = parent;
    }
}

/// Removes a tree of folders without objects; records go.
fn remove_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if entry.file_name() == record::FOLDER {
                absent_is_fine(fs::remove_dir_all(entry.path()))?;
            } else {
                remove_folders(&entry.path())?;
            }
        }
    }
    fs::remove_dir(folder)
}
