//! `/v1/accounts` and `/v1/events`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::{Account, Event, List};
use crate::app::{AccountCreate, App, EventPut, PageQuery};

/// Makes an account.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "events", security(("bearer" = [])), request_body = AccountCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same account")),
    responses((status = 201, body = Account), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn account_create(
    State(app): State<Arc<App>>,
    body: Body<AccountCreate>,
) -> Result<Answer<Account>, Problem> {
    Ok(created(app.account_create(&body.value, body.idempotency).await?))
}

/// Lists accounts.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "events", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Account>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn account_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Account>>, Problem> {
    Ok(ok(app.account_list(&query).await?))
}

/// Shows an account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Account), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn account_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Account>, Problem> {
    Ok(ok(app.account_show(&id).await?))
}

/// Deletes an account without events.
#[utoipa::path(
    delete, path = "/v1/accounts/{id}", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn account_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.account_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an event.
#[utoipa::path(
    post, path = "/v1/events", tag = "events", security(("bearer" = [])), request_body = EventPut,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same event")),
    responses((status = 201, body = Event), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn event_create(State(app): State<Arc<App>>, body: Body<EventPut>) -> Result<Answer<Event>, Problem> {
    Ok(created(app.event_create(&body.value, body.idempotency).await?))
}

/// Lists events.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Event>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn event_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Event>>, Problem> {
    Ok(ok(app.event_list(&query).await?))
}

/// Shows an event.
#[utoipa::path(
    get, path = "/v1/events/{id}", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Event), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn event_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Event>, Problem> {
    Ok(ok(app.event_show(&id).await?))
}

/// Gives an event another name, description or time.
#[utoipa::path(
    put, path = "/v1/events/{id}", tag = "events", security(("bearer" = [])), request_body = EventPut,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Event), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn event_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<EventPut>,
) -> Result<Answer<Event>, Problem> {
    Ok(ok(app.event_update(&id, &body.value).await?))
}

/// Deletes an event without breakouts.
#[utoipa::path(
    delete, path = "/v1/events/{id}", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn event_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.event_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
