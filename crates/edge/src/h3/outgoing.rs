//! Bodies of answers on their way out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::access_log::Ending;
use crate::answer::Body;
use crate::buffers::slice;
use crate::flight::{Broken, Follower};
use crate::object::Object;
use crate::record::Record;

/// Bytes of a file that are read at once: what a stream that is not taken holds.
const READ_BYTES: usize = 64 << 10;

type Step = Pin<Box<dyn Future<Output = (Follower, Result<Option<Bytes>, Broken>)> + Send>>;

enum Outflow {
    Empty,
    Bytes(Bytes),
    Stored { object: Arc<Object>, at: u64, end: u64 },
    Growing { step: Option<Step>, at: u64, end: u64 },
}

impl Outflow {
    fn of(body: Body) -> Self {
        match body {
            Body::Empty => Self::Empty,
            Body::Bytes(bytes) if bytes.is_empty() => Self::Empty,
            Body::Bytes(bytes) => Self::Bytes(bytes),
            Body::Stored { object, start, end } => Self::Stored { object, at: start, end },
            Body::Growing { follower, start, end } => {
                Self::Growing { step: Some(step(follower, start, end)), at: start, end }
            }
        }
    }
}

fn step(mut follower: Follower, at: u64, end: u64) -> Step {
    Box::pin(async move {
        let next = follower.next(at, end).await;
        (follower, next)
    })
}

/// A body on its way out, counted as it goes.
pub(super) struct Outgoing {
    source: Outflow,
    record: Record,
}

impl Outgoing {
    pub(super) fn new(body: Body, record: Record) -> Self {
        let source = Outflow::of(body);
        let mut outgoing = Self { source, record };
        if outgoing.is_end_stream() {
            outgoing.record.ended(Ending::Whole);
        }
        outgoing
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        match &mut self.source {
            Outflow::Empty => Poll::Ready(Ok(None)),
            Outflow::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Outflow::Empty;
                Poll::Ready(Ok(Some(bytes)))
            }
            Outflow::Stored { object, at, end } => {
                let bytes = slice(&object.body, *at, *end, READ_BYTES).map_err(|_| Broken)?;
                *at += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                if bytes.is_none() && *at < *end {
                    return Poll::Ready(Err(Broken));
                }
                Poll::Ready(Ok(bytes))
            }
            Outflow::Growing { step: waiting, at, end } => {
                let Some(future) = waiting else { return Poll::Ready(Ok(None)) };
                let Poll::Ready((follower, next)) = future.as_mut().poll(cx) else { return Poll::Pending };
                *waiting = None;
                match next {
                    Ok(Some(bytes)) => {
                        *at += bytes.len() as u64;
                        *waiting = Some(step(follower, *at, *end));
                        Poll::Ready(Ok(Some(bytes)))
                    }
                    Ok(None) if *end != u64::MAX && *at < *end => Poll::Ready(Err(Broken)),
                    Ok(None) => Poll::Ready(Ok(None)),
                    Err(broken) => Poll::Ready(Err(broken)),
                }
            }
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let polled = this.poll_bytes(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Ok(Some(bytes))) => {
                this.record.sent(bytes.len() as u64);
                // Nobody asks again after the last bytes of a known length.
                if this.is_end_stream() {
                    this.record.ended(Ending::Whole);
                }
            }
            Poll::Ready(Ok(None)) => this.record.ended(Ending::Whole),
            Poll::Ready(Err(Broken)) => this.record.ended(Ending::Broken),
        }
        polled.map(|next| next.transpose().map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Outflow::Empty => true,
            Outflow::Stored { at, end, .. } => at >= end,
            Outflow::Bytes(_) | Outflow::Growing { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Outflow::Empty => SizeHint::with_exact(0),
            Outflow::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Outflow::Stored { at, end, .. } => SizeHint::with_exact(end - at),
            Outflow::Growing { at, end, .. } if *end != u64::MAX => SizeHint::with_exact(end - at),
            Outflow::Growing { .. } => SizeHint::default(),
        }
    }
}
