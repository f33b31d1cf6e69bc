//! The media room: samples, tracks, media time, codec configuration, reading of FLV and MP4, writing of fragmented MP4 and MPEG-TS.
//!
//! In: bytes of RTMP messages, of FLV files or of boxes of MP4 files; samples to be written.
//! Out: [`Event`]s (tracks and samples), where samples of MP4 files lie, CMAF init and media segments, transport streams, silent frames.
//! Never: sockets, files, clocks. Cutting into segments lives in `packager`; sessions live in `ingest`.
//! Spec: ISO/IEC 14496-12 (boxes), 14496-15 (NAL in MP4), 23000-19 (CMAF), 13818-1 (MPEG-TS), Enhanced RTMP v2.

mod bits;
mod codec;
pub mod flv;
pub mod fmp4;
pub mod mp4;
mod sample;
pub mod silence;
pub mod time;
pub mod ts;

pub use codec::opus::packet_samples as opus_packet_samples;
pub use codec::{ConfigError, ConfigFault, MAX_CONFIG_BYTES, MAX_PICTURE_SIDE};
pub use sample::{Arrival, Codec, Event, Sample, Track, TrackKind};
