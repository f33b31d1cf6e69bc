//! One request, one answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anabranch_hls::render;
use anabranch_hls::timeline::{Progress, Timeline};
use anabranch_store::{Object, StoreError, key};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

use crate::bucket;
use crate::path::{self, Asked, What};
use crate::{Shared, TOKEN_HEADER};

/// Segments and init sections never change under their name.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

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
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
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
        })
    }
}

pub(crate) async fn answer<B>(shared: &Shared, request: &Request<B>) -> Response<Body> {
    let token = request.headers().get(TOKEN_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    if !same(token, shared.token.as_bytes()) {
        return text(StatusCode::FORBIDDEN, "only the edges of this house are answered here\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    let mut response = match (path.strip_prefix("/bucket/"), path::parse(path)) {
        (Some(name), _) => bucket::answer(&shared.store, name, request.headers()).await,
        (None, Some(asked)) => live(shared, &asked).await,
        (None, None) => return text(StatusCode::NOT_FOUND, "no such path\n"),
    };
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::Whole(None);
    }
    metrics::counter!("anabranch_origin_requests_total", "status_class" => class(response.status())).increment(1);
    response
}

async fn live(shared: &Shared, asked: &Asked) -> Response<Body> {
    match &asked.what {
        What::Object(name) => object(shared, asked, name).await,
        What::Multivariant | What::Media(_) => playlist(shared, asked),
    }
}

fn playlist(shared: &Shared, asked: &Asked) -> Response<Body> {
    let timelines = shared.timelines.borrow().clone();
    let Some(timeline) = timelines.get(&(asked.channel.clone(), asked.breakout.clone())) else {
        return text(StatusCode::NOT_FOUND, "no such breakout\n");
    };
    let timeline: Arc<Timeline> = timeline.borrow().clone();
    let rendered = match &asked.what {
        _ if !timeline.is_playable() => None,
        What::Media(rendition) => render::media(&timeline, rendition, u32::MAX),
        _ => Some(render::multivariant(&timeline)),
    };
    let Some(body) = rendered else {
        return text(StatusCode::NOT_FOUND, "there is not enough to play yet\n");
    };
    let lifetime = lifetime_seconds(&timeline, shared.clock.now_ms());
    let mut response = whole(StatusCode::OK, Bytes::from(body), "application/vnd.apple.mpegurl");
    if let Ok(value) = HeaderValue::from_str(&format!("max-age={lifetime}")) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}

/// Until the next segment is due, at least a second and at most half a segment: a copy at the edge is old for a second at most.
fn lifetime_seconds(timeline: &Timeline, now_ms: i64) -> u64 {
    let half = u64::from(timeline.target_duration_seconds / 2).max(1);
    if timeline.progress == Progress::Ended {
        return half;
    }
    let newest = timeline.renditions.iter().filter_map(|rendition| rendition.segments.back());
    let due_ms = newest.map(|s| s.program_date_time_ms + (2000.0 * s.duration_seconds) as i64).min().unwrap_or(now_ms);
    u64::try_from((due_ms - now_ms) / 1000).unwrap_or(0).clamp(1, half)
}

async fn object(shared: &Shared, asked: &Asked, name: &str) -> Response<Body> {
    let key = key::live_object(asked.channel.as_str(), asked.breakout.as_str(), name);
    let Object { file, len, .. } = match shared.store.get(&key).await {
        Ok(object) => object,
        Err(StoreError::NotFound { .. } | StoreError::InvalidKey { .. }) => {
            return text(StatusCode::NOT_FOUND, "no such object\n");
        }
        Err(error) => {
            tracing::error!(object.key = %key, error = %error, "an object cannot be read");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the object cannot be read\n");
        }
    };
    let kind = if name.starts_with("audio") { "audio/mp4" } else { "video/mp4" };
    let mut response = Response::new(Body::File { file: Box::new(file), left: len });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    // The name is the version: it is used for one body only.
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{name}\"")) {
        headers.insert(ETAG, tag);
    }
    response
}

fn text(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = whole(status, Bytes::from_static(words.as_bytes()), "text/plain; charset=utf-8");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NEGATIVE));
    response
}

pub(crate) fn whole(status: StatusCode, body: Bytes, kind: &'static str) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(Body::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
