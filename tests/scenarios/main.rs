//! Whole-process scenarios: the real binary, a real encoder, real players. One file a promise.

mod access;
mod asset_page;
mod assets;
mod backup;
mod browser;
mod cluster;
mod crash;
mod database;
mod desk;
mod distributions;
mod drill;
mod edge_role;
mod faults;
mod held;
mod herd;
mod kill;
mod kill_edge;
mod live_to_viewer;
mod merged;
mod on_demand;
mod outside;
mod people;
mod players;
mod process;
mod published;
mod recording;
mod remote_bucket;
mod signers;
mod story;
mod two_controllers;
mod uploads;
mod usage;
mod watch;

use std::time::Duration;

use anabranch_testkit::{Playlist, Server, Viewer, wait_for};
use serde_json::Value;

/// Longest wait for the first segment after a push.
const FIRST_SEGMENT: Duration = Duration::from_secs(30);

/// URL to push to: server and key in one.
fn push_url(channel: &Value) -> String {
    let input = &channel["inputs"][0];
    format!("{}/{}", text(&input["push_url"]), text(&input["stream_key"]))
}

/// The signed multivariant playlist of a breakout.
fn play_url(server: &Server, breakout: &Value) -> String {
    text(&server.cli(&["breakout", "play-url", &text(&breakout["id"])])["url"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

/// Waits until the breakout plays, and gives its multivariant playlist.
fn wait_playing(url: &str) -> Playlist {
    let viewer = Viewer::new();
    wait_for("the first segment", FIRST_SEGMENT, || {
        let answer = viewer.try_get(url)?;
        (answer.status == 200).then(|| Playlist { url: url.to_owned(), text: answer.text() })
    })
}

/// The media playlist of the first variant.
fn media_playlist(multivariant: &Playlist) -> Playlist {
    Viewer::new().playlist(&multivariant.uris()[0])
}
