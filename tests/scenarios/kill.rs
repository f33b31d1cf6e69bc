//! `kill -9` in mid-stream.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Server, Viewer, wait_for};

use crate::{play_url, push_url, wait_playing};

/// Media sequence numbers and names of a media playlist.
fn entries(url: &str) -> Option<BTreeMap<u64, String>> {
    let answer = Viewer::new().try_get(url)?;
    let playlist = anabranch_testkit::Playlist { url: url.to_owned(), text: answer.text() };
    let first: u64 = playlist.tag("EXT-X-MEDIA-SEQUENCE")?.parse().ok()?;
    let names = playlist.uris().into_iter().filter_map(|uri| uri.split('?').next().map(str::to_owned));
    Some((first..).zip(names).collect())
}

#[test]
fn nothing_repeats_across_kill_9() {
    let mut server = Server::start();
    let (channel, breakout) = server.on_air("killed");
    let url = play_url(&server, &breakout);
    let mut all: BTreeMap<u64, String> = BTreeMap::new();
    for _ in 0..3 {
        let before = all.len();
        let encoder = Encoder::push(&push_url(&channel), Picture::default());
        let variant = wait_playing(&url).uris().remove(0);
        wait_for("two more segments", Duration::from_secs(40), || {
            for (msn, name) in entries(&variant)? {
                let known = all.entry(msn).or_insert_with(|| name.clone());
                assert_eq!(*known, name, "media sequence number {msn} came again");
            }
            (all.len() >= before + 2).then_some(())
        });
        server.kill();
        drop(encoder);
        server.restart();
        // What was published before is still there, byte for byte readable.
        let (msn, newest) = all.last_key_value().expect("segments");
        let after = wait_for("the playlist after the restart", Duration::from_secs(10), || entries(&variant));
        assert_eq!(after.get(msn), Some(newest));
    }
    let mut names: Vec<_> = all.values().collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all.len(), "no name is used twice");
}
