//! A publish that goes on: socket to demuxer to queue, with everything that may end it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_media as media;
use anabranch_media::flv::{Demuxer, FlvKind};
use anabranch_model::{InputState, Report, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::push_url::{Standing, Target};
use crate::registry::Claim;
use crate::rtmp::amf0::Value;
use crate::rtmp::session::{Connect, Event, MediaKind};
use crate::sent::Sent;
use crate::shared::Shared;
use crate::wire::{Fault, Read, Wire};

/// How often a live input is reported.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long the report of the end may wait for room.
const REPORT_END: Duration = Duration::from_secs(1);

/// How long the last events of a publish may wait for room in the queue.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// Characters of an encoder's name that are kept.
const MAX_ENCODER: usize = 64;

/// How a publish ended.
#[derive(Debug)]
enum End {
    /// The encoder said so.
    Unpublished,
    /// The connection was closed without a word.
    HungUp,
    /// This process stops.
    Stopping,
    /// The encoder came back on another connection.
    TakenOver,
    /// The input was removed or has another key.
    Withdrawn,
    /// The input's allow-list has changed and does not admit the encoder's address any more.
    NotAllowed,
    /// The room behind dropped the session.
    Unwanted,
    /// Something broke.
    Fault(Fault),
}

impl End {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unpublished => "unpublished",
            Self::HungUp => "hung_up",
            Self::Stopping => "stopping",
            Self::TakenOver => "taken_over",
            Self::Withdrawn => "withdrawn",
            Self::NotAllowed => "not_allowed",
            Self::Unwanted => "unwanted",
            Self::Fault(fault) => fault.kind(),
        }
    }

    /// What the encoder is told; `None` when it is not there to hear it.
    fn words(&self) -> Option<String> {
        match self {
            Self::Unpublished | Self::HungUp => None,
            Self::Stopping => Some("the server stops: try again in a moment".to_owned()),
            Self::TakenOver => Some("the same input was taken over by a newer connection".to_owned()),
            Self::Withdrawn => Some("the input was removed or its stream key was changed".to_owned()),
            Self::NotAllowed => Some("this address is no longer in the input's allow-list".to_owned()),
            Self::Unwanted => Some("the server no longer takes this stream: try again in a moment".to_owned()),
            Self::Fault(fault) => Some(fault.to_string()),
        }
    }
}

/// Totals of a publish.
#[derive(Debug, Default)]
struct Totals {
    bytes: u64,
    samples: u64,
    reported_bytes: u64,
}

/// A live input.
pub(crate) struct Publish<'a> {
    shared: &'a Shared,
    target: Target,
    claim: Claim,
    events: mpsc::Sender<media::Event>,
    /// Events that the queue had no room for; the socket is not read until they are gone.
    pending: VecDeque<media::Event>,
    demuxer: Demuxer,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    remote: SocketAddr,
    encoder: String,
    totals: Totals,
    sent: Sent,
    begun: Instant,
    last_media: Instant,
    last_report: Instant,
    received: metrics::Counter,
}

impl<'a> Publish<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        target: Target,
        claim: Claim,
        events: mpsc::Sender<media::Event>,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        remote: SocketAddr,
        connect: &Connect,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            target,
            claim,
            events,
            pending: VecDeque::new(),
            demuxer: Demuxer::new(),
            snapshot,
            remote,
            encoder: label(&connect.flash_ver),
            totals: Totals::default(),
            sent: Sent::default(),
            begun: now,
            last_media: now,
            last_report: now,
            received: metrics::counter!("anabranch_ingest_received_bytes_total"),
        }
    }

    /// Takes media in until something ends it, and tells everyone who has to know.
    pub(crate) async fn run(mut self, wire: &mut Wire) {
        let _live = LiveSession::begin();
        tracing::info!(
            channel.id = %self.target.channel, input.id = %self.target.input, remote = %self.remote,
            encoder = %self.encoder, "encoder connected"
        );
        let end = match self.pump(wire).await {
            Ok(end) => end,
            Err(fault) => {
                metrics::counter!("anabranch_ingest_errors_total", "kind" => fault.kind()).increment(1);
                End::Fault(fault)
            }
        };
        if let Some(words) = end.words() {
            // An encoder that cannot be told has gone.
            let _ = wire.revoke(&words).await;
        }
        self.finish(&end).await;
    }

    async fn pump(&mut self, wire: &mut Wire) -> Result<End, Fault> {
        let mut reports = tokio::time::interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
        self.report();
        let mut informed = true;
        // The encoder may have sent media together with its publish command.
        let mut unread = true;
        if let Some(end) = self.barred() {
            return Ok(end);
        }
        loop {
            if std::mem::take(&mut unread)
                && let Some(end) = self.take_in(wire).await?
            {
                return Ok(end);
            }
            let blocked = !self.pending.is_empty();
            let idle_at = self.last_media + self.shared.config.idle_timeout;
            tokio::select! {
                () = self.shared.shutdown.cancelled() => return Ok(End::Stopping),
                () = self.claim.evicted() => return Ok(End::TakenOver),
                () = self.events.closed() => return Ok(End::Unwanted),
                changed = self.snapshot.changed(), if informed => {
                    informed = changed.is_ok();
                    if let Some(end) = self.barred() {
                        return Ok(end);
                    }
                }
                _ = reports.tick() => self.report(),
                () = tokio::time::sleep_until(idle_at), if !blocked => return Err(Fault::Idle),
                // This is the one sender, so the room that was seen is still there for the next turn.
                room = async { self.events.reserve().await.is_ok() }, if blocked => {
                    if !room {
                        return Ok(End::Unwanted);
                    }
                    self.hand_on();
                    self.resume();
                }
                read = wire.read(), if !blocked => match read? {
                    Read::End => return Ok(End::HungUp),
                    Read::Bytes(len) => {
                        self.claim.heard();
                        self.totals.bytes += len as u64;
                        self.received.increment(len as u64);
                        unread = true;
                    }
                },
            }
        }
    }

    /// Why the newest snapshot ends the session, if it does.
    fn barred(&mut self) -> Option<End> {
        match self.target.standing(&self.snapshot.borrow_and_update(), self.remote.ip()) {
            Standing::Valid => None,
            Standing::Withdrawn => Some(End::Withdrawn),
            Standing::NotAllowed => Some(End::NotAllowed),
        }
    }

    /// Lets the session and the demuxer have what was read.
    async fn take_in(&mut self, wire: &mut Wire) -> Result<Option<End>, Fault> {
        let mut samples = Vec::new();
        let (events, handled) = wire.handle().await;
        for event in events {
            match event {
                Event::Media { kind, timestamp, body } => {
                    self.last_media = Instant::now();
                    let kind = match kind {
                        MediaKind::Audio => FlvKind::Audio,
                        MediaKind::Video => FlvKind::Video,
                    };
                    let read = self.demuxer.push(kind, timestamp, body, &mut samples);
                    self.totals.samples +=
                        samples.iter().filter(|e| matches!(e, media::Event::Sample(_))).count() as u64;
                    samples.iter().for_each(|event| self.sent.see(event));
                    self.pending.extend(samples.drain(..));
                    read?;
                }
                Event::Metadata(metadata) => {
                    if let Some(name) = metadata.property("encoder").and_then(Value::as_str) {
                        self.encoder = label(name);
                    }
                }
                Event::Unpublish => {
                    self.hand_on_last().await;
                    return Ok(Some(End::Unpublished));
                }
                Event::Connect(_) | Event::Publish { .. } => {}
            }
        }
        self.hand_on();
        handled.map(|()| None)
    }

    /// Moves events into the queue as far as it has room.
    fn hand_on(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.pending.push_front(event);
                    self.claim.not_reading();
                    return;
                }
                // The loop sees the closed queue.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    /// Reading goes on once everything was handed on; the wait was ours and does not count as silence.
    fn resume(&mut self) {
        if self.pending.is_empty() {
            self.claim.heard();
            self.last_media = Instant::now();
        }
    }

    /// Hands the last events of a publish on, within a deadline.
    async fn hand_on_last(&mut self) {
        let deadline = Instant::now() + LAST_EVENTS;
        while let Some(event) = self.pending.pop_front() {
            if !matches!(tokio::time::timeout_at(deadline, self.events.send(event)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Says that the input is live. A full queue loses it; the next one says it again.
    fn report(&mut self) {
        let bits = (self.totals.bytes - self.totals.reported_bytes).saturating_mul(8);
        let milliseconds = u64::try_from(self.last_report.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.totals.reported_bytes = self.totals.bytes;
        self.last_report = Instant::now();
        let bitrate = bits.saturating_mul(1000).checked_div(milliseconds).unwrap_or(0);
        let state = InputState::Connected {
            remote: self.remote.to_string(),
            encoder: self.encoder.clone(),
            bitrate,
            media: self.sent.take().map(Box::new),
        };
        let _ = self.shared.reports.try_send(self.report_of(state));
    }

    fn report_of(&self, state: InputState) -> Report {
        Report::Input { channel: self.target.channel.clone(), input: self.target.input.clone(), state }
    }

    /// Logs and reports the end. The place is free afterwards, so that reports of the next session come after ours.
    async fn finish(mut self, end: &End) {
        self.hand_on();
        let (totals, reason) = (&self.totals, end.reason());
        let seconds = self.begun.elapsed().as_secs();
        let (channel, input, remote) = (&self.target.channel, &self.target.input, self.remote);
        if let End::Fault(fault) = end {
            tracing::warn!(
                channel.id = %channel, input.id = %input, %remote, reason, error = %fault, bytes = totals.bytes,
                samples = totals.samples, duration_seconds = seconds, "encoder disconnected"
            );
        } else {
            tracing::info!(
                channel.id = %channel, input.id = %input, %remote, reason, bytes = totals.bytes,
                samples = totals.samples, duration_seconds = seconds, "encoder disconnected"
            );
        }
        let report = self.report_of(InputState::Disconnected);
        let Self { shared, claim, events, .. } = self;
        drop(events);
        if shared.reports.send_timeout(report, REPORT_END).await.is_err() && !shared.shutdown.is_cancelled() {
            metrics::counter!("anabranch_ingest_errors_total", "kind" => "report_lost").increment(1);
        }
        drop(claim);
    }
}

/// Counts a live session for as long as it is held.
struct LiveSession(metrics::Gauge);

impl LiveSession {
    fn begin() -> Self {
        let gauge = metrics::gauge!("anabranch_ingest_sessions");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn label(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(MAX_ENCODER).collect()
}
