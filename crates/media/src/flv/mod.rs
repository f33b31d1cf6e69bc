//! FLV and RTMP message bodies, legacy and Enhanced RTMP (v1 and v2), and `.flv` byte streams.

mod audio;
mod demux;
mod enhanced;
mod file;
mod video;

use std::fmt;

use crate::codec::ConfigError;

pub use demux::{Demuxer, Dropped, TIMESCALE};
pub use file::{FileReader, FileTag, MAX_TAG_BYTES};

/// What an RTMP message or FLV tag carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlvKind {
    /// RTMP message type 8, FLV tag type 8.
    Audio,
    /// RTMP message type 9, FLV tag type 9.
    Video,
}

/// A codec by the name that its header gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecName {
    /// A number of the legacy tables that has a name.
    Legacy(&'static str),
    /// A number without a name.
    Id(u8),
    /// A FourCC of Enhanced RTMP.
    FourCc([u8; 4]),
}

impl fmt::Display for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy(name) => f.write_str(name),
            Self::Id(id) => write!(f, "codec {id}"),
            Self::FourCc(code) => write!(f, "`{}`", code.escape_ascii()),
        }
    }
}

/// Why media of an encoder cannot be read. The session that sent it is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A video codec that is not carried.
    #[error("video codec {codec} is not supported, send H.264, H.265 or AV1")]
    VideoCodec {
        /// The codec that was sent.
        codec: CodecName,
    },
    /// An audio codec that is not carried.
    #[error("audio codec {codec} is not supported, send AAC or Opus")]
    AudioCodec {
        /// The codec that was sent.
        codec: CodecName,
    },
    /// A packet type that is not carried, such as MPEG-2 TS sequence starts.
    #[error("{kind} packet type {packet_type} is not supported, send plain Enhanced RTMP packets")]
    PacketType {
        /// `audio` or `video`.
        kind: &'static str,
        /// The number in the header.
        packet_type: u8,
    },
    /// A message body that ends inside its header.
    #[error("{kind} message ends inside its header: {bytes} bytes")]
    Truncated {
        /// `audio` or `video`.
        kind: &'static str,
        /// Length of the body.
        bytes: usize,
    },
    /// A decoder configuration that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Timestamps jump about, so that nothing playable comes of them.
    #[error("timestamps jump too often: {jumps} times in the last moments")]
    UnstableTime {
        /// Jumps that count against the session.
        jumps: u32,
    },
    /// A byte stream that is not FLV version 1.
    #[error("not an flv stream: it starts with `{}`", start.escape_ascii())]
    NotFlv {
        /// The first bytes.
        start: [u8; 4],
    },
    /// An FLV file header of impossible length.
    #[error("flv header of impossible length: {bytes}")]
    HeaderLength {
        /// The length that it states.
        bytes: u32,
    },
    /// A tag that is encrypted.
    #[error("flv tag is encrypted: byte {offset}")]
    Encrypted {
        /// Where the tag starts in the stream.
        offset: u64,
    },
    /// A tag above [`MAX_TAG_BYTES`].
    #[error("flv tag of {bytes} bytes is too long: byte {offset}")]
    TagLength {
        /// Where the tag starts in the stream.
        offset: u64,
        /// Its length.
        bytes: usize,
    },
}

/// Coded formats that are carried, before their configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    H264,
    H265,
    Av1,
    Aac,
    Opus,
}

/// What one message says of track 0.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Packet {
    /// A decoder configuration.
    Config(Format, bytes::Bytes),
    /// One access unit. Composition time in milliseconds.
    Coded { format: Format, composition_ms: i32, keyframe: bool, data: bytes::Bytes },
}
