//! What jobs of the control plane come to on this machine: files made by the transcode room, objects removed from the store.

use anabranch_control::{Executor, Progress, Task};
use anabranch_model::{Done, Failure, Work};
use anabranch_store::{LocalStore, StoreError, key};
use anabranch_transcode::{CancellationToken, Config, Limits, Mp4Job, TranscodeError, Worker as Transcode};

/// Jobs at once.
pub(super) const AT_ONCE: usize = 2;

/// Does jobs with this machine's store and ffmpeg.
pub(super) struct Worker {
    store: LocalStore,
    transcode: Transcode,
    limits: Limits,
}

impl Worker {
    /// `reserve_bytes` of the disk are never used.
    pub(super) fn new(store: LocalStore, reserve_bytes: u64) -> Self {
        let limits = Limits { reserve_bytes, ..Limits::default() };
        Self { store, transcode: Transcode::new(Config::default()), limits }
    }

    async fn mp4(
        &self,
        breakout: &str,
        session: u32,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Done, Failure> {
        let file = |name| self.store.file(&key::recording_object(breakout, session, name)).map_err(|e| lost(&e));
        let job = Mp4Job { input_playlist: file(key::INDEX)?, output: file(key::MP4)?, limits: self.limits.clone() };
        let done = self.transcode.mp4(job, move |permille| progress.set(permille.into()), &cancel).await;
        match done {
            Ok(done) => {
                tracing::info!(
                    breakout.id = breakout, breakout.session = session, bytes = done.bytes, method = %done.method, "mp4 made"
                );
                Ok(Done { bytes: done.bytes, ..Done::default() })
            }
            Err(error) => Err(failure(&error)),
        }
    }
}

impl Executor for Worker {
    fn execute(&self, work: Work, progress: Progress, cancel: CancellationToken) -> Task<'_, Result<Done, Failure>> {
        Box::pin(async move {
            match work {
                Work::Mp4 { breakout, session } => self.mp4(breakout.as_str(), session, progress, cancel).await,
                Work::RemoveRecording { breakout, session } => {
                    let removed = self.store.delete_recording(breakout.as_str(), session).await;
                    removed.map(|()| Done::default()).map_err(|error| lost(&error))
                }
            }
        })
    }
}

/// The reason with what ffmpeg said last.
fn failure(error: &TranscodeError) -> Failure {
    let mut reason = chain(error);
    for line in error.log() {
        reason.push('\n');
        reason.push_str(line);
    }
    Failure { reason, again: error.may_pass() }
}

fn lost(error: &StoreError) -> Failure {
    Failure { reason: chain(error), again: true }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
