//! One encoder's connection, from the first byte to the last, as an enum of steps.
//!
//! ```text
//! Handshaking -> Connecting -> ConnectAsked -> Connected -> PublishAsked -> Publishing -> Closed
//!                                 (answer)                    (answer)
//! ```

mod command;
mod steps;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::steps::{ConnectAsked, Connected, Connecting, Handshaking, PublishAsked, Publishing};
use super::amf0::{Amf0Error, Value};
use super::chunk::ChunkError;
use super::handshake::{Handshake, HandshakeError};
use super::message::AggregateError;

/// What a session wants done.
#[derive(Debug, Default)]
pub struct Output {
    /// To be written to the peer, in order, also when [`Session::handle`] failed: the reason may be in it.
    pub bytes: Vec<u8>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The peer asks to connect; [`Session::answer`] is due before more input is read.
    Connect(Connect),
    /// The peer asks to publish; [`Session::answer`] is due before more input is read.
    Publish {
        /// Stream name as the peer sent it, empty when it sent none.
        stream_name: String,
    },
    /// `onMetaData`: what the encoder says about its media. Advisory; broken metadata is left out.
    Metadata(Value),
    /// The body of an audio or video message, never empty.
    Media {
        /// Audio or video.
        kind: MediaKind,
        /// Milliseconds; wraps after 2^32.
        timestamp: u32,
        /// FLV tag body.
        body: Bytes,
    },
    /// The peer ended its publish; the session is closed.
    Unpublish,
}

/// Which of the two media messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// Type 8.
    Audio,
    /// Type 9.
    Video,
}

/// What the connect command said (§7.2.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// Application name, with the query that some encoders leave in it.
    pub app: String,
    /// URL of the server as the encoder was told.
    pub tc_url: String,
    /// Name that the encoder gives itself.
    pub flash_ver: String,
    /// Whether it speaks Enhanced RTMP.
    pub enhanced: bool,
}

/// The caller's answer to [`Event::Connect`] or [`Event::Publish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Go on.
    Accept,
    /// The name is not one that may be published, in words for the encoder's operator.
    Refuse(&'a str),
}

/// Why a session failed. It is over; what [`Output::bytes`] holds should still be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// In the handshake.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// In the chunk stream.
    #[error("chunk stream: {0}")]
    Chunk(#[from] ChunkError),
    /// In a command's values.
    #[error("command: {0}")]
    Command(#[from] Amf0Error),
    /// In an aggregate message.
    #[error("{0}")]
    Aggregate(#[from] AggregateError),
    /// A command message without a name or with a malformed one.
    #[error("command has no name")]
    Nameless,
    /// A command or message that is not due.
    #[error("message is not due {when}: {what}")]
    OutOfOrder {
        /// Step of the session.
        when: &'static str,
        /// Command name, or kind of message.
        what: &'static str,
    },
    /// The peer asks to play; it was told where to look.
    #[error("peer asks to play, and this server only takes streams in")]
    Play,
}

impl SessionError {
    /// A bounded word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Chunk(ChunkError::TooLong { .. } | ChunkError::TooManyPartialBytes) => "oversized",
            Self::Chunk(_) => "chunk",
            Self::Command(_) | Self::Nameless => "command",
            Self::Aggregate(_) => "aggregate",
            Self::OutOfOrder { .. } => "order",
            Self::Play => "play",
        }
    }
}

/// An RTMP connection of an encoder. Memory is bounded by the limits of [`super::chunk`].
#[derive(Debug)]
pub enum Session {
    /// Reading C0 to C2.
    Handshaking(Handshaking),
    /// Waiting for connect.
    Connecting(Connecting),
    /// [`Event::Connect`] awaits its answer.
    ConnectAsked(ConnectAsked),
    /// Waiting for publish.
    Connected(Connected),
    /// [`Event::Publish`] awaits its answer.
    PublishAsked(PublishAsked),
    /// Media flows.
    Publishing(Publishing),
    /// Over: nothing is read or said any more.
    Closed,
}

impl Session {
    /// A session before its first byte; `nonce` tells its handshake from others.
    #[must_use]
    pub fn new(nonce: u64) -> Self {
        Self::Handshaking(Handshaking::new(Handshake::new(nonce)))
    }

    /// Reads from `input`: all of it, or up to a request that [`Self::answer`] has to answer first.
    ///
    /// # Errors
    /// The peer breaks the protocol or a limit, or asks for what is not served.
    pub fn handle(mut self, input: &mut &[u8], output: &mut Output) -> Result<Self, SessionError> {
        while !input.is_empty() {
            self = match self {
                Self::Handshaking(step) => step.handle(input, output)?,
                Self::Connecting(step) => step.handle(input, output)?,
                Self::Connected(step) => step.handle(input, output)?,
                Self::Publishing(step) => step.handle(input, output)?,
                Self::ConnectAsked(_) | Self::PublishAsked(_) => return Ok(self),
                Self::Closed => {
                    *input = &[];
                    Self::Closed
                }
            };
        }
        if let Self::Publishing(step) = &mut self {
            step.acknowledge(output);
        }
        Ok(self)
    }

    /// Answers the open request; a refusal closes the session. Without an open request nothing happens.
    #[must_use]
    pub fn answer(self, answer: Answer<'_>, output: &mut Output) -> Self {
        match self {
            Self::ConnectAsked(step) => step.answer(answer, output),
            Self::PublishAsked(step) => step.answer(answer, output),
            other => other,
        }
    }

    /// Tells a publishing peer why it is cut off. The session is over.
    pub fn revoke(self, words: &str, output: &mut Output) {
        if let Self::Publishing(step) = self {
            step.revoke(words, output);
        }
    }
}
