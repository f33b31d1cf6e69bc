//! `/v1/breakouts`.

use std::sync::Arc;

use anabranch_model::BreakoutEvent;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, OptionalBody, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::view::{Breakout, List, PlayUrl, ViewerSession};
use crate::app::{App, BreakoutCreate, BreakoutPatch, BreakoutQuery, CurtainPut, PageQuery, PlayUrlCreate, Revoke};

/// Makes a breakout, not on air.
#[utoipa::path(
    post, path = "/v1/breakouts", tag = "breakouts", security(("bearer" = [])), request_body = BreakoutCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same breakout")),
    responses((status = 201, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_create(
    State(app): State<Arc<App>>,
    body: Body<BreakoutCreate>,
) -> Result<Answer<Breakout>, Problem> {
    Ok(created(app.breakout_create(body.value, body.idempotency).await?))
}

/// Lists breakouts.
#[utoipa::path(
    get, path = "/v1/breakouts", tag = "breakouts", security(("bearer" = [])), params(BreakoutQuery),
    responses((status = 200, body = List<Breakout>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_list(
    State(app): State<Arc<App>>,
    Query(query): Query<BreakoutQuery>,
) -> Result<Answer<List<Breakout>>, Problem> {
    Ok(ok(app.breakout_list(query).await?))
}

/// Shows a breakout.
#[utoipa::path(
    get, path = "/v1/breakouts/{id}", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_show(&id).await?))
}

/// Deletes a breakout that is not on air.
#[utoipa::path(
    delete, path = "/v1/breakouts/{id}", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.breakout_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a breakout on air; its channel starts if it does not run.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/start", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_start(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_event(&id, BreakoutEvent::Start).await?))
}

/// Ends a breakout for good.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/stop", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_stop(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_event(&id, BreakoutEvent::Stop).await?))
}

/// Takes the start of a breakout back.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/abort", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_abort(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_event(&id, BreakoutEvent::Abort).await?))
}

/// Signs URLs that open one breakout. A missing body means the defaults.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/play-url", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")), request_body = Option<PlayUrlCreate>,
    responses((status = 200, body = PlayUrl), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_play_url(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<PlayUrlCreate>,
) -> Result<Answer<PlayUrl>, Problem> {
    Ok(ok(app.breakout_play_url(&id, &request).await?))
}

/// Makes a completed breakout ready for another session.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/reset", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_reset(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_event(&id, BreakoutEvent::Reset).await?))
}

/// Changes a breakout; what is missing stays as it is. Some of it is frozen once the breakout is over.
#[utoipa::path(
    patch, path = "/v1/breakouts/{id}", tag = "breakouts", security(("bearer" = [])), request_body = BreakoutPatch,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<BreakoutPatch>,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_update(&id, &body.value).await?))
}

/// Raises or lowers the curtain: while it is down, edges refuse the audience within a second.
#[utoipa::path(
    put, path = "/v1/breakouts/{id}/curtain", tag = "breakouts", security(("bearer" = [])), request_body = CurtainPut,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_curtain(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<CurtainPut>,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_curtain(&id, &body.value).await?))
}

/// Has the pages of all viewers begin anew, player and all: each hears of it within seconds, by `refresh` of what it is told.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/refresh", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_refresh(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_refresh(&id).await?))
}

/// Shuts one viewer session out, or refuses every signature that was made so far. A missing body means all of them.
#[utoipa::path(
    post, path = "/v1/breakouts/{id}/revoke", tag = "breakouts", security(("bearer" = [])), request_body = Option<Revoke>,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = Breakout), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_revoke(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<Revoke>,
) -> Result<Answer<Breakout>, Problem> {
    Ok(ok(app.breakout_revoke(&id, &request).await?))
}

/// Lists who watches and has watched a breakout.
#[utoipa::path(
    get, path = "/v1/breakouts/{id}/viewers", tag = "breakouts", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name"), PageQuery),
    responses((status = 200, body = List<ViewerSession>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn viewer_list(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<ViewerSession>>, Problem> {
    Ok(ok(app.viewer_list(&id, &query).await?))
}
