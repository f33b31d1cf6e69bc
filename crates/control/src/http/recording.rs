//! `/v1/recordings` and `/v1/jobs`.

use std::sync::Arc;

use anabranch_model::JobEvent;
use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, OptionalBody, Query, Wanted, ok};
use super::problem::Problem;
use crate::app::view::{Job, List, PlayUrl, Recording};
use crate::app::{App, JobQuery, PlayUrlCreate, RecordingQuery};

/// Lists recordings.
#[utoipa::path(
    get, path = "/v1/recordings", tag = "recordings", security(("bearer" = [])), params(RecordingQuery),
    responses((status = 200, body = List<Recording>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn recording_list(
    State(app): State<Arc<App>>,
    Query(query): Query<RecordingQuery>,
) -> Result<Answer<List<Recording>>, Problem> {
    Ok(ok(app.recording_list(query).await?))
}

/// Shows a recording.
#[utoipa::path(
    get, path = "/v1/recordings/{id}", tag = "recordings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Recording), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn recording_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<Recording>, Problem> {
    Ok(ok(app.recording_show(&id).await?))
}

/// Deletes a recording that is over, with its media.
#[utoipa::path(
    delete, path = "/v1/recordings/{id}", tag = "recordings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn recording_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.recording_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Orders one MP4 of a recording; the job tells how far it is. A repeated order answers the one under way.
#[utoipa::path(
    post, path = "/v1/recordings/{id}/mp4", tag = "recordings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Job), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn recording_mp4(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Job>, Problem> {
    Ok(ok(app.recording_mp4(&id).await?))
}

/// Signs URLs that open one recording. A missing body means the defaults.
#[utoipa::path(
    post, path = "/v1/recordings/{id}/play-url", tag = "recordings", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")), request_body = Option<PlayUrlCreate>,
    responses((status = 200, body = PlayUrl), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn recording_play_url(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    OptionalBody(request): OptionalBody<PlayUrlCreate>,
) -> Result<Answer<PlayUrl>, Problem> {
    Ok(ok(app.recording_play_url(&id, &request).await?))
}

/// Lists jobs.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs", security(("bearer" = [])), params(JobQuery),
    responses((status = 200, body = List<Job>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn job_list(
    State(app): State<Arc<App>>,
    Query(query): Query<JobQuery>,
) -> Result<Answer<List<Job>>, Problem> {
    Ok(ok(app.job_list(query).await?))
}

/// Shows a job.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Job), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn job_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Job>, Problem> {
    Ok(ok(app.job_show(&id).await?))
}

/// Cancels a job.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/cancel", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Job), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn job_cancel(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Job>, Problem> {
    Ok(ok(app.job_event(&id, JobEvent::Cancel).await?))
}

/// Has a job tried again that was given up.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/retry", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = Job), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn job_retry(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Job>, Problem> {
    Ok(ok(app.job_event(&id, JobEvent::Retry).await?))
}
