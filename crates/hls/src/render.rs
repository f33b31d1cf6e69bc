//! Playlists of a [`Timeline`], as players get them.

use std::fmt::Write;
use std::sync::Arc;

use crate::playlist::{MultivariantPlaylist, RenditionMedia, Variant};
use crate::time;
use crate::timeline::{Progress, Rendition, RenditionKind, Segment, Timeline};

/// `EXT-X-MAP` outside of I-frame playlists is of this version (rfc8216bis §8).
const VERSION: u32 = 6;

/// `EXT-X-GAP` is of this version (Apple, "About the EXT-X-VERSION tag").
const VERSION_OF_GAPS: u32 = 8;

/// `GROUP-ID` of the sound that goes with the picture.
const AUDIO_GROUP: &str = "audio";

/// Fewest segments of a live media playlist: players begin three target durations before its end (rfc8216bis §6.3.3).
const WINDOW_MIN_SEGMENTS: usize = 3;

/// What the server of a live media playlist can do (rfc8216bis §4.4.3.8): hold a request until there is a segment. It asks for no
/// version. `HOLD-BACK` is left out, which means three target durations; `PART-HOLD-BACK` belongs to parts, and `CAN-SKIP-UNTIL`
/// to delta updates, of which there are none.
const SERVER_CONTROL: &str = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n";

/// The multivariant playlist: a variant for each video rendition, with all sound as one group; without video a variant for
/// each sound. URIs are relative: `<rendition name>.m3u8`.
///
/// A timeline without renditions gives a playlist without variants, which players refuse; callers should answer otherwise.
#[must_use]
pub fn multivariant(timeline: &Timeline) -> String {
    let of = |kind| timeline.renditions.iter().filter(move |rendition| rendition.kind == kind);
    let mut playlist =
        MultivariantPlaylist { version: Some(VERSION), independent_segments: true, ..MultivariantPlaylist::default() };
    if of(RenditionKind::Video).next().is_none() {
        playlist.variants = of(RenditionKind::Audio).map(|audio| variant(audio, &[])).collect();
    } else {
        let audio: Vec<&Rendition> = of(RenditionKind::Audio).collect();
        playlist.media = audio.iter().enumerate().map(|(at, rendition)| audio_media(rendition, at == 0)).collect();
        playlist.variants = of(RenditionKind::Video).map(|video| variant(video, &audio)).collect();
    }
    playlist.render()
}

fn uri(rendition: &Rendition) -> String {
    format!("{}.m3u8", rendition.name)
}

fn audio_media(rendition: &Rendition, is_first: bool) -> RenditionMedia {
    RenditionMedia {
        kind: "AUDIO".to_owned(),
        group_id: AUDIO_GROUP.to_owned(),
        name: rendition.name.clone(),
        uri: Some(uri(rendition)),
        is_default: is_first,
        // Unless it is the default, a player may not choose between languages that nobody named.
        autoselect: is_first,
        channels: rendition.channels.map(|channels| channels.to_string()),
        attributes: Vec::new(),
    }
}

/// The variant of a rendition with the sound of its group, whose rates count with the highest member's (rfc8216bis §4.4.6.2).
fn variant(rendition: &Rendition, audio: &[&Rendition]) -> Variant {
    let highest = |rate: fn(&Rendition) -> u64| audio.iter().map(|audio| rate(audio)).max().unwrap_or(0);
    let mut codecs = vec![rendition.codecs.as_str()];
    for audio in audio {
        if !codecs.contains(&audio.codecs.as_str()) {
            codecs.push(&audio.codecs);
        }
    }
    codecs.retain(|codecs| !codecs.is_empty());
    let peak = rendition.peak_bandwidth.saturating_add(highest(|audio| audio.peak_bandwidth));
    let average = rendition.average_bandwidth.saturating_add(highest(|audio| audio.average_bandwidth));
    Variant {
        uri: uri(rendition),
        bandwidth: peak,
        average_bandwidth: Some(average.min(peak)),
        codecs: (!codecs.is_empty()).then(|| codecs.join(",")),
        resolution: rendition.resolution,
        frame_rate: rendition.frame_rate.filter(|rate| rate.is_finite() && *rate > 0.0),
        audio: (!audio.is_empty()).then(|| AUDIO_GROUP.to_owned()),
        attributes: Vec::new(),
    }
}

/// The media playlist of a rendition: its newest segments that cover `window_seconds`, at least three of them and three target
/// durations. `None` if there is no such rendition, or nothing in it yet.
///
/// Every segment has its date, so that a player or a cluster can align playlists by any of them. While the timeline is live the
/// playlist invites players to ask for the next one ahead (rfc8216bis §6.2.5.2), so whoever serves it must hold such requests
/// ([`Timeline::standing`]). Stretches without media that have numbers are listed as gaps, which players pass over or look for in
/// another variant; those of a recording are left out by whoever makes its timeline. URIs are the segments' names,
/// relative to the directory that the playlist stands in.
#[must_use]
pub fn media(timeline: &Timeline, rendition_name: &str, window_seconds: u32) -> Option<String> {
    let rendition = timeline.renditions.iter().find(|rendition| rendition.name == rendition_name)?;
    let first = window_start(timeline, rendition, window_seconds);
    let newest = rendition.segments.back()?;
    let left = rendition.segments.range(..first).filter(|segment| segment.discontinuity).count();
    let window = || rendition.segments.range(first..);
    let target_duration = window()
        .map(|segment| rounded(segment.duration_seconds))
        .fold(u64::from(timeline.target_duration_seconds), u64::max);

    let mut out = String::with_capacity(200 + window().count() * (newest.name.len() + 100));
    let version = if window().any(|segment| segment.gap) { VERSION_OF_GAPS } else { VERSION };
    // Writing to a string does not fail.
    let _ = write!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target_duration}\n");
    if timeline.progress == Progress::Live {
        out.push_str(SERVER_CONTROL);
    }
    let msn = rendition.segments.get(first).map_or(newest.msn, |segment| segment.msn);
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{msn}");
    let discontinuity_sequence = rendition.discontinuity_sequence + u64::try_from(left).unwrap_or(u64::MAX);
    if discontinuity_sequence > 0 {
        let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}");
    }
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    let mut init = "";
    for segment in window() {
        push_segment(&mut out, segment, init, target_duration);
        init = &segment.init;
    }
    if timeline.progress == Progress::Ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    Some(out)
}

/// The media playlist of a whole rendition, for a recording: every segment from the first to the last, never to change. `None` if there
/// is no such rendition, or nothing in it.
///
/// URIs are the segments' names, relative to the directory that the playlist stands in.
#[must_use]
pub fn recording(timeline: &Timeline, rendition_name: &str) -> Option<String> {
    let rendition = timeline.renditions.iter().find(|rendition| rendition.name == rendition_name)?;
    let first = rendition.segments.front()?;
    let durations = rendition.segments.iter().map(|segment| rounded(segment.duration_seconds));
    // Players set their buffers by it, so it is what the segments need and not what was meant.
    let target_duration = durations.max().unwrap_or(0).max(1);
    let mut out = String::with_capacity(200 + rendition.segments.len() * (first.name.len() + 100));
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target_duration}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
        first.msn
    );
    if rendition.discontinuity_sequence > 0 {
        let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", rendition.discontinuity_sequence);
    }
    out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let mut init = "";
    for segment in &rendition.segments {
        push_segment(&mut out, segment, init, target_duration);
        init = &segment.init;
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Some(out)
}

fn push_segment(out: &mut String, segment: &Segment, init: &str, target_duration: u64) {
    if segment.discontinuity {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if segment.init != init {
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", segment.init);
    }
    out.push_str("#EXT-X-PROGRAM-DATE-TIME:");
    time::push(out, segment.program_date_time_ms);
    if segment.gap {
        out.push_str("\n#EXT-X-GAP");
    }
    let duration = micros(segment.duration_seconds, target_duration);
    let _ = writeln!(out, "\n#EXTINF:{}.{:06},\n{}", duration / 1_000_000, duration % 1_000_000, segment.name);
}

/// Where the window begins in the rendition's segments.
fn window_start(timeline: &Timeline, rendition: &Rendition, window_seconds: u32) -> usize {
    // Removing more would leave less than three target durations (rfc8216bis §6.2.2).
    let wanted = f64::from(window_seconds).max(f64::from(timeline.target_duration_seconds) * 3.0);
    let mut covered = 0.0;
    let mut first = rendition.segments.len();
    for segment in rendition.segments.iter().rev().map(Arc::as_ref) {
        if covered >= wanted && rendition.segments.len() - first >= WINDOW_MIN_SEGMENTS {
            break;
        }
        covered += segment.duration_seconds;
        first -= 1;
    }
    first
}

/// Nearest whole seconds, as players compare with the target duration.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and durations are not negative"
)]
fn rounded(seconds: f64) -> u64 {
    seconds.round() as u64
}

/// The duration in microseconds, which must not round to more than the target duration: 6.499 999 6 s is no 6.500000.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and durations are not negative"
)]
fn micros(seconds: f64, target_duration: u64) -> u64 {
    let exact = (seconds * 1e6).round() as u64;
    exact.min(target_duration.saturating_mul(1_000_000).saturating_add(499_999))
}
