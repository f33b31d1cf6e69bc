//! A segment's bytes, and where keyframes are in them.

use bytes::Bytes;

/// Keyframes that follow another by less than this are not in I-frame playlists, in milliseconds.
pub(super) const KEYFRAME_DISTANCE_MS: i64 = 900;

/// A segment's bytes.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) pieces: Vec<Bytes>,
    pub(super) bytes: u64,
    pub(super) keyframes: Vec<Keyframe>,
}

impl Body {
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len() as u64;
        self.pieces.push(piece);
    }
}

/// A keyframe that is a range of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyframe {
    pub(super) pts: i64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}
