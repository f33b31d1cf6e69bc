//! What a serving thread has: its own connections, and the state that all threads share.

use std::sync::Arc;

use anabranch_net::SharedClock;
use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::attendance::Attendance;
use crate::authorise::Memo;
use crate::cache::Cache;
use crate::config::Config;
use crate::flight::Flights;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::request_id::RequestIds;
use crate::strikes::Strikes;
use crate::table::Table;
use crate::tls::TlsFront;
use crate::upstream::{Pool, Trust};

/// State of the whole edge.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: SharedClock,
    pub(crate) table: ArcSwap<Table>,
    /// Told when a table comes in force that closes something.
    pub(crate) closings: Notify,
    pub(crate) cache: Cache,
    pub(crate) flights: Flights,
    pub(crate) strikes: Strikes,
    pub(crate) memo: Memo,
    pub(crate) attendance: Attendance,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) tls: Option<TlsFront>,
    /// The field line that tells viewers of HTTP/3.
    pub(crate) alt_svc: Option<String>,
    pub(crate) trust: Trust,
}

/// State of one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    /// Connections and fetches of this thread.
    tasks: TaskTracker,
    pool: Pool,
    request_ids: RequestIds,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let pool = Pool::new(shared.trust.clone(), shared.clock.clone());
        let request_ids = RequestIds::new(shared.config.place());
        Arc::new(Self { shared, tasks: TaskTracker::new(), pool, request_ids })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    pub(crate) fn table(&self) -> &ArcSwap<Table> {
        &self.shared.table
    }

    pub(crate) fn closings(&self) -> &Notify {
        &self.shared.closings
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.shared.flights
    }

    pub(crate) fn strikes(&self) -> &Strikes {
        &self.shared.strikes
    }

    pub(crate) fn memo(&self) -> &Memo {
        &self.shared.memo
    }

    pub(crate) fn attendance(&self) -> &Attendance {
        &self.shared.attendance
    }

    pub(crate) fn access_log(&self) -> Option<&Arc<AccessLog>> {
        self.shared.access_log.as_ref()
    }

    pub(crate) fn request_ids(&self) -> &RequestIds {
        &self.request_ids
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.ledger
    }

    pub(crate) fn connections(&self) -> &Arc<Semaphore> {
        &self.shared.connections
    }

    /// Of an edge that listens for TLS.
    pub(crate) fn tls(&self) -> Option<&TlsFront> {
        self.shared.tls.as_ref()
    }

    pub(crate) fn alt_svc(&self) -> Option<&str> {
        self.shared.alt_svc.as_deref()
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}
