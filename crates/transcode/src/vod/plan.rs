//! The work on a file, cut into units.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::{DynamicRange, Pace, Scan};
use super::{
    Preset, PresetError, Profile, Rate, Rational, Size, Source, SubtitleKind, Video, captions, cut, ladder, pictures,
    probe,
};

/// Most side-car files of an order.
const SIDE_CARS_MAX: usize = 64;

/// Sound that lasts longer than the pictures by more than this lengthens them: the last one stands.
const LENGTHEN_MIN_US: u64 = 500_000;

/// Longest time between keyframes of a source that is shown as it is.
const COPY_GAP_MAX_MS: u64 = 10_000;

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

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The ladder.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// The side-car files.
    #[error("captions are .srt or .vtt files, {SIDE_CARS_MAX} at most: {}", .0.display())]
    SideCar(PathBuf),
}

/// Chooses the ladder of a file and cuts the work.
///
/// # Errors
/// [`PlanError`] for orders that make no sense. A source that was not refused has a plan.
pub fn plan(source: Source, preset: &Preset, options: &Options) -> Result<Plan, PlanError> {
    preset.check()?;
    let mut notes = source.notes.clone();
    let rungs = source.video.as_ref().map_or_else(Vec::new, |video| {
        ladder::rungs(preset, video.display, ladder::frame_rate(video.frame_rate, preset.frame_rate_max))
    });
    let (frames, duration_ms) = length(&source, rungs.first());
    note_changes(&source, rungs.first(), &mut notes);
    let audio = audio(&source, preset);
    let text = text(&source, options, &mut notes)?;
    let early = early(&source, &rungs, options);
    let mut plan = Plan {
        thumbnail_ms: pictures::interval_ms(duration_ms),
        preset: preset.clone(),
        source,
        duration_ms,
        frames,
        rungs,
        audio,
        text,
        early,
        units: Vec::new(),
        notes,
    };
    plan.units = cut::units(&plan, options);
    Ok(plan)
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

/// Frames, and the length of all that is made: as long as the pictures, which wait for sound that goes on.
fn length(source: &Source, rung: Option<&Rung>) -> (u64, u64) {
    let (Some(video), Some(rung)) = (&source.video, rung) else { return (0, source.duration_ms) };
    let pictures_us = u64::try_from(video.span_us.1.saturating_sub(source.origin_us)).unwrap_or(0);
    let all_us = source.duration_ms.saturating_mul(1000);
    let micros = if all_us > pictures_us.saturating_add(LENGTHEN_MIN_US) { all_us } else { pictures_us };
    let frames = rung.frame_rate.frames_in(micros).max(1);
    (frames, rung.frame_rate.micros_of(frames).div_ceil(1000))
}

fn note_changes(source: &Source, rung: Option<&Rung>, notes: &mut Vec<String>) {
    let (Some(video), Some(rung)) = (&source.video, rung) else { return };
    if rung.frame_rate != video.frame_rate {
        notes.push(format!("{:.2} frames a second become {:.2}", video.frame_rate.as_f64(), rung.frame_rate.as_f64()));
    } else if video.pace == Pace::Variable {
        notes.push(format!("frames come unevenly; they become {:.2} a second", rung.frame_rate.as_f64()));
    }
    if video.scan == Scan::Interlaced {
        notes.push("interlaced pictures become whole ones".to_owned());
    }
    if video.range != DynamicRange::Sdr {
        notes.push("high dynamic range becomes standard".to_owned());
    }
}

fn audio(source: &Source, preset: &Preset) -> Vec<AudioRendition> {
    let default = source.audio.iter().position(|track| track.is_default).unwrap_or(0);
    let mut renditions: Vec<AudioRendition> = Vec::new();
    let mut labels = Labels::default();
    // Surround follows all stereo, so that the numbers of those do not depend on it.
    for channels in [2, 6] {
        for (at, track) in source.audio.iter().enumerate() {
            let kbps = match channels {
                2 => preset.stereo_kbps,
                _ => match preset.surround_kbps {
                    Some(kbps) if (6..=8).contains(&track.channels) => kbps,
                    _ => continue,
                },
            };
            let number = renditions.len() + 1;
            let label = track.title.clone().unwrap_or_else(|| named(&track.language, "Audio", at + 1));
            renditions.push(AudioRendition {
                name: format!("audio_{number}"),
                stream: track.stream,
                source_channels: track.channels,
                channels,
                kbps,
                language: track.language.clone(),
                label: labels.unique(&if channels == 2 { label } else { format!("{label} 5.1") }),
                is_default: channels == 2 && at == default,
            });
        }
    }
    renditions
}

fn text(source: &Source, options: &Options, notes: &mut Vec<String>) -> Result<Vec<TextRendition>, PlanError> {
    let mut renditions: Vec<TextRendition> = Vec::new();
    let mut labels = Labels::default();
    for track in &source.subtitles {
        if track.kind != SubtitleKind::Text {
            notes.push(format!(
                "subtitles left out: track {} ({}, {}) is no text",
                track.stream, track.codec, track.language
            ));
            continue;
        }
        let number = renditions.len() + 1;
        let label = track.title.clone().unwrap_or_else(|| named(&track.language, "Text", number));
        renditions.push(TextRendition {
            name: format!("text_{number}"),
            source: TextSource::Track(track.stream),
            language: track.language.clone(),
            label: labels.unique(&label),
            is_default: track.is_default,
            is_forced: track.is_forced,
        });
    }
    for (at, side_car) in options.side_cars.iter().enumerate() {
        if at >= SIDE_CARS_MAX || !side_car.path.is_absolute() || captions::kind_of(&side_car.path).is_none() {
            return Err(PlanError::SideCar(side_car.path.clone()));
        }
        let number = renditions.len() + 1;
        let language = probe::language(side_car.language.as_deref());
        let label = side_car.label.clone().unwrap_or_else(|| named(&language, "Text", number));
        renditions.push(TextRendition {
            name: format!("text_{number}"),
            source: TextSource::File(side_car.path.clone()),
            label: labels.unique(&label),
            language,
            is_default: false,
            is_forced: false,
        });
    }
    Ok(renditions)
}

fn named(language: &str, kind: &str, number: usize) -> String {
    if language == "und" { format!("{kind} {number}") } else { language.to_owned() }
}

/// Names that are different from each other: rfc8216bis §4.4.6.1.1.
#[derive(Default)]
struct Labels(Vec<String>);

impl Labels {
    fn unique(&mut self, label: &str) -> String {
        // Quotes and line ends cannot stand in an attribute.
        let plain: String = label.chars().map(|c| if c == '"' || c.is_control() { ' ' } else { c }).collect();
        let mut unique = plain.clone();
        let mut number = 2;
        while self.0.contains(&unique) {
            unique = format!("{plain} ({number})");
            number += 1;
        }
        self.0.push(unique.clone());
        unique
    }
}

fn early(source: &Source, rungs: &[Rung], options: &Options) -> Early {
    let Some(video) = &source.video else { return Early::None };
    if options.early == EarlyWish::Auto && is_copyable(source, video, options) {
        let has_audio = !source.audio.is_empty();
        return Early::SourceCopy { size: video.display, frame_rate: video.frame_rate, has_audio };
    }
    match (options.early, rungs) {
        (EarlyWish::Auto | EarlyWish::FirstRung, [_, .., last]) => Early::FirstRung { rung: last.name.clone() },
        _ => Early::None,
    }
}

/// Whether players take the source's samples in segments, and networks as well.
fn is_copyable(source: &Source, video: &Video, options: &Options) -> bool {
    let is_plain = video.codec == "h264"
        && video.pixel_format == "yuv420p"
        && video.range == DynamicRange::Sdr
        && video.scan == Scan::Progressive;
    let is_upright = video.rotation == 0 && video.sample_aspect == Rational::ONE;
    let is_even = video.frame_rate.as_f64() <= 61.0 && video.span_us.0 == source.origin_us;
    let sound = source.audio.first();
    let is_sound =
        sound.is_none_or(|track| track.codec == "aac" && track.channels <= 2 && track.profile.as_deref() == Some("LC"));
    is_plain
        && is_upright
        && is_even
        && is_sound
        && video.keyframe_gap_ms <= COPY_GAP_MAX_MS
        && video.bits_per_second <= u64::from(options.copy_kbps_max) * 1000
}
