//! One channel: its inputs' sessions in, one flow out. The rules are in `failover`, what is kept in `standby`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use anabranch_media::{Arrival, Event, Sample};
use anabranch_model::{ChannelId, ChannelSpec, InputId, Report};
use anabranch_net::SharedClock;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::alarm::note_alarm;
use crate::failover::{Failover, Switch};
use crate::monitor::{Change, Monitor};
use crate::session::IngestSession;
use crate::standby::{Sent, Standby, Tracks, slot};

/// Events that wait for the room behind.
const FEED_QUEUE: usize = 64;

/// How long a switch that nobody is in need of waits for the next keyframe; then it begins with the last one.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(5);

/// Reports that wait for room; beyond it the oldest goes.
const UNSAID: usize = 64;

/// How often reports that found no room are tried again.
const SAY_AGAIN: Duration = Duration::from_secs(1);

/// What is handed on for a channel: the media of the input in use, whichever that is.
#[derive(Debug)]
pub struct ChannelFeed {
    /// Channel.
    pub channel: ChannelId,
    /// Tracks and samples. A discontinuity stands where what follows does not continue what came before. While it is full the
    /// encoder in use is not read; when it is dropped the channel's encoders are sent away.
    pub events: mpsc::Receiver<Arrival>,
}

/// What a channel's task is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// The channel is like this now.
    Spec(Box<ChannelSpec>),
    /// An encoder has connected.
    Session(IngestSession),
}

/// A channel's inputs and the flow that they feed.
#[derive(Debug)]
pub(crate) struct ChannelTask {
    id: ChannelId,
    clock: SharedClock,
    feeds: mpsc::Sender<ChannelFeed>,
    reports: mpsc::Sender<Report>,
    unsaid: VecDeque<Report>,
    failover: Failover,
    inputs: Vec<Input>,
    running: bool,
    /// The input that is read first the next time, so that none starves.
    turn: usize,
    feed: Option<mpsc::Sender<Arrival>>,
    /// What the feed had no room for: the input in use is not read until it is gone.
    pending: VecDeque<Arrival>,
    sent: Sent,
    /// The encoder in use has gone, and another may continue its stream: what is open is not closed yet.
    open_end: bool,
    /// A switch that waits for a keyframe: where to, since when.
    awaited: Option<(InputId, Instant)>,
    kept: Kept,
}

/// What a channel's task woke for.
enum Wake {
    Command(Option<Command>),
    /// There is room in the feed, or nobody reads it any more.
    Room(bool),
    /// An input sent something, or its session ended.
    Event(usize, Option<Event>),
    Time,
}

#[derive(Debug)]
struct Input {
    id: InputId,
    session: Option<mpsc::Receiver<Event>>,
    tracks: Tracks,
    standby: Standby,
    monitor: Monitor,
}

impl ChannelTask {
    pub(crate) fn new(
        channel: &ChannelSpec,
        clock: SharedClock,
        feeds: mpsc::Sender<ChannelFeed>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let mut task = Self {
            id: channel.id.clone(),
            clock,
            feeds,
            reports,
            unsaid: VecDeque::new(),
            failover: Failover::new(channel.failover.clone(), channel.inputs.iter().map(|input| input.id.clone())),
            inputs: Vec::new(),
            running: false,
            turn: 0,
            feed: None,
            pending: VecDeque::new(),
            sent: Sent::default(),
            open_end: false,
            awaited: None,
            kept: Kept::new(),
        };
        task.apply(channel);
        task
    }

    /// Runs until there are no more commands and every session has ended.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut commanded = true;
        while commanded || !self.pending.is_empty() || self.inputs.iter().any(|input| input.session.is_some()) {
            let deadline = self.deadline();
            let blocked = !self.pending.is_empty();
            let held = self.in_use().filter(|_| blocked);
            let wake = tokio::select! {
                command = commands.recv(), if commanded => Wake::Command(command),
                // This is the one sender, so the room that was seen is still there.
                room = room(self.feed.as_ref()), if blocked => Wake::Room(room),
                (at, event) = next(&mut self.inputs, &mut self.turn, held) => Wake::Event(at, event),
                () = until(deadline) => Wake::Time,
            };
            if let Some(at) = held {
                self.excuse(at);
            }
            match wake {
                Wake::Command(Some(command)) => self.obey(command),
                Wake::Command(None) => commanded = false,
                Wake::Room(true) => self.hand_on(),
                Wake::Room(false) => self.unwanted(),
                Wake::Event(at, Some(event)) => self.take(at, event),
                Wake::Event(at, None) => self.end_session(at),
                Wake::Time => {}
            }
            self.settle().await;
        }
    }

    /// The input was not read up to now: its silence was ours.
    fn excuse(&mut self, at: usize) {
        let now = Instant::now();
        self.failover.excuse(&self.inputs[at].id, now);
        self.inputs[at].monitor.excuse(now);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Spec(channel) => {
                let inputs = channel.inputs.iter().map(|input| input.id.clone());
                self.failover.apply(channel.failover.clone(), inputs);
                self.apply(&channel);
            }
            Command::Session(session) => self.begin_session(session),
        }
    }

    /// Takes the inputs over; one that was removed loses its session.
    fn apply(&mut self, channel: &ChannelSpec) {
        let now = Instant::now();
        let mut known = std::mem::take(&mut self.inputs);
        for spec in &channel.inputs {
            let at = known.iter().position(|input| input.id == spec.id);
            self.inputs.push(at.map_or_else(|| Input::new(&spec.id, now), |at| known.swap_remove(at)));
        }
        self.running = channel.running;
        for input in &mut self.inputs {
            input.monitor.set_running(self.running, now);
        }
    }

    fn begin_session(&mut self, session: IngestSession) {
        let Some(at) = self.inputs.iter().position(|input| input.id == session.input) else { return };
        // The session before has ended; what it sent last may not have been read.
        while let Some(event) = self.inputs[at].session.as_mut().and_then(|events| events.try_recv().ok()) {
            self.take(at, event);
        }
        if self.inputs[at].session.is_some() {
            self.end_session(at);
        }
        if self.in_use() == Some(at) {
            self.close_end();
        }
        self.inputs[at].session = Some(session.events);
        self.inputs[at].monitor.connected(Instant::now());
        self.failover.connected(&session.input);
    }

    fn end_session(&mut self, at: usize) {
        let input = &mut self.inputs[at];
        input.session = None;
        input.tracks = Tracks::default();
        input.standby.clear();
        let over = input.monitor.closed(Instant::now());
        self.failover.closed(&input.id);
        self.alarm(at, over);
        if self.in_use() != Some(at) {
            return;
        }
        // What is open is published at once, but for another input that sends the very same: that one continues it.
        let continues = |other: &Input| other.standby.is_same(&self.sent, &other.tracks);
        self.open_end = self.inputs.iter().any(|other| continues(other) && self.failover.may_follow(&other.id));
        if !self.open_end {
            self.send(Event::Discontinuity, self.clock.now_ms());
        }
    }

    /// Takes an event of an input in.
    fn take(&mut self, at: usize, event: Event) {
        let (now, at_ms) = (Instant::now(), self.clock.now_ms());
        let input = &mut self.inputs[at];
        match event {
            Event::Sample(sample) => {
                input.monitor.sample(&sample, now);
                self.failover.media(&input.id, now);
                // Where nothing is in use this input is used from its first sample on.
                self.decide(now);
                if self.in_use() == Some(at) {
                    self.send(Event::Sample(sample), at_ms);
                } else {
                    self.keep(at, sample, at_ms, now);
                }
            }
            Event::Track(track) => {
                let known = &mut input.tracks[slot(track.kind)];
                if known.as_ref() != Some(&track) {
                    *known = Some(track.clone());
                    input.standby.clear();
                }
                if self.in_use() == Some(at) {
                    self.send(Event::Track(track), at_ms);
                }
            }
            Event::Discontinuity => {
                input.standby.clear();
                if self.in_use() == Some(at) {
                    self.send(Event::Discontinuity, at_ms);
                }
            }
        }
    }

    fn keep(&mut self, at: usize, sample: Sample, at_ms: i64, now: Instant) {
        let loss = self.failover.loss();
        let Input { standby, tracks, .. } = &mut self.inputs[at];
        standby.push(sample, at_ms, tracks, now, loss);
    }

    /// Lets what follows from the new facts happen.
    async fn settle(&mut self) {
        let now = Instant::now();
        self.decide(now);
        for at in 0..self.inputs.len() {
            let changes = self.inputs[at].monitor.tick(now);
            self.alarm(at, changes);
        }
        self.kept.set(self.inputs.iter().map(|input| input.standby.bytes()).sum());
        self.say();
        if self.feed.is_none() && !self.pending.is_empty() {
            let (feed, events) = mpsc::channel(FEED_QUEUE);
            self.feed = Some(feed);
            let feed = ChannelFeed { channel: self.id.clone(), events };
            // The room behind ends after this one; were it gone, the closed feed is seen when it is written to.
            let _ = self.feeds.send(feed).await;
        }
        self.hand_on();
    }

    /// Switches to another input when it is time and there is something to begin with.
    fn decide(&mut self, now: Instant) {
        let Some(switch) = self.failover.poll(now) else {
            self.awaited = None;
            let last = self.failover.active().and_then(|active| self.failover.last_media(active));
            // The one that was to continue it was lost as well.
            if self.open_end && last.is_none_or(|last| now.saturating_duration_since(last) >= self.failover.loss()) {
                self.close_end();
            }
            return;
        };
        let Some(to) = &switch.to else {
            self.close_end();
            return self.switched(&switch, false);
        };
        let Some(at) = self.inputs.iter().position(|input| input.id == *to) else { return };
        if self.in_use().is_none() {
            // Whatever there is: the room behind waits for a keyframe, or does without pictures.
            self.begin_with(at);
            return self.switched(&switch, false);
        }
        let Input { standby, tracks, .. } = &mut self.inputs[at];
        if let Some(rest) = standby.take_after(&self.sent, tracks) {
            self.open_end = false;
            self.queue(rest);
            return self.switched(&switch, true);
        }
        if self.may_begin(&switch, at, now) {
            self.begin_with(at);
            self.switched(&switch, false);
        }
    }

    /// Whether a switch may begin with a group of pictures that is there.
    fn may_begin(&mut self, switch: &Switch, at: usize, now: Instant) -> bool {
        let newest = self.inputs[at].standby.newest();
        if switch.urgent {
            return newest.is_some();
        }
        let id = &self.inputs[at].id;
        let since = match &self.awaited {
            Some((awaited, since)) if awaited == id => *since,
            _ => {
                self.awaited = Some((id.clone(), now));
                now
            }
        };
        newest.is_some_and(|newest| newest >= since || now - since >= KEYFRAME_PATIENCE)
    }

    /// Sends the tracks of an input and what is kept of it: what came after the last media of the one in use.
    fn begin_with(&mut self, at: usize) {
        let now_ms = self.clock.now_ms();
        let since = self.failover.active().and_then(|active| self.failover.last_media(active));
        let kept = self.inputs[at].standby.take_since(since);
        self.open_end = false;
        self.send(Event::Discontinuity, now_ms);
        self.sent.tracks = Tracks::default();
        for track in self.inputs[at].tracks.clone().into_iter().flatten() {
            self.send(Event::Track(track), now_ms);
        }
        self.queue(kept);
    }

    fn switched(&mut self, switch: &Switch, joined: bool) {
        self.failover.switched(switch.to.as_ref());
        self.awaited = None;
        let number = self.in_use().map_or(0, |at| at + 1);
        let (cause, reason) = (switch.cause.label(), &switch.reason);
        tracing::info!(channel.id = %self.id, input.number = number, cause, joined, reason, "another input is in use");
        metrics::counter!("anabranch_ingest_switches_total", "cause" => cause).increment(1);
        if joined {
            metrics::counter!("anabranch_ingest_joins_total").increment(1);
        }
        let (channel, input, reason) = (self.id.clone(), switch.to.clone(), reason.clone());
        self.report(Report::ActiveInput { channel, input, reason });
    }

    /// Closes the stream of an encoder that has gone, if it was left open.
    fn close_end(&mut self) {
        if std::mem::take(&mut self.open_end) {
            self.send(Event::Discontinuity, self.clock.now_ms());
        }
    }

    fn queue(&mut self, arrivals: Vec<Arrival>) {
        for Arrival { event, at_ms } in arrivals {
            self.send(event, at_ms);
        }
    }

    /// Hands an event on, or keeps it until there is room.
    fn send(&mut self, event: Event, at_ms: i64) {
        match &event {
            Event::Sample(sample) => self.sent.note(sample),
            Event::Track(track) => self.sent.tracks[slot(track.kind)] = Some(track.clone()),
            Event::Discontinuity => self.sent.forget(),
        }
        self.pending.push_back(Arrival { event, at_ms });
    }

    fn hand_on(&mut self) {
        let Some(feed) = &self.feed else { return };
        while let Some(arrival) = self.pending.pop_front() {
            match feed.try_send(arrival) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(arrival)) => return self.pending.push_front(arrival),
                Err(mpsc::error::TrySendError::Closed(_)) => return self.unwanted(),
            }
        }
    }

    /// The room behind dropped the feed: the encoders are sent away, and a new one is made for the next.
    fn unwanted(&mut self) {
        self.feed = None;
        for at in 0..self.inputs.len() {
            if self.inputs[at].session.is_some() {
                self.end_session(at);
            }
        }
        self.pending.clear();
    }

    fn in_use(&self) -> Option<usize> {
        let active = self.failover.active()?;
        self.inputs.iter().position(|input| input.id == *active)
    }

    fn deadline(&self) -> Option<Instant> {
        let patience = self.awaited.as_ref().map(|(_, since)| *since + KEYFRAME_PATIENCE);
        let say = (!self.unsaid.is_empty()).then(|| Instant::now() + SAY_AGAIN);
        let monitors = self.inputs.iter().filter_map(|input| input.monitor.deadline());
        monitors.chain(self.failover.deadline()).chain(patience).chain(say).min()
    }

    fn alarm(&mut self, at: usize, changes: Vec<Change>) {
        for Change { kind, raised, detail } in changes {
            let (channel, input) = (self.id.clone(), self.inputs[at].id.clone());
            note_alarm(&channel, &input, kind, raised, &detail);
            self.report(Report::Alarm { channel, input, kind, raised, detail });
        }
    }

    fn report(&mut self, report: Report) {
        if self.unsaid.len() >= UNSAID {
            self.unsaid.pop_front();
        }
        self.unsaid.push_back(report);
    }

    fn say(&mut self) {
        while let Some(report) = self.unsaid.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(report)) = self.reports.try_send(report) {
                self.unsaid.push_front(report);
                return;
            }
        }
    }
}

impl Input {
    fn new(id: &InputId, now: Instant) -> Self {
        let (tracks, standby) = (Tracks::default(), Standby::default());
        Self { id: id.clone(), session: None, tracks, standby, monitor: Monitor::new(now) }
    }
}

/// A channel's share of a gauge.
#[derive(Debug)]
struct Kept {
    gauge: Option<metrics::Gauge>,
    bytes: usize,
}

impl Kept {
    fn new() -> Self {
        Self { gauge: None, bytes: 0 }
    }

    fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            let gauge = self.gauge.get_or_insert_with(|| metrics::gauge!("anabranch_ingest_standby_bytes"));
            gauge.increment(bytes as f64 - self.bytes as f64);
            self.bytes = bytes;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The next event of any session but that of `skip`; waits for ever when there is none. Cancel safe.
async fn next(inputs: &mut [Input], turn: &mut usize, skip: Option<usize>) -> (usize, Option<Event>) {
    poll_fn(|context| {
        for step in 0..inputs.len() {
            let at = (*turn + step) % inputs.len();
            let Some(session) = inputs[at].session.as_mut().filter(|_| skip != Some(at)) else { continue };
            if let Poll::Ready(event) = session.poll_recv(context) {
                *turn = at + 1;
                return Poll::Ready((at, event));
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits for room in the feed; false when it was dropped. Without a feed there is nothing to wait for.
async fn room(feed: Option<&mpsc::Sender<Arrival>>) -> bool {
    match feed {
        Some(feed) => feed.reserve().await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
