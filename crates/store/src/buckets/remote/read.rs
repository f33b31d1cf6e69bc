//! Reading: what an object is, and its bytes, which go on where a connection broke.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, LAST_MODIFIED, RANGE};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use tokio::sync::mpsc;

use super::Remote;
use super::wire::{Ask, Fault, reason};
use crate::buckets::types::{Attributes, BucketError, ObjectInfo};

/// Times that a body goes on after its connection broke.
const RESUMED_MAX: u32 = 4;

/// Pieces that wait for whoever reads.
const MAX_QUEUED: usize = 8;

/// Headers of an object's writer that are kept with it.
const KEPT: [&str; 5] = ["cache-control", "content-disposition", "content-encoding", "content-language", "expires"];

/// How names of the writer's own begin.
const OWN: &str = "x-amz-meta-";

/// What S3 says of objects that were stored without a type.
const UNKNOWN_TYPE: &str = "binary/octet-stream";

/// Which bytes of an object are likely to be read: where they are far away, they are asked for with what it is. A wrong guess costs
/// another request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Likely {
    /// All.
    #[default]
    Whole,
    /// From the first to the last, both included; without a last to the end.
    From {
        /// First byte.
        first: u64,
        /// Last byte.
        last: Option<u64>,
    },
    /// So many at the end.
    Last(u64),
    /// None, perhaps.
    Nothing,
}

impl Likely {
    fn range(self) -> Option<String> {
        Some(match self {
            Self::Whole | Self::Nothing => return None,
            Self::From { first, last: Some(last) } if last >= first => format!("bytes={first}-{last}"),
            Self::From { first, .. } => format!("bytes={first}-"),
            Self::Last(bytes) => format!("bytes=-{bytes}"),
        })
    }
}

/// An object of a remote bucket, open for reading.
#[derive(Debug)]
pub struct RemoteObject {
    remote: Arc<Remote>,
    key: String,
    etag: String,
    size: u64,
    opened: Option<Stretch>,
}

/// Bytes that are on their way: from the first up to `end`.
#[derive(Debug)]
struct Stretch {
    first: u64,
    end: u64,
    response: Response,
}

impl RemoteObject {
    /// Reads `len` bytes from `first` on. They are of the version that was opened, or it is an error.
    ///
    /// # Errors
    /// [`BucketError::Range`] for bytes that the object does not have; as [`super::super::Buckets::get`].
    pub async fn pieces(self, first: u64, len: u64) -> Result<Pieces, BucketError> {
        let Self { remote, key, etag, size, opened } = self;
        let end = first.checked_add(len).filter(|end| *end <= size);
        let end = end.ok_or(BucketError::Range { first, last: first.saturating_add(len), size })?;
        let opened = opened.filter(|opened| opened.first == first && opened.end >= end);
        let mut reading =
            Reading { remote, key, etag, at: first, end, response: opened.map(|opened| opened.response), resumed: 0 };
        if reading.response.is_none() && len > 0 {
            reading.open().await?;
        }
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(async move {
            loop {
                let piece = tokio::select! {
                    () = sender.closed() => return,
                    piece = reading.next() => piece,
                };
                let is_last = !matches!(piece, Ok(Some(_)));
                let Some(piece) = piece.transpose() else { return };
                if sender.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Pieces { receiver, left: len })
    }
}

/// Bytes of a remote object, piece by piece. Ends after the last one; dropping it ends the request.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Result<Bytes, BucketError>>,
    left: u64,
}

impl Pieces {
    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next piece, if there is one.
    pub async fn next(&mut self) -> Option<Result<Bytes, BucketError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Pieces::next`], for bodies.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BucketError>>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        polled
    }
}

/// What fills [`Pieces`].
struct Reading {
    remote: Arc<Remote>,
    key: String,
    etag: String,
    at: u64,
    end: u64,
    response: Option<Response>,
    resumed: u32,
}

impl Reading {
    async fn open(&mut self) -> Result<(), BucketError> {
        let mut ask = Ask::of(Method::GET, &self.key);
        ask.header(RANGE, &format!("bytes={}-{}", self.at, self.end - 1))?;
        ask.header(IF_MATCH, &format!("\"{}\"", self.etag))?;
        let answer = self.remote.call(&ask).await.map_err(|fault| self.remote.plain(fault, &self.key))?;
        let told = content_range(answer.response.headers());
        if answer.response.status() != StatusCode::PARTIAL_CONTENT || told.is_none_or(|(first, ..)| first != self.at) {
            return Err(self
                .remote
                .refused("the service does not answer with the range that was asked for".to_owned()));
        }
        self.response = Some(answer.response);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BucketError> {
        while self.at < self.end {
            let Some(response) = &mut self.response else {
                self.open().await?;
                continue;
            };
            let broke = match response.chunk().await {
                Ok(Some(mut piece)) => {
                    let wanted = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
                    piece.truncate(wanted);
                    self.at += piece.len() as u64;
                    return Ok(Some(piece));
                }
                Ok(None) => "the body ended early".to_owned(),
                Err(error) => reason(&error),
            };
            self.response = None;
            self.resumed += 1;
            if self.resumed > RESUMED_MAX {
                return Err(self.remote.fell_away(broke));
            }
            tracing::debug!(
                bucket = self.remote.name,
                reason = broke,
                at = self.at,
                "a body goes on by another request"
            );
            metrics::counter!("anabranch_store_remote_retries_total").increment(1);
        }
        Ok(None)
    }
}

impl Remote {
    pub(in crate::buckets) async fn head(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        let answer = self.call(&Ask::of(Method::HEAD, key)).await.map_err(|fault| self.plain(fault, key))?;
        let size = length(answer.response.headers()).ok_or_else(|| self.no_length())?;
        Ok(info(key, size, answer.response.headers()))
    }

    pub(in crate::buckets) async fn open(
        self: &Arc<Self>,
        key: &str,
        likely: Likely,
    ) -> Result<(ObjectInfo, RemoteObject), BucketError> {
        if likely == Likely::Nothing {
            let info = self.head(key).await?;
            let object = self.object(&info, None);
            return Ok((info, object));
        }
        let mut ask = Ask::of(Method::GET, key);
        if let Some(range) = likely.range() {
            ask.header(RANGE, &range)?;
        }
        let response = match self.call(&ask).await {
            Ok(answer) => answer.response,
            Err(Fault::Range) => {
                let info = self.head(key).await?;
                let object = self.object(&info, None);
                return Ok((info, object));
            }
            Err(fault) => return Err(self.plain(fault, key)),
        };
        let (first, end, size) = if response.status() == StatusCode::PARTIAL_CONTENT {
            content_range(response.headers()).ok_or_else(|| self.no_length())?
        } else {
            let size = length(response.headers()).ok_or_else(|| self.no_length())?;
            (0, size, size)
        };
        let info = info(key, size, response.headers());
        let object = self.object(&info, Some(Stretch { first, end, response }));
        Ok((info, object))
    }

    fn object(self: &Arc<Self>, info: &ObjectInfo, opened: Option<Stretch>) -> RemoteObject {
        let (key, etag, size) = (info.key.clone(), info.etag.clone(), info.size);
        RemoteObject { remote: self.clone(), key, etag, size, opened }
    }

    fn no_length(&self) -> BucketError {
        self.refused("the service does not say how long the object is".to_owned())
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// First byte, the one after the last, and the size of the whole.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    let (range, size) = text.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then(|| (first, last + 1, size))
}

fn info(key: &str, size: u64, headers: &HeaderMap) -> ObjectInfo {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let etag = text(ETAG.as_str()).unwrap_or_default();
    let modified = text(LAST_MODIFIED.as_str()).and_then(|text| httpdate::parse_http_date(&text).ok());
    let user = headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().strip_prefix(OWN)?.to_owned(), value.to_str().ok()?.to_owned()))
    });
    let attributes = Attributes {
        content_type: text(CONTENT_TYPE.as_str()).filter(|kind| kind != UNKNOWN_TYPE),
        headers: KEPT.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?))).collect(),
        user: user.collect(),
    };
    ObjectInfo {
        key: key.to_owned(),
        size,
        etag: etag.trim_start_matches("W/").trim_matches('"').to_owned(),
        modified: modified.unwrap_or(UNIX_EPOCH),
        attributes,
        checksums: Default::default(),
    }
}

/// Adds what is kept with an object to the request that writes it.
pub(super) fn add(attributes: &Attributes, ask: &mut Ask<'_>) -> Result<(), BucketError> {
    let own = attributes.user.iter().map(|(name, value)| (format!("{OWN}{name}"), value));
    let kept = attributes.headers.iter().map(|(name, value)| (name.clone(), value));
    let kind = attributes.content_type.iter().map(|kind| (CONTENT_TYPE.as_str().to_owned(), kind));
    for (name, value) in kind.chain(kept).chain(own) {
        let unsendable = || BucketError::Unsendable { what: format!("the attribute {name:?}") };
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable())?;
        ask.header(name, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_understood() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(of("bytes 0-3/10"), Some((0, 4, 10)));
        for text in [
            "bytes */10",
            "bytes 4-3/10",
            "bytes 0-10/10",
            "bytes 0-3/*",
            "lines 0-3/10",
            "0-3/10",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(Likely::From { first: 3, last: Some(1) }.range().as_deref(), Some("bytes=3-"));
        assert_eq!(Likely::Last(5).range().as_deref(), Some("bytes=-5"));
    }
}
