//! A file that is dropped in gets a page; Chromium plays it alone and in a collection.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anabranch_testkit::{Server, wait_for};
use serde_json::{Value, json};

use crate::text;

/// Longest wait for an asset of ten seconds, on a machine that has other tests to run.
const MADE: Duration = Duration::from_secs(180);

const NAME: &str = "holiday.2024.final.mp4";

const SUBTITLES: &str = "1\n00:00:00,000 --> 00:00:09,000\nBy the river\n";

/// Ten seconds of picture and sound with a subtitle track, put where files are watched for.
fn drop_in(server: &Server) {
    let folder = server.data().with_file_name("film");
    fs::create_dir_all(&folder).expect("a folder");
    let (subtitles, file) = (folder.join("words.srt"), folder.join(NAME));
    fs::write(&subtitles, SUBTITLES).expect("a scratch file");
    encode(&subtitles, &file);
    fs::rename(&file, server.data().join("drop").join(NAME)).expect("the watched folder");
}

fn encode(subtitles: &Path, file: &Path) {
    #[rustfmt::skip]
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=10"])
        .args(["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=10", "-i"]).arg(subtitles)
        .args(["-map", "0:v", "-map", "1:a", "-map", "2:s", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(["-g", "50", "-c:a", "aac", "-c:s", "mov_text", "-metadata:s:s:0", "language=eng"])
        .arg(file)
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg");
    assert!(status.success());
}

/// The only asset, once all of it is there.
fn ready(server: &Server) -> String {
    let asset = wait_for("the asset to be made", MADE, || {
        let listed = server.call("GET", "/v1/assets", &Value::Null);
        let asset = listed["items"].get(0)?.clone();
        assert_ne!(asset["state"], "FAILED", "{asset}\n{}", server.log());
        (asset["state"] == "READY").then_some(asset)
    });
    assert_eq!(asset["name"], NAME);
    text(&asset["id"])
}

/// What Chromium finds on a page, and whether there was something to play.
fn visit(url: &str, more: &[&str]) -> (Value, bool) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../web/tests/asset.mjs");
    let done = Command::new("node").arg(script).args(["--url", url]).args(more).stdin(Stdio::null()).output();
    let done = done.expect("node to start: `cargo xtask test` installs what it needs");
    let said = String::from_utf8_lossy(&done.stderr);
    let found = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (found, done.status.success())
}

#[test]
fn a_dropped_file_plays_on_its_page_and_in_its_collection() {
    let server = Server::start();
    drop_in(&server);
    let asset = ready(&server);
    let course = json!({"name": "Course", "assets": [asset], "viewers": ["anna"]});
    let course = server.call("POST", "/v1/collections", &course);
    let course = format!("/v1/collections/{}", text(&course["id"]));

    let anna = json!({"user": "anna"});
    let play = server.call("POST", &format!("/v1/assets/{asset}/play-url"), &anna);
    let (found, played) = visit(&text(&play["watch_url"]), &[]);
    assert!(played, "{found}");
    assert_eq!((&found["title"], &found["words"]), (&json!(NAME), &json!("")), "{found}");
    assert_eq!((&found["width"], &found["height"]), (&json!(320), &json!(240)), "{found}");
    let duration = found["duration"].as_f64().expect("a duration");
    assert!((9.5..10.5).contains(&duration), "{found}");
    assert_eq!(found["cue"], "By the river", "{found}");
    assert!(found["tile"]["width"].as_u64().is_some_and(|width| width > 0), "{found}");
    assert!(found["poster"]["width"].as_u64().is_some_and(|width| width > 0), "{found}");
    assert!(found["errors"].as_array().is_some_and(Vec::is_empty), "{found}");
    assert!(text(&found["resume"]).starts_with("Resume at 0:0"), "{found}");

    let page = server.call("POST", &format!("{course}/play-url"), &anna);
    let (found, played) = visit(&text(&page["watch_url"]), &[]);
    assert!(played, "{found}");
    assert_eq!(found["items"], json!([format!("1. {NAME}")]), "{found}");
    assert_eq!(found["cue"], "By the river", "{found}");

    // Whom the collection admits no longer is told so, and his signature is not renewed.
    let _ = server.call("PUT", &course, &json!({"name": "Course", "assets": [asset], "viewers": ["ben"]}));
    let (found, played) = visit(&text(&play["watch_url"]), &["--timeout", "5"]);
    assert!(!played && text(&found["words"]).contains("You may not watch this asset"), "{found}");
    let bare = text(&play["watch_url"]);
    let (found, played) = visit(bare.split_once('?').expect("a signature").0, &["--timeout", "5"]);
    assert!(!played && text(&found["words"]).contains("does not open this asset"), "{found}");
}
