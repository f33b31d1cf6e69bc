//! The edge by its public face: real connections, a real origin, a clock that the tests set.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod access;
mod caching;
mod crowd;
mod disk;
mod faults;
mod fetching;
#[cfg(feature = "http3")]
mod http3;
mod logging;
mod origins;
mod raw_h2;
mod raw_origin;
mod running;
mod secure;
mod support;
mod tls;
mod wire;
