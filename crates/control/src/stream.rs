//! The log as a stream of events (WHATWG HTML, section "Server-sent events").
//!
//! One task follows the end of the log; each stream reads the log by itself, from wherever its reader is. So a stream shows
//! what any process has written, and a reader that comes back says what it has seen last and misses nothing.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anabranch_db::{LogFilter, LogOrder, LogRange};
use anabranch_net::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::app::people::{Action, Caller, Object, Privilege};
use crate::app::{App, log};
use crate::chain::chain;

/// Bytes that wait for a reader; the stream then waits for [`PATIENCE`].
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Time for a reader to make room. A slower one is cut, and goes on from what it has seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest silence on a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Time between two looks at whether the reader may still read; a little less than a heartbeat, which wakes the stream.
const JUDGED_EVERY: Duration = Duration::from_secs(14);

/// What the reader must have.
const READS: Privilege = Privilege(Object::Log, Action::View);

/// Longest time between two looks at the end of the log: other processes write it, too.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Pause before new entries are read, so that many of one moment make one query.
const GATHER: Duration = Duration::from_millis(20);

/// Entries read at once.
const READ_MAX: u32 = 200;

/// Follows the end of the log, whoever writes it, until `shutdown`.
pub(crate) async fn follow(app: &App, shutdown: &Shutdown) {
    loop {
        // A database that does not answer is the reconciler's to report.
        if let Ok(newest) = app.db.log_newest().await {
            app.log_newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = app.log_wake.notified() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Why a stream ends.
enum End {
    /// The reader has gone.
    Gone,
    /// The reader does not keep up.
    Slow,
    /// The process stops.
    Stopping,
    /// The log cannot be read.
    Unread,
    /// The session of the reader has ended.
    LoggedOut,
}

impl End {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Slow => "slow",
            Self::Stopping => "stopping",
            Self::Unread => "unread",
            Self::LoggedOut => "logged-out",
        }
    }
}

/// One stream.
pub(crate) struct Feed {
    app: Arc<App>,
    filter: LogFilter,
    /// Who reads.
    caller: Caller,
    /// Everything up to this sequence has been sent or is not wanted.
    seen: u64,
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    pub(crate) fn new(
        app: Arc<App>,
        filter: LogFilter,
        caller: Caller,
        after: u64,
        pipe: DuplexStream,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (reader, writer) = tokio::io::split(pipe);
        Self { app, filter, caller, seen: after, reader, writer, _permit: permit }
    }

    /// Sends until somebody ends it.
    pub(crate) async fn run(mut self) {
        metrics::gauge!("anabranch_control_event_streams").increment(1);
        let end = self.send().await;
        metrics::gauge!("anabranch_control_event_streams").decrement(1);
        metrics::counter!("anabranch_control_event_streams_ended_total", "reason" => end.as_str()).increment(1);
        tracing::debug!(reason = end.as_str(), log.sequence = self.seen, "an event stream has ended");
    }

    async fn send(&mut self) -> End {
        let mut newest = self.app.log_newest.subscribe();
        if let Err(end) = self.write("retry: 2000\n\n").await {
            return end;
        }
        let mut beat = Instant::now() + HEARTBEAT;
        let mut judged = Instant::now();
        loop {
            newest.mark_unchanged();
            if judged.elapsed() >= JUDGED_EVERY {
                if !self.app.still_may(&self.caller, READS).await {
                    return End::LoggedOut;
                }
                judged = Instant::now();
            }
            match self.catch_up().await {
                Ok(true) => beat = Instant::now() + HEARTBEAT,
                Ok(false) => {}
                Err(end) => return end,
            }
            let app = self.app.clone();
            tokio::select! {
                () = app.nodes.stopping.cancelled() => return End::Stopping,
                // Nobody writes on the other side: what ends there is the reader's interest.
                _ = self.reader.read_u8() => return End::Gone,
                changed = newest.changed() => {
                    if changed.is_err() {
                        return End::Stopping;
                    }
                    tokio::time::sleep(GATHER).await;
                }
                () = tokio::time::sleep_until(beat) => {
                    // An id without data moves what the reader resumes from, and is no event.
                    let text = format!(": beat\nid: {}\n\n", self.seen);
                    if let Err(end) = self.write(&text).await {
                        return end;
                    }
                    beat = Instant::now() + HEARTBEAT;
                }
            }
        }
    }

    /// Sends what there is; whether that was anything.
    async fn catch_up(&mut self) -> Result<bool, End> {
        let mut sent = false;
        loop {
            let range =
                LogRange { after: Some(self.seen), before: None, order: LogOrder::OldestFirst, limit: READ_MAX };
            let page = match self.app.db.log_page(&self.filter, &range).await {
                Ok(page) => page,
                Err(error) => {
                    // Told once for all who meet it.
                    let _ = self.app.health.met(&error);
                    tracing::debug!(error = chain(&error), "an event stream ends: the log cannot be read");
                    return Err(End::Unread);
                }
            };
            let mut text = String::new();
            if self.seen < page.floor || self.seen > page.newest {
                // What happened in between is no longer kept, or the log is another one: the reader must look at things as they
                // are.
                let floor = page.floor.min(page.newest);
                let _ = write!(text, "event: gap\ndata: {{\"after\":{},\"floor\":{floor}}}\n\n", self.seen);
            }
            self.seen =
                if page.more { page.entries.last().map_or(page.newest, |last| last.sequence) } else { page.newest };
            for entry in page.entries {
                render(&mut text, &log::view(entry));
            }
            if !text.is_empty() {
                sent = true;
                self.write(&text).await?;
            }
            if !page.more {
                return Ok(sent);
            }
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), End> {
        tokio::select! {
            written = tokio::time::timeout(PATIENCE, self.writer.write_all(text.as_bytes())) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::Slow),
            },
            () = self.app.nodes.stopping.cancelled() => Err(End::Stopping),
        }
    }
}

/// An entry as one event. JSON has no line ends of its own.
fn render(text: &mut String, entry: &log::LogEntry) {
    if let Ok(data) = serde_json::to_string(entry) {
        // Writing to a text does not fail.
        let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", entry.sequence, entry.r#type);
    }
}
