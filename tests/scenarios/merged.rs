//! One multivariant playlist over two regions: players take it, and go on in the other region when one is gone.
#![allow(clippy::unwrap_used)]

mod regions;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anabranch_testkit::wait_for;
use serde_json::Value;

use crate::browser::Browser;
use regions::{Cluster, Kind, Media, Stand, View};

/// Segments of a stream that has ended.
const ENDED: View = View::Ended(5);

/// How long a browser plays, in seconds of the wall clock.
const WATCHED: u32 = 26;

/// When its region goes, in seconds of what it has played.
const GONE_AT: f64 = 5.0;

/// Runs a player for a minute at the most; it must have nothing to say on its standard error.
fn run(program: &str, arguments: &[&str]) -> String {
    let limited = ["60", program].into_iter().chain(arguments.iter().copied());
    let done = Command::new("timeout").args(limited).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{program}: {} {out}{error}", done.status);
    assert_eq!(error, "", "{program} has nothing to warn of");
    out.into_owned()
}

fn assert_ffprobe_takes(url: &str) {
    // It tries to use one connection for all hosts, and warns of each playlist that names another host than the one before.
    let said = run(
        "ffprobe",
        &["-v", "warning", "-http_persistent", "0", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", url],
    );
    assert!(said.contains("h264,320") && said.contains("h264,640") && said.contains("aac"), "{said}");
}

fn assert_gstreamer_plays(url: &str, scratch: &Path) {
    let frames = scratch.join("frames");
    let _ = std::fs::remove_dir_all(&frames);
    std::fs::create_dir_all(&frames).unwrap();
    let pictures = format!("video-sink=videoconvert ! jpegenc ! multifilesink location={}/%05d.jpg", frames.display());
    // A player and no graph of its parts: it takes what comes of a change of variants.
    let said =
        run("gst-launch-1.0", &["-q", "playbin", &format!("uri={url}"), &pictures, "audio-sink=fakesink sync=false"]);
    assert_eq!(said, "", "GStreamer has nothing to say");
    assert_eq!(std::fs::read_dir(&frames).unwrap().count(), 250, "10 s of 25 pictures a second");
}

#[test]
fn ffprobe_and_gstreamer_take_merged_playlists() {
    let media = Media::shared();
    for kinds in [[Kind::Demuxed, Kind::Demuxed], [Kind::Demuxed, Kind::Muxed], [Kind::Muxed, Kind::Demuxed]] {
        let cluster = Cluster::start(&media, kinds, ENDED);
        for steered in [false, true] {
            let url = cluster.publish(steered, false);
            assert_ffprobe_takes(&url);
            assert_gstreamer_plays(&url, media.path());
        }
    }
}

/// What a browser saw of a playlist.
fn watch(player: &str, url: &str, seconds: u32) -> Browser {
    Browser::script("merged.mjs", &["--player", player, "--url", url, "--seconds", &seconds.to_string()])
}

fn played(line: &Value) -> f64 {
    line["played_seconds"].as_f64().unwrap_or(0.0)
}

/// Whether the player has given up.
fn failed(result: &Value) -> bool {
    result["errors"].as_array().unwrap().iter().any(|error| error["fatal"] == true)
}

#[test]
fn browsers_take_merged_playlists() {
    let media = Media::shared();
    for kinds in [[Kind::Demuxed, Kind::Demuxed], [Kind::Demuxed, Kind::Muxed], [Kind::Muxed, Kind::Demuxed]] {
        let cluster = Cluster::start(&media, kinds, ENDED);
        for steered in [false, true] {
            let url = cluster.publish(steered, true);
            let browsers = ["hls", "shaka"].map(|player| (player, watch(player, &url, 14)));
            for (player, browser) in browsers {
                let result = browser.result();
                let of = format!("{player}, steered: {steered}, {kinds:?}: {result}");
                assert!(played(&result) > 9.8 && !failed(&result), "{of}");
                // What a change of container costs is the player's own matter, and so is the end of a transport stream.
                if kinds[0] == kinds[1] {
                    assert_eq!(result["ended"], true, "{of}");
                    assert_eq!((&result["stalls"], &result["errors"]), (&0.into(), &Value::Array(vec![])), "{of}");
                }
            }
        }
    }
}

/// Plays live until a region is gone, and to the end. With default settings nothing may stand still.
fn plays_on(media: &Media, player: &str, steered: bool) {
    let cluster = Cluster::start(media, [Kind::Demuxed, Kind::Demuxed], View::Live);
    let url = cluster.publish(steered, true);
    let mut browser = watch(player, &url, WATCHED);
    while browser.next().is_some_and(|line| played(&line) < GONE_AT) {}
    let segments = cluster.regions.each_ref().map(Stand::segments);
    assert!(segments[0] > 0, "{player} begins in the preferred region: {segments:?}");
    cluster.regions[0].close();
    wait_for("segments of the other region", Duration::from_secs(20), || {
        (cluster.regions[1].segments() > segments[1] + 4).then_some(())
    });
    let result = browser.result();
    assert_eq!(result["stalls"], 0, "{player}, steered: {steered}: {result}");
    assert!(played(&result) >= f64::from(WATCHED) - 1.5, "{player}, steered: {steered}: {result}");
    assert!(result["jump_seconds"].as_f64().unwrap() < 2.0, "no further than a segment: {player}: {result}");
    assert!(!failed(&result), "{player}, steered: {steered}: {result}");
}

#[test]
fn playback_goes_on_when_a_region_is_gone() {
    let media = Media::shared();
    for steered in [false, true] {
        thread::scope(|scope| {
            for player in ["hls", "shaka"] {
                let media = &media;
                scope.spawn(move || plays_on(media, player, steered));
            }
        });
    }
}
