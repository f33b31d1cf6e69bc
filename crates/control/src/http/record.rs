//! One log line and one count a request.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use utoipa::openapi::OpenApi;

/// Operation ids by method and route: a bounded set of metric labels.
pub(super) struct Operations(HashMap<(Method, String), String>);

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

pub(super) async fn record(operations: Arc<Operations>, request: Request, next: Next) -> Response {
    let operation = operations.name(&request).to_owned();
    let method = request.method().clone();
    // The query stays out of the log: it may hold signatures.
    let path = request.uri().path().to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status_class = format!("{}xx", status / 100);
    metrics::counter!("anabranch_api_requests_total", "operation" => operation.clone(), "status_class" => status_class)
        .increment(1);
    if method == Method::GET || method == Method::HEAD {
        tracing::debug!(http.method = %method, http.path = path, http.status = status, operation, milliseconds, "request");
    } else {
        tracing::info!(http.method = %method, http.path = path, http.status = status, operation, milliseconds, "request");
    }
    response
}
