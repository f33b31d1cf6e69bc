//! What an edge is told once, at its start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anabranch_model::DistributionId;
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
    /// Name of this node in reports.
    pub node: String,
    /// Distribution of hosts that nobody claims; without it they get 421.
    pub default_distribution: Option<DistributionId>,
    /// Body transforms that behaviors may name.
    pub transforms: Transforms,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            tls: None,
            workers: 1,
            cache_bytes: 512 << 20,
            origin_room: None,
            max_connections: 16_384,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            max_head_bytes: 32 << 10,
            max_object_bytes: 256 << 20,
            node: "edge".to_owned(),
            default_distribution: None,
            transforms: Transforms::default(),
        }
    }
}

/// How an edge listens with TLS: 1.3 and 1.2, HTTP/2 and HTTP/1.1 by ALPN.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Addresses, as [`Config::listen`].
    pub listen: Vec<SocketAddr>,
    /// Certificates; the edge reads changed files while it runs.
    pub certificates: Arc<Certificates>,
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

/// What is done to bodies between cache and viewer, given by the binary, so that the edge knows no media.
#[derive(Clone, Copy, Debug)]
pub struct Transforms {
    /// Gives the playlist `body` with the signature parameters `query` (raw, without `?`) on each of its relative URIs.
    pub signed_playlist: fn(body: &[u8], query: &str) -> Vec<u8>,
}

impl Default for Transforms {
    fn default() -> Self {
        Self { signed_playlist: |body, _| body.to_vec() }
    }
}
