//! Test media, and a publisher of it.

use std::path::Path;
use std::process::Command;

use anabranch_hls::timeline::Timeline;
use anabranch_media::Event;
use anabranch_media::flv::{Demuxer, FileReader};
use anabranch_packager::Publisher;
use anabranch_packager::segmenter::{Closed, Segmenter};
use anabranch_store::LocalStore;

pub(crate) const TARGET: u32 = 2;

/// When test media begins.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// Tracks and samples of `seconds` of test picture of this size and tone.
pub(crate) fn events(dir: &Path, seconds: u32, size: &str) -> Vec<Event> {
    let flv = dir.join("in.flv");
    let source = format!("testsrc2=size={size}:rate=25");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &source])
        .args(["-f", "lavfi", "-i", "sine=sample_rate=44100", "-t", &seconds.to_string()])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&flv)
        .status()
        .expect("ffmpeg to start");
    assert!(status.success());
    let (mut tags, mut events) = (Vec::new(), Vec::new());
    FileReader::new()
        .push(&std::fs::read(&flv).expect("test media and a store"), &mut tags)
        .expect("test media and a store");
    let mut demuxer = Demuxer::new();
    for tag in tags {
        demuxer.push(tag.kind, tag.timestamp_ms, tag.body, &mut events).expect("test media and a store");
    }
    events
}

/// Segments near `target` seconds of `events` that begin at `wall_ms`.
pub(crate) fn cut(events: Vec<Event>, target: u32, origin_ms: i64, wall_ms: i64) -> Vec<Closed> {
    let mut segmenter = Segmenter::new(target, origin_ms);
    let mut closed = Vec::new();
    for event in events {
        segmenter.push(event, wall_ms, &mut closed);
    }
    segmenter.end_session(&mut closed);
    closed
}

/// Segments of `seconds` of test picture and tone.
pub(crate) fn segments(dir: &Path, seconds: u32, origin_ms: i64) -> Vec<Closed> {
    cut(events(dir, seconds, "320x180"), TARGET, origin_ms, START_MS)
}

pub(crate) async fn open(dir: &Path, window: u32) -> Publisher {
    open_with(dir, TARGET, window).await
}

pub(crate) async fn open_with(dir: &Path, target: u32, window: u32) -> Publisher {
    let store = LocalStore::open(&dir.join("store"), 0).expect("test media and a store");
    Publisher::open(store, "b", 1, target, window).await.expect("test media and a store")
}

pub(crate) fn timeline(publisher: &Publisher) -> Timeline {
    Timeline::clone(&publisher.subscribe().borrow())
}
