//! `/v1/key-groups`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::{KeyGroup, List};
use crate::app::{App, KeyGroupCreate, KeyGroupUpdate, PageQuery};

/// Makes a key group.
#[utoipa::path(
    post, path = "/v1/key-groups", tag = "keys", security(("bearer" = [])), request_body = KeyGroupCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same key group")),
    responses((status = 201, body = KeyGroup), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_group_create(
    State(app): State<Arc<App>>,
    body: Body<KeyGroupCreate>,
) -> Result<Answer<KeyGroup>, Problem> {
    Ok(created(app.key_group_create(body.value, body.idempotency).await?))
}

/// Lists key groups.
#[utoipa::path(
    get, path = "/v1/key-groups", tag = "keys", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<KeyGroup>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_group_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<KeyGroup>>, Problem> {
    Ok(ok(app.key_group_list(&query).await?))
}

/// Shows a key group.
#[utoipa::path(
    get, path = "/v1/key-groups/{id}", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = KeyGroup), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_group_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<KeyGroup>, Problem> {
    Ok(ok(app.key_group_show(&id).await?))
}

/// Gives a key group other keys.
#[utoipa::path(
    put, path = "/v1/key-groups/{id}", tag = "keys", security(("bearer" = [])), request_body = KeyGroupUpdate,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = KeyGroup), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_group_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<KeyGroupUpdate>,
) -> Result<Answer<KeyGroup>, Problem> {
    Ok(ok(app.key_group_update(&id, &body.value).await?))
}

/// Deletes a key group that no distribution trusts.
#[utoipa::path(
    delete, path = "/v1/key-groups/{id}", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_group_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.key_group_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
