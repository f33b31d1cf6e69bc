//! The HTTP/2 front: hyper's connection over the same river.

use std::convert::Infallible;
use std::future::Future;
use std::io::Cursor;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_net::Shutdown;
use bytes::Bytes;
use http::header::HOST;
use http::{Request as HttpRequest, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::access_log::Ending;
use crate::deliver::{Answer, Body};
use crate::flight::{Broken, Follower};
use crate::object::parse_lines;
use crate::record::Record;
use crate::request::{
    BadTarget, Connection, Fields, Lines, Method, ReadBody, Request, Scheme, Version, host_without_port, split_target,
};
use crate::river::{Scratch, answer, answer_unread};
use crate::wire::Wire as _;
use crate::worker::Worker;

/// Requests open at once on a connection.
const MAX_STREAMS: u32 = 128;

/// Bytes waiting for a viewer per stream.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// Time between probes of a silent viewer, and for its answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves an HTTP/2 connection of which `read` has been read.
pub(crate) async fn serve(worker: &Arc<Worker>, stream: TcpStream, read: Vec<u8>, peer: IpAddr, shutdown: &Shutdown) {
    let connection = worker.access_log().map_or_else(Connection::default, |_| stream.connection());
    let spoken = Connection { version: Version::Http2, ..connection };
    let (reader, writer) = stream.into_split();
    let io = TokioIo::new(tokio::io::join(Cursor::new(read).chain(reader), writer));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(worker.config().max_head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false);
    let service = service_fn(|request| respond(worker.clone(), request, peer, spoken));
    let mut connection = pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(viewer.address = %peer, %error, "http/2 connection ended");
    }
}

async fn respond(
    worker: Arc<Worker>,
    request: HttpRequest<Incoming>,
    peer: IpAddr,
    spoken: Connection,
) -> Result<Response<Outgoing>, Infallible> {
    let mut scratch = Scratch::default();
    let answered = match read(&request, peer, spoken) {
        Ok(request) => {
            let table = worker.table().load_full();
            answer(&worker, &table, &request, &mut Unread, &mut scratch).await
        }
        Err(status) => answer_unread(&worker, status, &mut scratch),
    };
    Ok(response(answered, &scratch))
}

fn read(request: &HttpRequest<Incoming>, peer: IpAddr, connection: Connection) -> Result<Request<'_>, u16> {
    let uri = request.uri();
    let host = match (uri.authority(), request.headers().get(HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| 400_u16)?,
        (None, None) => return Err(400),
    };
    host_without_port(host).map_err(|_| 400_u16)?;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let (path, query) = split_target(target).map_err(|bad| match bad {
        BadTarget::TooLong => 414_u16,
        BadTarget::Path | BadTarget::Host => 400,
    })?;
    let mut fields = Fields::default();
    for (name, value) in request.headers() {
        fields.take(name.as_str(), value.as_bytes());
    }
    Ok(Request {
        method: Method::of(request.method().as_str()),
        scheme: Scheme::Http,
        host,
        path,
        query,
        peer,
        connection,
        fields,
        lines: Lines::Map(request.headers()),
    })
}

fn response(answer: Answer, scratch: &Scratch) -> Response<Outgoing> {
    let Answer { status, body, mut record, .. } = answer;
    let head = scratch.head.as_bytes();
    record.sent += head.len() as u64;
    let mut outgoing = Outgoing { source: Outflow::of(body), record };
    if outgoing.is_end_stream() {
        outgoing.record.ended(Ending::Whole);
    }
    let mut response = Response::new(outgoing);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // The status line has no colon before its first space, so it is no field of its own; it is skipped all the same.
    let lines = head.iter().position(|&byte| byte == b'\n').map_or(&head[..0], |end| &head[end + 1..]);
    for (name, value) in parse_lines(lines) {
        response.headers_mut().append(name, value);
    }
    response
}

/// A body that is not read yet.
struct Unread;

impl ReadBody for Unread {
    fn collect(&mut self, _: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(std::future::ready(Err(413)))
    }
}

type Step = Pin<Box<dyn Future<Output = (Follower, Result<Option<Bytes>, Broken>)> + Send>>;

enum Outflow {
    Empty,
    Bytes(Bytes),
    Stored { object: Arc<crate::object::Object>, at: u64, end: u64 },
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
struct Outgoing {
    source: Outflow,
    record: Record,
}

impl Outgoing {
    /// The next bytes.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let next = match &mut self.source {
            Outflow::Empty => None,
            Outflow::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Outflow::Empty;
                Some(bytes)
            }
            Outflow::Stored { object, at, end } => {
                let bytes = match object.body.at(*at, *end) {
                    Ok(bytes) => bytes,
                    Err(_) => return Poll::Ready(Some(Err(Broken))),
                };
                *at += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                bytes
            }
            Outflow::Growing { step: waiting, at, end } => {
                let Some(future) = waiting else { return Poll::Ready(None) };
                let Poll::Ready((follower, next)) = future.as_mut().poll(cx) else { return Poll::Pending };
                match next {
                    Ok(Some(bytes)) => {
                        *at += bytes.len() as u64;
                        *waiting = Some(step(follower, *at, *end));
                        Some(bytes)
                    }
                    Ok(None) => {
                        *waiting = None;
                        if *end != u64::MAX && *at < *end {
                            return Poll::Ready(Some(Err(Broken)));
                        }
                        None
                    }
                    Err(broken) => {
                        *waiting = None;
                        return Poll::Ready(Some(Err(broken)));
                    }
                }
            }
        };
        Poll::Ready(next.map(Ok))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let polled = this.poll_source(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(bytes))) => {
                this.record.sent += bytes.len() as u64;
                // Nobody asks again after the last bytes of a known length.
                if this.is_end_stream() {
                    this.record.ended(Ending::Whole);
                }
            }
            Poll::Ready(Some(Err(Broken))) => this.record.ended(Ending::Broken),
            Poll::Ready(None) => this.record.ended(Ending::Whole),
        }
        polled.map(|next| next.map(|bytes| bytes.map(Frame::data)))
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
