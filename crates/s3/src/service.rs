//! What stands before the S3 service: requests that it should not see, patience, counting.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use s3s::service::S3Service;
use s3s::{Body, HttpResponse, S3Error, s3_error};

use crate::body::Patient;

/// Answers requests; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    service: S3Service,
    idle: Duration,
}

impl Handler {
    pub(crate) fn new(service: S3Service, idle: Duration) -> Self {
        Self { service, idle }
    }
}

impl Service<Request<Incoming>> for Handler {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { service, idle } = self.clone();
        Box::pin(async move {
            let method = method(request.method());
            let response = match refused(&request) {
                Some(error) => error.to_http_response().unwrap_or_else(|_| failed()),
                None => {
                    let request = request.map(|body| Body::http_body(Patient::new(body, idle)));
                    service.call(request).await.unwrap_or_else(|error| {
                        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
                        tracing::error!(error = &*error as &dyn std::error::Error, "a request of S3 is not answered");
                        failed()
                    })
                }
            };
            let class = class(response.status());
            metrics::counter!("anabranch_s3_requests_total", "method" => method, "status_class" => class).increment(1);
            Ok(response)
        })
    }
}

/// What is refused before it is understood: older signatures, which are weaker, and forms of browsers.
fn refused<B>(request: &Request<B>) -> Option<S3Error> {
    let has = |name: &str| {
        let query = request.uri().query().unwrap_or("");
        query.split('&').any(|pair| pair.split('=').next() == Some(name))
    };
    let header = |name| request.headers().get(name).map_or(&b""[..], http::HeaderValue::as_bytes);
    if header(AUTHORIZATION).starts_with(b"AWS ") || has("Signature") || has("AWSAccessKeyId") {
        return Some(s3_error!(InvalidRequest, "signature version 2 is not accepted; use version 4"));
    }
    if request.method() == Method::POST && header(CONTENT_TYPE).to_ascii_lowercase().starts_with(b"multipart/form-data")
    {
        return Some(s3_error!(NotImplemented, "uploads by HTML form are not implemented; use PutObject"));
    }
    None
}

fn failed() -> HttpResponse {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_signatures_and_forms_are_refused() {
        let request = |method: Method, uri: &str, name: &str, value: &str| {
            Request::builder().method(method).uri(uri).header(name, value).body(()).unwrap()
        };
        for refuse in [
            request(Method::GET, "/b/k", "authorization", "AWS AKID:sig"),
            request(Method::GET, "/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", "x", "y"),
            request(Method::POST, "/b", "content-type", "Multipart/Form-Data; boundary=x"),
        ] {
            assert!(refused(&refuse).is_some(), "{refuse:?}");
        }
        for take in [
            request(Method::GET, "/b/k", "authorization", "AWS4-HMAC-SHA256 Credential=a"),
            request(Method::GET, "/b/k?X-Amz-Signature=b", "x", "y"),
            request(Method::POST, "/b?delete", "content-type", "application/xml"),
        ] {
            assert!(refused(&take).is_none(), "{take:?}");
        }
    }
}
