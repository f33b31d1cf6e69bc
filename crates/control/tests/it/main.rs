//! The control room through its public face: real HTTP, a real database, reports made by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod archive;
mod asset_page;
mod audience;
mod caption;
mod clock;
mod cluster;
mod crud;
mod delivery;
mod demand;
mod faults;
mod flow;
mod keys;
mod log;
mod node;
mod pages;
mod play;
mod provider;
mod scale;
mod support;
mod upload;
mod video;
mod viewer;
mod webhook;
