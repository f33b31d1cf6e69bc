//! `anabranch serve --role worker`: does jobs for a control plane elsewhere, whose media folder it shares.

use std::sync::Arc;
use std::time::Duration;

use anabranch_control::{Desk, DeskError, JOB_LEASE, Jobs, Task};
use anabranch_model::{
    Claimed, JOB_BEAT_PATH, JOB_CLAIM_PATH, JOB_END_PATH, JOB_LEFT_MAX, JOB_LEFT_PATH, JobBeat, JobClaim, JobEnd,
    JobLeft, LeftWork, SpoolId,
};
use anabranch_net::{SharedClock, Shutdown, SystemClock};
use anabranch_store::{Buckets, LocalStore};
use anyhow::{Context, Result};
use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::super::backends::remotes;
use super::super::metrics_page::MetricsPage;
use super::super::running::{join, stop_on_signal};
use super::super::worker::{Worker, executor};
use super::name::default_name;
use super::uplink::Uplink;
use crate::config::Config;

/// Time for the last words after the end of work.
const FAREWELL: Duration = Duration::from_secs(2);

/// Name of this worker, in the data directory: it is the same after a restart.
const NAME_FILE: &str = "worker";

/// Runs until a signal.
pub(in crate::node) async fn run(config: Config) -> Result<()> {
    let metrics_page = MetricsPage::bind(config.metrics.listen)?;
    let spool = own_id(&config)?;
    let name = config.node.name.clone().unwrap_or_else(|| default_name("worker", &spool));
    let uplink = Arc::new(Uplink::new(&config, name.clone())?);
    let media = config.media();
    let store = LocalStore::join(&media, name.as_str(), config.store.reserve)
        .with_context(|| format!("cannot use the media folder {}", media.display()))?;
    let clock: SharedClock = Arc::new(SystemClock);
    let buckets = Buckets::new(store.clone(), None).with_remotes(remotes(&config, &clock, true))?;
    let worker = Worker::new(store, buckets, &config)?;
    let (executor, at_once) = executor(worker, config.demand.assets_at_once);
    let desk: Arc<dyn Desk> = Arc::new(FarDesk(uplink));
    let [light, heavy] = Jobs::pair(&desk, &executor, name.as_str(), at_once);
    tracing::info!(
        node.name = %name,
        media = %media.display(),
        control.url = config.control.url.as_deref().unwrap_or_default(),
        data = %config.data.display(),
        "working"
    );
    let (front, back) = (Shutdown::new(), Shutdown::new());
    let signals = tokio::spawn(stop_on_signal(front.clone()));
    let (mut loops, mut page) = (JoinSet::new(), JoinSet::new());
    page.spawn(metrics_page.run(back.clone()));
    loops.spawn(light.run(front.clone()));
    loops.spawn(heavy.run(front.clone()));
    join(&mut loops).await;
    back.cancel();
    let _ = tokio::time::timeout(FAREWELL, join(&mut page)).await;
    signals.await.context("the signal handler ended by a fault")??;
    tracing::info!("stopped");
    Ok(())
}

/// What tells this worker from others of the machine, kept in the data directory.
fn own_id(config: &Config) -> Result<SpoolId> {
    let path = config.data.join(NAME_FILE);
    let kept = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    match kept {
        Some(id) => Ok(id),
        None => {
            let id = SpoolId::random();
            std::fs::write(&path, id.as_str()).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(id)
        }
    }
}

/// The desk of a control plane elsewhere.
struct FarDesk(Arc<Uplink>);

impl Desk for FarDesk {
    fn claim(&self, claim: JobClaim) -> Task<'_, Result<Option<Claimed>, DeskError>> {
        Box::pin(async move {
            match self.0.job(JOB_CLAIM_PATH, &claim).await {
                Ok((StatusCode::OK, body)) => serde_json::from_slice(&body)
                    .map(Some)
                    .map_err(|error| DeskError::new(format!("the control plane's answer is not a job: {error}"))),
                Ok(_) => Ok(None),
                Err(error) => Err(DeskError::new(format!("{error:#}"))),
            }
        })
    }

    fn beat(&self, beat: JobBeat) -> Task<'_, Result<bool, DeskError>> {
        Box::pin(async move {
            let answer = self.0.job(JOB_BEAT_PATH, &beat).await;
            answer.map(|(status, _)| status != StatusCode::GONE).map_err(|error| DeskError::new(format!("{error:#}")))
        })
    }

    fn end(&self, end: JobEnd) -> Task<'_, Result<(), DeskError>> {
        Box::pin(async move {
            let answer = self.0.job(JOB_END_PATH, &end).await;
            answer.map(drop).map_err(|error| DeskError::new(format!("{error:#}")))
        })
    }

    fn unwanted(&self, mut left: Vec<LeftWork>) -> Task<'_, Result<Vec<LeftWork>, DeskError>> {
        Box::pin(async move {
            // What is left over is asked the next time.
            left.truncate(JOB_LEFT_MAX);
            let (_, body) = self
                .0
                .job(JOB_LEFT_PATH, &JobLeft { work: left })
                .await
                .map_err(|error| DeskError::new(format!("{error:#}")))?;
            let answer: JobLeft = serde_json::from_slice(&body)
                .map_err(|error| DeskError::new(format!("the control plane's answer is no list of work: {error}")))?;
            Ok(answer.work)
        })
    }

    fn lease(&self) -> Option<Duration> {
        Some(JOB_LEASE)
    }

    fn news(&self) -> Task<'_, ()> {
        // Nobody tells a worker elsewhere: it asks every two seconds.
        Box::pin(std::future::pending())
    }
}
