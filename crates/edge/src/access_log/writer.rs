//! The writing thread: lines from the queue into the files of their distributions.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use aws_lc_rs::rand;
use metrics::{Gauge, gauge};
use tokio::time::Instant;

use super::files::{Kind, Place, Stream, hour_of};
use super::{Common, Entry, QUEUE_LINES};

/// Time between two looks into the queue. Nobody wakes the thread, so that a serving thread never makes a system call for a line.
const TICK: Duration = Duration::from_millis(100);

/// Time between two tries when the disk fails.
const RETRY: Duration = Duration::from_secs(1);

/// Bytes of lines that are held while the disk fails.
const HELD_BYTES: usize = 16 << 20;

/// Files open at once. More distributions take turns.
const MAX_OPEN_FILES: usize = 64;

/// Least time between two warnings of lost lines.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// The writing thread's state.
pub(super) struct Writer {
    common: Arc<Common>,
    /// Tells the keeper that a file is complete.
    poke: SyncSender<()>,
    unique: String,
    made: Cell<u64>,
    streams: HashMap<(Arc<str>, Kind), Stream>,
    health: Health,
    warned: Option<Instant>,
    /// Lost lines that have been warned of.
    told: u64,
}

/// Whether files can be written, and the alarm when they cannot.
struct Health {
    gauge: Gauge,
    retry: Option<Instant>,
}

impl Writer {
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new(common: Arc<Common>, poke: SyncSender<()>) -> io::Result<Self> {
        let mut random = [0; 4];
        rand::fill(&mut random).map_err(|_| io::Error::other("no random bytes"))?;
        let gauge = gauge!("anabranch_edge_log_failed");
        gauge.set(0.0);
        Ok(Self {
            common,
            poke,
            unique: format!("{:08X}", u32::from_be_bytes(random)),
            made: Cell::new(0),
            streams: HashMap::new(),
            health: Health { gauge, retry: None },
            warned: None,
            told: 0,
        })
    }

    /// Writes until the log is stopped and the queue is empty.
    pub(super) fn run(mut self, lines: &Receiver<Entry>) {
        loop {
            // Looked at first: what was put into the queue before the log was stopped is still taken.
            let last = self.common.is_stopping();
            self.turn(lines, last);
            if last {
                return;
            }
            thread::park_timeout(TICK);
        }
    }

    /// One look into the queue.
    fn turn(&mut self, lines: &Receiver<Entry>, last: bool) {
        for entry in lines.try_iter().take(QUEUE_LINES) {
            self.common.queued.fetch_sub(entry.bytes(), Ordering::Relaxed);
            self.take(&entry);
        }
        if last || self.health.retry.is_none_or(|retry| Instant::now() >= retry) {
            self.flush(last);
        }
        self.warn();
    }

    fn take(&mut self, entry: &Entry) {
        let held: usize =
            if self.health.retry.is_some() { self.streams.values().map(Stream::pending_bytes).sum() } else { 0 };
        if held + entry.bytes() > HELD_BYTES {
            return self.common.drop_lines(1);
        }
        for (kind, text) in [(Kind::W3c, &entry.w3c), (Kind::Json, &entry.json)] {
            if !text.is_empty() {
                let key = (entry.distribution.clone(), kind);
                self.streams.entry(key).or_insert_with_key(|(name, kind)| Stream::new(name.clone(), *kind)).push(text);
            }
        }
    }

    /// Writes every stream's lines, and closes files that are full or of an hour that is over.
    fn flush(&mut self, last: bool) {
        let place = Place {
            dir: &self.common.dir,
            active: &self.common.active,
            hour: hour_of(self.common.clock.now_ms()),
            rotate_bytes: self.common.rotate_bytes,
            unique: &self.unique,
            made: &self.made,
        };
        let (mut failure, mut complete, mut open) = (None, false, 0);
        for stream in self.streams.values_mut() {
            // Lines that come in a new hour belong to a new file.
            complete |= stream.rotate(&place, false);
            if let Err(error) = stream.flush(&place) {
                failure = Some(error);
            }
            complete |= stream.rotate(&place, last);
            if last {
                self.common.drop_lines(stream.pending_lines);
            }
            open += usize::from(stream.is_open());
            if open > MAX_OPEN_FILES {
                stream.close();
                open -= 1;
            }
        }
        self.streams.retain(|_, stream| !stream.is_idle());
        if complete {
            // A full channel means that the keeper will look anyway.
            let _ = self.poke.try_send(());
        }
        self.judge(failure);
    }

    /// Raises the alarm, or ends it.
    fn judge(&mut self, failure: Option<io::Error>) {
        let dir = self.common.dir.display();
        match failure {
            Some(error) => {
                self.common.meters.errors.increment(1);
                if self.health.retry.is_none() {
                    self.health.gauge.set(1.0);
                    tracing::error!(log.dir = %dir, %error, "the access log cannot be written; lines are held and will be lost");
                }
                self.health.retry = Some(Instant::now() + RETRY);
            }
            None if self.health.retry.take().is_some() => {
                self.health.gauge.set(0.0);
                tracing::info!(log.dir = %dir, "the access log is written again");
            }
            None => {}
        }
    }

    fn warn(&mut self) {
        let dropped = self.common.dropped.load(Ordering::Relaxed);
        if dropped > self.told && self.warned.is_none_or(|warned| warned.elapsed() >= WARN_INTERVAL) {
            tracing::warn!(log.dir = %self.common.dir.display(), lines = dropped - self.told, "lines of the access log are lost");
            self.warned = Some(Instant::now());
            self.told = dropped;
        }
    }
}
