//! Who asks, and whether they may: bearer tokens (RFC 6750 §2.1) with scopes, or sessions by cookie with privileges.
//!
//! Where topics of Amazon SNS post, a token may also be a password (RFC 7617): they have no other way to show one.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::came::Came;
use super::cookie::Cookie;
use super::problem::Problem;
use super::record::Operations;
use super::scope;
use crate::app::people::{Caller, Need, Right};
use crate::app::{Admission, App};

/// What requests by cookie show beside it when they change something.
const X_ANABRANCH_CSRF: HeaderName = HeaderName::from_static("x-anabranch-csrf");

/// The operation that topics of Amazon SNS ask for. They show the password of their URL only to who asks for it in the name of a realm.
const OF_TOPICS: &str = "cluster_notification";

/// What requests are judged by.
pub(super) struct Guard {
    pub(super) app: Arc<App>,
    pub(super) operations: Arc<Operations>,
}

/// Lets requests pass whose caller may do what they ask for, and does them in the caller's name.
pub(super) async fn require(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let is_https = request.extensions().get::<Came>().is_some_and(|came| came.is_https);
    let operation = guard.operations.name(&request);
    let is_of_topics = operation == OF_TOPICS;
    let caller = match identify(&guard.app, request.headers(), is_https, is_of_topics).await {
        Ok(caller) => caller,
        Err(problem) => {
            metrics::counter!("anabranch_api_unauthorised_total").increment(1);
            let mut response = problem.into_response();
            if is_of_topics && response.status() == StatusCode::UNAUTHORIZED {
                let basic = HeaderValue::from_static("Basic realm=\"anabranch\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
            }
            return response;
        }
    };
    let need = scope::needed(operation);
    let mut response = match permit(&guard.app, &caller, need, &request) {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            anabranch_db::acting(caller.name(), next.run(request)).await
        }
        Err(problem) => {
            metrics::counter!("anabranch_api_forbidden_total").increment(1);
            problem.into_response()
        }
    };
    // For the audit.
    response.extensions_mut().insert(caller);
    response
}

/// The caller by token or, where none is shown, by cookie.
async fn identify(app: &App, headers: &HeaderMap, is_https: bool, is_of_topics: bool) -> Result<Caller, Problem> {
    let refuse = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", "A token is needed", detail);
    let token = bearer(headers).map(Cow::Borrowed).or_else(|| basic(headers).filter(|_| is_of_topics).map(Cow::Owned));
    if let Some(token) = token {
        return match app.tokens.admit(&token, app.clock.now_ms()) {
            Admission::Granted(grant) => Ok(Caller::Token(grant)),
            Admission::Expired => Err(refuse("the token has expired")),
            Admission::Unknown => Err(refuse("the token is not one of this server, or was revoked")),
        };
    }
    let Some(secret) = Cookie::Session.read(headers, is_https) else {
        return Err(refuse("send an API token as \"Authorization: Bearer TOKEN\", or log in"));
    };
    match app.session_of(secret).await? {
        Some(user) => Ok(Caller::User(user)),
        None => Err(refuse("the session has ended: log in again, or send \"Authorization: Bearer TOKEN\"")),
    }
}

fn permit(app: &App, caller: &Caller, need: Need, request: &Request) -> Result<(), Problem> {
    if let Caller::User(user) = caller
        && !matches!(*request.method(), Method::GET | Method::HEAD)
    {
        check_page(app, request, &user.csrf)?;
    }
    if caller.may(need) {
        return Ok(());
    }
    match (caller, need.right) {
        (Caller::Token(grant), _) => {
            let detail =
                format!("this needs a token with scope {}; this one has {}", need.scope.as_str(), grant.words());
            Err(Problem::new(StatusCode::FORBIDDEN, "scope", "The token may not do this", detail))
        }
        (Caller::User(_), Right::Of(privilege)) => Err(Problem::privilege(privilege)),
        (Caller::User(_), Right::Own | Right::Unknown) => {
            let detail = "this is for owners";
            Err(Problem::new(StatusCode::FORBIDDEN, "privilege", "You may not do this", detail))
        }
    }
}

/// Refuses what another site's page has a browser send: cookies travel with it, the header does not.
fn check_page(app: &App, request: &Request, wanted: &str) -> Result<(), Problem> {
    let headers = request.headers();
    let refuse = |detail: &str| Problem::new(StatusCode::FORBIDDEN, "csrf", "The request is not of our page", detail);
    if !request.extensions().get::<Came>().is_some_and(|came| came.is_of_own_page(app, headers)) {
        return Err(refuse(
            "a page of another origin asks: behind a proxy, set api.public_url to the address of the pages",
        ));
    }
    let shown = headers.get(X_ANABRANCH_CSRF).map_or(&b""[..], |value| value.as_bytes());
    if verify_slices_are_equal(shown, wanted.as_bytes()).is_err() {
        return Err(refuse("send X-Anabranch-CSRF with what GET /v1/me answers as \"csrf\""));
    }
    Ok(())
}

/// Refuses to log somebody in for a page of another site: they would act in a stranger's name.
pub(super) fn own_page(app: &App, came: &Came, headers: &HeaderMap) -> Result<(), Problem> {
    if came.is_of_own_page(app, headers) {
        return Ok(());
    }
    let detail = "a page of another origin asks: behind a proxy, set api.public_url to the address of the pages";
    Err(Problem::new(StatusCode::FORBIDDEN, "csrf", "The request is not of our page", detail))
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "bearer")
}

/// The password that is shown, whatever the name beside it.
fn basic(headers: &HeaderMap) -> Option<String> {
    let pair = STANDARD.decode(credentials(headers, "basic")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

fn credentials<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let (scheme, shown) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| shown.trim())
}
