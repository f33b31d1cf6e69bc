//! Joins encoder sessions with breakouts on air: one task a channel, one publisher a breakout.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_hls::timeline::Timeline;
use anabranch_media::{Arrival, Event, Track, TrackKind};
use anabranch_model::{
    Anchors, BreakoutId, BreakoutSpec, ChannelId, ChannelSpec, PackagingState, Recorded, Report, Snapshot,
};
use anabranch_net::{SharedClock, Shutdown};
use anabranch_store::LocalStore;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::error::PublishError;
use crate::publisher::Publisher;
use crate::record::GapReason;
use crate::segmenter::{Closed, Segmenter};

/// Commands that wait for a channel's task.
const COMMAND_QUEUE: usize = 16;

/// Least time between two reports of what has been recorded of a breakout.
const RECORDED_EVERY: Duration = Duration::from_secs(5);

/// After which what could not be opened or finished is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What has been published, by channel and breakout. Shared with the origin.
pub type Timelines = Arc<HashMap<(ChannelId, BreakoutId), watch::Receiver<Arc<Timeline>>>>;

/// One flow of media for a channel: that of the input in use.
#[derive(Debug)]
pub struct Session {
    /// Channel that it feeds.
    pub channel: ChannelId,
    /// Tracks and samples; a discontinuity stands where one encoder ends, and closed when none will follow.
    pub events: mpsc::Receiver<Arrival>,
}

/// The packager of one node.
#[derive(Debug)]
pub struct Packager {
    node: String,
    store: LocalStore,
    clock: SharedClock,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    sessions: mpsc::Receiver<Session>,
    reports: mpsc::Sender<Report>,
    timelines: watch::Sender<Timelines>,
    channels: HashMap<ChannelId, mpsc::Sender<Command>>,
    tasks: JoinSet<()>,
    known: HashMap<BreakoutId, BreakoutSpec>,
    exchange: Exchange,
    /// When breakouts that could not be opened are tried again.
    retry_at: Option<Instant>,
}

/// What regions tell each other of streams that they share.
#[derive(Clone, Debug)]
struct Exchange {
    /// The newest word of each other region.
    heard: watch::Receiver<Arc<Vec<Anchors>>>,
    /// The newest word of this one on each of its streams.
    told: watch::Sender<Arc<Vec<Anchors>>>,
}

impl Exchange {
    /// With nobody.
    fn alone() -> Self {
        Self { heard: watch::channel(Arc::default()).1, told: watch::channel(Arc::default()).0 }
    }

    fn tell(&self, word: &Anchors) {
        self.told.send_modify(|told| {
            let others = told.iter().filter(|other| other.stream != word.stream).cloned();
            *told = Arc::new(others.chain([word.clone()]).collect());
        });
    }

    fn fall_silent(&self, stream: &str) {
        self.told
            .send_modify(|told| *told = Arc::new(told.iter().filter(|word| word.stream != stream).cloned().collect()));
    }
}

#[derive(Debug)]
enum Command {
    Session(mpsc::Receiver<Arrival>),
    /// The breakout goes on air.
    Air(Box<OnAir>),
    /// The breakout is over.
    OffAir(BreakoutId),
    /// The breakout was taken back.
    Abort(BreakoutId),
}

/// A breakout that is being packaged.
#[derive(Debug)]
struct OnAir {
    id: BreakoutId,
    session: u32,
    publisher: Publisher,
    segmenter: Segmenter,
    /// The stream that other regions carry too.
    shared: Option<Shared>,
    /// When the next report of what has been recorded is due.
    recorded_at: Instant,
}

/// The share of a breakout in what regions tell each other.
#[derive(Debug)]
struct Shared {
    stream: String,
    exchange: Exchange,
}

impl OnAir {
    /// Takes an event in, with what peers have said of it; what closes is added to `closed`.
    fn push(&mut self, event: Event, at_ms: i64, closed: &mut Vec<Closed>) {
        let Some(shared) = &mut self.shared else { return self.segmenter.push(event, at_ms, closed) };
        if shared.exchange.heard.has_changed().unwrap_or(false) {
            self.segmenter.hear(shared.exchange.heard.borrow_and_update().clone());
        }
        self.segmenter.push(event, at_ms, closed);
        if let Some(word) = self.segmenter.told() {
            shared.exchange.tell(&word);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.exchange.fall_silent(&self.stream);
    }
}

/// A breakout that is over.
#[derive(Debug)]
struct Over {
    id: BreakoutId,
    session: u32,
    publisher: Publisher,
}

impl Packager {
    /// A packager that acts by `snapshot`; the receiver follows what is published.
    #[must_use]
    pub fn build(
        node: String,
        store: LocalStore,
        clock: SharedClock,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        sessions: mpsc::Receiver<Session>,
        reports: mpsc::Sender<Report>,
    ) -> (Self, watch::Receiver<Timelines>) {
        let (timelines, published) = watch::channel(Timelines::default());
        let packager = Self {
            node,
            store,
            clock,
            snapshot,
            sessions,
            reports,
            timelines,
            channels: HashMap::new(),
            tasks: JoinSet::new(),
            known: HashMap::new(),
            exchange: Exchange::alone(),
            retry_at: None,
        };
        (packager, published)
    }

    /// Lets aligned breakouts agree with other regions. `heard` has the newest word of each of them on each stream, as their packagers
    /// told it; the receiver has that of this one. A word is of use while it is a few seconds old.
    #[must_use]
    pub fn in_exchange_with(
        mut self,
        heard: watch::Receiver<Arc<Vec<Anchors>>>,
    ) -> (Self, watch::Receiver<Arc<Vec<Anchors>>>) {
        let (told, telling) = watch::channel(Arc::default());
        self.exchange = Exchange { heard, told };
        (self, telling)
    }

    /// Runs until `shutdown`; then closes and publishes the open segments.
    pub async fn run(mut self, shutdown: Shutdown) {
        self.snapshot.mark_changed();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.snapshot.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let snapshot = self.snapshot.borrow_and_update().clone();
                    self.apply(&snapshot).await;
                }
                () = until(self.retry_at) => {
                    let snapshot = self.snapshot.borrow().clone();
                    self.follow(&snapshot).await;
                }
                session = self.sessions.recv() => match session {
                    Some(session) => self.command(&session.channel, Command::Session(session.events)).await,
                    None => break,
                },
            }
        }
        // Without commands a channel's task publishes what is open and ends.
        self.channels.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    async fn apply(&mut self, snapshot: &Snapshot) {
        self.follow(snapshot).await;
        let applied =
            Report::Applied { role: "packager".to_owned(), node: self.node.clone(), version: snapshot.version };
        report(&self.reports, applied).await;
    }

    /// Opens and closes breakouts until they are as the snapshot wants them.
    async fn follow(&mut self, snapshot: &Snapshot) {
        self.retry_at = None;
        let wanted: HashMap<_, _> = snapshot.breakouts.iter().map(|b| (b.id.clone(), b.clone())).collect();
        let gone: Vec<_> = self.known.values().filter(|b| !wanted.contains_key(&b.id)).cloned().collect();
        for breakout in gone {
            self.forget(&breakout).await;
        }
        // A breakout that ends leaves its channel before another may enter.
        let (on_air, over): (Vec<_>, Vec<_>) = wanted.into_values().partition(|breakout| breakout.on_air);
        for breakout in over.into_iter().chain(on_air) {
            let mut known = self.known.get(&breakout.id).map(|known| (known.session, known.on_air));
            if let Some((session, true)) = known
                && (session != breakout.session || !breakout.on_air)
            {
                self.command(&breakout.channel, Command::OffAir(breakout.id.clone())).await;
            }
            known = known.filter(|(session, _)| *session == breakout.session);
            let Some(channel) = snapshot.channels.iter().find(|c| c.id == breakout.channel) else { continue };
            // One that was over and is on air again has only a closed publisher.
            let is_open = known.is_some_and(|(_, on_air)| on_air || !breakout.on_air);
            if is_open || self.open(channel, &breakout).await {
                self.known.insert(breakout.id.clone(), breakout);
            } else {
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
            }
        }
    }

    /// Opens a breakout that this process has not seen. Returns whether it need not be tried again.
    async fn open(&mut self, channel: &ChannelSpec, breakout: &BreakoutSpec) -> bool {
        let mut publisher = match self.publisher(channel, breakout).await {
            Ok(publisher) => publisher,
            Err(error) => {
                blocked(&self.reports, &breakout.id, &error).await;
                return false;
            }
        };
        let mut is_done = true;
        if !breakout.on_air {
            // The process that packaged it may have died before it could close the timeline, or write the recording.
            is_done = finish(&mut publisher, &self.reports, &breakout.id, breakout.session).await;
        }
        let entry = ((channel.id.clone(), breakout.id.clone()), publisher.subscribe());
        self.timelines.send_modify(|timelines| {
            let mut map = HashMap::clone(timelines);
            map.insert(entry.0, entry.1);
            *timelines = Arc::new(map);
        });
        if breakout.on_air {
            let state = if publisher.is_playable() { PackagingState::Live } else { PackagingState::Waiting };
            let (segmenter, shared) = self.segmenter(channel, breakout, &publisher);
            let (id, session) = (breakout.id.clone(), breakout.session);
            let on_air = OnAir { id, session, publisher, segmenter, shared, recorded_at: Instant::now() };
            self.command(&channel.id, Command::Air(Box::new(on_air))).await;
            report(&self.reports, Report::Packaging { breakout: breakout.id.clone(), state }).await;
        }
        is_done
    }

    fn segmenter(
        &self,
        channel: &ChannelSpec,
        breakout: &BreakoutSpec,
        publisher: &Publisher,
    ) -> (Segmenter, Option<Shared>) {
        let target_seconds = channel.segment_target_seconds;
        let Some(spec) = breakout.aligned.clone() else {
            return (Segmenter::new(target_seconds, publisher.next_origin_ms()), None);
        };
        let mut exchange = self.exchange.clone();
        exchange.heard.mark_changed();
        let shared = Shared { stream: spec.stream.clone(), exchange };
        (Segmenter::aligned(target_seconds, spec, publisher.kept()), Some(shared))
    }

    async fn publisher(&self, channel: &ChannelSpec, breakout: &BreakoutSpec) -> Result<Publisher, PublishError> {
        let mut publisher = Publisher::open(
            self.store.clone(),
            breakout.id.as_str(),
            breakout.session,
            channel.segment_target_seconds,
            channel.window_seconds,
        )
        .await?;
        if breakout.on_air {
            publisher.reopen().await?;
        }
        Ok(publisher)
    }

    /// Lets go of a breakout that is no longer told of. Its media stay: whoever deletes a recording says so to the store.
    async fn forget(&mut self, breakout: &BreakoutSpec) {
        self.known.remove(&breakout.id);
        if breakout.on_air {
            self.command(&breakout.channel, Command::Abort(breakout.id.clone())).await;
        }
        self.timelines.send_modify(|timelines| {
            let mut map = HashMap::clone(timelines);
            map.remove(&(breakout.channel.clone(), breakout.id.clone()));
            *timelines = Arc::new(map);
        });
    }

    async fn command(&mut self, channel: &ChannelId, command: Command) {
        let sender = match self.channels.get(channel) {
            Some(sender) if !sender.is_closed() => sender.clone(),
            _ => {
                let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
                let task = ChannelTask {
                    clock: self.clock.clone(),
                    reports: self.reports.clone(),
                    session: None,
                    tracks: [None, None],
                    on_air: None,
                    unfinished: Vec::new(),
                    retry_at: None,
                    live: false,
                };
                self.tasks.spawn(task.run(commands));
                self.channels.insert(channel.clone(), sender.clone());
                sender
            }
        };
        // The task ends only when its sender is dropped, so this fails only while the packager itself ends.
        let _ = sender.send(command).await;
    }
}

/// One channel: its newest session feeds its breakout on air.
#[derive(Debug)]
struct ChannelTask {
    clock: SharedClock,
    reports: mpsc::Sender<Report>,
    session: Option<mpsc::Receiver<Arrival>>,
    tracks: [Option<Arc<Track>>; 2],
    on_air: Option<Box<OnAir>>,
    /// Breakouts that are over and whose recordings could not be written.
    unfinished: Vec<Over>,
    retry_at: Option<Instant>,
    /// Whether the last report said that segments are being published.
    live: bool,
}

impl ChannelTask {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                arrival = next_event(&mut self.session) => match arrival {
                    Some(arrival) => self.take(arrival).await,
                    None => self.end_session().await,
                },
                () = until(self.retry_at) => self.finish_all().await,
            }
        }
        self.end_session().await;
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Session(events) => {
                self.end_session().await;
                self.session = Some(events);
            }
            Command::Air(mut on_air) => {
                let mut closed = Vec::new();
                for track in self.tracks.iter().flatten() {
                    on_air.push(Event::Track(track.clone()), self.clock.now_ms(), &mut closed);
                }
                self.live = false;
                self.finish_predecessor(&on_air).await;
                self.on_air = Some(on_air);
            }
            Command::OffAir(id) => {
                if self.on_air.as_ref().is_some_and(|on_air| on_air.id == id) {
                    self.end_breakout().await;
                }
            }
            Command::Abort(id) => {
                // What the segmenter still holds is not wanted.
                if let Some(mut on_air) = self.on_air.take_if(|on_air| on_air.id == id)
                    && let Err(error) = on_air.publisher.abort().await
                {
                    blocked(&self.reports, &id, &error).await;
                }
            }
        }
    }

    async fn take(&mut self, Arrival { event, at_ms }: Arrival) {
        if let Event::Track(track) = &event {
            let slot = usize::from(track.kind == TrackKind::Audio);
            self.tracks[slot] = Some(track.clone());
        }
        let Some(on_air) = &mut self.on_air else { return };
        let mut closed = Vec::new();
        let lost = matches!(event, Event::Discontinuity);
        on_air.push(event, at_ms, &mut closed);
        self.publish(closed).await;
        if let Some(on_air) = self.on_air.as_mut().filter(|_| lost) {
            // If time is missing before what comes next, it is because the encoder sent nothing.
            on_air.publisher.interrupt(GapReason::EncoderLost);
        }
    }

    async fn end_session(&mut self) {
        self.session = None;
        self.tracks = [None, None];
        if let Some(on_air) = &mut self.on_air {
            let mut closed = Vec::new();
            on_air.segmenter.end_session(&mut closed);
            self.publish(closed).await;
        }
        if let Some(on_air) = &mut self.on_air {
            on_air.publisher.interrupt(GapReason::EncoderLost);
        }
    }

    async fn end_breakout(&mut self) {
        if let Some(on_air) = &mut self.on_air {
            let mut closed = Vec::new();
            on_air.segmenter.end_period(&mut closed);
            self.publish(closed).await;
        }
        let Some(on_air) = self.on_air.take() else { return };
        let OnAir { id, session, publisher, .. } = *on_air;
        self.unfinished.push(Over { id, session, publisher });
        self.finish_all().await;
    }

    /// Finishes the session before that of `on_air`, if this has not been done.
    async fn finish_predecessor(&mut self, on_air: &OnAir) {
        let session = on_air.session.saturating_sub(1);
        if self.unfinished.iter().any(|other| other.id == on_air.id && other.session == session) {
            return;
        }
        match on_air.publisher.unfinished_predecessor().await {
            Ok(None) => {}
            Ok(Some(publisher)) => {
                self.unfinished.push(Over { id: on_air.id.clone(), session, publisher });
                self.finish_all().await;
            }
            Err(error) => blocked(&self.reports, &on_air.id, &error).await,
        }
    }

    async fn finish_all(&mut self) {
        for mut ended in std::mem::take(&mut self.unfinished) {
            if !finish(&mut ended.publisher, &self.reports, &ended.id, ended.session).await {
                self.unfinished.push(ended);
            }
        }
        self.retry_at = (!self.unfinished.is_empty()).then(|| Instant::now() + RETRY_AFTER);
    }

    async fn publish(&mut self, closed: Vec<Closed>) {
        let Some(on_air) = &mut self.on_air else { return };
        for segment in closed {
            match on_air.publisher.publish(segment).await {
                Ok(()) if self.live || !on_air.publisher.is_playable() => {}
                Ok(()) => {
                    self.live = true;
                    let live = Report::Packaging { breakout: on_air.id.clone(), state: PackagingState::Live };
                    report(&self.reports, live).await;
                }
                Err(error) => {
                    self.live = false;
                    blocked(&self.reports, &on_air.id, &error).await;
                }
            }
        }
        let recorded = on_air.publisher.recorded();
        if recorded.segments > 0 && on_air.recorded_at <= Instant::now() {
            on_air.recorded_at = Instant::now() + RECORDED_EVERY;
            report(&self.reports, of_recording(&on_air.id, on_air.session, recorded)).await;
        }
    }
}

/// Ends a breakout and writes its recording. Returns whether that need not be tried again.
async fn finish(
    publisher: &mut Publisher,
    reports: &mpsc::Sender<Report>,
    breakout: &BreakoutId,
    session: u32,
) -> bool {
    match publisher.finish().await {
        Ok(recorded) => {
            report(reports, Report::Packaging { breakout: breakout.clone(), state: PackagingState::Ended }).await;
            report(reports, of_recording(breakout, session, recorded)).await;
            true
        }
        Err(error) => {
            blocked(reports, breakout, &error).await;
            false
        }
    }
}

fn of_recording(breakout: &BreakoutId, session: u32, recorded: Recorded) -> Report {
    Report::Recorded { breakout: breakout.clone(), session, recorded }
}

/// Waits for `at`; for ever when there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The next event of the session; waits for ever when there is none.
async fn next_event(session: &mut Option<mpsc::Receiver<Arrival>>) -> Option<Arrival> {
    match session {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn blocked(reports: &mpsc::Sender<Report>, breakout: &BreakoutId, error: &PublishError) {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(breakout.id = %breakout, error = %reason, "segments cannot be published");
    metrics::counter!("anabranch_packager_failures_total").increment(1);
    report(reports, Report::Packaging { breakout: breakout.clone(), state: PackagingState::Blocked { reason } }).await;
}

async fn report(reports: &mpsc::Sender<Report>, report: Report) {
    // The control plane reads its queue as long as it lives; when it is gone media goes on.
    let _ = reports.send(report).await;
}
