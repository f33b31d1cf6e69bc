//! Runs the watches, shows what they say, and tells receivers.

use std::sync::Arc;
use std::time::Duration;

use anabranch_cluster::watch::sink::{Retry, Sinks, Teller};
use anabranch_cluster::watch::{Event, Fetcher, Report, VerdictState, Watch, Watcher, describe_metrics};
use anabranch_net::{SharedClock, Shutdown, SystemClock};
use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

use super::screen::Screen;
use super::vote::Voter;
use super::{Output, Plan};
use crate::node::MetricsPage;
use crate::terminal;

/// Events that wait at the most; they are taken at once.
const EVENTS_MAX: usize = 1024;

/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(500);

/// Longest wait at the end for receivers that do not answer.
const FAREWELL: Duration = Duration::from_secs(40);

/// How the watched stream is at the end.
pub(super) enum Health {
    /// Fresh, ended, or not known.
    Good,
    Stale,
}

pub(super) fn run(plan: Plan) -> Result<Health> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(drive(plan))
}

async fn drive(plan: Plan) -> Result<Health> {
    let shutdown = Shutdown::new();
    let clock: SharedClock = Arc::new(SystemClock);
    let mut aside = JoinSet::new();
    if let Some(address) = plan.metrics {
        let page = MetricsPage::bind(address)?;
        describe_metrics();
        aside.spawn(page.run(shutdown.clone()));
    }
    let sinks = Sinks::new(plan.sinks, Retry::default(), &clock)?;
    let mut problems = sinks.problems();
    let (teller, telling) = sinks.start(Shutdown::new());
    let telling = tokio::spawn(telling);

    let (push, events) = mpsc::channel(EVENTS_MAX);
    let mut running = JoinSet::new();
    let mut watches = Vec::new();
    let mut verdicts = Vec::new();
    let fetcher = Fetcher::new(plan.watches.first().context("a watch")?.1.clone())?;
    for (settings, fetch) in plan.watches {
        let name = settings.name.clone();
        let (watcher, watch) = Watcher::new(settings, fetcher.with(fetch), clock.clone())?;
        running.spawn(watcher.with_events(push.clone()).run(shutdown.clone()));
        verdicts.push((name, watch.verdict()));
        watches.push(watch);
    }
    drop(push);
    if let Some(ballot) = plan.ballot {
        let (voter, problem) = Voter::new(ballot, verdicts)?;
        problems.push(problem);
        running.spawn(voter.run(shutdown.clone()));
    }
    let mut remarks = JoinSet::new();
    if plan.output == Output::Json {
        // A table shows them itself.
        for (name, problem) in problems.clone() {
            remarks.spawn(remark(name, problem));
        }
    }

    let mut show = Show { watches, teller, once: plan.once, screen: None };
    if plan.output == Output::Table {
        show.screen = Some(Screen::new(problems));
    }
    show.until_the_end(events, &shutdown).await?;
    shutdown.cancel();
    while running.join_next().await.is_some() {}
    let health = show.farewell().await?;
    // The teller is gone with the show: receivers get what waits and end, and then what was wrong with them has been told.
    let told = async {
        let _ = telling.await;
        while remarks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(FAREWELL, told).await.is_err() {
        terminal::remark("a receiver did not take the last notifications in time");
    }
    Ok(health)
}

/// Tells what is wrong with a receiver, until it is done.
async fn remark(name: String, mut problem: Receiver<Option<String>>) {
    while problem.changed().await.is_ok() {
        let problem = problem.borrow_and_update().clone();
        if let Some(problem) = problem {
            terminal::remark(&format!("{name}: {problem}"));
        }
    }
}

/// What is shown while watches run.
struct Show {
    watches: Vec<Watch>,
    teller: Teller,
    once: bool,
    screen: Option<Screen>,
}

impl Show {
    async fn until_the_end(&mut self, mut events: mpsc::Receiver<Event>, shutdown: &Shutdown) -> Result<()> {
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                event = events.recv() => {
                    // Without senders all watches are over.
                    let Some(event) = event else { return Ok(()) };
                    if self.take(&event)? == terminal::Reader::Gone {
                        return Ok(());
                    }
                    if self.once && self.watches.iter().all(|watch| watch.verdict().borrow().state != VerdictState::Unknown) {
                        shutdown.cancel();
                    }
                }
                _ = redraw.tick(), if self.screen.is_some() => self.draw().await?,
                _ = &mut interrupt => return Ok(()),
            }
        }
    }

    fn take(&mut self, event: &Event) -> Result<terminal::Reader> {
        if let Event::Announced(notification) = event {
            self.teller.tell(notification);
        }
        if self.screen.is_some() {
            return Ok(terminal::Reader::There);
        }
        let line = match event {
            Event::Announced(notification) => notification.json(),
            Event::Found(finding) => serde_json::json!({ "finding": finding }).to_string(),
        };
        terminal::write(&format!("{line}\n"))
    }

    async fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for watch in &self.watches {
            reports.extend(watch.report().await);
        }
        reports
    }

    async fn draw(&mut self) -> Result<()> {
        let reports = self.reports().await;
        if let Some(screen) = &mut self.screen {
            screen.draw(&reports)?;
        }
        Ok(())
    }

    async fn farewell(mut self) -> Result<Health> {
        let reports = self.reports().await;
        if let Some(screen) = &mut self.screen {
            screen.end(&reports)?;
        }
        let is_stale = self.watches.iter().any(|watch| watch.verdict().borrow().state == VerdictState::Stale);
        Ok(if is_stale { Health::Stale } else { Health::Good })
    }
}
