//! `/v1/login/oidc`: logging in by a provider of identities. Browsers walk here, so failures end at a page.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::came::Came;
use super::cookie::Cookie;
use super::extract::{Query, Wanted};
use super::login::begun;
use super::problem::Problem;
use super::record::Told;
use crate::app::App;
use crate::app::people::{Callback, Refusal};

/// Time for a log-in at a provider.
const FLOW: Duration = Duration::from_secs(10 * 60);

/// Where a log-in by a provider ends.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BeginQuery {
    /// Path of a page of this server; its first page if it is missing.
    r#return: Option<String>,
}

/// Begins a log-in by a provider: sends the browser there.
#[utoipa::path(
    get, path = "/v1/login/oidc/{provider}", tag = "people",
    params(("provider" = String, Path, description = "Name, as GET /v1/login lists it"), BeginQuery),
    responses(
        (status = 302, description = "To the provider, or to /login?error=CODE"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn oidc_begin(
    State(app): State<Arc<App>>,
    Wanted(provider): Wanted,
    Extension(came): Extension<Came>,
    Query(query): Query<BeginQuery>,
) -> Result<Response, Problem> {
    Ok(match app.oidc_begin(&provider, query.r#return.as_deref()).await? {
        Ok(begun) => {
            let mut response = redirect(&begun.location);
            Cookie::Flow.set(&mut response, &begun.binding, FLOW, came.is_https);
            response
        }
        Err(refusal) => refused(&provider, &refusal),
    })
}

/// Ends a log-in by a provider, which sends the browser here.
#[utoipa::path(
    get, path = "/v1/login/oidc/{provider}/callback", tag = "people",
    params(("provider" = String, Path, description = "Name, as GET /v1/login lists it"), Callback),
    responses(
        (status = 302, description = "To the page that was wanted, with a session, or to /login?error=CODE"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn oidc_end(
    State(app): State<Arc<App>>,
    Wanted(provider): Wanted,
    Extension(came): Extension<Came>,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Problem> {
    let binding = Cookie::Flow.read(&headers, came.is_https);
    let mut response = match app.oidc_end(&provider, callback, binding, &came.via).await? {
        Ok((signed_in, back_to)) => begun(&app, &came, &signed_in, redirect(&back_to)),
        Err(refusal) => refused(&provider, &refusal),
    };
    Cookie::Flow.clear(&mut response, came.is_https);
    Ok(response)
}

fn refused(provider: &str, refusal: &Refusal) -> Response {
    let mut response = redirect(&format!("/login?error={}&provider={provider}", refusal.code));
    response.extensions_mut().insert(Told { subject: refusal.user.clone(), user: None });
    response
}

fn redirect(location: &str) -> Response {
    // What is not a header would be a fault of ours: paths and names have been looked at.
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/login?error=failed"));
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::FOUND, headers).into_response()
}
