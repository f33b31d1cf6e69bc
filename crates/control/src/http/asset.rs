//! `/v1/assets` and `/v1/collections`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::extract::{Answer, Body, OptionalBody, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::demand::{
    Asset, AssetCreate, AssetPatch, AssetPlay, AssetPlayCreate, AssetQuery, AssetRetry, Collection, CollectionPlay,
    CollectionPut,
};
use crate::app::view::List;
use crate::app::{App, PageQuery};

/// Has an asset made of a file of a bucket. 202 while the file is read: the asset is listed once that is done.
#[utoipa::path(
    post, path = "/v1/assets", tag = "assets", security(("bearer" = [])), request_body = AssetCreate,
    responses((status = 200, body = Asset), (status = 202, description = "The file is being read"), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_create(State(app): State<Arc<App>>, body: Body<AssetCreate>) -> Result<Response, Problem> {
    Ok(match app.asset_create(&body.value).await? {
        Some(asset) => ok(asset).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    })
}

/// Lists assets.
#[utoipa::path(
    get, path = "/v1/assets", tag = "assets", security(("bearer" = [])),
    params(AssetQuery),
    responses((status = 200, body = List<Asset>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_list(
    State(app): State<Arc<App>>,
    Query(query): Query<AssetQuery>,
) -> Result<Answer<List<Asset>>, Problem> {
    Ok(ok(app.asset_list(&query).await?))
}

/// Shows an asset.
#[utoipa::path(
    get, path = "/v1/assets/{id}", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Asset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Asset>, Problem> {
    Ok(ok(app.asset_show(&id).await?))
}

/// Gives an asset another name.
#[utoipa::path(
    patch, path = "/v1/assets/{id}", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")), request_body = AssetPatch,
    responses((status = 200, body = Asset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<AssetPatch>,
) -> Result<Answer<Asset>, Problem> {
    Ok(ok(app.asset_update(&id, &body.value).await?))
}

/// Deletes an asset and everything that was made of it; its file stays.
#[utoipa::path(
    delete, path = "/v1/assets/{id}", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.asset_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has an asset made again; what there is of it can be watched until then.
#[utoipa::path(
    post, path = "/v1/assets/{id}/retry", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")), request_body = Option<AssetRetry>,
    responses((status = 200, body = Asset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_retry(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<AssetRetry>,
) -> Result<Answer<Asset>, Problem> {
    Ok(ok(app.asset_retry(&id, &request).await?))
}

/// Cancels the making of an asset; what is finished of it stays.
#[utoipa::path(
    post, path = "/v1/assets/{id}/cancel", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Asset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_cancel(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Asset>, Problem> {
    Ok(ok(app.asset_cancel(&id).await?))
}

/// Signs URLs that open one asset. A missing body means the defaults.
#[utoipa::path(
    post, path = "/v1/assets/{id}/play-url", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")), request_body = Option<AssetPlayCreate>,
    responses((status = 200, body = AssetPlay), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_play_url(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<AssetPlayCreate>,
) -> Result<Answer<AssetPlay>, Problem> {
    Ok(ok(app.asset_play_url(&id, &request).await?))
}

/// Makes a collection.
#[utoipa::path(
    post, path = "/v1/collections", tag = "assets", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same collection")), request_body = CollectionPut,
    responses((status = 201, body = Collection), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_create(
    State(app): State<Arc<App>>,
    body: Body<CollectionPut>,
) -> Result<Answer<Collection>, Problem> {
    Ok(created(app.collection_create(&body.value, body.idempotency).await?))
}

/// Lists collections.
#[utoipa::path(
    get, path = "/v1/collections", tag = "assets", security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, body = List<Collection>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Collection>>, Problem> {
    Ok(ok(app.collection_list(&query).await?))
}

/// Shows a collection.
#[utoipa::path(
    get, path = "/v1/collections/{id}", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Collection), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Collection>, Problem> {
    Ok(ok(app.collection_show(&id).await?))
}

/// Replaces what a collection is.
#[utoipa::path(
    put, path = "/v1/collections/{id}", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")), request_body = CollectionPut,
    responses((status = 200, body = Collection), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<CollectionPut>,
) -> Result<Answer<Collection>, Problem> {
    Ok(ok(app.collection_update(&id, &body.value).await?))
}

/// Deletes a collection; its assets stay.
#[utoipa::path(
    delete, path = "/v1/collections/{id}", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.collection_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs the page of a collection for one viewer: it opens the list and each of its assets. A missing body means the defaults.
#[utoipa::path(
    post, path = "/v1/collections/{id}/play-url", tag = "assets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")), request_body = Option<AssetPlayCreate>,
    responses((status = 200, body = CollectionPlay), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_play_url(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<AssetPlayCreate>,
) -> Result<Answer<CollectionPlay>, Problem> {
    Ok(ok(app.collection_play_url(&id, &request).await?))
}
