//! Making one pipeline or distribution at the provider what its row wants. Each function may be repeated at any time.

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::{ChannelRow, DistributionRow};
use anabranch_model::{ChannelId, DistributionId, DistributionState, InputSpec};
use anabranch_provider::{
    DistributionStatus, Kind, NewDistribution, PipelineSpec, ProviderError, TAG_CHANNEL, TAG_PLANE, Tags,
};
use serde_json::Value;

use super::outcome::StepError;
use crate::app::{App, config_of};

/// Distributions of the provider that are looked through for one whose making was never recorded.
const ADOPT_MAX: usize = 10_000;

/// Labels of everything that this control plane makes.
pub(super) fn plane_tags(app: &App) -> Tags {
    Tags::from([(TAG_PLANE.to_owned(), app.nodes.plane.to_string())])
}

/// Whether this control plane made the resource.
pub(super) fn is_ours(app: &App, tags: &Tags) -> bool {
    tags.get(TAG_PLANE).is_some_and(|plane| *plane == app.nodes.plane.as_str())
}

/// The pipeline as its channel wants it; made again when it is gone.
/// Answers what had to be set right, in words.
pub(super) async fn pipeline(app: &App, channel: &ChannelRow) -> Result<Option<String>, StepError> {
    let found = app.provider.pipeline_describe(&channel.id).await?;
    let repaired = (found.is_none() && channel.observed_generation > 0)
        .then(|| "the pipeline was gone at the provider and was made again".to_owned());
    if found.is_some() && channel.observed_generation == channel.generation {
        return Ok(None);
    }
    let inputs = app.db.channel_inputs(&channel.id).await?;
    // What may push while a breakout is on air takes the place of the channel's list.
    let session = match app.db.channel_session(&channel.id).await? {
        Some(session) => Some(app.db.breakout_find(session.as_str()).await?),
        None => None,
    };
    let allow = session.map(|row| row.content.ingest_allow).filter(|allow| !allow.is_empty());
    let allow = allow.unwrap_or_else(|| channel.ingest_allow.clone());
    let spec = PipelineSpec {
        id: channel.id.clone(),
        name: channel.name.clone(),
        segment_target_seconds: channel.segment_target_seconds,
        window_seconds: channel.window_seconds,
        inputs: inputs
            .into_iter()
            .map(|input| InputSpec { id: input.id, stream_key: input.stream_key, allow: allow.clone() })
            .collect(),
        failover: channel.failover.clone(),
        tags: plane_tags(app),
    };
    app.provider.pipeline_ensure(&spec).await?;
    app.db.channel_observed(&channel.id, channel.generation).await?;
    Ok(repaired)
}

/// The distribution as its row wants it; made again when it is gone, set right when it differs.
/// Answers what had to be set right, in words.
pub(super) async fn distribution(app: &App, row: &DistributionRow) -> Result<Option<String>, StepError> {
    let config = config_of(row)?.to_json();
    let found = find(app, row).await?;
    let gone = row.provider_id.is_some() && found.is_none();
    let mut repaired = gone.then(|| format!("distribution {} was gone at the provider and was made again", row.id));
    let mut status = match found {
        Some(status) => status,
        None => create(app, row, &config).await?,
    };
    if !same(&status.config, &config) {
        if row.observed_generation == row.generation && !gone {
            let how = difference(&status, row);
            repaired = Some(format!("distribution {} {how} at the provider and was set right", row.id));
        }
        status = app.provider.distribution_update(&status.id, &status.etag, &config).await?;
    }
    if repaired.is_some() && row.status == DistributionState::Deployed {
        app.db.distribution_drifted(&row.id, repaired.as_deref().unwrap_or_default()).await?;
    }
    if row.observed_generation != row.generation || row.provider_id.as_ref() != Some(&status.id) || repaired.is_some() {
        app.db.distribution_observed(&row.id, &status.id, row.generation).await?;
    }
    Ok(repaired)
}

/// How what the provider has differs from what is wanted; none when it does not.
pub(super) fn drift(row: &DistributionRow, found: Option<&DistributionStatus>) -> Option<String> {
    let Some(found) = found else { return Some("it is gone at the provider".to_owned()) };
    let wanted = config_of(row).ok()?.to_json();
    (!same(&found.config, &wanted)).then(|| format!("it {} at the provider", difference(found, row)))
}

/// What the provider has of a row.
pub(super) async fn find(app: &App, row: &DistributionRow) -> Result<Option<DistributionStatus>, ProviderError> {
    let id = row.provider_id.as_ref().unwrap_or(&row.id);
    let found = app.provider.distribution_describe(id).await?;
    Ok(found.filter(|found| found.reference == row.caller_reference))
}

/// Another configuration for the one of this id, or nothing when there is none.
pub(super) async fn disable(app: &App, row: &DistributionRow) -> Result<(), StepError> {
    let Some(found) = find(app, row).await? else { return Ok(()) };
    if found.enabled {
        let mut config = config_of(row)?;
        config.set_enabled(false);
        app.provider.distribution_update(&found.id, &found.etag, &config.to_json()).await?;
    }
    Ok(())
}

async fn create(app: &App, row: &DistributionRow, config: &Value) -> Result<DistributionStatus, StepError> {
    let mut tags = plane_tags(app);
    tags.extend(row.tags.clone());
    if let Some(channel) = &row.channel {
        tags.insert(TAG_CHANNEL.to_owned(), channel.to_string());
    }
    let new = NewDistribution {
        reference: row.caller_reference.clone(),
        id: Some(row.id.clone()),
        domain: Some(row.domain_name.clone()),
        config: config.clone(),
        tags,
    };
    match app.provider.distribution_create(&new).await {
        // Made by an earlier try, with a configuration that has changed since.
        Err(error) if error.kind == Kind::Conflict => match adopt(app, row).await? {
            Some(status) => Ok(status),
            None => Err(error.into()),
        },
        made => Ok(made?),
    }
}

/// The distribution of this control plane with the row's reference, whatever its id.
async fn adopt(app: &App, row: &DistributionRow) -> Result<Option<DistributionStatus>, ProviderError> {
    let mut after = None;
    let mut seen = 0;
    while seen < ADOPT_MAX {
        let page = app.provider.distribution_list(after.as_deref()).await?;
        seen += page.items.len().max(1);
        for id in &page.items {
            let found = app.provider.distribution_describe(id).await?;
            if let Some(found) = found
                && found.reference == row.caller_reference
                && is_ours(app, &found.tags)
            {
                return Ok(Some(found));
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(None)
}

/// Whether two configurations mean the same: every default filled in.
fn same(one: &Value, other: &Value) -> bool {
    let whole =
        |config: &Value| DistributionConfig::parse(config.to_string().as_bytes()).map(|config| config.to_json());
    one == other || matches!((whole(one), whole(other)), (Ok(one), Ok(other)) if one == other)
}

fn difference(found: &DistributionStatus, row: &DistributionRow) -> &'static str {
    match (found.enabled, row.enabled) {
        (false, true) => "was disabled",
        (true, false) => "was enabled",
        (true, true) | (false, false) => "had another configuration",
    }
}

/// Deletes a distribution of the provider in as many calls as its state takes: disable, wait, delete. Says whether it is gone.
pub(super) async fn tear_down(app: &App, id: &DistributionId) -> Result<bool, ProviderError> {
    let Some(found) = app.provider.distribution_describe(id).await? else { return Ok(true) };
    if found.enabled {
        let mut config = found.config.clone();
        config["Enabled"] = Value::Bool(false);
        app.provider.distribution_update(&found.id, &found.etag, &config).await?;
        return Ok(false);
    }
    if found.status == DistributionState::InProgress {
        return Ok(false);
    }
    app.provider.distribution_delete(id, &found.etag).await?;
    Ok(true)
}

/// The same of a pipeline: stop, wait, delete.
pub(super) async fn tear_down_pipeline(app: &App, id: &ChannelId) -> Result<bool, ProviderError> {
    use anabranch_model::ChannelState;
    let Some(found) = app.provider.pipeline_describe(id).await? else { return Ok(true) };
    match found.state {
        ChannelState::Idle => app.provider.pipeline_delete(id).await.map(|()| true),
        ChannelState::Stopping => Ok(false),
        ChannelState::Starting | ChannelState::Running => app.provider.pipeline_stop(id).await.map(|_| false),
    }
}
