//! The connection loop: read a head, answer it, again.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::Shutdown;
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::parse::{Framing, Parsed, Parts, parse};
use super::patience::{On, Patience, Waited};
use super::write::{Marking, send};
use crate::deliver::Answer;
use crate::request::{ReadBody, Scheme};
use crate::river::{Scratch, answer, answer_unread};
use crate::worker::Worker;

/// Bytes that a connection's buffer begins with; it grows up to the limit of heads.
const FIRST_BUFFER_BYTES: usize = 4 << 10;

/// Largest request body that is read away so that the connection can go on; with a larger one it is closed.
const MAX_DRAINED_BYTES: u64 = 64 << 10;

/// Time and bytes for which a closing connection still reads, so that the viewer gets the answer and not a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 << 10;

/// Requests answered without a pause before other connections of the thread get their turn.
const TURN_REQUESTS: u32 = 64;

/// What every HTTP/2 connection begins with, by its first bytes, which no HTTP/1 request has.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection goes on.
pub(crate) enum Begun {
    /// It is over.
    Closed,
    /// It speaks HTTP/2; these bytes have been read.
    Http2(TcpStream, Vec<u8>),
}

/// A body that is not read yet.
struct Unread;

impl ReadBody for Unread {
    fn collect(&mut self, _: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(std::future::ready(Err(413)))
    }
}

/// Bytes that have been read and not used.
struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
}

enum Filled {
    More,
    Full,
    Closed,
    TimedOut,
    Shutdown,
}

/// Serves a connection until it ends or turns out to speak HTTP/2.
///
/// # Errors
/// The viewer is gone or too slow, or an origin's body broke off. Nobody needs to act on it.
pub(crate) async fn serve(
    worker: &Arc<Worker>,
    stream: TcpStream,
    peer: IpAddr,
    shutdown: &Shutdown,
) -> io::Result<Begun> {
    let config = worker.config();
    let mut table = arc_swap::Cache::new(worker.table());
    let mut input = Input::new(config.max_head_bytes);
    let mut scratch = Scratch::default();
    let mut patience = Patience::new(shutdown.clone(), config.header_timeout);
    // The first request has to come soon, later ones may take their time.
    let mut deadline = Instant::now() + config.header_timeout;
    let mut first = true;
    let mut turn = 0;
    loop {
        let whole_head = match parse(input.bytes(), Scheme::Http, peer) {
            _ if first && input.may_be_preface() => None,
            Parsed::Partial => None,
            parsed => Some(parsed),
        };
        let Some(parsed) = whole_head else {
            if first && input.bytes().starts_with(PREFACE) {
                return Ok(Begun::Http2(stream, input.bytes().to_vec()));
            }
            match input.fill_head(&stream, &mut patience, &mut deadline, config.header_timeout).await? {
                Filled::More => {}
                Filled::Closed | Filled::Shutdown => return Ok(Begun::Closed),
                Filled::TimedOut if input.bytes().is_empty() => return Ok(Begun::Closed),
                Filled::TimedOut => return refuse(worker, stream, 408, &mut scratch).await,
                Filled::Full => return refuse(worker, stream, 431, &mut scratch).await,
            }
            turn = 0;
            continue;
        };
        let parts = match parsed {
            Parsed::Whole(parts) => parts,
            Parsed::Bad(status) => return refuse(worker, stream, status, &mut scratch).await,
            Parsed::Partial => continue,
        };
        first = false;
        let answer = answer(worker, table.load(), &parts.request, &mut Unread, &mut scratch).await;
        let plan = Plan::of(&parts, &answer, shutdown);
        let (go_on, drained) = (plan.go_on, plan.drained);
        let head_bytes = parts.head_bytes;
        finish_head(&mut scratch, plan.marking, go_on, parts.http_1_0);
        deliver(&stream, &scratch, answer, plan.marking, config.write_timeout).await?;
        input.consume(head_bytes);
        if !go_on {
            linger(stream, drained != Some(0) || !input.bytes().is_empty()).await;
            return Ok(Begun::Closed);
        }
        if let Some(length) = drained.filter(|length| *length > 0)
            && !input.drain(&stream, &mut patience, length, config.header_timeout).await?
        {
            return Ok(Begun::Closed);
        }
        turn += 1;
        if turn >= TURN_REQUESTS {
            turn = 0;
            tokio::task::yield_now().await;
        }
        let begun = !input.bytes().is_empty();
        deadline = Instant::now() + if begun { config.header_timeout } else { config.idle_timeout };
    }
}

/// How the answer goes out and what becomes of the connection.
struct Plan {
    marking: Marking,
    go_on: bool,
    /// Length of the request body, if it is one that is read away.
    drained: Option<u64>,
}

impl Plan {
    fn of(parts: &Parts<'_>, answer: &Answer, shutdown: &Shutdown) -> Self {
        let drained = match parts.framing {
            Framing::Length(length) if length <= MAX_DRAINED_BYTES => Some(length),
            Framing::Length(_) | Framing::Chunked => None,
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
async fn deliver(
    stream: &TcpStream,
    scratch: &Scratch,
    answer: Answer,
    marking: Marking,
    limit: Duration,
) -> io::Result<()> {
    let Answer { body, mut record, .. } = answer;
    send(stream, scratch.head.as_bytes(), body, marking, limit, &mut record).await
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
async fn refuse(worker: &Arc<Worker>, stream: TcpStream, status: u16, scratch: &mut Scratch) -> io::Result<Begun> {
    let answer = answer_unread(worker, status, scratch);
    finish_head(scratch, Marking::Length, false, false);
    deliver(&stream, scratch, answer, Marking::Length, worker.config().write_timeout).await?;
    linger(stream, true).await;
    Ok(Begun::Closed)
}

/// Closes in two steps (RFC 9112 §9.6): with unread bytes in the socket a plain close would reset the connection, and the answer
/// could be lost.
async fn linger(mut stream: TcpStream, unread: bool) {
    // The peer may be gone already, which is what is wanted.
    if !unread || stream.shutdown().await.is_err() {
        return;
    }
    let drained = async {
        let mut sink = [0; 4096];
        let mut left = LINGER_BYTES;
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut sink) {
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

impl Input {
    fn new(limit: usize) -> Self {
        Self { buffer: vec![0; FIRST_BUFFER_BYTES.min(limit)], start: 0, end: 0, limit }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the bytes so far are those of the HTTP/2 preface: a method that is none.
    fn may_be_preface(&self) -> bool {
        let bytes = self.bytes();
        bytes.first() == Some(&b'P') && (bytes.starts_with(PREFACE) || PREFACE.starts_with(bytes))
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads until more of a head is there; once it has begun, its end is due within `header_timeout`.
    async fn fill_head(
        &mut self,
        stream: &TcpStream,
        patience: &mut Patience,
        deadline: &mut Instant,
        header_timeout: Duration,
    ) -> io::Result<Filled> {
        loop {
            let idle = self.start == self.end;
            let scanned = self.end - self.start;
            let filled = self.fill(stream, patience, *deadline, if idle { On::Shutdown } else { On::DataOnly }).await?;
            if idle && matches!(filled, Filled::More) {
                *deadline = (*deadline).min(Instant::now() + header_timeout);
                return Ok(filled);
            }
            // Parsing the same bytes again for each one that trickles in would cost the square of the head's length.
            let fresh = &self.bytes()[scanned.saturating_sub(3)..];
            let ended = fresh.windows(2).any(|pair| pair == b"\n\n") || fresh.windows(4).any(|end| end == b"\r\n\r\n");
            if ended || !matches!(filled, Filled::More) {
                return Ok(filled);
            }
        }
    }

    async fn fill(
        &mut self,
        stream: &TcpStream,
        patience: &mut Patience,
        deadline: Instant,
        on: On,
    ) -> io::Result<Filled> {
        if !self.make_room() {
            return Ok(Filled::Full);
        }
        loop {
            match stream.try_read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(Filled::Closed),
                Ok(read) => {
                    self.end += read;
                    return Ok(Filled::More);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match patience.readable(stream, deadline, on).await? {
                Waited::Readable => {}
                Waited::TimedOut => return Ok(Filled::TimedOut),
                Waited::Shutdown => return Ok(Filled::Shutdown),
            }
        }
    }

    fn make_room(&mut self) -> bool {
        if self.end < self.buffer.len() {
            return true;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            return true;
        }
        if self.buffer.len() >= self.limit {
            return false;
        }
        let size = (self.buffer.len() * 2).min(self.limit);
        self.buffer.resize(size, 0);
        true
    }

    /// Reads a body of `length` bytes away; false if the connection ended or took too long.
    async fn drain(
        &mut self,
        stream: &TcpStream,
        patience: &mut Patience,
        length: u64,
        limit: Duration,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        loop {
            let here = (self.end - self.start).min(left);
            self.consume(here);
            left -= here;
            if left == 0 {
                return Ok(true);
            }
            if !matches!(self.fill(stream, patience, deadline, On::DataOnly).await?, Filled::More) {
                return Ok(false);
            }
        }
    }
}
