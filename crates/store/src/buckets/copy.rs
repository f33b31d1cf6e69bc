//! Objects made of files that are on the disk already. Everything here blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use md5::{Digest as _, Md5};

use super::disk::{Disk, Ready};
use super::hex::hex;
use super::types::{Adopt, Attributes, BucketError, Condition, CopyAttributes, ObjectInfo, PartInfo};
use super::writer::Written;
use crate::local::io_error;

/// Bytes that are read at once where they have to be digested.
const READ_BYTES: usize = 1024 * 1024;

impl Disk {
    pub(super) fn copy(
        &self,
        from: (&str, &str),
        to: (&str, &str),
        attributes: CopyAttributes,
        condition: &Condition,
    ) -> Result<ObjectInfo, BucketError> {
        let (source, info) = self.open(from.0, from.1)?;
        self.store.room(info.size)?;
        let temporary = self.temporary();
        let failed = |error| self.store.write_error(&temporary.0, error);
        let mut file = File::create(&temporary.0).map_err(failed)?;
        // One that has two hyphens is a name of the source's version, which the copy is not.
        let (etag, copied) = if info.etag.matches('-').count() < 2 {
            (info.etag, whole(&source, &mut file, info.size))
        } else {
            let digest = digested(source.take(info.size), &mut file).map_err(failed)?;
            (hex(&digest), Ok(()))
        };
        copied.and_then(|()| file.sync_all()).map_err(failed)?;
        let attributes = match attributes {
            CopyAttributes::Keep => info.attributes,
            CopyAttributes::Replace(attributes) => attributes,
        };
        let ready = Ready { temporary, etag: Some(etag), attributes, checksums: info.checksums };
        self.commit(to.0, to.1, ready, condition)
    }

    pub(super) fn adopt(
        &self,
        bucket: &str,
        key: &str,
        file: &Path,
        how: Adopt,
        attributes: Attributes,
        md5: Option<[u8; 16]>,
    ) -> Result<ObjectInfo, BucketError> {
        let temporary = self.temporary();
        // A link to it would be linked, not it.
        let file = fs::canonicalize(file).map_err(io_error("find", file))?;
        let source = File::open(&file).map_err(io_error("read", &file))?;
        let meta = source.metadata().map_err(io_error("read", &file))?;
        if !meta.is_file() {
            return Err(io_error("take in", &file)(io::ErrorKind::InvalidInput.into()).into());
        }
        if how == Adopt::Copy || fs::hard_link(&file, &temporary.0).is_err() {
            self.store.room(meta.len())?;
            let copy = || {
                let mut copy = File::create(&temporary.0)?;
                whole(&source, &mut copy, meta.len())?;
                copy.sync_all()
            };
            copy().map_err(|error| self.store.write_error(&temporary.0, error))?;
        } else {
            source.sync_all().map_err(io_error("sync", &file))?;
        }
        let etag = md5.map(|md5| hex(&md5));
        let ready = Ready { temporary, etag, attributes, checksums: BTreeMap::new() };
        self.commit(bucket, key, ready, &Condition::None)
    }

    pub(super) fn part_copy(
        &self,
        from: (&str, &str),
        range: Option<RangeInclusive<u64>>,
        to: (&str, &str),
        id: &str,
        number: u32,
    ) -> Result<PartInfo, BucketError> {
        self.part_check(to.0, to.1, id, number)?;
        let (mut source, info) = self.open(from.0, from.1)?;
        let (first, len) = match range {
            None => (0, info.size),
            Some(range) if *range.end() < info.size && range.start() <= range.end() => {
                (*range.start(), range.end() - range.start() + 1)
            }
            Some(range) => {
                return Err(BucketError::Range { first: *range.start(), last: *range.end(), size: info.size });
            }
        };
        self.store.room(len)?;
        let temporary = self.temporary();
        let copy = || {
            let mut file = File::create(&temporary.0)?;
            source.seek(SeekFrom::Start(first))?;
            let md5 = digested(source.take(len), &mut file)?;
            file.sync_all()?;
            Ok(md5)
        };
        let md5 = copy().map_err(|error| self.store.write_error(&temporary.0, error))?;
        self.part_commit(to.0, to.1, id, number, Written { temporary, md5, checksums: BTreeMap::new() })
    }
}

/// Copies within the kernel, which shares the blocks where the file system can.
fn whole(source: &File, copy: &mut File, size: u64) -> io::Result<()> {
    if io::copy(&mut source.take(size), copy)? == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Copies through memory, piece by piece; returns the MD5.
fn digested(mut source: impl Read, copy: &mut impl Write) -> io::Result<[u8; 16]> {
    let (mut piece, mut md5) = (vec![0; READ_BYTES], Md5::new());
    loop {
        let read = match source.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            return Ok(md5.finalize().into());
        }
        copy.write_all(&piece[..read])?;
        md5.update(&piece[..read]);
    }
}
