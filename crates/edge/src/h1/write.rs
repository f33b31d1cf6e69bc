//! Sending answers: head and body in one vectored write where they fit, files by the kernel where the wire lets it.

use std::io::{self, IoSlice, Write as _};
use std::time::Duration;

use bytes::Bytes;

use super::patience::writable;
use crate::answer::Body;
use crate::body::{FileBody, StoredBody};
use crate::buffers::slice;
use crate::flight::Follower;
use crate::record::Record;
use crate::segments::Segments;
use crate::wire::Wire;

/// Slices of one write.
const MAX_SLICES: usize = 16;

/// Bytes written without a pause before other connections of the thread get their turn; also the most that one call hands to
/// the kernel.
const TURN_BYTES: usize = 2 << 20;

/// Most bytes of a file that are read for one write, where the kernel cannot send it: what a TLS connection encrypts at once.
const READ_BYTES: usize = 128 << 10;

/// What the kernel says when it cannot read the file that it is to send.
const IO_FAILED: i32 = rustix::io::Errno::IO.raw_os_error();

/// How a body is marked off on the wire (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marking {
    /// By `Content-Length`, or it is empty.
    Length,
    /// By chunks.
    Chunks,
    /// By the end of the connection: HTTP/1.0.
    Close,
}

/// Sends `head`, which is complete, and `body`, counting into `record`.
///
/// # Errors
/// The viewer is gone or takes nothing for `limit`, or the body broke off at the origin: the connection has to be closed.
pub(crate) async fn send<W: Wire>(
    wire: &mut W,
    head: &[u8],
    body: Body,
    marking: Marking,
    limit: Duration,
    record: &mut Record,
) -> io::Result<()> {
    let mut out = Out { wire, limit, record };
    match body {
        Body::Empty => out.slices(&mut [IoSlice::new(head)]).await?,
        Body::Bytes(bytes) => out.slices(&mut [IoSlice::new(head), IoSlice::new(&bytes)]).await?,
        Body::Stored { object, start, end } => match &object.body {
            StoredBody::Memory(body) => out.memory(head, body, start, end).await?,
            StoredBody::File(file) if W::SENDS_FILES => out.file(head, file, &object.body, start, end).await?,
            StoredBody::File(_) => out.read(head, &object.body, start, end).await?,
        },
        Body::Growing { follower, start, end } => out.growing(head, follower, marking, start, end).await?,
    }
    out.flush().await
}

/// Writes a few bytes of the connection's own, such as an interim answer.
///
/// # Errors
/// As [`send`].
pub(crate) async fn send_plain<W: Wire>(wire: &mut W, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    while !bytes.is_empty() {
        match wire.try_write_vectored(&[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) => wait(wire, limit, error).await?,
        }
    }
    flush(wire, limit).await
}

async fn flush<W: Wire>(wire: &mut W, limit: Duration) -> io::Result<()> {
    while let Err(error) = wire.try_flush() {
        wait(wire, limit, error).await?;
    }
    Ok(())
}

/// Waits if that is what the error asks for.
async fn wait<W: Wire>(wire: &W, limit: Duration, error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock => writable(wire, limit).await,
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// A wire that an answer goes out by.
struct Out<'c, W> {
    wire: &'c mut W,
    limit: Duration,
    record: &'c mut Record,
}

impl<W: Wire> Out<'_, W> {
    async fn flush(&mut self) -> io::Result<()> {
        flush(self.wire, self.limit).await
    }

    /// Writes all of `slices`.
    async fn slices(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        let mut turn = 0;
        while !slices.is_empty() {
            match self.wire.try_write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.record.sent(written as u64);
                    turn += written;
                    IoSlice::advance_slices(&mut slices, written);
                    if turn >= TURN_BYTES && !slices.is_empty() {
                        turn = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    wait(self.wire, self.limit, error).await?;
                    turn = 0;
                }
            }
        }
        Ok(())
    }

    async fn memory(&mut self, head: &[u8], body: &Segments, start: u64, end: u64) -> io::Result<()> {
        let (mut head, mut at) = (head, start);
        loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut used = 0;
            if !head.is_empty() {
                slices[0] = IoSlice::new(head);
                used = 1;
            }
            used = body.fill(at, end, &mut slices, used);
            let batch: u64 = slices[usize::from(!head.is_empty())..used].iter().map(|slice| slice.len() as u64).sum();
            if used == 0 {
                return Ok(());
            }
            self.slices(&mut slices[..used]).await?;
            head = &[];
            at += batch;
            if at >= end {
                return Ok(());
            }
        }
    }

    /// Sends a file by the kernel, whose page cache is its memory.
    async fn file(
        &mut self,
        mut head: &[u8],
        file: &FileBody,
        body: &StoredBody,
        start: u64,
        end: u64,
    ) -> io::Result<()> {
        while !head.is_empty() {
            match self.wire.try_write_more(head) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.record.sent(written as u64);
                    head = &head[written..];
                }
                Err(error) => wait(self.wire, self.limit, error).await?,
            }
        }
        let (mut at, mut turn) = (start, 0);
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(TURN_BYTES);
            match self.wire.try_send_file(&file.file, file.start + at, left.min(TURN_BYTES - turn)) {
                // The file is shorter than it was: only the end of the connection tells the viewer.
                Ok(0) => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    file.spoil(&error);
                    return Err(error);
                }
                Ok(sent) => {
                    self.record.sent(sent as u64);
                    at += sent as u64;
                    turn += sent;
                    if turn >= TURN_BYTES && at < end {
                        turn = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    // A file system that cannot do it.
                    return self.read(&[], body, at, end).await;
                }
                Err(error) => {
                    if error.raw_os_error() == Some(IO_FAILED) {
                        file.spoil(&error);
                    }
                    wait(self.wire, self.limit, error).await?;
                    turn = 0;
                }
            }
        }
        Ok(())
    }

    /// Sends a file through memory, in large writes.
    async fn read(&mut self, mut head: &[u8], body: &StoredBody, start: u64, end: u64) -> io::Result<()> {
        let mut at = start;
        while let Some(bytes) = slice(body, at, end, READ_BYTES)? {
            self.slices(&mut [head, &bytes].map(IoSlice::new)).await?;
            head = &[];
            at += bytes.len() as u64;
            tokio::task::consume_budget().await;
        }
        if at < end { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Sends a body while it comes.
    async fn growing(
        &mut self,
        head: &[u8],
        mut follower: Follower,
        marking: Marking,
        start: u64,
        end: u64,
    ) -> io::Result<()> {
        let (mut head, mut at) = (Some(head), start);
        while let Some(bytes) = self.next(&mut follower, &mut head, at, end).await? {
            at += bytes.len() as u64;
            let first = head.take().unwrap_or(&[]);
            if marking == Marking::Chunks {
                let mut size = Vec::with_capacity(18);
                // Writing to a vector does not fail.
                let _ = write!(size, "{:x}\r\n", bytes.len());
                self.slices(&mut [first, &size, &bytes, b"\r\n"].map(IoSlice::new)).await?;
            } else {
                self.slices(&mut [first, &bytes].map(IoSlice::new)).await?;
            }
        }
        if marking != Marking::Chunks && end != u64::MAX && at < end {
            // Fewer bytes than announced: only the end of the connection tells the viewer.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let last: &[u8] = if marking == Marking::Chunks { b"0\r\n\r\n" } else { b"" };
        self.slices(&mut [head.unwrap_or(&[]), last].map(IoSlice::new)).await
    }

    /// The next bytes. The head goes alone if they are not there at once.
    async fn next(
        &mut self,
        follower: &mut Follower,
        head: &mut Option<&[u8]>,
        at: u64,
        end: u64,
    ) -> io::Result<Option<Bytes>> {
        let broken = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
        let ready = {
            let next = follower.next(at, end);
            tokio::pin!(next);
            tokio::select! {
                biased;
                bytes = &mut next => Some(bytes),
                () = std::future::ready(()) => None,
            }
        };
        if let Some(bytes) = ready {
            return bytes.map_err(broken);
        }
        if let Some(head) = head.take() {
            self.slices(&mut [IoSlice::new(head)]).await?;
        }
        self.flush().await?;
        follower.next(at, end).await.map_err(broken)
    }
}

#[cfg(test)]
mod tests;
