//! A fetch under way: asks the origin, stores what may be stored, tells the followers.

use std::sync::Arc;
use std::time::Duration;

use anabranch_http_cache::{
    NotStored, RequestDirectives, ResponseMeta, Target, counts_as_error, is_safe, is_validated_by,
};
use anabranch_model::Encodings;
use http::header::{CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use tokio::time::timeout;

use crate::admit::{Places, admit, place};
use crate::body::StoredBody;
use crate::closed::CLOSED_HEADER;
use crate::coming::Coming;
use crate::compress::is_worth_compressing;
use crate::flight::{Flight, Landing, WINDOW_BYTES};
use crate::forward::{Forwarded, Passing};
use crate::key::resource_key;
use crate::object::Object;
use crate::object_head::{Making, ObjectHead};
use crate::object_key::Key;
use crate::rule::{Route, Rule};
use crate::spool::Spool;
use crate::upstream::{Answer, Failure, Upstream};
use crate::worker::Worker;

/// Time that a stale object is served without a question after its origin has failed, in milliseconds.
const RETRY_AFTER_FAILURE_MS: i64 = 1000;

/// Time that viewers wait for a whole body to be on disk, from where they are sent the rest of it; after that from memory.
const DISK_PATIENCE: Duration = Duration::from_millis(50);

/// A fetch, which ends whether or not the requests behind it do.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) worker: Arc<Worker>,
    pub(crate) rule: Arc<Rule>,
    pub(crate) forwarded: Forwarded,
    /// Distribution, host, and path with query as the viewer asked.
    pub(crate) site: String,
    pub(crate) host: String,
    pub(crate) uri: String,
    /// Of the flight.
    pub(crate) key: Key,
    pub(crate) primary: Key,
    /// Whether `key` is where the request has looked for the object.
    pub(crate) looked: bool,
    /// Codings that are part of the key.
    pub(crate) codings: Encodings,
    /// Another edge asks, which compresses by itself.
    pub(crate) for_edge: bool,
    pub(crate) passing: Passing,
    pub(crate) prior: Option<Arc<Object>>,
    pub(crate) flight: Arc<Flight>,
}

impl Drop for Task {
    fn drop(&mut self) {
        // However the task ends, nobody is left waiting and the next request starts anew.
        self.flight.fail();
        self.worker.flights().clear(&self.key, &self.flight);
    }
}

impl Task {
    pub(crate) async fn fly(mut self) {
        let mut requested_ms = self.worker.clock().now_ms();
        let validators = self.prior.as_deref().map(validators).unwrap_or_default();
        self.forwarded.ask.headers.extend(validators.clone());
        let Some(route) = self.rule.route.clone() else { return };
        let mut fetched = self.ask(&route).await;
        if let (true, Some(prior)) = (is_304(&fetched) && !validators.is_empty(), self.prior.clone()) {
            match fetched {
                Ok(answer) if confirms(&prior, &answer) => return self.freshen(&prior, answer, requested_ms).await,
                // Its connection is not used again.
                Ok(_) | Err(_) => {}
            }
            // The origin confirmed something that is not stored (RFC 9111 §4.3.4): it has to send what it means.
            self.forwarded.ask.headers.remove(IF_NONE_MATCH);
            self.forwarded.ask.headers.remove(IF_MODIFIED_SINCE);
            requested_ms = self.worker.clock().now_ms();
            fetched = self.ask(&route).await;
        }
        let received_ms = self.worker.clock().now_ms();
        let failure = match fetched {
            Ok(answer) if self.passing != Passing::Nothing => {
                return self.pass(answer, requested_ms, received_ms).await;
            }
            Ok(answer) if answer.status < 200 || matches!(answer.status, 206 | 304) => Failure::Status(answer.status),
            Ok(answer) if counts_as_error(answer.status) && self.may_serve_stale(received_ms) => {
                Failure::Status(answer.status)
            }
            Ok(answer) => match self.too_large(&answer) {
                Some(failure) => failure,
                None => return self.receive(answer, requested_ms, received_ms).await,
            },
            Err(failure) => failure,
        };
        self.report(&failure, &route.primary);
        self.fall_back(&failure, received_ms);
    }

    /// Asks the origin; the second one of a group if the first fails and the request is safe to repeat.
    async fn ask(&self, route: &Route) -> Result<Answer, Failure> {
        let first = self.try_upstream(&route.primary).await;
        let Some((secondary, statuses)) = &route.secondary else { return first };
        let safe = matches!(self.forwarded.ask.method, http::Method::GET | http::Method::HEAD | http::Method::OPTIONS);
        let failed = match &first {
            Ok(answer) => statuses.contains(&answer.status),
            Err(failure) => failure.may_fail_over() || statuses.contains(&failure.answer().0),
        };
        if !safe || !failed {
            return first;
        }
        match &first {
            Ok(answer) => self.report(&Failure::Status(answer.status), &route.primary),
            Err(failure) => self.report(failure, &route.primary),
        }
        self.worker.metrics().origin_failovers.increment(1);
        self.try_upstream(secondary).await
    }

    async fn try_upstream(&self, upstream: &Upstream) -> Result<Answer, Failure> {
        self.worker.metrics().origin_fetches.increment(1);
        self.worker.pool().fetch(upstream, &self.forwarded.ask).await
    }

    fn too_large(&self, answer: &Answer) -> Option<Failure> {
        let announced = answer.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok()?;
        (announced > self.worker.config().max_object_bytes).then_some(Failure::TooLarge(announced))
    }

    fn making(&self, requested_ms: i64, received_ms: i64) -> Making<'_> {
        // Where answers to OPTIONS are cached they are as those to GET.
        let cached = self.passing == Passing::Nothing;
        Making {
            policy: &self.rule.policy,
            method: if cached { &http::Method::GET } else { &self.forwarded.ask.method },
            directives: RequestDirectives::default(),
            error_ttl: &*self.rule,
            cookies: !self.rule.telling.cookies.is_none(),
            sequence: self.flight.begun.sequence,
            begun_ms: self.flight.begun.moment_ms,
            told: &self.forwarded.told,
            keyed: &self.rule.keying.headers,
            codings_keyed: self.codings != Encodings::default(),
            requested_ms,
            received_ms,
        }
    }

    /// An answer that is nobody else's and is not stored.
    async fn pass(&self, mut answer: Answer, requested_ms: i64, received_ms: i64) {
        let mut head = ObjectHead::read(answer.status, &answer.headers, &self.making(requested_ms, received_ms));
        head.keep = Err(NotStored::Method);
        if !is_safe(&self.forwarded.ask.method) && (200..400).contains(&answer.status) {
            self.invalidate(&answer.headers);
        }
        self.flight.begin(Arc::new(head));
        loop {
            match answer.next().await {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    self.flight.grow(bytes);
                    self.flight.room(WINDOW_BYTES).await;
                    if self.flight.is_deserted() {
                        return;
                    }
                }
                // Dropping the flight cuts the viewer off, visibly.
                Err(failure) => return self.report_here(&failure),
            }
        }
        self.flight.end();
        self.worker.pool().release(answer);
    }

    /// What an unsafe request may have changed goes (RFC 9111 §4.4).
    fn invalidate(&self, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let named = [text(http::header::LOCATION), text(http::header::CONTENT_LOCATION)];
        let table = self.worker.table().load();
        let Some(site) = table.by_id(&self.site) else { return };
        let now_ms = self.worker.clock().now_ms();
        // Objects are the same for viewers of both schemes.
        for scheme in ["http", "https"] {
            let target = Target { scheme, authority: &self.host, path_and_query: &self.uri };
            for other in target.invalidated(&self.forwarded.ask.method, 200, named[0], named[1]) {
                let resource = resource_key(site, &other);
                self.worker.strikes().strike(&resource, now_ms);
                // What has no more in its key goes at once, from disk too; strikes do not outlast the process.
                self.worker.cache().purge(&resource);
            }
        }
    }

    async fn receive(&self, answer: Answer, requested_ms: i64, received_ms: i64) {
        let mut head = ObjectHead::read(answer.status, &answer.headers, &self.making(requested_ms, received_ms));
        if !answer.complete_known {
            head.keep = Err(NotStored::Unframed);
        }
        if answer.headers.contains_key(CLOSED_HEADER) {
            // Of a shield: what is open again must not be refused by a copy, whatever the policy's shortest lifetime.
            head.keep = Err(NotStored::NoStore);
        }
        if head.keep.is_err() {
            self.flight.part();
        }
        if !head.is_stored() {
            // What is stored is outdated, whether or not anybody stays for the rest.
            place(self.worker.cache(), self.places(), &head);
        }
        let mut coming = if self.compresses(&head) {
            match Coming::coded(answer, self.codings).await {
                Ok(coming) => coming,
                Err(failure) => {
                    self.report_here(&failure);
                    return self.fall_back(&failure, received_ms);
                }
            }
        } else {
            Coming::plain(answer)
        };
        if let Some(coding) = coming.coding() {
            head = head.coded(coding);
        }
        let head = Arc::new(head);
        self.flight.begin(head.clone());
        let mut spool = if head.is_stored() { Spool::Memory } else { Spool::Refused };
        loop {
            match coming.next().await {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    let length = self.flight.grow(bytes.clone());
                    if coming.length() > self.worker.config().max_object_bytes {
                        return self.report_here(&Failure::TooLarge(coming.length()));
                    }
                    if head.keep.is_err() {
                        self.flight.room(WINDOW_BYTES).await;
                    }
                    if !head.is_stored() && self.flight.is_deserted() {
                        return;
                    }
                    spool = spool.take(self.worker.cache(), &self.flight, bytes, length, &head);
                }
                // Dropping the flight cuts the viewers off, visibly.
                Err(failure) => return self.report_here(&failure),
            }
        }
        self.keep(head, spool).await;
        coming.release(self.worker.pool());
    }

    /// Whether the viewers of this flight get the body compressed, and the cache too.
    fn compresses(&self, head: &ObjectHead) -> bool {
        self.rule.compress
            && !self.for_edge
            && head.keep.is_ok()
            && head.compressible
            && self.codings != Encodings::default()
            && head.length.is_none_or(is_worth_compressing)
    }

    fn places(&self) -> Places<'_> {
        Places { primary: &self.primary, own: self.looked.then_some(&self.key) }
    }

    /// The body is whole: stores and lands it. A disk that is slow is waited for by nobody but the cache.
    async fn keep(&self, head: Arc<ObjectHead>, spool: Spool) {
        if head.keep.is_err() {
            // What has been taken is given back already: there is no whole to land.
            return self.flight.end();
        }
        let in_memory = || {
            let body = StoredBody::Memory(Arc::new(self.flight.take_body()));
            Arc::new(Object::new(head.clone(), body))
        };
        let Some(key) = place(self.worker.cache(), self.places(), &head) else {
            return self.flight.land(in_memory(), Landing::Fetched);
        };
        let mut finish = std::pin::pin!(spool.finish(&key, &head));
        let (file, early) = match timeout(DISK_PATIENCE, &mut finish).await {
            Ok(file) => (file, None),
            Err(_) => {
                let early = in_memory();
                self.flight.land(early.clone(), Landing::Fetched);
                (finish.await, Some(early))
            }
        };
        let landed = early.is_some();
        let on_disk = file.map(|file| Arc::new(Object::new(head.clone(), StoredBody::File(file))));
        let object = on_disk.or(early).unwrap_or_else(in_memory);
        self.worker.cache().admit(key.clone(), Object::without_withheld(object.clone()));
        if !landed {
            self.flight.land(object, Landing::Fetched);
        }
    }

    async fn freshen(&self, prior: &Object, mut answer: Answer, requested_ms: i64) {
        let received_ms = self.worker.clock().now_ms();
        let object = Arc::new(prior.freshened(&answer.headers, &self.making(requested_ms, received_ms)));
        admit(self.worker.cache(), self.places(), &Object::without_withheld(object.clone()));
        self.flight.land(object, Landing::Revalidated);
        if let Ok(None) = answer.next().await {
            self.worker.pool().release(answer);
        }
    }

    fn may_serve_stale(&self, now_ms: i64) -> bool {
        self.prior.as_ref().is_some_and(|prior| {
            let timing = &prior.head.timing;
            let allowed = timing.serves_on_error(now_ms) || now_ms < timing.stale_while_revalidate_until_ms;
            // An error in place of another would only be an older one.
            allowed && !counts_as_error(prior.head.status)
        })
    }

    /// The stored object if that is allowed (RFC 5861 §4), else an error of ours, kept for a moment.
    fn fall_back(&self, failure: &Failure, now_ms: i64) {
        match &self.prior {
            Some(prior) if self.may_serve_stale(now_ms) => {
                let object = Arc::new(prior.with_grace(now_ms.saturating_add(RETRY_AFTER_FAILURE_MS)));
                self.worker.cache().admit(self.key.clone(), object.clone());
                self.flight.land(object, Landing::StaleOnError);
            }
            _ => {
                let object = Object::failed(failure, self.flight.begun, self.worker.clock().now_ms());
                // That a request by itself has failed says nothing of the object.
                if self.passing == Passing::Nothing {
                    admit(self.worker.cache(), self.places(), &object);
                }
                self.flight.land(object, Landing::Fetched);
            }
        }
    }

    fn report(&self, failure: &Failure, upstream: &Upstream) {
        self.worker.metrics().origin_failures.increment(1);
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        let path = &self.forwarded.ask.target;
        tracing::warn!(origin.name = upstream.name(), path, error = %failure, cause, "origin fetch failed");
    }

    fn report_here(&self, failure: &Failure) {
        if let Some(route) = &self.rule.route {
            self.report(failure, &route.primary);
        }
    }
}

fn is_304(fetched: &Result<Answer, Failure>) -> bool {
    matches!(fetched, Ok(answer) if answer.status == 304)
}

/// Whether a `304` is about what is stored.
fn confirms(prior: &Object, answer: &Answer) -> bool {
    let stored = ResponseMeta::read(prior.head.status, &prior.head.fields());
    is_validated_by(&stored, &ResponseMeta::read(304, &answer.headers))
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
