//! Reading requests, with problems instead of the framework's plain texts.

use std::convert::Infallible;

use anabranch_db::Idempotency;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::app::people::{Action, Caller, Need, Object, Privilege, Right};
use crate::app::{Deleted, Error, Scope, StreamKeys, idempotency};
use crate::secret::sha256;

/// A JSON body.
pub(super) struct Body<T> {
    pub(super) value: T,
    /// Given by an `Idempotency-Key` header.
    pub(super) idempotency: Option<Idempotency>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = body(request, state).await?;
        check_type(&headers)?;
        let value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
        Ok(Self { value, idempotency: idempotency_of(&headers, &bytes)? })
    }
}

/// A JSON body of whatever type it says that it is: Amazon SNS calls its own `text/plain`.
pub(super) struct AnyBody(pub(super) serde_json::Value);

impl<S: Send + Sync> FromRequest<S> for AnyBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = body(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| unreadable(&error))
    }
}

/// A JSON body that may be missing, which means the default.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_type(&headers)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| unreadable(&error))
    }
}

/// A query.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            Problem::invalid(text.clone(), named_field(&text))
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StreamKeys {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Who may change a channel may have its keys; a request that nobody has judged has none.
        let need = Need { scope: Scope::Manage, right: Right::Of(Privilege(Object::Channel, Action::Update)) };
        let shown = parts.extensions.get::<Caller>().is_some_and(|caller| caller.may(need));
        Ok(if shown { Self::Shown } else { Self::Hidden })
    }
}

/// A path segment, percent-decoded.
pub(super) struct Wanted(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|rejection| Problem::invalid(rejection.body_text(), None))
    }
}

/// Two path segments, percent-decoded.
pub(super) struct WantedOf(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for WantedOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<(String, String)>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0.0, path.0.1)).map_err(|rejection| Problem::invalid(rejection.body_text(), None))
    }
}

/// The ETag of an `If-Match` header without its quotes; none when any will do (RFC 9110 §13.1.1).
pub(super) struct IfMatch(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        // What is not text is no ETag of ours.
        let value = value.to_str().unwrap_or_default().trim();
        Ok(Self((value != "*").then(|| value.trim_matches('"').to_owned())))
    }
}

/// An answer with the ETag of what it shows.
pub(super) struct Tagged<T>(pub(super) Answer<T>, pub(super) String);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", self.1)) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

/// A JSON answer that no cache keeps.
pub(super) struct Answer<T>(pub(super) StatusCode, pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = (self.0, axum::Json(self.1)).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Status 204 when it is gone, 202 when it goes by itself.
pub(super) fn deleted(deleted: Deleted) -> StatusCode {
    match deleted {
        Deleted::Gone => StatusCode::NO_CONTENT,
        Deleted::UnderWay => StatusCode::ACCEPTED,
    }
}

/// Status 200.
pub(super) fn ok<T>(value: T) -> Answer<T> {
    Answer(StatusCode::OK, value)
}

/// Status 201.
pub(super) fn created<T>(value: T) -> Answer<T> {
    Answer(StatusCode::CREATED, value)
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        let title = "The body cannot be read";
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("a body has at most {} bytes", super::BODY_MAX_BYTES);
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail);
        }
        Problem::new(StatusCode::BAD_REQUEST, "malformed", title, rejection.body_text())
    })
}

/// A missing type is taken for JSON, for the sake of callers by hand.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("send application/json: {essence:?}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body has another type", detail))
}

fn unreadable(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    if error.is_data() {
        return Problem::invalid(text.clone(), named_field(&text));
    }
    Problem::new(StatusCode::BAD_REQUEST, "malformed", "The body is not JSON", text)
}

/// The field that serde's message names: unknown, missing or given twice.
fn named_field(text: &str) -> Option<String> {
    let at = text.find("field `")? + "field `".len();
    text[at..].split_once('`').map(|(field, _)| field.to_owned())
}

fn idempotency_of(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    // What is not text is not a key either.
    let key = key.to_str().unwrap_or_default();
    let made = idempotency(key, sha256(body));
    made.map(Some).map_err(|error: Error| Problem::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_names_the_field() {
        assert_eq!(named_field("unknown field `nmae`, expected `name`").as_deref(), Some("nmae"));
        assert_eq!(named_field("missing field `name` at line 1 column 2").as_deref(), Some("name"));
        assert_eq!(named_field("invalid type: integer `5`, expected a string"), None);
    }
}
