//! Files of the disk tier: their names and their form.
//!
//! An object is one file: body, key, head, footer. The body comes first so that it can be written while its length, checksum
//! and key are still open, and so that a file whose writing was cut off has no footer and is believed by nobody.
//!
//! ```text
//! body | key | head | version u32 | key length u32 | head length u32 | body crc32 u32 | body length u64 | crc32 u32 | magic 8
//! ```
//!
//! Numbers are little-endian. `crc32` is over key, head and the footer before it. A newer head of the same body is a file of
//! its own beside the object, of the same form without the body.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::object_key::Key;

const MAGIC: [u8; 8] = *b"anabrobj";
const VERSION: u32 = 1;

/// Bytes of the footer.
pub(super) const FOOTER_BYTES: usize = 36;

/// Longest key and head that are written and believed.
pub(super) const MAX_META_BYTES: usize = 256 << 10;

/// Bytes read from the end of a file at first: key and head are nearly always among them.
const TAIL_BYTES: usize = 4 << 10;

/// Bytes of one reading when a body is checked.
const CHECK_BYTES: usize = 256 << 10;

/// What a file of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole object.
    Object,
    /// A newer head of an object.
    Head,
    /// Not finished.
    Part,
    /// A head, not finished.
    HeadPart,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Object, Self::Head, Self::Part, Self::HeadPart];

    fn suffix(self) -> &'static str {
        match self {
            Self::Object => ".object",
            Self::Head => ".head",
            Self::Part => ".part",
            Self::HeadPart => ".head.part",
        }
    }
}

/// Where the file of that serial is.
pub(super) fn path(dir: &Path, serial: u64, kind: Kind) -> PathBuf {
    dir.join(format!("{serial:016x}{}", kind.suffix()))
}

/// Serial and kind of a name, if it is one of ours.
pub(super) fn parse_name(name: &str) -> Option<(u64, Kind)> {
    let (digits, suffix) = name.split_at_checked(16)?;
    if digits.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let kind = Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
    Some((u64::from_str_radix(digits, 16).ok()?, kind))
}

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The system cannot read it.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
}

/// What stands behind a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) key: Key,
    pub(super) head: Vec<u8>,
    pub(super) body_length: u64,
    pub(super) body_crc: u32,
}

impl Tail {
    /// The bytes to be written behind the body. Key and head must be within [`MAX_META_BYTES`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.key.len() + self.head.len() + FOOTER_BYTES);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&VERSION.to_le_bytes());
        for length in [self.key.len(), self.head.len()] {
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.extend_from_slice(&self.body_length.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out
    }

    /// Reads the tail of an object's file, or a head's.
    pub(super) fn read(file: &File, kind: Kind) -> Result<Self, Unreadable> {
        let size = file.metadata()?.len();
        let mut tail = read_end(file, size, TAIL_BYTES)?;
        let (key_length, head_length) = meta_lengths(&tail)?;
        let meta = key_length + head_length + FOOTER_BYTES;
        if tail.len() < meta {
            tail = read_end(file, size, meta)?;
        }
        let tail = Self::decode(&tail, key_length, head_length)?;
        let body = if kind == Kind::Object { tail.body_length } else { 0 };
        if body.checked_add(meta as u64) != Some(size) {
            return Err(Unreadable::Damaged("the length is another"));
        }
        Ok(tail)
    }

    fn decode(bytes: &[u8], key_length: usize, head_length: usize) -> Result<Self, Unreadable> {
        let meta = key_length + head_length + FOOTER_BYTES;
        let start = bytes.len().checked_sub(meta).ok_or(Unreadable::Damaged("it is cut off"))?;
        let (signed, end) = bytes[start..].split_at(meta - 12);
        if end[..4] != crc32fast::hash(signed).to_le_bytes() {
            return Err(Unreadable::Damaged("the checksum of the head is another"));
        }
        let footer = &signed[key_length + head_length..];
        let number = |at: usize| footer[at..].first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Ok(Self {
            key: signed[..key_length].into(),
            head: signed[key_length..key_length + head_length].to_vec(),
            body_crc: number(12),
            body_length: u64::from(number(16)) | u64::from(number(20)) << 32,
        })
    }
}

/// The last `wanted` bytes of a file, or all if it is shorter.
fn read_end(file: &File, size: u64, wanted: usize) -> Result<Vec<u8>, Unreadable> {
    let length = wanted.min(usize::try_from(size).unwrap_or(usize::MAX));
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, size - length as u64)?;
    Ok(bytes)
}

/// Lengths of key and head, of bytes that end with a footer.
fn meta_lengths(bytes: &[u8]) -> Result<(usize, usize), Unreadable> {
    let footer = bytes.last_chunk::<FOOTER_BYTES>().ok_or(Unreadable::Damaged("it is cut off"))?;
    if footer[28..] != MAGIC {
        return Err(Unreadable::Damaged("it has no footer"));
    }
    if footer[..4] != VERSION.to_le_bytes() {
        return Err(Unreadable::Damaged("it is of another version"));
    }
    let length = |at: usize| {
        let bytes = footer[at..].first_chunk::<4>().copied().unwrap_or_default();
        usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    };
    let (key, head) = (length(4), length(8));
    if key > MAX_META_BYTES || head > MAX_META_BYTES {
        return Err(Unreadable::Damaged("key or head are too long"));
    }
    Ok((key, head))
}

/// The checksum of the first `length` bytes of a file, read in pieces.
pub(super) fn body_crc(file: &File, length: u64) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; CHECK_BYTES];
    let mut offset = 0;
    while offset < length {
        let take = usize::try_from(length - offset).unwrap_or(usize::MAX).min(CHECK_BYTES);
        file.read_exact_at(&mut piece[..take], offset)?;
        hasher.update(&piece[..take]);
        offset += take as u64;
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tail(key: &[u8], head: &[u8], body: &[u8]) -> Tail {
        Tail { key: key.into(), head: head.to_vec(), body_length: body.len() as u64, body_crc: crc32fast::hash(body) }
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        file
    }

    #[test]
    fn names_are_ours_or_not() {
        let dir = Path::new("/d");
        for kind in Kind::ALL {
            let path = path(dir, 0xab12, kind);
            assert_eq!(parse_name(path.file_name().unwrap().to_str().unwrap()), Some((0xab12, kind)));
        }
        for other in
            ["", "notes.txt", "000000000000ab12", "000000000000AB12.object", "000000000000ab12.objects", "ab.part"]
        {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn long_and_short_heads_are_read() {
        for head in [&[7; 20][..], &[7; 9000]] {
            let wanted = tail(b"E1/a", head, b"body");
            let file = file_of(&[b"body", &wanted.encode()[..]].concat());
            assert_eq!(Tail::read(&file, Kind::Object).unwrap(), wanted);
            assert_eq!(body_crc(&file, 4).unwrap(), wanted.body_crc);
            assert!(matches!(Tail::read(&file, Kind::Head), Err(Unreadable::Damaged(_))));
        }
    }

    #[test]
    fn no_cut_and_no_flipped_byte_of_the_tail_is_believed() {
        let whole = [b"body", &tail(b"E1/a", b"head", b"body").encode()[..]].concat();
        for cut in 0..whole.len() {
            assert!(Tail::read(&file_of(&whole[..cut]), Kind::Object).is_err(), "cut at {cut}");
        }
        for at in 4..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0x10;
            assert!(Tail::read(&file_of(&other), Kind::Object).is_err(), "flipped at {at}");
        }
        assert!(Tail::read(&file_of(&[&whole[..], b"x"].concat()), Kind::Object).is_err());
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), footer: bool) {
            if footer {
                bytes.extend_from_slice(&VERSION.to_le_bytes());
                bytes.extend(std::iter::repeat_n(0xff, 24));
                bytes.extend_from_slice(&MAGIC);
            }
            prop_assert!(Tail::read(&file_of(&bytes), Kind::Object).is_err());
        }
    }
}
