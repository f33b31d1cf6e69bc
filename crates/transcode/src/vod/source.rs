//! What a file is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rational;
use crate::TranscodeError;

/// A file that can be encoded, as ffprobe and a walk over its packets know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The file, absolute.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Container, by ffprobe's names: `mov,mp4,m4a,3gp,3g2,mj2`.
    pub format: String,
    /// Length of the media, as its packets say; the header may say otherwise.
    pub duration_ms: u64,
    /// The file's time that is 0 in what is made of it, in microseconds: where its pictures begin.
    pub origin_us: i64,
    /// Pictures; none in a file of sound alone.
    pub video: Option<Video>,
    /// Tracks of sound, in the file's order.
    pub audio: Vec<Audio>,
    /// Tracks of subtitles, in the file's order; kinds that cannot become WebVTT as well.
    pub subtitles: Vec<Subtitle>,
    /// Chapters.
    pub chapters: Vec<Chapter>,
    /// What is odd about the file and did not make it be refused, for operators.
    pub notes: Vec<String>,
}

/// Width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl Size {
    /// The smaller of the two.
    #[must_use]
    pub fn short(self) -> u32 {
        self.width.min(self.height)
    }

    /// The larger of the two.
    #[must_use]
    pub fn long(self) -> u32 {
        self.width.max(self.height)
    }

    /// Width by height.
    #[must_use]
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// The track of pictures that is encoded: the first that is no cover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// Its number in the file, among all tracks.
    pub stream: u32,
    /// Codec, by ffprobe's names: `h264`.
    pub codec: String,
    /// Size of the coded pictures.
    pub coded: Size,
    /// Size on a screen of square pixels, turned upright.
    pub display: Size,
    /// Turn that is needed to stand upright, in degrees clockwise: 0, 90, 180, 270.
    pub rotation: u16,
    /// Shape of a coded pixel.
    pub sample_aspect: Rational,
    /// Frames per second; of pictures that come unevenly, the rate that fits them best.
    pub frame_rate: Rational,
    /// Whether they come evenly.
    pub pace: Pace,
    /// Pixel format, by ffmpeg's names: `yuv420p`.
    pub pixel_format: String,
    /// Bits of a component.
    pub bit_depth: u8,
    /// Brightness and colours.
    pub range: DynamicRange,
    /// Field order.
    pub scan: Scan,
    /// Bits per second, measured.
    pub bits_per_second: u64,
    /// Frames, counted.
    pub frames: u64,
    /// Where the first frame begins and the last ends, in the file's time, in microseconds.
    pub span_us: (i64, i64),
    /// Where it can be entered, in the file's time, in microseconds; one a second at most.
    pub keyframes_us: Vec<i64>,
    /// Longest time between two keyframes, or between the last and the end.
    pub keyframe_gap_ms: u64,
}

/// Whether frames come evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// One each tick of the frame rate.
    Constant,
    /// Now more, now fewer: phones, screens, conferences.
    Variable,
}

/// Brightness and colours, by what a screen must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynamicRange {
    /// Standard.
    Sdr,
    /// SMPTE ST 2084, whether or not it carries metadata.
    Hdr10,
    /// ARIB STD-B67.
    Hlg,
    /// Dolby Vision over a base layer that a plain decoder shows in HDR.
    DolbyVision,
}

/// Field order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scan {
    /// Whole pictures.
    Progressive,
    /// Two fields of different times.
    Interlaced,
}

/// A track of sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Its number in the file, among all tracks.
    pub stream: u32,
    /// Codec, by ffprobe's names: `aac`.
    pub codec: String,
    /// Profile as ffprobe says it: `LC`.
    pub profile: Option<String>,
    /// Channels.
    pub channels: u32,
    /// Samples per second.
    pub sample_rate: u32,
    /// Language tag (BCP 47 or ISO 639), `und` when it is not known.
    pub language: String,
    /// Name for people.
    pub title: Option<String>,
    /// Whether the file prefers it.
    pub is_default: bool,
}

/// A track of subtitles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtitle {
    /// Its number in the file, among all tracks.
    pub stream: u32,
    /// Codec, by ffprobe's names: `mov_text`.
    pub codec: String,
    /// Whether it can become WebVTT.
    pub kind: SubtitleKind,
    /// Language tag (BCP 47 or ISO 639), `und` when it is not known.
    pub language: String,
    /// Name for people.
    pub title: Option<String>,
    /// Whether the file prefers it.
    pub is_default: bool,
    /// Whether it is for those who otherwise watch without.
    pub is_forced: bool,
}

/// Kind of subtitles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubtitleKind {
    /// Becomes WebVTT.
    Text,
    /// Pictures of text: left out.
    Bitmap,
    /// Text that nothing here can read: left out.
    Unknown,
}

/// A chapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// On the timeline of what is made.
    pub start_ms: u64,
    /// On the timeline of what is made.
    pub end_ms: u64,
    /// Name for people; may be empty.
    pub title: String,
}

/// What a file may be.
#[derive(Clone, Debug)]
pub struct ProbeLimits {
    /// For ffprobe's look at the header.
    pub header_time: Duration,
    /// For the walk over all packets, however large the file.
    pub walk_time: Duration,
    /// Address space of ffprobe.
    pub memory_bytes: u64,
    /// Longest media.
    pub duration: Duration,
    /// Largest picture, by its area.
    pub pixels: u64,
    /// Longest side of a picture.
    pub side: u32,
    /// Most tracks of all kinds.
    pub tracks: usize,
    /// Longest time for which one frame may stand.
    pub still: Duration,
}

impl Default for ProbeLimits {
    fn default() -> Self {
        Self {
            header_time: Duration::from_secs(60),
            walk_time: Duration::from_secs(1800),
            memory_bytes: 2 << 30,
            duration: Duration::from_secs(12 * 3600),
            pixels: 4096 * 2304,
            side: 8192,
            tracks: 64,
            still: Duration::from_secs(600),
        }
    }
}

/// Why there is no [`Source`].
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The file is at fault: another try ends the same.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// This machine is at fault.
    #[error(transparent)]
    Failed(#[from] TranscodeError),
}

/// A file is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Rejected {
    /// For programs.
    pub reason: Reason,
    /// For operators: what is wrong, and what would help.
    pub text: String,
}

impl Rejected {
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has no bytes.
    Empty,
    /// It is no media file, or a kind that is not taken.
    NotMedia,
    /// It has neither pictures nor sound.
    NoMedia,
    /// Its index is missing: it was not finished, or cut off.
    MissingIndex,
    /// Its end is missing.
    Truncated,
    /// Its codec is not taken.
    Codec,
    /// Its pictures are too large or too small.
    PictureSize,
    /// It is longer than allowed, or has too many tracks.
    TooLong,
    /// Looking at it took more memory, time or text than a file is worth.
    TooCostly,
    /// Its times contradict each other.
    Times,
    /// Its colours cannot be shown on a plain screen.
    Colours,
    /// It cannot be decoded.
    Damaged,
}

impl Reason {
    /// The word of it, for rows and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotMedia => "not_media",
            Self::NoMedia => "no_media",
            Self::MissingIndex => "missing_index",
            Self::Truncated => "truncated",
            Self::Codec => "codec",
            Self::PictureSize => "picture_size",
            Self::TooLong => "too_long",
            Self::TooCostly => "too_costly",
            Self::Times => "times",
            Self::Colours => "colours",
            Self::Damaged => "damaged",
        }
    }
}
