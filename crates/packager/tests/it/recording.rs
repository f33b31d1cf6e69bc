//! What a breakout leaves behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anabranch_hls::playlist::{MediaPlaylist, MultivariantPlaylist, PlaylistType};
use anabranch_packager::Publisher;

use crate::OBJECTS;
use crate::support::{START_MS, cut, events, open, open_with, segments, timeline};

/// Names of all segments that viewers could have seen, in order, by rendition.
#[derive(Default)]
struct Seen(BTreeMap<String, BTreeMap<u64, String>>);

impl Seen {
    fn look(&mut self, publisher: &Publisher) {
        for rendition in timeline(publisher).renditions {
            let names = self.0.entry(rendition.name).or_default();
            names.extend(rendition.segments.iter().map(|segment| (segment.msn, segment.name.clone())));
        }
    }
}

fn playlist(dir: &Path, name: &str) -> MediaPlaylist {
    MediaPlaylist::parse(&fs::read(dir.join(OBJECTS).join(name)).expect("a test's own part"))
        .expect("a test's own part")
}

fn gaps(dir: &Path) -> Vec<(String, i64, i64, String)> {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join(OBJECTS).join("gaps.json")).expect("a test's own part"))
            .expect("a test's own part");
    assert_eq!(json["version"], 1);
    let number = |gap: &serde_json::Value, name: &str| gap[name].as_i64().expect("a test's own part");
    let text = |gap: &serde_json::Value, name: &str| gap[name].as_str().expect("a test's own part").to_owned();
    let gap = |gap| (text(gap, "start"), number(gap, "media_ms"), number(gap, "length_ms"), text(gap, "reason"));
    json["gaps"].as_array().expect("a test's own part").iter().map(gap).collect()
}

/// What ffmpeg complains of when it decodes all of it.
fn complaints(dir: &Path) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "warning", "-protocol_whitelist", "file", "-i"]).arg(dir.join(OBJECTS).join("index.m3u8"));
    let output = ffmpeg.args(["-map", "0", "-f", "null", "-"]).output().expect("a test's own part");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn every_segment_that_viewers_were_given_is_in_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Seen::default();
    let mut largest_record = 0;
    for life in 0..3_i64 {
        // Dropped without an end, as by `kill -9`.
        let mut publisher = open_with(dir.path(), 1, 4).await;
        let wall_ms = START_MS + life * 100_000;
        let origin_ms = publisher.next_origin_ms();
        for closed in cut(events(dir.path(), 50, "64x64"), 1, origin_ms, wall_ms) {
            publisher.publish(closed).await.unwrap();
            seen.look(&publisher);
            largest_record =
                largest_record.max(fs::metadata(dir.path().join("store/record/b/1/timeline.json")).unwrap().len());
        }
        let recorded = publisher.recorded();
        assert!(!recorded.complete && recorded.gaps == u32::try_from(life).unwrap());
    }
    assert!(largest_record < 64 * 1024, "the record grows: {largest_record} bytes");
    assert!(dir.path().join("store/record/b/1/page-000001.json").is_file());
    assert!(!dir.path().join(OBJECTS).join("video.m3u8").exists(), "not before the end");

    let mut publisher = open(dir.path(), 4).await;
    let recorded = publisher.finish().await.unwrap();
    let index = fs::read(dir.path().join(OBJECTS).join("index.m3u8")).unwrap();
    let index = MultivariantPlaylist::parse(&index).unwrap();
    let variant = &index.variants[0];
    assert_eq!((variant.resolution, variant.frame_rate), (Some((64, 64)), Some(25.0)));
    assert!(variant.codecs.as_deref().unwrap().starts_with("avc1.") && variant.audio.as_deref() == Some("audio"));
    let mut names = BTreeSet::new();
    for (rendition, segments) in &seen.0 {
        let playlist = playlist(dir.path(), &format!("{rendition}.m3u8"));
        assert_eq!(
            (playlist.playlist_type, playlist.ended, playlist.media_sequence),
            (Some(PlaylistType::Vod), true, 0)
        );
        let uris: Vec<&String> = playlist.segments.iter().map(|segment| &segment.uri).collect();
        assert_eq!(uris, segments.values().collect::<Vec<_>>());
        assert!(uris.len() >= 147, "{}", uris.len());
        let longest = playlist.segments.iter().map(|segment| segment.duration_seconds.round() as u64).max().unwrap();
        assert_eq!(playlist.target_duration_seconds, longest);
        assert_eq!(playlist.segments.iter().filter(|segment| segment.discontinuity).count(), 2);
        assert_eq!(playlist.segments.iter().filter(|segment| segment.map.is_some()).count(), 3);
        assert!(playlist.segments.iter().all(|segment| segment.program_date_time_ms.is_some()));
        names.extend(playlist.segments.iter().map(|segment| segment.uri.clone()));
        names.extend(playlist.segments.iter().filter_map(|segment| segment.map.as_ref()).map(|map| map.uri.clone()));
        let seconds: f64 = playlist.segments.iter().map(|segment| segment.duration_seconds).sum();
        if rendition == "video" {
            assert!((seconds * 1000.0 - recorded.duration_ms as f64).abs() < 2.0, "{seconds} {recorded:?}");
        }
    }
    let bytes: u64 = names.iter().map(|name| fs::metadata(dir.path().join(OBJECTS).join(name)).unwrap().len()).sum();
    assert_eq!((recorded.complete, recorded.bytes, recorded.gaps), (true, bytes, 2));
    let gaps = gaps(dir.path());
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps.iter().map(|gap| gap.2).sum::<i64>(), i64::try_from(recorded.gap_ms).unwrap());
    for (at, (start, media_ms, length_ms, reason)) in (0..).zip(&gaps) {
        assert_eq!(reason, "restart");
        assert!((length_ms - 50_000).abs() < 1_000, "{length_ms}");
        assert!((media_ms - 50_000 * (at + 1)).abs() < 1_000, "{media_ms}");
        assert!(start.starts_with("2023-11-14T22:") && start.ends_with('Z'), "{start}");
    }
    // Average and peak are those of the whole, and the peak is no less.
    let average = recorded.bytes as f64 * 8000.0 / recorded.duration_ms as f64;
    let told = variant.average_bandwidth.unwrap();
    assert!((told as f64 - average).abs() < average * 0.05, "{told} {average}");
    assert!(variant.bandwidth >= told);
}

#[tokio::test]
async fn a_recording_decodes_and_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut publisher = open(dir.path(), 4).await;
    for closed in segments(dir.path(), 7, 0) {
        publisher.publish(closed).await.unwrap();
    }
    let first = publisher.finish().await.unwrap();
    assert!(first.complete && first.gaps == 0 && gaps(dir.path()).is_empty());
    assert_eq!(complaints(dir.path()), "");
    let index = dir.path().join(OBJECTS).join("index.m3u8");
    let written = fs::metadata(&index).unwrap().modified().unwrap();
    drop(publisher);
    assert_eq!(open(dir.path(), 4).await.finish().await.unwrap(), first);
    assert_eq!(fs::metadata(&index).unwrap().modified().unwrap(), written);
    // The process died before the index was there.
    fs::remove_file(&index).unwrap();
    fs::remove_file(dir.path().join(OBJECTS).join("audio.m3u8")).unwrap();
    assert_eq!(open(dir.path(), 4).await.finish().await.unwrap(), first);
    assert!(index.is_file());
    assert_eq!(complaints(dir.path()), "");
}

#[tokio::test]
async fn what_could_not_be_written_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = segments(dir.path(), 8, 0).into_iter();
    let mut publisher = open(dir.path(), 60).await;
    publisher.publish(all.next().unwrap()).await.unwrap();
    let (video, aside) = (dir.path().join(OBJECTS).join("video"), dir.path().join("aside"));
    fs::rename(&video, &aside).unwrap();
    fs::write(&video, b"").unwrap();
    publisher.publish(all.next().unwrap()).await.unwrap_err();
    fs::remove_file(&video).unwrap();
    fs::rename(&aside, &video).unwrap();
    for closed in all {
        publisher.publish(closed).await.unwrap();
    }
    let recorded = publisher.finish().await.unwrap();
    let gaps = gaps(dir.path());
    assert_eq!((recorded.gaps, gaps.len(), gaps[0].3.as_str()), (1, 1, "blocked"));
    assert!((1500..2500).contains(&gaps[0].1) && (1500..2500).contains(&gaps[0].2), "{gaps:?}");
    assert!((5500..6500).contains(&recorded.duration_ms), "{recorded:?}");
    assert_eq!(playlist(dir.path(), "video.m3u8").segments.iter().filter(|segment| segment.discontinuity).count(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_breakout_without_media() {
    let dir = tempfile::tempdir().unwrap();
    let recorded = open(dir.path(), 4).await.finish().await.unwrap();
    assert!(recorded.complete && recorded.segments == 0);
    assert!(!dir.path().join("store/bucket").exists() && !dir.path().join("store/record").exists());
}
