//! Bend: one flight per key to the origin.

use std::sync::Arc;
use std::time::Duration;

use anabranch_http_cache::{Forward, Served, TtlBounds};
use bytes::Bytes;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use tokio::time::timeout;

use crate::admit::admit;
use crate::authorise::Authorised;
use crate::body::StoredBody;
use crate::cache::Key;
use crate::decide::{Decided, Decision};
use crate::disk::Draft;
use crate::flight::{Arrival, Boarding, Flight, Follower, Landing};
use crate::object::{Object, ObjectHead};
use crate::upstream::{Answer, Failure, Upstream};
use crate::worker::Worker;

/// Time that a stale object is served without a question after its origin has failed, in milliseconds.
const RETRY_AFTER_FAILURE_MS: i64 = 1000;

/// Time that viewers wait for a whole body to be on disk, from where they are sent the rest of it; after that from memory.
const DISK_PATIENCE: Duration = Duration::from_millis(50);

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
pub(crate) async fn fetch<'t, 'r>(decided: Decided<'t, 'r, '_>, worker: &Arc<Worker>) -> Fetched<'t, 'r> {
    let Decided { keyed, decision } = decided;
    let (authorised, key) = (keyed.authorised, keyed.key);
    let whole = |authorised, object, served, revalidated| Fetched {
        authorised,
        source: Source::Whole(object),
        served,
        revalidated,
    };
    match decision {
        Decision::Serve(object) => whole(authorised, object, Served::Hit, false),
        Decision::ServeStale(object) => whole(authorised, object, Served::Stale, false),
        Decision::ServeAndRefresh(object) => {
            // Nobody of this request waits for it; the flight keeps itself in the air.
            let _ = depart(worker, &authorised, key, Some(object.clone()));
            whole(authorised, object, Served::Stale, false)
        }
        Decision::Fetch(prior) => {
            let forward = if prior.is_some() { Forward::Stale } else { Forward::Miss };
            let (source, served, revalidated) = forwarded(worker, &authorised, key, prior, forward).await;
            Fetched { authorised, source, served, revalidated }
        }
    }
}

async fn forwarded(
    worker: &Arc<Worker>,
    authorised: &Authorised<'_, '_>,
    key: &[u8],
    prior: Option<Arc<Object>>,
    forward: Forward,
) -> (Source, Served, bool) {
    let mut boarded = depart(worker, authorised, key, prior);
    for _ in 0..=OWN_TRIES {
        let (mut follower, collapsed) = match boarded {
            Departure::Landed(object) => return (Source::Whole(object), Served::Hit, false),
            Departure::Refused(failure) => {
                let served = Served::Forwarded { forward, stored: false, collapsed: false };
                return (Source::Whole(made(worker, &failure)), served, false);
            }
            Departure::Following { follower, collapsed } => (follower, collapsed),
        };
        let arrival = follower.arrival().await;
        let shareable = match &arrival {
            Ok(Arrival::Head(head)) => head.keep.is_ok(),
            Ok(Arrival::Whole(object, _)) => object.head.keep.is_ok(),
            Err(_) => false,
        };
        if collapsed && !shareable {
            // Another request's answer that may not be kept is not for this one: it asks by itself.
            boarded = depart_alone(worker, authorised, key);
            continue;
        }
        let served = Served::Forwarded { forward, stored: shareable, collapsed };
        match arrival {
            Ok(Arrival::Head(head)) => return (Source::Growing(head, follower), served, false),
            Ok(Arrival::Whole(object, Landing::Fetched)) => return (Source::Whole(object), served, false),
            Ok(Arrival::Whole(object, Landing::Revalidated)) => return (Source::Whole(object), served, true),
            Ok(Arrival::Whole(object, Landing::StaleOnError)) => return (Source::Whole(object), Served::Stale, false),
            Err(_) => break,
        }
    }
    let served = Served::Forwarded { forward, stored: false, collapsed: false };
    (Source::Whole(made(worker, &Failure::Broken)), served, false)
}

enum Departure {
    Following { follower: Follower, collapsed: bool },
    Landed(Arc<Object>),
    Refused(Failure),
}

/// Joins the key's flight or starts it.
fn depart(worker: &Arc<Worker>, authorised: &Authorised<'_, '_>, key: &[u8], prior: Option<Arc<Object>>) -> Departure {
    let Some(upstream) = &authorised.routed.rule.upstream else { return Departure::Refused(Failure::NoOrigin) };
    let now_ms = worker.clock().now_ms();
    let recheck = || worker.cache().peek(key).filter(|object| object.head.timing.is_fresh(now_ms));
    match worker.flights().board(key, recheck) {
        Boarding::Join(flight) => Departure::Following { follower: flight.follow(), collapsed: true },
        Boarding::Landed(object) => Departure::Landed(object),
        Boarding::Full => Departure::Refused(Failure::Overload),
        Boarding::Lead(flight) => {
            let follower = flight.follow();
            spawn(worker, authorised, upstream, key, prior, flight);
            Departure::Following { follower, collapsed: false }
        }
    }
}

/// Starts a flight that nobody else can join.
fn depart_alone(worker: &Arc<Worker>, authorised: &Authorised<'_, '_>, key: &[u8]) -> Departure {
    let Some(upstream) = &authorised.routed.rule.upstream else { return Departure::Refused(Failure::NoOrigin) };
    let flight = Flight::alone();
    let follower = flight.follow();
    spawn(worker, authorised, upstream, key, None, flight);
    Departure::Following { follower, collapsed: false }
}

fn spawn(
    worker: &Arc<Worker>,
    authorised: &Authorised<'_, '_>,
    upstream: &Arc<Upstream>,
    key: &[u8],
    prior: Option<Arc<Object>>,
    flight: Arc<Flight>,
) {
    let task = Task {
        worker: worker.clone(),
        upstream: upstream.clone(),
        path: authorised.routed.path.to_owned(),
        bounds: authorised.routed.rule.bounds,
        key: key.into(),
        prior,
        flight,
    };
    // Joined by the worker's drain.
    worker.tasks().spawn(task.fly());
}

/// Where a body goes while it comes.
enum Spool {
    /// Nowhere besides the flight: it is small so far.
    Memory,
    Draft(Draft),
    /// To no file.
    Refused,
}

/// A fetch, which ends whether or not the requests behind it do.
struct Task {
    worker: Arc<Worker>,
    upstream: Arc<Upstream>,
    path: String,
    bounds: TtlBounds,
    key: Key,
    prior: Option<Arc<Object>>,
    flight: Arc<Flight>,
}

impl Drop for Task {
    fn drop(&mut self) {
        // However the task ends, nobody is left waiting and the next request starts anew.
        self.flight.fail();
        self.worker.flights().clear(&self.key, &self.flight);
    }
}

impl Task {
    async fn fly(self) {
        let requested_ms = self.worker.clock().now_ms();
        let validators = self.prior.as_deref().map(validators).unwrap_or_default();
        self.worker.metrics().origin_fetches.increment(1);
        let fetched = self.worker.pool().fetch(&self.upstream, &self.path, &validators).await;
        let received_ms = self.worker.clock().now_ms();
        let failure = match fetched {
            Ok(answer) if answer.status == 304 && !validators.is_empty() => {
                return self.freshen(answer, requested_ms, received_ms).await;
            }
            Ok(answer) if answer.status < 200 || matches!(answer.status, 206 | 304 | 416) => {
                Failure::Status(answer.status)
            }
            Ok(answer) if answer.status >= 500 && self.may_serve_stale(received_ms) => Failure::Status(answer.status),
            Ok(answer) => match self.too_large(&answer) {
                Some(failure) => failure,
                None => return self.receive(answer, requested_ms, received_ms).await,
            },
            Err(failure) => failure,
        };
        self.report(&failure);
        self.fall_back(&failure, received_ms);
    }

    fn too_large(&self, answer: &Answer) -> Option<Failure> {
        let announced = answer.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok()?;
        (announced > self.worker.config().max_object_bytes).then_some(Failure::TooLarge(announced))
    }

    async fn receive(&self, mut answer: Answer, requested_ms: i64, received_ms: i64) {
        let head = ObjectHead::read(answer.status, &answer.headers, &self.bounds, requested_ms, received_ms);
        let head = Arc::new(head);
        self.flight.begin(head.clone());
        let mut spool = Spool::Memory;
        loop {
            match answer.next().await {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    let length = self.flight.grow(bytes.clone());
                    if length > self.worker.config().max_object_bytes {
                        return self.report(&Failure::TooLarge(length));
                    }
                    if head.keep.is_err() && self.flight.is_deserted() {
                        return;
                    }
                    if head.keep.is_ok() {
                        spool = self.spool(spool, bytes, length, &head);
                    }
                }
                // Dropping the flight cuts the viewers off, visibly.
                Err(failure) => return self.report(&failure),
            }
        }
        self.keep(head, spool).await;
        answer.release(self.worker.pool());
    }

    /// The body is whole: admits and lands it. A disk that is slow is waited for by nobody but the cache.
    async fn keep(&self, head: Arc<ObjectHead>, spool: Spool) {
        let in_memory = || {
            let body = StoredBody::Memory(Arc::new(self.flight.take_body()));
            Arc::new(Object::new(head.clone(), body))
        };
        let (object, landed) = match spool {
            Spool::Memory | Spool::Refused => (in_memory(), false),
            Spool::Draft(draft) => {
                let mut finish = std::pin::pin!(draft.finish(&self.key, &head));
                let (file, early) = match timeout(DISK_PATIENCE, &mut finish).await {
                    Ok(file) => (file, None),
                    Err(_) => {
                        let early = in_memory();
                        self.flight.land(early.clone(), Landing::Fetched);
                        (finish.await, Some(early))
                    }
                };
                let on_disk = file.map(|file| Arc::new(Object::new(head.clone(), StoredBody::File(file))));
                let landed = early.is_some();
                (on_disk.or(early).unwrap_or_else(in_memory), landed)
            }
        };
        admit(self.worker.cache(), &self.key, &object);
        if !landed {
            self.flight.land(object, Landing::Fetched);
        }
    }

    /// Takes the next bytes of a body of which `length` have come. Once it is known to be large its beginning goes to disk too.
    fn spool(&self, spool: Spool, bytes: Bytes, length: u64, head: &ObjectHead) -> Spool {
        match spool {
            Spool::Refused => Spool::Refused,
            Spool::Draft(mut draft) => {
                draft.append(bytes);
                Spool::Draft(draft)
            }
            Spool::Memory => {
                let expected = head.length.unwrap_or(0).max(length);
                match self.worker.cache().draft(Some(expected)) {
                    Some(mut draft) => {
                        let first = bytes.len() as u64 == length;
                        draft.append(if first { bytes } else { self.flight.take_body().contiguous() });
                        Spool::Draft(draft)
                    }
                    None if head.length.is_some() => Spool::Refused,
                    None => Spool::Memory,
                }
            }
        }
    }

    async fn freshen(&self, mut answer: Answer, requested_ms: i64, received_ms: i64) {
        let Some(prior) = &self.prior else { return };
        let object = Arc::new(prior.freshened(&answer.headers, &self.bounds, requested_ms, received_ms));
        admit(self.worker.cache(), &self.key, &object);
        self.flight.land(object, Landing::Revalidated);
        if let Ok(None) = answer.next().await {
            answer.release(self.worker.pool());
        }
    }

    fn may_serve_stale(&self, now_ms: i64) -> bool {
        self.prior.as_ref().is_some_and(|prior| now_ms < prior.head.timing.stale_if_error_until_ms)
    }

    /// The stored object if its origin allowed that (RFC 5861 §4), else an error of ours, kept for a moment.
    fn fall_back(&self, failure: &Failure, now_ms: i64) {
        match &self.prior {
            Some(prior) if self.may_serve_stale(now_ms) => {
                let object = Arc::new(prior.with_grace(now_ms.saturating_add(RETRY_AFTER_FAILURE_MS)));
                admit(self.worker.cache(), &self.key, &object);
                self.flight.land(object, Landing::StaleOnError);
            }
            _ => {
                let object = made(&self.worker, failure);
                admit(self.worker.cache(), &self.key, &object);
                self.flight.land(object, Landing::Fetched);
            }
        }
    }

    fn report(&self, failure: &Failure) {
        self.worker.metrics().origin_failures.increment(1);
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        tracing::warn!(origin.authority = %self.upstream.authority, path = %self.path, error = %failure, cause, "origin fetch failed");
    }
}

fn made(worker: &Worker, failure: &Failure) -> Arc<Object> {
    let (status, text) = failure.answer();
    Arc::new(Object::made(status, text, worker.clock().now_ms()))
}

/// Only a whole success is worth confirming.
fn validators(prior: &Object) -> HeaderMap {
    let mut validators = HeaderMap::new();
    if prior.head.status != 200 {
        return validators;
    }
    if let Some(Ok(etag)) = prior.head.etag.as_deref().map(HeaderValue::from_str) {
        validators.insert(IF_NONE_MATCH, etag);
    }
    if let (Some(_), Some(text)) = (prior.head.last_modified, &prior.head.last_modified_text) {
        validators.insert(IF_MODIFIED_SINCE, text.clone());
    }
    validators
}
