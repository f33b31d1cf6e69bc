//! Models of playlists, read from text and written to it.

pub(crate) mod attributes;
mod lines;
mod media;
mod multivariant;

pub use lines::{Fault, ParseError};
pub use media::{ByteRange, MapTag, MediaPlaylist, MediaSegment, PlaylistType};
pub use multivariant::{MultivariantPlaylist, RenditionMedia, Variant, is_frames};

/// Longest playlist that is read, in bytes.
pub const PLAYLIST_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most lines of a playlist that is read.
pub const PLAYLIST_MAX_LINES: usize = 100_000;
