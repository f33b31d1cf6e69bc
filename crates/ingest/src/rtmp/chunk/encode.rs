//! Messages to chunks.

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, MAX_CHUNK_SIZE};
use crate::rtmp::message::{Message, kind};

/// Cuts messages into chunks: a type 0 chunk, then type 3 chunks to the message's end.
#[derive(Debug)]
pub struct Encoder {
    chunk_size: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder with the chunk size that every connection begins with.
    #[must_use]
    pub fn new() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE }
    }

    /// Announces a chunk size, clamped to 1 to [`MAX_CHUNK_SIZE`], and uses it from then on.
    pub fn set_chunk_size(&mut self, size: usize, out: &mut Vec<u8>) {
        let size = size.clamp(1, MAX_CHUNK_SIZE);
        let announced = u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
        self.encode(2, &Message::new(kind::SET_CHUNK_SIZE, 0, announced.to_vec()), out);
        self.chunk_size = size;
    }

    /// Appends the chunks of `message` on chunk stream `id` (2 to 65599; others are brought into that range).
    /// A body above 2^24 - 1 bytes is cut off there.
    pub fn encode(&self, id: u32, message: &Message, out: &mut Vec<u8>) {
        let id = id.clamp(2, 65_599);
        let body = &message.body[..message.body.len().min(MAX_CHUNK_SIZE)];
        let extended = message.timestamp >= EXTENDED;
        push_basic(0, id, out);
        push_24(if extended { EXTENDED } else { message.timestamp }, out);
        push_24(u32::try_from(body.len()).unwrap_or(EXTENDED), out);
        out.push(message.kind);
        out.extend_from_slice(&message.stream.to_le_bytes());
        for (at, chunk) in body.chunks(self.chunk_size).enumerate() {
            if at > 0 {
                push_basic(3, id, out);
            }
            if extended {
                out.extend_from_slice(&message.timestamp.to_be_bytes());
            }
            out.extend_from_slice(chunk);
        }
        if body.is_empty() && extended {
            out.extend_from_slice(&message.timestamp.to_be_bytes());
        }
    }
}

fn push_basic(format: u8, id: u32, out: &mut Vec<u8>) {
    let format = format << 6;
    match (id, id.wrapping_sub(64).to_le_bytes()) {
        (..=63, _) => out.push(format | id.to_le_bytes()[0]),
        (64..=319, [low, ..]) => out.extend_from_slice(&[format, low]),
        (_, [low, high, ..]) => out.extend_from_slice(&[format | 1, low, high]),
    }
}

fn push_24(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes()[1..]);
}
