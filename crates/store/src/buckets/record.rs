//! What is kept beside an object: a file of the object's name in the folder `.meta` beside it.
//!
//! Object and record are two files and cannot be replaced at once. So a record names the version of the bytes that it is of, by their time
//! and length, and counts for no other. The file of records is written first and holds two: that of the new version and that of the one
//! which is still there. Whenever the writer dies, the object has its own record or (when it was written by someone who knows none) none.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::types::{Attributes, ObjectInfo};
use crate::files::{absent_is_fine, sync_folder};

/// Folder of records, in every folder of objects that have some.
pub(super) const FOLDER: &str = ".meta";

/// Longest file of records that is read, in bytes.
const MAX_BYTES: u64 = 128 * 1024;

/// What is kept of one version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of which version of the bytes.
    pub(super) version: String,
    pub(super) etag: String,
    #[serde(default)]
    pub(super) attributes: Attributes,
    #[serde(default)]
    pub(super) checksums: BTreeMap<String, String>,
}

/// Names a version of the bytes of one object: no two have the same time and length, see [`separate`].
pub(super) fn version(meta: &Metadata) -> String {
    format!("{:x}-{:x}-{:x}", meta.mtime(), meta.mtime_nsec(), meta.len())
}

/// Gives the new file of an object another version than the one that it replaces.
pub(super) fn separate(new: &Path, current: Option<&Metadata>) -> io::Result<Metadata> {
    let meta = fs::metadata(new)?;
    if current.is_none_or(|current| version(current) != version(&meta)) {
        return Ok(meta);
    }
    let file = File::options().write(true).open(new)?;
    file.set_modified(meta.modified()? + Duration::from_millis(1))?;
    file.sync_all()?;
    file.metadata()
}

/// The file of records of the object whose bytes are at `path`.
pub(super) fn path(path: &Path) -> PathBuf {
    let mut beside = path.parent().unwrap_or(path).join(FOLDER);
    beside.push(path.file_name().unwrap_or_default());
    beside
}

/// The record of the version `wanted` of the object at `object`. One that cannot be read is none.
pub(super) fn find(object: &Path, wanted: &str) -> Option<Record> {
    let mut text = Vec::new();
    File::open(path(object)).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let records: Vec<Record> = serde_json::from_slice(&text).ok()?;
    records.into_iter().find(|record| record.version == wanted)
}

/// Writes the records of the object at `object`, durably, by way of the file `temporary`.
pub(super) fn write(object: &Path, records: &[&Record], temporary: &Path) -> io::Result<()> {
    let path = path(object);
    let folder = path.parent().unwrap_or(&path);
    let written = || {
        let mut file = File::create(temporary)?;
        file.write_all(&serde_json::to_vec(records)?)?;
        file.sync_data()?;
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(folder.parent().unwrap_or(folder))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        fs::rename(temporary, &path)?;
        sync_folder(folder)
    };
    written().inspect_err(|_| drop(fs::remove_file(temporary)))
}

/// Removes the records of an object that is gone.
pub(super) fn remove(object: &Path) -> io::Result<()> {
    match absent_is_fine(fs::remove_file(path(object))) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(()),
        other => other,
    }
}

/// An object as it is told: by its record, or by its file alone.
pub(super) fn tell(key: &str, meta: &Metadata, record: Option<Record>) -> ObjectInfo {
    let (etag, attributes, checksums) = match record {
        Some(record) => (record.etag, record.attributes, record.checksums),
        None => (bare_etag(meta), Attributes::default(), BTreeMap::new()),
    };
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    ObjectInfo { key: key.to_owned(), size: meta.len(), etag, modified, attributes, checksums }
}

/// An ETag for bytes of which only the file is known. Never 32 digits: clients take those for an MD5 and check it.
fn bare_etag(meta: &Metadata) -> String {
    version(meta)
}
