//! `/v1/distributions`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::extract::{Answer, Body, IfMatch, Query, Tagged, Wanted, created, deleted, ok};
use super::problem::Problem;
use crate::app::view::{Distribution, DistributionWhole, List, Planned, Sweep};
use crate::app::{App, DeleteQuery, DistributionAttach, DistributionPut, DryRun, PageQuery};

/// Makes a distribution of its own from CloudFront's configuration.
#[utoipa::path(
    post, path = "/v1/distributions", tag = "distributions", security(("bearer" = [])), request_body = DistributionPut,
    params(
        DryRun,
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same distribution")
    ),
    responses((status = 201, body = DistributionWhole), (status = 200, body = Planned, description = "With dry_run"), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_create(
    State(app): State<Arc<App>>,
    Query(query): Query<DryRun>,
    body: Body<DistributionPut>,
) -> Result<Response, Problem> {
    if query.dry_run {
        return Ok(ok(app.distribution_create_planned(&body.value)?).into_response());
    }
    let made = app.distribution_create(&body.value, body.idempotency).await;
    let whole = made.map_err(|error| body.value.place(error))?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(created(whole), etag).into_response())
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

/// Deletes a disabled distribution of its own, once every edge has heard that it is disabled.
#[utoipa::path(
    delete, path = "/v1/distributions/{id}", tag = "distributions", security(("bearer" = [])),
    params(
        DeleteQuery,
        ("id" = String, Path, description = "Id"),
        ("If-Match" = Option<String>, Header, description = "ETag of the configuration that the caller has seen; another one is 412")
    ),
    responses(
        (status = 204), (status = 202, description = "It is stale and goes by itself"),
        (status = 200, body = Planned, description = "With dry_run"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn distribution_delete(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    IfMatch(etag): IfMatch,
    Query(query): Query<DeleteQuery>,
) -> Result<Response, Problem> {
    if query.dry_run {
        return Ok(ok(app.distribution_delete_planned(&id).await?).into_response());
    }
    Ok(deleted(app.distribution_delete(&id, etag.as_deref(), query).await?).into_response())
}

/// Disables a distribution and takes it from its channel.
#[utoipa::path(
    post, path = "/v1/distributions/{id}/detach", tag = "distributions", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_detach(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let whole = app.distribution_detach(&id).await?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(ok(whole), etag))
}

/// Enables a distribution and gives it to a channel that has none.
#[utoipa::path(
    post, path = "/v1/distributions/{id}/attach", tag = "distributions", security(("bearer" = [])), request_body = DistributionAttach,
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_attach(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<DistributionAttach>,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let whole = app.distribution_attach(&id, &body.value).await?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(ok(whole), etag))
}

/// Looks at what the provider has now, and begins to set right what differs.
#[utoipa::path(
    post, path = "/v1/distributions/{id}/sync", tag = "distributions", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_sync(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let whole = app.distribution_sync(&id).await?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(ok(whole), etag))
}

/// Looks for distributions that are stale, unknown or different at the provider, without waiting for the schedule.
#[utoipa::path(
    post, path = "/v1/distributions/sweep", tag = "distributions", security(("bearer" = [])), params(DryRun),
    responses((status = 200, body = Sweep), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_sweep(
    State(app): State<Arc<App>>,
    Query(query): Query<DryRun>,
) -> Result<Answer<Sweep>, Problem> {
    Ok(ok(app.sweep_now(query.dry_run).await?))
}
