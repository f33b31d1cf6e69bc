//! The packager room: samples become segments, and a timeline or playlists that name only what is durable.
//!
//! In: [`Session`]s of media events, the snapshot's breakouts, anchors of other regions; on demand ([`vod`]) MP4 files.
//! Out: objects in the store, a [`Timelines`] table of what has been published, recordings of what has ended, reports,
//! anchors for other regions; on demand whole
//! renditions with their playlists, and summaries of them.
//! Never: RTMP (`ingest`), HTTP and playlist text (`origin`, `hls`), box layouts (`media`), encoding (`transcode`).
//! Spec: ISO/IEC 23000-19, rfc8216bis; systems.md V22, V73, L4, L5; `docs/adr/0004`, `0005`, `0017`, `0022` and `0029`.

mod digest;
mod error;
mod frame_rate;
pub mod lane;
mod live;
mod publisher;
mod record;
mod recording;
pub mod segmenter;
pub mod vod;

pub use error::PublishError;
pub use live::{Packager, Session, Timelines};
pub use publisher::Publisher;
pub use record::GapReason;
