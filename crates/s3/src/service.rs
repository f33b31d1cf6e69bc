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
    region: String,
}

impl Handler {
    pub(crate) fn new(service: S3Service, idle: Duration, region: String) -> Self {
        Self { service, idle, region }
    }
}

impl Service<Request<Incoming>> for Handler {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { service, idle, region } = self.clone();
        Box::pin(async move {
            let method = method(request.method());
            let response = match refused(&request) {
                Some(Refusal::Error(error)) => error.to_http_response().unwrap_or_else(|_| failed()),
                Some(Refusal::Region) => other_region(&region),
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

/// Why a request is not for the service.
#[derive(Debug)]
enum Refusal {
    Error(S3Error),
    /// Signed for something that is no region's name; the client has to be told ours.
    Region,
}

/// What is refused before it is understood: older signatures in headers, which say nothing of the body, and forms of browsers.
fn refused<B>(request: &Request<B>) -> Option<Refusal> {
    let header = |name| request.headers().get(name).map_or(&b""[..], http::HeaderValue::as_bytes);
    let signature = header(AUTHORIZATION);
    if signature.starts_with(b"AWS ") {
        // The very words by which some clients know that they should try the newer one.
        let text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
        return Some(Refusal::Error(s3_error!(InvalidRequest, "{text}")));
    }
    if request.method() == Method::POST && header(CONTENT_TYPE).to_ascii_lowercase().starts_with(b"multipart/form-data")
    {
        let error = s3_error!(NotImplemented, "uploads by HTML form are not implemented; use PutObject");
        return Some(Refusal::Error(error));
    }
    let is_region = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let region = std::str::from_utf8(signature).ok().and_then(signed_region);
    region.is_some_and(|region| !is_region(region)).then_some(Refusal::Region)
}

/// The region in a signature of version 4: `Credential=<id>/<date>/<region>/s3/aws4_request`.
fn signed_region(signature: &str) -> Option<&str> {
    let credential = signature.split_once("Credential=")?.1.split(',').next()?;
    credential.rsplit('/').nth(2)
}

/// Tells the region to clients that sign for one of their own making, such as s3cmd's `US`; they sign again.
fn other_region(region: &str) -> HttpResponse {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code>\
         <Message>The region is wrong; expecting '{region}'</Message><Region>{region}</Region></Error>\n"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/xml"));
    response
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
            request(Method::GET, "/b/k", "authorization", "AWS4-HMAC-SHA256 Credential=a/2/US/s3/aws4_request, Signed"),
            request(Method::POST, "/b", "content-type", "Multipart/Form-Data; boundary=x"),
        ] {
            assert!(refused(&refuse).is_some(), "{refuse:?}");
        }
        for take in [
            request(
                Method::GET,
                "/b/k",
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/b/2/us-east-1/s3/aws4_request",
            ),
            request(Method::GET, "/b/k", "authorization", "AWS4-HMAC-SHA256 Credential="),
            request(Method::GET, "/b/k?X-Amz-Signature=b", "x", "y"),
            request(Method::POST, "/b?delete", "content-type", "application/xml"),
        ] {
            assert!(refused(&take).is_none(), "{take:?}");
        }
    }
}
