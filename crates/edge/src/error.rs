//! Why an edge cannot start.

use std::io;

use anabranch_net::{BindError, TlsError};

use crate::access_log::AccessLogError;
use crate::upstream::TrustError;

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The configuration names no address.
    #[error("no address to listen on")]
    NoAddress,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate authorities of origins cannot be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Another process uses the directory of the disk tier. One that cannot be written stops no start: everything is kept in memory
    /// until it can.
    #[error(transparent)]
    Cache(io::Error),
    /// The access log cannot be kept.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// An address of HTTP/3 is configured, and this binary was built without it.
    #[error("this binary has no http/3: build it with the feature `http3`, or configure no address for it")]
    NoHttp3,
    /// A listener, runtime or thread cannot be made.
    #[error("cannot prepare a serving thread")]
    Prepare(#[source] io::Error),
}
