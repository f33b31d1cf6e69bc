//! The client side: connections to origins, kept for reuse per worker.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Time for a connection to an origin to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for an origin's answer to begin.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two pieces of an origin's body.
const NEXT_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections kept per origin and worker.
const MAX_IDLE: usize = 32;

/// Time that an idle connection is kept: below what common servers allow, so that reuse rarely meets a closed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Read buffer of a connection, which also limits an answer's head.
const BUFFER_BYTES: usize = 256 << 10;

/// Why an origin gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot connect to the origin")]
    Connect(#[source] io::Error),
    #[error("the origin is too slow to {0}")]
    Timeout(&'static str),
    #[error("the origin's answer is not usable")]
    Protocol(#[source] hyper::Error),
    #[error("the origin's answer has an unexpected status: {0}")]
    Status(u16),
    #[error("the origin's body is larger than allowed: {0}")]
    TooLarge(u64),
    #[error("the origin's answer broke off")]
    Broken,
    #[error("the behavior has no origin that could be asked")]
    NoOrigin,
    #[error("too many fetches are under way")]
    Overload,
}

impl Failure {
    pub(crate) fn may_fail_over(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Timeout(_))
    }

    /// Status and words of the answer that the viewer gets.
    pub(crate) fn answer(&self) -> (u16, &'static str) {
        match self {
            Self::Connect(_) => (502, "The origin cannot be reached.\n"),
            Self::Timeout(_) => (504, "The origin did not answer in time.\n"),
            Self::Protocol(_) | Self::Status(_) | Self::TooLarge(_) | Self::Broken => {
                (502, "The origin's answer cannot be used.\n")
            }
            Self::NoOrigin => (502, "No origin is configured for this path.\n"),
            Self::Overload => (503, "Too many fetches are under way.\n"),
        }
    }
}

/// An origin as a behavior's requests go to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// `host:port`.
    pub(crate) authority: String,
    /// Put before the path.
    pub(crate) prefix: String,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
}

/// A request to an origin.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: http::Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) scheme: crate::request::Scheme,
}

impl Upstream {
    pub(crate) fn compile(
        named: &anabranch_model::OriginSpec,
        _spec: &anabranch_model::DistributionSpec,
        config: &crate::config::Config,
    ) -> Result<Self, Unusable> {
        use anabranch_model::Origin;
        match &named.origin {
            Origin::Live { channel } => {
                let room = config.origin_room.as_ref().ok_or(Unusable)?;
                let mut token = HeaderValue::from_str(&room.token).map_err(|_| Unusable)?;
                token.set_sensitive(true);
                let headers =
                    HeaderMap::from_iter([(http::HeaderName::from_static("x-anabranch-origin-token"), token)]);
                Ok(Self { authority: room.authority.clone(), prefix: format!("/live/{channel}"), headers })
            }
            Origin::Bucket(_) => Err(Unusable),
            Origin::Http(http) => Ok(Self {
                authority: format!("{}:{}", http.host, http.http_port),
                prefix: http.path.clone(),
                headers: HeaderMap::new(),
            }),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.authority
    }
}

/// Why not.
#[derive(Debug, thiserror::Error)]
#[error("unusable")]
pub(crate) struct Unusable;

/// A connection with its driving task, which ends with it.
#[derive(Debug)]
struct Link {
    sender: http1::SendRequest<http_body_util::Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// Idle connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<HashMap<String, Vec<(Link, Instant)>>>);

/// An origin's answer; its body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    link: Link,
    authority: String,
}

impl Answer {
    /// The next bytes of the body; `None` at its end. Trailers are dropped.
    ///
    /// # Errors
    /// The body is cut off, malformed or too slow.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match timeout(NEXT_BYTE_TIMEOUT, self.body.frame()).await {
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

    /// Gives the connection back, once the body has been read to its end.
    pub(crate) fn release(self, pool: &Pool) {
        pool.put(self.authority, self.link);
    }
}

impl Pool {
    /// Asks `upstream` for `path`. A reused connection that dies before an answer is replaced by a new one, once.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn fetch(&self, upstream: &Upstream, ask_: &Ask) -> Result<Answer, Failure> {
        if let Some(link) = self.take(&upstream.authority) {
            match ask(link, upstream, ask_).await {
                Err(Failure::Protocol(error)) if is_dead_link(&error) => {}
                other => return other,
            }
        }
        let link = connect(&upstream.authority).await?;
        ask(link, upstream, ask_).await
    }

    fn take(&self, authority: &str) -> Option<Link> {
        let mut idle = self.0.lock();
        let links = idle.get_mut(authority)?;
        // The newest is the likeliest to live; older ones run out of time by themselves.
        while let Some((link, since)) = links.pop() {
            if since.elapsed() < IDLE_TIMEOUT && link.sender.is_ready() {
                return Some(link);
            }
        }
        None
    }

    fn put(&self, authority: String, link: Link) {
        if link.sender.is_closed() {
            return;
        }
        let mut idle = self.0.lock();
        let links = idle.entry(authority).or_default();
        links.retain(|(link, since)| since.elapsed() < IDLE_TIMEOUT && !link.sender.is_closed());
        if links.len() < MAX_IDLE {
            links.push((link, Instant::now()));
        }
    }
}

/// Whether the connection was closed without any byte of an answer.
fn is_dead_link(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || is_io(error)
}

fn is_io(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<io::Error>)
}

async fn connect(authority: &str) -> Result<Link, Failure> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(authority)).await {
        Err(_) => return Err(Failure::Timeout("accept a connection")),
        Ok(Err(error)) => return Err(Failure::Connect(error)),
        Ok(Ok(stream)) => stream,
    };
    // Failing to set it only costs latency.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Failure::Protocol)?;
    let driver = tokio::spawn(async move {
        // Its end reaches the request that is under way, or nobody.
        let _ = connection.await;
    });
    Ok(Link { sender, _driver: AbortOnDropHandle::new(driver) })
}

async fn ask(mut link: Link, upstream: &Upstream, ask: &Ask) -> Result<Answer, Failure> {
    let mut request = Request::new(http_body_util::Full::new(ask.body.clone()));
    *request.method_mut() = ask.method.clone();
    let target = format!("{}{}", upstream.prefix, ask.target);
    // A target that passed the viewer's checks and yet is none for `http` is the snapshot's prefix.
    *request.uri_mut() = target.parse::<Uri>().map_err(|_| Failure::NoOrigin)?;
    let headers = request.headers_mut();
    headers.insert(http::header::HOST, HeaderValue::from_str(&upstream.authority).map_err(|_| Failure::NoOrigin)?);
    headers.insert(http::header::VIA, HeaderValue::from_static("1.1 anabranch"));
    for (name, value) in &ask.headers {
        headers.append(name.clone(), value.clone());
    }
    for (name, value) in &upstream.headers {
        headers.insert(name.clone(), value.clone());
    }
    let response: Response<Incoming> = match timeout(FIRST_BYTE_TIMEOUT, link.sender.send_request(request)).await {
        Err(_) => return Err(Failure::Timeout("answer")),
        Ok(answered) => answered.map_err(Failure::Protocol)?,
    };
    let (parts, body) = response.into_parts();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        link,
        authority: upstream.authority.clone(),
    })
}
