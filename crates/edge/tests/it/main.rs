//! The edge by its public face: real connections, a real origin, a clock that the tests set.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod access;
mod attendance;
mod audience;
mod caching;
mod closed;
mod crowd;
mod disk;
mod faults;
mod fetching;
mod groups;
mod handed;
mod held;
mod http2;
#[cfg(feature = "http3")]
mod http3;
mod invalidation;
mod logging;
mod methods;
mod origins;
mod pages;
mod policies;
mod raw_h2;
mod raw_origin;
mod running;
mod secure;
mod shield;
mod support;
mod telling;
mod tls;
mod variants;
mod wire;
