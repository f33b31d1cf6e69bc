//! `/v1/sessions`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Query, Wanted, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::people::{Caller, Session, SessionQuery};
use crate::app::view::List;

/// Lists sessions of users: of everybody for who may change users, and one's own.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "people", security(("bearer" = [])), params(SessionQuery),
    responses((status = 200, body = List<Session>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn session_list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<SessionQuery>,
) -> Result<Answer<List<Session>>, Problem> {
    Ok(ok(app.session_list(query, &caller).await?))
}

/// Ends a session: one's own, or that of a user whom one may change.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "people", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn session_end(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Problem> {
    app.session_end(&id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
