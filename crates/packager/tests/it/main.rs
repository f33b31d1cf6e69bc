//! The packager through its public face: real FLV by ffmpeg, a real store, and ffmpeg as the judge.

use std::path::Path;
use std::process::Command;

use anabranch_hls::timeline::{Progress, Timeline};
use anabranch_media::flv::{Demuxer, FileReader};
use anabranch_packager::Publisher;
use anabranch_packager::segmenter::{Closed, Segmenter};
use anabranch_store::LocalStore;

const TARGET: u32 = 2;

/// Segments of `seconds` of test picture and tone.
fn segments(dir: &Path, seconds: u32, origin_ms: i64) -> Vec<Closed> {
    let flv = dir.join("in.flv");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"])
        .args(["-f", "lavfi", "-i", "sine=sample_rate=44100", "-t", &seconds.to_string()])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&flv)
        .status()
        .expect("ffmpeg to start");
    assert!(status.success());
    let (mut tags, mut events, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    FileReader::new()
        .push(&std::fs::read(&flv).expect("test media and a store"), &mut tags)
        .expect("test media and a store");
    let mut demuxer = Demuxer::new();
    for tag in tags {
        demuxer.push(tag.kind, tag.timestamp_ms, tag.body, &mut events).expect("test media and a store");
    }
    let mut segmenter = Segmenter::new(TARGET, origin_ms);
    for event in events {
        segmenter.push(event, 1_700_000_000_000, &mut closed);
    }
    segmenter.end_session(&mut closed);
    closed
}

async fn open(dir: &Path, window: u32) -> Publisher {
    let store = LocalStore::open(&dir.join("store"), 0).expect("test media and a store");
    Publisher::open(store, "c", "b", TARGET, window).await.expect("test media and a store")
}

fn timeline(publisher: &Publisher) -> Timeline {
    Timeline::clone(&publisher.subscribe().borrow())
}

#[tokio::test]
async fn every_name_in_a_timeline_is_readable_and_decodes() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 60).await;
    for closed in segments(dir.path(), 7, 0) {
        publisher.publish(closed, 0).await.unwrap();
        for segment in timeline(&publisher).renditions.iter().flat_map(|rendition| &rendition.segments) {
            for name in [&segment.name, &segment.init] {
                assert!(dir.path().join("store/live/c/b").join(name).is_file(), "{name}");
            }
        }
    }
    let timeline = timeline(&publisher);
    assert_eq!(timeline.target_duration_seconds, TARGET);
    for rendition in &timeline.renditions {
        let root = dir.path().join("store/live/c/b");
        let mut whole = std::fs::read(root.join(&rendition.segments[0].init)).unwrap();
        for segment in &rendition.segments {
            whole.extend(std::fs::read(root.join(&segment.name)).unwrap());
        }
        let path = dir.path().join("whole.mp4");
        std::fs::write(&path, whole).unwrap();
        let output =
            Command::new("ffmpeg").args(["-v", "warning", "-i"]).arg(&path).args(["-f", "null", "-"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", rendition.name);
        let total: f64 = rendition.segments.iter().map(|segment| segment.duration_seconds).sum();
        assert!((total - 7.0).abs() < 0.1, "{}: {total}", rendition.name);
        assert!(rendition.average_bandwidth > 0 && rendition.peak_bandwidth >= rendition.average_bandwidth);
    }
    assert_eq!(timeline.renditions[0].frame_rate, Some(25.0));
    assert_eq!(timeline.renditions[0].resolution, Some((320, 180)));
}

#[tokio::test]
async fn a_process_that_dies_is_followed_without_a_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for life in 0..3 {
        let mut publisher = open(dir.path(), 60).await;
        let origin = publisher.next_origin_ms();
        for closed in segments(dir.path(), 3, origin) {
            publisher.publish(closed, 0).await.unwrap();
        }
        // Dropped without an end, as by `kill -9`; what it wrote last is not even named.
        let video = timeline(&publisher).renditions.swap_remove(0);
        assert_eq!(video.segments.iter().filter(|segment| segment.discontinuity).count(), life);
        names = video.segments.iter().map(|segment| (segment.msn, segment.name.clone())).collect();
    }
    let msns: Vec<u64> = names.iter().map(|(msn, _)| *msn).collect();
    assert_eq!(msns, (0..msns.len() as u64).collect::<Vec<_>>());
    names.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(names.len(), msns.len());
}

#[tokio::test]
async fn the_window_moves_and_old_objects_go_when_no_player_can_want_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 4).await;
    let mut first = None;
    let mut now_ms = 0;
    for closed in segments(dir.path(), 20, 0) {
        publisher.publish(closed, now_ms).await.unwrap();
        first.get_or_insert_with(|| timeline(&publisher).renditions[0].segments[0].name.clone());
        now_ms += 2000;
    }
    let path = dir.path().join("store/live/c/b").join(first.unwrap());
    let video = timeline(&publisher).renditions.swap_remove(0);
    assert!(video.segments.len() <= 4 && video.segments[0].msn > 0);
    assert!(path.is_file(), "a slow player may still fetch it");
    for closed in segments(dir.path(), 3, 20_000) {
        publisher.publish(closed, now_ms + 200_000).await.unwrap();
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn an_ended_timeline_stays_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 60).await;
    for closed in segments(dir.path(), 2, 0) {
        publisher.publish(closed, 0).await.unwrap();
    }
    publisher.end().await.unwrap();
    drop(publisher);
    assert_eq!(timeline(&open(dir.path(), 60).await).progress, Progress::Ended);
}

#[tokio::test]
async fn a_full_disk_loses_one_segment_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = segments(dir.path(), 6, 0).into_iter();
    let mut publisher = open(dir.path(), 60).await;
    publisher.publish(all.next().unwrap(), 0).await.unwrap();
    let before = timeline(&publisher);
    // A file where the rendition's folder should be makes every write fail.
    let video = dir.path().join("store/live/c/b/video");
    let aside = dir.path().join("aside");
    std::fs::rename(&video, &aside).unwrap();
    std::fs::write(&video, b"").unwrap();
    publisher.publish(all.next().unwrap(), 0).await.unwrap_err();
    assert_eq!(timeline(&publisher).renditions[0].segments, before.renditions[0].segments);
    std::fs::remove_file(&video).unwrap();
    std::fs::rename(&aside, &video).unwrap();
    publisher.publish(all.next().unwrap(), 0).await.unwrap();
    let after = timeline(&publisher).renditions.swap_remove(0);
    assert_eq!(after.segments.iter().map(|segment| segment.msn).collect::<Vec<_>>(), [0, 1]);
    assert!(after.segments[1].discontinuity, "players are told of the hole");
    assert_ne!(after.segments[0].init, after.segments[1].init);
}
