//! Large buffers for parts of files on their way out, used again by each thread.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;

use crate::body::{FileBody, StoredBody};

/// Buffers that a thread keeps for its next readings.
const KEPT_BUFFERS: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that goes back to its thread, or to the one that drops it.
struct Lent {
    bytes: Vec<u8>,
    used: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // A thread that is ending has no buffers any more.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_BUFFERS {
                kept.push(std::mem::take(&mut self.bytes));
            }
        });
    }
}

/// Some bytes of a body at `offset`, cut at `end`, at the most `limit` of them; nothing at or past its end. Bytes of a file come
/// in a buffer that is used again once they are dropped.
///
/// # Errors
/// The file cannot be read, or is shorter than it was.
pub(crate) fn slice(body: &StoredBody, offset: u64, end: u64, limit: usize) -> io::Result<Option<Bytes>> {
    match body {
        StoredBody::Memory(segments) => Ok(segments.at(offset, end)),
        StoredBody::File(file) => slice_of_file(file, offset, end, limit),
    }
}

fn slice_of_file(file: &FileBody, offset: u64, end: u64, limit: usize) -> io::Result<Option<Bytes>> {
    let wanted = end.min(file.length).saturating_sub(offset).min(limit as u64);
    let wanted = usize::try_from(wanted).unwrap_or(limit);
    if wanted == 0 {
        return Ok(None);
    }
    let mut bytes = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if bytes.len() < wanted {
        bytes.resize(wanted.max(limit), 0);
    }
    let mut lent = Lent { bytes, used: wanted };
    file.read(&mut lent.bytes[..wanted], offset)?;
    Ok(Some(Bytes::from_owner(lent)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn files_are_read_in_slices_and_buffers_come_back() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"..abcdefgh").unwrap();
        let body = StoredBody::File(FileBody {
            file: Arc::new(file),
            start: 2,
            length: 8,
            claim: Arc::new(crate::disk::claim::Claim::kept(0, 0)),
        });
        let read = |offset, end| slice(&body, offset, end, 3).unwrap();
        let first = read(0, 8).unwrap();
        let second = read(3, 8).unwrap();
        assert_eq!((&first[..], &second[..]), (&b"abc"[..], &b"def"[..]));
        drop((first, second));
        assert_eq!(KEPT.with_borrow(Vec::len), 2);
        assert_eq!(read(6, 99).unwrap(), "gh");
        assert_eq!(read(1, 2).unwrap(), "b");
        assert_eq!((read(8, 99), read(5, 5)), (None, None));
        let StoredBody::File(short) = &body else { panic!() };
        let short = FileBody { length: 100, ..short.clone() };
        assert!(slice_of_file(&short, 7, 100, 50).is_err());
    }
}
