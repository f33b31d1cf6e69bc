//! `/v1/operations`.

use std::sync::Arc;

use axum::extract::State;

use super::extract::{Answer, Query, Wanted, ok};
use super::problem::Problem;
use crate::app::view::{List, Operation, OperationWhole, RecordCounts};
use crate::app::{App, OperationQuery};

/// Lists what is and was done at the provider, oldest first.
#[utoipa::path(
    get, path = "/v1/operations", tag = "operations", security(("bearer" = [])), params(OperationQuery),
    responses((status = 200, body = List<Operation>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn operation_list(
    State(app): State<Arc<App>>,
    Query(query): Query<OperationQuery>,
) -> Result<Answer<List<Operation>>, Problem> {
    Ok(ok(app.operation_list(query).await?))
}

/// Shows an operation with its steps.
#[utoipa::path(
    get, path = "/v1/operations/{id}", tag = "operations", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = OperationWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn operation_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<OperationWhole>, Problem> {
    Ok(ok(app.operation_show(&id).await?))
}

/// Shows how many records of each kind there are.
#[utoipa::path(
    get, path = "/v1/counts", tag = "operations", security(("bearer" = [])),
    responses((status = 200, body = RecordCounts), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn counts_show(State(app): State<Arc<App>>) -> Result<Answer<RecordCounts>, Problem> {
    Ok(ok(app.counts().await?))
}
