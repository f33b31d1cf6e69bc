//! The ingest room: takes the live pushes of encoders in.
//!
//! In: RTMP connections; the snapshot that names inputs and their stream keys.
//! Out: an [`IngestSession`] of `media::Event`s per accepted encoder; reports of what inputs receive.
//! Never: packaging, storage, retries of the encoder's work; a stream key in a log line.
//! Spec: Adobe RTMP 1.0, AMF 0, Enhanced RTMP v2; systems.md V24.

mod connection;
mod publish;
mod push_url;
mod registry;
pub mod rtmp;
mod server;
mod wire;

pub use connection::IngestSession;
pub use registry::{JUDGEMENT, RECONNECT_SILENCE, TAKEOVER_SILENCE};
pub use server::{Config, Ingest};
