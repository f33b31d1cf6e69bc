//! `/v1/tokens`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use super::scope;
use crate::app::people::Caller;
use crate::app::view::List;
use crate::app::{App, PageQuery, Token, TokenCreate, TokenCreated};

/// Makes an API token. The answer is the only one that has its secret.
///
/// Of the secret only a hash is kept, so that a repeated request cannot answer it again: the name is refused as taken, and the
/// token can be revoked by that name and made anew.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", security(("bearer" = [])), request_body = TokenCreate,
    responses((status = 201, body = TokenCreated), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn token_create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body<TokenCreate>,
) -> Result<Answer<TokenCreated>, Problem> {
    Ok(created(app.token_create(&body.value, &caller, scope::opened).await?))
}

/// Lists API tokens, revoked ones included.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Token>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn token_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Token>>, Problem> {
    Ok(ok(app.token_list(&query).await?))
}

/// Revokes an API token: it is refused at once and for good.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn token_revoke(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.token_revoke(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
