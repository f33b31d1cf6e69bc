//! What jobs of the control plane come to on this machine: files made by the transcode and packager rooms, objects removed from the store.

mod asset;
mod captions;
mod elsewhere;
mod failure;
mod intake;
mod left;
mod made;
mod objects;
mod publish;
mod run;

use std::path::PathBuf;
use std::sync::Arc;

use anabranch_control::{AtOnce, Executor, Progress, Task};
use anabranch_model::{AssetId, AssetWork, Done, Failure, LeftWork, Work};
use anabranch_store::{Buckets, LocalStore, key};
use anabranch_transcode::vod::{Options, Preset};
use anabranch_transcode::{CancellationToken, Limits, Mp4Job, Worker as Transcode};
use anyhow::Result;

use self::failure::{failure, given_up, lost};
use self::run::AssetRun;
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
    pub(super) fn new(store: LocalStore, buckets: Buckets, config: &Config) -> Result<Self> {
        Ok(Self {
            store,
            buckets,
            transcode: Transcode::new(anabranch_transcode::Config::default()),
            limits: Limits { reserve_bytes: config.store.reserve, ..Limits::default() },
            presets: config.demand.presets()?,
            options: Options { chunk_seconds: config.demand.chunk_seconds, ..Options::default() },
            work: config.data.join(WORK),
        })
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
        let preset = preset.ok_or_else(|| given_up(format!("this worker has no preset {0:?}: give its configuration the table demand.presets.{0}, or choose another", work.preset)))?;
        let run = AssetRun {
            store: &self.store,
            buckets: &self.buckets,
            transcode: &self.transcode,
            limits: &self.limits,
            preset,
            options: &self.options,
            folder: self.work.join(left::name(&work.asset, work.generation)),
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
        objects::remove(&self.buckets, &prefix, |_| false).await?;
        let of_asset = left::all(&self.work).await.into_iter().filter(|left| left.asset == *asset);
        left::remove(&self.work, of_asset.collect()).await.map_err(|error| lost(&error))?;
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
                Work::Captions(work) => {
                    let publish = || captions::publish(&self.store, &self.buckets, &work, progress.clone());
                    self.patiently(&[key::VOD], &cancel, publish).await
                }
            }
        })
    }

    fn left(&self) -> Task<'_, Vec<LeftWork>> {
        Box::pin(left::all(&self.work))
    }

    fn forget(&self, unwanted: Vec<LeftWork>) -> Task<'_, ()> {
        Box::pin(async move {
            let folders = unwanted.len();
            match left::remove(&self.work, unwanted).await {
                Ok(()) => tracing::info!(folders, "unfinished work that is of no use any more was removed"),
                Err(error) => tracing::warn!(%error, "unfinished work that is of no use any more cannot be removed"),
            }
        })
    }
}
