//! `/v1/audit`.

use std::sync::Arc;

use axum::extract::State;

use super::extract::{Answer, Query, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::people::{AuditPage, AuditQuery};

/// Lists requests that wanted to change something, done or refused, newest first unless the other order is asked for. The newest may take a second to appear.
#[utoipa::path(
    get, path = "/v1/audit", tag = "people", security(("bearer" = [])), params(AuditQuery),
    responses((status = 200, body = AuditPage), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn audit_list(
    State(app): State<Arc<App>>,
    Query(query): Query<AuditQuery>,
) -> Result<Answer<AuditPage>, Problem> {
    Ok(ok(app.audit_list(query).await?))
}
