//! Bytes that a connection has read and not used.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::patience::{On, Patience, Waited};
use crate::wire::Wire;

/// Bytes that a connection's buffer begins with; it grows up to the limit of heads.
const FIRST_BUFFER_BYTES: usize = 4 << 10;

/// What every HTTP/2 connection begins with, by its first bytes, which no HTTP/1 request has.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The buffer.
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
}

/// What an attempt to read more ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    More,
    Full,
    Closed,
    TimedOut,
    Shutdown,
}

impl Input {
    /// An empty buffer that grows up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, limit }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the bytes so far are those of the HTTP/2 preface: a method that is none.
    pub(crate) fn may_be_preface(&self) -> bool {
        let bytes = self.bytes();
        bytes.first() == Some(&b'P') && (bytes.starts_with(PREFACE) || PREFACE.starts_with(bytes))
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Puts bytes in that something else has read from the connection. The buffer must be empty.
    pub(crate) fn put(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            debug_assert!(self.bytes().is_empty());
            self.end = bytes.len();
            self.buffer = bytes;
        }
    }

    /// Gives the memory of an empty buffer back.
    pub(crate) fn release(&mut self) {
        if self.bytes().is_empty() {
            self.buffer = Vec::new();
        }
    }

    /// Reads until a head begins, or until more of one that has begun is there.
    pub(crate) async fn fill_head<W: Wire>(
        &mut self,
        wire: &mut W,
        patience: &mut Patience,
        deadline: Instant,
    ) -> io::Result<Filled> {
        loop {
            let idle = self.start == self.end;
            let scanned = self.end - self.start;
            let filled = self.fill(wire, patience, deadline, if idle { On::Shutdown } else { On::DataOnly }).await?;
            if idle {
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

    async fn fill<W: Wire>(
        &mut self,
        wire: &mut W,
        patience: &mut Patience,
        deadline: Instant,
        on: On,
    ) -> io::Result<Filled> {
        if !self.make_room() {
            return Ok(Filled::Full);
        }
        loop {
            match wire.try_read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(Filled::Closed),
                Ok(read) => {
                    self.end += read;
                    return Ok(Filled::More);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match patience.readable(wire, deadline, on).await? {
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
        let size = (self.buffer.len() * 2).max(FIRST_BUFFER_BYTES).min(self.limit);
        self.buffer.resize(size, 0);
        true
    }

    /// Reads a body of `length` bytes away; false if the connection ended or took too long.
    pub(crate) async fn drain<W: Wire>(
        &mut self,
        wire: &mut W,
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
            if !matches!(self.fill(wire, patience, deadline, On::DataOnly).await?, Filled::More) {
                return Ok(false);
            }
        }
    }
}
