//! Objects of the house's buckets, answered as S3 answers: by key, whole or a range, never listed.

use std::io::SeekFrom;
use std::time::{Duration, SystemTime};

use anabranch_store::buckets::{BucketError, Content, Likely, ObjectInfo, Opened};
use anabranch_store::{Buckets, StoreError, key};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::io::AsyncSeekExt as _;

use crate::response::{Body, IMMUTABLE, NEGATIVE, whole};

/// Types by the extension of a key; others are bytes.
const TYPES: &[(&str, &str)] = &[
    ("aac", "audio/aac"),
    ("css", "text/css"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/mp4"),
    ("m4v", "video/mp4"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ts", "video/mp2t"),
    ("txt", "text/plain"),
    ("vtt", "text/vtt"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
];

/// What may come again under its name with other bytes, or be removed: playlists, gaps and MP4 of recordings; pictures of assets.
const CHANGING: &str = "max-age=10";

/// What is said of a key that is not there.
const NO_SUCH_KEY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>\n";

/// Headers of an object's writer that viewers get.
const KEPT: [&str; 4] = ["cache-control", "content-disposition", "content-encoding", "content-language"];

/// Answers for `name`, `<bucket>/<key>` as it stands in the path.
pub(crate) async fn answer(buckets: &Buckets, name: &str, method: &Method, asked: &HeaderMap) -> Response<Body> {
    let Some((bucket, name)) = name.split_once('/') else { return no_such_key() };
    let Some(key) = decoded(name) else { return no_such_key() };
    let object = match buckets.get_likely(bucket, &key, likely(method, asked)).await {
        Ok(object) => object,
        Err(BucketError::Store(error)) => {
            tracing::error!(bucket, object.key = %key, error = %error, "an object cannot be read");
            return unreadable();
        }
        // The store has said so once, and says when it is over.
        Err(BucketError::Away { .. } | BucketError::Refused { .. } | BucketError::Backend { .. }) => return away(),
        Err(_) => return no_such_key(),
    };
    let info = object.info.clone();
    let version = Version::of(&info);
    let (len, part) = (info.size, Part::asked(info.size, &version, asked));
    let made = match (version.is_known(asked), method) {
        (true, _) => Ok(empty(StatusCode::NOT_MODIFIED)),
        (false, &Method::HEAD) => Ok(head(len, part)),
        (false, _) => body(object, part).await,
    };
    let mut response = match made {
        Ok(response) => response,
        Err(BucketError::Away { .. } | BucketError::Refused { .. }) => return away(),
        Err(error) => {
            tracing::error!(object.key = %key, error = %error, "an object cannot be read at the place asked for");
            return unreadable();
        }
    };
    let headers = response.headers_mut();
    insert(headers, CONTENT_TYPE, info.attributes.content_type.as_deref().unwrap_or_else(|| kind(&key)));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(lifetime) = lifetime(bucket, &key) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(lifetime));
    }
    for name in KEPT {
        if let Some(value) = info.attributes.headers.get(name) {
            insert(headers, HeaderName::from_static(name), value);
        }
    }
    insert(headers, ETAG, &version.tag);
    if let Some(modified) = version.modified {
        insert(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    match part {
        _ if response.status() == StatusCode::NOT_MODIFIED => {}
        Part::Whole => {}
        Part::Bytes { first, last } => {
            insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes {first}-{last}/{len}"));
        }
        Part::Nothing => insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{len}")),
    }
    response
}

/// Which bytes of an object are meant (RFC 9110 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// Both included.
    Bytes {
        first: u64,
        last: u64,
    },
    /// None that exist.
    Nothing,
}

impl Part {
    /// What is asked of an object of `len` bytes. Several ranges at once are answered by the whole object, as is a range of another
    /// version.
    fn asked(len: u64, version: &Version, asked: &HeaderMap) -> Self {
        let same = match asked.get(IF_RANGE).map(HeaderValue::to_str) {
            None => true,
            Some(Ok(text)) => text == version.tag || version.modified_text().is_some_and(|modified| text == modified),
            Some(Err(_)) => false,
        };
        let text = asked.get(RANGE).filter(|_| same).and_then(|range| range.to_str().ok());
        text.and_then(|text| Self::parse(text, len)).unwrap_or(Self::Whole)
    }

    /// Reads a `Range`; `None` for what is to be ignored.
    fn parse(text: &str, len: u64) -> Option<Self> {
        let (unit, set) = text.split_once('=')?;
        let (first, last) = set.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return None;
        }
        let end = len.checked_sub(1);
        match (number(first)?, number(last)?) {
            (None, None) => None,
            (None, Some(suffix)) => Some(match end {
                Some(last) if suffix > 0 => Self::Bytes { first: len.saturating_sub(suffix), last },
                _ => Self::Nothing,
            }),
            (Some(first), Some(last)) if last < first => None,
            (Some(first), last) => Some(match end {
                Some(end) if first <= end => Self::Bytes { first, last: last.map_or(end, |last| last.min(end)) },
                _ => Self::Nothing,
            }),
        }
    }
}

/// Digits, or nothing; a number past all limits is as good as the greatest.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

/// What tells one version of an object from another.
#[derive(Debug)]
struct Version {
    /// An entity tag, with its quotes.
    tag: String,
    /// To the second.
    modified: Option<SystemTime>,
}

impl Version {
    fn of(info: &ObjectInfo) -> Self {
        let since = info.modified.duration_since(SystemTime::UNIX_EPOCH).ok();
        let modified = since.map(|since| SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()));
        Self { tag: format!("\"{}\"", info.etag), modified }
    }

    fn modified_text(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }

    /// Whether whoever asks has it already (RFC 9110 §13.2.2).
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let lines: Vec<_> = asked.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok()).collect();
        if !lines.is_empty() {
            let mut tags = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
            return tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag);
        }
        let since = asked.get(IF_MODIFIED_SINCE).and_then(|since| httpdate::parse_http_date(since.to_str().ok()?).ok());
        since.zip(self.modified).is_some_and(|(since, modified)| modified <= since)
    }
}

/// Which bytes an object that is elsewhere is to be asked for at once: those that are sent if nothing else decides it.
fn likely(method: &Method, asked: &HeaderMap) -> Likely {
    let conditions = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE];
    if *method == Method::HEAD || conditions.iter().any(|name| asked.contains_key(name)) {
        return Likely::Nothing;
    }
    let Some(range) = asked.get(RANGE).and_then(|range| range.to_str().ok()) else { return Likely::Whole };
    let Some((_, set)) = range.split_once('=').filter(|(_, set)| !set.contains(',')) else { return Likely::Whole };
    match set.trim().split_once('-').map(|(first, last)| (number(first), number(last))) {
        Some((Some(Some(first)), Some(last))) if last.is_none_or(|last| first <= last) => Likely::From { first, last },
        Some((Some(None), Some(Some(bytes)))) => Likely::Last(bytes),
        _ => Likely::Whole,
    }
}

/// What is sent, of so many bytes.
fn sent(len: u64, part: Part) -> Option<(StatusCode, u64, u64)> {
    match part {
        Part::Nothing => None,
        Part::Whole => Some((StatusCode::OK, 0, len)),
        Part::Bytes { first, last } => Some((StatusCode::PARTIAL_CONTENT, first, last - first + 1)),
    }
}

fn head(len: u64, part: Part) -> Response<Body> {
    let Some((status, _, left)) = sent(len, part) else { return empty(StatusCode::RANGE_NOT_SATISFIABLE) };
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(left));
    response
}

async fn body(object: Opened, part: Part) -> Result<Response<Body>, BucketError> {
    let Opened { info, content } = object;
    let Some((status, first, left)) = sent(info.size, part) else {
        return Ok(empty(StatusCode::RANGE_NOT_SATISFIABLE));
    };
    let body = match content {
        Content::File(mut file) => {
            if first > 0 {
                let failed = |source| StoreError::Io { action: "seek in", path: info.key.into(), source };
                file.seek(SeekFrom::Start(first)).await.map_err(failed)?;
            }
            Body::File { file: Box::new(file), left }
        }
        Content::Remote(object) => Body::Remote(object.pieces(first, left).await?),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(left));
    Ok(response)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = status;
    response
}

fn kind(key: &str) -> &'static str {
    let extension = key.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

/// A key as it stands in a path, without its escapes.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// How long an answer may be kept, where the house knows: of recordings and assets. What people put into other buckets says nothing, as
/// in S3.
fn lifetime(bucket: &str, name: &str) -> Option<&'static str> {
    let parts: Vec<&str> = name.split('/').collect();
    match (bucket, parts.as_slice()) {
        // `<breakout>/<session>/<rendition>/<file>` is named once for all.
        (key::RECORDINGS, [_, _, _, _]) => Some(IMMUTABLE),
        (key::RECORDINGS, _) => Some(CHANGING),
        // So are the segments of an asset; a later making has others.
        (key::VOD, ["assets", _, "HLS", file]) if !file.ends_with(".m3u8") => Some(IMMUTABLE),
        (key::VOD, _) => Some(CHANGING),
        _ => None,
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn no_such_key() -> Response<Body> {
    let mut response = whole(StatusCode::NOT_FOUND, Bytes::from_static(NO_SUCH_KEY.as_bytes()), "application/xml");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NEGATIVE));
    response
}

/// Edges go on with what they have.
fn away() -> Response<Body> {
    let words = Bytes::from_static(b"the storage behind this bucket does not answer\n");
    let mut response = whole(StatusCode::SERVICE_UNAVAILABLE, words, "text/plain");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NEGATIVE));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn unreadable() -> Response<Body> {
    whole(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"the object cannot be read\n"), "text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_object() {
        let bytes = |first, last| Some(Part::Bytes { first, last });
        for (text, part) in [
            ("bytes=0-3", bytes(0, 3)),
            ("bytes=5-", bytes(5, 9)),
            ("bytes=-3", bytes(7, 9)),
            ("bytes=-30", bytes(0, 9)),
            ("Bytes=9-99999999999999999999999", bytes(9, 9)),
            ("bytes=10-", Some(Part::Nothing)),
            ("bytes=-0", Some(Part::Nothing)),
            ("bytes=4-3", None),
            ("bytes=-", None),
            ("bytes=0-1,3-4", None),
            ("bytes=a-b", None),
            ("bytes=--1", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(Part::parse(text, 10), part, "{text}");
        }
        assert_eq!(Part::parse("bytes=0-", 0), Some(Part::Nothing));
        assert_eq!(Part::parse("bytes=-5", 0), Some(Part::Nothing));
    }

    #[test]
    fn what_is_likely_is_what_is_asked_for() {
        let of = |name: HeaderName, text: &str| {
            let asked = HeaderMap::from_iter([(name, text.parse().unwrap())]);
            likely(&Method::GET, &asked)
        };
        assert_eq!(likely(&Method::GET, &HeaderMap::new()), Likely::Whole);
        assert_eq!(likely(&Method::HEAD, &HeaderMap::new()), Likely::Nothing);
        assert_eq!(of(IF_NONE_MATCH, "\"a\""), Likely::Nothing);
        assert_eq!(of(RANGE, "bytes=3-7"), Likely::From { first: 3, last: Some(7) });
        assert_eq!(of(RANGE, "bytes=3-"), Likely::From { first: 3, last: None });
        assert_eq!(of(RANGE, "bytes=-7"), Likely::Last(7));
        for text in ["bytes=7-3", "bytes=1-2,4-5", "bytes=-", "x"] {
            assert_eq!(of(RANGE, text), Likely::Whole, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_range_lies_within(text in "(bytes=)?[-0-9, ]{0,24}", len in 0_u64..50) {
            if let Some(Part::Bytes { first, last }) = Part::parse(&text, len) {
                proptest::prop_assert!(first <= last && last < len);
            }
        }
    }
}
