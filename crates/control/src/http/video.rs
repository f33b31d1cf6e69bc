//! `/videoList` and `/videoLink`, as callers of an earlier system know them (D5, D6). They ask for no token, and are there only when the
//! configuration names a bucket for them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::problem::Problem;
use crate::app::{App, Error};

/// How long a list is answered again: anybody may ask, and reading a bucket costs more than asking.
const LIST_KEPT: Duration = Duration::from_secs(5);

/// Caches may keep the list; a link they must not, or they hand out one that has ended (D9).
const LIST_CACHED: &str = "public, max-age=60";

/// The list as it was answered last.
#[derive(Default)]
struct Listed(Mutex<Option<(Instant, Bytes)>>);

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    video_name: String,
}

/// The routes.
pub(super) fn router() -> Router<Arc<App>> {
    let listed = Arc::new(Listed::default());
    let list = get(move |State(app): State<Arc<App>>| {
        let listed = listed.clone();
        async move { open(listed.answer(&app).await) }
    });
    Router::new().route("/videoList", list.options(preflight)).route("/videoLink", get(link).options(preflight))
}

impl Listed {
    async fn answer(&self, app: &App) -> Response {
        let mut last = self.0.lock().await;
        let body = match &*last {
            Some((at, body)) if at.elapsed() < LIST_KEPT => body.clone(),
            _ => match read(app).await {
                Ok(body) => {
                    *last = Some((Instant::now(), body.clone()));
                    body
                }
                Err(error) => return uncached(Problem::from(error).plain()),
            },
        };
        ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, LIST_CACHED)], body).into_response()
    }
}

async fn read(app: &App) -> Result<Bytes, Error> {
    Ok(serde_json::to_vec(&app.video_list().await?).map_err(Error::Encode)?.into())
}

async fn link(State(app): State<Arc<App>>, query: Result<Query<Wanted>, QueryRejection>) -> Response {
    let name = query.map(|Query(wanted)| wanted.video_name).unwrap_or_default();
    let answer = if name.is_empty() {
        let text = "video_name is missing: ask for /videoLink?video_name=NAME\n";
        (StatusCode::BAD_REQUEST, text).into_response()
    } else {
        match app.video_link(&name).await {
            Ok(url) => url.into_response(),
            Err(error) => Problem::from(error).plain(),
        }
    };
    open(uncached(answer))
}

async fn preflight() -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Authorization"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    open((StatusCode::NO_CONTENT, headers).into_response())
}

/// For pages of any origin (D8).
fn open(mut response: Response) -> Response {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
