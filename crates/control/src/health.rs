//! Whether the database takes what is wanted. Everybody who meets a failure says so here, so that one that lasts makes one line
//! when it begins and one when it is over, however many meet it.

use std::time::Duration;

use anabranch_db::{Error, Fault};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::chain::chain;

/// Time without a failure after which one is over: what has room for a trial may have none for more.
const QUIET: Duration = Duration::from_millis(1500);

/// Time without a trial that succeeded after which the database counts as one that does not answer.
const STALE: Duration = Duration::from_secs(8);

/// A time of failures.
struct Outage {
    began: Instant,
    /// When it was met last.
    met: Instant,
    fault: Fault,
}

struct State {
    outage: Option<Outage>,
    /// When a trial succeeded last.
    took: Instant,
}

/// What is known of the database.
pub(crate) struct Health {
    state: Mutex<State>,
    /// Asks for a trial.
    doubt: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: Mutex::new(State { outage: None, took: Instant::now() }), doubt: Notify::new() }
    }
}

impl Health {
    /// Takes note of a failure; false if it is none of the database, and somebody else's to report.
    pub(crate) fn met(&self, error: &Error) -> bool {
        let Some(fault) = error.fault() else { return false };
        self.met_as(fault, &chain(error));
        true
    }

    /// The same of one whose words are at hand.
    pub(crate) fn met_as(&self, fault: Fault, error: &str) {
        let mut state = self.state.lock();
        let now = Instant::now();
        match &mut state.outage {
            Some(outage) => {
                outage.met = now;
                if outage.fault == Fault::Slow && fault != Fault::Slow {
                    outage.fault = fault;
                    tracing::error!(error, remedy = remedy(fault), "why the database fails is known now");
                }
            }
            None => {
                state.outage = Some(Outage { began: now, met: now, fault });
                metrics::gauge!("anabranch_control_database_failed").set(1.0);
                tracing::error!(
                    error,
                    remedy = remedy(fault),
                    "the database fails: nothing new is taken, what is on air goes on, and it is tried again"
                );
                self.doubt.notify_one();
            }
        }
    }

    /// Takes note of a trial that succeeded; true if that ends a time of failures.
    pub(crate) fn took(&self) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.took = now;
        if state.outage.as_ref().is_none_or(|outage| now.duration_since(outage.met) < QUIET) {
            return false;
        }
        let seconds = state.outage.take().map_or(0, |outage| now.duration_since(outage.began).as_secs());
        metrics::gauge!("anabranch_control_database_failed").set(0.0);
        tracing::info!(seconds, "the database works again; everything goes on");
        true
    }

    /// Returns when somebody wants a trial.
    pub(crate) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Whether the database fails, as far as is known.
    pub(crate) fn is_failing(&self) -> bool {
        self.state.lock().outage.is_some()
    }

    /// What is wrong with the database and what to do about it; none while it works.
    pub(crate) fn problem(&self) -> Option<String> {
        let state = self.state.lock();
        match &state.outage {
            Some(outage) => Some(format!("{}; for {} s now", remedy(outage.fault), outage.began.elapsed().as_secs())),
            None if state.took.elapsed() > STALE => Some(remedy(Fault::Slow).to_owned()),
            None => None,
        }
    }
}

/// What is wrong, and what to do.
pub(crate) fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::Locked => "another process holds the database locked: end that process, or wait until it is done",
        Fault::Full => "the database has no room to grow: make room on its disk",
        Fault::Moved => {
            "the database file was moved, removed or replaced while it was in use: put it back, or stop the server, \
             restore a backup and start it again"
        }
        Fault::Disk => "the database cannot be written: see to its disk and who may write there",
        Fault::Away => "the database did not answer in time: see to its server",
        Fault::Slow => "the database did not answer in time: see to its load, its disk and its locks",
    }
}
