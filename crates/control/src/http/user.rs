//! `/v1/users`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::people::{Caller, User, UserCreate, UserPatch};
use crate::app::view::List;
use crate::app::{App, PageQuery};

/// Makes a user. Nobody gives what they do not have.
#[utoipa::path(
    post, path = "/v1/users", tag = "people", security(("bearer" = [])), request_body = UserCreate,
    responses((status = 201, body = User), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn user_create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body<UserCreate>,
) -> Result<Answer<User>, Problem> {
    Ok(created(app.user_create(body.value, &caller).await?))
}

/// Lists users.
#[utoipa::path(
    get, path = "/v1/users", tag = "people", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<User>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn user_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<User>>, Problem> {
    Ok(ok(app.user_list(&query).await?))
}

/// Shows a user.
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "people", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = User), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn user_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<User>, Problem> {
    Ok(ok(app.user_show(&id).await?))
}

/// Changes a user. Their sessions end when they are disabled, get another password or lose a privilege.
///
/// Only an owner changes an owner, and the last one stays an owner. Nobody changes who may do what they may not.
#[utoipa::path(
    patch, path = "/v1/users/{id}", tag = "people", security(("bearer" = [])), request_body = UserPatch,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = User), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn user_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
    body: Body<UserPatch>,
) -> Result<Answer<User>, Problem> {
    Ok(ok(app.user_update(&id, body.value, &caller).await?))
}

/// Deletes a user and ends every session of theirs.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "people", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn user_delete(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Problem> {
    app.user_delete(&id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every session of a user.
#[utoipa::path(
    delete, path = "/v1/users/{id}/sessions", tag = "people", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn user_sessions_end(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Problem> {
    app.user_sessions_end(&id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
