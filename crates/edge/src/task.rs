//! A fetch under way: asks the origin, stores what may be stored, tells the followers.

use std::sync::Arc;

use anabranch_http_cache::Timing;
use anabranch_model::Encodings;
use http::header::{CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use crate::admit::admit;
use crate::body::StoredBody;
use crate::cache::Key;
use crate::compress::compress;
use crate::flight::{Flight, Landing};
use crate::forward::{Forwarded, Passing};
use crate::object::{Making, Object, ObjectHead, Varying};
use crate::rule::{Route, Rule};
use crate::upstream::{Answer, Failure, Upstream};
use crate::worker::Worker;

/// Time that a stale object is served without a question after its origin has failed, in milliseconds.
const RETRY_AFTER_FAILURE_MS: i64 = 1000;

/// A fetch, which ends whether or not the requests behind it do.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) worker: Arc<Worker>,
    pub(crate) rule: Arc<Rule>,
    pub(crate) forwarded: Forwarded,
    /// Invalidation sequence in force at its beginning.
    pub(crate) sequence: u64,
    /// Of the object, or of the variant that the request would have had.
    pub(crate) key: Key,
    /// Present if `key` is a variant's.
    pub(crate) primary: Option<Key>,
    pub(crate) codings: Encodings,
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
        let requested_ms = self.worker.clock().now_ms();
        let validators = self.prior.as_deref().map(validators).unwrap_or_default();
        self.forwarded.ask.headers.extend(validators.clone());
        let Some(route) = self.rule.route.clone() else { return };
        let fetched = self.ask(&route).await;
        let received_ms = self.worker.clock().now_ms();
        let failure = match fetched {
            Ok(answer) if self.passing != Passing::Nothing => return self.pass(answer, requested_ms, received_ms).await,
            Ok(answer) if answer.status == 304 && !validators.is_empty() => {
                return self.freshen(answer, requested_ms, received_ms).await;
            }
            Ok(answer) if answer.status < 200 || matches!(answer.status, 206 | 304) => Failure::Status(answer.status),
            Ok(answer) if answer.status >= 500 && self.may_serve_stale(received_ms) => Failure::Status(answer.status),
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
            Err(failure) => failure.may_fail_over(),
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
        Making {
            bounds: &self.rule.bounds,
            error_ttl: &*self.rule,
            cookies: !self.rule.telling.cookies.is_none(),
            sequence: self.sequence,
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
        head.keep = Err(anabranch_http_cache::NotStored::Passed);
        if self.forwarded.ask.method == http::Method::HEAD {
            head.length = head.length.or(Some(0));
        }
        if !self.forwarded.ask.method.is_safe() && answer.status < 400 {
            self.invalidate(&answer.headers);
        }
        self.flight.begin(Arc::new(head));
        while let Ok(Some(bytes)) = answer.next().await.inspect_err(|failure| self.report_any(failure)) {
            self.flight.grow(bytes);
            if self.flight.is_deserted() {
                return;
            }
            self.flight.room().await;
        }
    }
}
