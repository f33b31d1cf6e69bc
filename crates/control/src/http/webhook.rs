//! `/v1/webhooks`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, OptionalBody, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::List;
use crate::app::{App, PageQuery, Webhook, WebhookCreate, WebhookRotate, WebhookSecret, WebhookTest, WebhookUpdate};

/// Makes a webhook, which is told what happens from then on. No later answer has its secret.
///
/// Each entry of the log that is wanted is posted as JSON until the receiver answers with a status of success: at least once,
/// and in order within each subject. `Anabranch-Event` has the type, `Anabranch-Delivery` a name that repetitions share, and
/// `Anabranch-Signature` is `t=<Unix seconds>,v1=<hexadecimal HMAC-SHA-256 of t, a dot and the body>`, with a `v1` for each
/// secret in force. Failures are repeated for three days, at most an hour apart. Status 410 disables the webhook.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks", security(("bearer" = [])), request_body = WebhookCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same webhook")),
    responses((status = 201, body = WebhookSecret), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_create(
    State(app): State<Arc<App>>,
    body: Body<WebhookCreate>,
) -> Result<Answer<WebhookSecret>, Problem> {
    Ok(created(app.webhook_create(body.value, body.idempotency).await?))
}

/// Lists webhooks.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<Webhook>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Webhook>>, Problem> {
    Ok(ok(app.webhook_list(&query).await?))
}

/// Shows a webhook, how far it has got and what is wrong.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Webhook), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Webhook>, Problem> {
    Ok(ok(app.webhook_show(&id).await?))
}

/// Changes a webhook, or enables it again.
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", tag = "webhooks", security(("bearer" = [])), request_body = WebhookUpdate,
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Webhook), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<WebhookUpdate>,
) -> Result<Answer<Webhook>, Problem> {
    Ok(ok(app.webhook_update(&id, body.value).await?))
}

/// Deletes a webhook with what it has not been told yet.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.webhook_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook another secret; the old one signs as well for a while. A missing body means the defaults.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")), request_body = Option<WebhookRotate>,
    responses((status = 200, body = WebhookSecret), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_rotate_secret(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<WebhookRotate>,
) -> Result<Answer<WebhookSecret>, Problem> {
    Ok(ok(app.webhook_rotate(&id, &request).await?))
}

/// Sends a `ping` to the receiver and tells what came of it.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/test", tag = "webhooks", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = WebhookTest), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn webhook_test(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<WebhookTest>, Problem> {
    Ok(ok(app.webhook_test(&id).await?))
}
