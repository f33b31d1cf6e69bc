//! What an encoder was told to push to: `rtmp://HOST/live` and a stream key apart, or both as one URL.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_model::{ChannelId, InputId, Snapshot};

use crate::allow::AllowList;

/// The one application name.
const APP: &str = "live";

/// Why a push names no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// The application is not `live`.
    #[error("unknown application: the server part of the URL must end with /{APP}, as in rtmp://HOST:1935/{APP}")]
    App,
    /// No stream key.
    #[error("the stream key is missing: set it in the encoder, or put it after /{APP}/ in the URL")]
    Missing,
    /// No input has that stream key.
    #[error("no input has this stream key: copy it again from the channel's input")]
    Unknown,
}

impl NameError {
    /// Word for metrics and log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Missing => "key_missing",
            Self::Unknown => "key",
        }
    }
}

/// The input that a stream key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) channel: ChannelId,
    pub(crate) input: InputId,
    key: Arc<str>,
}

/// How a session stands to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may push.
    Valid,
    /// The input was removed or has another key.
    Withdrawn,
    /// The input does not admit the address.
    NotAllowed,
}

impl Target {
    /// Whether the input still exists with the same key, and admits the address.
    pub(crate) fn standing(&self, snapshot: &Snapshot, address: IpAddr) -> Standing {
        let mut inputs = snapshot.channels.iter().filter(|channel| channel.id == self.channel).flat_map(|c| &c.inputs);
        match inputs.find(|input| input.id == self.input && input.stream_key == *self.key) {
            None => Standing::Withdrawn,
            Some(input) if AllowList::parse(&input.allow).admits(address) => Standing::Valid,
            Some(_) => Standing::NotAllowed,
        }
    }
}

/// Judges the application name of connect, before the stream name is known.
pub(crate) fn check_app(app: &str) -> Result<(), NameError> {
    split_app(app).map(|_| ())
}

/// The stream key of a push. A `?query` is cut off; surrounding slashes do not count.
pub(crate) fn stream_key<'a>(app: &'a str, stream_name: &'a str) -> Result<&'a str, NameError> {
    let in_app = split_app(app)?;
    let in_name = bare(stream_name);
    match (in_app, in_name) {
        ("", "") => Err(NameError::Missing),
        ("", key) | (key, "") => Ok(key),
        _ => Err(NameError::App),
    }
}

/// The channel and input of a stream key, whether the channel runs or not.
pub(crate) fn find(snapshot: &Snapshot, key: &str) -> Result<Target, NameError> {
    snapshot
        .channels
        .iter()
        .flat_map(|channel| channel.inputs.iter().map(move |input| (channel, input)))
        .find(|(_, input)| !input.stream_key.is_empty() && input.stream_key == key)
        .map(|(channel, input)| Target { channel: channel.id.clone(), input: input.id.clone(), key: key.into() })
        .ok_or(NameError::Unknown)
}

/// What follows the application name: empty, or the key of encoders that take the whole URL for the server part.
fn split_app(app: &str) -> Result<&str, NameError> {
    let rest = bare(app).strip_prefix(APP).ok_or(NameError::App)?;
    if rest.is_empty() { Ok(rest) } else { rest.strip_prefix('/').ok_or(NameError::App) }
}

fn bare(name: &str) -> &str {
    name.split_once('?').map_or(name, |(name, _)| name).trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_url_forms_give_the_key() {
        for (app, name) in [
            ("live", "k3y"),
            ("live/", "k3y"),
            ("/live", "/k3y"),
            ("live", "k3y?user=x&pass=y"),
            ("live/k3y", ""),
            ("live/k3y?x=1", ""),
            ("live?x=1", "k3y"),
        ] {
            assert_eq!(stream_key(app, name), Ok("k3y"), "{app} {name}");
        }
    }

    #[test]
    fn wrong_names_say_what_is_wrong() {
        for app in ["", "vod", "lively", "x/live", "alive"] {
            assert_eq!(check_app(app), Err(NameError::App), "{app}");
        }
        assert_eq!(stream_key("live", ""), Err(NameError::Missing));
        assert_eq!(stream_key("live", "?a=b"), Err(NameError::Missing));
        assert_eq!(stream_key("live/instance", "k3y"), Err(NameError::App));
        assert_eq!(find(&Snapshot::default(), "k3y"), Err(NameError::Unknown));
    }
}
