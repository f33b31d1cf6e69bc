//! `/v1/distributions`.

use std::sync::Arc;

use axum::extract::State;

use super::extract::{Answer, Query, Wanted, ok};
use super::problem::Problem;
use crate::app::view::{Distribution, List};
use crate::app::{App, PageQuery};

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

/// Shows a distribution.
#[utoipa::path(
    get, path = "/v1/distributions/{id}", tag = "distributions", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Distribution), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Distribution>, Problem> {
    Ok(ok(app.distribution_show(&id).await?))
}
