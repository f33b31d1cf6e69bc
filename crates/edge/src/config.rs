//! What an edge is told once, at its start.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anabranch_model::{DistributionId, SpoolId};
use anabranch_net::Certificates;

/// Node configuration of an edge. What it serves comes by the snapshot.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on without TLS; port 0 lets the system choose. `[::]` takes IPv6 only, so that it can stand beside
    /// `0.0.0.0`.
    pub listen: Vec<SocketAddr>,
    /// Listening with TLS.
    pub tls: Option<Tls>,
    /// Threads that serve, each with a listener of its own on every address; at least 1.
    pub workers: usize,
    /// Limit of the memory tier, heads and bodies.
    pub cache_bytes: u64,
    /// The disk tier; without it everything is kept in memory only.
    pub disk: Option<DiskConfig>,
    /// Where `Origin::Live` requests go; without it they are answered 502.
    pub origin_room: Option<OriginRoom>,
    /// Viewer connections served at once, over all workers; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// Time for a request head to arrive once it has begun, for the first one to begin, and for the handshake of TLS; also the
    /// longest pause in a request's body.
    pub header_timeout: Duration,
    /// Time that a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Time that a viewer may take no byte of a response.
    pub write_timeout: Duration,
    /// Time for open responses to end after shutdown begins.
    pub drain_timeout: Duration,
    /// Largest request head.
    pub max_head_bytes: usize,
    /// Largest body that is taken from an origin.
    pub max_object_bytes: u64,
    /// Largest body of a viewer's request.
    pub max_request_body_bytes: u64,
    /// Port that viewers are sent to for HTTPS; 0 for the one that is listened on with TLS.
    pub https_port: u16,
    /// Secret by which other edges show themselves, for whom this one is the shield.
    pub shield_token: Option<String>,
    /// Name of this node in reports.
    pub node: String,
    /// Name of the edge location, for viewers and the access log; the node's if it is empty.
    pub location: String,
    /// Distribution of hosts that nobody claims; without it they get 421.
    pub default_distribution: Option<DistributionId>,
    /// Body transforms that behaviors may name.
    pub transforms: Transforms,
    /// The access log; without it answers are only counted.
    pub access_log: Option<AccessLogConfig>,
    /// Where counts are kept until they are reported; without it a process that is killed loses those of its last seconds.
    pub journal: Option<JournalConfig>,
    /// Certificate authorities, as PEM, that origins may be certified by besides those that browsers believe.
    pub origin_ca: Option<PathBuf>,
    /// Buckets of S3-compatible storage. Others are in the house's own store, behind the origin room.
    pub buckets: Vec<S3Bucket>,
    /// Shields by name: origins that name one are asked there.
    pub shields: BTreeMap<String, Shield>,
}

impl Config {
    /// What viewers and the access log are told of where this is.
    pub(crate) fn place(&self) -> &str {
        if self.location.is_empty() { &self.node } else { &self.location }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            tls: None,
            workers: 1,
            cache_bytes: 512 << 20,
            disk: None,
            origin_room: None,
            max_connections: 16_384,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            max_head_bytes: 32 << 10,
            max_object_bytes: 256 << 20,
            max_request_body_bytes: 16 << 20,
            https_port: 0,
            shield_token: None,
            node: "edge".to_owned(),
            location: String::new(),
            default_distribution: None,
            transforms: Transforms::default(),
            access_log: None,
            journal: None,
            origin_ca: None,
            buckets: Vec::new(),
            shields: BTreeMap::new(),
        }
    }
}

/// How an edge listens with TLS: 1.3 and 1.2, HTTP/2 and HTTP/1.1 by ALPN.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Addresses, as [`Config::listen`].
    pub listen: Vec<SocketAddr>,
    /// UDP addresses of HTTP/3, which needs the feature `http3`; served by the first thread.
    pub http3: Vec<SocketAddr>,
    /// Certificates; the edge reads changed files while it runs.
    pub certificates: Arc<Certificates>,
}

/// Where and how much the disk tier may keep.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Directory for this edge alone, made if it is missing. Files in it that the edge has not made are left alone.
    pub dir: PathBuf,
    /// Limit of all files together.
    pub limit_bytes: u64,
    /// Space of the file system that the tier never uses; it shrinks to keep it free.
    pub reserve_bytes: u64,
    /// Bodies longer than this are written to disk while they come and sent from there; shorter ones are kept in memory, and
    /// on disk besides if they last.
    pub file_from_bytes: u64,
}

impl DiskConfig {
    /// The defaults for a directory: 10 GiB, with 512 MiB of the file system left free, bodies over 32 KiB as files.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, limit_bytes: 10 << 30, reserve_bytes: 512 << 20, file_from_bytes: 32 << 10 }
    }
}

/// The origin room of the house and the secret that it asks for.
#[derive(Clone)]
pub struct OriginRoom {
    /// `host:port`.
    pub authority: String,
    /// Value of `x-anabranch-origin-token`.
    pub token: String,
}

impl fmt::Debug for OriginRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginRoom").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A bucket of S3-compatible storage and the right to read it.
#[derive(Clone)]
pub struct S3Bucket {
    /// Name, as distributions give it.
    pub bucket: String,
    /// URL of the service without a path, as in `https://s3.eu-central-1.amazonaws.com`.
    pub endpoint: String,
    /// Region that signatures name.
    pub region: String,
    /// Name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// Whether the bucket stands in the path and not in the host name.
    pub path_style: bool,
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("S3Bucket");
        shown.field("bucket", &self.bucket).field("endpoint", &self.endpoint).field("region", &self.region);
        shown.field("access_key_id", &self.access_key_id).field("path_style", &self.path_style).finish_non_exhaustive()
    }
}

/// An edge that stands before origins.
#[derive(Clone)]
pub struct Shield {
    /// `host:port`, or `host` for the scheme's own port.
    pub authority: String,
    /// Whether it is asked by HTTPS; its certificate must be valid for the host of `authority`.
    pub tls: bool,
    /// Value of `x-anabranch-shield`.
    pub token: String,
}

impl fmt::Debug for Shield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("authority", &self.authority).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Where counts are kept until they are reported.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Directory for this edge alone, made if it is missing.
    pub dir: PathBuf,
    /// Its name in reports.
    pub id: SpoolId,
    /// Number of the first file: greater than that of any that was ever reported.
    pub first: u64,
}

/// Where the access log goes and how much of it is kept.
#[derive(Clone, Debug)]
pub struct AccessLogConfig {
    /// Directory for this edge alone, made if it is missing; each distribution has one within. Files in it that the edge has not
    /// made are left alone.
    pub dir: PathBuf,
    /// What is written.
    pub format: AccessLogFormat,
    /// Bytes after which a file is closed and compressed; at the end of an hour each is.
    pub rotate_bytes: u64,
    /// Limit of all files together; the oldest go first, those being written never.
    pub keep_bytes: u64,
}

impl AccessLogConfig {
    /// The defaults for a directory: CloudFront's format, files of 64 MiB, 1 GiB of them.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, format: AccessLogFormat::default(), rotate_bytes: 64 << 20, keep_bytes: 1 << 30 }
    }
}

/// Formats of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// CloudFront's standard log: W3C extended log format, 33 fields, in `.log` files.
    #[default]
    W3c,
    /// A JSON object a line with names of our own, in `.jsonl` files.
    Json,
    /// Both, in files of their own.
    Both,
}

/// What is done to bodies between cache and viewer, given by the binary, so that the edge knows no media.
#[derive(Clone, Copy, Debug)]
pub struct Transforms {
    /// Begins a playlist whose URIs carry what it is told.
    pub signed_playlist: fn(&Carried<'_>) -> Box<dyn Rewriting>,
}

/// What the URIs of a playlist carry: raw queries without `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried<'a> {
    /// Of playlists.
    pub playlists: &'a str,
    /// Of everything else.
    pub others: &'a str,
    /// Host, perhaps with a port, that the viewer asked: its absolute URIs count too.
    pub authority: &'a str,
    /// Other hosts, each perhaps with a port, whose absolute URIs count as well.
    pub signed_hosts: &'a [String],
}

/// A body that is rewritten as it comes.
pub trait Rewriting: Debug + Send {
    /// Takes more of the body, cut anywhere, and writes what is ready to `out`, until that has `enough` bytes. Returns how many bytes
    /// it has taken: all, if `out` has not got enough; nothing if the body cannot be rewritten.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, enough: usize) -> Option<usize>;

    /// The body has ended: writes the rest.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// Leaves a body as it is.
#[derive(Debug)]
struct Unchanged;

impl Rewriting for Unchanged {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, _: usize) -> Option<usize> {
        out.extend_from_slice(bytes);
        Some(bytes.len())
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

impl Default for Transforms {
    fn default() -> Self {
        Self { signed_playlist: |_| Box::new(Unchanged) }
    }
}
