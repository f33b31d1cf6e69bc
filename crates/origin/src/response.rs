//! What answers are made of: their bytes, and how long caches keep them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use anabranch_store::buckets::Pieces;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

/// Segments and init sections never change under their name.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// What does not exist may exist in a moment.
pub(crate) const NEGATIVE: &str = "max-age=1";

/// Bytes read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// The bytes of an answer.
#[derive(Debug)]
pub enum Body {
    /// Text in memory.
    Whole(Option<Bytes>),
    /// An object, read as it is sent.
    File {
        /// From where.
        file: Box<tokio::fs::File>,
        /// How much is left.
        left: u64,
    },
    /// An object that is elsewhere, as it comes.
    Remote(Pieces),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Remote(pieces) => {
                pieces.poll_next(cx).map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(io::Error::other)))
            }
            Self::File { left: 0, .. } => Poll::Ready(None),
            Self::File { file, left } => {
                let want = usize::try_from(*left).unwrap_or(READ_BYTES).min(READ_BYTES);
                let mut chunk = vec![0; want];
                let mut buffer = ReadBuf::new(&mut chunk);
                match Pin::new(&mut **file).poll_read(cx, &mut buffer) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                    Poll::Ready(Ok(())) => {
                        let read = buffer.filled().len();
                        if read == 0 {
                            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                        }
                        *left -= read as u64;
                        chunk.truncate(read);
                        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } => *left,
            Self::Remote(pieces) => pieces.left(),
        })
    }
}

/// An answer in memory.
pub(crate) fn whole(status: StatusCode, body: Bytes, kind: &'static str) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(Body::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}
