//! What is answered while another controller acts.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::health;
use super::problem::{Met, Problem};
use crate::app::App;

/// Refuses everything but `/livez` while another controller acts: rows may be read, but what is kept in memory of them is stale.
/// Takes note of what a request has met of the database.
pub(super) async fn require_lead(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.db.is_leader() || request.uri().path() == "/livez" {
        let response = next.run(request).await;
        if let Some(met) = response.extensions().get::<Met>() {
            app.health.met_as(met.fault, &met.error);
        }
        return response;
    }
    Problem::standby().into_response()
}

/// Everything that a controller serves that has nothing to act with yet.
pub(crate) fn router() -> axum::Router {
    axum::Router::new().route("/livez", get(health::livez)).fallback(|| std::future::ready(Problem::standby()))
}
