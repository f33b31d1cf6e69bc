//! Subtitles: one WebVTT file, and a playlist of it.

use std::fmt::Write as _;
use std::path::Path;

use anabranch_hls::vod::{ListedSegment, MediaList};
use bytes::Bytes;

use super::write::playlist_name;
use super::{Cuts, Kind, MAX_TEXT_BYTES, Output, START_SECONDS, Summary, TextPlan, VodError, blocking};

/// Where an asset begins, in 1/90000 s.
const START: i64 = START_SECONDS * 90_000;

/// Makes a rendition of subtitles: the file, then its media playlist. They are told at which time of the media
/// their own begins (`X-TIMESTAMP-MAP`, rfc8216bis §3.1.4).
///
/// # Errors
/// The file is not WebVTT or larger than [`MAX_TEXT_BYTES`], or the store refused.
pub async fn package_text(output: &Output, plan: &TextPlan, cuts: &Cuts) -> Result<Summary, VodError> {
    let path = plan.file.clone();
    let text = blocking(move || read(&path)).await?;
    let text = with_map(&text, START, cuts.origin(90_000));
    let bytes = text.len() as u64;
    let file = format!("{}_{}.vtt", output.stem, plan.name);
    output.store.put(&output.key(&file), vec![Bytes::from(text)]).await?;
    // A float that is too large or no number becomes the nearest integer that there is.
    let end_micros = (plan.duration_seconds * 1e6).round() as u64;
    let list = MediaList {
        target_duration_seconds: cuts.target_duration_seconds(),
        init: None,
        iframes_only: false,
        segments: vec![ListedSegment { uri: file, end_micros, byte_range: None }],
    };
    let playlist = playlist_name(output, &plan.name);
    output.store.put(&output.key(&playlist), vec![Bytes::from(list.render())]).await?;
    Ok(Summary {
        name: plan.name.clone(),
        kind: Kind::Text,
        container: output.container,
        label: plan.label.clone(),
        playlist,
        codecs: "wvtt".to_owned(),
        width: 0,
        height: 0,
        frame_rate: None,
        video_range: String::new(),
        channels: 0,
        peak_bandwidth: 0,
        average_bandwidth: 0,
        duration_seconds: end_micros as f64 / 1e6,
        target_duration_seconds: list.target_duration(),
        segments: 1,
        samples: 0,
        bytes,
        misaligned: 0,
        iframes: None,
        sound: None,
    })
}

fn read(path: &Path) -> Result<String, VodError> {
    let failed = |source| VodError::Io { path: path.to_owned(), source };
    let refuse = |reason| VodError::Text { path: path.to_owned(), reason };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_TEXT_BYTES {
        return Err(refuse("they are too long"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("they are not in UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match text.strip_prefix("WEBVTT") {
        Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']) => Ok(text.to_owned()),
        _ => Err(refuse("they do not begin with WEBVTT")),
    }
}

/// The text with the one map that says at which time of the media (1/90000 s) the source's time `origin` is.
fn with_map(text: &str, start: i64, origin: i64) -> String {
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut out = format!("{}\n", head.trim_end());
    // Neither side of the map can be below zero.
    let (media, local) = (start.saturating_add((-origin).max(0)), origin.max(0));
    let ms = local / 90;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let _ = writeln!(out, "X-TIMESTAMP-MAP=MPEGTS:{media},LOCAL:{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000);
    let mut in_head = true;
    for line in rest.lines() {
        in_head &= !line.is_empty();
        if in_head && line.starts_with("X-TIMESTAMP-MAP") {
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_time() {
        let text =
            "WEBVTT - words\r\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\r\n\r\n00:01.000 --> 00:02.000\r\nHello\r\n";
        let map = "X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000";
        assert_eq!(with_map(text, START, 0), format!("WEBVTT - words\n{map}\n\n00:01.000 --> 00:02.000\nHello\n"));
        let map = |start, origin| with_map("WEBVTT\n", start, origin);
        assert_eq!(map(START, 0), "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n");
        assert_eq!(map(0, 90_000 * 3661 + 45_000), "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:01:01:01.500\n");
        assert_eq!(map(START, -90_000), "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:990000,LOCAL:00:00:00.000\n");
    }
}
