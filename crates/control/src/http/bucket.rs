//! `/v1/buckets` and `/v1/access-keys`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{Answer, Body, Query, Wanted, created, ok};
use super::problem::Problem;
use crate::app::demand::{
    AccessKey, AccessKeyCreate, AccessKeyCreated, Bucket, BucketCreate, BucketPatch, Link, LinkCreate, ObjectList,
    ObjectQuery, Removal,
};
use crate::app::view::{DistributionWhole, List};
use crate::app::{App, PageQuery};

/// Makes a bucket.
#[utoipa::path(
    post, path = "/v1/buckets", tag = "buckets", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same bucket")), request_body = BucketCreate,
    responses((status = 201, body = Bucket), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn bucket_create(
    State(app): State<Arc<App>>,
    body: Body<BucketCreate>,
) -> Result<Answer<Bucket>, Problem> {
    Ok(created(app.bucket_create(&body.value, body.idempotency).await?))
}

/// Lists buckets.
#[utoipa::path(
    get, path = "/v1/buckets", tag = "buckets", security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, body = List<Bucket>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn bucket_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<Bucket>>, Problem> {
    Ok(ok(app.bucket_list(&query).await?))
}

/// Shows a bucket.
#[utoipa::path(
    get, path = "/v1/buckets/{id}", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name")),
    responses((status = 200, body = Bucket), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn bucket_show(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Answer<Bucket>, Problem> {
    Ok(ok(app.bucket_show(&id).await?))
}

/// Changes what is done with files that arrive in a bucket.
#[utoipa::path(
    patch, path = "/v1/buckets/{id}", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name")), request_body = BucketPatch,
    responses((status = 200, body = Bucket), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn bucket_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<BucketPatch>,
) -> Result<Answer<Bucket>, Problem> {
    Ok(ok(app.bucket_update(&id, &body.value).await?))
}

/// Deletes an empty bucket.
#[utoipa::path(
    delete, path = "/v1/buckets/{id}", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn bucket_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.bucket_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the distribution by which single files of a bucket can be fetched, or answers the one that is there.
#[utoipa::path(
    post, path = "/v1/buckets/{id}/distribution", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name")),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn bucket_publish(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<DistributionWhole>, Problem> {
    Ok(ok(app.bucket_publish(&id).await?))
}

/// Lists the files of a bucket, in the order of their keys.
#[utoipa::path(
    get, path = "/v1/buckets/{id}/objects", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name"), ObjectQuery),
    responses((status = 200, body = ObjectList), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn object_list(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<ObjectQuery>,
) -> Result<Answer<ObjectList>, Problem> {
    Ok(ok(app.object_list(&id, &query).await?))
}

/// Removes a file of a bucket.
#[utoipa::path(
    delete, path = "/v1/buckets/{id}/objects", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name"), Removal),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn object_delete(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(removal): Query<Removal>,
) -> Result<StatusCode, Problem> {
    app.object_delete(&id, &removal).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs a link to one file of a bucket.
#[utoipa::path(
    post, path = "/v1/buckets/{id}/link", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Name")), request_body = LinkCreate,
    responses((status = 200, body = Link), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn object_link(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<LinkCreate>,
) -> Result<Answer<Link>, Problem> {
    Ok(ok(app.object_link(&id, &body.value).await?))
}

/// Makes an access key of the S3-compatible endpoint; its secret is shown this once.
#[utoipa::path(
    post, path = "/v1/access-keys", tag = "buckets", security(("bearer" = [])), request_body = AccessKeyCreate,
    responses((status = 201, body = AccessKeyCreated), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn access_key_create(
    State(app): State<Arc<App>>,
    body: Body<AccessKeyCreate>,
) -> Result<Answer<AccessKeyCreated>, Problem> {
    Ok(created(app.access_key_create(&body.value).await?))
}

/// Lists access keys, without their secrets.
#[utoipa::path(
    get, path = "/v1/access-keys", tag = "buckets", security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, body = List<AccessKey>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn access_key_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<AccessKey>>, Problem> {
    Ok(ok(app.access_key_list(&query).await?))
}

/// Deletes an access key.
#[utoipa::path(
    delete, path = "/v1/access-keys/{id}", tag = "buckets", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn access_key_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.access_key_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
