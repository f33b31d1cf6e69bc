//! Bytes on their way to the disk. One thread a writer: it writes and digests while the next bytes arrive.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::disk::{Disk, Temporary};
use super::types::{BucketError, Inspector, interrupted};

/// Pieces that wait for the thread. What a piece is, is the caller's choice; of a network they are some tens of kilobytes.
const MAX_QUEUED: usize = 16;

/// Bytes after which the disk's free space is looked at again, and after which what was written is sent to the disk.
const STRETCH_BYTES: u64 = 32 * 1024 * 1024;

/// What the thread is told.
pub(super) enum Step {
    Bytes(Bytes),
    End,
}

/// What is expected of the bytes.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) size: Option<u64>,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) inspector: Option<Box<dyn Inspector>>,
}

/// Bytes that are on the disk, whole.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) temporary: Temporary,
    pub(super) md5: [u8; 16],
    pub(super) checksums: BTreeMap<String, String>,
}

/// What becomes of the bytes, on the thread that wrote them.
type Finish<T> = Box<dyn FnOnce(&Disk, Written) -> Result<T, BucketError> + Send>;

/// Takes the bytes of an object, or of a part of an upload, piece by piece. Nothing is there before [`Writer::finish`] returns; a writer
/// that is dropped leaves nothing.
pub struct Writer<T> {
    steps: mpsc::Sender<Step>,
    thread: JoinHandle<Result<T, BucketError>>,
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Writer<T> {
    pub(super) fn start(disk: Arc<Disk>, expected: Expected, finish: Finish<T>) -> Self {
        let (steps, queue) = mpsc::channel(MAX_QUEUED);
        let thread = tokio::task::spawn_blocking(move || {
            let written = write(&disk, queue, expected)?;
            finish(&disk, written)
        });
        Self { steps, thread }
    }

    /// A writer whose bytes go elsewhere than to the disk.
    pub(super) fn start_with<F>(receive: impl FnOnce(mpsc::Receiver<Step>) -> F) -> Self
    where
        F: Future<Output = Result<T, BucketError>> + Send + 'static,
    {
        let (steps, queue) = mpsc::channel(MAX_QUEUED);
        Self { steps, thread: tokio::spawn(receive(queue)) }
    }

    /// Takes the next bytes; waits while the disk is slower. Not to be dropped before it returns, or bytes may be missing: drop the
    /// writer then.
    ///
    /// # Errors
    /// As [`Writer::finish`]; the writer is of no use then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BucketError> {
        if bytes.is_empty() || self.steps.send(Step::Bytes(bytes)).await.is_ok() {
            return Ok(());
        }
        match (&mut self.thread).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(interrupted("the writer has ended")),
            Err(error) => Err(interrupted(error)),
        }
    }

    /// Checks the bytes and stores them, durably.
    ///
    /// # Errors
    /// [`BucketError::Digest`], [`BucketError::Length`], [`BucketError::Precondition`], [`BucketError::NoSuchBucket`],
    /// [`BucketError::NoSuchUpload`] or [`BucketError::Store`]. What was there before is untouched.
    pub async fn finish(self) -> Result<T, BucketError> {
        // A thread that has ended already says why below.
        let _ = self.steps.send(Step::End).await;
        drop(self.steps);
        self.thread.await.unwrap_or_else(|error| Err(interrupted(error)))
    }
}

fn write(disk: &Disk, mut queue: mpsc::Receiver<Step>, mut expected: Expected) -> Result<Written, BucketError> {
    disk.store.room(expected.size.unwrap_or(0))?;
    let temporary = disk.temporary();
    let failed = |error| BucketError::from(disk.store.write_error(&temporary.0, error));
    let mut file = File::create(&temporary.0).map_err(failed)?;
    let mut flusher = None;
    let (mut md5, mut got, mut stretch) = (Md5::new(), 0_u64, 0_u64);
    loop {
        let bytes = match queue.blocking_recv() {
            Some(Step::Bytes(bytes)) => bytes,
            Some(Step::End) => break,
            None => return Err(interrupted("the writer was dropped")),
        };
        let len = bytes.len() as u64;
        (got, stretch) = (got + len, stretch + len);
        if let Some(announced) = expected.size.filter(|size| got > *size) {
            return Err(BucketError::Length { announced, got });
        }
        if stretch >= STRETCH_BYTES {
            stretch = 0;
            disk.store.room(len)?;
            if flusher.is_none() {
                flusher = Some(Flusher::start(&file).map_err(failed)?);
            }
            flusher.iter().for_each(Flusher::nudge);
        }
        file.write_all(&bytes).map_err(failed)?;
        md5.update(&bytes);
        if let Some(inspector) = &mut expected.inspector {
            inspector.update(&bytes);
        }
    }
    if let Some(announced) = expected.size.filter(|size| got != *size) {
        return Err(BucketError::Length { announced, got });
    }
    let md5: [u8; 16] = md5.finalize().into();
    if expected.md5.is_some_and(|wanted| wanted != md5) {
        return Err(BucketError::Digest { digest: "content-md5" });
    }
    let checksums = expected.inspector.map_or_else(|| Ok(BTreeMap::new()), Inspector::finish)?;
    // Its time is part of its version, so it is synced as well. An error of the disk is told once, to whoever synced.
    flusher.map_or(Ok(()), Flusher::end).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(Written { temporary, md5, checksums })
}

/// Sends what was written to the disk while more is written, so that the end has not everything to wait for.
struct Flusher {
    nudges: std::sync::mpsc::SyncSender<()>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl Flusher {
    fn start(file: &File) -> io::Result<Self> {
        let (file, (nudges, waiting)) = (file.try_clone()?, std::sync::mpsc::sync_channel(1));
        let flush = move || waiting.into_iter().try_for_each(|()| file.sync_data());
        let thread = std::thread::Builder::new().name("store-flush".to_owned()).spawn(flush)?;
        Ok(Self { nudges, thread })
    }

    /// One that is busy has this to do as well, sooner or later.
    fn nudge(&self) {
        let _ = self.nudges.try_send(());
    }

    fn end(self) -> io::Result<()> {
        drop(self.nudges);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the flushing thread panicked")))
    }
}
