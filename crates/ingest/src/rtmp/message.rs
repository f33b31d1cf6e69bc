//! RTMP messages: their types and limits (RTMP 1.0 §6 and §7.1).

use bytes::Bytes;

/// Largest audio, video or aggregate message, in bytes.
pub const MAX_MEDIA_BYTES: usize = 4 * 1024 * 1024;

/// Largest message of any other kind, and of every kind before publishing begins, in bytes.
pub const MAX_COMMAND_BYTES: usize = 64 * 1024;

/// Messages inside one aggregate message.
pub const MAX_AGGREGATE_PARTS: usize = 4096;

/// Message type ids (§5.4, §6.2, §7.1).
pub mod kind {
    /// Set Chunk Size (§5.4.1).
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message (§5.4.2).
    pub const ABORT: u8 = 2;
    /// Acknowledgement (§5.4.3).
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Message (§6.2).
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size (§5.4.4).
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth (§5.4.5).
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio Message (§7.1.4).
    pub const AUDIO: u8 = 8;
    /// Video Message (§7.1.5).
    pub const VIDEO: u8 = 9;
    /// Data Message in AMF3 (§7.1.2).
    pub const DATA_AMF3: u8 = 15;
    /// Command Message in AMF3 (§7.1.1).
    pub const COMMAND_AMF3: u8 = 17;
    /// Data Message in AMF0 (§7.1.2).
    pub const DATA_AMF0: u8 = 18;
    /// Command Message in AMF0 (§7.1.1).
    pub const COMMAND_AMF0: u8 = 20;
    /// Aggregate Message (§7.1.6).
    pub const AGGREGATE: u8 = 22;
}

/// A whole RTMP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One of [`kind`], or a number that RTMP does not know.
    pub kind: u8,
    /// Milliseconds on the sender's clock; wraps after 2^32.
    pub timestamp: u32,
    /// Message stream: 0 for the connection, else what createStream answered.
    pub stream: u32,
    /// Payload.
    pub body: Bytes,
}

impl Message {
    /// A message with timestamp 0, as servers send them.
    #[must_use]
    pub fn new(kind: u8, stream: u32, body: impl Into<Bytes>) -> Self {
        Self { kind, timestamp: 0, stream, body: body.into() }
    }
}

/// The most bytes a message of this type may have once the peer publishes.
#[must_use]
pub fn max_bytes(kind: u8) -> usize {
    match kind {
        kind::AUDIO | kind::VIDEO | kind::AGGREGATE => MAX_MEDIA_BYTES,
        _ => MAX_COMMAND_BYTES,
    }
}

/// Why an aggregate message cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// It ends inside a message.
    #[error("aggregate message is cut off at byte {0}")]
    Truncated(usize),
    /// It holds more than [`MAX_AGGREGATE_PARTS`].
    #[error("aggregate message holds more than {MAX_AGGREGATE_PARTS} messages")]
    Count,
}

/// Bytes of the header of a message in an aggregate: type 1, size 3, time 3, time above 24 bits 1, stream 3.
const PART_HEADER: usize = 11;

/// Bytes of the back pointer after each message in an aggregate.
const BACK_POINTER: usize = 4;

/// Takes an aggregate message apart (§7.1.6). Times are shifted so that the first part has the aggregate's own.
///
/// # Errors
/// It is cut off or holds too many messages.
pub fn split_aggregate(aggregate: &Message) -> Result<Vec<Message>, AggregateError> {
    let (body, mut parts, mut at, mut shift) = (&aggregate.body, Vec::new(), 0, None);
    while at < body.len() {
        if parts.len() == MAX_AGGREGATE_PARTS {
            return Err(AggregateError::Count);
        }
        let &[kind, s2, s1, s0, t2, t1, t0, t3, _, _, _] =
            body[at..].first_chunk::<PART_HEADER>().ok_or(AggregateError::Truncated(at))?;
        let len = u32::from_be_bytes([0, s2, s1, s0]) as usize;
        let time = u32::from_be_bytes([t3, t2, t1, t0]);
        let shift = *shift.get_or_insert_with(|| aggregate.timestamp.wrapping_sub(time));
        let (from, to) = (at + PART_HEADER, at + PART_HEADER + len);
        if to > body.len() {
            return Err(AggregateError::Truncated(at));
        }
        let timestamp = time.wrapping_add(shift);
        parts.push(Message { kind, timestamp, stream: aggregate.stream, body: body.slice(from..to) });
        // Some encoders leave the last back pointer out.
        at = to + BACK_POINTER;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let [t3, t2, t1, t0] = time.to_be_bytes();
        let mut bytes = vec![kind, 0, 0, u8::try_from(body.len()).unwrap(), t2, t1, t0, t3, 0, 0, 0];
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&u32::try_from(11 + body.len()).unwrap().to_be_bytes());
        bytes
    }

    #[test]
    fn parts_keep_their_distance_in_time() {
        let body = [part(8, 0x0100_0000, b"a"), part(9, 0x0100_0028, b"bc")].concat();
        let whole = Message { kind: 22, timestamp: 1000, stream: 1, body: body.into() };
        let parts = split_aggregate(&whole).unwrap();
        let seen: Vec<_> = parts.iter().map(|part| (part.kind, part.timestamp, &part.body[..])).collect();
        assert_eq!(seen, [(8, 1000, &b"a"[..]), (9, 1040, &b"bc"[..])]);
    }

    #[test]
    fn a_cut_off_aggregate_is_refused() {
        let body = part(8, 0, b"abc");
        let cut = Message::new(22, 1, body[..13].to_vec());
        assert_eq!(split_aggregate(&cut), Err(AggregateError::Truncated(0)));
        let many = Message::new(22, 1, part(8, 0, b"").repeat(MAX_AGGREGATE_PARTS + 1));
        assert_eq!(split_aggregate(&many), Err(AggregateError::Count));
    }
}
