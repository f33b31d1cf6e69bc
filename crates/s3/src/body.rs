//! Bodies: those that arrive, with patience that ends, and those of objects.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_store::buckets::Pieces;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes read from a file at once.
const READ_BYTES: usize = 512 * 1024;

/// Nothing came for too long.
#[derive(Debug)]
pub(crate) struct Idle(Duration);

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} s", Self::MARK, self.0.as_secs())
    }
}

impl Idle {
    /// How its text begins, by which it is known where it was wrapped.
    pub(crate) const MARK: &str = "no byte of the body came";
}

impl std::error::Error for Idle {}

/// A body that fails when nothing comes for a while. Time counts only while it is waited for.
pub(crate) struct Patient<B> {
    body: B,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl<B> Patient<B> {
    pub(crate) fn new(body: B, idle: Duration) -> Self {
        Self { body, idle, deadline: Box::pin(tokio::time::sleep(idle)), is_waiting: false }
    }
}

impl<B> Body for Patient<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.is_waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if !this.is_waiting {
            this.is_waiting = true;
            this.deadline.as_mut().reset(Instant::now() + this.idle);
        }
        match this.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Box::new(Idle(this.idle))))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an object, read as they are sent.
pub(crate) struct FileBody {
    file: tokio::fs::File,
    left: u64,
}

impl FileBody {
    /// The next `len` bytes of `file`.
    pub(crate) fn new(mut file: tokio::fs::File, len: u64) -> Self {
        file.set_max_buf_size(READ_BYTES);
        Self { file, left: len }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let want = usize::try_from(self.left).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut chunk = BytesMut::zeroed(want);
        let mut buffer = ReadBuf::new(&mut chunk);
        match Pin::new(&mut self.file).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {
                let read = buffer.filled().len();
                if read == 0 {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                self.left -= read as u64;
                metrics::counter!("anabranch_s3_sent_bytes_total").increment(read as u64);
                chunk.truncate(read);
                Poll::Ready(Some(Ok(Frame::data(chunk.freeze()))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Bytes of an object that is elsewhere, as they come.
pub(crate) struct PiecesBody(pub(crate) Pieces);

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.0.poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            metrics::counter!("anabranch_s3_sent_bytes_total").increment(piece.len() as u64);
        }
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(io::Error::other)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.left())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn patience_ends_where_nothing_comes() {
        let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, io::Error>>(4);
        let mut body = Patient::new(StreamBody::new(Receiving(receiver)), Duration::from_millis(50));
        for _ in 0..3 {
            sender.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.unwrap();
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(body.frame().await.unwrap().unwrap_err().is::<Idle>());
    }

    struct Receiving(mpsc::Receiver<Result<Frame<Bytes>, io::Error>>);

    impl futures_core::Stream for Receiving {
        type Item = Result<Frame<Bytes>, io::Error>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.poll_recv(cx)
        }
    }
}
