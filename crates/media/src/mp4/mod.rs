//! Reading of ISO base media files: MP4, MOV and fragmented MP4 (ISO/IEC 14496-12), whole or as they come from encoders.
//!
//! The caller reads the file. It walks the top level with [`BoxHeader::parse`], hands the body of `moov` to [`Movie::parse`], and gets a
//! [`Samples`] iterator for each track: where each sample lies and when it is shown. Of a fragmented file it hands each `moof` to
//! [`Movie::fragment`]. Times that come out have the edit list in them: 0 is where the presentation of the file begins.

mod boxes;
mod edit;
mod entry;
mod fragment;
mod movie;
mod table;

#[cfg(test)]
mod tests;

use std::fmt;

pub use edit::Edit;
pub use entry::VideoRange;
pub use fragment::FragmentTime;
pub use movie::{Content, Movie, MovieTrack};
pub use table::{SampleRef, Samples};

use crate::ConfigError;

/// Largest body of `moov` that is read, in bytes: the index of about six million samples.
pub const MAX_MOOV_BYTES: u64 = 96 * 1024 * 1024;

/// Largest body of `moof` that is read, in bytes.
pub const MAX_MOOF_BYTES: u64 = 16 * 1024 * 1024;

/// Most tracks of a file.
pub const MAX_TRACKS: usize = 256;

/// Most samples of a track: three days of pictures at 60 a second.
pub const MAX_TRACK_SAMPLES: u32 = 1 << 24;

/// Most samples of one `moof`.
pub const MAX_FRAGMENT_SAMPLES: usize = 1 << 20;

/// Type of a box or name of a coding format: four characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Error {
    /// A box ends inside of a field, or says that more is in it than there is.
    #[error("box {kind} is cut off or counts more than it holds")]
    Truncated {
        /// The box, or the one around it.
        kind: FourCc,
    },
    /// A box that must be there is not.
    #[error("box {0} is missing")]
    Missing(FourCc),
    /// A timescale of zero units per second.
    #[error("timescale of {0} is zero")]
    Timescale(FourCc),
    /// More than is read.
    #[error("too many {what}: {count}, at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// How many are read.
        limit: u64,
    },
    /// A box is too large to be read.
    #[error("box {kind} is too large: {bytes} bytes, at most {limit}")]
    TooLarge {
        /// The box.
        kind: FourCc,
        /// Its size.
        bytes: u64,
        /// How much is read.
        limit: u64,
    },
    /// A decoder configuration of a coding format that is supported cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Head of a box at the top level of a file (§4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHeader {
    /// Type.
    pub kind: FourCc,
    /// Bytes of the head itself.
    pub header_bytes: u64,
    /// Bytes of what follows it; `None`: all that is left of the file.
    pub body_bytes: Option<u64>,
}

impl BoxHeader {
    /// Most bytes that a head takes.
    pub const MAX_BYTES: usize = 16;

    /// Reads the head of the box that `bytes` begins with, `bytes` being [`BoxHeader::MAX_BYTES`] of the file or all that is left of it.
    ///
    /// # Errors
    /// [`Mp4Error::Truncated`] when the bytes end within the head, or the size is smaller than the head.
    pub fn parse(bytes: &[u8]) -> Result<Self, Mp4Error> {
        // u32 size, u32 type; size = 1: u64 largesize; size = 0: to the end of the file
        let Some((&[s0, s1, s2, s3, k0, k1, k2, k3], rest)) = bytes.split_first_chunk() else {
            return Err(Mp4Error::Truncated { kind: FourCc(*b"file") });
        };
        let kind = FourCc([k0, k1, k2, k3]);
        let truncated = Mp4Error::Truncated { kind };
        let (header_bytes, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => return Ok(Self { kind, header_bytes: 8, body_bytes: None }),
            1 => {
                let (large, _) = rest.split_first_chunk::<8>().ok_or(truncated.clone())?;
                (16, u64::from_be_bytes(*large))
            }
            size => (8, u64::from(size)),
        };
        let body = size.checked_sub(header_bytes).ok_or(truncated)?;
        Ok(Self { kind, header_bytes, body_bytes: Some(body) })
    }
}
