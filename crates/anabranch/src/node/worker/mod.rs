//! What jobs of the control plane come to on this machine: files made by the transcode and packager rooms, objects removed from the store.

mod asset;
mod elsewhere;
mod intake;
mod publish;

use std::path::PathBuf;
use std::sync::Arc;

use anabranch_control::{AtOnce, Executor, Progress, Task};
use anabranch_model::{AssetId, AssetWork, Done, Failure, Work};
use anabranch_store::buckets::{BucketError, ListQuery, MAX_PAGE};
use anabranch_store::{Buckets, LocalStore, key};
use anabranch_transcode::vod::{Options, Preset};
use anabranch_transcode::{CancellationToken, Limits, Mp4Job, TranscodeError, Worker as Transcode};

use self::asset::AssetRun;
use crate::config::Config;

/// Jobs at once that take seconds or minutes.
const LIGHT_AT_ONCE: usize = 2;

/// Outages of services elsewhere that one try of a job outlives.
const OUTAGES_MAX: usize = 100;

/// Folder of unfinished work, in the data directory.
const WORK: &str = "work";

/// Does jobs with this machine's store and ffmpeg.
pub(super) struct Worker {
    store: LocalStore,
    buckets: Buckets,
    transcode: Transcode,
    limits: Limits,
    presets: Vec<Preset>,
    options: Options,
    work: PathBuf,
}

impl Worker {
    /// Unfinished work is kept in the data directory.
    pub(super) fn new(store: LocalStore, buckets: Buckets, config: &Config) -> Self {
        Self {
            store,
            buckets,
            transcode: Transcode::new(anabranch_transcode::Config::default()),
            limits: Limits { reserve_bytes: config.store.reserve, ..Limits::default() },
            presets: Preset::built_in(),
            options: Options { chunk_seconds: config.demand.chunk_seconds, ..Options::default() },
            work: config.data.join(WORK),
        }
    }

    /// Names of the presets, the usual one first.
    pub(super) fn presets(&self) -> Vec<String> {
        self.presets.iter().map(|preset| preset.name.clone()).collect()
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

    async fn asset(&self, work: AssetWork, progress: Progress, cancel: CancellationToken) -> Result<Done, Failure> {
        let preset = self.presets.iter().find(|preset| preset.name == work.preset);
        let preset = preset.ok_or_else(|| given_up(format!("this worker has no such preset: {:?}", work.preset)))?;
        let run = AssetRun {
            store: &self.store,
            buckets: &self.buckets,
            transcode: &self.transcode,
            limits: &self.limits,
            preset,
            options: &self.options,
            folder: self.work.join(format!("{}-{}", work.asset, work.generation)),
            work,
            progress,
            cancel,
        };
        run.run().await
    }

    /// Does it, and again whenever it failed since one of the buckets is elsewhere and could not be reached, as soon as it can.
    async fn patiently<F: Future<Output = Result<Done, Failure>>>(
        &self,
        buckets: &[&str],
        cancel: &CancellationToken,
        work: impl Fn() -> F,
    ) -> Result<Done, Failure> {
        for _ in 0..OUTAGES_MAX {
            let (before, _) = elsewhere::outages(&self.buckets, buckets);
            let failure = match work().await {
                Err(failure) if failure.again => failure,
                ended => return ended,
            };
            let (outages, is_away) = elsewhere::outages(&self.buckets, buckets);
            let for_it = outages > before || is_away;
            if !for_it || !elsewhere::wait_for(&self.buckets, buckets, cancel).await {
                return Err(failure);
            }
            tracing::info!(reason = failure.reason, "a job goes on that waited for a service elsewhere");
        }
        work().await
    }

    /// Removes what was made of an asset, and work on it that was not finished here.
    async fn remove_asset(&self, asset: &AssetId) -> Result<Done, Failure> {
        let prefix = key::asset_prefix(asset.as_str());
        remove(&self.buckets, &prefix, |_| false).await?;
        let (work, unfinished) = (self.work.clone(), format!("{asset}-"));
        let removed = tokio::task::spawn_blocking(move || remove_folders(&work, &unfinished)).await;
        removed.map_err(|error| lost(&error))?.map_err(|error| lost(&error))?;
        Ok(Done::default())
    }
}

/// A worker, and how much it does at once.
pub(super) fn executor(worker: Worker, assets: usize) -> (Arc<dyn Executor>, AtOnce) {
    (Arc::new(worker), AtOnce { light: LIGHT_AT_ONCE, heavy: assets })
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
                Work::Intake { bucket, key } => {
                    let read = || intake::read(&self.buckets, &bucket, &key, progress.clone(), cancel.clone());
                    self.patiently(&[bucket.as_str()], &cancel, read).await
                }
                Work::Asset(work) => {
                    let made = || self.asset(work.clone(), progress.clone(), cancel.clone());
                    self.patiently(&[work.bucket.as_str(), key::VOD], &cancel, made).await
                }
                Work::RemoveAsset { asset } => self.patiently(&[key::VOD], &cancel, || self.remove_asset(&asset)).await,
            }
        })
    }
}

/// Removes the objects of the bucket of assets whose keys begin with `prefix`, but for those that are to stay.
async fn remove(buckets: &Buckets, prefix: &str, stays: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let query = ListQuery { prefix: prefix.to_owned(), after, limit: MAX_PAGE, ..ListQuery::default() };
        let page = buckets.list(key::VOD, query).await.map_err(|error| lost(&error))?;
        let gone: Vec<String> = page.objects.into_iter().map(|object| object.key).filter(|key| !stays(key)).collect();
        if !gone.is_empty() {
            buckets.delete_many(key::VOD, &gone).await.map_err(|error| lost(&error))?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn remove_folders(work: &std::path::Path, beginning: &str) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(work) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(beginning)) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
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

fn given_up(reason: impl Into<String>) -> Failure {
    Failure { reason: reason.into(), again: false }
}

fn lost(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure { reason: chain(error), again: true }
}

fn of_bucket(error: &BucketError) -> Failure {
    let gone = matches!(error, BucketError::NoSuchKey { .. } | BucketError::NoSuchBucket { .. });
    Failure { reason: chain(error), again: !gone }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
