//! What nodes observed of streams, written into the log.

use std::collections::HashMap;

use anabranch_db::{Error, NewEntry, Standing, StandingChange, StandingRow};
use anabranch_model::{BreakoutId, ChannelId, InputId, InputState, Report};

use super::audience::Audiences;
use crate::app::App;

/// Channels whose input in use is remembered.
const ACTIVE_MAX: usize = 100_000;

/// Which input of each channel is in use, as far as it was told and written.
#[derive(Debug, Default)]
pub(super) struct Active {
    written: HashMap<ChannelId, InputId>,
    /// What has been told since.
    told: HashMap<ChannelId, Option<InputId>>,
}

impl Active {
    fn get(&self, channel: &ChannelId) -> Option<InputId> {
        match self.told.get(channel) {
            Some(told) => told.clone(),
            None => self.written.get(channel).cloned(),
        }
    }

    /// None is in use, as far as anybody knows.
    fn forget(&mut self) {
        self.written.clear();
        self.told.clear();
    }

    fn write(&mut self) {
        for (channel, input) in self.told.drain() {
            match input {
                Some(input) if self.written.len() < ACTIVE_MAX || self.written.contains_key(&channel) => {
                    self.written.insert(channel, input);
                }
                Some(_) => {}
                None => drop(self.written.remove(&channel)),
            }
        }
    }
}

/// Writes what was observed; what cannot be written is kept for the next look. Repeating nothing changes nothing.
pub(super) async fn write(app: &App, active: &mut Active, audiences: &mut Audiences) -> Result<(), Error> {
    let facts = app.observed.take_facts();
    if facts.is_empty() {
        return Ok(());
    }
    let is_row = |fact: &Report| matches!(fact, Report::Recorded { .. } | Report::Viewers(_));
    let (rows, streams): (Vec<_>, Vec<_>) = facts.into_iter().partition(is_row);
    let written = write_streams(app, active, &streams).await;
    match &written {
        Ok(()) => active.write(),
        Err(_) => {
            active.told.clear();
            app.observed.facts_again(streams.into_iter().chain(rows).collect());
            return written;
        }
    }
    // A recording or a viewer that could not be written is told again by its node.
    write_rows(app, audiences, rows).await
}

async fn write_streams(app: &App, active: &mut Active, facts: &[Report]) -> Result<(), Error> {
    let mut entries = Vec::new();
    for fact in facts {
        if matches!(fact, Report::Begun { .. }) {
            // What stands is read from rows, which must have what came before.
            app.db.log_observed(&std::mem::take(&mut entries), app.clock.now_ms()).await?;
            entries = endings(app).await?;
            active.forget();
        } else {
            entries.extend(entry(app, active, fact).await?);
        }
    }
    app.db.log_observed(&entries, app.clock.now_ms()).await
}

/// The ends of everything that an ingest has said which is no more.
async fn endings(app: &App) -> Result<Vec<(NewEntry, StandingChange)>, Error> {
    const REASON: &str = "ingest has started again";
    let rows = app.db.standing().await?;
    let mut entries = Vec::with_capacity(rows.len());
    // As it would have said it: alarms end before the input is left, and that before its encoder goes.
    let order = |row: &StandingRow| match row.what {
        Standing::Alarm(_) => 0,
        Standing::Active => 1,
        Standing::Connected => 2,
    };
    for turn in 0..=2 {
        for row in rows.iter().filter(|row| order(row) == turn) {
            let entry = match row.what {
                Standing::Alarm(kind) => {
                    let entry = of_input(app, "alarm.cleared", &row.channel, &row.input).await?;
                    entry.detail("alarm", kind.as_str()).detail("detail", REASON)
                }
                Standing::Active => {
                    let entry = NewEntry::stream("input.lost", "channel", row.channel.as_str());
                    let entry = concerning(app, entry, &row.channel).detail("from", row.input.as_str());
                    entry.detail("reason", REASON)
                }
                Standing::Connected => {
                    let entry = of_input(app, "input.disconnected", &row.channel, &row.input).await?;
                    entry.detail("reason", REASON)
                }
            };
            entries.push((entry, StandingChange::Over(row.clone())));
        }
    }
    Ok(entries)
}

async fn write_rows(app: &App, audiences: &mut Audiences, facts: Vec<Report>) -> Result<(), Error> {
    let mut seen = Vec::new();
    for fact in facts {
        match fact {
            Report::Viewers(viewers) => seen.extend(viewers),
            Report::Recorded { breakout, session, recorded } => {
                let now = app.clock.now_ms();
                if app.db.recording_progress(&breakout, session, &recorded, now).await?.is_some() {
                    tracing::info!(breakout.id = %breakout, breakout.session = session, "recording available");
                    app.jobs_wake.notify_one();
                }
            }
            _ => {}
        }
    }
    if seen.is_empty() { Ok(()) } else { audiences.seen(app, seen).await }
}

async fn entry(app: &App, active: &mut Active, fact: &Report) -> Result<Option<(NewEntry, StandingChange)>, Error> {
    let change = |channel: &ChannelId, input: &InputId, what, holds| {
        let row = StandingRow { channel: channel.clone(), input: input.clone(), what };
        if holds { StandingChange::Holds(row) } else { StandingChange::Over(row) }
    };
    Ok(match fact {
        Report::Input { channel, input, state } => {
            let connected = matches!(state, InputState::Connected { .. });
            let change = change(channel, input, Standing::Connected, connected);
            Some((connection(app, channel, input, state).await?, change))
        }
        Report::ActiveInput { channel, input, reason } => {
            let change = match input {
                Some(input) => change(channel, input, Standing::Active, true),
                None => StandingChange::NoneActive(channel.clone()),
            };
            Some((used(app, active, channel, input.as_ref(), reason).await?, change))
        }
        Report::Alarm { channel, input, kind, raised, detail } => {
            let word = if *raised { "alarm.raised" } else { "alarm.cleared" };
            let entry = of_input(app, word, channel, input).await?;
            let entry = entry.detail("alarm", kind.as_str()).detail("detail", detail.as_str());
            Some((entry, change(channel, input, Standing::Alarm(*kind), *raised)))
        }
        // The rest is no entry of the log.
        _ => None,
    })
}

async fn connection(app: &App, channel: &ChannelId, input: &InputId, state: &InputState) -> Result<NewEntry, Error> {
    match state {
        InputState::Connected { remote, encoder, .. } => {
            let entry = of_input(app, "input.connected", channel, input).await?;
            Ok(entry.detail("remote", remote.as_str()).detail("encoder", encoder.as_str()))
        }
        InputState::Disconnected => of_input(app, "input.disconnected", channel, input).await,
    }
}

async fn used(
    app: &App,
    active: &mut Active,
    channel: &ChannelId,
    input: Option<&InputId>,
    reason: &str,
) -> Result<NewEntry, Error> {
    let before = active.get(channel);
    active.told.insert(channel.clone(), input.cloned());
    let entry = match input {
        Some(input) => {
            let word =
                if before.as_ref().is_some_and(|before| before != input) { "input.failover" } else { "input.active" };
            of_input(app, word, channel, input).await?
        }
        None => {
            let entry = NewEntry::stream("input.lost", "channel", channel.as_str());
            concerning(app, entry, channel)
        }
    };
    let entry = match before {
        Some(before) => entry.detail("from", before.as_str()),
        None => entry,
    };
    Ok(entry.detail("reason", reason))
}

/// About an input of a channel, with its number, from 1.
async fn of_input(app: &App, word: &'static str, channel: &ChannelId, input: &InputId) -> Result<NewEntry, Error> {
    let inputs = app.db.channel_inputs(channel).await?;
    let entry = concerning(app, NewEntry::stream(word, "input", input.as_str()), channel);
    Ok(match inputs.iter().position(|one| one.id == *input) {
        Some(at) => entry.detail("input", at + 1),
        None => entry,
    })
}

/// Concerning a channel, and its breakout if one is on air.
fn concerning(app: &App, entry: NewEntry, channel: &ChannelId) -> NewEntry {
    let entry = entry.channel(channel);
    match on_air(app, channel) {
        Some(breakout) => entry.breakout(&breakout),
        None => entry,
    }
}

fn on_air(app: &App, channel: &ChannelId) -> Option<BreakoutId> {
    let snapshot = app.nodes.snapshots.borrow();
    snapshot.breakouts.iter().find(|one| one.on_air && one.channel == *channel).map(|one| one.id.clone())
}
