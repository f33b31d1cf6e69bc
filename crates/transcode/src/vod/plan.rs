//! What a file is made into, and the work on it in units.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Preset, Profile, Rate, Rational, Size, Source};

/// What a file is made into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The file.
    pub source: Source,
    /// The ladder from which the rungs are.
    pub preset: Preset,
    /// Length of all that is made.
    pub duration_ms: u64,
    /// Frames of each rung; 0 in a file of sound alone.
    pub frames: u64,
    /// Rungs, largest first; none in a file of sound alone.
    pub rungs: Vec<Rung>,
    /// Renditions of sound, `audio_1` first.
    pub audio: Vec<AudioRendition>,
    /// Renditions of text, `text_1` first. One whose file cannot be read is missing in the unit's files.
    pub text: Vec<TextRendition>,
    /// What can be played before all is done.
    pub early: Early,
    /// Thumbnails are this far apart.
    pub thumbnail_ms: u64,
    /// The work, in the order in which it is best done.
    pub units: Vec<Unit>,
    /// What is left out or changed, for operators.
    pub notes: Vec<String>,
}

/// One encoding of the pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Its name, and that of its folder: `720`.
    pub name: String,
    /// Coded size.
    pub size: Size,
    /// Shape of a pixel.
    pub sample_aspect: Rational,
    /// Profile of H.264.
    pub profile: Profile,
    /// Bits.
    pub rate: Rate,
    /// Frames per second, one each tick.
    pub frame_rate: Rational,
}

/// One encoding of a track of sound: AAC-LC at 48 kHz, in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioRendition {
    /// Its name, and that of its folder: `audio_1`.
    pub name: String,
    /// Number of the track in the source.
    pub stream: u32,
    /// Channels of the track.
    pub source_channels: u32,
    /// 2, or 6 (5.1).
    pub channels: u32,
    /// Bit rate.
    pub kbps: u32,
    /// Language tag, `und` when it is not known.
    pub language: String,
    /// For people; no two renditions have the same.
    pub label: String,
    /// Whether players take it when nobody chooses; one is.
    pub is_default: bool,
}

/// Captions as WebVTT, in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRendition {
    /// Its name, and that of its folder: `text_1`.
    pub name: String,
    /// Where they come from.
    pub source: TextSource,
    /// Language tag, `und` when it is not known.
    pub language: String,
    /// For people; no two renditions have the same.
    pub label: String,
    /// Whether the file prefers it.
    pub is_default: bool,
    /// Whether it is for those who otherwise watch without.
    pub is_forced: bool,
}

/// Where captions come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// A track of the source, by its number.
    Track(u32),
    /// A file beside it: `.srt` or `.vtt`.
    File(PathBuf),
}

/// What can be played before all is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Early {
    /// Nothing.
    None,
    /// The source's own samples: unit `source` puts them into `source/00000.mp4` and, of the first track of sound, `source_audio/00000.mp4`.
    SourceCopy {
        /// Size on a screen.
        size: Size,
        /// Frames per second.
        frame_rate: Rational,
        /// Whether there is `source_audio`.
        has_audio: bool,
    },
    /// The smallest rung has units of its own, which come first.
    FirstRung {
        /// Its name.
        rung: String,
    },
}

/// What of [`Early`] is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyWish {
    /// Nothing: pictures are decoded once.
    None,
    /// The source's samples when players take them, else the smallest rung.
    #[default]
    Auto,
    /// The smallest rung.
    FirstRung,
}

/// How a plan is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What can be played before all is done.
    pub early: EarlyWish,
    /// Length of a chunk; made a multiple of the segments'. A file that is not longer than one and a half is one chunk.
    pub chunk_seconds: u32,
    /// Highest bit rate of a source that is shown as it is.
    pub copy_kbps_max: u32,
    /// Whether there are thumbnails, poster and sprites.
    pub pictures: bool,
    /// Captions that came beside the file.
    pub side_cars: Vec<SideCar>,
}

impl Default for Options {
    fn default() -> Self {
        Self { early: EarlyWish::Auto, chunk_seconds: 120, copy_kbps_max: 8000, pictures: true, side_cars: Vec::new() }
    }
}

/// Captions in a file of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCar {
    /// The file, absolute: `.srt` or `.vtt`.
    pub path: PathBuf,
    /// Language tag.
    pub language: Option<String>,
    /// For people.
    pub label: Option<String>,
}

/// A piece of work: one process, files that appear when they are whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name within the plan: lower-case letters, digits and hyphens.
    pub id: String,
    /// What it does.
    pub kind: UnitKind,
    /// Names of the units that must be done before.
    pub after: Vec<String>,
    /// Length of its media.
    pub duration_ms: u64,
    /// Its share of the whole work, in no unit; at least 1.
    pub weight: u64,
    /// Most bytes that it writes.
    pub bytes: u64,
}

/// What a unit does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// Puts the source's samples into files of one track: `source/00000.mp4`, `source_audio/00000.mp4`.
    SourceCopy,
    /// Decodes frames `first..end` of the timeline once, and encodes them for each of the rungs: `<rung>/<chunk:05>.mp4`.
    Video {
        /// Names of the rungs, largest first.
        rungs: Vec<String>,
        /// Which chunk, from 0.
        chunk: u32,
        /// First frame.
        first: u64,
        /// One after the last frame.
        end: u64,
    },
    /// Encodes a track of sound: `<rendition>/00000.mp4`.
    Audio {
        /// Name of the rendition.
        rendition: String,
    },
    /// Makes WebVTT of all captions: `text_<n>/00000.vtt`.
    Captions,
    /// Makes `pictures/thumb_00001.jpg` and so on, `poster.jpg`, `sprite_01.jpg` and so on, `sprite.vtt`.
    Pictures,
    /// Joins a rung and the first sound, without encoding: `mp4/<rung>.mp4`.
    Mp4 {
        /// Name of the rung.
        rung: String,
    },
}

impl Plan {
    /// Rung of this name.
    #[must_use]
    pub fn rung(&self, name: &str) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.name == name)
    }

    /// Unit of this name.
    #[must_use]
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.id == id)
    }

    /// Names of the units that must be done before a rendition is whole: a rung, a rendition of sound or text, `source`, `source_audio`.
    #[must_use]
    pub fn units_of(&self, rendition: &str) -> Vec<&str> {
        let makes = |unit: &&Unit| match &unit.kind {
            UnitKind::SourceCopy => matches!(rendition, "source" | "source_audio"),
            UnitKind::Video { rungs, .. } => rungs.iter().any(|rung| rung == rendition),
            UnitKind::Audio { rendition: made } => made == rendition,
            UnitKind::Captions => self.text.iter().any(|text| text.name == rendition),
            UnitKind::Pictures | UnitKind::Mp4 { .. } => false,
        };
        self.units.iter().filter(makes).map(|unit| unit.id.as_str()).collect()
    }

    /// Files of a rendition below the work folder, in order; they are there when its units are done.
    #[must_use]
    pub fn files_of(&self, rendition: &str, work: &Path) -> Vec<PathBuf> {
        let extension = if self.text.iter().any(|text| text.name == rendition) { "vtt" } else { "mp4" };
        let count = self.units_of(rendition).len();
        (0..count).map(|chunk| work.join(rendition).join(format!("{chunk:05}.{extension}"))).collect()
    }

    /// First frames of segments and of the stretches between keyframes, within `first..end`: where keyframes are.
    #[must_use]
    pub fn keyframes(&self, first: u64, end: u64) -> Vec<u64> {
        let Some(rung) = self.rungs.first() else { return Vec::new() };
        let (rate, segment) = (rung.frame_rate, u64::from(self.preset.segment_seconds));
        let gop = u64::from(self.preset.gop_frames);
        let mut number = (first as f64 / rate.as_f64()) as u64 / segment;
        let mut keyframes = Vec::new();
        loop {
            let (start, next) = (rate.frame_at(number * segment), rate.frame_at((number + 1) * segment));
            if start >= end {
                return keyframes;
            }
            let parts = (next - start).div_ceil(gop).max(1);
            keyframes.extend((0..parts).map(|part| start + part * (next - start) / parts));
            keyframes.retain(|frame| (first..end).contains(frame));
            keyframes.dedup();
            number += 1;
        }
    }
}
