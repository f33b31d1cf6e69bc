//! On demand: files by ffmpeg in, HLS out, and ffprobe, ffmpeg and parsers of others as judges.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod chunks;
mod direct;
mod odd;
mod support;
mod transport;
