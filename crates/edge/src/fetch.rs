//! Bend: one flight per key to the origin.

use std::sync::Arc;

use anabranch_http_cache::{Forward, Served};
use anabranch_model::Encodings;
use bytes::Bytes;

use crate::authorise::Authorised;
use crate::cache::Key;
use crate::decide::{Decided, Decision, Pass};
use crate::flight::{Arrival, Boarding, Flight, Follower, Landing};
use crate::forward::{Passing, forward, variant_values};
use crate::key::Keyed;
use crate::object::{Object, ObjectHead};
use crate::request::{Method, ReadBody};
use crate::task::Task;
use crate::upstream::Failure;
use crate::worker::Worker;

/// Times that a follower whose flight turned out not to be for sharing, or broke before its head, tries by itself.
const OWN_TRIES: usize = 1;

/// Where the bytes of an answer come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// All there.
    Whole(Arc<Object>),
    /// Head known, body on its way.
    Growing(Arc<ObjectHead>, Follower),
}

impl Source {
    pub(crate) fn head(&self) -> &ObjectHead {
        match self {
            Self::Whole(object) => &object.head,
            Self::Growing(head, _) => head,
        }
    }
}

/// A request and what it is answered from.
#[derive(Debug)]
pub(crate) struct Fetched<'t, 'r> {
    pub(crate) authorised: Authorised<'t, 'r>,
    pub(crate) source: Source,
    pub(crate) served: Served,
    /// The origin confirmed what was stored.
    pub(crate) revalidated: bool,
}

/// Gets what the decision calls for. Waits for the head of an answer, not for its body.
///
/// # Errors
/// The request's body cannot be had; the status of the refusal.
pub(crate) async fn fetch<'t, 'r>(
    decided: Decided<'t, 'r, '_>,
    body: &mut dyn ReadBody,
    worker: &Arc<Worker>,
) -> Result<Fetched<'t, 'r>, u16> {
    let Decided { keyed, decision } = decided;
    let whole = |keyed: Keyed<'t, 'r, '_>, object, served| Fetched {
        authorised: keyed.authorised,
        source: Source::Whole(object),
        served,
        revalidated: false,
    };
    Ok(match decision {
        Decision::Serve(object) => whole(keyed, object, Served::Hit),
        Decision::ServeStale(object) => whole(keyed, object, Served::Stale),
        Decision::ServeAndRefresh(object) => {
            // Nobody of this request waits for it; the flight keeps itself in the air.
            let _ = depart(worker, &keyed, Some(object.clone()));
            whole(keyed, object, Served::Stale)
        }
        Decision::Fetch(prior) => {
            let forward = if prior.is_some() { Forward::Stale } else { Forward::Miss };
            forwarded(worker, keyed, prior, forward).await
        }
        Decision::Pass(pass) => {
            let body = match keyed.authorised.routed.request.method {
                Method::Get | Method::Head | Method::Options | Method::Other => Bytes::new(),
                Method::Post | Method::Put | Method::Patch | Method::Delete => {
                    match body.collect(worker.config().max_request_body_bytes).await {
                        Ok(body) => body,
                        Err(status) => return Err(status),
                    }
                }
            };
            passed(worker, keyed, pass, body).await
        }
    })
}

/// An answer for this request alone.
async fn passed<'t, 'r>(worker: &Arc<Worker>, keyed: Keyed<'t, 'r, '_>, pass: Pass, body: Bytes) -> Fetched<'t, 'r> {
    let why = if pass == Pass::Uncached { Forward::Bypass } else { Forward::Miss };
    let served = Served::Forwarded { forward: why, stored: false, collapsed: false };
    let source = match depart_alone(worker, &keyed, Alone::Pass(pass), body) {
        Departure::Landed(object) => Source::Whole(object),
        Departure::Refused(failure) => Source::Whole(Object::failed(&failure, worker)),
        Departure::Following { mut follower, .. } => match follower.arrival().await {
            Ok(Arrival::Head(head)) => Source::Growing(head, follower),
            Ok(Arrival::Whole(object, _)) => Source::Whole(object),
            Err(_) => Source::Whole(Object::failed(&Failure::Broken, worker)),
        },
    };
    Fetched { authorised: keyed.authorised, source, served, revalidated: false }
}

async fn forwarded<'t, 'r>(
    worker: &Arc<Worker>,
    keyed: Keyed<'t, 'r, '_>,
    prior: Option<Arc<Object>>,
    forward: Forward,
) -> Fetched<'t, 'r> {
    let mut boarded = depart(worker, &keyed, prior);
    let mut served = Served::Forwarded { forward, stored: false, collapsed: false };
    let mut revalidated = false;
    let mut source = None;
    for _ in 0..=OWN_TRIES {
        let (mut follower, collapsed) = match boarded {
            Departure::Landed(object) => {
                served = Served::Hit;
                source = Some(Source::Whole(object));
                break;
            }
            Departure::Refused(failure) => {
                source = Some(Source::Whole(Object::failed(&failure, worker)));
                break;
            }
            Departure::Following { follower, collapsed } => (follower, collapsed),
        };
        let arrival = follower.arrival().await;
        let stored = arrival.as_ref().is_ok_and(|arrival| arrival.head().keep.is_ok());
        if collapsed && !arrival.as_ref().is_ok_and(|arrival| is_for(&keyed, arrival.head())) {
            // Another request's answer that may not be kept, or was chosen for its headers, is not for this one.
            boarded = depart_alone(worker, &keyed, Alone::Apart, Bytes::new());
            continue;
        }
        served = Served::Forwarded { forward, stored, collapsed };
        source = match arrival {
            Ok(Arrival::Head(head)) => Some(Source::Growing(head, follower)),
            Ok(Arrival::Whole(object, landing)) => {
                revalidated = landing == Landing::Revalidated;
                if landing == Landing::StaleOnError {
                    served = Served::Stale;
                }
                Some(Source::Whole(object))
            }
            Err(_) => None,
        };
        break;
    }
    let source = source.unwrap_or_else(|| {
        served = Served::Forwarded { forward, stored: false, collapsed: false };
        Source::Whole(Object::failed(&Failure::Broken, worker))
    });
    Fetched { authorised: keyed.authorised, source, served, revalidated }
}

fn uri(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// Whether an answer to another request with the same key may be given to this one.
fn is_for(keyed: &Keyed<'_, '_, '_>, head: &ObjectHead) -> bool {
    let routed = &keyed.authorised.routed;
    let same = |variant: &crate::object::Variant| {
        variant_values(routed.rule, routed.request, &variant.names) == *variant.values
    };
    head.keep.is_ok() && head.variant.as_ref().is_none_or(same)
}

enum Departure {
    Following { follower: Follower, collapsed: bool },
    Landed(Arc<Object>),
    Refused(Failure),
}

/// Why a flight is one request's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// It goes past the cache.
    Pass(Pass),
    /// The answer to another request was not for it.
    Apart,
}

/// Joins the key's flight or starts it.
fn depart(worker: &Arc<Worker>, keyed: &Keyed<'_, '_, '_>, prior: Option<Arc<Object>>) -> Departure {
    if keyed.authorised.routed.rule.route.is_none() {
        return Departure::Refused(Failure::NoOrigin);
    }
    let now_ms = worker.clock().now_ms();
    let orders = keyed.authorised.routed.site.orders.last();
    let usable = |object: &Arc<Object>| {
        let head = &object.head;
        head.varying.is_none() && head.timing.is_fresh(now_ms) && object.checked_sequence() >= orders
    };
    let recheck = || worker.cache().peek(keyed.key).filter(usable);
    match worker.flights().board(keyed.key, recheck) {
        Boarding::Join(flight) => Departure::Following { follower: flight.follow(), collapsed: true },
        Boarding::Landed(object) => Departure::Landed(object),
        Boarding::Full => Departure::Refused(Failure::Overload),
        Boarding::Lead(flight) => {
            let follower = flight.follow();
            spawn(worker, keyed, prior, flight, None, Bytes::new());
            Departure::Following { follower, collapsed: false }
        }
    }
}

/// Starts a flight that nobody else can join.
fn depart_alone(worker: &Arc<Worker>, keyed: &Keyed<'_, '_, '_>, alone: Alone, body: Bytes) -> Departure {
    if keyed.authorised.routed.rule.route.is_none() {
        return Departure::Refused(Failure::NoOrigin);
    }
    let flight = Flight::alone();
    let follower = flight.follow();
    spawn(worker, keyed, None, flight, Some(alone), body);
    Departure::Following { follower, collapsed: false }
}

fn spawn(
    worker: &Arc<Worker>,
    keyed: &Keyed<'_, '_, '_>,
    prior: Option<Arc<Object>>,
    flight: Arc<Flight>,
    alone: Option<Alone>,
    body: Bytes,
) {
    let passing = match alone {
        Some(Alone::Pass(Pass::Uncached | Pass::Head)) => Passing::Everything,
        Some(Alone::Pass(Pass::Range)) => Passing::Range,
        Some(Alone::Apart) | None => Passing::Nothing,
    };
    let forwarded = forward(&keyed.authorised, keyed.codings, passing, body);
    let routed = &keyed.authorised.routed;
    let primary = (keyed.primary < keyed.key.len()).then(|| Key::from(&keyed.key[..keyed.primary]));
    let task = Task {
        worker: worker.clone(),
        rule: routed.rule.clone(),
        forwarded,
        site: routed.site.id.to_string(),
        host: routed.request.host.to_owned(),
        uri: uri(routed.path, routed.request.query),
        sequence: routed.site.orders.last(),
        key: Key::from(keyed.key.as_slice()),
        primary,
        codings: if keyed.authorised.for_edge { Encodings::default() } else { keyed.codings },
        passing,
        prior,
        flight,
    };
    // Joined by the worker's drain.
    worker.tasks().spawn(task.fly());
}
