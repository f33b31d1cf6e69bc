//! The ingest through its public face: real sockets, real ffmpeg.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod allow;
mod bad_input;
mod encoder;
mod feeds;
mod harness;
mod live;
mod takeover;
