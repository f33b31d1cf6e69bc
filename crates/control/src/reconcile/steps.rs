//! What each recorded step does. Each may be repeated at any time, and looks at what is wanted now.

use anabranch_db::operation::BREAKOUT_START;
use anabranch_db::{BreakoutRow, ChannelRow, DistributionRow, NewEntry, OperationRow};
use anabranch_model::{BreakoutEvent, BreakoutId, BreakoutState, ChannelEvent, ChannelState, DistributionState};

use super::outcome::{Outcome, StepError, is_slow};
use super::{note, realize};
use crate::app::App;

pub(super) async fn run(app: &App, operation: &OperationRow, step: &str) -> Result<Outcome, StepError> {
    match step {
        "pipeline.ensure" => pipeline_ensure(app, operation).await,
        "pipeline.switch" => pipeline_switch(app, operation).await,
        "pipeline.run" => pipeline_run(app, operation).await,
        "pipeline.settled" => pipeline_settled(app, operation).await,
        "pipeline.delete" => pipeline_delete(app, operation).await,
        "channel.remove" => channel_remove(app, operation).await,
        "distribution.create" | "distribution.update" => distribution_realize(app, operation).await,
        "distribution.ensure" => distribution_ensure(app, operation).await,
        "distribution.deployed" => distribution_deployed(app, operation).await,
        "distribution.retire" => distribution_retire(app, operation).await,
        "distribution.disable" => distribution_disable(app, operation).await,
        "distribution.disabled" => distribution_disabled(app, operation).await,
        "distribution.delete" => distribution_delete(app, operation).await,
        "distribution.remove" => distribution_remove(app, operation).await,
        "breakout.run" => breakout_run(app, operation).await,
        _ => Err(StepError::Unknown(step.to_owned())),
    }
}

/// Takes back what a step of a create has made.
pub(super) async fn undo(app: &App, operation: &OperationRow, step: &str) -> Result<Outcome, StepError> {
    match step {
        "distribution.create" => distribution_retire(app, operation).await,
        "pipeline.ensure" => {
            let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::done()) };
            if !realize::tear_down_pipeline(app, &channel.id).await? {
                return Ok(Outcome::Wait("waiting for the pipeline to stop".to_owned()));
            }
            app.db.channel_observed(&channel.id, 0).await?;
            let why = operation.problem.as_deref().unwrap_or("it cannot be made");
            let problem = format!("nothing is left of it at the provider, since it could not be made: {why}");
            app.db.channel_problem(&channel.id, Some(&problem), app.clock.now_ms()).await?;
            let entry = NewEntry::stream("channel.rolled_back", "channel", channel.id.as_str()).channel(&channel.id);
            app.db.log_add(&[entry.detail("reason", why)], app.clock.now_ms()).await?;
            note("channel", channel.id.as_str(), "rolled_back", why);
            Ok(Outcome::done())
        }
        _ => Ok(Outcome::done()),
    }
}

/// The channel in whose lane the operation is; none when the row has gone.
async fn channel(app: &App, operation: &OperationRow) -> Result<Option<ChannelRow>, StepError> {
    present(app.db.channel_find(&operation.lane).await)
}

/// The distribution that the operation is about: its subject, or that of its channel.
async fn distribution(app: &App, operation: &OperationRow) -> Result<Option<DistributionRow>, StepError> {
    if operation.plan.kind.starts_with("distribution.") {
        return present(app.db.distribution_find(&operation.subject).await);
    }
    let Some(channel) = channel(app, operation).await? else { return Ok(None) };
    Ok(app.db.distribution_of_channel(&channel.id).await?)
}

/// The breakout that a start is about; none for other operations.
async fn breakout(app: &App, operation: &OperationRow) -> Result<Option<BreakoutRow>, StepError> {
    if operation.plan != BREAKOUT_START {
        return Ok(None);
    }
    present(app.db.breakout_find(&operation.subject).await)
}

fn present<T>(found: Result<T, anabranch_db::Error>) -> Result<Option<T>, StepError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(anabranch_db::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn pipeline_ensure(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::Obsolete) };
    Ok(Outcome::Done(realize::pipeline(app, &channel).await?))
}

async fn pipeline_switch(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::Obsolete) };
    if let Some(chosen) = &channel.failover.chosen {
        app.provider.pipeline_switch(&channel.id, chosen).await?;
    }
    Ok(Outcome::done())
}

/// Whether the channel is wanted running, and what it is to package.
async fn wanted(app: &App, channel: &ChannelRow) -> Result<(bool, Option<BreakoutId>), StepError> {
    let session = app.db.channel_session(&channel.id).await?;
    Ok((channel.desired_running || session.is_some(), session))
}

async fn pipeline_run(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::Obsolete) };
    let (running, session) = wanted(app, &channel).await?;
    if operation.plan == BREAKOUT_START && session.as_ref().map(BreakoutId::as_str) != Some(operation.subject.as_str())
    {
        return Ok(Outcome::Obsolete);
    }
    let repaired = realize::pipeline(app, &channel).await?;
    if running {
        app.provider.pipeline_start(&channel.id, session.as_ref()).await?;
    } else {
        app.provider.pipeline_stop(&channel.id).await?;
    }
    if let Some(words) = &repaired {
        tell_repair(app, operation, words).await?;
    }
    Ok(Outcome::Done(repaired))
}

async fn pipeline_settled(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::Obsolete) };
    let (running, session) = wanted(app, &channel).await?;
    let Some(status) = app.provider.pipeline_describe(&channel.id).await? else {
        pipeline_run(app, operation).await?;
        return Ok(Outcome::Wait("waiting for the pipeline, which was gone".to_owned()));
    };
    let is = if running { ChannelState::Running } else { ChannelState::Idle };
    if status.state != is || status.session != session {
        if status.session != session || matches!(status.state, ChannelState::Idle | ChannelState::Running) {
            // Somebody else has started or stopped it.
            pipeline_run(app, operation).await?;
        }
        let words = status.waiting_for.unwrap_or_else(|| format!("waiting for the pipeline to be {}", is.as_str()));
        slow_channel(app, &channel, operation, &words).await?;
        let breakout = operation.plan == BREAKOUT_START;
        return Ok(Outcome::Wait(if breakout { format!("waiting for the channel to run: {words}") } else { words }));
    }
    let event = if running { ChannelEvent::Started } else { ChannelEvent::Stopped };
    if matches!(channel.state, ChannelState::Starting | ChannelState::Stopping) {
        app.db.channel_confirm(&channel, event, app.clock.now_ms()).await?;
        note("channel", channel.id.as_str(), if running { "running" } else { "idle" }, "");
    }
    Ok(Outcome::done())
}

async fn slow_channel(app: &App, channel: &ChannelRow, operation: &OperationRow, words: &str) -> Result<(), StepError> {
    if !is_slow(operation, app.clock.now_ms()) || channel.problem.as_deref() == Some(words) {
        return Ok(());
    }
    tracing::warn!(channel.id = %channel.id, state = channel.state.as_str(), problem = words, "channel is slow");
    Ok(app.db.channel_problem(&channel.id, Some(words), app.clock.now_ms()).await?)
}

async fn pipeline_delete(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::Obsolete) };
    if realize::tear_down_pipeline(app, &channel.id).await? {
        return Ok(Outcome::done());
    }
    Ok(Outcome::Wait("waiting for the pipeline to stop".to_owned()))
}

async fn channel_remove(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::done()) };
    app.db.channel_remove(&channel.id, app.clock.now_ms()).await?;
    app.wake.notify_one();
    note("channel", channel.id.as_str(), "deleted", &channel.name);
    Ok(Outcome::done())
}

async fn distribution_realize(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = distribution(app, operation).await? else { return Ok(Outcome::Obsolete) };
    let repaired = realize::distribution(app, &row).await?;
    if let Some(words) = &repaired {
        tell_repair(app, operation, words).await?;
    }
    Ok(Outcome::Done(repaired))
}

/// V36: a row that is missing, and what is missing, disabled or different at the provider, is set right and told.
async fn distribution_ensure(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    if let Some(row) = distribution(app, operation).await? {
        let repaired = realize::distribution(app, &row).await?;
        if let Some(words) = &repaired {
            tell_repair(app, operation, words).await?;
        }
        return Ok(Outcome::Done(repaired));
    }
    let Some(channel) = channel(app, operation).await? else { return Ok(Outcome::Obsolete) };
    let new = app.channel_distribution(&channel.id).map_err(StepError::App)?;
    let row = app.db.distribution_create(&new, Some(&channel.id), app.clock.now_ms()).await?.into_inner();
    realize::distribution(app, &row).await?;
    let words = format!("the channel had no distribution: {} was made", row.id);
    tell_repair(app, operation, &words).await?;
    Ok(Outcome::Done(Some(words)))
}

async fn tell_repair(app: &App, operation: &OperationRow, words: &str) -> Result<(), StepError> {
    tracing::warn!(operation.kind = operation.plan.kind, subject.id = operation.subject, reason = words, "repaired");
    note("distribution", &operation.subject, "repaired", words);
    if operation.plan != BREAKOUT_START {
        let subject = operation.plan.kind.split('.').next().unwrap_or("channel");
        let subject = if subject == "distribution" { "distribution" } else { "channel" };
        let entry = NewEntry::stream("distribution.repaired", subject, operation.subject.as_str());
        app.db.log_add(&[entry.detail("reason", words)], app.clock.now_ms()).await?;
    }
    if let Some(breakout) = breakout(app, operation).await? {
        app.db.breakout_notice(&breakout.id, words, app.clock.now_ms()).await?;
    }
    Ok(())
}

async fn distribution_deployed(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = distribution(app, operation).await? else {
        let missing = operation.plan == BREAKOUT_START;
        return Ok(if missing { distribution_ensure(app, operation).await?.and_wait() } else { Outcome::Obsolete });
    };
    if row.status == DistributionState::Deployed && row.observed_generation == row.generation {
        return Ok(Outcome::done());
    }
    let Some(found) = realize::find(app, &row).await? else {
        return Ok(distribution_ensure(app, operation).await?.and_wait());
    };
    if row.observed_generation != row.generation {
        return Ok(distribution_realize(app, operation).await?.and_wait());
    }
    if found.status == DistributionState::InProgress {
        return Ok(Outcome::Wait(found.waiting_for.unwrap_or_else(|| "waiting for the distribution".to_owned())));
    }
    app.db.distribution_confirm(&row.id, row.generation, app.clock.now_ms()).await?;
    note("distribution", row.id.as_str(), "deployed", "");
    Ok(Outcome::done())
}

/// V40: the row is stale from now on, and an operation of its own deletes it.
async fn distribution_retire(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = distribution(app, operation).await? else { return Ok(Outcome::done()) };
    let content = app.disabled_content(&row).map_err(StepError::App)?;
    app.db
        .distribution_retire(row.id.as_str(), &content, anabranch_db::Retire::Forced, None, app.clock.now_ms())
        .await?;
    note("distribution", row.id.as_str(), "stale", "");
    app.drive.notify_one();
    Ok(Outcome::done())
}

async fn distribution_disable(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    if let Some(row) = distribution(app, operation).await? {
        realize::disable(app, &row).await?;
    }
    Ok(Outcome::done())
}

async fn distribution_disabled(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = distribution(app, operation).await? else { return Ok(Outcome::done()) };
    let Some(found) = realize::find(app, &row).await? else { return Ok(Outcome::done()) };
    if found.enabled {
        realize::disable(app, &row).await?;
        return Ok(Outcome::Wait("waiting for edges to disable it".to_owned()));
    }
    if found.status == DistributionState::InProgress {
        return Ok(Outcome::Wait(found.waiting_for.unwrap_or_else(|| "waiting for edges to disable it".to_owned())));
    }
    Ok(Outcome::done())
}

async fn distribution_delete(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = distribution(app, operation).await? else { return Ok(Outcome::done()) };
    let Some(found) = realize::find(app, &row).await? else { return Ok(Outcome::done()) };
    app.provider.distribution_delete(&found.id, &found.etag).await?;
    Ok(Outcome::done())
}

async fn distribution_remove(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = distribution(app, operation).await? else { return Ok(Outcome::done()) };
    app.db.distribution_remove(&row.id, app.clock.now_ms()).await?;
    note("distribution", row.id.as_str(), "deleted", "");
    Ok(Outcome::done())
}

async fn breakout_run(app: &App, operation: &OperationRow) -> Result<Outcome, StepError> {
    let Some(row) = breakout(app, operation).await? else { return Ok(Outcome::Obsolete) };
    if row.state.next(BreakoutEvent::Ready).is_err() {
        return Ok(Outcome::Obsolete);
    }
    if row.state == BreakoutState::Starting {
        app.db.breakout_ready(&row, app.clock.now_ms()).await?;
        note("breakout", row.id.as_str(), "running", &row.content.name);
    }
    Ok(Outcome::done())
}
