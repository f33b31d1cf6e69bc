//! States that wait for the data plane, and what they still wait for.

use anabranch_db::{BreakoutRow, ChannelRow, Error};
use anabranch_model::{ChannelEvent, ChannelState, DistributionState};

use crate::app::App;
use crate::observe::{Applied, Observed};

/// Roles that confirm a channel's state.
const CHANNEL_ROLES: [&str; 2] = ["ingest", "packager"];

/// Time after which a row says what it waits for, in milliseconds.
const SLOW_MS: i64 = 10_000;

pub(crate) async fn channels(app: &App) -> Result<(), Error> {
    for row in app.db.channels_in_transit().await? {
        let event = if row.state == ChannelState::Starting { ChannelEvent::Started } else { ChannelEvent::Stopped };
        match missing(&app.observed, &CHANNEL_ROLES, row.changed_version) {
            None => {
                app.db.channel_confirm(&row, event, app.clock.now_ms()).await?;
                tracing::info!(channel.id = %row.id, channel.name = row.name, from = row.state.as_str(), "channel confirmed");
            }
            Some(missing) => slow_channel(app, &row, &missing).await?,
        }
    }
    Ok(())
}

async fn slow_channel(app: &App, row: &ChannelRow, missing: &str) -> Result<(), Error> {
    if app.clock.now_ms() - row.updated_at < SLOW_MS || row.problem.as_deref() == Some(missing) {
        return Ok(());
    }
    tracing::warn!(channel.id = %row.id, state = row.state.as_str(), problem = missing, "channel is slow");
    app.db.channel_problem(&row.id, Some(missing), app.clock.now_ms()).await
}

pub(crate) async fn distributions(app: &App) -> Result<(), Error> {
    for row in app.db.distributions_in_progress().await? {
        if app.observed.applied("edge", row.changed_version) == Applied::Yes {
            app.db.distribution_confirm(&row.id, row.changed_version, app.clock.now_ms()).await?;
            tracing::info!(distribution.id = %row.id, "distribution deployed");
        }
    }
    Ok(())
}

pub(crate) async fn breakouts(app: &App) -> Result<(), Error> {
    for row in app.db.breakouts_starting().await? {
        match waits_for(app, &row).await? {
            None => {
                app.db.breakout_ready(&row, app.clock.now_ms()).await?;
                tracing::info!(breakout.id = %row.id, breakout.name = row.name, "breakout running");
            }
            Some(waits) => {
                let slow = app.clock.now_ms() - row.updated_at >= SLOW_MS;
                if slow && row.problem.as_deref() != Some(waits.as_str()) {
                    tracing::warn!(breakout.id = %row.id, problem = waits, "breakout is slow");
                    app.db.breakout_problem(&row.id, Some(&waits), app.clock.now_ms()).await?;
                }
            }
        }
    }
    Ok(())
}

async fn waits_for(app: &App, row: &BreakoutRow) -> Result<Option<String>, Error> {
    let channel = app.db.channel_find(row.channel.as_str()).await?;
    if channel.state != ChannelState::Running {
        let why = channel.problem.unwrap_or_else(|| channel.state.as_str().to_owned());
        return Ok(Some(format!("waiting for the channel to run: {why}")));
    }
    let distribution = app.db.distribution_of_channel(&row.channel).await?;
    if distribution.status != DistributionState::Deployed {
        let missing = missing(&app.observed, &["edge"], distribution.changed_version);
        return Ok(Some(missing.unwrap_or_else(|| "waiting for the distribution to be deployed".to_owned())));
    }
    // A channel that ran before: the packager must also have heard of the breakout itself.
    Ok(missing(&app.observed, &CHANNEL_ROLES, row.changed_version))
}

/// The first role that does not act by `version` yet, in words.
pub(crate) fn missing(observed: &Observed, roles: &[&str], version: u64) -> Option<String> {
    roles.iter().find_map(|role| match observed.applied(role, version) {
        Applied::Yes => None,
        Applied::NoNode => Some(format!("waiting for {role}: no such node has reported")),
        Applied::Behind(node) => Some(format!("waiting for {role} node {node:?} to apply version {version}")),
    })
}
