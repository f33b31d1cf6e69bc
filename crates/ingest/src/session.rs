//! An encoder as it is handed on.

use std::net::SocketAddr;

use anabranch_media as media;
use anabranch_model::{ChannelId, InputId};
use tokio::sync::mpsc;

/// One accepted encoder.
#[derive(Debug)]
pub struct IngestSession {
    /// Channel of the input.
    pub channel: ChannelId,
    /// Input whose stream key the encoder sent.
    pub input: InputId,
    /// Address of the encoder.
    pub remote: SocketAddr,
    /// Tracks, samples and discontinuities; ends with the session. When it is full the encoder is not read; when it
    /// is dropped the encoder is sent away.
    pub events: mpsc::Receiver<media::Event>,
}
