//! Stored bodies: in memory, or as a part of a file on disk whose pages the system keeps.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::disk::claim::Claim;
use crate::segments::Segments;

/// Most bytes of a file that one reading gives.
const READ_BYTES: u64 = 256 << 10;

/// A whole body.
#[derive(Clone, Debug)]
pub(crate) enum StoredBody {
    /// In memory.
    Memory(Arc<Segments>),
    /// On disk.
    File(FileBody),
}

/// A body in an open file, which stays readable when the file is removed.
#[derive(Clone, Debug)]
pub(crate) struct FileBody {
    pub(crate) file: Arc<File>,
    /// Where it begins in the file.
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// The disk tier's file that this is.
    pub(crate) claim: Arc<Claim>,
}

impl StoredBody {
    /// A body of one string.
    pub(crate) fn one(bytes: Bytes) -> Self {
        Self::Memory(Arc::new(Segments::one(bytes)))
    }

    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory(segments) => segments.length(),
            Self::File(file) => file.length,
        }
    }

    /// Bytes that it takes of the memory tier.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match self {
            Self::Memory(segments) => segments.length(),
            Self::File(_) => 0,
        }
    }

    /// Some bytes at `offset`, cut at `end`; nothing at or past either.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than it was.
    pub(crate) fn at(&self, offset: u64, end: u64) -> io::Result<Option<Bytes>> {
        match self {
            Self::Memory(segments) => Ok(segments.at(offset, end)),
            Self::File(file) => file.at(offset, end),
        }
    }

    /// All bytes in one string.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub(crate) fn contiguous(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(segments) => Ok(segments.contiguous()),
            Self::File(file) => {
                let mut all = BytesMut::zeroed(usize::try_from(file.length).unwrap_or(usize::MAX));
                file.read(&mut all, 0)?;
                Ok(all.freeze())
            }
        }
    }
}

impl FileBody {
    fn at(&self, offset: u64, end: u64) -> io::Result<Option<Bytes>> {
        let wanted = end.min(self.length).saturating_sub(offset).min(READ_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        let mut bytes = BytesMut::zeroed(usize::try_from(wanted).unwrap_or(0));
        self.read(&mut bytes, offset)?;
        Ok(Some(bytes.freeze()))
    }

    /// Fills `bytes` with what is at `offset`.
    ///
    /// # Errors
    /// As [`StoredBody::at`]; the body is not used again.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, self.start + offset).inspect_err(|error| self.spoil(error))
    }

    /// Sees to it that a body that could not be read is not used again.
    pub(crate) fn spoil(&self, error: &io::Error) {
        if !self.claim.is_spoilt() {
            tracing::error!(%error, cache.file = self.claim.serial(), "a cached body cannot be read and is dropped");
        }
        self.claim.spoil();
    }
}
