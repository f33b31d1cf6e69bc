//! Playlists and segments by HTTP, as a player asks for them, with limits.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, RANGE};
use http::{Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::sample::NotPlaylist;
use super::{BODY_MAX_BYTES, REDIRECTS_MAX};

/// Connections to one host that are kept. More may be open while many playlists change at once.
const IDLE_MAX: usize = 32;

/// How long an idle connection is kept: longer than most segments.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Longest validator that is kept, in bytes.
const ETAG_MAX_BYTES: usize = 512;

/// How a [`Fetcher`] asks.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Longest time for one answer with its body, redirects included.
    pub timeout: Duration,
    /// Headers of requests to `host`, such as a token.
    pub headers: HeaderMap,
    /// Whom they are for: hosts that a playlist or a redirect names do not get them.
    pub host: Option<String>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), headers: HeaderMap::new(), host: None }
    }
}

/// Fetching could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up http")]
pub struct FetchError(#[source] pub(super) reqwest::Error);

/// What came of a request for a playlist.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A text.
    Body {
        /// The text.
        bytes: Bytes,
        /// Its `ETag`.
        etag: Option<String>,
        /// Where it was found, when redirects led elsewhere.
        url: Option<Url>,
    },
    /// It is the text that is known.
    NotModified,
    /// No text.
    Failed(Trouble),
}

/// Why there was no playlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A status that is no success.
    #[error("status {0}")]
    Status(u16),
    /// Nothing, or not all of it, came in time; in milliseconds.
    #[error("no answer within {0} ms")]
    Timeout(u128),
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// A body of more than [`BODY_MAX_BYTES`].
    #[error("the body has more than {BODY_MAX_BYTES} bytes")]
    TooLong,
    /// More than [`REDIRECTS_MAX`].
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    /// A redirect to something that is not HTTP.
    #[error("a redirect leads nowhere that can be asked")]
    Redirect,
    /// A body that is no playlist.
    #[error("{0}")]
    NotPlaylist(NotPlaylist),
}

/// What came of a request for a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentAnswer {
    /// It can be fetched.
    There,
    /// It cannot, and why.
    Missing(String),
}

/// Asks. Cheap to clone; clones share their connections and headers.
#[derive(Clone, Debug)]
pub struct Fetcher {
    http: Client,
    timeout: Duration,
    headers: Arc<RwLock<HeaderMap>>,
    host: Option<String>,
}

impl Fetcher {
    /// Sets up connections; none is made yet.
    ///
    /// # Errors
    /// [`FetchError`] if the system's certificates cannot be used.
    pub fn new(config: FetchConfig) -> Result<Self, FetchError> {
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_FOR)
            .user_agent(concat!("anabranch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FetchError)?;
        Ok(Self { http, timeout: config.timeout, headers: Arc::new(RwLock::new(config.headers)), host: config.host })
    }

    /// The same connections with other headers and another limit of time.
    #[must_use]
    pub fn with(&self, config: FetchConfig) -> Self {
        let headers = Arc::new(RwLock::new(config.headers));
        Self { http: self.http.clone(), timeout: config.timeout, headers, host: config.host }
    }

    /// Asks with these headers from now on, and so do its clones: for tokens that end before the watch does.
    pub fn set_headers(&self, headers: HeaderMap) {
        *self.headers.write().unwrap_or_else(PoisonError::into_inner) = headers;
    }

    /// A playlist, unless it is the one with that validator.
    pub async fn playlist(&self, url: &Url, etag: Option<&str>) -> Answer {
        match tokio::time::timeout(self.timeout, self.body(url, etag)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(trouble)) => Answer::Failed(trouble),
            Err(_) => Answer::Failed(Trouble::Timeout(self.timeout.as_millis())),
        }
    }

    async fn body(&self, url: &Url, etag: Option<&str>) -> Result<Answer, Trouble> {
        let mut fields = HeaderMap::new();
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            fields.insert(IF_NONE_MATCH, etag);
        }
        let (mut response, found) = self.follow(Method::GET, url, &fields).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Answer::NotModified),
            status => return Err(Trouble::Status(status.as_u16())),
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.filter(|etag| etag.len() <= ETAG_MAX_BYTES).map(str::to_owned);
        let bytes = read(&mut response).await?;
        Ok(Answer::Body { bytes, etag, url: found })
    }

    /// Whether a segment is there, and as long as `end_byte` says. Its bytes are not fetched.
    pub async fn segment(&self, url: &Url, end_byte: Option<u64>) -> SegmentAnswer {
        match tokio::time::timeout(self.timeout, self.look(url, end_byte)).await {
            Ok(Ok(())) => SegmentAnswer::There,
            Ok(Err(why)) => SegmentAnswer::Missing(why),
            Err(_) => SegmentAnswer::Missing(Trouble::Timeout(self.timeout.as_millis()).to_string()),
        }
    }

    async fn look(&self, url: &Url, end_byte: Option<u64>) -> Result<(), String> {
        let words = |trouble: Trouble| trouble.to_string();
        let (response, _) = self.follow(Method::HEAD, url, &HeaderMap::new()).await.map_err(words)?;
        let status = response.status();
        if status.is_success() {
            let length = response.headers().get(http::header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
            return match (length, end_byte) {
                (Some(0), _) => Err("it is empty".to_owned()),
                (Some(length), Some(end)) if length < end => Err(format!("the file has {length} bytes of {end}")),
                _ => Ok(()),
            };
        }
        // A URL may be signed for GET alone, and some servers do not know HEAD.
        if !matches!(status.as_u16(), 400 | 401 | 403 | 405 | 501) {
            return Err(words(Trouble::Status(status.as_u16())));
        }
        let last = end_byte.unwrap_or(1).saturating_sub(1);
        let mut fields = HeaderMap::new();
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={last}-{last}")) {
            fields.insert(RANGE, range);
        }
        let (response, _) = self.follow(Method::GET, url, &fields).await.map_err(words)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(words(Trouble::Status(status.as_u16()))),
        }
    }

    /// Asks, and asks again where redirects lead; with the address that answered when it is another.
    async fn follow(&self, method: Method, url: &Url, fields: &HeaderMap) -> Result<(Response, Option<Url>), Trouble> {
        let mut elsewhere: Option<Url> = None;
        for _ in 0..=REDIRECTS_MAX {
            let at = elsewhere.as_ref().unwrap_or(url);
            let mut request = reqwest::Request::new(method.clone(), at.clone());
            *request.headers_mut() = fields.clone();
            if self.host.is_some() && self.host.as_deref() == at.host_str() {
                let headers = self.headers.read().unwrap_or_else(PoisonError::into_inner).clone();
                request.headers_mut().extend(headers);
            }
            let response = self.http.execute(request).await.map_err(|error| connection(&error))?;
            if !is_redirect(response.status()) {
                return Ok((response, elsewhere));
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok());
            let next = next.filter(|next| matches!(next.scheme(), "http" | "https")).ok_or(Trouble::Redirect)?;
            elsewhere = Some(next);
        }
        Err(Trouble::Redirects)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

async fn read(response: &mut Response) -> Result<Bytes, Trouble> {
    if response.content_length().is_some_and(|length| length > BODY_MAX_BYTES as u64) {
        return Err(Trouble::TooLong);
    }
    // Most bodies come in one piece, which is not copied then.
    let Some(first) = response.chunk().await.map_err(|error| connection(&error))? else { return Ok(Bytes::new()) };
    let mut more = None::<BytesMut>;
    while let Some(piece) = response.chunk().await.map_err(|error| connection(&error))? {
        let whole = more.get_or_insert_with(|| BytesMut::from(first.as_ref()));
        if whole.len() + piece.len() > BODY_MAX_BYTES {
            return Err(Trouble::TooLong);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(more.map_or(first, BytesMut::freeze))
}

/// Of the chain of causes only the last one tells the operator something.
fn connection(error: &reqwest::Error) -> Trouble {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // The whole text may hold the URL, which may hold a signature.
    Trouble::Connection(cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect())
}
