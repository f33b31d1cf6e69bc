//! Reading of command and data messages.

use super::{Connect, SessionError};
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::message::{Message, kind};

/// Characters that are kept of each text of connect.
const MAX_TEXT: usize = 512;

/// A command message (§7.1.1).
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) transaction: f64,
    /// Command object and what follows it.
    pub(super) values: Vec<Value>,
    /// Message stream that it came on.
    pub(super) stream: u32,
}

impl Command {
    pub(super) fn decode(message: &Message) -> Result<Self, SessionError> {
        let mut values = amf0::decode(amf0_body(message))?.into_iter();
        let Some(Value::String(name)) = values.next() else { return Err(SessionError::Nameless) };
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        Ok(Self { name, transaction, values: values.collect(), stream: message.stream })
    }

    /// The first argument after the command object, when it is text.
    pub(super) fn first_text(&self) -> &str {
        self.values.get(1).and_then(Value::as_str).unwrap_or_default()
    }

    /// What a connect command says.
    pub(super) fn connect(&self) -> Connect {
        let property = |name| self.values.first().and_then(|object| object.property(name));
        let text = |name| property(name).and_then(Value::as_str).unwrap_or_default().chars().take(MAX_TEXT).collect();
        Connect {
            app: text("app"),
            tc_url: text("tcUrl"),
            flash_ver: text("flashVer"),
            enhanced: ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"]
                .into_iter()
                .any(|name| property(name).is_some()),
        }
    }
}

/// The metadata of a data message: the object after `onMetaData`, which `@setDataFrame` may precede.
pub(super) fn metadata(message: &Message) -> Option<Value> {
    let mut values = amf0::decode(amf0_body(message)).ok()?.into_iter();
    let mut name = values.next()?;
    if name.as_str() == Some("@setDataFrame") {
        name = values.next()?;
    }
    if name.as_str() == Some("onMetaData") { values.next() } else { None }
}

/// AMF3 messages begin with a format byte; with 0 the values are AMF0, and no encoder sends another.
fn amf0_body(message: &Message) -> &[u8] {
    match (message.kind, &message.body[..]) {
        (kind::COMMAND_AMF3 | kind::DATA_AMF3, [0, rest @ ..]) => rest,
        (_, body) => body,
    }
}
