//! `/v1/sign`.

use std::sync::Arc;

use axum::extract::State;

use super::extract::{Answer, Body, ok};
use super::problem::Problem;
use crate::app::view::SignedUrl;
use crate::app::{App, SignCreate};

/// Signs a URL.
#[utoipa::path(
    post, path = "/v1/sign", tag = "keys", security(("bearer" = [])), request_body = SignCreate,
    responses((status = 200, body = SignedUrl), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn sign(State(app): State<Arc<App>>, body: Body<SignCreate>) -> Result<Answer<SignedUrl>, Problem> {
    Ok(ok(app.sign(&body.value).await?))
}
