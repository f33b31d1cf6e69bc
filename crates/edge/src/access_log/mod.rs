//! The access log: a line for each answer, written beside the serving threads.
//!
//! A serving thread makes the text of a line and puts it into a bounded queue; it never waits. One thread writes the lines to the
//! files of their distributions, another compresses files that are full or of an hour that is over, and removes the oldest.

mod end;
mod facts;
mod files;
mod keeper;
mod line;
mod redact;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use anabranch_net::SharedClock;
use metrics::{Counter, counter};
use parking_lot::Mutex;

use crate::config::{AccessLogConfig, AccessLogFormat};
use files::Active;
use keeper::Keeper;
use writer::Writer;

pub(crate) use end::Ending;
pub(crate) use line::{Line, Notes};

/// Lines that wait for the writing thread.
const QUEUE_LINES: usize = 32 << 10;

/// Bytes of lines that wait for the writing thread.
const QUEUE_BYTES: usize = 16 << 20;

/// Time that the end of the log may take when the edge ends: its disk may hang.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there can be no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The directory cannot be made or used.
    #[error("cannot use the access log's directory: {dir}")]
    Directory {
        /// As configured.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process writes there.
    #[error("the access log's directory is in use by another process, give each its own: {0}")]
    InUse(PathBuf),
    /// A thread cannot be started.
    #[error("cannot start a thread of the access log")]
    Thread(#[source] io::Error),
}

/// What goes to the writing thread: one answer's lines, each with its end, empty in a format that is off.
#[derive(Debug)]
struct Entry {
    distribution: Arc<str>,
    w3c: Vec<u8>,
    json: Vec<u8>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.w3c.len() + self.json.len()
    }
}

/// What serving, writing and keeping threads share.
#[derive(Debug)]
struct Common {
    dir: PathBuf,
    format: AccessLogFormat,
    rotate_bytes: u64,
    keep_bytes: u64,
    clock: SharedClock,
    /// Bytes in the queue.
    queued: AtomicUsize,
    /// Answers that are in no file and will be in none.
    dropped: AtomicU64,
    stopping: AtomicBool,
    active: Active,
    meters: Meters,
}

struct Meters {
    dropped: Counter,
    errors: Counter,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Common {
    fn new(config: &AccessLogConfig, clock: SharedClock) -> Self {
        Self {
            dir: config.dir.clone(),
            format: config.format,
            rotate_bytes: config.rotate_bytes,
            keep_bytes: config.keep_bytes,
            clock,
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            active: Active::default(),
            meters: Meters {
                dropped: counter!("anabranch_edge_log_dropped_total"),
                errors: counter!("anabranch_edge_log_errors_total"),
            },
        }
    }

    /// Counts answers whose lines are lost.
    fn drop_lines(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.meters.dropped.increment(count);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The serving threads' end of the log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    common: Arc<Common>,
    queue: SyncSender<Entry>,
    /// Name of this edge in the lines.
    location: Box<str>,
    writing: Option<Thread>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl AccessLog {
    /// Takes the directory and starts the threads.
    ///
    /// # Errors
    /// See [`AccessLogError`].
    pub(crate) fn open(config: &AccessLogConfig, location: &str, clock: SharedClock) -> Result<Self, AccessLogError> {
        let lock = take(&config.dir)?;
        let (mut log, lines) = Self::closed(config, location, clock);
        let keeper = Keeper::new(log.common.clone());
        let (poke, pokes) = sync_channel(1);
        let writer = Writer::new(log.common.clone(), poke).map_err(|source| log.unusable(source))?;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(work).map_err(AccessLogError::Thread)
        };
        let keeping = spawn("edge-log-keep", Box::new(move || keeper.run(&pokes)))?;
        let writing = spawn(
            "edge-log",
            Box::new(move || {
                writer.run(&lines);
                drop(lock);
            }),
        )?;
        log.writing = Some(writing.thread().clone());
        *log.threads.get_mut() = vec![writing, keeping];
        Ok(log)
    }

    /// A log whose queue nobody empties yet.
    fn closed(config: &AccessLogConfig, location: &str, clock: SharedClock) -> (Self, Receiver<Entry>) {
        let (queue, lines) = sync_channel(QUEUE_LINES);
        let common = Arc::new(Common::new(config, clock));
        let log = Self { common, queue, location: location.into(), writing: None, threads: Mutex::default() };
        (log, lines)
    }

    fn unusable(&self, source: io::Error) -> AccessLogError {
        AccessLogError::Directory { dir: self.common.dir.clone(), source }
    }

    /// Puts lines into the queue, or counts them as lost if it is full. Never waits: the writing thread looks by itself.
    fn hand_over(&self, entry: Entry) {
        let bytes = entry.bytes();
        let before = self.common.queued.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > QUEUE_BYTES || self.queue.try_send(entry).is_err() {
            self.common.queued.fetch_sub(bytes, Ordering::Relaxed);
            self.common.drop_lines(1);
        }
    }

    /// Writes what is in the queue and ends the threads, within [`STOP_TIMEOUT`].
    pub(crate) async fn stop(&self) {
        self.cancel();
        let threads = std::mem::take(&mut *self.threads.lock());
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
        match tokio::time::timeout(STOP_TIMEOUT, joined).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) => tracing::error!("a thread of the access log panicked"),
            Err(_) => {
                tracing::error!(log.dir = %self.common.dir.display(), "the access log's disk hangs; lines are lost");
            }
        }
    }

    fn cancel(&self) {
        self.common.stopping.store(true, Ordering::Release);
        if let Some(writing) = &self.writing {
            writing.unpark();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Makes the directory and the lock in it, by which another process sees that it is taken.
fn take(dir: &Path) -> Result<File, AccessLogError> {
    let failed = |source| AccessLogError::Directory { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join(".lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(AccessLogError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
