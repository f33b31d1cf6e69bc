//! The media room against ffmpeg: what it writes is demuxed and packaged here, and read back by ffprobe and ffmpeg.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod enhanced;
mod legacy;
mod silent;
mod tools;
