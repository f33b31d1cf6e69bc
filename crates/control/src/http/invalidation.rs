//! `/v1/distributions/{id}/invalidations`.

use std::sync::Arc;

use axum::extract::State;

use super::extract::{Answer, Body, Query, Wanted, WantedOf, created, ok};
use super::problem::Problem;
use crate::app::view::{Invalidation, List};
use crate::app::{App, InvalidationCreate, PageQuery};

/// Orders edges to forget paths and tags of a distribution.
#[utoipa::path(
    post, path = "/v1/distributions/{id}/invalidations", tag = "invalidations", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id of the distribution"),
        ("Idempotency-Key" = Option<String>, Header, description = "The caller reference when the body names none")
    ),
    request_body = InvalidationCreate,
    responses((status = 201, body = Invalidation), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn invalidation_create(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<InvalidationCreate>,
) -> Result<Answer<Invalidation>, Problem> {
    Ok(created(app.invalidation_create(&id, body.value, body.idempotency).await?))
}

/// Lists the invalidations of a distribution.
#[utoipa::path(
    get, path = "/v1/distributions/{id}/invalidations", tag = "invalidations", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id of the distribution"), PageQuery),
    responses((status = 200, body = List<Invalidation>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn invalidation_list(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Invalidation>>, Problem> {
    Ok(ok(app.invalidation_list(&id, &query).await?))
}

/// Shows an invalidation.
#[utoipa::path(
    get, path = "/v1/distributions/{id}/invalidations/{invalidation}", tag = "invalidations", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id of the distribution"),
        ("invalidation" = String, Path, description = "Id of the invalidation")
    ),
    responses((status = 200, body = Invalidation), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn invalidation_show(
    State(app): State<Arc<App>>,
    WantedOf(id, invalidation): WantedOf,
) -> Result<Answer<Invalidation>, Problem> {
    Ok(ok(app.invalidation_show(&id, &invalidation).await?))
}
