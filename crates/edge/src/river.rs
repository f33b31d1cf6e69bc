//! The viewer request's river, from a parsed request to an answer.

use std::sync::Arc;

use anabranch_http_cache::Served;

use crate::authorise::authorise;
use crate::config::Transforms;
use crate::decide::decide;
use crate::deliver::{Answer, Own, Refused, deliver, refuse};
use crate::fetch::fetch;
use crate::head::Head;
use crate::key::key;
use crate::lookup::{Lookup, lookup};
use crate::record::{AccessLine, Outcome, Record};
use crate::request::{ReadBody, Request};
use crate::route::route;
use crate::table::{Site, Table};
use crate::worker::Worker;

/// Buffers that a connection uses again for each request.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The answer's head.
    pub(crate) head: Head,
    key: Vec<u8>,
    memo: Vec<u8>,
}

/// What every bend may know of the moment and the place.
#[derive(Debug)]
pub(crate) struct Context<'w> {
    worker: &'w Arc<Worker>,
    now_ms: i64,
}

impl<'w> Context<'w> {
    pub(crate) fn new(worker: &'w Arc<Worker>) -> Self {
        Self { worker, now_ms: worker.clock().now_ms() }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(crate) fn transforms(&self) -> Transforms {
        self.worker.config().transforms
    }

    /// The entry of an answer in the books.
    pub(crate) fn record(&self, site: Option<&Site>, request: &Request<'_>, status: u16, outcome: Outcome) -> Record {
        let line = tracing::enabled!(target: "access", tracing::Level::DEBUG).then(|| {
            Box::new(AccessLine {
                method: request.method.as_str(),
                host: request.host.to_owned(),
                path: request.path.to_owned(),
                peer: request.peer,
            })
        });
        let counters = site.map(|site| site.counters.clone());
        Record { counters, metrics: self.worker.metrics().clone(), status, outcome, sent: 0, line }
    }

    /// The entry of an answer to what could not be read as a request.
    pub(crate) fn record_unread(&self, status: u16) -> Record {
        let metrics = self.worker.metrics().clone();
        Record { counters: None, metrics, status, outcome: Outcome::Own, sent: 0, line: None }
    }
}

/// Answers a request: route, authorise, key, lookup, decide, fetch (which admits), deliver. The record is in the answer and
/// closes with it. The answer's head is left in `scratch.head`. Waits only for an origin.
pub(crate) async fn answer(
    worker: &Arc<Worker>,
    table: &Table,
    request: &Request<'_>,
    _body: &mut dyn ReadBody,
    scratch: &mut Scratch,
) -> Answer {
    let context = Context::new(worker);
    let authorised =
        route(table, request).and_then(|routed| authorise(routed, worker.memo(), &mut scratch.memo, context.now_ms()));
    let authorised = match authorised {
        Ok(authorised) => authorised,
        Err(refused) => return refuse(refused, Some(request), &mut scratch.head, &context),
    };
    let keyed = key(authorised, &mut scratch.key);
    let mut found = lookup(keyed, worker.cache(), context.now_ms());
    if let Lookup::Absent = found.lookup
        && worker.cache().on_disk(found.keyed.key)
        && worker.cache().load(found.keyed.key).await.is_some()
    {
        found = lookup(found.keyed, worker.cache(), context.now_ms());
    }
    let decided = decide(found, context.now_ms());
    let fetched = fetch(decided, worker).await;
    // A fetch may have taken time, which counts in ages.
    let context = if fetched.served == Served::Hit { context } else { Context::new(worker) };
    deliver(fetched, &mut scratch.head, &context).await
}

/// Answers what could not be read as a request.
pub(crate) fn answer_unread(worker: &Arc<Worker>, status: u16, scratch: &mut Scratch) -> Answer {
    let refused = Refused { own: Own::Bad(status), site: None, rule: None };
    refuse(refused, None, &mut scratch.head, &Context::new(worker))
}
