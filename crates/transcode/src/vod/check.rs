//! What ffmpeg made is looked at before it gets its name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Boxes at the top of a file of ours; ffmpeg writes four.
const BOXES_MAX: usize = 32;

/// An index larger than this is not read: it would describe some ten million samples.
const INDEX_MAX_BYTES: u64 = 256 << 20;

/// A track of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) samples: u64,
    pub(super) duration_ms: u64,
}

/// Tracks of an MP4 that is not fragmented.
pub(super) fn tracks(path: &Path) -> io::Result<Vec<Track>> {
    let mut file = File::open(path)?;
    let index = index(&mut file)?;
    Ok(children(&index).filter(|(kind, _)| kind == b"trak").map(|(_, body)| track(body)).collect())
}

/// The contents of `moov` (ISO/IEC 14496-12 §8.2.1).
fn index(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "it has no index");
    let mut at = 0;
    for _ in 0..BOXES_MAX {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(|_| missing())?;
        let (mut size, mut head_bytes) = (u64::from(be32(&head[..4])), 8);
        if size == 1 {
            let mut large = [0; 8];
            file.read_exact(&mut large)?;
            (size, head_bytes) = (u64::from_be_bytes(large), 16);
        }
        let Some(body) = size.checked_sub(head_bytes) else { break };
        if &head[4..] == b"moov" {
            if body > INDEX_MAX_BYTES {
                break;
            }
            let mut bytes = Vec::new();
            file.take(body).read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
        at = at.saturating_add(size);
    }
    Err(missing())
}

fn track(trak: &[u8]) -> Track {
    let media = child(trak, b"mdia");
    let sizes = child(child(child(media, b"minf"), b"stbl"), b"stsz");
    // §8.7.3.2: version and flags, size of all, count.
    let samples = sizes.get(8..12).map_or(0, |count| u64::from(be32(count)));
    // §8.4.2.2: in version 1 times have 64 bits.
    let header = child(media, b"mdhd");
    let (timescale, duration) = match header.first() {
        Some(0) => (header.get(12..16), header.get(16..20).map(|value| u64::from(be32(value)))),
        _ => {
            (header.get(20..24), header.get(24..32).and_then(|value| Some(u64::from_be_bytes(value.try_into().ok()?))))
        }
    };
    let timescale = timescale.map_or(1, |value| u64::from(be32(value)).max(1));
    let duration_ms = u128::from(duration.unwrap_or(0)) * 1000 / u128::from(timescale);
    Track { samples, duration_ms: u64::try_from(duration_ms).unwrap_or(u64::MAX) }
}

/// The first box of a kind, or nothing.
fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    children(bytes).find(|(found, _)| found == kind).map_or(&[], |(_, body)| body)
}

fn children(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (head, _) = bytes.split_at_checked(8)?;
        let size = be32(&head[..4]) as usize;
        let kind = head[4..].try_into().ok()?;
        let (whole, rest) = bytes.split_at_checked(size.max(8))?;
        bytes = rest;
        Some((kind, &whole[8..]))
    })
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = index(&mut io::Cursor::new(&bytes));
            let _ = track(&bytes);
        }
    }
}
