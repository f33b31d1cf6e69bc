//! The body of a request, read from the connection when a bend asks for it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::chunks::{BadChunks, Chunks};
use super::parse::Framing;
use super::patience::{On, Patience, Waited};
use super::write::send_plain;
use crate::pace::BodyPace;
use crate::request::ReadBody;
use crate::wire::Wire;

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// What is taken in advance for a body that was announced: a viewer who only announces costs no more.
const FIRST_BYTES: u64 = 64 << 10;

/// What has become of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nobody asked for it.
    Unread,
    /// It has been read to its end.
    Read,
    /// It cannot be read, so that nobody knows where the next request begins.
    Broken,
}

/// A body that is not read yet, and the connection that it comes by.
pub(crate) struct RequestBody<'c, W> {
    pub(crate) wire: &'c mut W,
    pub(crate) patience: &'c mut Patience,
    pub(crate) framing: Framing,
    /// Bytes after the head that have been read already.
    pub(crate) here: &'c [u8],
    /// Whether the viewer waits for an interim answer before it sends (RFC 9110 §10.1.1).
    pub(crate) expects: bool,
    /// Longest time between two pieces.
    pub(crate) limit: Duration,
    pub(crate) reading: Reading,
    /// Bytes of `here` that belong to the body.
    pub(crate) used: usize,
    /// Bytes read that follow the body.
    pub(crate) after: Vec<u8>,
}

impl<W: Wire> ReadBody for RequestBody<'_, W> {
    fn collect(&mut self, limit: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(async move {
            self.reading = Reading::Broken;
            let body = match self.framing {
                Framing::Length(length) => self.sized(length, limit).await?,
                Framing::Chunked => self.chunked(limit).await?,
            };
            self.reading = Reading::Read;
            Ok(Bytes::from(body))
        })
    }
}

impl<W: Wire> RequestBody<'_, W> {
    async fn sized(&mut self, length: u64, limit: u64) -> Result<Vec<u8>, u16> {
        if length > limit {
            return Err(413);
        }
        let length = usize::try_from(length).map_err(|_| 413_u16)?;
        self.used = self.here.len().min(length);
        let mut body = self.here[..self.used].to_vec();
        if body.len() == length {
            return Ok(body);
        }
        self.invite().await?;
        let mut pace = BodyPace::new(self.limit, Instant::now());
        body.reserve_exact(length.min(usize::try_from(FIRST_BYTES).unwrap_or(0)).saturating_sub(body.len()));
        let mut piece = vec![0; READ_BYTES.min(length - body.len())];
        while body.len() < length {
            let wanted = piece.len().min(length - body.len());
            let read = self.read(&mut piece[..wanted], &mut pace).await?;
            body.extend_from_slice(&piece[..read]);
        }
        Ok(body)
    }

    async fn chunked(&mut self, limit: u64) -> Result<Vec<u8>, u16> {
        let status = |bad| match bad {
            BadChunks::Malformed => 400_u16,
            BadChunks::TooLarge => 413,
        };
        let (mut chunks, mut body) = (Chunks::new(limit), Vec::new());
        self.used = chunks.decode(self.here, &mut body).map_err(status)?;
        if chunks.is_done() {
            return Ok(body);
        }
        self.invite().await?;
        let mut pace = BodyPace::new(self.limit, Instant::now());
        let mut piece = vec![0; READ_BYTES];
        loop {
            let read = self.read(&mut piece, &mut pace).await?;
            let used = chunks.decode(&piece[..read], &mut body).map_err(status)?;
            if chunks.is_done() {
                self.after = piece[used..read].to_vec();
                return Ok(body);
            }
        }
    }

    /// Says that the body may come, if the viewer waits for that.
    async fn invite(&mut self) -> Result<(), u16> {
        if !self.expects {
            return Ok(());
        }
        send_plain(self.wire, b"HTTP/1.1 100 Continue\r\n\r\n", self.limit).await.map_err(|_| 400_u16)
    }

    async fn read(&mut self, piece: &mut [u8], pace: &mut BodyPace) -> Result<usize, u16> {
        loop {
            match self.wire.try_read(piece) {
                Ok(0) => return Err(400),
                Ok(read) => {
                    pace.came(read, Instant::now());
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(400),
            }
            match self.patience.readable(self.wire, pace.deadline(), On::DataOnly).await {
                Ok(Waited::Readable) => {}
                Ok(Waited::TimedOut | Waited::Shutdown) => return Err(408),
                Err(_) => return Err(400),
            }
        }
    }
}

#[cfg(test)]
mod tests;
