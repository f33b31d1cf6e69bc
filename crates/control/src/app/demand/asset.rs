//! Assets: listed, made again, cancelled, deleted.

use anabranch_db::{AssetFilter, AssetRow, JOB_ASSET, JobRow, NewArrival, NewInvalidation};
use anabranch_model::{ArrivalState, AssetId, AssetState, InvalidationId, JobState};
use anabranch_store::buckets::BucketError;
use anabranch_store::key;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::arrivals::PRESET;
use super::view::{Asset, duration};
use crate::app::page::{PageQuery, list};
use crate::app::view::List;
use crate::app::{App, Error, names};
use crate::time;

/// A file of which an asset is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetCreate {
    /// Bucket of the file.
    bucket: String,
    /// Its key.
    key: String,
    /// How the asset is made; as the bucket says if it is missing.
    preset: Option<String>,
}

/// Which page of the assets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AssetQuery {
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
    /// Assets in this state only: `QUEUED`, `PROCESSING`, `READY`, `FAILED` or `CANCELLED`.
    state: Option<String>,
    /// Assets of files of this bucket only.
    bucket: Option<String>,
    /// Assets whose name holds this text only.
    name: Option<String>,
}

/// What of an asset is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetPatch {
    /// Name for people, 1 to 100 characters.
    name: String,
}

/// How an asset is to be made again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetRetry {
    /// Another preset; the one it has if it is missing.
    preset: Option<String>,
}

impl App {
    /// Has an asset made of a file that is in a bucket, also one that was deleted before. The answer is the asset once the file was
    /// read; before that there is none to show.
    pub(crate) async fn asset_create(&self, request: &AssetCreate) -> Result<Option<Asset>, Error> {
        let bucket = self.db.bucket_find(&request.bucket).await?;
        self.check_preset(request.preset.as_deref())?;
        if bucket.house || bucket.preset.as_ref().or(request.preset.as_ref()).is_none() {
            return Err(Error::Conflict(format!(
                "no assets are made of files of bucket {0}: give it a preset",
                bucket.name
            )));
        }
        let info = match self.media.buckets.head(&request.bucket, &request.key).await {
            Err(BucketError::NoSuchKey { .. }) => {
                return Err(Error::Db(anabranch_db::Error::NotFound { subject: "file", wanted: request.key.clone() }));
            }
            found => found?,
        };
        let known = self.db.arrival_find(&request.bucket, &request.key).await?;
        if let Some(asset) = known.as_ref().filter(|row| row.version == info.etag).and_then(|row| row.asset.as_ref()) {
            let asset = self.asset_show(asset.as_str()).await?;
            return match &request.preset {
                Some(preset) if *preset != asset.preset => Err(Error::Conflict(format!(
                    "asset {0} was made of this file by preset {1}: have it made again with `anabranch asset retry {0} --preset {preset}`",
                    asset.id, asset.preset
                ))),
                _ => Ok(Some(asset)),
            };
        }
        if known.is_some_and(|row| {
            row.state != ArrivalState::Waiting || (request.preset.is_some() && row.preset != request.preset)
        }) {
            self.db.arrival_gone(&request.bucket, &request.key, self.clock.now_ms()).await?;
        }
        let preset = request.preset.as_deref().or(info.attributes.user.get(PRESET).map(String::as_str));
        let (bucket, key, version) = (request.bucket.as_str(), request.key.as_str(), info.etag.as_str());
        let new = NewArrival { bucket, key, version, size: info.size, preset };
        self.db.arrival_note(&new, self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        Ok(None)
    }

    pub(crate) async fn asset_list(&self, query: &AssetQuery) -> Result<List<Asset>, Error> {
        let state = query.state.as_deref().map(|word| {
            AssetState::parse(word).ok_or_else(|| {
                let known: Vec<_> = AssetState::ALL.iter().map(|state| state.as_str()).collect();
                Error::invalid("state", format!("no such state: {word:?}; there are {}", known.join(", ")))
            })
        });
        let filter = AssetFilter { state: state.transpose()?, bucket: query.bucket.clone(), name: query.name.clone() };
        let page =
            PageQuery { limit: query.limit, after: query.after.clone(), order: query.order.clone() }.request()?;
        let page = list(self.db.asset_page(&filter, &page).await?, |row| row);
        let subjects: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let jobs = self.db.jobs_about(JOB_ASSET, &subjects).await?;
        let now = self.clock.now_ms();
        let items = page.items.into_iter().map(|row| {
            let job = jobs.get(row.id.as_str());
            view(row, job, now)
        });
        Ok(List { items: items.collect(), next: page.next })
    }

    pub(crate) async fn asset_show(&self, wanted: &str) -> Result<Asset, Error> {
        let row = self.db.asset_find(wanted).await?;
        self.asset_view(row).await
    }

    pub(crate) async fn asset_update(&self, wanted: &str, patch: &AssetPatch) -> Result<Asset, Error> {
        let row = self.db.asset_rename(wanted, &names::name(&patch.name)?, self.clock.now_ms()).await?;
        self.changed();
        self.asset_view(row).await
    }

    pub(crate) async fn asset_retry(&self, wanted: &str, request: &AssetRetry) -> Result<Asset, Error> {
        self.check_preset(request.preset.as_deref())?;
        let row = self.db.asset_retry(wanted, request.preset.as_deref(), self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        self.changed();
        self.asset_view(row).await
    }

    pub(crate) async fn asset_cancel(&self, wanted: &str) -> Result<Asset, Error> {
        let row = self.db.asset_cancel(wanted, self.clock.now_ms()).await?;
        self.changed();
        self.asset_view(row).await
    }

    /// Deletes an asset: no edge answers for it any more, and a job removes what was made.
    pub(crate) async fn asset_delete(&self, wanted: &str) -> Result<(), Error> {
        let row = self.db.asset_delete(wanted, self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        self.asset_purge(&row.id).await?;
        self.changed();
        Ok(())
    }

    /// Has every edge forget what it holds of an asset.
    pub(crate) async fn asset_purge(&self, asset: &AssetId) -> Result<(), Error> {
        let id = InvalidationId::random();
        let new = NewInvalidation {
            caller_reference: format!("asset-{id}"),
            id,
            distribution: self.shared.to_string(),
            paths: vec![format!("/{}*", key::asset_prefix(asset.as_str()))],
            tags: Vec::new(),
        };
        self.db.invalidation_create(&new, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    pub(super) async fn asset_view(&self, row: AssetRow) -> Result<Asset, Error> {
        let job = self.db.jobs_about(JOB_ASSET, &[row.id.as_str()]).await?;
        let job = job.get(row.id.as_str());
        Ok(view(row, job, self.clock.now_ms()))
    }
}

fn view(row: AssetRow, job: Option<&JobRow>, now_ms: i64) -> Asset {
    let progress = match (row.state, job) {
        (AssetState::Ready, _) => 1000,
        (_, Some(job)) => job.progress,
        (_, None) => 0,
    };
    let (made, source) = (row.report.made, row.report.source);
    Asset {
        path: format!("{}{}", key::asset_prefix(row.id.as_str()), key::asset_playlist(row.id.as_str())),
        expected_at: job.and_then(|job| expected(job, now_ms)).map(time::render_ms),
        duration_seconds: duration(&made, source.as_ref()),
        source: source.map(Into::into),
        id: row.id.into(),
        name: row.name,
        bucket: row.bucket,
        key: row.key,
        size: row.size,
        preset: row.preset,
        state: row.state,
        generation: row.generation,
        playable: row.playable,
        partial: made.partial,
        progress_percent: f64::from(progress) / 10.0,
        rungs: made.rungs.into_iter().map(Into::into).collect(),
        rungs_planned: made.rungs_planned,
        audio: made.audio.into_iter().map(Into::into).collect(),
        captions: made.captions.into_iter().map(Into::into).collect(),
        mp4_bytes: made.mp4_bytes,
        thumbnails: made.thumbnails,
        made_bytes: made.bytes,
        notices: made.notices,
        next_try_at: job
            .filter(|job| job.state == JobState::Queued && job.attempts > 0)
            .map(|job| time::render_ms(job.next_try_at)),
        problem: row.problem,
        job: job.map(|job| job.id.to_string()),
        created_at: time::render_ms(row.created_at),
        updated_at: time::render_ms(row.updated_at),
        ready_at: row.ready_at.map(time::render_ms),
    }
}

/// When a job will be done if it goes on as it did, Unix milliseconds.
pub(crate) fn expected(job: &JobRow, now_ms: i64) -> Option<i64> {
    let started = job.started_at.filter(|_| job.state == JobState::Running && job.progress > 0)?;
    let spent = now_ms.saturating_sub(started).max(0);
    Some(started.saturating_add(spent.saturating_mul(1000) / i64::from(job.progress)))
}
