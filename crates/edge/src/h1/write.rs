//! Sending answers: head and body in one vectored write where they fit.

use std::io::{self, IoSlice, Write as _};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::patience::writable;
use crate::body::StoredBody;
use crate::deliver::Body;
use crate::flight::Follower;
use crate::record::Record;
use crate::segments::Segments;

/// Slices of one write.
const MAX_SLICES: usize = 16;

/// Bytes written without a pause before other connections of the thread get their turn.
const TURN_BYTES: usize = 2 << 20;

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
pub(crate) async fn send(
    stream: &TcpStream,
    head: &[u8],
    body: Body,
    marking: Marking,
    limit: Duration,
    record: &mut Record,
) -> io::Result<()> {
    match body {
        Body::Empty => send_slices(stream, &mut [IoSlice::new(head)], limit, record).await,
        Body::Bytes(bytes) => send_slices(stream, &mut [IoSlice::new(head), IoSlice::new(&bytes)], limit, record).await,
        Body::Stored { object, start, end } => match &object.body {
            StoredBody::Memory(body) => send_memory(stream, head, body, start, end, limit, record).await,
            StoredBody::File(_) => send_file(stream, head, &object.body, start, end, limit, record).await,
        },
        Body::Growing { follower, start, end } => {
            let mut growing = Growing { stream, follower, limit, marking, at: start, end };
            growing.send(head, record).await
        }
    }
}

async fn send_memory(
    stream: &TcpStream,
    head: &[u8],
    body: &Segments,
    start: u64,
    end: u64,
    limit: Duration,
    record: &mut Record,
) -> io::Result<()> {
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
        send_slices(stream, &mut slices[..used], limit, record).await?;
        head = &[];
        at += batch;
        if at >= end {
            return Ok(());
        }
    }
}

async fn send_file(
    stream: &TcpStream,
    head: &[u8],
    body: &StoredBody,
    start: u64,
    end: u64,
    limit: Duration,
    record: &mut Record,
) -> io::Result<()> {
    let (mut head, mut at) = (head, start);
    while let Some(bytes) = body.at(at, end)? {
        send_slices(stream, &mut [head, &bytes].map(IoSlice::new), limit, record).await?;
        head = &[];
        at += bytes.len() as u64;
    }
    Ok(())
}

/// Writes all of `slices`.
async fn send_slices(
    stream: &TcpStream,
    mut slices: &mut [IoSlice<'_>],
    limit: Duration,
    record: &mut Record,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    let mut turn = 0;
    while !slices.is_empty() {
        match stream.try_write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                record.sent += written as u64;
                turn += written;
                IoSlice::advance_slices(&mut slices, written);
                if turn >= TURN_BYTES && !slices.is_empty() {
                    turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                writable(stream, limit).await?;
                turn = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A body that is sent while it comes.
struct Growing<'s> {
    stream: &'s TcpStream,
    follower: Follower,
    limit: Duration,
    marking: Marking,
    at: u64,
    end: u64,
}

impl Growing<'_> {
    async fn send(&mut self, head: &[u8], record: &mut Record) -> io::Result<()> {
        let mut head = Some(head);
        while let Some(bytes) = self.next(&mut head, record).await? {
            self.at += bytes.len() as u64;
            let first = head.take().unwrap_or(&[]);
            if self.marking == Marking::Chunks {
                let mut size = Vec::with_capacity(18);
                // Writing to a vector does not fail.
                let _ = write!(size, "{:x}\r\n", bytes.len());
                let mut slices = [first, &size, &bytes, b"\r\n"].map(IoSlice::new);
                send_slices(self.stream, &mut slices, self.limit, record).await?;
            } else {
                send_slices(self.stream, &mut [first, &bytes].map(IoSlice::new), self.limit, record).await?;
            }
        }
        if self.marking != Marking::Chunks && self.end != u64::MAX && self.at < self.end {
            // Fewer bytes than announced: only the end of the connection tells the viewer.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let last: &[u8] = if self.marking == Marking::Chunks { b"0\r\n\r\n" } else { b"" };
        send_slices(self.stream, &mut [head.unwrap_or(&[]), last].map(IoSlice::new), self.limit, record).await
    }

    /// The next bytes. The head goes alone if they are not there at once.
    async fn next(&mut self, head: &mut Option<&[u8]>, record: &mut Record) -> io::Result<Option<Bytes>> {
        let broken = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
        let (at, end) = (self.at, self.end);
        let ready = {
            let next = self.follower.next(at, end);
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
            send_slices(self.stream, &mut [IoSlice::new(head)], self.limit, record).await?;
        }
        self.follower.next(at, end).await.map_err(broken)
    }
}
