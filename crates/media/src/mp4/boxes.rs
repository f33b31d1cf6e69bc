//! Boxes and their fields taken out of bytes, bounds-checked.

use super::{BoxHeader, FourCc, Mp4Error};

/// Reads the fields of one box.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    kind: FourCc,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(kind: FourCc, body: &'a [u8]) -> Self {
        Self { kind, rest: body }
    }

    pub(super) fn truncated(&self) -> Mp4Error {
        Mp4Error::Truncated { kind: self.kind }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Mp4Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.truncated())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Mp4Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(self.truncated())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Mp4Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Mp4Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Mp4Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// A field of 32 bits in version 0 of a box and of 64 bits in version 1.
    pub(super) fn wide(&mut self, version: u8) -> Result<u64, Mp4Error> {
        if version == 1 { self.u64() } else { self.u32().map(u64::from) }
    }

    /// `FullBox`: u8 version, u24 flags.
    pub(super) fn version_and_flags(&mut self) -> Result<(u8, u32), Mp4Error> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0xff_ffff))
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` entries of `bytes` each, which must all be there.
    pub(super) fn entries(&mut self, count: u32, bytes: usize) -> Result<&'a [u8], Mp4Error> {
        let length = (count as usize).checked_mul(bytes).ok_or(self.truncated())?;
        self.take(length)
    }
}

/// The boxes that a body is made of; ends at the first one that does not fit.
pub(super) struct Boxes<'a> {
    parent: FourCc,
    rest: &'a [u8],
}

impl<'a> Boxes<'a> {
    pub(super) fn new(parent: FourCc, body: &'a [u8]) -> Self {
        Self { parent, rest: body }
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<(FourCc, &'a [u8]), Mp4Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // QuickTime ends some lists of boxes with a zero.
        if self.rest.len() < 8 {
            return None;
        }
        let split = BoxHeader::parse(self.rest).ok().and_then(|header| {
            let body = self.rest.get(header.header_bytes as usize..)?;
            let length = header.body_bytes.map_or(Some(body.len()), |bytes| usize::try_from(bytes).ok())?;
            body.split_at_checked(length).map(|(body, rest)| (header.kind, body, rest))
        });
        let Some((kind, body, rest)) = split else {
            self.rest = &[];
            return Some(Err(Mp4Error::Truncated { kind: self.parent }));
        };
        self.rest = rest;
        Some(Ok((kind, body)))
    }
}

/// The first box of a type inside of a body.
pub(super) fn find<'a>(parent: FourCc, body: &'a [u8], kind: &[u8; 4]) -> Result<Option<Fields<'a>>, Mp4Error> {
    for found in Boxes::new(parent, body) {
        let (found, body) = found?;
        if found.0 == *kind {
            return Ok(Some(Fields::new(found, body)));
        }
    }
    Ok(None)
}

/// The first box of a type, which must be there.
pub(super) fn need<'a>(parent: FourCc, body: &'a [u8], kind: &[u8; 4]) -> Result<Fields<'a>, Mp4Error> {
    find(parent, body, kind)?.ok_or(Mp4Error::Missing(FourCc(*kind)))
}
