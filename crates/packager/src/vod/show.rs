//! The multivariant playlist of what there is.

use anabranch_hls::vod::{AudioEntry, IframeEntry, Presentation, TextEntry, VideoEntry};
use bytes::Bytes;

use super::{Kind, Output, Sound, Summary, VodError};

/// Stores the multivariant playlist `<stem>.m3u8` of renditions that have been made, replacing an earlier one. `partial` says how many of how
/// many rungs there are, while some are to come.
///
/// # Errors
/// The store refused.
pub async fn publish(output: &Output, summaries: &[Summary], partial: Option<(u32, u32)>) -> Result<(), VodError> {
    let playlist = multivariant(summaries, partial);
    output.store.put(&output.key(&format!("{}.m3u8", output.stem)), vec![Bytes::from(playlist)]).await?;
    Ok(())
}

/// The multivariant playlist of these renditions: pictures by bit rate, sounds and subtitles in the order given.
#[must_use]
pub fn multivariant(summaries: &[Summary], partial: Option<(u32, u32)>) -> String {
    let of = |kind| summaries.iter().filter(move |summary| summary.kind == kind);
    let mut rungs: Vec<&Summary> = of(Kind::Video).collect();
    rungs.sort_by_key(|rung| (rung.peak_bandwidth, u64::from(rung.width) * u64::from(rung.height)));
    let within = rungs.iter().find_map(|rung| rung.sound.as_ref()).map(sound_within);
    let presentation = Presentation {
        audio: within.into_iter().chain(of(Kind::Audio).map(audio)).collect(),
        video: rungs.into_iter().map(video).collect(),
        text: of(Kind::Text).map(text).collect(),
        partial,
    };
    presentation.render()
}

fn video(rung: &Summary) -> VideoEntry {
    VideoEntry {
        uri: rung.playlist.clone(),
        codecs: [Some(&rung.codecs), rung.sound.as_ref().map(|sound| &sound.codecs)]
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        peak_bandwidth: rung.peak_bandwidth,
        average_bandwidth: rung.average_bandwidth,
        resolution: (rung.width, rung.height),
        frame_rate: rung.frame_rate,
        range: match rung.video_range.as_str() {
            "PQ" => "PQ",
            "HLG" => "HLG",
            _ => "SDR",
        },
        iframes: rung.iframes.as_ref().map(|iframes| IframeEntry {
            uri: iframes.playlist.clone(),
            codecs: rung.codecs.clone(),
            peak_bandwidth: iframes.peak_bandwidth,
            average_bandwidth: iframes.average_bandwidth,
        }),
    }
}

/// A sound that is in every rung: its rate counts there.
fn sound_within(sound: &Sound) -> AudioEntry {
    AudioEntry {
        uri: None,
        label: sound.label.name.clone(),
        language: sound.label.language.clone(),
        is_default: sound.label.is_default,
        describes_video: sound.label.is_special,
        channels: sound.channels,
        codecs: sound.codecs.clone(),
        peak_bandwidth: 0,
        average_bandwidth: 0,
    }
}

fn audio(summary: &Summary) -> AudioEntry {
    AudioEntry {
        uri: Some(summary.playlist.clone()),
        label: summary.label.name.clone(),
        language: summary.label.language.clone(),
        is_default: summary.label.is_default,
        describes_video: summary.label.is_special,
        channels: summary.channels,
        codecs: summary.codecs.clone(),
        peak_bandwidth: summary.peak_bandwidth,
        average_bandwidth: summary.average_bandwidth,
    }
}

fn text(summary: &Summary) -> TextEntry {
    TextEntry {
        uri: summary.playlist.clone(),
        label: summary.label.name.clone(),
        language: summary.label.language.clone(),
        is_default: summary.label.is_default,
        is_forced: summary.label.is_special,
    }
}
