//! The connection loop: read a head, answer it, again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::Shutdown;
use tokio::time::{Instant, timeout};

use super::body::{Reading, RequestBody};
use super::input::{Filled, Input, PREFACE};
use super::parse::{Framing, Parsed, Parts, parse};
use super::patience::{On, Patience, Waited};
use super::write::{Marking, send};
use crate::answer::Answer;
use crate::request::Connection;
use crate::river::{Scratch, answer, answer_unread};
use crate::viewer::{Unread, Viewer};
use crate::wire::Wire;
use crate::worker::Worker;

/// Largest request body that is read away so that the connection can go on; with a larger one it is closed.
const MAX_DRAINED_BYTES: u64 = 64 << 10;

/// Time and bytes for which a closing connection still reads, so that the viewer gets the answer and not a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 << 10;

/// Requests answered without a pause before other connections of the thread get their turn.
const TURN_REQUESTS: u32 = 64;

/// Time without a request after which a connection gives its buffers back.
const KEEP_BUFFERS: Duration = Duration::from_secs(1);

/// How a connection goes on.
pub(crate) enum Begun<W> {
    /// It is over.
    Closed,
    /// It speaks HTTP/2; these bytes have been read.
    Http2(W, Vec<u8>),
}

/// A connection between two requests, and while one is read.
struct Waiting {
    input: Input,
    scratch: Scratch,
    patience: Patience,
    /// When the next head has to be here.
    deadline: Instant,
    /// Until when buffers are kept though nothing comes.
    keep_until: Instant,
}

/// What a wait for a head ended with.
enum Came {
    More,
    /// The connection is over, without a word.
    Closed,
    /// It is refused by this status.
    Bad(u16),
}

/// Serves a connection until it ends or turns out to speak HTTP/2.
///
/// # Errors
/// The viewer is gone or too slow, or an origin's body broke off. Nobody needs to act on it.
pub(crate) async fn serve<W: Wire>(
    worker: &Arc<Worker>,
    mut wire: W,
    viewer: &Viewer,
    shutdown: &Shutdown,
) -> io::Result<Begun<W>> {
    let config = worker.config();
    let mut table = arc_swap::Cache::new(worker.table());
    let mut waiting = Waiting::new(config.max_head_bytes, shutdown, config.header_timeout);
    let mut first = W::PRIOR_KNOWLEDGE;
    let mut turn = 0;
    loop {
        let input = &waiting.input;
        let mut parts = match parse(input.bytes(), W::SCHEME, viewer.address) {
            Parsed::Whole(parts) if !(first && input.may_be_preface()) => parts,
            Parsed::Bad(status) if !(first && input.may_be_preface()) => {
                return refuse(worker, wire, (viewer, status), &mut waiting).await;
            }
            Parsed::Whole(_) | Parsed::Bad(_) | Parsed::Partial => {
                if first && input.bytes().starts_with(PREFACE) {
                    return Ok(Begun::Http2(wire, input.bytes().to_vec()));
                }
                match waiting.more(&mut wire, config.header_timeout).await? {
                    Came::More => {}
                    Came::Closed => return Ok(close(&mut wire)),
                    Came::Bad(status) => return refuse(worker, wire, (viewer, status), &mut waiting).await,
                }
                turn = 0;
                continue;
            }
        };
        first = false;
        if !viewer.may_ask(parts.request.host) {
            return refuse(worker, wire, (viewer, 421), &mut waiting).await;
        }
        parts.request.connection = Connection { version: parts.request.connection.version, ..viewer.connection };
        let mut body = RequestBody {
            here: &input.bytes()[parts.head_bytes..],
            wire: &mut wire,
            patience: &mut waiting.patience,
            framing: parts.framing,
            expects: parts.expects,
            limit: config.header_timeout,
            reading: Reading::Unread,
            used: 0,
            after: Vec::new(),
        };
        let answer = answer(worker, table.load(), &parts.request, &mut body, &mut waiting.scratch).await;
        let (reading, used, after) = (body.reading, parts.head_bytes + body.used, body.after);
        let plan = Plan::of(&parts, &answer, reading, shutdown);
        finish_head(&mut waiting.scratch, plan.marking, plan.go_on, parts.http_1_0);
        deliver(&mut wire, &waiting.scratch, answer, plan.marking, config.write_timeout).await?;
        waiting.input.consume(used);
        waiting.input.put(after);
        if !plan.go_on {
            linger(wire, plan.drained != Some(0) || !waiting.input.bytes().is_empty()).await;
            return Ok(Begun::Closed);
        }
        if let Some(length) = plan.drained.filter(|length| *length > 0)
            && !waiting.input.drain(&mut wire, &mut waiting.patience, length, config.header_timeout).await?
        {
            return Ok(close(&mut wire));
        }
        turn += 1;
        if turn >= TURN_REQUESTS {
            turn = 0;
            tokio::task::yield_now().await;
        }
        waiting.next(config.header_timeout, config.idle_timeout);
    }
}

impl Waiting {
    /// The first request has to come soon, later ones may take their time.
    fn new(max_head_bytes: usize, shutdown: &Shutdown, header_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            input: Input::new(max_head_bytes),
            scratch: Scratch::default(),
            patience: Patience::new(shutdown.clone(), header_timeout),
            deadline: now + header_timeout,
            keep_until: now + KEEP_BUFFERS,
        }
    }

    fn next(&mut self, header_timeout: Duration, idle_timeout: Duration) {
        let now = Instant::now();
        let begun = !self.input.bytes().is_empty();
        self.deadline = now + if begun { header_timeout } else { idle_timeout };
        self.keep_until = now + KEEP_BUFFERS;
    }

    /// Waits for more of a head. What stays idle gives its buffers back; from its first byte a head is due within
    /// `header_timeout`.
    async fn more<W: Wire>(&mut self, wire: &mut W, header_timeout: Duration) -> io::Result<Came> {
        let idle = self.input.bytes().is_empty();
        let until = if idle { self.deadline.min(self.keep_until) } else { self.deadline };
        let mut filled = self.input.fill_head(wire, &mut self.patience, until).await?;
        while idle && filled == Filled::TimedOut && until < self.deadline {
            self.input.release();
            self.scratch = Scratch::default();
            match self.patience.readable(wire, self.deadline, On::Shutdown).await? {
                Waited::Readable => {}
                Waited::TimedOut | Waited::Shutdown => return Ok(Came::Closed),
            }
            // What came may be less than a byte of a head: a part of a record of TLS.
            filled = self.input.fill_head(wire, &mut self.patience, self.keep_until).await?;
        }
        if idle && filled == Filled::More {
            self.deadline = self.deadline.min(Instant::now() + header_timeout);
        }
        Ok(match filled {
            Filled::More => Came::More,
            Filled::Closed | Filled::Shutdown => Came::Closed,
            Filled::TimedOut if idle => Came::Closed,
            Filled::TimedOut => Came::Bad(408),
            Filled::Full => Came::Bad(431),
        })
    }
}

/// How the answer goes out and what becomes of the connection.
struct Plan {
    marking: Marking,
    go_on: bool,
    /// Length of the request body that is left, if it is one that is read away.
    drained: Option<u64>,
}

impl Plan {
    fn of(parts: &Parts<'_>, answer: &Answer, reading: Reading, shutdown: &Shutdown) -> Self {
        let drained = match (reading, parts.framing) {
            (Reading::Read, _) | (Reading::Unread, Framing::Length(0)) => Some(0),
            // Whoever waited for an interim answer may send the body after all, or leave it out.
            (Reading::Unread, Framing::Length(length)) if length <= MAX_DRAINED_BYTES && !parts.expects => Some(length),
            (Reading::Unread, Framing::Length(_) | Framing::Chunked) | (Reading::Broken, _) => None,
        };
        let marking = match (answer.sized, parts.http_1_0) {
            (true, _) => Marking::Length,
            (false, false) => Marking::Chunks,
            (false, true) => Marking::Close,
        };
        let go_on = parts.keep_alive && marking != Marking::Close && drained.is_some() && !shutdown.is_cancelled();
        Self { marking, go_on, drained }
    }
}

/// Sends the answer and closes its record.
async fn deliver<W: Wire>(
    wire: &mut W,
    scratch: &Scratch,
    answer: Answer,
    marking: Marking,
    limit: Duration,
) -> io::Result<()> {
    let Answer { body, mut record, .. } = answer;
    let sent = send(wire, scratch.head.as_bytes(), body, marking, limit, &mut record).await;
    record.end(&sent);
    sent
}

fn finish_head(scratch: &mut Scratch, marking: Marking, go_on: bool, http_1_0: bool) {
    if marking == Marking::Chunks {
        scratch.head.lines(b"transfer-encoding: chunked\r\n");
    }
    match (go_on, http_1_0) {
        (false, _) => scratch.head.lines(b"connection: close\r\n\r\n"),
        (true, true) => scratch.head.lines(b"connection: keep-alive\r\n\r\n"),
        (true, false) => scratch.head.lines(b"\r\n"),
    }
}

/// Answers what is no request, and closes.
async fn refuse<W: Wire>(
    worker: &Arc<Worker>,
    mut wire: W,
    (viewer, status): (&Viewer, u16),
    waiting: &mut Waiting,
) -> io::Result<Begun<W>> {
    let scratch = &mut waiting.scratch;
    let received = Some(waiting.input.bytes().len() as u64);
    let answer = answer_unread(worker, Unread { viewer, status, received }, scratch);
    finish_head(scratch, Marking::Length, false, false);
    deliver(&mut wire, scratch, answer, Marking::Length, worker.config().write_timeout).await?;
    linger(wire, true).await;
    Ok(Begun::Closed)
}

/// Says goodbye where the wire has a word for it.
fn close<W: Wire>(wire: &mut W) -> Begun<W> {
    // The peer may be gone already, which is what is wanted.
    let _ = wire.finish();
    Begun::Closed
}

/// Closes in two steps (RFC 9112 §9.6): with unread bytes in the socket a plain close would reset the connection, and the answer
/// could be lost.
pub(crate) async fn linger<W: Wire>(mut wire: W, unread: bool) {
    if wire.finish().is_err() || !unread {
        return;
    }
    let drained = async {
        // On the heap: every connection has room for what its task may hold.
        let mut sink = vec![0; 4096];
        let mut left = LINGER_BYTES;
        while wire.readable().await.is_ok() {
            match wire.try_read(&mut sink) {
                Ok(0) => break,
                Ok(read) if read >= left => break,
                Ok(read) => left -= read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let _ = timeout(LINGER, drained).await;
}
