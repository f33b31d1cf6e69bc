//! Frames of HTTP/2 on the wire (RFC 9113 §4, §6).

/// Bytes of a frame's head.
pub(super) const HEAD_BYTES: usize = 9;

/// Longest payload that is taken, and that is sent: what either side begins with (RFC 9113 §6.5.2).
pub(super) const MAX_FRAME_BYTES: usize = 16 << 10;

/// What every window begins with, and no window may pass (RFC 9113 §6.9).
pub(super) const FIRST_WINDOW: i64 = 65_535;
pub(super) const MAX_WINDOW: i64 = (1 << 31) - 1;

/// The largest id, for a farewell that refuses nothing yet.
pub(super) const MAX_ID: u32 = (1 << 31) - 1;

/// Kinds of frames.
pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0;
    pub(in crate::h2) const HEADERS: u8 = 1;
    pub(in crate::h2) const PRIORITY: u8 = 2;
    pub(in crate::h2) const RST_STREAM: u8 = 3;
    pub(in crate::h2) const SETTINGS: u8 = 4;
    pub(in crate::h2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::h2) const PING: u8 = 6;
    pub(in crate::h2) const GOAWAY: u8 = 7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::h2) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(super) mod flag {
    pub(in crate::h2) const ACK: u8 = 1;
    pub(in crate::h2) const END_STREAM: u8 = 1;
    pub(in crate::h2) const END_HEADERS: u8 = 4;
    pub(in crate::h2) const PADDED: u8 = 8;
    pub(in crate::h2) const PRIORITY: u8 = 32;
}

/// Settings (RFC 9113 §6.5.2).
pub(super) mod setting {
    pub(in crate::h2) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::h2) const ENABLE_PUSH: u16 = 2;
    pub(in crate::h2) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::h2) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::h2) const MAX_FRAME_SIZE: u16 = 5;
    pub(in crate::h2) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Why a stream or connection is ended (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    /// Reads one at the beginning of `bytes`, if it is there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes(*stream) & MAX_ID,
        })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload without padding.
    ///
    /// # Errors
    /// The padding is longer than the payload.
    pub(super) fn unpad(self, payload: &[u8]) -> Result<&[u8], Reason> {
        if !self.has(flag::PADDED) {
            return Ok(payload);
        }
        let (&padding, rest) = payload.split_first().ok_or(Reason::FrameSize)?;
        let length = rest.len().checked_sub(usize::from(padding)).ok_or(Reason::Protocol)?;
        Ok(&rest[..length])
    }
}

/// A number of 31 bits; nothing if `payload` is not just that.
pub(super) fn read_31(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?) & MAX_ID)
}

/// Appends a frame's head.
pub(super) fn push_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let stream = stream.to_be_bytes();
    out.extend_from_slice(&[length[1], length[2], length[3], kind, flags, stream[0], stream[1], stream[2], stream[3]]);
}

fn push_with(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    push_head(out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
}

pub(super) fn push_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    push_with(out, kind::RST_STREAM, 0, stream, &(reason as u32).to_be_bytes());
}

/// Opens a window by `bytes`; that of the connection is stream 0's.
pub(super) fn push_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    push_with(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

pub(super) fn push_ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    push_with(out, kind::PING, flags, 0, &payload);
}

pub(super) fn push_farewell(out: &mut Vec<u8>, last: u32, reason: Reason) {
    push_head(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(reason as u32).to_be_bytes());
}

pub(super) fn push_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    push_head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn push_settings_ack(out: &mut Vec<u8>) {
    push_head(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// Appends a field block as a HEADERS frame and as many CONTINUATION frames as it needs. `write` appends the block to what it is
/// given.
pub(super) fn push_headers(out: &mut Vec<u8>, stream: u32, end_stream: bool, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    push_head(out, 0, kind::HEADERS, if end_stream { flag::END_STREAM } else { 0 }, stream);
    let block = out.len();
    write(out);
    let length = out.len() - block;
    let rest = if length > MAX_FRAME_BYTES { out.split_off(block + MAX_FRAME_BYTES) } else { Vec::new() };
    let first = u32::try_from(length.min(MAX_FRAME_BYTES)).unwrap_or(0).to_be_bytes();
    out[begin..begin + 3].copy_from_slice(&first[1..]);
    if rest.is_empty() {
        out[begin + 4] |= flag::END_HEADERS;
    }
    let mut pieces = rest.chunks(MAX_FRAME_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        push_with(out, kind::CONTINUATION, flags, stream, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_padding_taken_off() {
        let mut out = Vec::new();
        push_reset(&mut out, 7, Reason::EnhanceYourCalm);
        let head = FrameHead::read(&out).unwrap();
        assert_eq!(head, FrameHead { length: 4, kind: kind::RST_STREAM, flags: 0, stream: 7 });
        assert_eq!((FrameHead::read(&out[..8]), read_31(&out[9..])), (None, Some(11)));
        let padded = FrameHead { flags: flag::PADDED, ..head };
        assert_eq!(padded.unpad(&[2, b'a', 0, 0]), Ok(&b"a"[..]));
        assert_eq!(padded.unpad(&[3, b'a', 0, 0]), Ok(&b""[..]));
        assert_eq!(padded.unpad(&[4, b'a', 0, 0]), Err(Reason::Protocol));
        assert_eq!(padded.unpad(&[]), Err(Reason::FrameSize));
    }

    #[test]
    fn long_blocks_are_continued() {
        for (length, frames) in [(0, 1), (MAX_FRAME_BYTES, 1), (MAX_FRAME_BYTES + 1, 2), (3 * MAX_FRAME_BYTES, 3)] {
            let mut out = vec![1, 2, 3];
            push_headers(&mut out, 5, true, |out| out.resize(out.len() + length, b'x'));
            let (mut rest, mut seen, mut bytes) = (&out[3..], 0, 0);
            while let Some(head) = FrameHead::read(rest) {
                seen += 1;
                bytes += head.length;
                rest = &rest[HEAD_BYTES + head.length..];
                assert_eq!(head.kind, if seen == 1 { kind::HEADERS } else { kind::CONTINUATION });
                assert_eq!(head.has(flag::END_HEADERS), seen == frames);
            }
            assert_eq!((seen, bytes, rest.len()), (frames, length, 0));
        }
    }
}
