//! `.flv` byte streams.

use bytes::{Buf, Bytes, BytesMut};

use super::{FlvError, FlvKind};

/// Largest tag that is read, in bytes; the 24-bit length field allows no more.
pub const MAX_TAG_BYTES: usize = 16 * 1024 * 1024;

/// Largest file header that is read, in bytes; version 1 has 9.
const MAX_HEADER_BYTES: u32 = 1024;

const HEADER_BYTES: usize = 9;
const TAG_HEADER_BYTES: usize = 11;
const PREVIOUS_TAG_SIZE_BYTES: usize = 4;

/// One audio or video tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTag {
    /// Audio or video.
    pub kind: FlvKind,
    /// Decoding time in milliseconds, modulo 2³².
    pub timestamp_ms: u32,
    /// The message body, as [`super::Demuxer::push`] takes it.
    pub body: Bytes,
}

/// Reads an FLV byte stream (FLV §E.2 and §E.3) that arrives in pieces of any size. Script data is passed over.
///
/// Holds at most one tag beyond what was pushed last.
#[derive(Debug, Default)]
pub struct FileReader {
    pending: BytesMut,
    /// Bytes consumed so far.
    offset: u64,
    /// Bytes to pass over before the next tag; `None` until the header was read.
    skip: Option<usize>,
}

impl FileReader {
    /// A reader at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and appends the tags that they complete.
    ///
    /// # Errors
    /// When the bytes are not FLV; the stream cannot be read further.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<FileTag>) -> Result<(), FlvError> {
        self.pending.extend_from_slice(bytes);
        if self.skip.is_none() {
            let Some(skip) = self.read_header()? else {
                return Ok(());
            };
            self.skip = Some(skip);
        }
        while let Some(tag) = self.read_tag()? {
            out.extend(tag);
        }
        Ok(())
    }

    /// Answers the bytes between the header and the first tag.
    fn read_header(&mut self) -> Result<Option<usize>, FlvError> {
        // "FLV", u8 version = 1, u8 flags (has audio, has video), u32 length of this header, then u32 previous tag size
        if let Some(&start) = self.pending.first_chunk()
            && &start != b"FLV\x01"
        {
            return Err(FlvError::NotFlv { start });
        }
        if self.pending.len() < HEADER_BYTES {
            return Ok(None);
        }
        let length = (&self.pending[5..]).get_u32();
        if !(HEADER_BYTES as u32..=MAX_HEADER_BYTES).contains(&length) {
            return Err(FlvError::HeaderLength { bytes: length });
        }
        Ok(Some(length as usize + PREVIOUS_TAG_SIZE_BYTES))
    }

    /// Takes one whole tag off the front: `None` when there is none, an empty inner value when it is not of interest.
    fn read_tag(&mut self) -> Result<Option<Option<FileTag>>, FlvError> {
        let pass = self.skip.unwrap_or(0).min(self.pending.len());
        self.consume(pass);
        self.skip = self.skip.map(|skip| skip - pass);
        if self.skip != Some(0) || self.pending.len() < TAG_HEADER_BYTES {
            return Ok(None);
        }
        // 2 bits reserved, 1 bit filter (encryption), 5 bits tag type
        // u24 data size, u24 timestamp, u8 its upper bits, u24 stream id = 0, data, u32 previous tag size
        let mut header = &self.pending[..TAG_HEADER_BYTES];
        let flags = header.get_u8();
        let size = header.get_uint(3) as usize;
        let timestamp_ms = header.get_uint(3) as u32 | u32::from(header.get_u8()) << 24;
        if flags & 0x20 != 0 {
            return Err(FlvError::Encrypted { offset: self.offset });
        }
        if size > MAX_TAG_BYTES {
            return Err(FlvError::TagLength { offset: self.offset, bytes: size });
        }
        let kind = match flags & 0x1f {
            8 => FlvKind::Audio,
            9 => FlvKind::Video,
            _ => {
                self.skip = Some(TAG_HEADER_BYTES + size + PREVIOUS_TAG_SIZE_BYTES);
                return Ok(Some(None));
            }
        };
        if self.pending.len() < TAG_HEADER_BYTES + size {
            return Ok(None);
        }
        self.consume(TAG_HEADER_BYTES);
        let body = self.pending.split_to(size).freeze();
        self.offset += size as u64;
        // Not compared: writers disagree on what it counts, and nothing is read backward.
        self.skip = Some(PREVIOUS_TAG_SIZE_BYTES);
        Ok(Some(Some(FileTag { kind, timestamp_ms, body })))
    }

    fn consume(&mut self, count: usize) {
        self.pending.advance(count);
        self.offset += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream() -> Vec<u8> {
        let mut bytes = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        for (kind, timestamp, body) in
            [(18_u8, 0_u32, &b"script"[..]), (9, 0x0102_0304, b"video"), (8, 40, b""), (8, 63, b"a")]
        {
            bytes.push(kind);
            bytes.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
            bytes.extend_from_slice(&timestamp.to_be_bytes()[1..]);
            bytes.push((timestamp >> 24) as u8);
            bytes.extend_from_slice(&[0; 3]);
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(&(11 + body.len() as u32).to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<FileTag>, FlvError> {
        let mut reader = FileReader::new();
        let mut tags = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece, &mut tags)?;
        }
        Ok(tags)
    }

    #[test]
    fn pieces_of_any_size_give_the_same_tags() {
        let expected = [
            FileTag { kind: FlvKind::Video, timestamp_ms: 0x0102_0304, body: Bytes::from_static(b"video") },
            FileTag { kind: FlvKind::Audio, timestamp_ms: 40, body: Bytes::new() },
            FileTag { kind: FlvKind::Audio, timestamp_ms: 63, body: Bytes::from_static(b"a") },
        ];
        let bytes = stream();
        for piece in 1..=bytes.len() {
            assert_eq!(read(&bytes, piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn other_streams_are_refused() {
        assert_eq!(read(b"OggS", 1), Err(FlvError::NotFlv { start: *b"OggS" }));
        assert_eq!(read(b"FLV\x01\x05\xff\0\0\x09", 9), Err(FlvError::HeaderLength { bytes: 0xff00_0009 }));
        let mut bytes = stream();
        bytes[13] |= 0x20;
        assert_eq!(read(&bytes, 5), Err(FlvError::Encrypted { offset: 13 }));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
            let _ = read(&bytes, piece);
            let mut after_header = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
            after_header.extend_from_slice(&bytes);
            let _ = read(&after_header, piece);
        }
    }
}
