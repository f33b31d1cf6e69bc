//! Between the words of S3 and those of the store.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anabranch_store::StoreError;
use anabranch_store::buckets::{Attributes, BucketError, Condition, ObjectInfo};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use s3s::dto::{ETag, ETagCondition, Expires, Metadata, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::body::Idle;

/// What a client is told of a failure. Those that are ours are logged here, and only here.
#[expect(clippy::needless_pass_by_value, reason = "so that it can be given to map_err")]
pub(crate) fn error(error: BucketError) -> S3Error {
    use BucketError as E;
    let code = match &error {
        E::NoSuchBucket { .. } => S3ErrorCode::NoSuchBucket,
        E::NoSuchKey { .. } => S3ErrorCode::NoSuchKey,
        E::NoSuchUpload { .. } => S3ErrorCode::NoSuchUpload,
        E::InvalidBucket { .. } => S3ErrorCode::InvalidBucketName,
        E::InvalidKey { len: 0 } | E::PartNumber { .. } => S3ErrorCode::InvalidArgument,
        E::InvalidKey { .. } => S3ErrorCode::KeyTooLongError,
        E::BucketExists { .. } => S3ErrorCode::BucketAlreadyOwnedByYou,
        E::BucketNotEmpty { .. } => S3ErrorCode::BucketNotEmpty,
        E::Precondition { .. } => S3ErrorCode::PreconditionFailed,
        E::Digest { .. } => S3ErrorCode::BadDigest,
        E::Length { .. } => S3ErrorCode::IncompleteBody,
        E::AttributesTooLong { .. } => S3ErrorCode::MetadataTooLarge,
        E::InvalidPart { .. } => S3ErrorCode::InvalidPart,
        E::PartOrder => S3ErrorCode::InvalidPartOrder,
        E::PartTooSmall { .. } => S3ErrorCode::EntityTooSmall,
        E::Range { .. } => S3ErrorCode::InvalidRange,
        E::Away { .. } => S3ErrorCode::ServiceUnavailable,
        E::Refused { .. } | E::Backend { .. } => S3ErrorCode::InternalError,
        E::Unsendable { .. } => S3ErrorCode::InvalidRequest,
        E::Store(store) => return disk(store),
    };
    S3Error::with_message(code, error.to_string())
}

fn disk(error: &StoreError) -> S3Error {
    tracing::error!(error = error as &dyn std::error::Error, "a request of S3 failed at the disk");
    if !matches!(error, StoreError::Full { .. }) {
        return s3_error!(InternalError, "the disk failed; the log says how");
    }
    let code = S3ErrorCode::Custom("InsufficientStorage".into());
    let mut full = S3Error::with_message(code, "the disk is full");
    full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
    full
}

/// What a client is told when its body ends badly.
pub(crate) fn body_error(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    // The types of these are not told by the crate that makes them; their names are in their text.
    let text = error.to_string();
    if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "a chunk of the body does not have the signature that it came with")
    } else if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let text = "the body does not have the SHA-256 that the request was signed with";
        let mut error = S3Error::with_message(code, text);
        error.set_status_code(StatusCode::BAD_REQUEST);
        error
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany") {
        s3_error!(InvalidRequest, "the body is not aws-chunked: {text}")
    } else if text.contains(Idle::MARK) {
        s3_error!(RequestTimeout, "{text}")
    } else {
        s3_error!(IncompleteBody, "the body ended early")
    }
}

/// The ETag of an object as it is sent.
pub(crate) fn etag(info: &ObjectInfo) -> ETag {
    ETag::Strong(info.etag.clone())
}

/// Times are told in whole seconds, so they are compared in whole seconds.
pub(crate) fn seconds(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

/// The condition of a request that writes.
pub(crate) fn condition(matches: Option<&ETagCondition>, none: Option<&ETagCondition>) -> S3Result<Condition> {
    match (matches, none) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::Any), None) => Ok(Condition::Present),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(etag.value().to_owned())),
        (None, Some(_)) => Err(s3_error!(NotImplemented, "If-None-Match of a request that writes can only be *")),
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "a request that writes has either If-Match or If-None-Match"))
        }
    }
}

/// What a reader wants of the object (RFC 9110 §13.2.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) matches: Option<&'a ETagCondition>,
    pub(crate) none_matches: Option<&'a ETagCondition>,
    pub(crate) modified_since: Option<&'a Timestamp>,
    pub(crate) unmodified_since: Option<&'a Timestamp>,
}

impl Wanted<'_> {
    /// # Errors
    /// `PreconditionFailed` or `NotModified`.
    pub(crate) fn check(&self, info: &ObjectInfo) -> S3Result<()> {
        let is = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(etag) => etag.value() == info.etag,
        };
        let modified = seconds(info.modified);
        let refused = match (self.matches, self.unmodified_since) {
            (Some(condition), _) => !is(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => false,
        };
        if refused {
            return Err(s3_error!(PreconditionFailed, "the object is not the one that the request is about"));
        }
        let known = match (self.none_matches, self.modified_since) {
            (Some(condition), _) => is(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if !known {
            return Ok(());
        }
        let mut error = S3Error::new(S3ErrorCode::NotModified);
        let mut headers = http::HeaderMap::new();
        if let Ok(value) = format!("\"{}\"", info.etag).parse() {
            headers.insert(http::header::ETAG, value);
        }
        error.set_headers(headers);
        Err(error)
    }
}

/// Headers of a request that are kept with an object.
pub(crate) struct Given {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) expires: Option<Expires>,
    pub(crate) metadata: Option<Metadata>,
}

impl Given {
    pub(crate) fn attributes(self) -> Attributes {
        // `aws-chunked` is of the way, not of the object.
        let encoding = self.content_encoding.map(|value| {
            let codings = value.split(',').map(str::trim).filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"));
            codings.collect::<Vec<_>>().join(",")
        });
        let expires = self.expires.and_then(|time| {
            let mut text = Vec::new();
            time.format(TimestampFormat::HttpDate, &mut text).ok()?;
            String::from_utf8(text).ok()
        });
        let headers = [
            ("cache-control", self.cache_control),
            ("content-disposition", self.content_disposition),
            ("content-encoding", encoding.filter(|value| !value.is_empty())),
            ("content-language", self.content_language),
            ("expires", expires),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Attributes {
            content_type: self.content_type,
            headers: headers.collect(),
            user: self.metadata.unwrap_or_default().into_iter().collect(),
        }
    }
}

/// A header that is kept with an object.
pub(crate) fn kept(attributes: &Attributes, name: &str) -> Option<String> {
    attributes.headers.get(name).cloned()
}

/// The `expires` that is kept with an object.
pub(crate) fn expires(attributes: &Attributes) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, attributes.headers.get("expires")?).ok()
}

/// A checksum of an object.
pub(crate) fn sum(sums: &BTreeMap<String, String>, name: &str) -> Option<String> {
    sums.get(name).cloned()
}

/// The digest of a `Content-MD5`.
pub(crate) fn md5(text: Option<&str>) -> S3Result<Option<[u8; 16]>> {
    let Some(text) = text else { return Ok(None) };
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.map(Some).ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 is not 16 bytes in base 64"))
}

/// The text as it stands in a URL, for clients that ask for it so: everything but `A-Za-z0-9-._~/` escaped.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ObjectInfo {
        ObjectInfo {
            key: "k".to_owned(),
            size: 1,
            etag: "abc".to_owned(),
            modified: UNIX_EPOCH + Duration::from_millis(10_500),
            attributes: Attributes::default(),
            checksums: BTreeMap::new(),
        }
    }

    #[test]
    fn conditions_of_readers_are_judged_in_their_order() {
        let tag = |text: &str| Some(ETagCondition::ETag(ETag::Strong(text.to_owned())));
        let at = |seconds| Some(Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds)));
        let judge = |matches: Option<ETagCondition>, none: Option<ETagCondition>, since, unmodified| {
            let (since, unmodified): (Option<Timestamp>, Option<Timestamp>) = (since, unmodified);
            let wanted = Wanted {
                matches: matches.as_ref(),
                none_matches: none.as_ref(),
                modified_since: since.as_ref(),
                unmodified_since: unmodified.as_ref(),
            };
            wanted.check(&info()).map_err(|error| error.code().as_str().to_owned())
        };
        let (failed, known) = (Err("PreconditionFailed".to_owned()), Err("NotModified".to_owned()));
        assert_eq!(judge(None, None, None, None), Ok(()));
        assert_eq!(judge(tag("abc"), None, None, at(1)), Ok(()), "If-Match is stronger than the date");
        assert_eq!(judge(tag("x"), None, None, None), failed);
        assert_eq!(judge(None, None, None, at(9)), failed);
        assert_eq!(judge(None, None, None, at(10)), Ok(()));
        assert_eq!(judge(None, tag("abc"), None, None), known);
        assert_eq!(judge(None, Some(ETagCondition::Any), None, None), known);
        assert_eq!(judge(None, tag("x"), at(99), None), Ok(()), "If-None-Match is stronger than the date");
        assert_eq!(judge(None, None, at(10), None), known);
        assert_eq!(judge(None, None, at(9), None), Ok(()));
    }

    #[test]
    fn the_way_of_sending_is_not_kept() {
        let given = |encoding: &str| Given {
            content_type: None,
            cache_control: None,
            content_disposition: None,
            content_encoding: Some(encoding.to_owned()),
            content_language: None,
            expires: None,
            metadata: None,
        };
        assert_eq!(given("aws-chunked").attributes(), Attributes::default());
        assert_eq!(kept(&given("aws-chunked,gzip").attributes(), "content-encoding").as_deref(), Some("gzip"));
    }

    #[test]
    fn escaped_text_has_nothing_that_xml_cannot_say() {
        assert_eq!(escape("a b+c/ä\u{1}"), "a%20b%2Bc/%C3%A4%01");
        assert_eq!(md5(Some("XUFAKrxLKna5cZ2REBfFkg==")).unwrap().unwrap()[0], 0x5d);
        assert!(md5(Some("x")).is_err());
    }
}
