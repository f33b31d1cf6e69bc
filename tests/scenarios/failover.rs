//! A channel with two inputs: a viewer in a browser does not notice that an encoder dies.

use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Server, wait_for};
use serde_json::Value;

use crate::{media_playlist, play_url, text, wait_playing};

/// Loss is found after 3 s; the next segments follow at once.
const SWITCH: Duration = Duration::from_secs(20);

fn push(channel: &Value, at: usize) -> Encoder {
    let input = &channel["inputs"][at];
    let url = format!("{}/{}", text(&input["push_url"]), text(&input["stream_key"]));
    Encoder::push(&url, Picture { gop: 25 + 5 * at as u32, ..Picture::default() })
}

#[test]
fn the_media_sequence_goes_on_when_the_primary_encoder_dies() {
    let server = Server::start();
    let (channel, breakout) = server.on_air_with_two_inputs("pair");
    let primary = push(&channel, 0);
    let _backup = push(&channel, 1);
    let multivariant = wait_playing(&play_url(&server, &breakout));
    drop(primary);
    let newest = || {
        let media = media_playlist(&multivariant);
        let first: usize = media.tag("EXT-X-MEDIA-SEQUENCE").and_then(|first| first.parse().ok()).unwrap_or(0);
        (first + media.uris().len(), media)
    };
    let (before, _) = newest();
    let media = wait_for("segments of the backup", SWITCH, || {
        let (now, media) = newest();
        (now >= before + 3).then_some(media)
    });
    assert_eq!(media.text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{}", media.text);
    let shown = wait_for("the operator to be told", Duration::from_secs(10), || {
        let shown = server.cli(&["channel", "show", &text(&channel["id"])]);
        (shown["active_input"] == channel["inputs"][1]["id"]).then_some(shown)
    });
    assert!(!shown["active_input"].is_null(), "{shown}");
}
