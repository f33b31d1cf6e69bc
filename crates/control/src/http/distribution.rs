//! `/v1/distributions`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, IfMatch, Query, Tagged, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::{Distribution, DistributionWhole, List};
use crate::app::{App, DistributionPut, PageQuery};

/// Makes a distribution of its own from CloudFront's configuration.
#[utoipa::path(
    post, path = "/v1/distributions", tag = "distributions", security(("bearer" = [])), request_body = DistributionPut,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same distribution")),
    responses((status = 201, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_create(
    State(app): State<Arc<App>>,
    body: Body<DistributionPut>,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let made = app.distribution_create(&body.value, body.idempotency).await;
    let whole = made.map_err(|error| body.value.place(error))?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(created(whole), etag))
}

/// Lists distributions.
#[utoipa::path(
    get, path = "/v1/distributions", tag = "distributions", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Distribution>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Distribution>>, Problem> {
    Ok(ok(app.distribution_list(&query).await?))
}

/// Shows a distribution with its configuration.
#[utoipa::path(
    get, path = "/v1/distributions/{id}", tag = "distributions", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let whole = app.distribution_show(&id).await?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(ok(whole), etag))
}

/// Gives a distribution another configuration, a channel's own too.
#[utoipa::path(
    put, path = "/v1/distributions/{id}", tag = "distributions", security(("bearer" = [])), request_body = DistributionPut,
    params(
        ("id" = String, Path, description = "Id"),
        ("If-Match" = Option<String>, Header, description = "ETag of the configuration that the caller has seen; another one is 412")
    ),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    IfMatch(etag): IfMatch,
    body: Body<DistributionPut>,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let changed = app.distribution_update(&id, &body.value, etag.as_deref()).await;
    let whole = changed.map_err(|error| body.value.place(error))?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(ok(whole), etag))
}

/// Deletes a disabled distribution of its own.
#[utoipa::path(
    delete, path = "/v1/distributions/{id}", tag = "distributions", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("If-Match" = Option<String>, Header, description = "ETag of the configuration that the caller has seen; another one is 412")
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_delete(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    IfMatch(etag): IfMatch,
) -> Result<StatusCode, Problem> {
    app.distribution_delete(&id, etag.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
