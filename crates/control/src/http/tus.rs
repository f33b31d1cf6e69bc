//! The wire of tus 1.0: its headers, and what every answer has.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_store::buckets::{BucketError, Inspector};
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::problem::Problem;
use crate::app::App;

/// The one version.
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// What is done beside the core.
pub(super) const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,creation-defer-length,termination,expiration,checksum");

/// Checksums that are understood.
pub(super) const ALGORITHMS: HeaderValue = HeaderValue::from_static("sha1,sha256,md5");

/// Media type of bytes that are added.
const OFFSET_OCTETS: &str = "application/offset+octet-stream";

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
pub(super) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// What pages of other origins may read, send and do.
const EXPOSED: &str = "Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, \
                       Upload-Length, Upload-Defer-Length, Upload-Metadata, Upload-Expires";
const SENT: &str = "Authorization, Content-Type, Tus-Resumable, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, \
                    Upload-Checksum, X-HTTP-Method-Override, X-Requested-With, X-Request-ID";
const METHODS: &str = "POST, HEAD, PATCH, DELETE, OPTIONS";

/// A request of the version that is spoken here.
pub(super) struct Resumable;

impl<S: Send + Sync> FromRequestParts<S> for Resumable {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let version = parts.headers.get(TUS_RESUMABLE);
        if version.is_some_and(|version| version == VERSION) {
            return Ok(Self);
        }
        let detail =
            format!("send \"Tus-Resumable: 1.0.0\": {:?}", version.map_or("", |text| text.to_str().unwrap_or("")));
        let title = "Another version of the protocol";
        Err(Problem::new(StatusCode::PRECONDITION_FAILED, "version", title, detail).about("Tus-Resumable"))
    }
}

/// Gives every answer the version, and those to pages of origins that may use it what their browsers ask for.
pub(super) async fn frame(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let is_refused = response.status() == StatusCode::PRECONDITION_FAILED;
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, VERSION);
    if is_refused {
        headers.insert(TUS_VERSION, VERSION);
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| origin.to_str().is_ok_and(|origin| app.viewers.has(origin))) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        if is_preflight {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        }
    }
    response
}

/// The number of a header; none when it is missing.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let digits =
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten();
    digits.map(Some).ok_or_else(|| malformed(name, format!("{name} is a number of bytes: {text:?}")))
}

/// What of a request to begin an upload says how long it will be; none when it is told later.
pub(super) fn size(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    match (number(headers, &UPLOAD_LENGTH)?, headers.get(UPLOAD_DEFER_LENGTH)) {
        (Some(size), None) => Ok(Some(size)),
        (None, Some(defer)) if defer == "1" => Ok(None),
        _ => {
            let detail = "send either Upload-Length or \"Upload-Defer-Length: 1\"";
            Err(malformed(&UPLOAD_LENGTH, detail))
        }
    }
}

/// Whether the body is bytes to add.
pub(super) fn has_octets(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == OFFSET_OCTETS)
}

/// Refuses a body of another type.
pub(super) fn check_octets(headers: &HeaderMap) -> Result<(), Problem> {
    if has_octets(headers) {
        return Ok(());
    }
    let detail = format!("send {OFFSET_OCTETS}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body has another type", detail))
}

pub(super) fn malformed(name: &HeaderName, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", "A header cannot be understood", detail).about(name.as_str())
}

/// A checksum that the bytes of a request must have.
pub(super) struct Checksum {
    wanted: Vec<u8>,
    state: Digest,
}

/// One of the digests at work.
enum Digest {
    Sha(Box<Context>),
    Md5(Box<Md5>),
}

impl Checksum {
    /// Reads `sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`; none when the header is missing.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Box<dyn Inspector>>, Problem> {
        let Some(value) = headers.get(UPLOAD_CHECKSUM) else { return Ok(None) };
        let checksum = value.to_str().ok().and_then(Self::parse);
        let detail = "Upload-Checksum is sha1, sha256 or md5, a space, and the checksum in base64";
        let checksum = checksum.ok_or_else(|| malformed(&UPLOAD_CHECKSUM, detail))?;
        Ok(Some(Box::new(checksum)))
    }

    fn parse(text: &str) -> Option<Self> {
        let (algorithm, sum) = text.split_once(' ')?;
        let wanted = STANDARD.decode(sum).ok()?;
        let (state, len) = match algorithm {
            "sha1" => (Digest::Sha(Box::new(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))), 20),
            "sha256" => (Digest::Sha(Box::new(Context::new(&SHA256))), 32),
            "md5" => (Digest::Md5(Box::default()), 16),
            _ => return None,
        };
        (wanted.len() == len).then_some(Self { wanted, state })
    }
}

impl Inspector for Checksum {
    fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            Digest::Sha(context) => context.update(bytes),
            Digest::Md5(md5) => md5.update(bytes),
        }
    }

    fn finish(self: Box<Self>) -> Result<BTreeMap<String, String>, BucketError> {
        let is_same = match self.state {
            Digest::Sha(context) => context.finish().as_ref() == self.wanted,
            Digest::Md5(md5) => md5.finalize().as_slice() == self.wanted,
        };
        if is_same { Ok(BTreeMap::new()) } else { Err(BucketError::Digest { digest: "upload-checksum" }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(text: &str, bytes: &[u8]) -> bool {
        let mut checksum = Checksum::parse(text).unwrap();
        let (a, b) = bytes.split_at(bytes.len() / 2);
        checksum.update(a);
        checksum.update(b);
        Box::new(checksum).finish().is_ok()
    }

    #[test]
    fn each_checksum_is_known() {
        // Of `openssl dgst`.
        for text in [
            "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
            "md5 XUFAKrxLKna5cZ2REBfFkg==",
        ] {
            assert!(holds(text, b"hello"), "{text}");
            assert!(!holds(text, b"hellO"), "{text}");
        }
        for text in ["", "sha1", "sha1 x", "sha1 YQ==", "crc32 YQ==", "SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00="] {
            assert!(Checksum::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_length_is_told_now_or_later() {
        let headers = |pairs: &[(HeaderName, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
                .collect::<HeaderMap>()
        };
        assert!(matches!(size(&headers(&[(UPLOAD_LENGTH, "0")])), Ok(Some(0))));
        assert!(matches!(size(&headers(&[(UPLOAD_DEFER_LENGTH, "1")])), Ok(None)));
        for wrong in [
            &[][..],
            &[(UPLOAD_DEFER_LENGTH, "2")],
            &[(UPLOAD_LENGTH, "1"), (UPLOAD_DEFER_LENGTH, "1")],
            &[(UPLOAD_LENGTH, "-1")],
            &[(UPLOAD_LENGTH, "+1")],
            &[(UPLOAD_LENGTH, "99999999999999999999")],
        ] {
            assert!(size(&headers(wrong)).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_checksum_is_read_or_refused(text in "(sha1|sha256|md5|x)? ?[A-Za-z0-9+/=]{0,50}.{0,3}") {
            let _ = Checksum::parse(&text);
        }
    }
}
