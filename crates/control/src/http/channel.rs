//! `/v1/channels`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::extract::{Answer, Body, Query, Tagged, Wanted, WantedOf, created, deleted, ok};
use super::problem::Problem;
use crate::app::view::{Channel, DistributionWhole, List, Planned};
use crate::app::{App, ChannelCreate, ChannelPatch, DeleteQuery, DryRun, InputSwitch, PageQuery, StreamKeys};

/// Makes a channel, with an input and a distribution.
#[utoipa::path(
    post, path = "/v1/channels", tag = "channels", security(("bearer" = [])), request_body = ChannelCreate,
    params(
        DryRun,
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same channel")
    ),
    responses((status = 201, body = Channel), (status = 200, body = Planned, description = "With dry_run"), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_create(
    State(app): State<Arc<App>>,
    Query(query): Query<DryRun>,
    body: Body<ChannelCreate>,
) -> Result<Response, Problem> {
    if query.dry_run {
        return Ok(ok(app.channel_create_planned(&body.value)?).into_response());
    }
    Ok(created(app.channel_create(body.value, body.idempotency).await?).into_response())
}

/// Lists channels.
#[utoipa::path(
    get, path = "/v1/channels", tag = "channels", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Channel>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
    keys: StreamKeys,
) -> Result<Answer<List<Channel>>, Problem> {
    Ok(ok(app.channel_list(&query, keys).await?))
}

/// Shows a channel.
#[utoipa::path(
    get, path = "/v1/channels/{id}", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    keys: StreamKeys,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_show(&id, keys).await?))
}

/// Deletes a channel at rest, with its breakouts. Its distribution is disabled, and deleted when every edge has heard of it.
#[utoipa::path(
    delete, path = "/v1/channels/{id}", tag = "channels", security(("bearer" = [])),
    params(DeleteQuery, ("id" = String, Path, description = "Id or name")),
    responses(
        (status = 204), (status = 202, description = "It is stale and goes by itself"),
        (status = 200, body = Planned, description = "With dry_run"), (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn channel_delete(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<DeleteQuery>,
) -> Result<Response, Problem> {
    if query.dry_run {
        return Ok(ok(app.channel_delete_planned(&id).await?).into_response());
    }
    Ok(deleted(app.channel_delete(&id, query).await?).into_response())
}

/// Makes a distribution for a channel that has none.
#[utoipa::path(
    post, path = "/v1/channels/{id}/distribution", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 201, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_distribution_create(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Tagged<DistributionWhole>, Problem> {
    let whole = app.channel_distribution_create(&id).await?;
    let etag = whole.distribution.etag.clone();
    Ok(Tagged(created(whole), etag))
}

/// Wants a channel running, breakout or not.
#[utoipa::path(
    post, path = "/v1/channels/{id}/start", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_start(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    keys: StreamKeys,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_start(&id, keys).await?))
}

/// Wants a channel at rest.
#[utoipa::path(
    post, path = "/v1/channels/{id}/stop", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_stop(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    keys: StreamKeys,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_stop(&id, keys).await?))
}

/// Changes a channel; what is missing stays as it is.
#[utoipa::path(
    patch, path = "/v1/channels/{id}", tag = "channels", security(("bearer" = [])), request_body = ChannelPatch,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<ChannelPatch>,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_update(&id, &body.value).await?))
}

/// Puts another input of a channel in use. Its preference must be equal.
#[utoipa::path(
    post, path = "/v1/channels/{id}/switch", tag = "channels", security(("bearer" = [])), request_body = InputSwitch,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_switch(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    keys: StreamKeys,
    body: Body<InputSwitch>,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_switch(&id, &body.value, keys).await?))
}

/// Gives an input another stream key. An encoder that pushes with the one before is disconnected, and refused from then on.
#[utoipa::path(
    post, path = "/v1/channels/{id}/inputs/{input}/rotate-key", tag = "channels", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id or name"),
        ("input" = String, Path, description = "Id of the input, or its number from 1")
    ),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_rotate_key(
    State(app): State<Arc<App>>,
    WantedOf(id, input): WantedOf,
    keys: StreamKeys,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_rotate_key(&id, &input, keys).await?))
}
