//! `/v1/clusters`, and the decision for edge functions elsewhere.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::extract::{Answer, AnyBody, Body, OptionalBody, Query, Tagged, Wanted, created, ok};
use super::log::{busy, event_stream};
use super::problem::Problem;
use crate::app::people::Caller;
use crate::app::view::{DistributionWhole, List, PlayUrl};
use crate::app::{
    App, ClusterCreate, ClusterJoin, ClusterPatch, ClusterPull, ClusterView, DecisionQuery, DecisionView, DrillOrder,
    HistoryItem, HistoryQuery, Order, PageQuery, PlayUrlCreate, PlaylistQuery, PlaylistsView, RegionOrder, StateQuery,
    StateView, StreamQuery, VoteGiven, VoteView,
};
use crate::cluster::feed::ClusterFeed;
use crate::stream::BUFFER_BYTES;

/// Makes a cluster: defines which regions have the same live stream, and which of them this server is.
#[utoipa::path(
    post, path = "/v1/clusters", tag = "clusters", security(("bearer" = [])), request_body = ClusterCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key answers the same cluster")),
    responses((status = 201, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_create(
    State(app): State<Arc<App>>,
    body: Body<ClusterCreate>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(created(app.cluster_create(body.value, body.idempotency).await?))
}

/// Makes a cluster as a peer has defined it, so that nobody types it twice.
///
/// Regions, their order, their URLs and all settings are the peer's. Tokens are not told: that of the peer is the one that it is asked with,
/// and regions that are further instances need one each.
#[utoipa::path(
    post, path = "/v1/clusters/join", tag = "clusters", security(("bearer" = [])), request_body = ClusterJoin,
    responses((status = 201, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_join(
    State(app): State<Arc<App>>,
    body: Body<ClusterJoin>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(created(app.cluster_join(body.value).await?))
}

/// Takes over what a peer has defined of a cluster since: regions, their order, their URLs, settings.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/pull", tag = "clusters", security(("bearer" = [])), request_body = ClusterPull,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_pull(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<ClusterPull>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(ok(app.cluster_pull(&id, body.value).await?))
}

/// Lists the playlists that this server watches, with what it has measured: ages, intervals between changes, how fast they answer; and what
/// is wrong with whole streams.
#[utoipa::path(
    get, path = "/v1/clusters/{id}/playlists", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name"), PlaylistQuery),
    responses((status = 200, body = PlaylistsView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_playlists(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<PlaylistQuery>,
) -> Result<Answer<PlaylistsView>, Problem> {
    std::future::ready(Ok(ok(app.cluster_playlists(&id, &query)?))).await
}

/// Tells what a cluster is like, each second and at once when something has changed, as server-sent events.
///
/// Each event `cluster` has in `data` what `GET /v1/clusters/{id}` answers. An event `gone` says that the cluster was deleted.
#[utoipa::path(
    get, path = "/v1/clusters/{id}/stream", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_stream(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<Response, Problem> {
    let id = app.cluster_show(&id)?.id;
    let Ok(permit) = app.streams.clone().try_acquire_owned() else { return Err(busy()) };
    let (pipe, out) = tokio::io::duplex(BUFFER_BYTES);
    app.tasks.spawn(ClusterFeed::new(app.clone(), id, pipe, permit).run());
    std::future::ready(Ok(event_stream(out))).await
}

/// Makes the distribution of a cluster's merged playlists, or answers the one that is there.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/publish", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = DistributionWhole), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_publish(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<DistributionWhole>, Problem> {
    Ok(ok(app.cluster_publish(&id).await?))
}

/// Signs URLs that open a stream of a cluster, by its merged playlist, in every region. A missing body means the defaults.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/play-url", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name"), StreamQuery), request_body = Option<PlayUrlCreate>,
    responses((status = 200, body = PlayUrl), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_play_url(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<StreamQuery>,
    OptionalBody(request): OptionalBody<PlayUrlCreate>,
) -> Result<Answer<PlayUrl>, Problem> {
    Ok(ok(app.cluster_play_url(&id, query.stream.as_deref(), &request).await?))
}

/// Lists clusters with their state.
#[utoipa::path(
    get, path = "/v1/clusters", tag = "clusters", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = List<ClusterView>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_list(
    State(app): State<Arc<App>>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<ClusterView>>, Problem> {
    Ok(ok(app.cluster_list(&query).await?))
}

/// Shows a cluster: of each region whether it is open and fresh, since when, and by whom.
#[utoipa::path(
    get, path = "/v1/clusters/{id}", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_show(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<ClusterView>, Problem> {
    std::future::ready(Ok(ok(app.cluster_show(&id)?))).await
}

/// Changes the definition of a cluster on this server; peers have their own.
#[utoipa::path(
    patch, path = "/v1/clusters/{id}", tag = "clusters", security(("bearer" = [])), request_body = ClusterPatch,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_update(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<ClusterPatch>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(ok(app.cluster_update(&id, body.value).await?))
}

/// Deletes a cluster on this server, with its history. What it has closed here is open again.
#[utoipa::path(
    delete, path = "/v1/clusters/{id}", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_delete(State(app): State<Arc<App>>, Wanted(id): Wanted) -> Result<StatusCode, Problem> {
    app.cluster_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Closes a region until another word is said: edges answer 404, and players go on elsewhere.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/close", tag = "clusters", security(("bearer" = [])), request_body = RegionOrder,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_close(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
    body: Body<RegionOrder>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(ok(app.cluster_order(&id, Order::Close, body.value, caller.name()).await?))
}

/// Opens a region until another word is said, whatever the automat would do.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/open", tag = "clusters", security(("bearer" = [])), request_body = RegionOrder,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_open(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
    body: Body<RegionOrder>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(ok(app.cluster_order(&id, Order::Open, body.value, caller.name()).await?))
}

/// Hands a region back to the automat.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/automatic", tag = "clusters", security(("bearer" = [])), request_body = RegionOrder,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_automatic(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
    body: Body<RegionOrder>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(ok(app.cluster_order(&id, Order::Automatic, body.value, caller.name()).await?))
}

/// Closes a region for some seconds, for practice; it ends by itself.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/drill", tag = "clusters", security(("bearer" = [])), request_body = DrillOrder,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = ClusterView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_drill(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Extension(caller): Extension<Caller>,
    body: Body<DrillOrder>,
) -> Result<Answer<ClusterView>, Problem> {
    Ok(ok(app.cluster_drill(&id, body.value, caller.name()).await?))
}

/// Lists what was decided, by whom and by what evidence; the newest first.
#[utoipa::path(
    get, path = "/v1/clusters/{id}/history", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name"), HistoryQuery),
    responses((status = 200, body = List<HistoryItem>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_history(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    Query(query): Query<HistoryQuery>,
) -> Result<Answer<List<HistoryItem>>, Problem> {
    Ok(ok(app.cluster_history(&id, &query).await?))
}

/// Tells peers the newest words and votes.
///
/// With `after` the answer waits until the version is another one, a second at most.
#[utoipa::path(
    get, path = "/v1/clusters/{id}/state", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name"), StateQuery,
           ("If-None-Match" = Option<String>, Header, description = "ETag of the answer before: 304 if it is still that")),
    responses((status = 200, body = Object, content_type = "application/json"), (status = 304), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_state(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    headers: HeaderMap,
    Query(query): Query<StateQuery>,
) -> Result<Response, Problem> {
    let state = app.cluster_state(&id, query.after).await?;
    let etag = state.version.to_string();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.trim() == format!("\"{etag}\"")) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(Tagged(ok(StateView(state)), etag).into_response())
}

/// Takes what a watcher sees of a region. It must say so again within the silence limit, or it counts as silent.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/votes", tag = "clusters", security(("bearer" = [])), request_body = VoteGiven,
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_vote(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    body: Body<VoteGiven>,
) -> Result<StatusCode, Problem> {
    app.cluster_vote_given(&id, body.value)?;
    std::future::ready(Ok(StatusCode::NO_CONTENT)).await
}

/// Takes the notification of a detector of stale playlists as its vote.
///
/// It is what such detectors tell webhooks and topics: `options`, `playlists` and `detector`. The host of `options.cdn_url` says which region
/// is meant, `options.name` is the name of the watcher. It may come in an envelope of SNS, as its text `Message`, also as the records of an event.
/// Like every vote it counts for the silence limit.
///
/// A topic of SNS is subscribed with `https://sns:TOKEN@HOST/v1/clusters/ID/notifications`: here alone a token may be the password of HTTP
/// Basic (RFC 7617) too. The address that confirms the subscription is then in the log, as `confirm_url` of `cluster.topic.asks`.
#[utoipa::path(
    post, path = "/v1/clusters/{id}/notifications", tag = "clusters", security(("bearer" = [])),
    request_body(content = Object, content_type = "application/json"),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_notification(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
    AnyBody(body): AnyBody,
) -> Result<StatusCode, Problem> {
    app.cluster_notification(&id, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what watchers say, with what they have measured.
#[utoipa::path(
    get, path = "/v1/clusters/{id}/votes", tag = "clusters", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = List<VoteView>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_vote_list(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<List<VoteView>>, Problem> {
    std::future::ready(Ok(ok(app.cluster_votes(&id)?))).await
}

/// Tells edge functions elsewhere whether the region that they serve is open.
///
/// What is not known is open, and a function that gets no answer should let viewers pass as well. The answer may be kept for a
/// second.
#[utoipa::path(
    get, path = "/cluster/v1/decision", tag = "clusters", params(DecisionQuery),
    responses((status = 200, body = DecisionView), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cluster_decision(State(app): State<Arc<App>>, Query(query): Query<DecisionQuery>) -> Response {
    let decision = app.cluster_decision(query.distribution.as_deref());
    let mut response = axum::Json(decision).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    std::future::ready(response).await
}
