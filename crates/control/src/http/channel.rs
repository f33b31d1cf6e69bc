//! `/v1/channels`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::{Channel, List};
use crate::app::{App, ChannelCreate, ChannelPatch, InputSwitch, PageQuery};

/// Makes a channel, with an input and a distribution.
#[utoipa::path(
    post, path = "/v1/channels", tag = "channels", security(("bearer" = [])), request_body = ChannelCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same channel")),
    responses((status = 201, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_create(
    State(app): State<Arc<App>>,
    body: Body<ChannelCreate>,
) -> Result<Answer<Channel>, Problem> {
    Ok(created(app.channel_create(body.value, body.idempotency).await?))
}

/// Lists channels.
#[utoipa::path(
    get, path = "/v1/channels", tag = "channels", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Channel>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Channel>>, Problem> {
    Ok(ok(app.channel_list(&query).await?))
}

/// Shows a channel.
#[utoipa::path(
    get, path = "/v1/channels/{id}", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_show(&id).await?))
}

/// Deletes a channel at rest, with its breakouts.
#[utoipa::path(
    delete, path = "/v1/channels/{id}", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.channel_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Wants a channel running, breakout or not.
#[utoipa::path(
    post, path = "/v1/channels/{id}/start", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_start(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_start(&id).await?))
}

/// Wants a channel at rest.
#[utoipa::path(
    post, path = "/v1/channels/{id}/stop", tag = "channels", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Channel), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn channel_stop(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_stop(&id).await?))
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
    body: Body<InputSwitch>,
) -> Result<Answer<Channel>, Problem> {
    Ok(ok(app.channel_switch(&id, &body.value).await?))
}
