//! `/v1/watch`.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use anabranch_net::PeerAddr;
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::extract::{Answer, Wanted, ok};
use super::problem::Problem;
use super::signature::{MaybeSignature, Signature};
use crate::app::App;
use crate::app::view::PlayUrl;
use crate::app::watch_view::Watch;

/// Tells a watch page what there is to see. The signature of the play URL opens it.
#[utoipa::path(
    get, path = "/v1/watch/{breakout}", tag = "watch",
    params(
        ("breakout" = String, Path, description = "Id or name of the breakout"),
        ("recording" = Option<u32>, Query, description = "Session of the breakout whose recording is asked for"),
        MaybeSignature,
    ),
    responses((status = 200, body = Watch), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn watch_show(
    State(app): State<Arc<App>>,
    Wanted(breakout): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<Watch>, Problem> {
    let (query, client) = (query.unwrap_or_default(), address(peer));
    Ok(ok(app.watch_show(&breakout, recording(&query), &query, client).await?))
}

/// Renews a viewer's signature before it ends: the same session, for as long again.
#[utoipa::path(
    post, path = "/v1/watch/{breakout}/renew", tag = "watch",
    params(
        ("breakout" = String, Path, description = "Id or name of the breakout"),
        ("recording" = Option<u32>, Query, description = "Session of the breakout whose recording the signature opens"),
        Signature,
    ),
    responses((status = 200, body = PlayUrl), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn watch_renew(
    State(app): State<Arc<App>>,
    Wanted(breakout): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<PlayUrl>, Problem> {
    let query = query.unwrap_or_default();
    Ok(ok(app.watch_renew(&breakout, recording(&query), &query, address(peer)).await?))
}

/// Gives a viewer whom the device limit has shut out a session of his own; the limit then shuts out another of his devices.
#[utoipa::path(
    post, path = "/v1/watch/{breakout}/takeover", tag = "watch",
    params(
        ("breakout" = String, Path, description = "Id or name of the breakout"),
        ("recording" = Option<u32>, Query, description = "Session of the breakout whose recording the signature opens"),
        Signature,
    ),
    responses((status = 200, body = PlayUrl), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn watch_takeover(
    State(app): State<Arc<App>>,
    Wanted(breakout): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<PlayUrl>, Problem> {
    let query = query.unwrap_or_default();
    Ok(ok(app.watch_takeover(&breakout, recording(&query), &query, address(peer)).await?))
}

/// Sets the cookies that open a breakout, for a viewer with a signed play URL (V57).
#[utoipa::path(
    get, path = "/public/{breakout}/stream-auth", tag = "watch",
    params(
        ("breakout" = String, Path, description = "Id or name of the breakout"),
        Signature,
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn stream_auth(
    State(app): State<Arc<App>>,
    Wanted(breakout): Wanted,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Response, Problem> {
    let cookies = app.stream_auth(&breakout, &query.unwrap_or_default(), address(peer)).await?;
    Ok(with_cookies(&app, &headers, cookies.into_iter().map(|cookie| cookie.set_cookie)))
}

/// Sets the cookies that open the recordings of a breakout, for a viewer with a signed play URL (V57).
#[utoipa::path(
    get, path = "/public/breakouts/{breakout}/recordings", tag = "watch",
    params(
        ("breakout" = String, Path, description = "Id or name of the breakout"),
        Signature,
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn recordings_auth(
    state: State<Arc<App>>,
    breakout: Wanted,
    query: RawQuery,
    headers: HeaderMap,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Response, Problem> {
    // What is signed for a breakout's directory holds for its recordings below it.
    stream_auth(state, breakout, query, headers, peer).await
}

/// Clears the cookies of a viewer who leaves; with the breakout and the signature of the play URL it is also noted (V57).
#[utoipa::path(
    post, path = "/api/breakout/signout-stream", tag = "watch",
    params(
        ("breakout" = Option<String>, Query, description = "Id or name of the breakout"),
        MaybeSignature,
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn stream_signout(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let breakout = parameter(&query, "breakout");
    let cookies = app.stream_signout(breakout, &query, address(peer)).await?;
    Ok(with_cookies(&app, &headers, cookies))
}

/// The session of a breakout whose recording is asked for.
fn recording(query: &str) -> Option<u32> {
    parameter(query, "recording")?.parse().ok()
}

/// A front that does not say who asks gets an address that no policy names.
pub(super) fn address(peer: Option<Extension<PeerAddr>>) -> IpAddr {
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(peer)| peer.0.ip())
}

/// A parameter of a query, as it is written.
pub(super) fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An answer without a body that sets cookies, also for pages of the origins that may.
fn with_cookies(app: &App, asked: &HeaderMap, cookies: impl IntoIterator<Item = String>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    if let Some(origin) = asked.get(header::ORIGIN)
        && origin.to_str().is_ok_and(|origin| app.viewers.has(origin))
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}
