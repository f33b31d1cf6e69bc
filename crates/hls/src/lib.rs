//! The hls room: multivariant and media playlists, the live timeline, playlists on demand, the merging of regions, and the rewriting
//! of URIs.
//!
//! In: playlist text, the [`timeline::Timeline`] that a packager publishes, or what it knows of an asset.
//! Out: playlist text, byte for byte what a player gets; [`playlist`] models of text from elsewhere.
//! Never: I/O, clocks, HTTP. Serving lives in `origin`, signing in `signing`.
//! Spec: RFC 8216 and draft-pantos-hls-rfc8216bis.

pub mod merge;
pub mod playlist;
pub mod render;
pub mod rewrite;
pub mod steering;
pub mod time;
pub mod timeline;
pub mod uri;
pub mod vod;
