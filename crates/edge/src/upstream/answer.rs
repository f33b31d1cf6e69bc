//! An origin's answer, whose body is still to come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::connect::Link;
use super::failure::Failure;
use super::fields::{Framing, check_framing, may_trail, strip_hop_by_hop};
use super::upload::Progress;
use super::way::Way;

/// An origin's answer; its body is still to come. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Without hop-by-hop fields; at most one `Content-Length`.
    pub(crate) headers: HeaderMap,
    /// Whether a body that broke off would be noticed; one that ends with a plain connection would not.
    pub(crate) complete_known: bool,
    body: Body,
    held: Option<Held>,
}

#[derive(Debug)]
enum Body {
    /// From the connection, with the time between two pieces.
    Incoming(Incoming, Duration),
    /// From the edge in the origin's place.
    Own(Option<Bytes>),
}

/// The connection that an answer occupies.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) link: Link,
    pub(super) way: Arc<Way>,
    /// Time that it may be idle.
    pub(super) keepalive: Duration,
    pub(super) progress: Arc<Progress>,
    /// Counts it among the connections in use.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Answer {
    /// Checks what the parser has let pass.
    ///
    /// # Errors
    /// [`Failure::Status`] for 101, which nobody asked for, and [`Failure::Framing`].
    pub(super) fn check(
        method: &Method,
        response: Response<Incoming>,
        response_time: Duration,
        held: Held,
    ) -> Result<Self, Failure> {
        let (parts, body) = response.into_parts();
        let (status, mut headers) = (parts.status.as_u16(), parts.headers);
        if status < 200 {
            return Err(Failure::Status(status));
        }
        let framing = check_framing(method, status, &mut headers).map_err(Failure::Framing)?;
        let reusable = !may_trail(status, &headers);
        strip_hop_by_hop(&mut headers);
        Ok(Self {
            status,
            headers,
            // TLS has an end of its own, without which the body is an error.
            complete_known: framing != Framing::UntilClose || held.way.tls,
            body: Body::Incoming(body, response_time),
            held: reusable.then_some(held),
        })
    }

    /// An answer of the edge in the origin's place.
    pub(super) fn own(status: u16, kind: &'static str, text: &'static str, to: &Method) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let body = Body::Own((to != Method::HEAD).then_some(Bytes::from_static(text.as_bytes())));
        Self { status, headers, complete_known: true, body, held: None }
    }

    /// The answer to OPTIONS in the origin's place (RFC 9110 §9.3.7), which is the same for every path.
    pub(super) fn methods(methods: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ALLOW, HeaderValue::from_static(methods));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        Self { status: 204, headers, complete_known: true, body: Body::Own(None), held: None }
    }

    /// The next bytes of the body; `None` at its end. Trailers are dropped.
    ///
    /// # Errors
    /// The body is cut off, malformed or too slow.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let (body, limit) = match &mut self.body {
            Body::Own(text) => return Ok(text.take()),
            Body::Incoming(body, limit) => (body, *limit),
        };
        loop {
            match timeout(limit, body.frame()).await {
                Err(_) => return Err(Failure::Timeout("send its body")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Failure::Protocol(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The connection, if the body has been read to its end; otherwise it is closed.
    pub(super) fn into_held(self) -> Option<Held> {
        let ended = matches!(&self.body, Body::Incoming(body, _) if body.is_end_stream());
        self.held.filter(|held| ended && held.progress.is_done())
    }
}
