//! The engine: open operations, each worked on step by step until it is done, waits, or is tried again later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_db::operation::{BREAKOUT_START, CHANNEL_CREATE, RETRY_MAX_MS};
use anabranch_db::{OperationRow, OperationState};
use anabranch_net::Shutdown;
use anabranch_provider::Advice;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::crash::{Side, crash_point};
use super::outcome::{Outcome, STEP_TIMEOUT, StepError, is_slow};
use super::{backoff, invalidate, steps};
use crate::app::App;
use crate::chain::chain;

/// Longest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Lanes worked on at once.
const LANES_MAX: usize = 32;

/// The lane of what is told and asked about invalidations; no id has a dot.
const INVALIDATIONS: &str = "in.validations";

/// Steps of one operation in one go; a step that undoes another's work must not keep a lane for ever.
const STEPS_PER_GO: usize = 32;

/// Shortest and longest time between two looks at an operation that waits: the longer it has waited, the longer.
const GAP_MIN: Duration = Duration::from_millis(20);
const GAP_MAX: Duration = Duration::from_secs(2);

/// What became of an operation in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// It is over, or due later.
    Away,
    /// It waits for something that only a look shows.
    Waits,
}

/// The engine, ready to run.
pub(crate) struct Engine {
    app: Arc<App>,
    lanes: JoinSet<(String, Vec<(String, Went)>)>,
    busy: HashSet<String>,
    /// Operations that wait: since when, and when they are looked at again.
    lazy: HashMap<String, (Instant, Instant)>,
    /// Invalidations are to be looked at.
    invalidations_due: bool,
    failing: Option<String>,
}

impl Engine {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self {
            app,
            lanes: JoinSet::new(),
            busy: HashSet::new(),
            lazy: HashMap::new(),
            invalidations_due: true,
            failing: None,
        }
    }

    /// Works until `shutdown`. What is under way then is dropped: every step may be repeated.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut timer = tokio::time::interval(LOOK_AGAIN);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut healed = false;
        loop {
            let next_look = self.lazy.values().map(|(_, until)| *until).min();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = self.lanes.join_next(), if !self.lanes.is_empty() => self.ended(ended),
                () = self.app.drive.notified() => self.invalidations_due = true,
                () = until(next_look) => {}
                _ = timer.tick() => self.invalidations_due = true,
            }
            // Another controller acts; what ends here is looked at again by that one.
            if !self.app.db.is_leader() {
                continue;
            }
            if !healed {
                healed = self.app.db.operations_heal(self.app.clock.now_ms()).await.is_ok();
            }
            let looked = self.look().await;
            self.note(looked);
        }
        self.lanes.shutdown().await;
    }

    async fn look(&mut self) -> Result<(), anabranch_db::Error> {
        let now = Instant::now();
        let mut lanes: Vec<(String, Vec<OperationRow>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let due = self.app.db.operations_due(self.app.clock.now_ms()).await?;
        if self.lazy.len() > due.len() {
            let open: HashSet<&str> = due.iter().map(|row| row.id.as_str()).collect();
            self.lazy.retain(|id, _| open.contains(id.as_str()));
        }
        for row in due {
            if self.busy.contains(&row.lane) || self.lazy.get(&row.id).is_some_and(|(_, until)| *until > now) {
                continue;
            }
            let place = *places.entry(row.lane.clone()).or_insert_with(|| {
                lanes.push((row.lane.clone(), Vec::new()));
                lanes.len() - 1
            });
            lanes[place].1.push(row);
        }
        for (lane, rows) in lanes {
            if self.lanes.len() >= LANES_MAX {
                break;
            }
            for row in &rows {
                if let Some(entry) = self.lazy.get_mut(&row.id) {
                    entry.1 = now + GAP_MAX;
                }
            }
            self.busy.insert(lane.clone());
            let app = self.app.clone();
            self.lanes.spawn(async move {
                let mut went = Vec::with_capacity(rows.len());
                for row in rows {
                    let id = row.id.clone();
                    went.push((id, work(&app, row).await));
                }
                (lane, went)
            });
        }
        // An answer that never comes must keep nothing else from being done.
        if self.invalidations_due && self.busy.insert(INVALIDATIONS.to_owned()) {
            self.invalidations_due = false;
            let app = self.app.clone();
            self.lanes.spawn(async move {
                if let Err(error) = invalidate::invalidations(&app).await
                    && !app.health.met(&error)
                {
                    tracing::warn!(error = chain(&error), "invalidations cannot be looked at");
                }
                (INVALIDATIONS.to_owned(), Vec::new())
            });
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<(String, Vec<(String, Went)>), tokio::task::JoinError>) {
        match ended {
            Ok((lane, went)) => {
                self.busy.remove(&lane);
                for (id, went) in went {
                    match went {
                        Went::Away => drop(self.lazy.remove(&id)),
                        Went::Waits => self.wait(id),
                    }
                }
            }
            Err(error) => {
                // Which lane it was is not known; none of the others is under way when all are free.
                tracing::error!(error = %error, "a task of the engine did not finish");
                self.busy.clear();
            }
        }
    }

    fn wait(&mut self, id: String) {
        let now = Instant::now();
        let entry = self.lazy.entry(id).or_insert((now, now));
        entry.1 = now + (now.duration_since(entry.0) / 10).clamp(GAP_MIN, GAP_MAX);
    }

    /// Logs a failure when it begins and when it is over.
    fn note(&mut self, result: Result<(), anabranch_db::Error>) {
        match result {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!("operations go on");
                }
            }
            // Told once for all who meet it.
            Err(error) if self.app.health.met(&error) => {}
            Err(error) => {
                let text = chain(&error);
                if self.failing.as_ref() != Some(&text) {
                    tracing::error!(error = text, "operations cannot go on; they are tried again");
                }
                self.failing = Some(text);
            }
        }
    }
}

/// Ends at this time, or never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Works on one operation until it waits, is to be tried later, or is over.
async fn work(app: &App, mut row: OperationRow) -> Went {
    // The end of a step is recorded together with the begin of the next one.
    let mut begun = false;
    for _ in 0..STEPS_PER_GO {
        match advance(app, &mut row, begun).await {
            Ok(Some(went)) => return went,
            Ok(None) => begun = row.state == OperationState::Running,
            Err(error) => {
                // The journal itself cannot be written: nothing is lost, and the next look tries again.
                if !app.health.met(&error) {
                    tracing::warn!(operation.id = row.id, error = chain(&error), "an operation cannot be recorded");
                }
                return Went::Waits;
            }
        }
    }
    Went::Away
}

/// One step; none when there is another to do at once.
async fn advance(app: &App, row: &mut OperationRow, begun: bool) -> Result<Option<Went>, anabranch_db::Error> {
    let Some(step) = row.step_name() else {
        app.db.operation_end(row, OperationState::Done, None, app.clock.now_ms()).await?;
        return Ok(Some(Went::Away));
    };
    // A step that waits has been recorded as begun, too.
    if !begun && row.waiting_for.is_none() && !app.db.operation_begin_step(row, app.clock.now_ms()).await? {
        return Ok(Some(Went::Away));
    }
    let crash_at = app.config.crash_at.as_deref();
    crash_point(crash_at, row.plan.kind, step, Side::Before);
    let undoing = row.state == OperationState::Undoing;
    let trying = async { if undoing { steps::undo(app, row, step).await } else { steps::run(app, row, step).await } };
    let tried = tokio::time::timeout(STEP_TIMEOUT, trying).await.unwrap_or(Err(StepError::Timeout));
    if matches!(tried, Ok(Outcome::Done(_))) {
        crash_point(crash_at, row.plan.kind, step, Side::After);
    }
    // Nodes are to be told at once of what has changed.
    if !matches!(&tried, Ok(Outcome::Wait(words)) if row.waiting_for.as_ref() == Some(words)) {
        app.wake.notify_one();
    }
    match tried {
        Ok(Outcome::Done(note)) => done(app, row, note.as_deref()).await,
        Ok(Outcome::Wait(words)) => {
            waits(app, row, &words).await?;
            Ok(Some(Went::Waits))
        }
        Ok(Outcome::Obsolete) => {
            app.db.operation_end(row, OperationState::Superseded, None, app.clock.now_ms()).await?;
            Ok(Some(Went::Away))
        }
        Err(error) => failed(app, row, step, &error).await,
    }
}

async fn done(app: &App, row: &mut OperationRow, note: Option<&str>) -> Result<Option<Went>, anabranch_db::Error> {
    let now_ms = app.clock.now_ms();
    row.waiting_for = None;
    let had_problem = row.problem.is_some();
    row.problem = row.problem.take().filter(|_| row.state == OperationState::Undoing);
    row.attempts = 0;
    if row.state == OperationState::Undoing {
        app.db.operation_step_undone(row, now_ms).await?;
        if row.step == 0 {
            return Ok(Some(Went::Away));
        }
        row.step -= 1;
        return Ok(None);
    }
    if !app.db.operation_step_done(row, note, now_ms).await? {
        return Ok(Some(Went::Away));
    }
    if had_problem {
        tell(app, row, None).await?;
    }
    row.step += 1;
    if row.step < row.plan.steps.len() {
        return Ok(None);
    }
    tracing::info!(operation.id = row.id, operation.kind = row.plan.kind, subject.id = row.subject, "operation done");
    Ok(Some(Went::Away))
}

async fn waits(app: &App, row: &mut OperationRow, words: &str) -> Result<(), anabranch_db::Error> {
    if row.waiting_for.as_deref() != Some(words) {
        app.db.operation_waits(row, words, app.clock.now_ms()).await?;
        row.waiting_for = Some(words.to_owned());
    }
    if row.plan == BREAKOUT_START && is_slow(row, app.clock.now_ms()) {
        let breakout = app.db.breakout_find(&row.subject).await?;
        if breakout.problem.as_deref() != Some(words) {
            tracing::warn!(breakout.id = %breakout.id, problem = words, "breakout is slow");
            app.db.breakout_problem(&breakout.id, Some(words), app.clock.now_ms()).await?;
        }
    }
    Ok(())
}

async fn failed(
    app: &App,
    row: &mut OperationRow,
    step: &str,
    error: &StepError,
) -> Result<Option<Went>, anabranch_db::Error> {
    if matches!(error, StepError::Db(error) if app.health.met(error)) || app.health.is_failing() {
        // No fault of the step: its tries and waits are for those of the provider. The next look goes on with it.
        return Ok(Some(Went::Waits));
    }
    let now_ms = app.clock.now_ms();
    let problem = chain(error);
    let advice = error.advice();
    let (id, kind) = (&row.id, row.plan.kind);
    if advice == Advice::GiveUp && row.state == OperationState::Running {
        tracing::error!(operation.id = id, operation.kind = kind, step, error = problem, "it can never succeed");
        if row.plan == CHANNEL_CREATE {
            app.db.operation_undo(row, &problem, now_ms).await?;
            row.state = OperationState::Undoing;
            row.problem = Some(problem);
            row.waiting_for = None;
            return Ok(None);
        }
        tell(app, row, Some(&problem)).await?;
        app.db.operation_end(row, OperationState::Failed, Some(&problem), now_ms).await?;
        return Ok(Some(Went::Away));
    }
    let mut wait = backoff::wait(row.attempts, backoff::random());
    if let Advice::RetryAfter(at_least) = advice {
        wait = wait.max(at_least);
    }
    let seconds = wait.as_secs();
    tracing::warn!(
        operation.id = id,
        operation.kind = kind,
        step,
        error = problem,
        retry_seconds = seconds,
        "it is tried again"
    );
    let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).min(RETRY_MAX_MS);
    let next_try_at = now_ms.saturating_add(wait_ms);
    if row.state == OperationState::Running {
        tell(app, row, Some(&problem)).await?;
    }
    app.db.operation_retry(row, &problem, next_try_at, now_ms).await?;
    Ok(Some(Went::Away))
}

/// Keeps the problem on the row that the operation is about, for everybody who looks at that; or clears it.
async fn tell(app: &App, row: &OperationRow, problem: Option<&str>) -> Result<(), anabranch_db::Error> {
    let found = match row.plan.kind.split_once('.').map_or("", |(family, _)| family) {
        "channel" => match app.db.channel_find(&row.subject).await {
            Ok(channel) => app.db.channel_problem(&channel.id, problem, app.clock.now_ms()).await,
            Err(error) => Err(error),
        },
        "breakout" => match app.db.breakout_find(&row.subject).await {
            Ok(breakout) => {
                let words = problem.map(|problem| format!("waiting for the provider: {problem}"));
                app.db.breakout_problem(&breakout.id, words.as_deref(), app.clock.now_ms()).await
            }
            Err(error) => Err(error),
        },
        // A distribution shows its operation.
        _ => Ok(()),
    };
    match found {
        Err(anabranch_db::Error::NotFound { .. }) => Ok(()),
        found => found,
    }
}
