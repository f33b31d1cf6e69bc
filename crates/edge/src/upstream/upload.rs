//! Bodies on their way to an origin.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes handed to the connection at once, so that it is seen how far it comes.
const PIECE_BYTES: usize = 64 << 10;

/// A request's body.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    rest: Bytes,
    progress: Arc<Progress>,
}

/// How far an upload has come, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Progress {
    moved: AtomicBool,
    done: AtomicBool,
}

impl Progress {
    /// Whether bytes have been taken since the last call.
    pub(super) fn has_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    /// Whether the connection has taken all bytes.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}

impl Upload {
    pub(super) fn new(bytes: Bytes) -> Self {
        let progress = Progress { done: AtomicBool::new(bytes.is_empty()), ..Progress::default() };
        Self { rest: bytes, progress: Arc::new(progress) }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.progress.moved.store(true, Ordering::Relaxed);
        self.progress.done.store(self.rest.is_empty(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
