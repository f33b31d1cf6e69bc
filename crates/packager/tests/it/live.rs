//! Breakouts that come and go in the snapshot.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anabranch_media::{Arrival, Event};
use anabranch_model::{
    AudienceSpec, BreakoutSpec, ChannelSpec, FailoverSpec, PackagingState, Recorded, Report, Snapshot,
};
use anabranch_net::{ManualClock, Shutdown};
use anabranch_packager::{Packager, Session};
use anabranch_store::LocalStore;
use tokio::sync::{mpsc, watch};

use crate::support::{START_MS, events};

const LIMIT: Duration = Duration::from_secs(30);

struct House {
    snapshot: watch::Sender<Arc<Snapshot>>,
    sessions: mpsc::Sender<Session>,
    reports: mpsc::Receiver<Report>,
    root: PathBuf,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

fn breakout(session: u32, on_air: bool) -> BreakoutSpec {
    let (id, channel) = ("b1".parse().expect("a test's own part"), "c1".parse().expect("a test's own part"));
    BreakoutSpec { id, channel, on_air, session, audience: AudienceSpec::default(), aligned: None }
}

fn snapshot(breakouts: Vec<BreakoutSpec>) -> Arc<Snapshot> {
    let channel = ChannelSpec {
        id: "c1".parse().expect("a test's own part"),
        name: "main".to_owned(),
        running: true,
        segment_target_seconds: 2,
        window_seconds: 60,
        inputs: Vec::new(),
        failover: FailoverSpec::default(),
    };
    Arc::new(Snapshot { version: 1, channels: vec![channel], breakouts, ..Snapshot::default() })
}

fn house(dir: &Path, breakouts: Vec<BreakoutSpec>) -> House {
    let (snapshot, followed) = watch::channel(snapshot(breakouts));
    let (sessions, fed) = mpsc::channel(4);
    let (told, reports) = mpsc::channel(1000);
    let store = LocalStore::open(dir, 0).expect("a test's own part");
    let clock = Arc::new(ManualClock::new(START_MS));
    let (packager, _) = Packager::build("n".to_owned(), store, clock, followed, fed, told);
    let shutdown = Shutdown::new();
    let task = tokio::spawn(packager.run(shutdown.clone()));
    House { snapshot, sessions, reports, root: dir.join("bucket/recordings/b1"), shutdown, task }
}

impl House {
    /// An encoder that has sent all this and has gone; returns when it is taken in.
    async fn push(&self, events: &[Event]) {
        let (sender, receiver) = mpsc::channel(1);
        self.sessions
            .send(Session { channel: "c1".parse().expect("a test's own part"), events: receiver })
            .await
            .expect("a test's own part");
        for event in events {
            sender.send(Arrival { event: event.clone(), at_ms: START_MS }).await.expect("a test's own part");
        }
    }

    /// Gives another snapshot, and forgets what was reported before.
    fn tell(&mut self, breakouts: Vec<BreakoutSpec>) {
        while self.reports.try_recv().is_ok() {}
        self.snapshot.send_replace(snapshot(breakouts));
    }

    /// The first report for which `pick` has something.
    async fn report<T>(&mut self, pick: impl Fn(&Report) -> Option<T>) -> T {
        let found = async {
            loop {
                let report = self.reports.recv().await.expect("a report");
                if let Some(found) = pick(&report) {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, found).await.expect("a report in time")
    }

    async fn waiting(&mut self) {
        let waits = |state: &PackagingState| matches!(state, PackagingState::Waiting | PackagingState::Live);
        self.report(|report| matches!(report, Report::Packaging { state, .. } if waits(state)).then_some(())).await;
    }

    async fn complete(&mut self) -> (u32, Recorded) {
        self.report(|report| match report {
            Report::Recorded { session, recorded, .. } if recorded.complete => Some((*session, recorded.clone())),
            _ => None,
        })
        .await
    }

    /// The next report while the breakout is on air, of at least so many segments.
    async fn recorded(&mut self, segments: u64) {
        self.report(|report| match report {
            Report::Recorded { recorded, .. } if !recorded.complete && recorded.segments >= segments => Some(()),
            _ => None,
        })
        .await;
    }

    fn has(&self, name: &str) -> bool {
        self.root.join(name).is_file()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("a test's own part");
    }
}

/// Names of video segments of a session by what is in them.
fn media(root: &Path, session: u32) -> HashMap<String, Vec<u8>> {
    let entries = fs::read_dir(root.join(format!("{session}/video"))).expect("a test's own part").map(Result::unwrap);
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().expect("a test's own part"),
                fs::read(entry.path()).expect("a test's own part"),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_breakout_that_ends_is_a_recording_and_its_reset_another() {
    let dir = tempfile::tempdir().unwrap();
    let media_events = events(dir.path(), 6, "64x64");
    let mut house = house(dir.path(), vec![breakout(1, true)]);
    house.waiting().await;
    house.push(&media_events).await;
    house.tell(vec![breakout(1, false)]);
    let (session, first) = house.complete().await;
    assert_eq!((session, first.segments, first.gaps), (1, 6, 0));
    assert!(house.has("1/index.m3u8") && house.has("1/gaps.json"));
    let before = media(&house.root, 1);

    house.tell(Vec::new());
    house.tell(vec![breakout(2, true)]);
    house.waiting().await;
    house.push(&media_events).await;
    house.push(&media_events).await;
    house.tell(vec![breakout(2, false)]);
    let (session, second) = house.complete().await;
    assert_eq!((session, second.segments), (2, 12));
    assert!(house.has("2/index.m3u8"));
    assert_eq!(media(&house.root, 1), before, "the former session stays as it was");
    house.stop().await;
}

#[tokio::test]
async fn what_was_taken_back_is_no_recording_and_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let media_events = events(dir.path(), 6, "64x64");
    let mut house = house(dir.path(), vec![breakout(1, true)]);
    house.waiting().await;
    house.push(&media_events).await;
    house.tell(Vec::new());
    let aborted = |root: &Path| {
        let record = fs::read_to_string(root.join("record/b1/1/timeline.json")).unwrap_or_default();
        record.contains("\"aborted\":true")
    };
    let waited = tokio::time::timeout(LIMIT, async {
        while !aborted(dir.path()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("the end of the breakout");
    assert!(!house.has("1/index.m3u8"));
    let before = media(&house.root, 1);
    house.tell(vec![breakout(1, true)]);
    house.waiting().await;
    house.push(&media_events).await;
    house.tell(vec![breakout(1, false)]);
    let (_, recorded) = house.complete().await;
    assert_eq!(recorded.segments, 6);
    assert!(house.has("1/index.m3u8") && media(&house.root, 1).keys().all(|name| !before.contains_key(name)));
    house.stop().await;
}

#[tokio::test]
async fn an_end_that_nobody_was_told_of_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let media_events = events(dir.path(), 6, "64x64");
    for (breakouts, sessions) in [
        // Over while the packager was away.
        (vec![breakout(1, false)], vec![1]),
        // Over and reset while it was away.
        (vec![breakout(2, true)], vec![1]),
    ] {
        let _ = fs::remove_dir_all(dir.path().join("bucket"));
        let _ = fs::remove_dir_all(dir.path().join("record"));
        let mut first = house(dir.path(), vec![breakout(1, true)]);
        first.waiting().await;
        first.push(&media_events).await;
        first.stop().await;
        assert!(!dir.path().join("bucket/recordings/b1/1/index.m3u8").exists());
        let mut second = house(dir.path(), breakouts);
        for expected in sessions {
            let (session, recorded) = second.complete().await;
            assert_eq!((session, recorded.segments), (expected, 6));
        }
        assert!(second.has("1/index.m3u8"));
        second.stop().await;
    }
}

#[tokio::test]
async fn a_recording_that_cannot_be_written_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let media_events = events(dir.path(), 6, "64x64");
    let mut house = house(dir.path(), vec![breakout(1, true)]);
    house.waiting().await;
    house.push(&media_events).await;
    house.recorded(2).await;
    // A folder where the list of gaps should be makes its writing fail.
    fs::create_dir_all(house.root.join("1/gaps.json/x")).unwrap();
    house.tell(vec![breakout(1, false)]);
    house
        .report(|report| match report {
            Report::Packaging { state: PackagingState::Blocked { reason }, .. } => {
                reason.contains("gaps.json").then_some(())
            }
            _ => None,
        })
        .await;
    assert!(!house.has("1/index.m3u8"));
    fs::remove_dir_all(house.root.join("1/gaps.json")).unwrap();
    house.complete().await;
    assert!(house.has("1/index.m3u8"));
    house.stop().await;
}
