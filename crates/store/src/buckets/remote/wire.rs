//! Requests to a service: signed, sent, repeated while that may help, refusals understood.

use std::error::Error as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, HOST, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use md5::{Digest as _, Md5};
use reqwest::Response;
use tokio::time::{Instant, sleep};

use super::Remote;
use super::health::Admitted;
use super::sign::{self, Signed};
use super::xml;
use crate::buckets::types::{BucketError, interrupted};

/// Tries of a request before the service counts as away.
const ATTEMPTS: u32 = 4;

/// Time before the second try; twice as long before each one after it.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Longest time between two tries.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Slowest way to a service that is used, in bytes a second.
const SLOWEST: u64 = 64 * 1024;

/// Longest text of an answer in XML, in bytes.
const MAX_XML_BYTES: usize = 8 * 1024 * 1024;

/// Longest text of a refusal that is told, in characters.
const MAX_TOLD: usize = 300;

/// Bytes that are digested beside the runtime rather than on it.
const MANY_BYTES: usize = 256 * 1024;

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Without the backend's prefix; none for the bucket.
    pub(super) key: Option<&'a str>,
    pub(super) query: Vec<(&'static str, &'a str)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl<'a> Ask<'a> {
    pub(super) fn of(method: Method, key: &'a str) -> Self {
        Self { method, key: Some(key), query: Vec::new(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(super) fn header(&mut self, name: HeaderName, value: &str) -> Result<(), BucketError> {
        let value = HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok());
        let value = value.ok_or_else(|| BucketError::Unsendable { what: format!("the value of {name}") })?;
        self.headers.insert(name, value);
        Ok(())
    }
}

/// An answer of success.
pub(super) struct Answer {
    pub(super) response: Response,
}

impl Answer {
    /// All of a short answer. A service may say in it that it failed after all.
    pub(super) async fn text(self, remote: &Remote) -> Result<String, BucketError> {
        let text = text(self.response).await.map_err(|reason| remote.fell_away(reason))?;
        let (code, message) = xml::refusal(&text);
        if code.is_empty() {
            return Ok(text);
        }
        let passing = matches!(code.as_str(), "InternalError" | "SlowDown" | "ServiceUnavailable");
        let reason = told(&code, &message);
        Err(if passing { remote.fell_away(reason) } else { remote.refused(reason) })
    }

    pub(super) fn etag(&self) -> Option<String> {
        let text = self.response.headers().get(ETAG)?.to_str().ok()?;
        Some(text.trim().trim_start_matches("W/").trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
    }
}

/// Why a request had no success.
pub(super) enum Fault {
    /// There is no such thing.
    Missing,
    /// What was wanted of the object does not hold.
    Precondition {
        /// Whether a request before this one may have been done unheard.
        repeated: bool,
    },
    /// The object has no such bytes.
    Range,
    Other(BucketError),
}

impl From<BucketError> for Fault {
    fn from(error: BucketError) -> Self {
        Self::Other(error)
    }
}

/// One try.
enum Tried {
    Answered(Response),
    /// Another try may do better.
    Passing(String),
    Failed(Fault),
}

impl Remote {
    /// # Errors
    /// Every failure that repeating does not mend; the backend's problem is noted then.
    pub(super) async fn call(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        if ask.key.is_some_and(|key| key.split('/').any(|part| part == "." || part == "..")) {
            let what = "a key with the part . or .., which no URL can name".to_owned();
            return Err(BucketError::Unsendable { what }.into());
        }
        let attempts = match self.health.admit(Instant::now()) {
            Admitted::Yes => ATTEMPTS,
            Admitted::Once => 1,
            Admitted::No(reason) => return Err(self.away(reason).into()),
        };
        let sha256 = digested(ask.body.clone()).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            let tried = self.once(ask, &sha256, tries > 1).await;
            count(&ask.method, &tried);
            match tried {
                Tried::Answered(response) => {
                    self.is_well();
                    return Ok(Answer { response });
                }
                Tried::Failed(fault) => {
                    if !matches!(fault, Fault::Other(_)) {
                        self.is_well();
                    }
                    return Err(fault);
                }
                Tried::Passing(reason) if tries >= attempts => return Err(self.fell_away(reason).into()),
                Tried::Passing(reason) => {
                    tracing::debug!(bucket = self.name, reason, tries, "a request to a remote bucket is repeated");
                    metrics::counter!("anabranch_store_remote_retries_total").increment(1);
                    sleep(back_off(tries)).await;
                }
            }
        }
    }

    async fn once(&self, ask: &Ask<'_>, sha256: &str, repeated: bool) -> Tried {
        let place = &self.place;
        let key = ask.key.map(|key| sign::escape(&format!("{}{key}", place.prefix))).unwrap_or_default();
        let (host, path) = if place.path_style {
            (place.host.clone(), format!("/{}/{key}", place.bucket))
        } else {
            (format!("{}.{}", place.bucket, place.host), format!("/{key}"))
        };
        let path = if ask.key.is_none() && place.path_style { format!("/{}", place.bucket) } else { path };
        let query = sign::query(&ask.query);
        let mut headers = ask.headers.clone();
        let unsendable = || Tried::Failed(BucketError::Unsendable { what: "a header".to_owned() }.into());
        let Ok(value) = HeaderValue::from_str(&host) else { return unsendable() };
        headers.insert(HOST, value);
        let what = Signed { method: &ask.method, path: &path, query: &query, body_sha256: sha256 };
        if sign::sign(&place.credentials, &place.region, &what, &mut headers, (self.now)()).is_none() {
            return unsendable();
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}://{host}{path}{mark}{query}", place.scheme);
        let mut request = self.http.request(ask.method.clone(), url).headers(headers);
        if !ask.body.is_empty() || matches!(ask.method, Method::PUT | Method::POST) {
            request = request.header(CONTENT_LENGTH, ask.body.len()).body(ask.body.clone());
        }
        let patience = self.patience.answer + Duration::from_secs(ask.body.len() as u64 / SLOWEST);
        match tokio::time::timeout(patience, request.send()).await {
            Err(_) => Tried::Passing(format!("no answer within {} s", patience.as_secs())),
            Ok(Err(error)) => Tried::Passing(self::reason(&error)),
            Ok(Ok(response)) if response.status().is_success() => Tried::Answered(response),
            Ok(Ok(response)) => self.judge(response, repeated).await,
        }
    }

    /// What a status means that is not of success.
    async fn judge(&self, response: Response, repeated: bool) -> Tried {
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let (code, message) = match text(response).await {
            Ok(text) => xml::refusal(&text),
            Err(_) => Default::default(),
        };
        match status {
            StatusCode::NOT_FOUND if code == "NoSuchBucket" => Tried::Failed(
                self.refused(format!("the service has no bucket {}: make it there", self.place.bucket)).into(),
            ),
            StatusCode::NOT_FOUND => Tried::Failed(Fault::Missing),
            StatusCode::PRECONDITION_FAILED => Tried::Failed(Fault::Precondition { repeated }),
            StatusCode::RANGE_NOT_SATISFIABLE => Tried::Failed(Fault::Range),
            _ if is_passing(status, &code) => Tried::Passing(told(&format!("{} {code}", status.as_u16()), &message)),
            StatusCode::FORBIDDEN => {
                let id = &self.place.credentials.access_key_id;
                let what = told(&code, &message);
                Tried::Failed(self.refused(format!("the service refuses access key {id}: {what}")).into())
            }
            _ if status.is_redirection() => {
                let to = location.unwrap_or_else(|| "elsewhere".to_owned());
                let (bucket, region) = (&self.place.bucket, &self.place.region);
                let words = format!("the service says that {bucket} is {to}: region {region} or the endpoint is wrong");
                Tried::Failed(self.refused(words).into())
            }
            _ => Tried::Failed(self.refused(told(&format!("{} {code}", status.as_u16()), &message)).into()),
        }
    }

    fn is_well(&self) {
        if self.health.well() {
            tracing::info!(bucket = self.name, "the service of a remote bucket answers again");
        }
    }

    /// Notes that the service is away.
    pub(super) fn fell_away(&self, reason: String) -> BucketError {
        if self.health.troubled(&reason, true, (Instant::now(), (self.now)())) {
            let endpoint = self.place.endpoint();
            tracing::warn!(
                bucket = self.name,
                endpoint,
                reason,
                "the service of a remote bucket is away; it is asked again"
            );
        }
        self.away(reason)
    }

    fn away(&self, reason: String) -> BucketError {
        BucketError::Away { bucket: self.name.clone(), endpoint: self.place.endpoint(), reason }
    }

    /// Notes that the service refuses what it should not.
    pub(super) fn refused(&self, reason: String) -> BucketError {
        if self.health.troubled(&reason, false, (Instant::now(), (self.now)())) {
            let endpoint = self.place.endpoint();
            tracing::warn!(bucket = self.name, endpoint, reason, "the service of a remote bucket refuses");
        }
        BucketError::Refused { bucket: self.name.clone(), endpoint: self.place.endpoint(), reason }
    }

    /// What a fault is where neither conditions nor ranges were sent.
    pub(super) fn plain(&self, fault: Fault, key: &str) -> BucketError {
        match fault {
            Fault::Missing => BucketError::NoSuchKey { bucket: self.name.clone(), key: key.to_owned() },
            Fault::Precondition { .. } => BucketError::Precondition { condition: "if-match" },
            Fault::Range => self.refused("the service says that the object has no such bytes".to_owned()),
            Fault::Other(error) => error,
        }
    }
}

/// Whether another try may do better.
fn is_passing(status: StatusCode, code: &str) -> bool {
    let is_busy = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
    is_busy || matches!(code, "RequestTimeout" | "SlowDown" | "ConditionalRequestConflict" | "OperationAborted")
}

fn count(method: &Method, tried: &Tried) {
    let outcome = match tried {
        Tried::Answered(_) => "answered",
        Tried::Passing(_) => "passing",
        Tried::Failed(Fault::Other(_)) => "refused",
        Tried::Failed(_) => "missing",
    };
    let method = match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "PUT" => "put",
        "POST" => "post",
        _ => "delete",
    };
    metrics::counter!("anabranch_store_remote_requests_total", "method" => method, "outcome" => outcome).increment(1);
}

/// Time before the next try. Others who failed at the same moment come a little earlier or later.
fn back_off(tries: u32) -> Duration {
    let longest = BACK_OFF.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(BACK_OFF_MAX);
    let mut byte = [0];
    // Without randomness all come at once, which is no worse than before.
    let _ = getrandom::fill(&mut byte);
    longest / 2 + longest * u32::from(byte[0]) / 512
}

/// What went wrong on the way, without the URL and what it carries.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    let mut text = kind.to_owned();
    let mut source = error.source();
    let mut innermost = None;
    while let Some(error) = source {
        innermost = Some(error.to_string());
        source = error.source();
    }
    if let Some(innermost) = innermost {
        text.push_str(": ");
        text.push_str(&innermost);
    }
    text
}

fn told(code: &str, message: &str) -> String {
    let between = if code.trim().is_empty() || message.is_empty() { "" } else { ": " };
    let text: String =
        format!("{}{between}{message}", code.trim()).chars().filter(|c| !c.is_control()).take(MAX_TOLD).collect();
    if text.is_empty() { "it does not say why".to_owned() } else { text }
}

/// A short answer, whole.
async fn text(mut response: Response) -> Result<String, String> {
    let mut all = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| reason(&error))? {
        if all.len() + piece.len() > MAX_XML_BYTES {
            return Err(format!("its answer has more than {MAX_XML_BYTES} bytes"));
        }
        all.extend_from_slice(&piece);
    }
    String::from_utf8(all).map_err(|_| "its answer is not UTF-8".to_owned())
}

/// SHA-256 in hexadecimal.
async fn digested(body: Bytes) -> Result<String, BucketError> {
    if body.len() < MANY_BYTES {
        return Ok(sign::sha256(&body));
    }
    tokio::task::spawn_blocking(move || sign::sha256(&body)).await.map_err(interrupted)
}

/// `Content-MD5` of a body.
pub(super) fn content_md5(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}
