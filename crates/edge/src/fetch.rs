//! Bend: one flight per key to the origin.

use std::sync::Arc;

use anabranch_http_cache::{Forward, Served};
use bytes::Bytes;

use crate::authorise::Authorised;
use crate::decide::{Decided, Decision, Pass};
use crate::flight::{Arrival, Boarding, Flight, Follower, Landing};
use crate::forward::{Passing, forward, variant_values};
use crate::invalidation::Place;
use crate::key::{Keyed, keyed_query};
use crate::lookup::is_usable;
use crate::object::Object;
use crate::object_head::{Begun, ObjectHead, Variant};
use crate::object_key::Key;
use crate::request::{Method, ReadBody};
use crate::strikes::resource;
use crate::task::Task;
use crate::upstream::Failure;
use crate::worker::Worker;

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
            let variant = keyed.primary < keyed.key.len();
            let forward = match prior {
                Some(_) => Forward::Stale,
                None if variant => Forward::VaryMiss,
                None => Forward::Miss,
            };
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
    let routed = &keyed.authorised.routed;
    let why = match pass {
        Pass::Uncached if routed.rule.caches(Method::Get) && routed.request.method != Method::Get => Forward::Method,
        Pass::Uncached => Forward::Bypass,
        Pass::Range | Pass::Head => Forward::Miss,
    };
    let served = Served::Forwarded { forward: why, stored: false, collapsed: false };
    let mut departure = depart_alone(worker, &keyed, Alone::Pass(pass), body);
    let source = loop {
        let mut follower = match departure {
            Departure::Landed(object) => break Source::Whole(object),
            Departure::Refused(failure) => break failed(worker, &keyed, &failure),
            Departure::Following { follower, .. } => follower,
        };
        break match follower.arrival().await {
            // What is rewritten is rewritten whole: a part of it is no part of what the viewer gets.
            Ok(Arrival::Head(head)) if head.status == 206 && routed.rule.rewrites(&head, routed.path) => {
                departure = depart_alone(worker, &keyed, Alone::Apart, Bytes::new());
                continue;
            }
            Ok(Arrival::Head(head)) => Source::Growing(head, follower),
            Ok(Arrival::Whole(object, _)) => Source::Whole(object),
            Err(_) => failed(worker, &keyed, &Failure::Broken),
        };
    };
    Fetched { authorised: keyed.authorised, source, served, revalidated: false }
}

/// How far a request is from having an answer to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    /// With all requests of its key.
    Key,
    /// With those of its variant, whose key is not known yet.
    Variant,
    /// By itself.
    Alone,
}

async fn forwarded<'t, 'r>(
    worker: &Arc<Worker>,
    keyed: Keyed<'t, 'r, '_>,
    prior: Option<Arc<Object>>,
    forward: Forward,
) -> Fetched<'t, 'r> {
    let mut boarded = depart(worker, &keyed, prior);
    let mut at = Try::Key;
    let mut served = Served::Forwarded { forward, stored: false, collapsed: false };
    let mut revalidated = false;
    let source = loop {
        let (mut follower, collapsed) = match boarded {
            Departure::Landed(object) => {
                served = Served::Hit;
                break Source::Whole(object);
            }
            Departure::Refused(failure) => break failed(worker, &keyed, &failure),
            Departure::Following { follower, collapsed } => (follower, collapsed),
        };
        let arrival = match follower.arrival().await {
            Ok(arrival) if !collapsed || is_for(&keyed, arrival.head()) => arrival,
            // Another request's answer that was chosen for its headers, or may not be kept, is not for this one.
            Ok(arrival) if at == Try::Key && arrival.head().keep.is_ok() && arrival.head().variant.is_some() => {
                at = Try::Variant;
                boarded = depart_variant(worker, &keyed, arrival.head());
                continue;
            }
            Ok(_) | Err(_) if collapsed && at != Try::Alone => {
                at = Try::Alone;
                boarded = depart_alone(worker, &keyed, Alone::Apart, Bytes::new());
                continue;
            }
            Ok(_) | Err(_) => break failed(worker, &keyed, &Failure::Broken),
        };
        served = Served::Forwarded { forward, stored: arrival.head().is_stored(), collapsed };
        break match arrival {
            Arrival::Head(head) => Source::Growing(head, follower),
            Arrival::Whole(object, landing) => {
                revalidated = landing == Landing::Revalidated;
                if landing == Landing::StaleOnError {
                    served = Served::Stale;
                }
                Source::Whole(object)
            }
        };
    };
    Fetched { authorised: keyed.authorised, source, served, revalidated }
}

/// What is answered in place of an origin that gives nothing.
fn failed(worker: &Worker, keyed: &Keyed<'_, '_, '_>, failure: &Failure) -> Source {
    Source::Whole(Object::failed(failure, begun(worker, keyed), worker.clock().now_ms()))
}

fn uri(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// Whether an answer to another request with the same key may be given to this one.
fn is_for(keyed: &Keyed<'_, '_, '_>, head: &ObjectHead) -> bool {
    let routed = &keyed.authorised.routed;
    let same = |variant: &Variant| variant_values(routed.rule, routed.request, &variant.names) == *variant.values;
    head.keep.is_ok() && head.variant.as_ref().is_none_or(same)
}

enum Departure {
    Following { follower: Follower, collapsed: bool },
    Landed(Arc<Object>),
    Refused(Failure),
}

/// What a flight is for.
#[derive(Debug)]
enum Flying {
    /// All requests of a key, with what is stored.
    Own(Option<Arc<Object>>),
    /// Requests of one variant whose key is not known yet.
    Variant,
    Alone(Alone),
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
    let now_ms = worker.clock().now_ms();
    let usable = |object: &Arc<Object>| {
        let head = &object.head;
        head.varying.is_none() && head.timing.is_fresh(now_ms) && is_usable(keyed, worker, object)
    };
    let recheck = || worker.cache().peek(keyed.key).filter(usable);
    board(worker, keyed, &Key::from(keyed.key.as_slice()), Flying::Own(prior), recheck)
}

/// Joins or starts the flight of those who could not use the answer with `head` and want the same variant.
fn depart_variant(worker: &Arc<Worker>, keyed: &Keyed<'_, '_, '_>, head: &ObjectHead) -> Departure {
    let routed = &keyed.authorised.routed;
    let mut key = keyed.key[..keyed.primary].to_vec();
    if let Some(variant) = &head.variant {
        // No key of an object goes on like this.
        key.extend_from_slice(b"\n~");
        key.extend_from_slice(&variant_values(routed.rule, routed.request, &variant.names));
    }
    board(worker, keyed, &key.into(), Flying::Variant, || None)
}

fn board(
    worker: &Arc<Worker>,
    keyed: &Keyed<'_, '_, '_>,
    key: &Key,
    flying: Flying,
    recheck: impl FnOnce() -> Option<Arc<Object>>,
) -> Departure {
    let routed = &keyed.authorised.routed;
    if routed.rule.route.is_none() {
        return Departure::Refused(Failure::NoOrigin);
    }
    match worker.flights().board(key, begun(worker, keyed), |flight| serves(worker, keyed, flight), recheck) {
        Boarding::Join(flight) => Departure::Following { follower: flight.follow(), collapsed: true },
        Boarding::Landed(object) => Departure::Landed(object),
        Boarding::Full => Departure::Refused(Failure::Overload),
        Boarding::Lead(flight) => {
            let follower = flight.follow();
            spawn(worker, keyed, key.clone(), flight, flying, Bytes::new());
            Departure::Following { follower, collapsed: false }
        }
    }
}

fn begun(worker: &Worker, keyed: &Keyed<'_, '_, '_>) -> Begun {
    Begun {
        sequence: keyed.authorised.routed.site.orders.last(),
        moment_ms: worker.strikes().moment(worker.clock().now_ms()),
    }
}

/// Whether no order or unsafe request since the flight's beginning forbids its answer.
fn serves(worker: &Worker, keyed: &Keyed<'_, '_, '_>, flight: &Flight) -> bool {
    let routed = &keyed.authorised.routed;
    let Begun { sequence, moment_ms } = flight.begun;
    if !worker.strikes().spares(resource(keyed.key), moment_ms) {
        return false;
    }
    if sequence >= routed.site.orders.last() {
        return true;
    }
    let query = keyed_query(routed.rule, routed.request);
    let place = Place { path: routed.path, query: &query, select: &routed.rule.keying.query };
    !routed.site.orders.may_forget(sequence, place)
}

/// Starts a flight that nobody else can join.
fn depart_alone(worker: &Arc<Worker>, keyed: &Keyed<'_, '_, '_>, alone: Alone, body: Bytes) -> Departure {
    if keyed.authorised.routed.rule.route.is_none() {
        return Departure::Refused(Failure::NoOrigin);
    }
    let flight = Flight::alone(begun(worker, keyed));
    let follower = flight.follow();
    spawn(worker, keyed, Key::from(keyed.key.as_slice()), flight, Flying::Alone(alone), body);
    Departure::Following { follower, collapsed: false }
}

fn spawn(worker: &Arc<Worker>, keyed: &Keyed<'_, '_, '_>, key: Key, flight: Arc<Flight>, flying: Flying, body: Bytes) {
    let passing = match &flying {
        Flying::Alone(Alone::Pass(Pass::Uncached | Pass::Head)) => Passing::Everything,
        Flying::Alone(Alone::Pass(Pass::Range)) => Passing::Range,
        Flying::Alone(Alone::Apart) | Flying::Own(_) | Flying::Variant => Passing::Nothing,
    };
    let looked = !matches!(flying, Flying::Variant);
    let prior = if let Flying::Own(prior) = flying { prior } else { None };
    let routed = &keyed.authorised.routed;
    let task = Task {
        worker: worker.clone(),
        rule: routed.rule.clone(),
        forwarded: forward(&keyed.authorised, keyed.codings, passing, body),
        site: routed.site.id.to_string(),
        host: routed.request.host.to_owned(),
        uri: uri(routed.path, routed.request.query),
        key,
        primary: Key::from(&keyed.key[..keyed.primary]),
        looked,
        codings: keyed.codings,
        for_edge: keyed.authorised.for_edge,
        passing,
        prior,
        flight,
    };
    // Joined by the worker's drain.
    worker.tasks().spawn(task.fly());
}
