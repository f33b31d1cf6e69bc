//! `/v1/log`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::io::DuplexStream;
use tokio_util::io::ReaderStream;

use super::extract::{Answer, Query, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::log::{Log, LogQuery, LogStreamQuery};
use crate::app::people::Caller;
use crate::stream::{BUFFER_BYTES, Feed};

/// Lists what has happened.
#[utoipa::path(
    get, path = "/v1/log", tag = "log", security(("bearer" = [])), params(LogQuery),
    responses((status = 200, body = Log), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn log_list(
    State(app): State<Arc<App>>,
    Query(query): Query<LogQuery>,
) -> Result<Answer<Log>, Problem> {
    Ok(ok(app.log_list(query).await?))
}

/// Tells what happens as it happens, as server-sent events.
///
/// Each event has the sequence as its `id`, the type as its `event`, and the entry of the log as JSON in `data`. A reader that
/// comes back with `Last-Event-ID` misses nothing; an event `gap` says that entries in between are no longer kept.
#[utoipa::path(
    get, path = "/v1/log/stream", tag = "log", security(("bearer" = [])),
    params(LogStreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The last sequence that the reader has seen; wins over `after`")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn log_stream(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(query): Query<LogStreamQuery>,
) -> Result<Response, Problem> {
    let resumed = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.trim().parse().ok()));
    let resumed = match resumed {
        Some(None) => {
            let field = Some("Last-Event-ID".to_owned());
            return Err(Problem::invalid("a Last-Event-ID is the sequence of an entry of the log", field));
        }
        other => other.flatten(),
    };
    let (filter, after) = app.log_follow(query, resumed).await?;
    let Ok(permit) = app.streams.clone().try_acquire_owned() else { return Err(busy()) };
    let (pipe, out) = tokio::io::duplex(BUFFER_BYTES);
    app.tasks.spawn(Feed::new(app.clone(), filter, caller, after, pipe, permit).run());
    Ok(event_stream(out))
}

/// Too many event streams are open.
pub(super) fn busy() -> Problem {
    let detail = "too many event streams are open: close one, or ask again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server has no room for it now", detail)
}

/// The answer of an event stream.
pub(super) fn event_stream(out: DuplexStream) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies that gather answers would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(ReaderStream::new(out))).into_response()
}
