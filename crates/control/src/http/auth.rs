//! Bearer tokens (RFC 6750 §2.1).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::app::App;

/// Lets requests with a known token pass.
pub(super) async fn require(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match bearer(request.headers()) {
        Some(token) if app.tokens.admit(token) => next.run(request).await,
        found => {
            metrics::counter!("anabranch_api_unauthorised_total").increment(1);
            let detail = match found {
                None => "send an admin token as \"Authorization: Bearer TOKEN\"",
                Some(_) => "the token is not one of this server",
            };
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", "A token is needed", detail).into_response()
        }
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
