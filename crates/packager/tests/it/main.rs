//! The packager through its public face: real FLV by ffmpeg, a real store, and ffmpeg as the judge.

mod aligned;
mod live;
mod recording;
mod support;
mod vod;

use std::process::Command;

use anabranch_hls::timeline::Progress;

use support::{TARGET, open, segments, timeline};

/// Where objects of the breakout are.
const OBJECTS: &str = "store/bucket/recordings/b/1";

#[tokio::test]
async fn every_name_in_a_timeline_is_readable_and_decodes() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 60).await;
    for closed in segments(dir.path(), 7, 0) {
        publisher.publish(closed).await.unwrap();
        for segment in timeline(&publisher).renditions.iter().flat_map(|rendition| &rendition.segments) {
            for name in [&segment.name, &segment.init] {
                assert!(dir.path().join(OBJECTS).join(name).is_file(), "{name}");
            }
        }
    }
    let timeline = timeline(&publisher);
    assert_eq!(timeline.target_duration_seconds, TARGET);
    for rendition in &timeline.renditions {
        let root = dir.path().join(OBJECTS);
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
            publisher.publish(closed).await.unwrap();
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
async fn the_window_moves_and_old_objects_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 4).await;
    let mut first = None;
    for closed in segments(dir.path(), 20, 0) {
        publisher.publish(closed).await.unwrap();
        first.get_or_insert_with(|| timeline(&publisher).renditions[0].segments[0].name.clone());
    }
    let video = timeline(&publisher).renditions.swap_remove(0);
    assert!(video.segments.len() <= 4 && video.segments[0].msn > 0);
    assert!(dir.path().join(OBJECTS).join(first.unwrap()).is_file());
}

#[tokio::test]
async fn an_ended_timeline_stays_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 60).await;
    for closed in segments(dir.path(), 2, 0) {
        publisher.publish(closed).await.unwrap();
    }
    publisher.finish().await.unwrap();
    drop(publisher);
    assert_eq!(timeline(&open(dir.path(), 60).await).progress, Progress::Ended);
}

#[tokio::test]
async fn a_full_disk_loses_one_segment_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = segments(dir.path(), 6, 0).into_iter();
    let mut publisher = open(dir.path(), 60).await;
    publisher.publish(all.next().unwrap()).await.unwrap();
    let before = timeline(&publisher);
    // A file where the rendition's folder should be makes every write fail.
    let video = dir.path().join(OBJECTS).join("video");
    let aside = dir.path().join("aside");
    std::fs::rename(&video, &aside).unwrap();
    std::fs::write(&video, b"").unwrap();
    publisher.publish(all.next().unwrap()).await.unwrap_err();
    assert_eq!(timeline(&publisher).renditions[0].segments, before.renditions[0].segments);
    std::fs::remove_file(&video).unwrap();
    std::fs::rename(&aside, &video).unwrap();
    publisher.publish(all.next().unwrap()).await.unwrap();
    let after = timeline(&publisher).renditions.swap_remove(0);
    assert_eq!(after.segments.iter().map(|segment| segment.msn).collect::<Vec<_>>(), [0, 1]);
    assert!(after.segments[1].discontinuity, "players are told of the hole");
    assert_ne!(after.segments[0].init, after.segments[1].init);
}
