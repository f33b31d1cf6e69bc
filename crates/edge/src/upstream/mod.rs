//! The client side: what is asked of origins, over connections that each worker keeps for reuse.
//!
//! [`Upstream`] is an origin, compiled from its specification; [`Ask`] a request; [`Pool`] puts the one to the other and gives an
//! [`Answer`], whose framing has been checked, or a [`Failure`].

mod answer;
mod compile;
mod connect;
mod dns;
mod failure;
mod fields;
mod pool;
mod sigv4;
mod trust;
mod upload;
mod way;

#[cfg(test)]
#[path = "../../tests/it/raw_origin.rs"]
#[allow(unreachable_pub, missing_docs)]
mod raw_origin;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use answer::Answer;
pub(crate) use compile::Upstream;
pub(crate) use failure::Failure;
pub(crate) use pool::Pool;
pub(crate) use trust::Trust;
pub use trust::TrustError;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::request::Scheme;

/// A request to an origin.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query as the viewer's key and the policies make it, beginning with `/`, without the origin's own prefix.
    pub(crate) target: String,
    /// Without `Host` unless the viewer's is forwarded, and without hop-by-hop fields.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the viewer spoke.
    pub(crate) scheme: Scheme,
}
