//! Where a remote bucket is, and who asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::buckets::spelling::is_bucket_name;
use crate::buckets::types::BucketError;

/// Region of services that have none.
const REGION: &str = "us-east-1";

/// Longest prefix, in bytes: what is left of 1024 has to be enough for keys.
const MAX_PREFIX_BYTES: usize = 512;

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its id.
    pub access_key_id: String,
    /// Its secret, which is never shown.
    pub secret_access_key: String,
    /// What temporary credentials come with.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// A service that the configuration names.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// `http://` or `https://`, host, and port if it is another; without one Amazon's of the region.
    pub endpoint: Option<String>,
    /// Region that requests are signed for; `us-east-1` without one.
    pub region: Option<String>,
    /// Whether the bucket is the first part of the path rather than of the host; without it, it is unless the service is Amazon's.
    pub path_style: Option<bool>,
    /// Who asks; without them [`Remotes::credentials`].
    pub credentials: Option<Credentials>,
}

/// Where the objects of a bucket are, as operators say it. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// `s3://<bucket>` or `s3://<bucket>/<prefix>`.
    pub url: String,
    /// Name of a [`Connection`]: of it is what is not said here, and the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// As [`Connection::endpoint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// As [`Connection::region`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// As [`Connection::path_style`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
}

/// How long is waited for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to begin, beside the time that the request's body needs.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), answer: seconds(30), silence: seconds(20) }
    }
}

/// What is known of services elsewhere.
#[derive(Clone)]
pub struct Remotes {
    /// Services by name.
    pub connections: BTreeMap<String, Connection>,
    /// Whoever asks where a connection does not say, such as by the environment.
    pub credentials: Option<Credentials>,
    /// Buckets of this house that are elsewhere whatever was said of them before.
    pub fixed: BTreeMap<String, Backend>,
    /// Whether other processes may make buckets of the same store: they are looked for then.
    pub shared: bool,
    /// How long is waited.
    pub patience: Patience,
    /// The time, for signatures.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl fmt::Debug for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Remotes");
        shown.field("connections", &self.connections).field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

/// A backend with all that is needed to ask it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bucket: String,
    /// Empty, or ends with `/`.
    pub(super) prefix: String,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Host, and port if it is another.
    pub(super) host: String,
    pub(super) path_style: bool,
    pub(super) region: String,
    pub(super) credentials: Credentials,
}

impl Place {
    /// # Errors
    /// [`BucketError::Backend`], which says what is missing or wrong.
    pub(super) fn of(backend: &Backend, remotes: &Remotes) -> Result<Self, BucketError> {
        let wrong = |detail: String| BucketError::Backend { detail };
        let none = Connection::default();
        let connection = match &backend.remote {
            None => &none,
            Some(name) => remotes.connections.get(name).ok_or_else(|| {
                wrong(format!("no service of that name is configured: {name:?}; add [store.remote.{name}]"))
            })?,
        };
        let (bucket, prefix) = parse_url(&backend.url).map_err(wrong)?;
        let region = backend.region.as_ref().or(connection.region.as_ref()).map_or(REGION, String::as_str);
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(wrong(format!("not a region: {region:?}")));
        }
        let endpoint = backend.endpoint.as_ref().or(connection.endpoint.as_ref());
        let endpoint = endpoint.cloned().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let (scheme, host) = parse_endpoint(&endpoint).map_err(wrong)?;
        let credentials = connection.credentials.as_ref().or(remotes.credentials.as_ref());
        let credentials = credentials.cloned().ok_or_else(|| {
            wrong("no credentials: give access_key_id and secret_access_key in [store.remote.NAME], or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned())
        })?;
        let path_style = backend.path_style.or(connection.path_style);
        // A name with dots is in no certificate below Amazon's domain.
        let path_style = path_style.unwrap_or_else(|| !host.ends_with(".amazonaws.com") || bucket.contains('.'));
        Ok(Self { bucket, prefix, scheme, host, path_style, region: region.to_owned(), credentials })
    }

    /// As people are told it.
    pub(super) fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    pub(super) fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }
}

fn parse_url(url: &str) -> Result<(String, String), String> {
    let rest = url.strip_prefix("s3://").ok_or_else(|| format!("a backend begins with s3://: {url:?}"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if !is_bucket_name(bucket) {
        return Err(format!("not a bucket name: {bucket:?}; write s3://BUCKET/PREFIX"));
    }
    let prefix = prefix.trim_end_matches('/');
    let is_wrong = |part: &str| part.is_empty() || part == "." || part == "..";
    if prefix.len() > MAX_PREFIX_BYTES || (!prefix.is_empty() && prefix.split('/').any(is_wrong)) {
        return Err(format!(
            "not a prefix: {prefix:?}; names with single slashes between them, at most {MAX_PREFIX_BYTES} bytes"
        ));
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok((bucket.to_owned(), prefix))
}

fn parse_endpoint(endpoint: &str) -> Result<(&'static str, String), String> {
    let wrong = || format!("not an endpoint: {endpoint:?}; write https://HOST or http://HOST:PORT, without a path");
    let (scheme, host, own_port) = match endpoint.split_once("://") {
        Some(("https", host)) => ("https", host, ":443"),
        Some(("http", host)) => ("http", host, ":80"),
        _ => return Err(wrong()),
    };
    let host = host.trim_end_matches('/').to_ascii_lowercase();
    let host = host.strip_suffix(own_port).unwrap_or(&host).to_owned();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    // What the client makes of it has to be what is signed.
    let parsed = reqwest::Url::parse(&format!("{scheme}://{host}/")).map_err(|_| wrong())?;
    if host.is_empty() || !host.bytes().all(is_host) || parsed.host_str().is_none() {
        return Err(wrong());
    }
    Ok((scheme, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remotes() -> Remotes {
        let credentials = |id: &str| {
            let (access_key_id, secret_access_key) = (id.to_owned(), "hush".to_owned());
            Some(Credentials { access_key_id, secret_access_key, session_token: None })
        };
        let minio = Connection {
            endpoint: Some("http://127.0.0.1:9000/".to_owned()),
            region: Some("here".to_owned()),
            path_style: None,
            credentials: credentials("M"),
        };
        Remotes {
            connections: BTreeMap::from([("minio".to_owned(), minio)]),
            credentials: credentials("E"),
            fixed: BTreeMap::new(),
            shared: false,
            patience: Patience::default(),
            now: Arc::new(|| SystemTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn what_is_not_said_is_of_the_service() {
        let remotes = remotes();
        let named =
            Backend { url: "s3://films/a/b/".to_owned(), remote: Some("minio".to_owned()), ..Backend::default() };
        let place = Place::of(&named, &remotes).unwrap();
        assert_eq!((place.url(), place.endpoint()), ("s3://films/a/b/".to_owned(), "http://127.0.0.1:9000".to_owned()));
        assert_eq!(
            (place.region.as_str(), place.path_style, place.credentials.access_key_id.as_str()),
            ("here", true, "M")
        );
        let own = Backend { region: Some("eu-west-3".to_owned()), path_style: Some(false), ..named };
        let place = Place::of(&own, &remotes).unwrap();
        assert_eq!((place.region.as_str(), place.path_style), ("eu-west-3", false));
        let amazon =
            Backend { url: "s3://films".to_owned(), region: Some("eu-west-3".to_owned()), ..Backend::default() };
        let place = Place::of(&amazon, &remotes).unwrap();
        assert_eq!((place.endpoint().as_str(), place.path_style), ("https://s3.eu-west-3.amazonaws.com", false));
        assert_eq!((place.prefix.as_str(), place.credentials.access_key_id.as_str()), ("", "E"));
        assert!(!format!("{remotes:?} {place:?}").contains("hush"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let remotes = remotes();
        for (url, endpoint, named, word) in [
            ("films", None, None, "s3://"),
            ("s3://Films", None, None, "bucket name"),
            ("s3://films/a//b", None, None, "prefix"),
            ("s3://films/../b", None, None, "prefix"),
            ("s3://films", Some("ftp://a"), None, "endpoint"),
            ("s3://films", Some("http://a/b"), None, "endpoint"),
            ("s3://films", Some("http://user@a"), None, "endpoint"),
            ("s3://films", Some("http://"), None, "endpoint"),
            ("s3://films", None, Some("ceph"), "[store.remote.ceph]"),
        ] {
            let backend = Backend {
                url: url.to_owned(),
                endpoint: endpoint.map(str::to_owned),
                remote: named.map(str::to_owned),
                ..Backend::default()
            };
            let error = Place::of(&backend, &remotes).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let nobody = Remotes { credentials: None, ..remotes };
        let error = Place::of(&Backend { url: "s3://films".to_owned(), ..Backend::default() }, &nobody).unwrap_err();
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
