//! The body of a request, between the connection that reads it and the bend that asks for it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::pace::BodyPace;
use crate::request::ReadBody;

/// What has come and has not been taken; the stream's window bounds it.
#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// All has come.
    whole: bool,
    /// Bytes taken since the window was last opened.
    taken: usize,
    waker: Option<Waker>,
}

/// Between the two.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<State>);

impl Inbox {
    /// More has come.
    pub(super) fn put(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        state.bytes.extend_from_slice(bytes);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.whole = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// How much has been taken since this was last asked.
    pub(super) fn taken(&self) -> usize {
        std::mem::take(&mut self.0.lock().taken)
    }

    /// What lies here for nobody; the window of the connection is to be opened by it.
    pub(super) fn abandon(&self) -> usize {
        let mut state = self.0.lock();
        std::mem::take(&mut state.bytes).len() + std::mem::take(&mut state.taken)
    }

    /// What has come; nothing at the body's end.
    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<BytesMut>> {
        let mut state = self.0.lock();
        if !state.bytes.is_empty() {
            state.taken += state.bytes.len();
            return Poll::Ready(Some(std::mem::take(&mut state.bytes)));
        }
        if state.whole {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The body of a request, which is not read yet.
#[derive(Debug)]
pub(super) struct RequestBody {
    inbox: Option<Arc<Inbox>>,
    /// As announced.
    length: u64,
    /// Longest time between two pieces.
    limit: Duration,
}

impl RequestBody {
    /// One that comes by `inbox`; without one there is none.
    pub(super) fn new(inbox: Option<Arc<Inbox>>, length: Option<u64>, limit: Duration) -> Self {
        Self { inbox, length: length.unwrap_or(0), limit }
    }

    async fn read(&mut self, limit: u64) -> Result<Bytes, u16> {
        let Some(inbox) = self.inbox.take() else { return Ok(Bytes::new()) };
        if self.length > limit {
            return Err(413);
        }
        let mut pace = BodyPace::new(self.limit, Instant::now());
        let mut body = BytesMut::new();
        loop {
            let piece = timeout_at(pace.deadline(), poll_fn(|cx| inbox.poll_take(cx))).await.map_err(|_| 408_u16)?;
            let Some(piece) = piece else { return Ok(body.freeze()) };
            if (body.len() + piece.len()) as u64 > limit {
                return Err(413);
            }
            pace.came(piece.len(), Instant::now());
            if body.is_empty() {
                body = piece;
            } else {
                body.extend_from_slice(&piece);
            }
        }
    }
}

impl ReadBody for RequestBody {
    fn collect(&mut self, limit: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(self.read(limit))
    }
}
