//! Chunks to messages.

use bytes::Bytes;

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, MAX_CHUNK_SIZE, MAX_CHUNK_STREAMS, MAX_PARTIAL_BYTES, MAX_PARTIAL_MESSAGES};
use crate::rtmp::message::{self, MAX_COMMAND_BYTES, Message, kind};

/// Basic header 3, message header 11, extended timestamp 4 (§5.3.1).
const MAX_HEADER: usize = 3 + 11 + 4;

/// First room of a message's body; it grows with the bytes that arrive, not with the length that is stated.
const FIRST_ROOM: usize = 64 * 1024;

/// Why chunks cannot be decoded. The connection cannot go on after any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A chunk builds upon a header that was never sent.
    #[error("first chunk on chunk stream {stream} has no full header: type {format}")]
    NoHeader {
        /// Chunk stream id.
        stream: u32,
        /// Chunk type, 2 or 3.
        format: u8,
    },
    /// A new message begins before the last one on the chunk stream ended.
    #[error("message on chunk stream {0} begins before the last one ended")]
    Interrupted(u32),
    /// A message is longer than its type may be.
    #[error("message of type {kind} is too long: {len} bytes, limit {limit}")]
    TooLong {
        /// Message type id.
        kind: u8,
        /// Stated length.
        len: usize,
        /// Limit that holds now.
        limit: usize,
    },
    /// More than [`MAX_PARTIAL_MESSAGES`] unfinished messages.
    #[error("more than {MAX_PARTIAL_MESSAGES} messages are unfinished at once")]
    TooManyPartial,
    /// More than [`MAX_PARTIAL_BYTES`] in unfinished messages.
    #[error("unfinished messages hold more than {MAX_PARTIAL_BYTES} bytes")]
    TooManyPartialBytes,
    /// More than [`MAX_CHUNK_STREAMS`] chunk streams.
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams are in use")]
    TooManyStreams,
    /// Set Chunk Size or Abort whose body is too short or whose value is not allowed.
    #[error("protocol control message of type {0} is malformed")]
    Control(u8),
}

/// Turns chunks into messages. Set Chunk Size and Abort are obeyed and not passed on.
#[derive(Debug)]
pub struct Decoder {
    chunk_size: usize,
    media: MediaLimit,
    streams: Vec<ChunkStream>,
    partial_messages: usize,
    partial_bytes: usize,
    header: Header,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MediaLimit {
    /// Every message is held to the limit of commands.
    AsCommands,
    /// By message type.
    ByKind,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between chunks, or in a chunk's header.
    Header,
    /// In a chunk's payload: index of its chunk stream and bytes still to come.
    Payload { index: usize, left: usize },
}

/// A chunk header as far as it came.
#[derive(Debug, Default)]
struct Header {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

/// What later chunks of a chunk stream build upon, and its unfinished message.
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    /// Value of the last time field: absolute for type 0, a difference otherwise (§5.3.1.2.4).
    field: u32,
    extended: bool,
    timestamp: u32,
    len: usize,
    kind: u8,
    stream: u32,
    partial: Option<Vec<u8>>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that takes no message above [`MAX_COMMAND_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            media: MediaLimit::AsCommands,
            streams: Vec::new(),
            partial_messages: 0,
            partial_bytes: 0,
            header: Header::default(),
            state: State::Header,
        }
    }

    /// From now on audio and video messages may be as long as [`message::max_bytes`] says.
    pub fn allow_media(&mut self) {
        self.media = MediaLimit::ByKind;
    }

    /// Reads from `input` up to the end of the next message; `None` when `input` ran out before.
    ///
    /// # Errors
    /// The peer breaks the protocol or a limit.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let (index, left) = match self.state {
                State::Payload { index, left } => (index, left),
                State::Header => match self.begin_chunk(input)? {
                    Some(chunk) => chunk,
                    None => return Ok(None),
                },
            };
            let taken = left.min(input.len());
            self.append(index, &input[..taken])?;
            *input = &input[taken..];
            if taken < left {
                self.state = State::Payload { index, left: left - taken };
                return Ok(None);
            }
            self.state = State::Header;
            if let Some(message) = self.finish(index)
                && !self.obey(&message)?
            {
                return Ok(Some(message));
            }
        }
    }

    /// Reads a chunk header to its end: the chunk stream's index and the chunk's payload length.
    fn begin_chunk(&mut self, input: &mut &[u8]) -> Result<Option<(usize, usize)>, ChunkError> {
        loop {
            let needed = self.header.needed(|id| self.streams.iter().any(|stream| stream.id == id && stream.extended));
            if self.header.len >= needed {
                break;
            }
            if !self.header.fill(needed, input) {
                return Ok(None);
            }
        }
        let header = std::mem::take(&mut self.header);
        let index = self.index_of(&header)?;
        let limits = self.media;
        let stream = &mut self.streams[index];
        stream.update(&header)?;
        if stream.partial.is_none() {
            let by_kind = message::max_bytes(stream.kind);
            let limit = if limits == MediaLimit::ByKind { by_kind } else { MAX_COMMAND_BYTES };
            if stream.len > limit {
                return Err(ChunkError::TooLong { kind: stream.kind, len: stream.len, limit });
            }
            if self.partial_messages == MAX_PARTIAL_MESSAGES {
                return Err(ChunkError::TooManyPartial);
            }
            self.partial_messages += 1;
            stream.partial = Some(Vec::new());
        }
        let received = stream.partial.as_ref().map_or(0, Vec::len);
        Ok(Some((index, (stream.len - received).min(self.chunk_size))))
    }

    fn index_of(&mut self, header: &Header) -> Result<usize, ChunkError> {
        let (id, format) = (header.stream(), header.format());
        if let Some(index) = self.streams.iter().position(|stream| stream.id == id) {
            return Ok(index);
        }
        // Type 1 is let through: librtmp opens a chunk stream with it, leaving the message stream at 0.
        if format > 1 {
            return Err(ChunkError::NoHeader { stream: id, format });
        }
        if self.streams.len() == MAX_CHUNK_STREAMS {
            return Err(ChunkError::TooManyStreams);
        }
        self.streams.push(ChunkStream {
            id,
            field: 0,
            extended: false,
            timestamp: 0,
            len: 0,
            kind: 0,
            stream: 0,
            partial: None,
        });
        Ok(self.streams.len() - 1)
    }

    fn append(&mut self, index: usize, bytes: &[u8]) -> Result<(), ChunkError> {
        self.partial_bytes += bytes.len();
        if self.partial_bytes > MAX_PARTIAL_BYTES {
            return Err(ChunkError::TooManyPartialBytes);
        }
        let stream = &mut self.streams[index];
        if let Some(partial) = &mut stream.partial {
            if partial.capacity() - partial.len() < bytes.len() {
                // Doubling, but never past the message: the body that goes on has no spare room.
                let room = bytes.len().max(partial.len()).max(FIRST_ROOM);
                partial.reserve_exact(room.min(stream.len - partial.len()));
            }
            partial.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// The message of the chunk stream, when it is whole.
    fn finish(&mut self, index: usize) -> Option<Message> {
        let stream = &mut self.streams[index];
        let body = stream.partial.take_if(|partial| partial.len() == stream.len)?;
        self.partial_messages -= 1;
        self.partial_bytes -= body.len();
        Some(Message { kind: stream.kind, timestamp: stream.timestamp, stream: stream.stream, body: Bytes::from(body) })
    }

    /// Obeys the messages that change decoding itself; false for all others.
    fn obey(&mut self, message: &Message) -> Result<bool, ChunkError> {
        if message.kind != kind::SET_CHUNK_SIZE && message.kind != kind::ABORT {
            return Ok(false);
        }
        let number = message.body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let number = number.ok_or(ChunkError::Control(message.kind))?;
        if message.kind == kind::SET_CHUNK_SIZE {
            // The top bit must be 0 (§5.4.1).
            if number == 0 || number > i32::MAX as u32 {
                return Err(ChunkError::Control(message.kind));
            }
            self.chunk_size = (number as usize).min(MAX_CHUNK_SIZE);
        } else if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == number)
            && let Some(partial) = stream.partial.take()
        {
            self.partial_messages -= 1;
            self.partial_bytes -= partial.len();
        }
        Ok(true)
    }
}

impl Header {
    /// Moves bytes from `input` until `needed` are here; false when `input` ran out before.
    fn fill(&mut self, needed: usize, input: &mut &[u8]) -> bool {
        let taken = input.len().min(needed - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&input[..taken]);
        self.len += taken;
        *input = &input[taken..];
        self.len >= needed
    }

    /// Bytes that the header has, as far as what is here tells.
    fn needed(&self, extends: impl Fn(u32) -> bool) -> usize {
        if self.len == 0 {
            return 1;
        }
        let basic = self.basic_len();
        if self.len < basic {
            return basic;
        }
        let fixed = basic + self.message_len();
        if self.len < fixed {
            return fixed;
        }
        let extended = if self.format() == 3 { extends(self.stream()) } else { self.time_field() == EXTENDED };
        if extended { fixed + 4 } else { fixed }
    }

    fn format(&self) -> u8 {
        self.bytes[0] >> 6
    }

    /// §5.3.1.1: ids 64 to 319 take two bytes, up to 65599 three.
    fn basic_len(&self) -> usize {
        match self.bytes[0] & 0x3F {
            0 => 2,
            1 => 3,
            _ => 1,
        }
    }

    fn stream(&self) -> u32 {
        match self.bytes[0] & 0x3F {
            0 => u32::from(self.bytes[1]) + 64,
            1 => u32::from(self.bytes[2]) * 256 + u32::from(self.bytes[1]) + 64,
            id => u32::from(id),
        }
    }

    fn message_len(&self) -> usize {
        [11, 7, 3, 0][usize::from(self.format())]
    }

    /// The message header: time 3, length 3, type 1, message stream 4 (little endian), cut short by chunk type.
    fn message(&self) -> &[u8] {
        &self.bytes[self.basic_len()..]
    }

    fn time_field(&self) -> u32 {
        let field = self.message();
        u32::from_be_bytes([0, field[0], field[1], field[2]])
    }

    fn extended_time(&self) -> u32 {
        let field = &self.message()[self.message_len()..];
        u32::from_be_bytes([field[0], field[1], field[2], field[3]])
    }
}

impl ChunkStream {
    fn update(&mut self, header: &Header) -> Result<(), ChunkError> {
        let format = header.format();
        if self.partial.is_some() {
            return if format == 3 { Ok(()) } else { Err(ChunkError::Interrupted(self.id)) };
        }
        if format < 3 {
            let field = header.time_field();
            self.extended = field == EXTENDED;
            self.field = if self.extended { header.extended_time() } else { field };
        }
        if format < 2 {
            let rest = header.message();
            self.len = u32::from_be_bytes([0, rest[3], rest[4], rest[5]]) as usize;
            self.kind = rest[6];
        }
        if format == 0 {
            let rest = header.message();
            self.stream = u32::from_le_bytes([rest[7], rest[8], rest[9], rest[10]]);
            self.timestamp = self.field;
        } else {
            self.timestamp = self.timestamp.wrapping_add(self.field);
        }
        Ok(())
    }
}
