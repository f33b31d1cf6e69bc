//! The HTTP/2 front: hyper's connection over the same river.

mod body;
mod flow;
pub(crate) mod life;
mod streams;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_net::Shutdown;
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request as HttpRequest, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use self::body::RequestBody;
use self::flow::{Flow, Pipe};
use self::life::{Judge, Life, Limits, Open, Verdict};
use self::streams::{Executor, Streams};
use crate::accept::Viewer;
use crate::deliver::Answer;
use crate::request::{BadTarget, Fields, Lines, Method, Request, Version, host_without_port, split_target};
use crate::river::{Scratch, Unread, answer, answer_unread};
use crate::worker::Worker;

pub(crate) use self::body::Outgoing;
pub(crate) use self::flow::Begun;

/// The field that names a request.
const REQUEST_ID: &str = "x-amz-cf-id";

/// Requests open at once on a connection.
const MAX_STREAMS: u32 = 128;

/// Streams that a viewer may have reset before they were looked at, and that we have reset for its errors, until the connection
/// is cut: rapid resets (CVE-2023-44487) and provoked ones (CVE-2025-8671).
const MAX_EARLY_RESETS: usize = 20;
const MAX_PROVOKED_RESETS: usize = 256;

/// Fields of a usual answer, with room to spare.
const TYPICAL_FIELDS: usize = 24;

/// Bytes waiting for a viewer per stream: no more than stays in the processor's cache until it is sent.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Bytes of request bodies that a viewer may send before they are asked for, per stream and in all.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Time between probes of a silent viewer, and for its answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves an HTTP/2 connection until it ends, has had nothing to do for too long, or takes nothing.
pub(crate) async fn serve<F: Flow>(worker: &Arc<Worker>, flow: F, mut viewer: Viewer, shutdown: &Shutdown) {
    viewer.connection.version = Version::Http2;
    let config = worker.config();
    let life = Arc::new(Life::default());
    let pipe = Pipe::new(flow, life.clone());
    let address = viewer.address;
    let service = {
        let (worker, life) = (worker.clone(), life.clone());
        service_fn(move |request| respond(worker.clone(), request, viewer.clone(), life.begin()))
    };
    let executor = Executor::default();
    let mut streams = Streams::new(&executor);
    let builder = builder(executor, config.max_head_bytes);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(pipe.share()), service));
    let limits = Limits { first: config.header_timeout, idle: config.idle_timeout, stall: config.write_timeout };
    let mut judge = Judge::new(limits, Instant::now());
    let mut look = pin!(sleep_until(Instant::now() + config.header_timeout));
    let mut closing = false;
    loop {
        let serving = poll_fn(|cx| {
            let push = |cx: &mut Context<'_>| match pipe.poll_push(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(Ended::Pushing(error))),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            };
            streams.poll(cx, |cx| connection.as_mut().poll(cx).map_err(Ended::Serving), push)
        });
        tokio::select! {
            biased;
            ended = serving => {
                if let Err(ended) = ended {
                    tracing::debug!(viewer.address = %address, error = %ended, "http/2 connection ended");
                }
                return;
            }
            () = shutdown.cancelled(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
                streams.ring();
            }
            () = look.as_mut() => match judge.judge(&life, Instant::now()) {
                Verdict::Fine(again) => {
                    streams.shrink();
                    look.as_mut().reset(again);
                }
                Verdict::Idle if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                    streams.ring();
                    look.as_mut().reset(Instant::now() + config.header_timeout);
                }
                Verdict::Idle | Verdict::Stalled => {
                    tracing::debug!(viewer.address = %address, "http/2 connection cut: its viewer does nothing");
                    return;
                }
            },
        }
    }
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Serving(hyper::Error),
    #[error("{0}")]
    Pushing(std::io::Error),
}

fn builder(executor: Executor, max_head_bytes: usize) -> http2::Builder<Executor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_EARLY_RESETS)
        .max_local_error_reset_streams(MAX_PROVOKED_RESETS)
        // The library also bounds the frames that a head may be spread over.
        .max_header_list_size(u32::try_from(max_head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false);
    builder
}

async fn respond(
    worker: Arc<Worker>,
    request: HttpRequest<Incoming>,
    viewer: Viewer,
    open: Open,
) -> Result<Response<Outgoing>, Infallible> {
    let mut scratch = Scratch::default();
    let (parts, incoming) = request.into_parts();
    let answered = match read(&parts, &viewer) {
        Ok(request) => {
            let table = worker.table().load_full();
            let mut body = RequestBody::new(incoming, worker.config().header_timeout);
            answer(&worker, &table, &request, &mut body, &mut scratch).await
        }
        Err(status) => answer_unread(&worker, Unread { viewer: &viewer, status, received: None }, &mut scratch),
    };
    Ok(response(answered, &scratch, open))
}

/// Reads a head that a library has parsed.
///
/// # Errors
/// The status of the refusal.
pub(crate) fn read<'r>(parts: &'r Parts, viewer: &Viewer) -> Result<Request<'r>, u16> {
    let uri = &parts.uri;
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (uri.authority(), hosts.next()) {
        // RFC 9113 §8.3.1: where both are given they must say the same.
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            return Err(400);
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| 400_u16)?,
        (None, None) => return Err(400),
    };
    if hosts.next().is_some() {
        return Err(400);
    }
    host_without_port(host).map_err(|_| 400_u16)?;
    if !viewer.may_ask(host) {
        return Err(421);
    }
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let (path, query) = split_target(target).map_err(|bad| match bad {
        BadTarget::TooLong => 414_u16,
        BadTarget::Path | BadTarget::Host => 400,
    })?;
    let mut fields = Fields::default();
    for (name, value) in &parts.headers {
        fields.take(name.as_str(), value.as_bytes());
    }
    Ok(Request {
        method: Method::of(parts.method.as_str()),
        scheme: viewer.scheme(),
        host,
        path,
        query,
        peer: viewer.address,
        connection: viewer.connection,
        fields,
        lines: Lines::Map(&parts.headers),
    })
}

/// The answer for a library that sends it.
pub(crate) fn response(answer: Answer, scratch: &Scratch, open: Open) -> Response<Outgoing> {
    let Answer { status, body, mut record, .. } = answer;
    let head = scratch.head.as_bytes();
    record.sent += head.len() as u64;
    let mut response = Response::new(Outgoing::new(body, record, open));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // The status line has no colon before its first space, so it is no field of its own; it is skipped all the same.
    let lines = head.iter().position(|&byte| byte == b'\n').map_or(&head[..0], |end| &head[end + 1..]);
    *response.headers_mut() = fields(lines);
    response
}

/// Field lines as a map whose values share one buffer.
fn fields(lines: &[u8]) -> HeaderMap {
    let all = Bytes::copy_from_slice(lines);
    let mut fields = HeaderMap::with_capacity(TYPICAL_FIELDS);
    let mut at = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let (begin, end) = (at, at + line.trim_ascii_end().len());
        at += line.len();
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let value = begin + colon + 1;
        let value = value + lines[value..end.max(value)].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_maybe_shared(all.slice(value..end.max(value)))) {
            // It is another each time: in the table of what can be said shorter next time it would only push others out.
            value.set_sensitive(name.as_str() == REQUEST_ID);
            fields.append(name, value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields() {
        let found = fields(b"a: b\r\nx-y:  c d \r\na: e\r\nempty:\r\nbare\r\nbad name: x\r\nz: \x01\r\n\r\n");
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(found, [("a", &b"b"[..]), ("a", b"e"), ("x-y", b"c d"), ("empty", b"")]);
    }
}
