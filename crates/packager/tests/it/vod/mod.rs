//! On demand: files by ffmpeg in, HLS out, and ffprobe, ffmpeg and parsers of others as judges.

mod chunks;
mod direct;
mod odd;
mod support;
mod transport;
