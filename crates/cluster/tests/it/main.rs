//! Watches against real listeners, in real time: segments of one second.

mod sinks;
mod streams;
mod support;
