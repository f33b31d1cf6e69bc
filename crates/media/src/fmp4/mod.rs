//! Writing of CMAF: init sections and media segments of one track each (ISO/IEC 23000-19, ISO/IEC 14496-12).

mod boxes;
mod entry;
mod init;
mod segment;

pub use crate::time::rescale;
pub use init::{Presentation, init_section, init_section_with};
pub use segment::{FragmentSample, SEGMENT_TYPE_BYTES, fragment_head, segment_head};

/// Largest `mdat` body of a segment, in bytes (1 GiB): its size fits 32 bits and `data_offset` fits 31.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// Most samples of one segment.
pub const MAX_SEGMENT_SAMPLES: usize = 1 << 20;

/// `track_ID` of the only track of each file.
const TRACK_ID: u32 = 1;

/// Why a track or segment cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A timescale of zero units per second.
    #[error("timescale is zero")]
    Timescale,
    /// A picture side that a sample entry cannot hold.
    #[error("picture size does not fit a sample entry: {width}x{height}")]
    PictureSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A channel count that a sample entry cannot hold.
    #[error("channel count does not fit a sample entry: {channels}")]
    Channels {
        /// The count.
        channels: u32,
    },
    /// A decoder configuration above [`crate::MAX_CONFIG_BYTES`].
    #[error("decoder configuration is too long: {bytes} bytes")]
    ConfigLength {
        /// Its length.
        bytes: usize,
    },
    /// A codec of the other kind, such as AAC in a video track.
    #[error("codec is not of the track's kind: {codecs}")]
    Kind {
        /// The track's `codecs` value.
        codecs: String,
    },
    /// A segment without samples.
    #[error("segment has no samples")]
    Empty,
    /// More than [`MAX_SEGMENT_SAMPLES`].
    #[error("segment has too many samples: {samples}")]
    Samples {
        /// How many.
        samples: usize,
    },
    /// More than [`MAX_SEGMENT_BYTES`].
    #[error("segment is too long: {bytes} bytes")]
    SegmentLength {
        /// Sum of the samples' sizes.
        bytes: u64,
    },
}

#[cfg(test)]
mod tests;
