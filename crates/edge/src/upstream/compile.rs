//! An origin's specification, as its requests go out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_model::{
    BucketOrigin, ChannelId, DistributionSpec, HOLD_MAX_SECONDS, HttpOrigin, Origin, OriginProtocol, OriginSpec,
    OriginTimeouts,
};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::Ask;
use super::answer::Answer;
use super::connect::Patience;
use super::failure::Failure;
use super::fields::{append_via, is_reserved, strip_hop_by_hop};
use super::sigv4::{Signer, key_path};
use super::upload::Upload;
use super::way::Way;
use crate::config::{Config, OriginRoom, S3Bucket, Shield};
use crate::request::Scheme;

/// Header by which the origin room knows its own edges.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-anabranch-origin-token");

/// Header by which a shield knows the edges that may ask it.
const SHIELD_HEADER: HeaderName = HeaderName::from_static("x-anabranch-shield");

/// Header that tells a shield what the viewer spoke.
const SCHEME_HEADER: HeaderName = HeaderName::from_static("x-anabranch-viewer-scheme");

/// Patience with the rooms of the house.
const ROOM_TIMEOUTS: OriginTimeouts =
    OriginTimeouts { connect_seconds: 2, connect_attempts: 3, response_seconds: 30, keepalive_seconds: 4 };

/// What may be asked of a bucket.
const BUCKET_METHODS: &str = "GET, HEAD, OPTIONS";

/// Parameter of requests that the origin room holds until there is a segment (rfc8216bis §6.2.5.2).
const HELD_BY: &str = "_HLS_msn=";

/// What buckets say of a key that is not there.
const NO_SUCH_KEY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>\n";

/// Why an origin cannot be asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("this edge knows no origin room: name one in its configuration")]
    NoRoom,
    #[error("not a host and port that can be connected to: {0}")]
    Host(String),
    #[error("not a path that can stand before others: {0}")]
    Path(String),
    #[error("not a header that an edge may send: {0}")]
    Header(String),
    #[error("not a bucket's name: {0}")]
    Bucket(String),
    #[error("not the endpoint of a storage service, as in https://storage.example.com: {0}")]
    Endpoint(String),
    #[error("a secret that no header can carry: {0}")]
    Secret(&'static str),
}

/// An origin as a behavior's requests go to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    name: String,
    plain: Target,
    /// Where requests of HTTPS viewers go.
    secure: Target,
    /// Put before the target.
    prefix: String,
    /// Sent with every request, overriding the viewer's.
    headers: HeaderMap,
    kind: Kind,
    pub(super) patience: Patience,
    /// Time for an answer to begin and between two of its pieces.
    pub(super) response_time: Duration,
    /// Time that the origin may hold a request on purpose, besides.
    hold: Duration,
    /// Time that an idle connection is kept.
    pub(super) keepalive: Duration,
}

/// What is particular about an origin's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Server,
    /// Read only, by key; nothing of the viewer's identity goes there. Signed if there is a signer.
    Bucket(Option<Signer>),
    /// Another edge.
    Shield,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    way: Arc<Way>,
    host: HeaderValue,
}

impl Target {
    fn new(way: Option<Way>, spelled: &str) -> Result<Self, Unusable> {
        let host = way.as_ref().and_then(Way::host_field);
        let (Some(way), Some(host)) = (way, host) else { return Err(Unusable::Host(spelled.to_owned())) };
        Ok(Self { way: Arc::new(way), host })
    }
}

impl Upstream {
    /// Compiles an origin of `distribution`.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub(crate) fn compile(
        spec: &OriginSpec,
        distribution: &DistributionSpec,
        config: &Config,
    ) -> Result<Self, Unusable> {
        let mut upstream = match &spec.origin {
            Origin::Live { channel } => Self::live(channel, config.origin_room.as_ref()),
            Origin::Http(origin) => Self::http(origin),
            Origin::Bucket(origin) => match config.buckets.iter().find(|known| known.bucket == origin.bucket) {
                Some(bucket) => Self::s3_bucket(origin, bucket),
                None => Self::house_bucket(origin, config.origin_room.as_ref()),
            },
        };
        if let Some(shield) = spec.shield.as_ref().and_then(|name| config.shields.get(name)) {
            // An origin that this edge could not ask by itself may still be behind a shield.
            upstream = Self::shield(shield, &distribution.domain_name, upstream.ok().as_ref());
        }
        let mut upstream = upstream?;
        if matches!(spec.origin, Origin::Live { .. }) {
            upstream.hold = Duration::from_secs(HOLD_MAX_SECONDS);
        }
        upstream.name = format!("{} at {}", spec.id, upstream.secure.way);
        Ok(upstream)
    }

    /// Name for logs.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn new(target: Target, prefix: String, headers: HeaderMap, kind: Kind, timeouts: &OriginTimeouts) -> Self {
        let attempt = Duration::from_secs(timeouts.connect_seconds.max(1));
        Self {
            name: String::new(),
            plain: target.clone(),
            secure: target,
            prefix,
            headers,
            kind,
            patience: Patience { attempt, attempts: timeouts.connect_attempts.max(1) },
            response_time: Duration::from_secs(timeouts.response_seconds.max(1)),
            hold: Duration::ZERO,
            keepalive: Duration::from_secs(timeouts.keepalive_seconds),
        }
    }

    /// Time for the answer to this request to begin: a request that is held may take as long as the hold, and then as any other.
    pub(super) fn patience_for(&self, ask: &Ask) -> Duration {
        let query = ask.target.split_once('?').map_or("", |(_, query)| query);
        let held = query.split('&').any(|parameter| parameter.starts_with(HELD_BY));
        if held { self.response_time.saturating_add(self.hold) } else { self.response_time }
    }

    fn live(channel: &ChannelId, room: Option<&OriginRoom>) -> Result<Self, Unusable> {
        let (target, token) = room_target(room)?;
        let headers = HeaderMap::from_iter([(TOKEN_HEADER, token)]);
        Ok(Self::new(target, format!("/live/{channel}"), headers, Kind::Server, &ROOM_TIMEOUTS))
    }

    fn http(origin: &HttpOrigin) -> Result<Self, Unusable> {
        let target = |tls, port| Target::new(Way::new(&origin.host, port, tls), &format!("{}:{port}", origin.host));
        let (plain, secure) = match origin.protocol {
            OriginProtocol::HttpOnly => (target(false, origin.http_port)?, None),
            OriginProtocol::HttpsOnly => (target(true, origin.https_port)?, None),
            OriginProtocol::MatchViewer => (target(false, origin.http_port)?, Some(target(true, origin.https_port)?)),
        };
        let headers = custom(&origin.headers)?;
        let mut upstream = Self::new(plain, prefix(&origin.path)?, headers, Kind::Server, &origin.timeouts);
        if let Some(secure) = secure {
            upstream.secure = secure;
        }
        Ok(upstream)
    }

    fn house_bucket(origin: &BucketOrigin, room: Option<&OriginRoom>) -> Result<Self, Unusable> {
        let (target, token) = room_target(room)?;
        let mut headers = custom(&origin.headers)?;
        headers.insert(TOKEN_HEADER, token);
        let prefix = format!("/bucket/{}{}", bucket_name(&origin.bucket)?, prefix(&origin.path)?);
        Ok(Self::new(target, prefix, headers, Kind::Bucket(None), &origin.timeouts))
    }

    fn s3_bucket(origin: &BucketOrigin, bucket: &S3Bucket) -> Result<Self, Unusable> {
        let name = bucket_name(&bucket.bucket)?;
        let wrong = || Unusable::Endpoint(bucket.endpoint.clone());
        let endpoint: Uri = bucket.endpoint.parse().map_err(|_| wrong())?;
        let tls = match endpoint.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = endpoint.authority().filter(|_| matches!(endpoint.path(), "" | "/")).ok_or_else(wrong)?;
        let (authority, before) = if bucket.path_style {
            (authority.to_string(), format!("/{name}"))
        } else {
            (format!("{name}.{authority}"), String::new())
        };
        let target = Target::new(Way::to_authority(&authority, tls), &authority)?;
        let signer = Signer {
            region: bucket.region.clone(),
            access_key_id: bucket.access_key_id.clone(),
            secret_access_key: bucket.secret_access_key.clone(),
        };
        let prefix = format!("{before}{}", prefix(&origin.path)?);
        Ok(Self::new(target, prefix, custom(&origin.headers)?, Kind::Bucket(Some(signer)), &origin.timeouts))
    }

    /// The shield asks the origin as often and as long as this edge would, so it is given that time.
    fn shield(shield: &Shield, domain_name: &str, behind: Option<&Self>) -> Result<Self, Unusable> {
        let mut target = Target::new(Way::to_authority(&shield.authority, shield.tls), &shield.authority)?;
        target.host = HeaderValue::from_str(domain_name).map_err(|_| Unusable::Host(domain_name.to_owned()))?;
        let headers = HeaderMap::from_iter([(SHIELD_HEADER, secret(&shield.token, "the shield's token")?)]);
        let mut upstream = Self::new(target, String::new(), headers, Kind::Shield, &ROOM_TIMEOUTS);
        if let Some(behind) = behind {
            let connecting = behind.patience.attempt.saturating_mul(behind.patience.attempts);
            upstream.response_time = behind.response_time.saturating_add(connecting);
        }
        Ok(upstream)
    }

    fn target(&self, scheme: Scheme) -> &Target {
        match scheme {
            Scheme::Http => &self.plain,
            Scheme::Https => &self.secure,
        }
    }

    /// Where requests of such viewers go.
    pub(super) fn way(&self, scheme: Scheme) -> &Arc<Way> {
        &self.target(scheme).way
    }

    /// The answer to what a bucket is never asked: it is only read, by key and never listed.
    pub(super) fn answer_itself(&self, ask: &Ask) -> Option<Answer> {
        if !matches!(self.kind, Kind::Bucket(_)) {
            return None;
        }
        if ask.method == Method::OPTIONS {
            return Some(Answer::methods(BUCKET_METHODS));
        }
        if ask.method != Method::GET && ask.method != Method::HEAD {
            let mut answer = Answer::own(405, "text/plain; charset=utf-8", "GET, HEAD and OPTIONS only\n", &ask.method);
            answer.headers.insert(ALLOW, HeaderValue::from_static(BUCKET_METHODS));
            return Some(answer);
        }
        let no_key = key_path(path_of(&ask.target)).is_none();
        no_key.then(|| Answer::own(404, "application/xml", NO_SUCH_KEY, &ask.method))
    }

    /// The request as it is sent.
    ///
    /// # Errors
    /// [`Failure::Request`].
    pub(super) fn request(&self, ask: &Ask, now_ms: i64) -> Result<Request<Upload>, Failure> {
        let path = match self.kind {
            // Buckets get no query: it could ask for other things than the object.
            Kind::Bucket(_) => key_path(&format!("{}{}", self.prefix, path_of(&ask.target))).ok_or(Failure::Request)?,
            Kind::Server | Kind::Shield => format!("{}{}", self.prefix, ask.target),
        };
        let headers = self.fields(ask, &path, now_ms)?;
        let path = PathAndQuery::try_from(path).map_err(|_| Failure::Request)?;
        let mut request = Request::new(Upload::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn fields(&self, ask: &Ask, path: &str, now_ms: i64) -> Result<HeaderMap, Failure> {
        let target = self.target(ask.scheme);
        let mut headers = ask.headers.clone();
        strip_hop_by_hop(&mut headers);
        headers.remove(EXPECT);
        headers.remove(CONTENT_LENGTH);
        append_via(&mut headers);
        match &self.kind {
            Kind::Server => {
                if !headers.contains_key(HOST) {
                    headers.insert(HOST, target.host.clone());
                }
            }
            Kind::Shield => {
                headers.insert(HOST, target.host.clone());
                headers.insert(SCHEME_HEADER, HeaderValue::from_static(ask.scheme.as_str()));
            }
            Kind::Bucket(_) => {
                headers.insert(HOST, target.host.clone());
                let foreign: Vec<HeaderName> = headers.keys().filter(|name| is_identity(name)).cloned().collect();
                for name in foreign {
                    headers.remove(name);
                }
            }
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if !ask.body.is_empty() || matches!(ask.method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(ask.body.len()));
        }
        if let Kind::Bucket(Some(signer)) = &self.kind {
            signer.sign(&ask.method, path, "", &mut headers, now_ms).ok_or(Failure::Request)?;
        }
        Ok(headers)
    }
}

/// Whether a viewer could act in its own name, or in ours, by the field.
fn is_identity(name: &HeaderName) -> bool {
    *name == AUTHORIZATION || *name == COOKIE || name.as_str().starts_with("x-amz-")
}

fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

fn room_target(room: Option<&OriginRoom>) -> Result<(Target, HeaderValue), Unusable> {
    let room = room.ok_or(Unusable::NoRoom)?;
    let target = Target::new(Way::to_authority(&room.authority, false), &room.authority)?;
    Ok((target, secret(&room.token, "the origin room's token")?))
}

fn secret(text: &str, what: &'static str) -> Result<HeaderValue, Unusable> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Unusable::Secret(what))?;
    value.set_sensitive(true);
    Ok(value)
}

fn prefix(path: &str) -> Result<String, Unusable> {
    let shape = path.is_empty() || (path.starts_with('/') && !path.ends_with('/'));
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'));
    if shape && plain { Ok(path.to_owned()) } else { Err(Unusable::Path(path.to_owned())) }
}

fn bucket_name(name: &str) -> Result<&str, Unusable> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let valid = !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(plain);
    if valid { Ok(name) } else { Err(Unusable::Bucket(name.to_owned())) }
}

fn custom(headers: &BTreeMap<String, String>) -> Result<HeaderMap, Unusable> {
    let parse = |(name, value): (&String, &String)| {
        let parsed = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
        parsed.filter(|(name, _)| !is_reserved(name)).ok_or_else(|| Unusable::Header(name.clone()))
    };
    headers.iter().map(parse).collect()
}
