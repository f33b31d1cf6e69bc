//! Connections of one worker: how many, which are idle, and a request's way over one of them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anabranch_net::SharedClock;
use http::{Method, Response};
use hyper::body::Incoming;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Ask;
use super::answer::{Answer, Held};
use super::compile::Upstream;
use super::connect::{Link, connect};
use super::dns::Names;
use super::failure::Failure;
use super::trust::Trust;
use super::upload::Progress;
use super::way::Way;

/// Connections in use at once, per way and worker; more requests wait.
const MAX_BUSY: usize = 512;

/// Idle connections kept, per way and worker.
const MAX_IDLE: usize = 32;

/// Time between two looks for connections that have been idle for too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Connections of one worker.
pub(crate) struct Pool {
    trust: Trust,
    clock: SharedClock,
    names: Names,
    slots: Arc<Slots>,
    sweeper: Mutex<Option<AbortOnDropHandle<()>>>,
    opened: Counter,
    reused: Counter,
}

type Slots = Mutex<HashMap<Arc<Way>, Slot>>;

/// Connections that go one way.
#[derive(Debug)]
struct Slot {
    /// The newest last, each with the time until which it is kept.
    idle: Vec<(Link, Instant)>,
    busy: Arc<Semaphore>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(trust: Trust, clock: SharedClock) -> Self {
        Self {
            trust,
            clock,
            names: Names::default(),
            slots: Arc::default(),
            sweeper: Mutex::default(),
            opened: counter!("anabranch_edge_origin_connections_total", "kind" => "opened"),
            reused: counter!("anabranch_edge_origin_connections_total", "kind" => "reused"),
        }
    }

    /// Asks `upstream`. A reused connection that dies before an answer is replaced by a new one, once, if the request may be repeated:
    /// its method is safe, or nothing of it has been sent.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn fetch(&self, upstream: &Upstream, ask: &Ask) -> Result<Answer, Failure> {
        if let Some(own) = upstream.answer_itself(ask) {
            return Ok(own);
        }
        let way = upstream.way(ask.scheme);
        let permit = self.permit(way, upstream).await?;
        if let Some(link) = self.take(way) {
            self.reused.increment(1);
            match self.send(link, upstream, ask).await {
                Err(Lost { repeatable: true, .. }) => {}
                Err(lost) => return Err(lost.failure),
                Ok(sent) => return answer(sent, upstream, ask, permit),
            }
        }
        let link = connect(way, &self.names, &self.trust, upstream.patience).await?;
        self.opened.increment(1);
        let sent = self.send(link, upstream, ask).await.map_err(|lost| lost.failure)?;
        answer(sent, upstream, ask, permit)
    }

    async fn permit(&self, way: &Arc<Way>, upstream: &Upstream) -> Result<OwnedSemaphorePermit, Failure> {
        let busy = self.slots.lock().entry(way.clone()).or_insert_with(Slot::new).busy.clone();
        let permit = timeout(upstream.patience.attempt, busy.acquire_owned()).await;
        // Nobody closes the semaphore, so only time can run out.
        permit.ok().and_then(Result::ok).ok_or(Failure::Timeout("free a connection"))
    }

    fn take(&self, way: &Way) -> Option<Link> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(way)?;
        let now = Instant::now();
        // The newest is the likeliest to live; older ones run out of time by themselves.
        while let Some((link, until)) = slot.idle.pop() {
            if now < until && !link.sender.is_closed() {
                return Some(link);
            }
        }
        None
    }

    /// Takes an answer's connection back, if its body has been read to its end; otherwise it is closed.
    pub(crate) fn release(&self, answer: Answer) {
        if let Some(held) = answer.into_held() {
            self.put(held);
        }
    }

    fn put(&self, held: Held) {
        let Held { link, way, keepalive, .. } = held;
        if link.sender.is_closed() {
            return;
        }
        let mut slots = self.slots.lock();
        let slot = slots.entry(way).or_insert_with(Slot::new);
        slot.tidy(Instant::now());
        if slot.idle.len() < MAX_IDLE {
            slot.idle.push((link, Instant::now() + keepalive));
        }
        drop(slots);
        let mut sweeper = self.sweeper.lock();
        if sweeper.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            *sweeper = Some(AbortOnDropHandle::new(tokio::spawn(sweep(Arc::downgrade(&self.slots)))));
        }
    }

    async fn send(&self, mut link: Link, upstream: &Upstream, ask: &Ask) -> Result<Sent, Lost> {
        let request = upstream.request(ask, self.clock.now_ms())?;
        let progress = request.body().progress();
        let may_repeat = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        match timeout(upstream.response_time, link.sender.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Lost { failure: Failure::Protocol(error), repeatable: true }),
            Err(_) => return Err(Lost { failure: Failure::Timeout("free a connection"), repeatable: true }),
        }
        let patience = upstream.patience_for(ask);
        let sending = link.sender.try_send_request(request);
        tokio::pin!(sending);
        loop {
            match timeout(patience, &mut sending).await {
                // A body that still moves delays the answer, but is no silence.
                Err(_) if progress.has_moved() => {}
                Err(_) => return Err(Failure::Timeout("answer").into()),
                Ok(Ok(response)) => return Ok(Sent { response, link, progress: progress.clone() }),
                Ok(Err(mut refused)) => {
                    let unsent = refused.take_message().is_some();
                    let error = refused.into_error();
                    let repeatable = unsent || (may_repeat && is_dead_link(&error));
                    return Err(Lost { failure: Failure::Protocol(error), repeatable });
                }
            }
        }
    }
}

/// What has come of a request.
struct Sent {
    response: Response<Incoming>,
    link: Link,
    progress: Arc<Progress>,
}

/// A request without an answer.
struct Lost {
    failure: Failure,
    repeatable: bool,
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self { failure, repeatable: false }
    }
}

fn answer(sent: Sent, upstream: &Upstream, ask: &Ask, permit: OwnedSemaphorePermit) -> Result<Answer, Failure> {
    let Sent { response, link, progress } = sent;
    let way = upstream.way(ask.scheme).clone();
    let held = Held { link, way, keepalive: upstream.keepalive, progress, _permit: permit };
    Answer::check(&ask.method, response, upstream.response_time, held)
}

impl Slot {
    fn new() -> Self {
        Self { idle: Vec::new(), busy: Arc::new(Semaphore::new(MAX_BUSY)) }
    }

    fn tidy(&mut self, now: Instant) {
        self.idle.retain(|(link, until)| now < *until && !link.sender.is_closed());
    }

    fn is_used(&self) -> bool {
        // Each permit holds the semaphore as well, and so does each request that waits for one.
        !self.idle.is_empty() || Arc::strong_count(&self.busy) > 1
    }
}

/// Closes what has been idle for too long, until nothing is left.
async fn sweep(slots: Weak<Slots>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(slots) = slots.upgrade() else { return };
        let mut slots = slots.lock();
        let now = Instant::now();
        slots.retain(|_, slot| {
            slot.tidy(now);
            slot.is_used()
        });
        if slots.is_empty() {
            return;
        }
    }
}

/// Whether the connection was closed without any byte of an answer.
fn is_dead_link(error: &hyper::Error) -> bool {
    let is_io = || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<io::Error>);
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || is_io()
}
