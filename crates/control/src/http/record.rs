//! One log line and one count a request, and for each that wants to change something a row of the audit.

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_db::NewAudit;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use utoipa::openapi::OpenApi;

use super::came::Came;
use super::scope;
use crate::app::App;
use crate::app::people::Caller;
use crate::secret;

/// By which logs, the audit and the caller know a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name of a request that a caller gives, in bytes.
const REQUEST_ID_MAX: usize = 64;

/// Longest subject that the audit keeps, in characters.
const SUBJECT_MAX: usize = 256;

/// Operation ids by method and route: a bounded set of metric labels.
pub(super) struct Operations(HashMap<(Method, String), String>);

/// What only a handler can tell the audit; an extension of answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The user who has just logged in.
    pub(super) user: Option<String>,
    /// What the request was about.
    pub(super) subject: Option<String>,
}

impl Operations {
    pub(super) fn of(document: &OpenApi) -> Self {
        let mut operations = HashMap::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
                (Method::HEAD, &item.head),
                (Method::OPTIONS, &item.options),
            ] {
                if let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.clone()) {
                    operations.insert((method, path.clone()), id);
                }
            }
        }
        Self(operations)
    }

    /// Operation id of a request; `none`, `node` or `ui` where there is none.
    pub(super) fn name(&self, request: &Request) -> &str {
        let Some(route) = request.extensions().get::<MatchedPath>() else { return "none" };
        let named = |method| self.0.get(&(method, route.as_str().to_owned()));
        // What answers GET answers HEAD as well, unless something else does.
        let get = || (request.method() == Method::HEAD).then(|| named(Method::GET)).flatten();
        match named(request.method().clone()).or_else(get) {
            Some(operation) => operation,
            None if route.as_str().starts_with("/v1") => "none",
            None if route.as_str().starts_with("/edge/v1") => "node",
            None => "ui",
        }
    }
}

/// What every request goes through first.
pub(super) struct Recorder {
    pub(super) app: Arc<App>,
    pub(super) operations: Arc<Operations>,
}

pub(super) async fn record(recorder: Arc<Recorder>, mut request: Request, next: Next) -> Response {
    let app = &recorder.app;
    let operation = recorder.operations.name(&request).to_owned();
    let method = request.method().clone();
    // The query stays out of the log: it may hold signatures.
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let request_id = request_id(request.headers());
    let came = Came::of(app, &request);
    request.extensions_mut().insert(came.clone());
    let began = Instant::now();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status_class = format!("{}xx", status / 100);
    metrics::counter!("anabranch_api_requests_total", "operation" => operation.clone(), "status_class" => status_class)
        .increment(1);
    let reads = method == Method::GET || method == Method::HEAD;
    if reads {
        tracing::debug!(http.method = %method, http.path = path, http.status = status, http.request_id = request_id, operation, milliseconds, "request");
    } else {
        tracing::info!(http.method = %method, http.path = path, http.status = status, http.request_id = request_id, operation, milliseconds, "request");
    }
    // A provider sends browsers back by GET.
    let object = if reads && operation != "oidc_end" { None } else { scope::audited(&operation, status) };
    if let Some(object) = object {
        let subject = route.and_then(|route| subject(&route, &path));
        let entry = Entry { operation, object, subject, status, request_id: &request_id };
        app.audit(entry.finish(app, &came, &response), &came.via);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// A row of the audit as far as the request tells.
struct Entry<'a> {
    operation: String,
    object: &'static str,
    subject: Option<String>,
    status: u16,
    request_id: &'a str,
}

impl Entry<'_> {
    fn finish(self, app: &App, came: &Came, response: &Response) -> NewAudit {
        let caller = response.extensions().get::<Caller>();
        let told = response.extensions().get::<Told>().cloned().unwrap_or_default();
        let (actor, kind) = match (caller, told.user) {
            (Some(caller), _) => (Some(caller.name().to_owned()), caller.kind()),
            (None, Some(user)) => (Some(user), "user"),
            (None, None) => (None, "none"),
        };
        NewAudit {
            at: app.clock.now_ms(),
            actor,
            actor_kind: kind.to_owned(),
            operation: self.operation,
            object: self.object.to_owned(),
            subject: told.subject.or(self.subject),
            status: self.status,
            remote: came.via.address.to_string(),
            request_id: self.request_id.to_owned(),
        }
    }
}

/// The caller's own name of the request, if it is one, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match given {
        Some(id) if !id.is_empty() && id.len() <= REQUEST_ID_MAX && id.bytes().all(plain) => id.to_owned(),
        _ => secret::random("").chars().take(22).collect(),
    }
}

/// What stands in the path for the first parameter of the route, percent-decoded.
fn subject(route: &str, path: &str) -> Option<String> {
    let parameter = |(part, _): &(&str, &str)| part.starts_with('{');
    let (_, value) = route.split('/').zip(path.split('/')).find(parameter)?;
    let value = decoded(value.as_bytes());
    Some(String::from_utf8_lossy(&value).chars().filter(|c| !c.is_control()).take(SUBJECT_MAX).collect())
}

/// Percent-decoded (RFC 3986 §2.1); what is no escape stays.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                // Two digits are one byte.
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_are_what_paths_name() {
        for (route, path, wanted) in [
            ("/v1/channels/{id}", "/v1/channels/a%20b", Some("a b")),
            ("/v1/buckets/{bucket}/objects/{*key}", "/v1/buckets/films/objects/a/b", Some("films")),
            ("/v1/channels", "/v1/channels", None),
            ("/v1/channels/{id}/start", "/v1/channels/%zz%/start", Some("%zz%")),
        ] {
            assert_eq!(subject(route, path).as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn request_ids_are_plain() {
        let of = |text: &str| request_id(&[(X_REQUEST_ID, text.parse().unwrap())].into_iter().collect());
        assert_eq!(of("a-b_c.1"), "a-b_c.1");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert_eq!(of(bad).len(), 22, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read(path in "[/%0-9a-zA-Z]{0,100}") {
            let _ = subject("/v1/channels/{id}/x", &path);
        }
    }
}
