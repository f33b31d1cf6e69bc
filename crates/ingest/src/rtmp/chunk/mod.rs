//! The RTMP chunk stream (RTMP 1.0 §5.3): messages cut into chunks, interleaved over chunk streams.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{ChunkError, Decoder};
pub use encode::Encoder;

/// Chunk size of both directions until Set Chunk Size says otherwise (§5.4.1), in bytes.
pub const DEFAULT_CHUNK_SIZE: usize = 128;

/// Largest chunk size that makes a difference: a message has at most 24 bits of length (§5.4.1).
pub const MAX_CHUNK_SIZE: usize = 0xFF_FFFF;

/// Chunk streams that may have an unfinished message at once.
pub const MAX_PARTIAL_MESSAGES: usize = 16;

/// Bytes of all unfinished messages of a connection together.
pub const MAX_PARTIAL_BYTES: usize = 6 * 1024 * 1024;

/// Chunk streams whose last header is remembered.
pub const MAX_CHUNK_STREAMS: usize = 64;

/// Value of the 24-bit time field that says that the extended time follows (§5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;
