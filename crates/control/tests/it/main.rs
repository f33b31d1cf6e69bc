//! The control room through its public face: real HTTP, a real database, reports made by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod archive;
mod asset_page;
mod audience;
mod audit;
mod caption;
mod clock;
mod cluster;
mod cluster_given;
mod cluster_join;
mod cluster_merged;
mod cluster_note;
mod cluster_once;
mod cluster_seen;
mod cluster_words;
mod crud;
mod delivery;
mod demand;
mod faults;
mod flow;
mod keys;
mod lists;
mod log;
mod node;
mod oidc;
mod overview;
mod pages;
mod people;
mod play;
mod presence;
mod provider;
mod scale;
mod support;
mod upload;
mod usage;
mod video;
mod viewer;
mod visitor;
mod webhook;
