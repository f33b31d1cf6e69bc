//! The moment and the place at which a request is answered.

use std::sync::Arc;

use crate::config::Transforms;
use crate::head::Head;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::outcome::Outcome;
use crate::record::Record;
use crate::request_id::RequestId;
use crate::rule::Rule;
use crate::table::Site;
use crate::worker::Worker;

/// What every bend may know of the moment and the place.
#[derive(Debug)]
pub(crate) struct Context<'w> {
    pub(crate) worker: &'w Arc<Worker>,
    now_ms: i64,
    request_id: RequestId,
}

impl<'w> Context<'w> {
    pub(crate) fn new(worker: &'w Arc<Worker>) -> Self {
        Self { worker, now_ms: worker.clock().now_ms(), request_id: worker.request_ids().next() }
    }

    /// The same request at the present moment.
    pub(crate) fn later(&self) -> Self {
        Self { now_ms: self.worker.clock().now_ms(), ..*self }
    }

    /// Tells the viewer the request's id.
    pub(crate) fn write_request_id(&self, head: &mut Head) {
        self.worker.request_ids().write(self.request_id, head);
    }

    /// The request's id as text, for the log.
    pub(crate) fn request_id(&self) -> String {
        self.worker.request_ids().text(self.request_id)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(crate) fn transforms(&self) -> Transforms {
        self.worker.config().transforms
    }

    /// Runs `task` until it ends by itself; joined by the worker's drain.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.worker.tasks().spawn(task);
    }

    pub(crate) fn node(&self) -> &str {
        &self.worker.config().node
    }

    /// The field line that tells viewers of HTTP/3, where that is served.
    pub(crate) fn alt_svc(&self) -> Option<&str> {
        self.worker.alt_svc()
    }

    /// Port that viewers are sent to for HTTPS.
    pub(crate) fn https_port(&self) -> u16 {
        self.worker.config().https_port
    }

    /// The entry of an answer in the books.
    pub(crate) fn record(&self, place: Option<(&Site, &Rule, &str)>, status: u16, outcome: Outcome) -> Record {
        let place = place.map(|(site, rule, path)| {
            let counters = site.counters(rule, path);
            (counters.clone(), counters.part(path, status))
        });
        Record::new(place, self.books(), status, outcome)
    }

    /// The entry of an answer to what could not be read as a request.
    pub(crate) fn record_unread(&self, status: u16) -> Record {
        Record::new(None, self.books(), status, Outcome::Own)
    }

    fn books(&self) -> (Arc<Metrics>, Arc<Ledger>) {
        (self.worker.metrics().clone(), self.worker.ledger().clone())
    }
}
