//! Watches against real listeners, in real time: segments of one second.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod sinks;
mod streams;
mod support;
