//! `/v1/keys`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::{Key, KeyCreated, List};
use crate::app::{App, KeyCreate, PageQuery};

/// Makes a key pair, or trusts a public key. The answer is the only one that shows the private half.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", security(("bearer" = [])), request_body = KeyCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same key pair")),
    responses((status = 201, body = KeyCreated), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_create(
    State(app): State<Arc<App>>,
    body: Body<KeyCreate>,
) -> Result<Answer<KeyCreated>, Problem> {
    Ok(created(app.key_create(body.value, body.idempotency).await?))
}

/// Lists keys.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Key>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Key>>, Problem> {
    Ok(ok(app.key_list(&query).await?))
}

/// Deletes a key that no key group has.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn key_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.key_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
