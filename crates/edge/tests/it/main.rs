//! The edge by its public face: real connections, a real origin, a clock that the tests set.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod access;
mod caching;
mod disk;
mod fetching;
mod logging;
mod running;
mod support;
mod wire;
