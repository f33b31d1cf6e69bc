//! `/v1/watch/assets` and `/v1/watch/collections`.

use std::sync::Arc;

use anabranch_net::PeerAddr;
use axum::Extension;
use axum::extract::{RawQuery, State};

use super::extract::{Answer, Wanted, ok};
use super::problem::Problem;
use super::signature::MaybeSignature;
use super::watch::{address, parameter};
use crate::app::demand::{AssetPlay, CollectionPlay, WatchAsset, WatchCollection};
use crate::app::{App, Error};

/// Tells a watch page what there is to see of an asset. The signature of the play URL opens it.
#[utoipa::path(
    get, path = "/v1/watch/assets/{id}", tag = "watch",
    params(
        ("id" = String, Path, description = "Id of the asset"),
        MaybeSignature,
    ),
    responses((status = 200, body = WatchAsset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_watch(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<WatchAsset>, Problem> {
    Ok(ok(app.asset_watch(&id, &query.unwrap_or_default(), address(peer)).await?))
}

/// Renews a viewer's signature before it ends, if he still may watch: the same session, for as long again.
#[utoipa::path(
    post, path = "/v1/watch/assets/{id}/renew", tag = "watch",
    params(
        ("id" = String, Path, description = "Id of the asset"),
        MaybeSignature,
    ),
    responses((status = 200, body = AssetPlay), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn asset_watch_renew(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<AssetPlay>, Problem> {
    Ok(ok(app.asset_watch_renew(&id, &query.unwrap_or_default(), address(peer)).await?))
}

/// Lists a collection for a viewer, with what opens each of its assets. The signature of its own play URL opens it.
#[utoipa::path(
    get, path = "/v1/watch/collections/{id}", tag = "watch",
    params(
        ("id" = String, Path, description = "Id of the collection"),
        ("skip" = Option<u32>, Query, description = "Assets from the start to leave out: `next` of the answer before"),
        MaybeSignature,
    ),
    responses((status = 200, body = WatchCollection), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_watch(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<WatchCollection>, Problem> {
    let query = query.unwrap_or_default();
    let skip = parameter(&query, "skip").map_or(Ok(0), str::parse);
    let skip = skip.map_err(|_| Error::invalid("skip", "not a number of assets"))?;
    Ok(ok(app.collection_watch(&id, skip, &query, address(peer)).await?))
}

/// Renews a viewer's signature for a collection before it ends, if he still may watch: the same session, for as long again.
#[utoipa::path(
    post, path = "/v1/watch/collections/{id}/renew", tag = "watch",
    params(
        ("id" = String, Path, description = "Id of the collection"),
        MaybeSignature,
    ),
    responses((status = 200, body = CollectionPlay), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn collection_watch_renew(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<CollectionPlay>, Problem> {
    Ok(ok(app.collection_watch_renew(&id, &query.unwrap_or_default(), address(peer)).await?))
}
