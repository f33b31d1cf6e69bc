//! The packager room: samples become CMAF segments, and a timeline that names only what is durable.
//!
//! In: [`Session`]s of media events, the snapshot's breakouts.
//! Out: objects in the store, a [`Timelines`] table of what has been published, recordings of what has ended, reports.
//! Never: RTMP (`ingest`), HTTP and playlist text (`origin`, `hls`), box layouts (`media`).
//! Spec: ISO/IEC 23000-19; systems.md V22, V73; `docs/adr/0004`, `0005` and `0017`.

pub mod lane;
mod live;
mod publisher;
mod record;
mod recording;
pub mod segmenter;
pub mod vod;

pub use live::{Packager, Session, Timelines};
pub use publisher::{PublishError, Publisher};
pub use record::GapReason;
