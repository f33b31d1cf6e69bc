//! Two regions that hear one encoder: the same objects, the same playlists, and a player that changes between them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anabranch_hls::playlist::MediaPlaylist;
use anabranch_hls::render;
use anabranch_hls::timeline::{Segment, Timeline};
use anabranch_media::{Arrival, Event, Sample};
use anabranch_model::{
    AlignedSpec, Anchors, AudienceSpec, BreakoutSpec, ChannelSpec, FailoverSpec, PackagingState, Report, Snapshot,
};
use anabranch_net::{ManualClock, Shutdown};
use anabranch_packager::{Packager, Session, Timelines};
use anabranch_store::LocalStore;
use tokio::sync::{mpsc, watch};

use crate::support::{START_MS, events};

const LIMIT: Duration = Duration::from_secs(30);

/// Length of the encoder's stream, and when the second region begins, dies and lives again, in milliseconds.
const LENGTH_MS: i64 = 30_000;
const LATE_MS: i64 = 8_300;
const DEAD_MS: i64 = 15_700;
const AGAIN_MS: i64 = 19_100;

/// A packager in its own region. Its breakout has a name of its own.
struct Region {
    name: &'static str,
    root: PathBuf,
    sessions: mpsc::Sender<Session>,
    feed: Option<mpsc::Sender<Arrival>>,
    heard: watch::Sender<Arc<Vec<Anchors>>>,
    told: watch::Receiver<Arc<Vec<Anchors>>>,
    timelines: watch::Receiver<Timelines>,
    reports: mpsc::Receiver<Report>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

fn snapshot(name: &str, peer: &str, on_air: bool) -> Arc<Snapshot> {
    let channel = ChannelSpec {
        id: "c1".parse().expect("a test's own part"),
        name: "main".to_owned(),
        running: true,
        segment_target_seconds: 2,
        window_seconds: 60,
        inputs: Vec::new(),
        failover: FailoverSpec::default(),
    };
    let breakout = BreakoutSpec {
        id: format!("b{name}").parse().expect("a test's own part"),
        channel: channel.id.clone(),
        on_air,
        session: 1,
        audience: AudienceSpec::default(),
        aligned: Some(AlignedSpec { stream: "s".to_owned(), region: name.to_owned(), peers: vec![peer.to_owned()] }),
    };
    Arc::new(Snapshot { version: 1, channels: vec![channel], breakouts: vec![breakout], ..Snapshot::default() })
}

impl Region {
    async fn begin(dir: &Path, name: &'static str, peer: &str) -> Self {
        let (snapshot, followed) = watch::channel(snapshot(name, peer, true));
        let (sessions, fed) = mpsc::channel(4);
        let (reporting, mut reports) = mpsc::channel(10_000);
        let store = LocalStore::open(&dir.join(name), 0).expect("a test's own part");
        let clock = Arc::new(ManualClock::new(START_MS));
        let (packager, timelines) = Packager::build("n".to_owned(), store, clock, followed, fed, reporting);
        let (heard, hearing) = watch::channel(Arc::default());
        let (packager, told) = packager.in_exchange_with(hearing);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(packager.run(shutdown.clone()));
        let ready = async { while !matches!(reports.recv().await.expect("a report"), Report::Packaging { .. }) {} };
        tokio::time::timeout(LIMIT, ready).await.expect("the breakout on air");
        let root = dir.join(name).join(format!("bucket/recordings/b{name}/1"));
        let feed = None;
        Self { name, root, sessions, feed, heard, told, timelines, reports, snapshot, shutdown, task }
    }

    /// The encoder connects.
    async fn connect(&mut self) {
        let (feed, events) = mpsc::channel(1);
        self.sessions
            .send(Session { channel: "c1".parse().expect("a test's own part"), events })
            .await
            .expect("a test's own part");
        self.feed = Some(feed);
    }

    async fn push(&self, event: Event, at_ms: i64) {
        self.feed
            .as_ref()
            .expect("a session")
            .send(Arrival { event, at_ms: START_MS + at_ms })
            .await
            .expect("a test's own part");
    }

    fn timeline(&self) -> Timeline {
        let timelines = self.timelines.borrow();
        Timeline::clone(&timelines.values().next().expect("a timeline").borrow())
    }

    /// The breakout ends; returns when its recording is there.
    async fn end(mut self, peer: &str) -> (Timeline, PathBuf) {
        self.feed = None;
        self.snapshot.send_replace(snapshot(self.name, peer, false));
        let ended = async {
            loop {
                let report = self.reports.recv().await.expect("a report");
                if matches!(&report, Report::Recorded { recorded, .. } if recorded.complete) {
                    return;
                }
                assert!(!matches!(report, Report::Packaging { state: PackagingState::Blocked { .. }, .. }));
            }
        };
        tokio::time::timeout(LIMIT, ended).await.expect("the recording");
        let timeline = self.timeline();
        self.shutdown.cancel();
        self.task.await.expect("a test's own part");
        (timeline, self.root)
    }
}

/// The sample in a session whose clock is `rebase_ms` ahead.
fn rebased(sample: &Sample, rebase_ms: i64) -> Event {
    Event::Sample(Sample { dts: sample.dts + rebase_ms, pts: sample.pts + rebase_ms, ..sample.clone() })
}

/// Both regions after all of the stream: the first heard all of it, the second what its constants say.
async fn two_regions(dir: &Path) -> [(Timeline, PathBuf); 2] {
    let media = events(dir, (LENGTH_MS / 1000) as u32, "128x72");
    let mut west = Region::begin(dir, "west", "east").await;
    let mut east = Region::begin(dir, "east", "west").await;
    west.connect().await;
    let (mut rebase_ms, mut lives) = (90_000, 0);
    let tracks = || media.iter().filter(|event| matches!(event, Event::Track(_)));
    for event in &media {
        let Event::Sample(sample) = event else {
            west.push(event.clone(), 0).await;
            continue;
        };
        let at_ms = sample.dts;
        west.push(Event::Sample(sample.clone()), at_ms + 30).await;
        if at_ms >= DEAD_MS && lives == 1 {
            // As by `kill -9`.
            east.task.abort();
            let _ = (&mut east.task).await;
            (lives, rebase_ms) = (2, -AGAIN_MS);
        }
        if (at_ms >= LATE_MS && lives == 0) || (at_ms >= AGAIN_MS && lives == 2) {
            if lives == 2 {
                east = Region::begin(dir, "east", "west").await;
            }
            lives += 1;
            east.connect().await;
            for track in tracks() {
                east.push(track.clone(), at_ms + 400).await;
            }
        }
        if lives % 2 == 1 {
            east.push(rebased(sample, rebase_ms), at_ms + 400).await;
        }
        for (from, to) in [(&west, &east), (&east, &west)] {
            to.heard.send_replace(from.told.borrow().clone());
        }
    }
    [west.end("east").await, east.end("west").await]
}

fn by_number(timeline: &Timeline, rendition: &str) -> BTreeMap<u64, Arc<Segment>> {
    let rendition = timeline.renditions.iter().find(|found| found.name == rendition).expect("the rendition");
    rendition.segments.iter().map(|segment| (segment.msn, segment.clone())).collect()
}

/// Presentation times, in microseconds and in order, of what ffprobe finds in a playlist.
fn packets(playlist: &Path) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-allowed_extensions", "ALL"])
        .args(["-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(playlist)
        .output()
        .expect("a test's own part");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).expect("a test's own part");
    let seconds = text.lines().map(|line| line.trim_end_matches(',').parse::<f64>().expect("a test's own part"));
    let mut times: Vec<i64> = seconds.map(|seconds| (seconds * 1e6).round() as i64).collect();
    times.sort_unstable();
    times
}

#[tokio::test]
async fn regions_that_hear_one_encoder_are_one_stream() {
    let dir = tempfile::tempdir().unwrap();
    let [(west, west_root), (east, east_root)] = two_regions(dir.path()).await;
    for rendition in ["video", "audio"] {
        let (of_west, of_east) = (by_number(&west, rendition), by_number(&east, rendition));
        let numbers: Vec<u64> = of_west.keys().copied().collect();
        assert!(numbers.len() >= 14 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        let last = *numbers.last().unwrap();
        // The dead region has no segment that it did not hear the whole of, but the number of each.
        assert_eq!(*of_east.keys().last().unwrap(), last);
        assert!(of_east.len() >= 9, "{:?}", of_east.keys());
        let gaps: Vec<u64> = of_east.values().filter(|segment| segment.gap).map(|segment| segment.msn).collect();
        assert!((2..=4).contains(&gaps.len()), "{gaps:?}");
        for segment in of_east.values().filter(|segment| !segment.gap && segment.msn != last) {
            assert_eq!(**segment, *of_west[&segment.msn], "{rendition}");
            for name in [&segment.name, &segment.init] {
                let read = |root: &Path| std::fs::read(root.join(name)).unwrap();
                assert_eq!(read(&west_root), read(&east_root), "{name}");
            }
        }
        assert!(of_west.values().all(|segment| !segment.gap && !segment.discontinuity));
        let text = render::media(&east, rendition, 60).unwrap();
        let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
        assert_eq!(playlist.version, Some(8));
        assert_eq!(playlist.segments.iter().filter(|segment| segment.gap).count(), gaps.len());
        assert_eq!((playlist.discontinuity_sequence, text.matches("EXT-X-DISCONTINUITY\n").count()), (0, 0));
        // Where it does not say otherwise a date follows from the one before and its duration.
        for pair in playlist.segments.windows(2).filter(|pair| rendition == "video" && pair[0].uri != pair[1].uri) {
            let said = pair[1].program_date_time_ms.unwrap() - pair[0].program_date_time_ms.unwrap();
            let off = said as f64 - pair[0].duration_seconds * 1000.0;
            assert!(off.abs() <= 1.0 || pair[0].gap || pair[1].gap, "{off} before {}", pair[1].uri);
        }
    }

    // A player that changes the region with each segment.
    for (rendition, step_us) in [("video", 40_000.0), ("audio", 1024.0 * 1e6 / 44_100.0)] {
        let (of_west, of_east) = (by_number(&west, rendition), by_number(&east, rendition));
        let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:3\n#EXT-X-PLAYLIST-TYPE:VOD\n");
        let mut seconds = 0.0;
        let (mut changes, mut was_east) = (0, false);
        let last = *of_west.keys().last().unwrap();
        for (msn, segment) in of_west.iter().filter(|(msn, _)| **msn != last) {
            let is_there = of_east.get(msn).is_some_and(|segment| !segment.gap);
            was_east = is_there && !was_east;
            changes += u32::from(was_east);
            let root = if was_east { &east_root } else { &west_root };
            if seconds == 0.0 {
                writeln!(text, "#EXT-X-MAP:URI=\"{}\"", root.join(&segment.init).display()).unwrap();
            }
            writeln!(text, "#EXTINF:{:.6},\n{}", segment.duration_seconds, root.join(&segment.name).display()).unwrap();
            seconds += segment.duration_seconds;
        }
        text.push_str("#EXT-X-ENDLIST\n");
        assert!(changes >= 3, "{changes}");
        let path = dir.path().join(format!("{rendition}.m3u8"));
        std::fs::write(&path, text).unwrap();
        let times = packets(&path);
        assert_eq!(times.len(), (seconds * 1e6 / step_us).round() as usize, "none is missing and none comes twice");
        let even = |pair: &[i64]| ((pair[1] - pair[0]) as f64 - step_us).abs() < 1_500.0;
        assert!(times.windows(2).all(even), "{times:?}");
    }
}

#[tokio::test]
async fn the_recording_of_an_aligned_breakout_has_no_holes() {
    let dir = tempfile::tempdir().unwrap();
    let [(_, west), (east, east_root)] = two_regions(dir.path()).await;
    for (root, breaks) in [(&west, 0), (&east_root, 1)] {
        for rendition in ["video", "audio"] {
            let bytes = std::fs::read(root.join(format!("{rendition}.m3u8"))).unwrap();
            let playlist = MediaPlaylist::parse(&bytes).unwrap();
            assert!(playlist.segments.iter().all(|segment| !segment.gap && root.join(&segment.uri).is_file()));
            assert_eq!(playlist.segments.iter().filter(|segment| segment.discontinuity).count(), breaks);
            assert_eq!(playlist.discontinuity_sequence, 0);
        }
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-allowed_extensions", "ALL", "-i"])
            .arg(root.join("index.m3u8"))
            .args(["-f", "null", "-"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let gaps: serde_json::Value = serde_json::from_slice(&std::fs::read(root.join("gaps.json")).unwrap()).unwrap();
        assert_eq!(gaps["gaps"].as_array().unwrap().len(), breaks);
        if breaks > 0 {
            assert_eq!(gaps["gaps"][0]["reason"], "restart");
        }
    }
    let there = by_number(&east, "video").values().filter(|segment| !segment.gap).count();
    let recorded = std::fs::read_dir(east_root.join("video")).unwrap().filter_map(Result::ok);
    let media = recorded.filter(|entry| entry.file_name().to_string_lossy().ends_with(".m4s")).count();
    assert_eq!(there, media);
}
