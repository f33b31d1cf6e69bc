//! The hls room: multivariant and media playlists, the live timeline, and the rewriting of URIs.
//!
//! In: playlist text, or the [`timeline::Timeline`] that a packager publishes.
//! Out: playlist text, byte for byte what a player gets; [`playlist`] models of text from elsewhere.
//! Never: I/O, clocks, HTTP. Serving lives in `origin`, signing in `signing`.
//! Spec: RFC 8216 and draft-pantos-hls-rfc8216bis.

pub mod playlist;
pub mod render;
pub mod rewrite;
pub mod time;
pub mod timeline;
