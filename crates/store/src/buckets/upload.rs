//! Uploads in parts: `bucket/<bucket>/.uploads/<id>/`, with what it is to be in `upload.json` and each part in a file of its number, which has
//! a record as objects have. Everything here blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, Found, Ready, Temporary, UPLOADS};
use super::hex::hex;
use super::record::{self, Record};
use super::types::{
    Attributes, BucketError, Condition, MAX_KEY_BYTES, MAX_PARTS, MIN_PART_BYTES, NamedPart, ObjectInfo, PartInfo,
    UploadInfo, interrupted,
};
use super::writer::Written;
use crate::files::{absent_is_fine, sync_folder};
use crate::local::io_error;

/// File of an upload that says what it is to be. Written last, so an upload that has it is whole.
const UPLOAD: &str = "upload.json";

/// Longest such file that is read, in bytes.
const MAX_BYTES: u64 = 128 * 1024;

/// What an upload is to be.
#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    key: String,
    attributes: Attributes,
}

impl Disk {
    pub(super) fn upload_create(&self, bucket: &str, key: &str, attributes: Attributes) -> Result<String, BucketError> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(BucketError::InvalidKey { len: key.len() });
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| interrupted(error.to_string()))?;
        let id = hex(&id);
        let uploads = self.bucket(bucket)?.join(UPLOADS);
        let folder = uploads.join(&id);
        let written = || {
            match fs::create_dir(&uploads) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs::create_dir(&folder)?;
            let temporary = self.temporary();
            let mut file = File::create(&temporary.0)?;
            file.write_all(&serde_json::to_vec(&Upload { key: key.to_owned(), attributes })?)?;
            file.sync_data()?;
            fs::rename(&temporary.0, folder.join(UPLOAD))?;
            sync_folder(&folder)?;
            sync_folder(&uploads)
        };
        written().map_err(|error| self.store.write_error(&folder, error))?;
        Ok(id)
    }

    /// The folder of an upload, and what it is to be.
    fn upload(&self, bucket: &str, key: Option<&str>, id: &str) -> Result<(PathBuf, Upload), BucketError> {
        let missing = || BucketError::NoSuchUpload { id: id.chars().take(64).collect() };
        let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let folder = self.bucket(bucket)?.join(UPLOADS).join(if is_id { id } else { return Err(missing()) });
        let mut text = Vec::new();
        match File::open(folder.join(UPLOAD)).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other.map_err(io_error("read", &folder))?,
        };
        let upload: Upload =
            serde_json::from_slice(&text).map_err(|error| io_error("understand", &folder)(error.into()))?;
        if key.is_some_and(|key| key != upload.key) { Err(missing()) } else { Ok((folder, upload)) }
    }

    /// Fails before any byte is taken.
    pub(super) fn part_check(&self, bucket: &str, key: &str, id: &str, number: u32) -> Result<(), BucketError> {
        if !(1..=MAX_PARTS).contains(&number) {
            return Err(BucketError::PartNumber { number });
        }
        self.upload(bucket, Some(key), id).map(drop)
    }

    pub(super) fn part_commit(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        number: u32,
        written: Written,
    ) -> Result<PartInfo, BucketError> {
        let (folder, _) = self.upload(bucket, Some(key), id)?;
        let path = folder.join(part_name(number));
        let Written { temporary, md5, checksums } = written;
        let etag = hex(&md5);
        let mut record =
            Record { version: String::new(), etag: etag.clone(), attributes: Attributes::default(), checksums };
        let current = fs::metadata(&path).ok().map(|meta| {
            let record = record::find(&path, &record::version(&meta));
            Found { path: path.clone(), meta, record }
        });
        let meta = match self.replace(&path, &temporary.0, Some(&etag), &mut record, current.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BucketError::NoSuchUpload { id: id.to_owned() });
            }
            other => other.map_err(|error| self.store.write_error(&path, error))?,
        };
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(PartInfo { number, size: meta.len(), etag, modified, checksums: record.checksums })
    }

    pub(super) fn parts(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        after: u32,
        limit: usize,
    ) -> Result<Vec<PartInfo>, BucketError> {
        let (folder, _) = self.upload(bucket, Some(key), id)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let name = entry.map_err(io_error("list", &folder))?.file_name();
            numbers.extend(name.to_str().and_then(part_number).filter(|number| *number > after));
        }
        numbers.sort_unstable();
        let mut parts = Vec::new();
        for number in numbers {
            if parts.len() >= limit {
                break;
            }
            parts.extend(part(&folder, number)?.map(|(info, ..)| info));
        }
        Ok(parts)
    }

    pub(super) fn uploads(&self, bucket: &str) -> Result<Vec<UploadInfo>, BucketError> {
        let folder = self.bucket(bucket)?.join(UPLOADS);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error("list", &folder))?,
        };
        let mut uploads = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("list", &folder))?;
            let name = entry.file_name();
            let Some(id) = name.to_str() else { continue };
            let upload = match self.upload(bucket, None, id) {
                Err(BucketError::NoSuchUpload { .. }) => continue,
                other => other?.1,
            };
            let times =
                fs::metadata(entry.path().join(UPLOAD)).and_then(|made| Ok((made.modified()?, active(&entry.path())?)));
            // It was completed or aborted meanwhile.
            let Ok((initiated, active)) = times else { continue };
            uploads.push(UploadInfo { id: id.to_owned(), key: upload.key, initiated, active });
        }
        uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(uploads)
    }

    pub(super) fn upload_abort(&self, bucket: &str, key: &str, id: &str) -> Result<(), BucketError> {
        let (folder, _) = self.upload(bucket, Some(key), id)?;
        self.upload_remove(&folder)
    }

    fn upload_remove(&self, folder: &Path) -> Result<(), BucketError> {
        // Without this one it is no upload any more, whatever happens to the rest.
        let gone = absent_is_fine(fs::remove_file(folder.join(UPLOAD))).and_then(|()| {
            let aside = self.store.temporary();
            absent_is_fine(fs::rename(folder, &aside))?;
            absent_is_fine(fs::remove_dir_all(&aside))
        });
        Ok(gone.map_err(io_error("delete", folder))?)
    }

    /// Removes uploads of every bucket to which nothing came since `before`, and what is left of broken ones; returns how many.
    pub(super) fn uploads_expire(&self, before: SystemTime) -> Result<usize, BucketError> {
        let mut expired = 0;
        for bucket in self.bucket_list()? {
            let folder = self.bucket(&bucket.name)?.join(UPLOADS);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.map_err(io_error("list", &folder))?.path();
                if active(&path).is_ok_and(|active| active < before) {
                    self.upload_remove(&path)?;
                    expired += 1;
                }
            }
        }
        Ok(expired)
    }

    /// Makes an object of the parts that are named.
    pub(super) fn upload_complete(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        named: &[NamedPart],
        condition: &Condition,
        checksums: BTreeMap<String, String>,
    ) -> Result<ObjectInfo, BucketError> {
        let Whole { folder, temporary, etag, attributes } = self.upload_join(bucket, key, id, named)?;
        let ready = Ready { temporary, etag: Some(etag), attributes, checksums };
        let info = self.commit(bucket, key, ready, condition)?;
        self.upload_done(id, &folder);
        Ok(info)
    }

    /// The object is there; what is left of the upload expires.
    pub(super) fn upload_done(&self, id: &str, folder: &Path) {
        if let Err(error) = self.upload_remove(folder) {
            tracing::warn!(upload.id = %id, %error, "an upload that is complete is not removed");
        }
    }

    /// Makes one file of the parts that are named.
    pub(super) fn upload_join(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        named: &[NamedPart],
    ) -> Result<Whole, BucketError> {
        let (folder, upload) = self.upload(bucket, Some(key), id)?;
        let (chosen, etag) = choose(&folder, named)?;
        self.store.room(chosen.iter().map(|part| part.size).sum())?;
        let temporary = self.temporary();
        let failed = |error| self.store.write_error(&temporary.0, error);
        let mut whole = File::create(&temporary.0).map_err(failed)?;
        for part in chosen {
            if !part.append(&mut whole).map_err(failed)? {
                return Err(BucketError::InvalidPart { number: part.number });
            }
        }
        whole.sync_all().map_err(failed)?;
        Ok(Whole { folder, temporary, etag, attributes: upload.attributes })
    }
}

/// The file that the parts of an upload make.
pub(super) struct Whole {
    /// Of the upload.
    pub(super) folder: PathBuf,
    pub(super) temporary: Temporary,
    pub(super) etag: String,
    pub(super) attributes: Attributes,
}

/// A part that was chosen: not opened yet, for ten thousand would be too many at once.
struct Chosen {
    number: u32,
    path: PathBuf,
    version: String,
    size: u64,
}

impl Chosen {
    /// Appends it. The kernel copies, or shares blocks where the file system can.
    fn append(&self, whole: &mut File) -> io::Result<bool> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let is_same = record::version(&file.metadata()?) == self.version;
        Ok(is_same && io::copy(&mut file.take(self.size), whole)? == self.size)
    }
}

/// The parts that are named, and the ETag of the whole.
fn choose(folder: &Path, named: &[NamedPart]) -> Result<(Vec<Chosen>, String), BucketError> {
    if named.is_empty() || named.len() > MAX_PARTS as usize || !named.is_sorted_by(|a, b| a.number < b.number) {
        return Err(BucketError::PartOrder);
    }
    let (mut chosen, mut digests) = (Vec::with_capacity(named.len()), Md5::new());
    for (at, wanted) in named.iter().enumerate() {
        let number = wanted.number;
        let invalid = || BucketError::InvalidPart { number };
        let (info, path, version) = part(folder, number)?.ok_or_else(invalid)?;
        let other_sum = |(name, sum): (&String, &String)| info.checksums.get(name).is_some_and(|kept| kept != sum);
        if wanted.etag.as_ref().is_some_and(|etag| *etag != info.etag) || wanted.checksums.iter().any(other_sum) {
            return Err(invalid());
        }
        if info.size < MIN_PART_BYTES && at + 1 < named.len() {
            return Err(BucketError::PartTooSmall { number, size: info.size });
        }
        digests.update(digest(&info.etag).ok_or_else(invalid)?);
        chosen.push(Chosen { number, path, version, size: info.size });
    }
    let etag = format!("{}-{}", hex(&digests.finalize()), chosen.len());
    Ok((chosen, etag))
}

/// A part of an upload, its file and the version of it.
fn part(folder: &Path, number: u32) -> Result<Option<(PartInfo, PathBuf, String)>, BucketError> {
    let path = folder.join(part_name(number));
    let meta = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("read", &path))?,
    };
    // One that has no record is not whole: it is being replaced, or the process died.
    let Some(record) = record::find(&path, &record::version(&meta)) else { return Ok(None) };
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let info = PartInfo { number, size: meta.len(), etag: record.etag, modified, checksums: record.checksums };
    Ok(Some((info, path, record.version)))
}

fn part_name(number: u32) -> String {
    format!("{number:05}")
}

fn part_number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number| part_name(*number) == name)
}

/// When something came to the upload last.
fn active(folder: &Path) -> io::Result<SystemTime> {
    fs::metadata(folder)?.modified()
}

fn digest(hexadecimal: &str) -> Option<Vec<u8>> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The moment `age` before `now`.
pub(super) fn before(now: SystemTime, age: Duration) -> SystemTime {
    now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}
