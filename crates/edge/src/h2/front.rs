//! A connection's bytes, and the river for its streams.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_net::Shutdown;
use bytes::Bytes;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, sleep_until};

use super::bells::Hub;
use super::connection::{Connection, Farewell};
use super::frame::{HEAD_BYTES, MAX_FRAME_BYTES, push_headers, push_ping};
use super::inbox::RequestBody;
use super::lane::{Lane, Paper};
use super::life::{Judge, Limits, Probe, Probing, Signs, Verdict};
use super::outgoing::{Outgoing, PIECE_BYTES, Piece};
use crate::answer::Answer;
use crate::h1::linger;
use crate::request::Version;
use crate::viewer::Viewer;
use crate::wire::Wire;
use crate::worker::Worker;

/// Turns of connection and streams before other connections of the thread get theirs.
const TURNS: usize = 16;

/// Bytes of frames that are made before they are written: what TLS encrypts at once.
const OUT_BYTES: usize = 128 << 10;

/// With more waiting to go, as answers to what a viewer sends, nothing more is read from it.
const MAX_OUT_BYTES: usize = 256 << 10;

/// Slices of one write.
const MAX_SLICES: usize = 32;

/// A write that is no larger may be a probe or an acknowledgement: no sign that the viewer takes anything.
const SMALL_WRITE_BYTES: usize = 64;

/// Bytes that a connection's buffer begins with; it grows up to the longest frame.
const FIRST_BUFFER_BYTES: usize = 4 << 10;

/// Content that is no shorter counts as use of the connection.
const USEFUL_BYTES: usize = 1 << 10;

/// How a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    /// All that was to be sent has been.
    #[error("farewell has been said")]
    Over,
    #[error("the viewer has closed it")]
    Closed,
    #[error("its viewer does nothing")]
    Cut,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves an HTTP/2 connection, of which `read` has been read, until it ends, has had nothing to do for too long, or takes nothing.
pub(crate) async fn serve<W: Wire>(
    worker: &Arc<Worker>,
    wire: W,
    read: Vec<u8>,
    mut viewer: Viewer,
    shutdown: &Shutdown,
) {
    viewer.connection.version = Version::Http2;
    let config = worker.config();
    let address = viewer.address;
    let limits = Limits { first: config.header_timeout, idle: config.idle_timeout, stall: config.write_timeout };
    let began = Instant::now();
    let (mut judge, mut probe) = (Judge::new(limits, began), Probe::new(began));
    let mut look = pin!(sleep_until(began + limits.first.min(limits.stall)));
    let mut closing = None;
    let mut front = Front::new(worker, wire, read, viewer);
    let end = loop {
        let serving = poll_fn(|cx| front.poll(cx));
        tokio::select! {
            biased;
            end = serving => break end,
            () = shutdown.cancelled(), if closing.is_none() => {
                closing = Some(Instant::now());
                front.connection.announce_end();
                let soon = look.deadline().min(Instant::now() + limits.first);
                look.as_mut().reset(soon);
            }
            () = look.as_mut() => {
                let (now, signs) = (Instant::now(), front.signs());
                let mut again = match judge.judge(&signs, now) {
                    Verdict::Fine(again) => again,
                    Verdict::Idle if closing.is_none() => {
                        closing = Some(now);
                        front.connection.announce_end();
                        now + limits.first
                    }
                    Verdict::Idle | Verdict::Stalled => break End::Cut,
                };
                if let Some(since) = closing.filter(|_| !signs.open) {
                    if now >= since + limits.first {
                        break End::Cut;
                    }
                    again = again.min(since + limits.first);
                }
                match probe.look(&signs, now) {
                    Probing::Fine(then) => again = again.min(then),
                    Probing::Ask(then) => {
                        push_ping(front.connection.outbox.own(), 0, [0; 8]);
                        again = again.min(then);
                    }
                    Probing::Gone => break End::Cut,
                }
                front.tidy();
                look.as_mut().reset(again);
            }
        }
    };
    tracing::debug!(viewer.address = %address, %end, "http/2 connection ended");
    match end {
        End::Over => linger(front.into_wire(), true).await,
        // The viewer may be gone already, which is what is wanted.
        End::Closed => drop(front.into_wire().finish()),
        End::Cut | End::Io(_) => {}
    }
}

/// A connection and all that it works with.
struct Front<W> {
    wire: W,
    input: Input,
    connection: Connection,
    worker: Arc<Worker>,
    viewer: Viewer,
    hub: Arc<Hub>,
    /// Whether the kernel takes no bytes.
    blocked: bool,
    /// Whether the wire keeps nothing back.
    flushed: bool,
    /// Writes that the kernel took, and readings.
    written: u64,
    heard: u64,
}

impl<W: Wire> Front<W> {
    fn new(worker: &Arc<Worker>, wire: W, read: Vec<u8>, viewer: Viewer) -> Self {
        let mut front = Self {
            wire,
            input: Input { end: read.len(), bytes: read, start: 0, wanted: HEAD_BYTES },
            connection: Connection::new(worker.config().max_head_bytes),
            worker: worker.clone(),
            viewer,
            hub: Arc::new(Hub::default()),
            blocked: false,
            flushed: true,
            written: 0,
            heard: 0,
        };
        front.receive();
        front
    }

    fn into_wire(self) -> W {
        self.wire
    }

    fn signs(&self) -> Signs {
        let connection = &self.connection;
        let takes = connection.streams.iter().any(|stream| stream.outgoing.as_ref().is_some_and(|body| !body.waits));
        Signs {
            open: !connection.streams.are_over(),
            waiting: takes || self.blocked,
            heading: connection.heading.is_some(),
            progress: connection.progress + self.written,
            heard: self.heard,
        }
    }

    /// Ends what nobody waits for, and gives back what only busy connections need.
    fn tidy(&mut self) {
        self.connection.dismiss_all();
        self.connection.shrink();
        self.input.release();
    }

    /// Moves everything on that can be. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.hub.look(cx);
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) if has_budget_remaining() => {}
                Ok(true) => break,
                Ok(false) => {
                    self.hub.look_away();
                    if !self.has_rung() {
                        return Poll::Pending;
                    }
                    self.hub.look(cx);
                }
                Err(end) => return Poll::Ready(end),
            }
        }
        self.hub.look_away();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn has_rung(&self) -> bool {
        self.connection.streams.iter().any(|stream| stream.lane.as_ref().is_some_and(|lane| lane.bell.has_rung()))
    }

    /// Whether anything got further.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut further = self.read(cx)?;
        self.begin();
        further |= self.answer();
        self.send();
        further |= self.write(cx)?;
        if self.connection.is_over() && self.flushed && self.connection.outbox.is_empty() {
            return Err(End::Over);
        }
        Ok(further)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.connection.farewell == Farewell::Failed || self.connection.outbox.len() > MAX_OUT_BYTES {
            return Ok(false);
        }
        for _ in 0..2 {
            match self.wire.try_read(self.input.room()) {
                Ok(0) => return Err(End::Closed),
                Ok(read) => {
                    self.input.end += read;
                    self.heard += 1;
                    self.receive();
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) => {}
            }
            match self.wire.poll_readable(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(false),
            }
        }
        // The socket goes on bringing what is no content: others first.
        cx.waker().wake_by_ref();
        Ok(false)
    }

    fn receive(&mut self) {
        match self.connection.receive(self.input.bytes()) {
            Ok((used, wanted)) => self.input.consume(used, wanted),
            Err(reason) => {
                tracing::debug!(viewer.address = %self.viewer.address, ?reason, "http/2 connection failed");
                self.connection.fail(reason);
            }
        }
    }

    /// Gives requests that have come to lanes.
    fn begin(&mut self) {
        let connection = &mut self.connection;
        while let Some(id) = connection.begun.pop_front() {
            // It may have been reset.
            let Some(index) = connection.streams.find(id) else { continue };
            let lane = connection.lanes.pop().unwrap_or_else(|| Lane::new(&self.worker, &self.viewer, &self.hub));
            let stream = connection.streams.get(index);
            let Some(paper) = stream.asked.take() else { continue };
            let body = RequestBody::new(stream.inbox.clone(), stream.length, self.worker.config().header_timeout);
            stream.lane.insert(lane).ask(paper, body);
        }
    }

    /// Goes on with the streams whose bells have rung; whether there were any.
    fn answer(&mut self) -> bool {
        let (mut any, mut index) = (false, 0);
        while index < self.connection.streams.len() {
            let stream = self.connection.streams.get(index);
            let id = stream.id;
            let Some(lane) = stream.lane.as_mut().filter(|lane| lane.bell.take()) else {
                index += 1;
                continue;
            };
            any = true;
            let polled = lane.poll();
            self.connection.settle_inbox(index);
            match polled {
                Poll::Ready((answer, paper)) => self.answered(index, answer, paper),
                Poll::Pending => self.connection.queue(index),
            }
            // Another stream may stand in the place of one that is over.
            if self.connection.streams.find(id) == Some(index) {
                index += 1;
            }
        }
        any
    }

    /// Sends an answer's head, and has its body sent.
    fn answered(&mut self, index: usize, answer: Answer, paper: Paper) {
        let Answer { status, body, mut record, .. } = answer;
        let head = paper.scratch.head.as_bytes();
        record.sent(head.len() as u64);
        let lines = memchr::memchr(b'\n', head).map_or(&head[..0], |end| &head[end + 1..]);
        let outgoing = Outgoing::begin(body, record);
        let Connection { outbox, encoder, streams, .. } = &mut self.connection;
        let stream = streams.get(index);
        push_headers(outbox.own(), stream.id, outgoing.is_none(), |out| encoder.encode(status, lines, out));
        stream.outgoing = outgoing;
        let over = stream.outgoing.is_none();
        self.connection.keep_paper(paper);
        self.connection.calm.answered();
        if over {
            self.connection.finish(index);
        } else {
            self.connection.queue(index);
        }
    }

    /// Makes frames of the bodies in the queue, as far as windows and the wire allow.
    fn send(&mut self) {
        let connection = &mut self.connection;
        while !self.blocked && connection.outbox.len() < OUT_BYTES {
            let Some(id) = connection.sending.pop_front() else { return };
            let Some(index) = connection.streams.find(id) else { continue };
            let stream = connection.streams.get(index);
            let (Some(body), Some(lane)) = (&mut stream.outgoing, &stream.lane) else { continue };
            let room = stream.send_window.min(connection.send_window).max(0);
            match body.take(&mut lane.context(), usize::try_from(room).unwrap_or(PIECE_BYTES)) {
                Piece::Bytes(bytes, last) => {
                    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                    stream.send_window -= length;
                    connection.send_window -= length;
                    connection.progress += 1;
                    frames(connection, id, bytes, last);
                    if last {
                        connection.finish(index);
                    } else {
                        connection.sending.push_back(id);
                    }
                }
                Piece::NoRoom if stream.send_window > 0 => {
                    // The connection's window is closed, for all.
                    connection.sending.push_front(id);
                    return;
                }
                Piece::NoRoom | Piece::Waits => stream.queued = false,
                Piece::Broken => connection.break_off(index),
            }
        }
    }

    /// Writes what is in the outbox; whether anything was.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut any = false;
        loop {
            let outbox = &mut self.connection.outbox;
            let tried = if outbox.is_empty() {
                if self.flushed {
                    self.blocked = false;
                    return Ok(any);
                }
                self.wire.try_flush().map(|()| self.flushed = true)
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let used = outbox.slices(&mut slices);
                match self.wire.try_write_vectored(&slices[..used]) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        outbox.consume(written);
                        self.flushed = false;
                        self.written += u64::from(written > SMALL_WRITE_BYTES);
                        any = true;
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            };
            match tried {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    match self.wire.poll_writable(cx) {
                        Poll::Ready(ready) => ready?,
                        Poll::Pending => return Ok(any),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Puts a piece of a body in the outbox.
fn frames(connection: &mut Connection, id: u32, mut bytes: Bytes, last: bool) {
    if last || bytes.len() >= USEFUL_BYTES {
        connection.calm.useful();
    }
    loop {
        let frame = bytes.split_to(bytes.len().min(MAX_FRAME_BYTES));
        connection.outbox.data(id, frame, last && bytes.is_empty());
        if bytes.is_empty() {
            return;
        }
    }
}

/// What has been read and is no whole frame yet.
struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that have to be here before there is anything to do.
    wanted: usize,
}

impl Input {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn consume(&mut self, used: usize, wanted: usize) {
        self.start += used;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        self.wanted = wanted;
    }

    /// Where more goes.
    fn room(&mut self) -> &mut [u8] {
        if self.start + self.wanted.max(1) > self.bytes.len() || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let size = if self.wanted > FIRST_BUFFER_BYTES { MAX_FRAME_BYTES + HEAD_BYTES } else { FIRST_BUFFER_BYTES };
            if self.bytes.len() < size || self.end == self.bytes.len() {
                self.bytes.resize(size.max(self.end + HEAD_BYTES), 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Gives the memory of an empty buffer back.
    fn release(&mut self) {
        if self.start == self.end {
            self.bytes = Vec::new();
            (self.start, self.end) = (0, 0);
        }
    }
}
