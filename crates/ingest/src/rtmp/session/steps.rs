//! The steps of a session. Each holds what its step has; moving on consumes it.

use super::command::{Command, metadata};
use super::{Answer, Event, MediaKind, Output, Session, SessionError};
use crate::rtmp::amf0::Value;
use crate::rtmp::chunk::{ChunkError, Decoder};
use crate::rtmp::handshake::{Handshake, Progress};
use crate::rtmp::message::{Message, kind, split_aggregate};
use crate::rtmp::reply::{Level, STREAM, Speaker};

/// Window of acknowledgements until the peer names one, in bytes.
const DEFAULT_WINDOW: u32 = 2_500_000;

/// Smallest window that is obeyed, so that a peer cannot ask for an answer to every byte.
const MIN_WINDOW: u32 = 4096;

const PLAY_REFUSED: &str = "this server takes streams in; watch through the play URL of the breakout";

/// Both directions of the chunk stream.
#[derive(Debug, Default)]
struct Link {
    decoder: Decoder,
    speaker: Speaker,
    received: u64,
    acknowledged: u64,
    window: Option<u32>,
}

impl Link {
    /// The next message that is not about the link itself.
    fn next(&mut self, input: &mut &[u8], output: &mut Output) -> Result<Option<Message>, ChunkError> {
        loop {
            let before = input.len();
            let message = self.decoder.decode(input)?;
            self.received += (before - input.len()) as u64;
            let Some(message) = message else { return Ok(None) };
            match message.kind {
                kind::ACKNOWLEDGEMENT => {}
                kind::USER_CONTROL => self.speaker.user_control(&message.body, &mut output.bytes),
                kind::WINDOW_ACK_SIZE => {
                    self.window = message.body.first_chunk().map(|size| u32::from_be_bytes(*size).max(MIN_WINDOW));
                }
                kind::SET_PEER_BANDWIDTH => self.speaker.window(&mut output.bytes),
                _ => return Ok(Some(message)),
            }
        }
    }

    fn acknowledge(&mut self, output: &mut Output) {
        if self.received - self.acknowledged >= u64::from(self.window.unwrap_or(DEFAULT_WINDOW)) {
            self.acknowledged = self.received;
            self.speaker.acknowledge(self.received, &mut output.bytes);
        }
    }
}

fn is_command(message: &Message) -> bool {
    matches!(message.kind, kind::COMMAND_AMF0 | kind::COMMAND_AMF3)
}

/// The handshake.
#[derive(Debug)]
pub struct Handshaking {
    handshake: Handshake,
    received: u64,
}

impl Handshaking {
    pub(super) fn new(handshake: Handshake) -> Self {
        Self { handshake, received: 0 }
    }

    pub(super) fn handle(mut self, input: &mut &[u8], output: &mut Output) -> Result<Session, SessionError> {
        let before = input.len();
        let progress = self.handshake.handle(input, &mut output.bytes)?;
        self.received += (before - input.len()) as u64;
        Ok(match progress {
            Progress::Pending => Session::Handshaking(self),
            Progress::Done => {
                Session::Connecting(Connecting { link: Link { received: self.received, ..Link::default() } })
            }
        })
    }
}

/// Waiting for connect.
#[derive(Debug)]
pub struct Connecting {
    link: Link,
}

impl Connecting {
    pub(super) fn handle(mut self, input: &mut &[u8], output: &mut Output) -> Result<Session, SessionError> {
        let Some(message) = self.link.next(input, output)? else { return Ok(Session::Connecting(self)) };
        let refuse = |what| Err(SessionError::OutOfOrder { when: "before connect", what });
        if !is_command(&message) {
            return refuse("media or data");
        }
        let command = Command::decode(&message)?;
        if command.name != "connect" {
            return refuse("another command");
        }
        let connect = command.connect();
        let (transaction, enhanced) = (command.transaction, connect.enhanced);
        output.events.push(Event::Connect(connect));
        Ok(Session::ConnectAsked(ConnectAsked { link: self.link, transaction, enhanced }))
    }
}

/// Connect awaits its answer.
#[derive(Debug)]
pub struct ConnectAsked {
    link: Link,
    transaction: f64,
    enhanced: bool,
}

impl ConnectAsked {
    pub(super) fn answer(mut self, answer: Answer<'_>, output: &mut Output) -> Session {
        match answer {
            Answer::Accept => {
                self.link.speaker.connected(self.transaction, self.enhanced, &mut output.bytes);
                Session::Connected(Connected { link: self.link })
            }
            Answer::Refuse(words) => {
                self.link.speaker.connect_refused(self.transaction, words, &mut output.bytes);
                Session::Closed
            }
        }
    }
}

/// Waiting for publish.
#[derive(Debug)]
pub struct Connected {
    link: Link,
}

impl Connected {
    pub(super) fn handle(mut self, input: &mut &[u8], output: &mut Output) -> Result<Session, SessionError> {
        let Some(message) = self.link.next(input, output)? else { return Ok(Session::Connected(self)) };
        if matches!(message.kind, kind::AUDIO | kind::VIDEO | kind::AGGREGATE) {
            return Err(SessionError::OutOfOrder { when: "before publish", what: "media" });
        }
        if !is_command(&message) {
            return Ok(Session::Connected(self));
        }
        let command = Command::decode(&message)?;
        let (speaker, out) = (&self.link.speaker, &mut output.bytes);
        match command.name.as_str() {
            "createStream" => {
                speaker.result(command.transaction, Value::Number(f64::from(STREAM)), out);
                speaker.stream_begin(out);
            }
            "releaseStream" => speaker.result(command.transaction, Value::Undefined, out),
            "FCPublish" => {
                speaker.result(command.transaction, Value::Undefined, out);
                speaker.fc_publish(out);
            }
            "publish" => {
                let stream_name = command.first_text().to_owned();
                output.events.push(Event::Publish { stream_name });
                return Ok(Session::PublishAsked(PublishAsked { link: self.link, stream: command.stream }));
            }
            "play" | "play2" => {
                speaker.status(command.stream, Level::Error, "NetStream.Play.Failed", PLAY_REFUSED, out);
                return Err(SessionError::Play);
            }
            "connect" => return Err(SessionError::OutOfOrder { when: "after connect", what: "connect" }),
            // Encoders ask for this and that (_checkbw, getStreamLength) and go on without an answer.
            _ => {}
        }
        Ok(Session::Connected(self))
    }
}

/// Publish awaits its answer.
#[derive(Debug)]
pub struct PublishAsked {
    link: Link,
    stream: u32,
}

impl PublishAsked {
    pub(super) fn answer(mut self, answer: Answer<'_>, output: &mut Output) -> Session {
        let (speaker, out) = (&self.link.speaker, &mut output.bytes);
        match answer {
            Answer::Accept => {
                speaker.status(self.stream, Level::Status, "NetStream.Publish.Start", "stream is taken in", out);
                self.link.decoder.allow_media();
                Session::Publishing(Publishing { link: self.link, stream: self.stream })
            }
            Answer::Refuse(words) => {
                speaker.status(self.stream, Level::Error, "NetStream.Publish.BadName", words, out);
                Session::Closed
            }
        }
    }
}

/// Media flows.
#[derive(Debug)]
pub struct Publishing {
    link: Link,
    stream: u32,
}

/// Whether a publish goes on.
enum Flow {
    On,
    Over,
}

impl Publishing {
    pub(super) fn handle(mut self, input: &mut &[u8], output: &mut Output) -> Result<Session, SessionError> {
        match self.message(input, output) {
            Ok(Flow::On) => Ok(Session::Publishing(self)),
            Ok(Flow::Over) => Ok(Session::Closed),
            Err(error) => {
                self.revoke(&error.to_string(), output);
                Err(error)
            }
        }
    }

    fn message(&mut self, input: &mut &[u8], output: &mut Output) -> Result<Flow, SessionError> {
        let Some(message) = self.link.next(input, output)? else { return Ok(Flow::On) };
        match message.kind {
            kind::AGGREGATE => {
                for part in split_aggregate(&message)? {
                    data_or_media(part, output);
                }
            }
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                let command = Command::decode(&message)?;
                match command.name.as_str() {
                    "FCUnpublish" | "deleteStream" | "closeStream" => {
                        output.events.push(Event::Unpublish);
                        return Ok(Flow::Over);
                    }
                    "publish" => return Err(SessionError::OutOfOrder { when: "while publishing", what: "publish" }),
                    "connect" => return Err(SessionError::OutOfOrder { when: "while publishing", what: "connect" }),
                    _ => {}
                }
            }
            _ => data_or_media(message, output),
        }
        Ok(Flow::On)
    }

    pub(super) fn acknowledge(&mut self, output: &mut Output) {
        self.link.acknowledge(output);
    }

    pub(super) fn revoke(self, words: &str, output: &mut Output) {
        self.link.speaker.status(self.stream, Level::Error, "NetStream.Publish.Denied", words, &mut output.bytes);
    }
}

fn data_or_media(message: Message, output: &mut Output) {
    let (timestamp, body) = (message.timestamp, &message.body);
    let kind = match message.kind {
        kind::AUDIO => MediaKind::Audio,
        kind::VIDEO => MediaKind::Video,
        kind::DATA_AMF0 | kind::DATA_AMF3 => {
            output.events.extend(metadata(&message).map(Event::Metadata));
            return;
        }
        _ => return,
    };
    // Encoders send empty messages at their end; they carry nothing.
    if !body.is_empty() {
        output.events.push(Event::Media { kind, timestamp, body: message.body });
    }
}
