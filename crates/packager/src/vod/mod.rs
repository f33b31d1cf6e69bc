//! On demand: MP4 files become HLS renditions, all at once and never to change.
//!
//! [`Cuts::decide`] looks at one rendition and says where segments of all of them end. [`package`] makes a rendition: it reads the samples
//! of one segment at a time, stores segments, and last the media playlist, so that what a playlist names is there. [`package_text`] does so
//! for subtitles. [`publish`] stores the multivariant playlist of the summaries that there are. Each may be done again at any time and
//! gives the same objects.
//!
//! Names, all in one folder: `<stem>.m3u8`, and of each rendition `<stem>_<name>` with `.m3u8`, `_init.mp4`, `_00001.m4s` (or `_00001.ts`),
//! `_iframes.m3u8`, `.vtt`.

mod body;
mod cmaf;
mod cuts;
mod input;
mod lane;
mod produce;
mod show;
mod text;
mod transport;
mod write;

use std::io;
use std::path::PathBuf;

use anabranch_media::fmp4::WriteError;
use anabranch_media::mp4::{FourCc, Mp4Error};
use anabranch_media::ts::TsError;
use anabranch_store::{LocalStore, StoreError};
use serde::{Deserialize, Serialize};

pub use cuts::Cuts;
pub use show::{multivariant, publish};
pub use text::package_text;
pub use write::package;

/// Most bytes of the samples of one segment. A file whose keyframes are so far apart that a segment would be larger must be encoded anew.
pub const LARGEST_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Largest file of subtitles, in bytes.
pub const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;

/// Time of the media at which an asset begins, in seconds. Not zero, because pictures are decoded before they are shown; the same for all
/// renditions, so that they agree without edit lists, and told to subtitles.
pub const START_SECONDS: i64 = 10;

/// What segments are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// Fragmented MP4, one track a rendition.
    #[default]
    Cmaf,
    /// MPEG-TS: H.264 and AAC only, the first sound in every rung.
    Ts,
}

/// Where an asset's HLS goes.
#[derive(Clone, Debug)]
pub struct Output {
    /// The store.
    pub store: LocalStore,
    /// Prefix of all object keys, ending with `/`, such as `bucket/vod/assets/<id>/HLS/`.
    pub prefix: String,
    /// What all names begin with: the asset's id.
    pub stem: String,
    /// Form of the segments.
    pub container: Container,
}

impl Output {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Files that one track is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// MP4 files in order of presentation, plain or fragmented, on one line of time; the pictures of each begin with a keyframe.
    pub chunks: Vec<PathBuf>,
    /// Which track of its kind in each file, from 0.
    pub track: usize,
}

/// What viewers are told of a sound or of subtitles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// BCP 47 or ISO 639-2 tag, or `und`.
    pub language: String,
    /// Name that viewers read; may be empty.
    pub name: String,
    /// Whether viewers who do not choose get it.
    pub is_default: bool,
    /// Of a sound: it describes the picture. Of subtitles: they translate only what every viewer needs ('forced').
    pub is_special: bool,
}

/// What a rendition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A rung of the picture.
    Video,
    /// A sound.
    Audio,
    /// Subtitles.
    Text,
}

/// A rendition of picture or sound to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Part of all its names, such as `720` or `audio_1_de`: letters, digits, `-` and `_`.
    pub name: String,
    /// Picture or sound.
    pub kind: Kind,
    /// Its samples.
    pub input: Input,
    /// Of a sound, what viewers are told.
    pub label: Label,
    /// Of a picture in MPEG-TS, the sound in its segments. Not for CMAF.
    pub sound: Option<(Input, Label)>,
}

/// Subtitles to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct TextPlan {
    /// Part of all its names, such as `text_1_de`.
    pub name: String,
    /// A WebVTT file whose time is that of the source.
    pub file: PathBuf,
    /// What viewers are told.
    pub label: Label,
    /// How long the asset is, in seconds.
    pub duration_seconds: f64,
}

/// What is known of a rendition that was made. Kept beside the work: what has one is not made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the plan.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Form of its segments.
    pub container: Container,
    /// What viewers are told.
    pub label: Label,
    /// File name of its media playlist.
    pub playlist: String,
    /// RFC 6381 value of its track.
    pub codecs: String,
    /// Width in pixels, as shown.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
    /// Frames per second, measured.
    pub frame_rate: Option<f64>,
    /// `VIDEO-RANGE`: `SDR`, `HLG` or `PQ`; empty for all but pictures.
    pub video_range: String,
    /// Channel count of a sound.
    pub channels: u32,
    /// Peak segment bit rate in bits per second.
    pub peak_bandwidth: u64,
    /// Average segment bit rate in bits per second.
    pub average_bandwidth: u64,
    /// Duration in seconds.
    pub duration_seconds: f64,
    /// `EXT-X-TARGETDURATION`.
    pub target_duration_seconds: u64,
    /// Media segments.
    pub segments: u32,
    /// Access units: pictures, or frames of sound.
    pub samples: u64,
    /// Bytes of media segments and init section.
    pub bytes: u64,
    /// Segments whose start is not that of the cuts, because there was no keyframe.
    pub misaligned: u32,
    /// Its playlist of keyframes.
    pub iframes: Option<Iframes>,
    /// The sound in its segments.
    pub sound: Option<Sound>,
}

/// A playlist of keyframes that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iframes {
    /// File name.
    pub playlist: String,
    /// Peak bit rate in bits per second.
    pub peak_bandwidth: u64,
    /// Average bit rate in bits per second.
    pub average_bandwidth: u64,
}

/// The sound in the segments of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// RFC 6381 value.
    pub codecs: String,
    /// Channel count.
    pub channels: u32,
    /// What viewers are told.
    pub label: Label,
}

/// Why a rendition cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VodError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not an MP4 file.
    #[error("not a usable mp4 file: {}", path.display())]
    Mp4 {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Mp4Error,
    },
    /// The file ends before a sample of which its index tells.
    #[error("file is cut off: {}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// A file has no such track.
    #[error("{} has no {kind} track {number}", path.display())]
    NoTrack {
        /// The file.
        path: PathBuf,
        /// `video` or `audio`.
        kind: &'static str,
        /// Which, from 1.
        number: usize,
    },
    /// A track is coded in a way that is not packaged.
    #[error("{} must be encoded anew, its coding format is {format}: {reason}", path.display())]
    Codec {
        /// The file.
        path: PathBuf,
        /// Coding format.
        format: FourCc,
        /// Why it is not packaged.
        reason: String,
    },
    /// A track has an edit list that only a decoder can follow.
    #[error("{} must be encoded anew, its edit list has several parts", path.display())]
    Edits {
        /// The file.
        path: PathBuf,
    },
    /// A chunk is coded otherwise than the first one.
    #[error("chunk is not coded as the first one: {}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Time goes back, or far ahead.
    #[error("time does not go on in {}", path.display())]
    Time {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to be packaged.
    #[error("rendition has no samples: {name}")]
    Empty {
        /// Name of the rendition.
        name: String,
    },
    /// A segment would be larger than [`LARGEST_SEGMENT_BYTES`].
    #[error("segment is too large, its keyframes are too far apart; encode anew: {bytes} bytes in {name}")]
    SegmentSize {
        /// Name of the rendition.
        name: String,
        /// Bytes that were counted.
        bytes: u64,
    },
    /// A plan that no container can hold.
    #[error("rendition {name} cannot be made: {reason}")]
    Plan {
        /// Name of the rendition.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// The subtitles are not WebVTT.
    #[error("subtitles are not usable, {reason}: {}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A track cannot be written as CMAF.
    #[error("cannot write cmaf")]
    Cmaf(#[from] WriteError),
    /// A track cannot be written as MPEG-TS.
    #[error("cannot write mpeg-ts")]
    Ts(#[from] TsError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that reads files ended without a word.
    #[error("reading of files was broken off")]
    Broken,
}

/// Runs file work off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VodError> + Send + 'static,
) -> Result<T, VodError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| VodError::Broken)?
}
