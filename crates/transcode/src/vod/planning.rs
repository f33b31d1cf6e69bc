//! How a file becomes a plan: its ladder is chosen, its tracks are named, the work is cut.

use std::path::PathBuf;

use super::plan::{AudioRendition, Early, EarlyWish, Options, Plan, Rung, TextRendition, TextSource};
use super::source::{DynamicRange, Pace, Scan};
use super::{Preset, PresetError, Rational, Source, SubtitleKind, Video, captions, cut, ladder, pictures, probe};

/// Most side-car files of an order.
const SIDE_CARS_MAX: usize = 64;

/// Sound that lasts longer than the pictures by more than this lengthens them: the last one stands.
const LENGTHEN_MIN_US: u64 = 500_000;

/// Longest time between keyframes of a source that is shown as it is.
const COPY_GAP_MAX_MS: u64 = 10_000;

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
