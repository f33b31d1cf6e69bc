//! Operations: what is being done at the provider, step by step.

use std::collections::HashMap;
use std::time::Duration;

use anabranch_db::operation::PLANS;
use anabranch_db::{OperationRow, OperationState, Plan, StepRow};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::page::{PageQuery, list};
use super::view::{
    List, Operation, OperationNow, OperationWhole, Planned, RecordCount, RecordCounts, Step, Sweep, SweepOrphan,
    SweepRow,
};
use super::{App, Error};
use crate::reconcile::{Round, Swept, sweep};
use crate::time;

/// Longest time that a request waits for what it asked for; what takes longer is answered as under way.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Time between two looks at an operation that a request waits for.
const WAIT_LOOK: Duration = Duration::from_millis(10);

/// Whether what was asked to go has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It has.
    Gone,
    /// It is stale and goes by itself.
    UnderWay,
}

/// Which page of the operations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OperationQuery {
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
    /// Operations about this one only: the id of a channel, distribution or breakout.
    subject: Option<String>,
    /// Operations in this state only: `running`, `undoing`, `done`, `failed`, `rolled_back` or `superseded`. Those of the first two are not over.
    state: Option<String>,
}

impl App {
    pub(crate) async fn operation_list(&self, query: OperationQuery) -> Result<List<Operation>, Error> {
        let page = PageQuery { limit: query.limit, after: query.after, order: query.order }.request()?;
        let state = match query.state.as_deref() {
            None => None,
            Some(word) => Some(OperationState::parse(word).ok_or_else(|| {
                let shown: String = word.chars().take(100).collect();
                let detail = format!("running, undoing, done, failed, rolled_back or superseded: {shown:?}");
                Error::invalid("state", detail)
            })?),
        };
        let page = self.db.operation_page(query.subject.as_deref(), state, &page).await?;
        Ok(list(page, operation))
    }

    pub(crate) async fn operation_show(&self, wanted: &str) -> Result<OperationWhole, Error> {
        let (row, steps) = self.db.operation_find(wanted).await?;
        Ok(OperationWhole { operation: operation(row), steps: steps.into_iter().map(step).collect() })
    }

    /// How many records of each kind there are (V125).
    pub(crate) async fn counts(&self) -> Result<RecordCounts, Error> {
        let count = |(object, count): (&str, u64)| RecordCount { object: object.to_owned(), count };
        Ok(RecordCounts { counts: self.db.counts().await?.into_iter().map(count).collect() })
    }

    /// Makes a round now; see `reconcile::sweep`.
    pub(crate) async fn sweep_now(&self, dry_run: bool) -> Result<Sweep, Error> {
        let Swept { stale, orphans, drifted } = sweep(self, if dry_run { Round::Dry } else { Round::Asked }).await?;
        self.changed();
        let row = |(id, detail)| SweepRow { id, detail };
        Ok(Sweep {
            dry_run,
            stale: stale.into_iter().map(row).collect(),
            drifted: drifted.into_iter().map(row).collect(),
            orphans: orphans
                .into_iter()
                .map(|(kind, id, detail)| SweepOrphan { kind: kind.to_owned(), id, detail })
                .collect(),
        })
    }

    /// What is being done about a row, or could not be done.
    pub(super) async fn operation_now(&self, subject: &str) -> Result<Option<OperationNow>, Error> {
        Ok(self.db.operation_of(subject).await?.map(now))
    }

    /// What is being done about each of these rows, for lists.
    pub(super) async fn operations_now(&self, subjects: &[&str]) -> Result<HashMap<String, OperationNow>, Error> {
        let open = self.db.operations_about(subjects).await?;
        Ok(open.into_iter().map(|(subject, row)| (subject, now(row))).collect())
    }

    /// Waits a little until what is being done about a row is over, fails, or waits for nodes.
    pub(super) async fn operation_rests(&self, subject: &str) -> Result<(), Error> {
        let begun = Instant::now();
        while begun.elapsed() < WAIT_MAX {
            match self.db.operation_of(subject).await? {
                Some(row) if row.finished_at.is_none() && row.waiting_for.is_none() && row.attempts == 0 => {}
                _ => break,
            }
            tokio::time::sleep(WAIT_LOOK).await;
        }
        Ok(())
    }

    /// Waits a little until nothing is being done about a row.
    pub(super) async fn operation_settles(&self, subject: &str) -> Result<Deleted, Error> {
        let begun = Instant::now();
        loop {
            if self.db.operation_of(subject).await?.is_none_or(|row| row.finished_at.is_some()) {
                return Ok(Deleted::Gone);
            }
            if begun.elapsed() >= WAIT_MAX {
                return Ok(Deleted::UnderWay);
            }
            tokio::time::sleep(WAIT_LOOK).await;
        }
    }
}

/// The steps that a request would begin.
pub(super) fn planned(plan: Plan, also: &[Plan]) -> Planned {
    debug_assert!(PLANS.contains(&plan), "a plan of the journal");
    let steps = std::iter::once(&plan).chain(also);
    let steps = steps.flat_map(|plan| plan.steps.iter().map(|step| format!("{}/{step}", plan.kind))).collect();
    Planned { dry_run: true, steps }
}

fn now(row: OperationRow) -> OperationNow {
    OperationNow {
        step: row.step_name().unwrap_or_default().to_owned(),
        next_try_at: next_try(&row),
        id: row.id,
        kind: row.plan.kind.to_owned(),
        state: row.state.as_str().to_owned(),
        attempts: row.attempts,
        problem: row.problem,
        waiting_for: row.waiting_for,
    }
}

fn operation(row: OperationRow) -> Operation {
    Operation {
        subject: row.subject.clone(),
        created_at: time::render_ms(row.created_at),
        updated_at: time::render_ms(row.updated_at),
        finished_at: row.finished_at.map(time::render_ms),
        now: now(row),
    }
}

fn step(row: StepRow) -> Step {
    Step {
        name: row.name,
        state: row.state,
        attempts: row.attempts,
        note: row.note,
        begun_at: row.begun_at.map(time::render_ms),
        ended_at: row.ended_at.map(time::render_ms),
    }
}

fn next_try(row: &OperationRow) -> Option<String> {
    let due = matches!(row.state, OperationState::Running | OperationState::Undoing) && row.next_try_at > 0;
    due.then(|| time::render_ms(row.next_try_at))
}
