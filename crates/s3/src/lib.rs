//! The s3 room: an S3-compatible endpoint over the buckets of the store.
//!
//! In: requests of S3 clients, signed by keys that [`Access`] knows; [`anabranch_store::Buckets`].
//! Out: answers as S3 gives them; objects, durable before they are acknowledged.
//! Never: viewers, who have the edge; keys and who owns them, which the control plane knows; what the bytes mean.
//! Spec: Amazon S3 API 2006-03-01; AWS Signature Version 4; `docs/adr/0020`.

mod access;
mod body;
mod convert;
mod host;
mod house;
mod objects;
mod operations;
mod pages;
mod service;
mod sums;
mod uploads;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::{BindError, Reuse, ServeConfig, Shutdown, bind, serve_http};
use anabranch_store::Buckets;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

pub use access::{Access, AccessError, AccessKey, Grant, Level, Rights};

use access::Guard;
use host::Host;
use house::House;
use service::Handler;

/// Requests of XML that are read into memory, in bytes: ten thousand parts, or a thousand keys to delete.
const MAX_XML_BYTES: usize = 8 * 1024 * 1024;

/// How far a client's clock may be off, as S3 has it.
const MAX_SKEW_SECONDS: u32 = 15 * 60;

/// Bytes of a request head; also what is read from a socket at once.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Where and how the endpoint answers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Host name under which buckets have names of their own (`<bucket>.<domain>`), without port. Path style is always understood.
    pub domain: Option<String>,
    /// Region that is told to clients: lower-case letters, digits and hyphens. Signatures may name any.
    pub region: String,
    /// Buckets that nobody writes to by this endpoint, whatever the key's rights are: those of other rooms.
    pub read_only: BTreeSet<String>,
    /// Largest object, or part of one, in one request, in bytes.
    pub max_body_bytes: u64,
    /// Bodies taken in at once; more are told to come later.
    pub max_uploads: usize,
    /// Connections at once; more wait.
    pub max_connections: usize,
    /// Time without a byte of a body after which the request is given up.
    pub idle: Duration,
}

impl Config {
    /// The usual limits: 5 GiB a request, 64 bodies and 1024 connections at once, 60 s without a byte.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            domain: None,
            region: "us-east-1".to_owned(),
            read_only: BTreeSet::new(),
            max_body_bytes: 5 * 1024 * 1024 * 1024,
            max_uploads: 64,
            max_connections: 1024,
            idle: Duration::from_secs(60),
        }
    }
}

/// The endpoint of one node.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    handler: Handler,
    serve: ServeConfig,
}

impl Endpoint {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(config: Config, buckets: Buckets, access: Arc<dyn Access>) -> Result<Self, BindError> {
        let listener = bind(config.listen, Reuse::Exclusive)?;
        let mut limits = S3Config::default();
        limits.xml_max_body_size = MAX_XML_BYTES;
        limits.presigned_url_max_skew_time_secs = MAX_SKEW_SECONDS;
        let serve = ServeConfig {
            max_connections: config.max_connections,
            max_head_bytes: MAX_HEAD_BYTES,
            ..ServeConfig::default()
        };
        let handler = {
            let mut builder = S3ServiceBuilder::new(House::new(buckets, &config));
            builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
            builder.set_auth(Guard::new(access.clone(), config.read_only.clone()));
            builder.set_access(Guard::new(access, config.read_only.clone()));
            if let Some(domain) = &config.domain {
                builder.set_host(Host::new(domain));
            }
            Handler::new(builder.build(), config.idle, config.region)
        };
        Ok(Self { listener, handler, serve })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then drains. What was acknowledged is durable whenever this ends.
    pub async fn run(self, shutdown: Shutdown) {
        serve_http(self.listener, self.handler, self.serve, shutdown).await;
    }
}
