//! The edge's part of a node's configuration.

use std::path::PathBuf;

use anabranch_model::{DistributionId, PriceClass};
use serde::Deserialize;

use super::addresses::{Addresses, everywhere};
use super::secret::Secret;
use super::units::size;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Edge {
    pub(crate) listen: Addresses,
    pub(crate) public_url: Option<String>,
    pub(crate) tls: EdgeTls,
    pub(crate) http3: EdgeHttp3,
    pub(crate) domain_suffix: String,
    #[serde(deserialize_with = "size")]
    pub(crate) memory: u64,
    pub(crate) disk: Disk,
    pub(crate) log: EdgeLog,
    pub(crate) workers: usize,
    pub(crate) max_connections: usize,
    pub(crate) origin: Option<String>,
    pub(crate) location: String,
    pub(crate) location_class: PriceClass,
    /// Of hosts that no distribution claims.
    pub(crate) default_distribution: Option<DistributionId>,
    /// PEM file.
    pub(crate) origin_ca: Option<PathBuf>,
    /// What other edges show, for whom this one is a shield.
    pub(crate) shield_token: Option<Secret>,
    pub(crate) shields: Vec<ShieldAt>,
    pub(crate) buckets: Vec<Bucket>,
}

/// A shield that origins may name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShieldAt {
    pub(crate) name: String,
    /// `host:port`.
    pub(crate) authority: String,
    #[serde(default)]
    pub(crate) tls: bool,
    pub(crate) token: Secret,
}

/// A bucket of S3-compatible storage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    pub(crate) bucket: String,
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret,
    #[serde(default)]
    pub(crate) path_style: bool,
}

impl Edge {
    /// Whether viewers are told to come by HTTPS, and the edge itself has certificates for that: without any it has one for development,
    /// and something else may speak TLS before it.
    pub(crate) fn is_reached_by_https(&self) -> bool {
        let is_public = self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        is_public && !self.tls.listen.0.is_empty() && self.tls.certificates.is_some()
    }
}

/// TLS for viewers.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EdgeTls {
    /// None for no TLS.
    pub(crate) listen: Addresses,
    pub(crate) certificates: Option<CertificateFiles>,
    /// 0 for the port of the first address.
    pub(crate) public_port: u16,
}

/// HTTP/3 for viewers, of a binary that was built with it.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EdgeHttp3 {
    /// UDP addresses; none for no HTTP/3.
    pub(crate) listen: Addresses,
}

impl Default for EdgeHttp3 {
    fn default() -> Self {
        Self { listen: Addresses(Vec::new()) }
    }
}

/// Where certificates are.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a directory, or a list of { certificate = \"FILE\", key = \"FILE\" }")]
pub(crate) enum CertificateFiles {
    Directory(PathBuf),
    Pairs(Vec<CertificateFile>),
}

/// A certificate chain and its key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateFile {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Disk {
    pub(crate) path: Option<PathBuf>,
    /// 0 for no disk tier.
    #[serde(deserialize_with = "size")]
    pub(crate) limit: u64,
    #[serde(deserialize_with = "size")]
    pub(crate) reserve: u64,
}

/// The edge's access log.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EdgeLog {
    /// Without one there is no log.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) format: EdgeLogFormat,
    #[serde(deserialize_with = "size")]
    pub(crate) rotate: u64,
    #[serde(deserialize_with = "size")]
    pub(crate) keep: u64,
}

/// What the access log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EdgeLogFormat {
    /// CloudFront's standard log.
    #[default]
    W3c,
    Json,
    Both,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            listen: Addresses(vec![everywhere(8888)]),
            public_url: None,
            tls: EdgeTls::default(),
            http3: EdgeHttp3::default(),
            domain_suffix: "cdn.localhost".to_owned(),
            memory: 64 << 20,
            disk: Disk::default(),
            log: EdgeLog::default(),
            workers: 0,
            max_connections: 20_000,
            origin: None,
            location: String::new(),
            location_class: PriceClass::Class100,
            default_distribution: None,
            origin_ca: None,
            shield_token: None,
            shields: Vec::new(),
            buckets: Vec::new(),
        }
    }
}

impl Default for EdgeTls {
    fn default() -> Self {
        Self { listen: Addresses(vec![everywhere(8443)]), certificates: None, public_port: 0 }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self { path: None, limit: 10 << 30, reserve: 512 << 20 }
    }
}

impl Default for EdgeLog {
    fn default() -> Self {
        Self { dir: None, format: EdgeLogFormat::W3c, rotate: 64 << 20, keep: 1 << 30 }
    }
}
