//! Problem responses (RFC 9457), and the one place that maps errors to statuses.

use std::future::{Ready, ready};

use anabranch_db::Fault;
use anabranch_store::StoreError;
use anabranch_store::buckets::BucketError;
use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Error;
use crate::app::demand::UploadError;
use crate::app::people::Privilege;
use crate::chain::chain;
use crate::health::remedy;

/// When to ask again, in seconds: about as long as a takeover takes.
const TAKEOVER_SECONDS: u16 = 2;

/// When to ask again after what mostly passes by itself, in seconds.
const SOON_SECONDS: u16 = 5;

/// When to ask again after what somebody must see to, in seconds.
const LATER_SECONDS: u16 = 30;

/// A failure of the database that a response tells of.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) fault: Fault,
    /// What it said.
    pub(super) error: String,
}

/// Why a request was not done (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A URN that names the kind.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// This very case in words.
    detail: String,
    /// Field, parameter or header that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The same in CloudFront's words, such as `CNAMEAlreadyExists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// When the same may succeed, in seconds: `Retry-After`.
    #[serde(skip)]
    retry_seconds: Option<u16>,
    /// What the database has failed with, for those who keep account of that.
    #[serde(skip)]
    met: Option<Box<Met>>,
}

impl Problem {
    /// `name` is the last part of the URN.
    pub(crate) fn new(status: StatusCode, name: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:anabranch:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            code: None,
            retry_seconds: None,
            met: None,
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>, field: Option<String>) -> Self {
        let title = "The request is not acceptable";
        Self { field, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", title, detail) }
    }

    fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    fn coded(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Another controller acts on the database.
    pub(crate) fn standby() -> Self {
        let detail = "another controller acts on the same database; ask that one, or again after it is gone";
        let title = "Another controller acts";
        let retry_seconds = Some(TAKEOVER_SECONDS);
        Self { retry_seconds, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "standby", title, detail) }
    }

    /// A user lacks this privilege.
    pub(super) fn privilege(privilege: Privilege) -> Self {
        let detail = format!("this needs the privilege {privilege}, which you do not have");
        Self::new(StatusCode::FORBIDDEN, "privilege", "You may not do this", detail).about(&privilege.to_string())
    }

    /// As a text, for callers that know no problems.
    pub(super) fn plain(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, format!("{}\n", self.detail)).into_response()
    }

    pub(super) fn about(self, field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..self }
    }

    fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Its state does not allow it", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_seconds, met) = (self.retry_seconds, self.met.clone());
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(met) = met {
            response.extensions_mut().insert(*met);
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match &error {
            Error::Invalid { field, detail } => Self::invalid(detail.clone(), Some((*field).to_owned())),
            Error::Config(config) => {
                let field = ["config", config.field()].join(if config.field().is_empty() { "" } else { "." });
                Self::invalid(config.to_string(), Some(field)).coded(config.code())
            }
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, "forbidden", "Not for you", detail.clone()),
            Error::Privilege(privilege) => Self::privilege(*privilege),
            Error::Login { .. } => {
                Self::new(StatusCode::UNAUTHORIZED, "login", "Nobody is logged in", error.to_string())
            }
            Error::TooMany { seconds } => {
                let title = "There were too many attempts";
                let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", title, error.to_string());
                Self { retry_seconds: Some(*seconds), ..problem }
            }
            Error::Barred(why, detail) => Self::new(StatusCode::FORBIDDEN, why.word(), "Not for you", detail.clone()),
            Error::NoKey(detail) | Error::Conflict(detail) => Self::conflict(detail.clone()),
            Error::Db(anabranch_db::Error::NotLeader) => Self::standby(),
            Error::Db(db) => match db.fault() {
                Some(fault) => failed(fault, &error),
                None => of_rows(db).unwrap_or_else(|| internal(&error)),
            },
            Error::Bucket(bucket) => of_bucket(bucket).unwrap_or_else(|| internal(&error)),
            Error::Upload(upload) => of_upload(upload),
            Error::NodeRefused(refused) => Self::conflict(refused.to_string()),
            Error::Busy(detail) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server has no room for it now", detail.clone())
            }
            Error::Key { .. } | Error::Task(_) | Error::Encode(_) | Error::Cluster(_) | Error::Hash(_) => {
                internal(&error)
            }
        }
    }
}

/// What rows do not allow; none when the database itself has failed.
fn of_rows(error: &anabranch_db::Error) -> Option<Problem> {
    use anabranch_db::Error as Db;
    let detail = error.to_string();
    let conflict = || Problem::conflict(detail.clone());
    Some(match error {
        Db::NotFound { .. } => Problem::not_found(detail),
        Db::TooMany { .. } => Problem::invalid(detail, None),
        Db::NameTaken { .. } => conflict().about("name"),
        Db::IdTaken { .. } => conflict().about("id"),
        Db::Transition(_) | Db::OtherOnAir { .. } | Db::NotNow { .. } => conflict(),
        Db::InUse { subject: "distribution", .. } => conflict().coded("DistributionNotDisabled"),
        Db::InUse { subject: "key", .. } => conflict().coded("PublicKeyInUse"),
        Db::InUse { subject: "key group", .. } => conflict().coded("ResourceInUse"),
        Db::InUse { .. } => conflict(),
        Db::Dangling { subject, .. } => {
            let problem = Problem::invalid(detail, None);
            if *subject == "key group" { problem.coded("TrustedKeyGroupDoesNotExist") } else { problem }
        }
        Db::AliasTaken { .. } => conflict().coded("CNAMEAlreadyExists").about("config.Aliases"),
        Db::ReferenceUsed { .. } => conflict().coded("DistributionAlreadyExists").about("config.CallerReference"),
        Db::ReferenceChanged { .. } => {
            Problem::invalid(detail, Some("config.CallerReference".to_owned())).coded("IllegalUpdate")
        }
        Db::BatchDiffers { .. } => conflict().coded("InvalidationBatchAlreadyExists").about("caller_reference"),
        Db::Stale { .. } => {
            let title = "It has changed since";
            Problem::new(StatusCode::PRECONDITION_FAILED, "precondition", title, detail).coded("PreconditionFailed")
        }
        Db::KeyReused { .. } => Problem::invalid(detail, Some("Idempotency-Key".to_owned())),
        // What is left has failed, and is no fault of the request.
        _ => return None,
    })
}

/// Status of bytes that are not what was announced (tus 1.0, checksum).
const CHECKSUM_MISMATCH: u16 = 460;

/// Why an upload does not go on.
fn of_upload(error: &UploadError) -> Problem {
    let detail = error.to_string();
    let new = |status: StatusCode, name: &str, title: &'static str| Problem::new(status, name, title, detail.clone());
    match error {
        UploadError::NotFound(_) => Problem::not_found(detail),
        UploadError::Locked(_) => new(StatusCode::LOCKED, "locked", "Another request is at it"),
        UploadError::Offset { .. } => Problem::conflict(detail).about("Upload-Offset"),
        UploadError::Size { .. } => {
            new(StatusCode::BAD_REQUEST, "malformed", "The size does not fit").about("Upload-Length")
        }
        UploadError::TooLong(_) => new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "There is too much of it"),
        UploadError::Checksum => {
            let status = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
            new(status, "checksum", "The checksum is another").about("Upload-Checksum")
        }
        UploadError::Broken => new(StatusCode::REQUEST_TIMEOUT, "broken", "The body has no end"),
        UploadError::Stopping => {
            let problem = new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server stops");
            Problem { retry_seconds: Some(SOON_SECONDS), ..problem }
        }
    }
}

/// What a bucket does not allow; none when the disk itself has failed.
fn of_bucket(error: &BucketError) -> Option<Problem> {
    let detail = error.to_string();
    Some(match error {
        BucketError::NoSuchBucket { .. } | BucketError::NoSuchKey { .. } | BucketError::NoSuchUpload { .. } => {
            Problem::not_found(detail)
        }
        BucketError::BucketExists { .. } | BucketError::BucketNotEmpty { .. } => Problem::conflict(detail),
        BucketError::Store(StoreError::Full { .. }) => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The disk is full", detail)
        }
        BucketError::Away { .. } => {
            let title = "The storage behind the bucket is away";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage-away", title, detail);
            Problem { retry_seconds: Some(SOON_SECONDS), ..problem }
        }
        BucketError::Refused { .. } => {
            Problem::new(StatusCode::BAD_GATEWAY, "storage-refused", "The storage behind the bucket refuses", detail)
        }
        BucketError::Backend { .. } => Problem::invalid(detail, Some("backend".to_owned())),
        BucketError::Store(_) => return None,
        _ => Problem::invalid(detail, None),
    })
}

/// The database has failed: nothing is wrong with the request. One line for all who meet that is `health`'s.
fn failed(fault: Fault, error: &Error) -> Problem {
    let seconds = match fault {
        Fault::Locked | Fault::Away | Fault::Slow => SOON_SECONDS,
        Fault::Full | Fault::Moved | Fault::Disk => LATER_SECONDS,
    };
    let detail = format!("{}; a change is made whole or not at all, so look, then try again", remedy(fault));
    let title = "The database does not take or give anything now";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database", title, detail);
    Problem { retry_seconds: Some(seconds), met: Some(Box::new(Met { fault, error: chain(error) })), ..problem }
}

/// The caller cannot help it: the log has the reason, the answer has not.
fn internal(error: &Error) -> Problem {
    tracing::error!(error = chain(error), "request failed");
    let detail = "the server could not do it; its log has the reason";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed", detail)
}

/// Answers what no route takes.
pub(super) fn no_route(uri: &Uri) -> Problem {
    Problem::not_found(format!("no such address: {}", uri.path()))
}

/// Answers a method that the route does not take.
#[expect(clippy::needless_pass_by_value, reason = "the router hands arguments over by value")]
pub(crate) fn no_method(method: Method, uri: Uri) -> Ready<Problem> {
    let detail = format!("{method} is not possible here: {}", uri.path());
    ready(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed", detail))
}
