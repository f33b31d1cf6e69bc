//! An encoder's push reaches a viewer through the edge.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Server, Viewer, wait_for};

use crate::{media_playlist, play_url, push_url, text, wait_playing};

#[test]
fn a_push_plays_through_the_edge_under_one_signed_url() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("main");
    let _encoder = Encoder::push(
        &push_url(&channel),
        Picture { size: (1280, 720), rate: 30, gop: 60, kbps: 2000, ..Picture::default() },
    );
    let url = play_url(&server, &breakout);
    let multivariant = wait_playing(&url);

    for tag in ["RESOLUTION=1280x720", "FRAME-RATE=30.000", "avc1.", "mp4a.40.2", "AVERAGE-BANDWIDTH="] {
        assert!(multivariant.text.contains(tag), "{tag} is missing:\n{}", multivariant.text);
    }
    let every_uri = multivariant.uris().into_iter().chain(multivariant.attribute_uris());
    for uri in every_uri {
        assert!(uri.contains("Policy=") && uri.contains("Key-Pair-Id="), "unsigned: {uri}");
        let media = Viewer::new().playlist(&uri);
        assert_eq!(media.tag("EXT-X-TARGETDURATION").as_deref(), Some("6"));
        assert!(media.text.contains("#EXT-X-PROGRAM-DATE-TIME:"));
        for object in media.uris().into_iter().chain(media.attribute_uris()) {
            let answer = Viewer::new().get(&object);
            assert_eq!(answer.status, 200, "{object}");
            assert!(answer.header("content-type").ends_with("/mp4"), "{object}");
            assert!(answer.header("cache-control").contains("immutable"));
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert!(!answer.header("cache-status").is_empty());
        }
    }
    let again = Viewer::new().get(&media_playlist(&multivariant).uris()[0]);
    assert!(again.header("cache-status").contains("hit"), "{}", again.header("cache-status"));
    assert!(again.header("x-cache").starts_with("Hit"), "{}", again.header("x-cache"));
    assert!(!again.header("age").is_empty());
    let playlist = Viewer::new().get(&url);
    assert_eq!(playlist.header("content-type"), "application/vnd.apple.mpegurl");
    let shown = server.cli(&["channel", "show", &text(&channel["id"])]);
    assert_eq!(shown["inputs"][0]["state"]["connected"], true, "{shown}");
}

#[test]
fn segments_go_on_without_a_break_across_an_encoder_reconnect() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("reconnect");
    let url = play_url(&server, &breakout);
    let mut seen = BTreeSet::new();
    let mut last_msn = 0;
    for round in 0..2 {
        let encoder = Encoder::push(&push_url(&channel), Picture::default());
        let multivariant = wait_playing(&url);
        wait_for("three more segments", Duration::from_secs(40), || {
            let media = media_playlist(&multivariant);
            let first: u64 = media.tag("EXT-X-MEDIA-SEQUENCE")?.parse().ok()?;
            let names: Vec<_> = media.uris().iter().filter_map(|u| u.split('?').next().map(str::to_owned)).collect();
            let newest = first + names.len() as u64;
            assert!(newest >= last_msn, "the media sequence went back");
            let grown = newest >= last_msn + 3;
            seen.extend(names);
            if grown {
                last_msn = newest;
                let discontinuities = media.text.matches("#EXT-X-DISCONTINUITY\n").count();
                assert_eq!(discontinuities, round, "{}", media.text);
            }
            grown.then_some(())
        });
        drop(encoder);
        wait_for("the operator to be told", Duration::from_secs(10), || {
            let problem =
                server.cli(&["breakout", "show", &text(&breakout["id"])])["problem"].as_str().map(str::to_owned);
            problem?.contains("no encoder is connected").then_some(())
        });
    }
    assert_eq!(seen.len() as u64, last_msn, "each media sequence number has one name");
}

#[test]
fn a_breakout_that_stops_closes_its_playlists() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("ends");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let multivariant = wait_playing(&play_url(&server, &breakout));
    let stopped = server.cli(&["breakout", "stop", &text(&breakout["id"])]);
    assert_eq!(stopped["state"], "COMPLETED");
    wait_for("the end of the playlist", Duration::from_secs(15), || {
        media_playlist(&multivariant).text.contains("#EXT-X-ENDLIST").then_some(())
    });
    wait_for("the channel to be idle", Duration::from_secs(10), || {
        (server.cli(&["channel", "show", &text(&channel["id"])])["state"] == "Idle").then_some(())
    });
    let refused = server.cli_refused(&["breakout", "start", &text(&breakout["id"])]);
    assert!(refused.contains("create another"), "{refused}");
}

#[test]
fn sound_alone_and_pictures_alone_play() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("sound");
    let url = push_url(&channel);
    let _sound =
        Encoder::run(&["-re", "-f", "lavfi", "-i", "sine=sample_rate=44100", "-c:a", "aac", "-f", "flv", &url]);
    let multivariant = wait_playing(&play_url(&server, &breakout));
    assert!(multivariant.text.contains("CODECS=\"mp4a.40.2\""), "{}", multivariant.text);

    let (channel, breakout) = server.on_air("pictures");
    let url = push_url(&channel);
    let _pictures = Encoder::run(&[
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-bf",
        "2",
        "-g",
        "25",
        "-f",
        "flv",
        &url,
    ]);
    let multivariant = wait_playing(&play_url(&server, &breakout));
    assert!(multivariant.text.contains("RESOLUTION=320x180") && !multivariant.text.contains("mp4a"));
}
