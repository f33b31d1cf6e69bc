//! What a publishing server says.

use super::amf0::{Value, encode_all};
use super::chunk::Encoder;
use super::message::{Message, kind};

/// Chunk size of what we send, in bytes: every answer fits in one chunk.
const CHUNK_SIZE: usize = 4096;

/// Window after which the peer acknowledges and within which it is told to stay, in bytes.
const WINDOW: u32 = 2_500_000;

/// Limit type "dynamic" of Set Peer Bandwidth (§5.4.5).
const LIMIT_DYNAMIC: u8 = 2;

/// Message stream that createStream answers; a connection publishes once.
pub(super) const STREAM: u32 = 1;

/// `CanForward` of an Enhanced RTMP FourCcInfoMask: packaged, never decoded.
const CAN_FORWARD: f64 = 4.0;

/// `ModEx` preludes are understood; neither reconnect requests nor several tracks of a kind are.
const CAPS_EX: f64 = 4.0;

const VIDEO_FOURCC: [&str; 3] = ["avc1", "hvc1", "av01"];
const AUDIO_FOURCC: [&str; 2] = ["mp4a", "Opus"];

/// User control events (§7.1.7).
const STREAM_BEGIN: u16 = 0;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// Severity of an onStatus or connect information object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Status,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Error => "error",
        }
    }
}

/// Encodes answers onto the outgoing chunk stream.
#[derive(Debug, Default)]
pub(super) struct Speaker {
    encoder: Encoder,
}

impl Speaker {
    fn control(&self, kind: u8, body: &[u8], out: &mut Vec<u8>) {
        self.encoder.encode(2, &Message::new(kind, 0, body.to_vec()), out);
    }

    fn command(&self, stream: u32, values: &[Value], out: &mut Vec<u8>) {
        // Answers of the connection and of the stream go on chunk streams 3 and 5, as other servers do.
        let chunk_stream = if stream == 0 { 3 } else { 5 };
        self.encoder.encode(chunk_stream, &Message::new(kind::COMMAND_AMF0, stream, encode_all(values)), out);
    }

    pub(super) fn acknowledge(&self, received: u64, out: &mut Vec<u8>) {
        // The sequence number wraps after 32 bits (§5.4.3).
        let [_, _, _, _, sequence @ ..] = received.to_be_bytes();
        self.control(kind::ACKNOWLEDGEMENT, &sequence, out);
    }

    pub(super) fn window(&self, out: &mut Vec<u8>) {
        self.control(kind::WINDOW_ACK_SIZE, &WINDOW.to_be_bytes(), out);
    }

    /// Answers a ping request; other user control events need no answer.
    pub(super) fn user_control(&self, body: &[u8], out: &mut Vec<u8>) {
        if let &[e1, e0, t3, t2, t1, t0, ..] = body
            && u16::from_be_bytes([e1, e0]) == PING_REQUEST
        {
            let [r1, r0] = PING_RESPONSE.to_be_bytes();
            self.control(kind::USER_CONTROL, &[r1, r0, t3, t2, t1, t0], out);
        }
    }

    /// Window, bandwidth, chunk size, and success of connect (§7.2.1.1).
    pub(super) fn connected(&mut self, transaction: f64, enhanced: bool, out: &mut Vec<u8>) {
        self.window(out);
        let [b3, b2, b1, b0] = WINDOW.to_be_bytes();
        self.control(kind::SET_PEER_BANDWIDTH, &[b3, b2, b1, b0, LIMIT_DYNAMIC], out);
        self.encoder.set_chunk_size(CHUNK_SIZE, out);
        let mut properties = vec![
            ("fmsVer".to_owned(), Value::string("FMS/3,5,3,888")),
            ("capabilities".to_owned(), Value::Number(127.0)),
            ("mode".to_owned(), Value::Number(1.0)),
        ];
        if enhanced {
            properties.extend(capabilities());
        }
        let mut information = information(Level::Status, "NetConnection.Connect.Success", "connection accepted");
        information.push(("objectEncoding".to_owned(), Value::Number(0.0)));
        let values = [
            Value::string("_result"),
            Value::Number(transaction),
            Value::Object(properties),
            Value::Object(information),
        ];
        self.command(0, &values, out);
    }

    pub(super) fn connect_refused(&self, transaction: f64, words: &str, out: &mut Vec<u8>) {
        let values = [
            Value::string("_error"),
            Value::Number(transaction),
            Value::Null,
            Value::Object(information(Level::Error, "NetConnection.Connect.Rejected", words)),
        ];
        self.command(0, &values, out);
    }

    pub(super) fn result(&self, transaction: f64, value: Value, out: &mut Vec<u8>) {
        self.command(0, &[Value::string("_result"), Value::Number(transaction), Value::Null, value], out);
    }

    /// The answer that old Flash encoders wait for after FCPublish.
    pub(super) fn fc_publish(&self, out: &mut Vec<u8>) {
        let information = information(Level::Status, "NetStream.Publish.Start", "stream name accepted");
        let values = [Value::string("onFCPublish"), Value::Number(0.0), Value::Null, Value::Object(information)];
        self.command(0, &values, out);
    }

    pub(super) fn stream_begin(&self, out: &mut Vec<u8>) {
        let ([e1, e0], [s3, s2, s1, s0]) = (STREAM_BEGIN.to_be_bytes(), STREAM.to_be_bytes());
        self.control(kind::USER_CONTROL, &[e1, e0, s3, s2, s1, s0], out);
    }

    pub(super) fn status(&self, stream: u32, level: Level, code: &str, words: &str, out: &mut Vec<u8>) {
        let values = [
            Value::string("onStatus"),
            Value::Number(0.0),
            Value::Null,
            Value::Object(information(level, code, words)),
        ];
        self.command(stream, &values, out);
    }
}

fn information(level: Level, code: &str, words: &str) -> Vec<(String, Value)> {
    [("level", level.as_str()), ("code", code), ("description", words)]
        .map(|(name, text)| (name.to_owned(), Value::string(text)))
        .into()
}

/// Enhanced RTMP v2, "Enhancing NetConnection connect Command".
fn capabilities() -> Vec<(String, Value)> {
    let map = |codes: &[&str]| {
        Value::Object(codes.iter().map(|code| ((*code).to_owned(), Value::Number(CAN_FORWARD))).collect())
    };
    let list = VIDEO_FOURCC.iter().chain(&AUDIO_FOURCC).map(|code| Value::string(code)).collect();
    vec![
        ("fourCcList".to_owned(), Value::StrictArray(list)),
        ("videoFourCcInfoMap".to_owned(), map(&VIDEO_FOURCC)),
        ("audioFourCcInfoMap".to_owned(), map(&AUDIO_FOURCC)),
        ("capsEx".to_owned(), Value::Number(CAPS_EX)),
    ]
}
