//! Bearer tokens (RFC 6750 §2.1).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::record::Operations;
use super::scope;
use crate::app::{Admission, App};

/// What requests are judged by.
pub(super) struct Guard {
    pub(super) app: Arc<App>,
    pub(super) operations: Arc<Operations>,
}

/// Lets requests pass whose token has the scope that the operation needs, and does them in its name.
pub(super) async fn require(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let app = &guard.app;
    let shown = bearer(request.headers()).map(|token| app.tokens.admit(token, app.clock.now_ms()));
    let detail = match shown {
        Some(Admission::Granted(grant)) => {
            let needed = scope::needed(guard.operations.name(&request));
            if grant.may(needed) {
                request.extensions_mut().insert(grant.clone());
                return anabranch_db::acting(&grant.name, next.run(request)).await;
            }
            metrics::counter!("anabranch_api_forbidden_total").increment(1);
            let detail = format!("this needs a token with scope {}; this one has {}", needed.as_str(), grant.words());
            return Problem::new(StatusCode::FORBIDDEN, "scope", "The token may not do this", detail).into_response();
        }
        None => "send an API token as \"Authorization: Bearer TOKEN\"",
        Some(Admission::Expired) => "the token has expired",
        Some(Admission::Unknown) => "the token is not one of this server, or was revoked",
    };
    metrics::counter!("anabranch_api_unauthorised_total").increment(1);
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", "A token is needed", detail).into_response()
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
