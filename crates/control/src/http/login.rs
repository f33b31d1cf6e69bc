//! `/v1/login`, `/v1/setup` and `/v1/me`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::auth::own_page;
use super::came::Came;
use super::cookie::Cookie;
use super::extract::{Answer, Body, created, ok};
use super::problem::Problem;
use super::record::Told;
use super::scope;
use crate::app::people::{Caller, LoginCreate, LoginWays, Me, MePatch, PasswordPut, SetupCreate, SignedIn};
use crate::app::{App, Error};

/// Says how people may log in.
#[utoipa::path(
    get, path = "/v1/login", tag = "people",
    responses((status = 200, body = LoginWays), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn login_show(State(app): State<Arc<App>>) -> Result<Answer<LoginWays>, Problem> {
    Ok(ok(app.login_ways().await?))
}

/// Logs a user in by password: the session is in a cookie that scripts cannot read.
///
/// Requests by cookie that change something show `X-Anabranch-CSRF` with what is answered as `csrf`. Too many failures of one name
/// or from one address are answered 429.
#[utoipa::path(
    post, path = "/v1/login", tag = "people", request_body = LoginCreate,
    responses(
        (status = 200, body = Me, headers(("Set-Cookie" = String, description = "The session"))),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn login_create(
    State(app): State<Arc<App>>,
    Extension(came): Extension<Came>,
    headers: HeaderMap,
    body: Body<LoginCreate>,
) -> Result<Response, Response> {
    own_page(&app, &came, &headers).map_err(IntoResponse::into_response)?;
    match app.login(body.value, &came.via).await {
        Ok(signed_in) => Ok(begun(&app, &came, &signed_in, ok(Me::of_user(&signed_in.who)))),
        Err(error) => {
            let user = match &error {
                Error::Login { user } => user.clone(),
                _ => None,
            };
            let mut response = Problem::from(error).into_response();
            response.extensions_mut().insert(Told { subject: user, ..Told::default() });
            Err(response)
        }
    }
}

/// Ends the session of this request.
#[utoipa::path(
    delete, path = "/v1/login", tag = "people", security(("bearer" = [])),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn login_delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(came): Extension<Came>,
) -> Result<Response, Problem> {
    app.logout(&caller).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    Cookie::Session.clear(&mut response, came.is_https);
    Ok(response)
}

/// Makes the first user, an owner, and logs them in; with an admin token, and only while there is no user.
#[utoipa::path(
    post, path = "/v1/setup", tag = "people", security(("bearer" = [])), request_body = SetupCreate,
    responses(
        (status = 201, body = Me, headers(("Set-Cookie" = String, description = "The session"))),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn setup_create(
    State(app): State<Arc<App>>,
    Extension(came): Extension<Came>,
    headers: HeaderMap,
    body: Body<SetupCreate>,
) -> Result<Response, Problem> {
    own_page(&app, &came, &headers)?;
    let signed_in = app.setup(body.value, &came.via).await?;
    let mut response = begun(&app, &came, &signed_in, created(Me::of_user(&signed_in.who)));
    let subject = Some(signed_in.who.user.name.clone());
    response.extensions_mut().insert(Told { subject, ..Told::default() });
    Ok(response)
}

/// Says who asks, and what they may do.
#[utoipa::path(
    get, path = "/v1/me", tag = "people", security(("bearer" = [])),
    responses((status = 200, body = Me), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn me_show(Extension(caller): Extension<Caller>) -> Answer<Me> {
    ok(Me::of(&caller, scope::opened))
}

/// Changes what pages show of the user who asks.
#[utoipa::path(
    patch, path = "/v1/me", tag = "people", security(("bearer" = [])), request_body = MePatch,
    responses((status = 200, body = Me), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn me_update(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body<MePatch>,
) -> Result<Answer<Me>, Problem> {
    Ok(ok(app.me_update(body.value, &caller).await?))
}

/// Changes the password of the user who asks; their other sessions end.
#[utoipa::path(
    put, path = "/v1/me/password", tag = "people", security(("bearer" = [])), request_body = PasswordPut,
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn me_password(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(came): Extension<Came>,
    body: Body<PasswordPut>,
) -> Result<StatusCode, Problem> {
    app.password_put(body.value, &caller, &came.via).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An answer that begins a session.
pub(super) fn begun(app: &App, came: &Came, signed_in: &SignedIn, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    Cookie::Session.set(&mut response, &signed_in.secret, app.config.auth.lifetime, came.is_https);
    response.extensions_mut().insert(Told { user: Some(signed_in.who.user.name.clone()), subject: None });
    response
}
