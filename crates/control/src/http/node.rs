//! `/edge/v1`, by which nodes of their own are told and tell (ADR 11), and `/v1/nodes` for operators.

use std::sync::Arc;

use anabranch_model::{
    Acknowledged, InstanceId, JOB_BEAT_PATH, JOB_CLAIM_PATH, JOB_END_PATH, JOB_LEFT_PATH, JobBeat, JobClaim, JobEnd,
    JobLeft, NODES_PATH, REPORT_BYTES_MAX, REPORTS_PATH, ReportBatch, SNAPSHOT_PATH, SnapshotQuery,
};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;

use super::auth::bearer;
use super::extract::{Answer, Body, Query, Wanted, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::node::{DistributionTraffic, Node};
use crate::app::view::List;

/// What nodes of their own speak. It is no part of the API's document: both sides are this code.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(SNAPSHOT_PATH, get(snapshot))
        .route(REPORTS_PATH, post(reports))
        .route(&format!("{NODES_PATH}/{{name}}"), delete(leave))
        .route(JOB_CLAIM_PATH, post(job_claim))
        .route(JOB_BEAT_PATH, post(job_beat))
        .route(JOB_END_PATH, post(job_end))
        .route(JOB_LEFT_PATH, post(job_left))
        .layer(DefaultBodyLimit::max(REPORT_BYTES_MAX))
        .route_layer(from_fn_with_state(app.clone(), require))
}

/// Lets requests with the nodes' token pass.
async fn require(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match bearer(request.headers()) {
        Some(token) if app.nodes.admit(token) => next.run(request).await,
        _ => {
            metrics::counter!("anabranch_control_nodes_unauthorised_total").increment(1);
            let detail = "this needs the token that `anabranch node token` shows on the control plane's machine, as \
                          node.token of the node";
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", "A node's token is needed", detail).into_response()
        }
    }
}

async fn snapshot(State(app): State<Arc<App>>, Query(query): Query<SnapshotQuery>) -> Result<Response, Problem> {
    let Some(briefing) = app.node_snapshot(&query).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let mut response = briefing.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn reports(State(app): State<Arc<App>>, body: Body<ReportBatch>) -> Result<Answer<Acknowledged>, Problem> {
    Ok(ok(app.node_reports(&body.value).await?))
}

async fn job_claim(State(app): State<Arc<App>>, body: Body<JobClaim>) -> Result<Response, Problem> {
    Ok(match app.job_claim(&body.value).await? {
        Some(claimed) => ok(claimed).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn job_beat(State(app): State<Arc<App>>, body: Body<JobBeat>) -> Result<StatusCode, Problem> {
    Ok(if app.job_beat(&body.value).await? { StatusCode::NO_CONTENT } else { StatusCode::GONE })
}

async fn job_end(State(app): State<Arc<App>>, body: Body<JobEnd>) -> Result<StatusCode, Problem> {
    app.job_end(&body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn job_left(State(app): State<Arc<App>>, body: Body<JobLeft>) -> Result<Answer<JobLeft>, Problem> {
    Ok(ok(JobLeft { work: app.work_unwanted(body.value.work).await? }))
}

/// Query of a goodbye.
#[derive(Debug, Deserialize)]
struct Goodbye {
    instance: InstanceId,
}

async fn leave(
    State(app): State<Arc<App>>,
    Wanted(name): Wanted,
    Query(goodbye): Query<Goodbye>,
) -> Result<StatusCode, Problem> {
    let name = name.parse().map_err(|error: anabranch_model::IdError| Problem::invalid(error.to_string(), None))?;
    app.node_leave(&name, &goodbye.instance).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the nodes of the data plane.
#[utoipa::path(
    get, path = "/v1/nodes", tag = "nodes", security(("bearer" = [])),
    responses((status = 200, body = List<Node>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn node_list(State(app): State<Arc<App>>) -> Answer<List<Node>> {
    std::future::ready(ok(app.node_list())).await
}

/// Forgets a node that is not connected: nothing waits for it any more.
#[utoipa::path(
    delete, path = "/v1/nodes/{id}", tag = "nodes", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn node_forget(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.node_forget(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what a distribution has delivered, by behavior and by breakout.
#[utoipa::path(
    get, path = "/v1/distributions/{id}/traffic", tag = "distributions", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = DistributionTraffic), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn distribution_traffic(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<DistributionTraffic>, Problem> {
    Ok(ok(app.distribution_traffic(&id).await?))
}
