//! Health, and the document of the API.

use std::future::{Ready, ready};
use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};

use super::problem::Problem;
use crate::app::App;

/// The document never changes while the process lives.
static DOCUMENT: LazyLock<String> = LazyLock::new(super::openapi_json);

/// Says that the process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = str, content_type = "text/plain")))]
pub(super) fn livez() -> Ready<&'static str> {
    ready("live\n")
}

/// Says whether the database takes changes, by trials every few seconds, and if not, why. The first snapshot was published before anything was served.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, body = str, content_type = "text/plain"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    if !app.db.is_leader() {
        return Err(Problem::standby());
    }
    match app.health.problem() {
        Some(detail) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The server is not ready", detail))
        }
        None => Ok("ready\n"),
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health",
    responses((status = 200, body = Object, content_type = "application/json"))
)]
pub(super) fn openapi() -> Ready<([(HeaderName, &'static str); 2], &'static str)> {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    ready((headers, DOCUMENT.as_str()))
}
