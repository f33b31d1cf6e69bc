//! The values that flow from every ingest to the packager.

use std::sync::Arc;

use bytes::Bytes;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Coding format with its decoder configuration, as the sample entry of an init section needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `avcC`: AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1), samples length-prefixed.
    H264(Bytes),
    /// `hvcC`: HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1), samples length-prefixed.
    H265(Bytes),
    /// `av1C`: AV1CodecConfigurationRecord (AV1-ISOBMFF §2.3), samples are temporal units without delimiters.
    Av1(Bytes),
    /// AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), samples are raw access units.
    Aac(Bytes),
    /// The body of an `OpusHead` or of a `dOps` box, normalised to `dOps` (big endian, version 0); samples are packets.
    Opus(Bytes),
    /// `dac3` (ETSI TS 102 366 §F.4), samples are sync frames.
    Ac3(Bytes),
    /// `dec3` (ETSI TS 102 366 §F.6), samples are the sync frames of one presentation time.
    Eac3(Bytes),
}

/// One elementary stream and what a player must know to decode it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Picture or sound.
    pub kind: TrackKind,
    /// Units per second of the `dts` and `pts` of this track's samples; above zero.
    pub timescale: u32,
    /// Coding format and decoder configuration.
    pub codec: Codec,
    /// RFC 6381 `codecs` value, such as `avc1.64001f`.
    pub codecs: String,
    /// Displayed width in pixels after cropping; 0 for sound.
    pub width: u32,
    /// Displayed height in pixels after cropping; 0 for sound.
    pub height: u32,
    /// Samples per second; 0 for pictures.
    pub sample_rate: u32,
    /// Channel count; 0 for pictures.
    pub channels: u32,
    /// Sound samples in one access unit (1024 for AAC-LC, 960 for 20 ms Opus); 0 for pictures or when it varies.
    pub frame_samples: u32,
}

/// One access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Track that the sample belongs to; a session has at most one track of each kind.
    pub kind: TrackKind,
    /// Decoding time in the track's timescale, never going back within a session.
    pub dts: i64,
    /// Presentation time in the track's timescale, at or after `dts`.
    pub pts: i64,
    /// Whether decoding may start here; always true for sound.
    pub keyframe: bool,
    /// The coded bytes.
    pub data: Bytes,
}

/// What an ingest session says, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A track begins, or its configuration changes from the next sample on.
    Track(Arc<Track>),
    /// One access unit of a track that was announced.
    Sample(Sample),
    /// Time jumped: samples after this do not continue the time of those before it.
    Discontinuity,
}

/// An event with the time of day at which it came: samples may have waited before they are handed on.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// What came.
    pub event: Event,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}
