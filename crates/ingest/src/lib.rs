//! The ingest room: takes the live pushes of encoders in, and makes one flow a channel of them.
//!
//! In: RTMP connections; the snapshot that names inputs, their stream keys and who may push, and how channels fail over.
//! Out: a [`ChannelFeed`] of `media::Arrival`s a channel; reports of what inputs receive, which is in use, what is wrong.
//! Never: packaging, storage, retries of the encoder's work; a stream key in a log line.
//! Spec: Adobe RTMP 1.0, AMF 0, Enhanced RTMP v2; systems.md V23, V24, V90-V94.

mod alarm;
mod allow;
mod channel;
mod config;
mod connection;
mod failover;
mod feeds;
mod monitor;
mod publish;
mod push_url;
mod refusals;
mod registry;
pub mod rtmp;
mod sent;
mod server;
mod session;
mod shared;
mod standby;
mod wire;

pub use channel::ChannelFeed;
pub use config::Config;
pub use feeds::Feeds;
pub use registry::{JUDGEMENT, RECONNECT_SILENCE, TAKEOVER_SILENCE};
pub use server::Ingest;
pub use session::IngestSession;
