//! Two inputs become one flow: by hand-made sessions, in real time but with short settings.

use std::sync::Arc;
use std::time::Duration;

use anabranch_ingest::{ChannelFeed, Feeds, IngestSession};
use anabranch_media::{Arrival, Codec, Event, Sample, Track, TrackKind};
use anabranch_model::{
    AlarmKind, ChannelId, ChannelSpec, ChosenInput, FailoverSpec, InputId, InputPreference, InputSpec, Report, Snapshot,
};
use anabranch_net::SystemClock;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::harness::soon;

const LOSS: Duration = Duration::from_millis(400);
const CLEAR: Duration = Duration::from_millis(900);
const STEP: Duration = Duration::from_millis(20);

/// Pictures from one keyframe to the next.
const GOP: i64 = 10;

/// A channel with two inputs.
struct Pair {
    spec: ChannelSpec,
    snapshot: watch::Sender<Arc<Snapshot>>,
    sessions: Option<mpsc::Sender<IngestSession>>,
    feeds: mpsc::Receiver<ChannelFeed>,
    reports: mpsc::Receiver<Report>,
    task: JoinHandle<()>,
}

impl Pair {
    fn start(preference: InputPreference) -> Self {
        let input = || InputSpec { id: InputId::random(), stream_key: String::new(), allow: Vec::new() };
        let spec = ChannelSpec {
            id: ChannelId::random(),
            name: "pair".to_owned(),
            running: false,
            segment_target_seconds: 2,
            window_seconds: 60,
            inputs: vec![input(), input()],
            failover: FailoverSpec {
                enabled: true,
                loss_ms: LOSS.as_millis() as u32,
                clear_ms: CLEAR.as_millis() as u32,
                preference,
                chosen: None,
            },
        };
        let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let (sessions, session_queue) = mpsc::channel(4);
        let (feed_sender, feeds) = mpsc::channel(4);
        let (report_sender, reports) = mpsc::channel(1024);
        let feeds_of = Feeds::build(Arc::new(SystemClock), snapshots, session_queue, feed_sender, report_sender);
        let task = tokio::spawn(feeds_of.run());
        let pair = Self { spec, snapshot, sessions: Some(sessions), feeds, reports, task };
        pair.tell();
        pair
    }

    fn tell(&self) {
        let snapshot = Snapshot { channels: vec![self.spec.clone()], ..Snapshot::default() };
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// Connects an encoder to input `number`.
    async fn connect(&self, number: usize, mark: u8) -> Encoder {
        let (events, queue) = mpsc::channel(8);
        let session = IngestSession {
            channel: self.spec.id.clone(),
            input: self.spec.inputs[number - 1].id.clone(),
            remote: ([127, 0, 0, 1], 1).into(),
            events: queue,
        };
        self.sessions.as_ref().unwrap().send(session).await.unwrap();
        let track = Track {
            kind: TrackKind::Video,
            timescale: 1000,
            codec: Codec::H264(Bytes::from(vec![mark])),
            codecs: "avc1.64001f".to_owned(),
            width: 320,
            height: 180,
            sample_rate: 0,
            channels: 0,
            frame_samples: 0,
        };
        events.send(Event::Track(Arc::new(track))).await.unwrap();
        Encoder { events, mark, at: 0 }
    }

    /// The next change of the input in use: its number and why.
    async fn switched(&mut self) -> (usize, String) {
        loop {
            if let Report::ActiveInput { channel, input, reason } = soon("report", self.reports.recv()).await.unwrap() {
                assert_eq!(channel, self.spec.id);
                let number = |input| self.spec.inputs.iter().position(|spec| spec.id == input).unwrap() + 1;
                return (input.map_or(0, number), reason);
            }
        }
    }

    async fn flow(&mut self) -> Flow {
        let events = soon("feed", self.feeds.recv()).await.unwrap().events;
        Flow { events, log: Vec::new() }
    }
}

/// An encoder that sends pictures of its own mark, one each [`STEP`].
struct Encoder {
    events: mpsc::Sender<Event>,
    mark: u8,
    at: i64,
}

impl Encoder {
    fn picture(&mut self) -> Event {
        let (dts, keyframe) = (self.at * 20, self.at % GOP == 0);
        self.at += 1;
        // The content tells encoder and picture apart.
        let data = Bytes::from(vec![self.mark, (self.at >> 8) as u8, self.at as u8]);
        Event::Sample(Sample { kind: TrackKind::Video, dts, pts: dts, keyframe, data })
    }

    async fn send(&mut self) {
        let picture = self.picture();
        soon("room", self.events.send(picture)).await.unwrap();
    }
}

/// These encoders send for some time.
async fn run(encoders: &mut [&mut Encoder], time: Duration) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(STEP);
    while begun.elapsed() < time {
        ticks.tick().await;
        for encoder in encoders.iter_mut() {
            encoder.send().await;
        }
    }
}

/// What came out.
struct Flow {
    events: mpsc::Receiver<Arrival>,
    log: Vec<Arrival>,
}

impl Flow {
    /// Everything to the end.
    async fn finish(mut self) -> Vec<Arrival> {
        while let Some(arrival) = soon("media", self.events.recv()).await {
            self.log.push(arrival);
        }
        self.log
    }

    /// Reads on its own from now on; the end gives everything.
    fn follow(self) -> JoinHandle<Vec<Arrival>> {
        tokio::spawn(self.finish())
    }
}

/// Stretches between discontinuities: mark, first picture, last picture, times of their coming. Each begins with its track and
/// a keyframe, and has no hole.
fn stretches(log: &[Arrival]) -> Vec<(u8, i64, i64, i64, i64)> {
    let mut all = Vec::new();
    for part in log.split(|arrival| matches!(arrival.event, Event::Discontinuity)).filter(|part| !part.is_empty()) {
        assert!(matches!(part[0].event, Event::Track(_)), "{:?}", part[0]);
        let pictures: Vec<_> = part
            .iter()
            .filter_map(|arrival| match &arrival.event {
                Event::Sample(sample) => Some((sample.data[0], sample.dts / 20, sample.keyframe, arrival.at_ms)),
                _ => None,
            })
            .collect();
        let Some((first, last)) = pictures.first().zip(pictures.last()) else { continue };
        assert!(first.2, "begins with a keyframe");
        assert!(pictures.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1), "no hole");
        all.push((first.0, first.1, last.1, first.3, last.3));
    }
    all
}

async fn end(mut pair: Pair, encoders: impl IntoIterator<Item = Encoder>) {
    drop(encoders.into_iter().collect::<Vec<_>>());
    pair.sessions = None;
    soon("end", pair.task).await.unwrap();
}

#[tokio::test]
async fn the_loss_of_one_begins_the_other_where_it_ended() {
    let mut pair = Pair::start(InputPreference::Primary);
    let (mut one, mut two) = (pair.connect(1, 1).await, pair.connect(2, 2).await);
    two.at = 5000 + 3;
    one.send().await;
    let flow = pair.flow().await.follow();
    assert_eq!(pair.switched().await, (1, "input 1 was the first to send".to_owned()));
    run(&mut [&mut one, &mut two], Duration::from_millis(1000)).await;
    // Silent but connected; then back, and used again when it is healthy.
    run(&mut [&mut two], Duration::from_millis(600)).await;
    let (number, reason) = pair.switched().await;
    assert_eq!((number, reason.as_str()), (2, "input 1 sent nothing for 0.4 s"));
    run(&mut [&mut one, &mut two], CLEAR + Duration::from_millis(600)).await;
    let (number, reason) = pair.switched().await;
    assert_eq!(number, 1);
    assert!(reason.starts_with("input 1 is preferred and has sent for 0.9 s"), "{reason}");
    end(pair, [one, two]).await;
    let stretches = stretches(&flow.await.unwrap());
    assert_eq!(stretches.iter().map(|stretch| stretch.0).collect::<Vec<_>>(), [1, 2, 1], "{stretches:?}");
    // The way from one to the other is short, although the loss took longer: a keyframe comes each 200 ms.
    for pair in stretches.windows(2) {
        let hole = pair[1].3 - pair[0].4;
        assert!((-260..=260).contains(&hole), "{hole} ms in {stretches:?}");
    }
}

#[tokio::test]
async fn a_closed_connection_is_lost_too_and_an_equal_one_stays() {
    let mut pair = Pair::start(InputPreference::Equal);
    let (mut one, mut two) = (pair.connect(1, 1).await, pair.connect(2, 2).await);
    one.send().await;
    let flow = pair.flow().await.follow();
    pair.switched().await;
    run(&mut [&mut one, &mut two], Duration::from_millis(600)).await;
    drop(one);
    run(&mut [&mut two], Duration::from_millis(600)).await;
    assert_eq!(pair.switched().await.0, 2);
    let mut one = pair.connect(1, 1).await;
    run(&mut [&mut one, &mut two], CLEAR + Duration::from_millis(600)).await;
    // The operator chooses the first again; then it is taken away.
    pair.spec.failover.chosen = Some(ChosenInput { input: pair.spec.inputs[0].id.clone(), sequence: 1 });
    pair.tell();
    run(&mut [&mut one, &mut two], Duration::from_millis(500)).await;
    assert_eq!(pair.switched().await, (1, "the operator chose input 1".to_owned()));
    let kept = pair.spec.inputs.split_off(1);
    pair.spec.inputs = kept;
    pair.tell();
    run(&mut [&mut two], Duration::from_millis(500)).await;
    assert_eq!(pair.switched().await, (1, "input 1, which was in use, was removed".to_owned()));
    drop(two);
    assert_eq!(pair.switched().await, (0, "no encoder is connected".to_owned()));
    end(pair, []).await;
    let stretches = stretches(&flow.await.unwrap());
    assert_eq!(stretches.iter().map(|stretch| stretch.0).collect::<Vec<_>>(), [1, 2, 1, 2], "{stretches:?}");
}

#[tokio::test]
async fn inputs_that_send_the_very_same_are_joined_without_a_seam() {
    let mut pair = Pair::start(InputPreference::Equal);
    let (mut one, mut two) = (pair.connect(1, 7).await, pair.connect(2, 7).await);
    let flow = pair.flow_after(&mut one, &mut two).await;
    for number in [2, 1] {
        pair.switched().await;
        let lost = if number == 2 { &mut one } else { &mut two };
        // The connection is cut, so that what is open could be closed at once.
        drop(std::mem::replace(lost, Encoder { events: mpsc::channel(1).0, mark: 7, at: 0 }));
        let kept = if number == 2 { &mut two } else { &mut one };
        run(&mut [kept], Duration::from_millis(700)).await;
        let at = kept.at;
        if number == 2 {
            one = pair.connect(1, 7).await;
            one.at = at;
            run(&mut [&mut one, &mut two], CLEAR + Duration::from_millis(300)).await;
        }
    }
    assert_eq!(pair.switched().await.0, 1);
    let last = one.at - 1;
    end(pair, [one, two]).await;
    let stretches = stretches(&flow.await.unwrap());
    assert_eq!(stretches.len(), 1, "{stretches:?}");
    assert_eq!((stretches[0].1, stretches[0].2), (0, last), "every picture once");
}

#[tokio::test]
async fn the_same_times_are_not_the_same_stream() {
    let mut pair = Pair::start(InputPreference::Equal);
    // Equal tracks, equal times, other pictures.
    let (mut one, mut two) = (pair.connect(1, 1).await, pair.connect(2, 1).await);
    two.mark = 2;
    let flow = pair.flow_after(&mut one, &mut two).await;
    pair.switched().await;
    drop(one);
    run(&mut [&mut two], Duration::from_millis(700)).await;
    assert_eq!(pair.switched().await.0, 2);
    end(pair, [two]).await;
    assert_eq!(stretches(&flow.await.unwrap()).iter().map(|stretch| stretch.0).collect::<Vec<_>>(), [1, 2]);
}

impl Pair {
    /// Both send for a while.
    async fn flow_after(&mut self, one: &mut Encoder, two: &mut Encoder) -> JoinHandle<Vec<Arrival>> {
        one.send().await;
        let flow = self.flow().await.follow();
        two.send().await;
        run(&mut [one, two], Duration::from_millis(600)).await;
        flow
    }
}

#[tokio::test]
async fn a_slow_room_behind_holds_the_one_in_use_and_never_the_standby() {
    let mut pair = Pair::start(InputPreference::Equal);
    let (mut one, mut two) = (pair.connect(1, 1).await, pair.connect(2, 2).await);
    one.send().await;
    let flow = pair.flow().await;
    pair.switched().await;
    // Nobody reads: the queues fill, and then the encoder in use cannot send.
    let mut held = Duration::ZERO;
    while held == Duration::ZERO {
        let picture = one.picture();
        if tokio::time::timeout(LOSS + LOSS, one.events.send(picture)).await.is_err() {
            held = LOSS + LOSS;
        }
    }
    assert!(one.at < 200, "the queues are bounded: {}", one.at);
    run(&mut [&mut two], LOSS + LOSS).await;
    assert!(two.at >= 20);
    let flow = flow.follow();
    run(&mut [&mut one, &mut two], Duration::from_millis(200)).await;
    let switched = std::iter::from_fn(|| pair.reports.try_recv().ok());
    assert_eq!(switched.filter(|report| matches!(report, Report::ActiveInput { .. })).count(), 0);
    let sent = one.at;
    end(pair, [one, two]).await;
    let pictures = flow.await.unwrap().into_iter().filter(|arrival| matches!(arrival.event, Event::Sample(_)));
    assert_eq!(pictures.count() as i64, sent - 1, "all but the one that found no room");
}

#[tokio::test]
async fn a_dropped_feed_sends_the_encoders_away_and_another_is_made() {
    let mut pair = Pair::start(InputPreference::Equal);
    let mut one = pair.connect(1, 1).await;
    one.send().await;
    drop(pair.flow().await);
    soon("end of the session", async { while one.events.send(Event::Discontinuity).await.is_ok() {} }).await;
    let mut one = pair.connect(1, 1).await;
    one.send().await;
    let mut flow = pair.flow().await;
    soon("media", flow.events.recv()).await.unwrap();
    end(pair, [one]).await;
}

#[tokio::test]
async fn silence_is_reported_once_and_cleared_once() {
    let mut pair = Pair::start(InputPreference::Primary);
    pair.spec.running = true;
    pair.tell();
    let mut alarms = Vec::new();
    while alarms.len() < 2 {
        if let Report::Alarm { input, kind, raised, detail, .. } = soon("alarm", pair.reports.recv()).await.unwrap() {
            assert!(detail.contains("no encoder is connected"), "{detail}");
            alarms.push((input, kind, raised));
        }
    }
    let of = |at: usize, raised| (pair.spec.inputs[at].id.clone(), AlarmKind::Silence, raised);
    assert_eq!(alarms, [of(0, true), of(1, true)]);
    let mut one = pair.connect(1, 1).await;
    one.send().await;
    let _flow = pair.flow().await.follow();
    let cleared = async {
        loop {
            if let Some(Report::Alarm { input, kind, raised, .. }) = pair.reports.recv().await {
                return (input, kind, raised);
            }
        }
    };
    let mut sending = [&mut one];
    let cleared = tokio::select! {
        cleared = cleared => cleared,
        () = run(&mut sending, Duration::from_secs(20)) => panic!("not cleared"),
    };
    assert_eq!(cleared, (pair.spec.inputs[0].id.clone(), AlarmKind::Silence, false));
}
