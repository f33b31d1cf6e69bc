//! One channel with two real encoders: what players see when the one in use freezes, comes back, and dies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_hls::timeline::{Rendition, Segment, Timeline};
use anabranch_ingest::{ChannelFeed, Config, Feeds, Ingest};
use anabranch_model::{
    AudienceSpec, BreakoutId, BreakoutSpec, ChannelId, ChannelSpec, FailoverSpec, InputId, InputPreference, InputSpec,
    Report, Snapshot,
};
use anabranch_net::{Clock, Shutdown, SystemClock};
use anabranch_packager::{Packager, Session};
use anabranch_store::LocalStore;
use tokio::sync::{mpsc, watch};

const TARGET: u32 = 3;
const LOSS: Duration = Duration::from_secs(3);
const CLEAR: Duration = Duration::from_secs(4);

/// Keyframes come each second, so a switch leaves this much out at the most, and a little for two encoders out of step.
const LARGEST_HOLE_MS: i64 = 1_300;

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(40);

/// Ingest, feeds and packager with one channel of two inputs, on air.
struct Rooms {
    address: SocketAddr,
    inputs: Vec<InputId>,
    media: PathBuf,
    timeline: watch::Receiver<Arc<Timeline>>,
    reports: mpsc::Receiver<Report>,
    shutdown: Shutdown,
    packager: tokio::task::JoinHandle<()>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    _dir: tempfile::TempDir,
}

impl Rooms {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (channel, breakout) = (ChannelId::random(), BreakoutId::random());
        let inputs = vec![InputId::random(), InputId::random()];
        let (snapshot, snapshots) = watch::channel(Arc::new(spec(&channel, &breakout, &inputs)));
        let store = LocalStore::open(dir.path(), 0).unwrap();
        let media = dir.path().join(format!("bucket/recordings/{breakout}/1"));
        let clock = Arc::new(SystemClock);
        let (report_sender, reports) = mpsc::channel(1024);
        let (sessions, session_queue) = mpsc::channel(16);
        let config = Config::new(([127, 0, 0, 1], 0).into(), "test");
        let ingest = Ingest::bind(config, snapshots.clone(), sessions, report_sender.clone()).unwrap();
        let (feeds_in, mut feeds_out) = mpsc::channel(16);
        let feeds = Feeds::build(clock.clone(), snapshots.clone(), session_queue, feeds_in, report_sender.clone());
        let (feed, fed) = mpsc::channel(16);
        let (packager, mut timelines) = Packager::build("test".to_owned(), store, clock, snapshots, fed, report_sender);
        let (address, shutdown) = (ingest.local_addr(), Shutdown::new());
        tokio::spawn(ingest.run(shutdown.clone()));
        tokio::spawn(feeds.run());
        tokio::spawn(async move {
            while let Some(ChannelFeed { channel, events }) = feeds_out.recv().await {
                feed.send(Session { channel, events }).await.unwrap();
            }
        });
        let packager = tokio::spawn(packager.run(Shutdown::new()));
        let timelines = timelines.wait_for(|timelines| !timelines.is_empty()).await.unwrap().clone();
        let timeline = timelines[&(channel, breakout)].clone();
        Self { address, inputs, media, timeline, reports, shutdown, packager, snapshot, _dir: dir }
    }

    /// An ffmpeg that pushes its own picture to input `number`, and starts its clock anew.
    fn push(&self, number: usize, picture: &str) -> Encoder {
        let url = format!("rtmp://{}/live/key-{number}", self.address);
        let tone = format!("sine=frequency={}:sample_rate=48000", 300 * number);
        let source = format!("{picture}=size=320x180:rate=25");
        Encoder::run(&["-re", "-f", "lavfi", "-i", &source, "-re", "-f", "lavfi", "-i", &tone], &["-f", "flv", &url])
    }

    /// One ffmpeg that pushes the very same to both inputs, and goes on with one of them.
    fn push_both(&self) -> Encoder {
        let url = |number| format!("[f=flv:onfail=ignore]rtmp://{}/live/key-{number}", self.address);
        let outputs = format!("{}|{}", url(1), url(2));
        Encoder::run(
            &["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-re", "-f", "lavfi", "-i", "sine"],
            &["-map", "0:v", "-map", "1:a", "-flags", "+global_header", "-f", "tee", &outputs],
        )
    }

    /// Waits until another input is in use, which is `number`; gives the reason.
    async fn in_use(&mut self, number: usize) -> String {
        let (in_use, reason) = self.switched().await;
        assert_eq!(in_use, number, "{reason}");
        reason
    }

    /// Waits until another input is in use: its number, and why.
    async fn switched(&mut self) -> (usize, String) {
        let wait = async {
            loop {
                if let Report::ActiveInput { input, reason, .. } = self.reports.recv().await.unwrap() {
                    let at = self.inputs.iter().position(|known| Some(known) == input.as_ref());
                    return (at.map_or(0, |at| at + 1), reason);
                }
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("another input in use")
    }

    /// Waits until the pictures are `seconds` long.
    async fn length(&mut self, seconds: f64) {
        let long = |timeline: &Arc<Timeline>| {
            let pictures = timeline.renditions.first();
            pictures.is_some_and(|r| r.segments.iter().map(|s| s.duration_seconds).sum::<f64>() >= seconds)
        };
        tokio::time::timeout(DEADLINE, self.timeline.wait_for(long)).await.expect("more media").unwrap();
    }

    fn seconds(&self) -> f64 {
        let timeline = self.timeline.borrow();
        timeline.renditions.first().map_or(0.0, |r| r.segments.iter().map(|s| s.duration_seconds).sum())
    }
}

fn spec(channel: &ChannelId, breakout: &BreakoutId, inputs: &[InputId]) -> Snapshot {
    let input = |(at, id): (usize, &InputId)| InputSpec {
        id: id.clone(),
        stream_key: format!("key-{}", at + 1),
        allow: Vec::new(),
    };
    let channel_spec = ChannelSpec {
        id: channel.clone(),
        name: "pair".to_owned(),
        running: true,
        segment_target_seconds: TARGET,
        window_seconds: 600,
        inputs: inputs.iter().enumerate().map(input).collect(),
        failover: FailoverSpec {
            enabled: true,
            loss_ms: LOSS.as_millis() as u32,
            clear_ms: CLEAR.as_millis() as u32,
            preference: InputPreference::Primary,
            chosen: None,
        },
    };
    let on_air = BreakoutSpec {
        id: breakout.clone(),
        channel: channel.clone(),
        on_air: true,
        session: 1,
        audience: AudienceSpec::default(),
        aligned: None,
    };
    Snapshot { version: 1, channels: vec![channel_spec], breakouts: vec![on_air], ..Snapshot::default() }
}

struct Encoder(Child);

impl Encoder {
    fn run(inputs: &[&str], outputs: &[&str]) -> Self {
        let child = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-loglevel", "fatal"])
            .args(inputs)
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-tune",
                "zerolatency",
                "-pix_fmt",
                "yuv420p",
                "-g",
                "25",
            ])
            .args(["-c:a", "aac"])
            .args(outputs)
            .stdin(Stdio::null())
            .spawn()
            .expect("ffmpeg to start");
        Self(child)
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A player with a default buffer: it begins three targets behind the newest segment, and then plays on.
struct Player {
    task: tokio::task::JoinHandle<(f64, f64)>,
}

impl Player {
    /// Begins once there is enough.
    fn watch(mut timeline: watch::Receiver<Arc<Timeline>>) -> Self {
        let task = tokio::spawn(async move {
            let length = |timeline: &Arc<Timeline>| -> f64 {
                timeline.renditions.first().map_or(0.0, |r| r.segments.iter().map(|s| s.duration_seconds).sum())
            };
            let behind = 3.0 * f64::from(TARGET);
            let first = timeline.wait_for(|timeline| length(timeline) >= behind).await.unwrap().clone();
            let (begun, start) = (Instant::now(), length(&first) - behind);
            let (mut known, mut least) = (length(&first), behind);
            while timeline.changed().await.is_ok() {
                // What was left to play just before the segment came.
                least = f64::min(least, known - start - begun.elapsed().as_secs_f64());
                known = length(&timeline.borrow_and_update());
            }
            (least, begun.elapsed().as_secs_f64())
        });
        Self { task }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_go_on_when_the_input_in_use_freezes_comes_back_and_dies() {
    let mut rooms = Rooms::start().await;
    let one = rooms.push(1, "testsrc2");
    assert_eq!(rooms.in_use(1).await, "input 1 was the first to send");
    let player = Player::watch(rooms.timeline.clone());
    // The second begins at another time: its clock and its keyframes are its own.
    rooms.length(2.0).await;
    let two = rooms.push(2, "smptebars");
    rooms.length(f64::from(TARGET) * 4.0).await;

    one.signal("-STOP");
    let frozen = Instant::now();
    let reason = rooms.in_use(2).await;
    assert!(reason.starts_with("input 1 sent nothing for 3."), "{reason}");
    let detected = frozen.elapsed();
    assert!(detected >= LOSS - Duration::from_millis(500) && detected < LOSS + Duration::from_secs(1), "{detected:?}");
    one.signal("-CONT");
    let reason = rooms.in_use(1).await;
    assert!(reason.starts_with("input 1 is preferred and has sent for 4."), "{reason}");
    let now = rooms.seconds();
    rooms.length(now + 4.0).await;
    drop(one);
    let reason = rooms.in_use(2).await;
    assert!(reason.starts_with("input 1 sent nothing for 3."), "{reason}");
    let now = rooms.seconds();
    rooms.length(now + 7.0).await;
    let (newest, now_ms) =
        (rooms.timeline.borrow().renditions[0].segments.back().unwrap().clone(), SystemClock.now_ms());
    let behind = now_ms - end_ms(&newest);
    assert!((-500..=1_500).contains(&behind), "the newest segment ends {behind} ms ago by its wall-clock time");

    drop(two);
    rooms.shutdown.cancel();
    tokio::time::timeout(DEADLINE, rooms.packager).await.unwrap().unwrap();
    let timeline = rooms.timeline.borrow().clone();
    drop(rooms.timeline);
    let (least, watched) = tokio::time::timeout(DEADLINE, player.task).await.unwrap().unwrap();
    println!("least buffer {least:.2} s in {watched:.1} s");
    assert!(least > 0.0, "the player stalled by {:.2} s", -least);
    assert_eq!(timeline.renditions.len(), 2);
    for rendition in &timeline.renditions {
        check(rendition, 3);
        decodes(&rooms.media, rendition);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_pushes_the_same_to_both_inputs_is_followed_without_a_discontinuity() {
    let mut rooms = Rooms::start().await;
    let encoder = rooms.push_both();
    let first = rooms.switched().await.0;
    rooms.length(5.0).await;
    // The input in use no longer admits the encoder.
    rooms.snapshot.send_modify(|snapshot| {
        Arc::make_mut(snapshot).channels[0].inputs[first - 1].allow = vec!["203.0.113.7".to_owned()];
    });
    let reason = rooms.in_use(3 - first).await;
    assert!(reason.starts_with(&format!("input {first} sent nothing for 3.")), "{reason}");
    let now = rooms.seconds();
    rooms.length(now + 4.0).await;
    drop(encoder);
    rooms.shutdown.cancel();
    tokio::time::timeout(DEADLINE, rooms.packager).await.unwrap().unwrap();
    let timeline = rooms.timeline.borrow().clone();
    for rendition in &timeline.renditions {
        check(rendition, 0);
        decodes(&rooms.media, rendition);
    }
}

fn end_ms(segment: &Segment) -> i64 {
    segment.program_date_time_ms + (segment.duration_seconds * 1000.0).round() as i64
}

/// Numbers go on by one, each switch is marked, and wall-clock time has holes at switches only, and small ones.
fn check(rendition: &Rendition, switches: usize) {
    let segments: Vec<_> = rendition.segments.iter().collect();
    assert!(segments.iter().enumerate().all(|(at, segment)| segment.msn == at as u64));
    let marked = segments.iter().filter(|segment| segment.discontinuity).count();
    let shown: Vec<_> =
        segments.iter().map(|s| (s.msn, s.duration_seconds, s.program_date_time_ms, s.discontinuity)).collect();
    assert_eq!(marked, switches, "{}: {shown:?}", rendition.name);
    for pair in segments.windows(2) {
        let hole = pair[1].program_date_time_ms - end_ms(pair[0]);
        let most = if pair[1].discontinuity { LARGEST_HOLE_MS } else { 60 };
        assert!((-60..=most).contains(&hole), "{}: {hole} ms before {} in {shown:?}", rendition.name, pair[1].msn);
        assert!(pair[1].init == pair[0].init || pair[1].discontinuity);
    }
}

/// Each stretch between discontinuities is media that ffmpeg has nothing to say about.
fn decodes(root: &Path, rendition: &Rendition) {
    let mut stretches: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let mut number = 0;
    for segment in &rendition.segments {
        number += usize::from(segment.discontinuity);
        let bytes = stretches.entry(number).or_insert_with(|| std::fs::read(root.join(&segment.init)).unwrap());
        bytes.extend(std::fs::read(root.join(&segment.name)).unwrap());
    }
    for (number, bytes) in stretches {
        let path = root.join(format!("stretch-{number}.mp4"));
        std::fs::write(&path, bytes).unwrap();
        let judge = Command::new("ffmpeg").args(["-v", "warning", "-i"]).arg(&path).args(["-f", "null", "-"]).output();
        assert_eq!(String::from_utf8_lossy(&judge.unwrap().stderr), "", "{} {number}", rendition.name);
    }
}
