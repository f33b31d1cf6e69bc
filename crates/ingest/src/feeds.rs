//! From encoder sessions to one flow a channel: a task a channel, which follows its part of the snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anabranch_model::{ChannelId, ChannelSpec, Report, Snapshot};
use anabranch_net::SharedClock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::channel::{ChannelFeed, ChannelTask, Command};
use crate::session::IngestSession;

/// Commands that wait for a channel's task.
const COMMAND_QUEUE: usize = 16;

/// Joins the sessions of each channel's inputs into one flow by failover (V90-V94), and watches the inputs.
#[derive(Debug)]
pub struct Feeds {
    clock: SharedClock,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    sessions: mpsc::Receiver<IngestSession>,
    feeds: mpsc::Sender<ChannelFeed>,
    reports: mpsc::Sender<Report>,
    channels: HashMap<ChannelId, (ChannelSpec, mpsc::Sender<Command>)>,
    tasks: JoinSet<()>,
}

impl Feeds {
    /// Takes the `sessions` of an [`Ingest`](crate::Ingest), and hands each channel's flow to `feeds` when its first encoder
    /// sends. `reports` gets changes of the input in use, and alarms.
    #[must_use]
    pub fn build(
        clock: SharedClock,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        sessions: mpsc::Receiver<IngestSession>,
        feeds: mpsc::Sender<ChannelFeed>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        describe_metrics();
        Self { clock, snapshot, sessions, feeds, reports, channels: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Runs until the ingest has ended and everything that it took in was handed on.
    pub async fn run(mut self) {
        self.snapshot.mark_changed();
        let mut informed = true;
        loop {
            tokio::select! {
                changed = self.snapshot.changed(), if informed => {
                    informed = changed.is_ok();
                    self.apply().await;
                }
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => log_panic(ended),
                session = self.sessions.recv() => match session {
                    Some(session) => self.hand_over(session).await,
                    None => break,
                },
            }
        }
        // Without commands a channel's task ends with its last session.
        self.channels.clear();
        while let Some(ended) = self.tasks.join_next().await {
            log_panic(ended);
        }
    }

    async fn apply(&mut self) {
        let snapshot = self.snapshot.borrow_and_update().clone();
        let wanted: HashSet<_> = snapshot.channels.iter().map(|channel| &channel.id).collect();
        self.channels.retain(|id, _| wanted.contains(id));
        for channel in &snapshot.channels {
            match self.channels.get_mut(&channel.id) {
                Some((known, _)) if known == channel => {}
                Some((known, commands)) if !commands.is_closed() => {
                    known.clone_from(channel);
                    // A task that ended meanwhile is begun again with the next session.
                    let _ = commands.send(Command::Spec(Box::new(channel.clone()))).await;
                }
                _ => {
                    self.begin(channel.clone());
                }
            }
        }
    }

    async fn hand_over(&mut self, session: IngestSession) {
        // The session was admitted by a snapshot that may be newer than the one applied here.
        if self.snapshot.has_changed().unwrap_or(false) {
            self.apply().await;
        }
        let Some((spec, commands)) = self.channels.get(&session.channel) else { return };
        let commands = if commands.is_closed() { self.begin(spec.clone()) } else { commands.clone() };
        // Where it fails the session is dropped, and the encoder told to come again.
        let _ = commands.send(Command::Session(session)).await;
    }

    fn begin(&mut self, channel: ChannelSpec) -> mpsc::Sender<Command> {
        let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let task = ChannelTask::new(&channel, self.clock.clone(), self.feeds.clone(), self.reports.clone());
        self.tasks.spawn(task.run(commands));
        self.channels.insert(channel.id.clone(), (channel, sender.clone()));
        sender
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::counter!("anabranch_ingest_errors_total", "kind" => "panic").increment(1);
        tracing::error!(%error, "the task of a channel's inputs panicked");
    }
}

fn describe_metrics() {
    metrics::describe_counter!("anabranch_ingest_switches_total", "changes of the input in use, by cause");
    metrics::describe_counter!("anabranch_ingest_alarms_total", "alarms of inputs raised, by kind");
    metrics::describe_counter!("anabranch_ingest_joins_total", "switches that needed no discontinuity");
    metrics::describe_gauge!("anabranch_ingest_standby_bytes", "bytes kept of inputs that are not in use");
}
