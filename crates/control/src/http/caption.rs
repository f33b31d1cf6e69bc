//! `/v1/assets/{id}/captions`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Wanted, WantedOf, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::demand::{Caption, CaptionPut};
use crate::app::view::List;

/// Lists the captions that were added to an asset, beside those of its file.
#[utoipa::path(
    get, path = "/v1/assets/{id}/captions", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = List<Caption>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn caption_list(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<List<Caption>>, Problem> {
    Ok(ok(app.caption_list(&id).await?))
}

/// Adds captions to an asset, or replaces those of the same language. WebVTT or SubRip; viewers get WebVTT, in a moment or when the asset is
/// made.
#[utoipa::path(
    put, path = "/v1/assets/{id}/captions/{language}", tag = "assets", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("language" = String, Path, description = "Language tag, such as en or pt-BR (BCP 47)"),
    ),
    request_body = CaptionPut,
    responses((status = 200, body = Caption), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn caption_put(
    State(app): State<Arc<App>>,
    WantedOf(id, language): WantedOf,
    body: Body<CaptionPut>,
) -> Result<Answer<Caption>, Problem> {
    Ok(ok(app.caption_put(&id, &language, &body.value).await?))
}

/// Removes captions that were added to an asset.
#[utoipa::path(
    delete, path = "/v1/assets/{id}/captions/{language}", tag = "assets", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("language" = String, Path, description = "Language tag"),
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn caption_delete(
    State(app): State<Arc<App>>,
    WantedOf(id, language): WantedOf,
) -> Result<StatusCode, Problem> {
    app.caption_delete(&id, &language).await?;
    Ok(StatusCode::NO_CONTENT)
}
