//! A preset of the configuration with segments of MPEG-TS, captions that are added, and a disk that is full for a while.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anabranch_testkit::{Playlist, Server, Viewer, WorkerNode, wait_for};
use serde_json::{Value, json};

use super::{Film, MADE, decoded, drop_in, object, play, wait_ready};
use crate::text;

/// Two rungs of segments of two seconds in MPEG-TS.
const COURSE: &str = "[demand.presets.course]\nbased_on = \"lms\"\ncontainer = \"ts\"\nsegment_seconds = 2\nmp4_short = 180\n\
    rungs = [{ short = 240, long = 320, max_kbps = 500 }, { short = 180, long = 240, kbps = 200 }]\n";

/// Longest wait for captions that a worker has at hand.
const SOON: Duration = Duration::from_secs(30);

const FILM: Film = Film { size: "320x240", rate: 25, seconds: 7, tone: 555 };

fn playlist(server: &Server, asset: &Value) -> Playlist {
    Viewer::new().playlist(&text(&play(server, asset)["url"]))
}

/// Lines of the multivariant playlist that tell of captions, once they are as wanted.
fn captions(server: &Server, asset: &Value, is_wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    wait_for("the captions", SOON, || {
        let playlist = playlist(server, asset);
        let told = playlist.text.lines().filter(|line| line.contains("TYPE=SUBTITLES"));
        let told: Vec<String> = told.map(str::to_owned).collect();
        is_wanted(&told).then_some(told)
    })
}

fn url_of(line: &str) -> String {
    let (_, rest) = line.split_once("URI=\"").expect("an address");
    rest.split('"').next().expect("its end").to_owned()
}

/// The words of captions, and the address of their playlist.
fn words(server: &Server, asset: &Value, line: &str) -> (String, String) {
    let base = playlist(server, asset).url;
    let (folder, _) = base.split_once("/HLS/").expect("the folder of playlists");
    let name = url_of(line);
    let media = Viewer::new().playlist(&format!("{folder}/HLS/{}", name.trim_start_matches("./")));
    let file = Viewer::new().get(&media.uris()[0]);
    assert_eq!((file.status, file.header("content-type")), (200, "text/vtt"));
    (file.text(), media.url)
}

#[test]
fn a_preset_of_the_configuration_makes_transport_streams() {
    let file = std::env::temp_dir().join(format!("anabranch-course-{}.toml", std::process::id()));
    fs::write(&file, COURSE).expect("a scratch file");
    let server = Server::start_with(&[("ANABRANCH_CONFIG", file.to_str().expect("a path in UTF-8"))]);
    let _ = fs::remove_file(&file);
    let film = FILM.file(&server, "film.mp4");
    let film = film.to_str().expect("a path in UTF-8");
    assert!(server.cli_refused(&["asset", "add", film, "--preset", "curse"]).contains("standard, lms, live, course"));
    let asset = server.cli(&["asset", "add", film, "--preset", "course", "--wait"]);
    assert_eq!((&asset["state"], &asset["preset"]), (&json!("READY"), &json!("course")), "{asset:#}");
    assert_eq!(asset["audio"].as_array().map(Vec::len), Some(1), "{asset:#}");
    let rungs: Vec<String> = asset["rungs"].as_array().expect("rungs").iter().map(|rung| text(&rung["name"])).collect();
    assert_eq!(rungs, ["240", "180"]);

    let multivariant = playlist(&server, &asset);
    assert!(!multivariant.text.contains("_audio_"), "the sound is in the pictures: {}", multivariant.text);
    for rung in multivariant.uris() {
        let media = Viewer::new().playlist(&rung);
        let segments = media.uris();
        assert!(segments.len() == 4 && segments.iter().all(|url| url.contains(".ts?")), "{}", media.text);
        assert!(media.attribute_uris().is_empty(), "no init section: {}", media.text);
        let first = Viewer::new().get(&segments[0]);
        assert_eq!((first.status, first.header("content-type")), (200, "video/mp2t"));
        let probe = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-show_entries",
                "format=format_name:stream=codec_name",
                "-of",
                "csv=p=0",
                &segments[1],
            ])
            .output()
            .expect("ffprobe");
        let told = String::from_utf8_lossy(&probe.stdout).into_owned();
        // Streams are told once more as those of a program.
        let kinds: BTreeSet<&str> = told.split_whitespace().collect();
        assert_eq!(kinds, BTreeSet::from(["aac", "h264", "mpegts"]), "{told}");
        assert_eq!(Viewer::new().get(segments[0].split('?').next().expect("an address")).status, 403);
        let all = decoded(&rung);
        assert_eq!((all.video.as_slice(), all.audio.len()), ([FILM.frames()].as_slice(), 1));
        assert!(all.audio[0].abs_diff(FILM.seconds * 48_000) < 4_800, "{all:?}");
    }
    // Captions lie beside transport streams too.
    let words_of = server.data().with_file_name("words.srt");
    fs::write(&words_of, "1\n00:00:01,000 --> 00:00:02,500\nHello\n").expect("a scratch file");
    let id = text(&asset["id"]);
    let file = words_of.to_str().expect("a path in UTF-8");
    let _ = server.cli(&["asset", "captions", "add", &id, file, "--language", "en"]);
    let told = captions(&server, &asset, |told| told.len() == 1);
    assert!(words(&server, &asset, &told[0]).0.contains("X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000"));
    assert_eq!(decoded(&playlist(&server, &asset).url).video, [FILM.frames(); 2]);
}

#[test]
fn captions_come_and_go_with_a_finished_asset() {
    let server = Server::start();
    // One lies there before its film, another comes with it.
    let beside = server.data().with_file_name("beside");
    fs::write(&beside, "WEBVTT\n\n00:01.000 --> 00:02.000\nHallo\n").expect("a scratch file");
    drop_in(&server, &beside, "film.de.vtt");
    wait_for("the captions to wait for their film", SOON, || object(&server, "film.de.vtt"));
    drop_in(&server, &FILM.file(&server, "film"), "film.mp4");
    let asset = wait_ready(&server, "film.mp4");
    let id = text(&asset["id"]);
    let told = captions(&server, &asset, |told| told.len() == 1);
    assert!(told[0].contains("LANGUAGE=\"de\"") && told[0].contains("NAME=\"de\""), "{told:?}");
    let (text_of, first) = words(&server, &asset, &told[0]);
    assert!(text_of.contains("X-TIMESTAMP-MAP=MPEGTS:900000") && text_of.contains("\nHallo\n"), "{text_of}");

    let file = server.data().with_file_name("words.srt");
    let path = file.to_str().expect("a path in UTF-8");
    fs::write(&file, "1\n00:00:01,000 --> 00:00:02,500\n<i>Good</i> day & night\n").expect("a scratch file");
    let added =
        server.cli(&["asset", "captions", "add", &id, path, "--language", "de", "--label", "Deutsch", "--default"]);
    assert_eq!((&added["cues"], &added["is_default"]), (&json!(1), &json!(true)));
    let told = captions(&server, &asset, |told| told.iter().any(|line| line.contains("\"Deutsch\"")));
    assert!(told.len() == 1 && told[0].contains("DEFAULT=YES"), "{told:?}");
    let (text_of, _) = words(&server, &asset, &told[0]);
    assert!(text_of.contains("\n<i>Good</i> day &amp; night\n"), "{text_of}");
    wait_for("the edge to forget", SOON, || (Viewer::new().get(&first).status == 404).then_some(()));
    fs::write(&file, "1\n00:00:03,000 --> 00:00:02,500\nno\n").expect("a scratch file");
    let refused = server.cli_refused(&["asset", "captions", "add", &id, path, "--language", "en"]);
    assert!(refused.contains("line 2") && refused.contains("ends after it begins"), "{refused}");
    assert_eq!(server.cli(&["asset", "captions", "list", &id])["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(decoded(&playlist(&server, &asset).url).video.len(), asset["rungs"].as_array().map_or(0, Vec::len));

    let _ = server.cli(&["asset", "captions", "remove", &id, "--language", "de"]);
    captions(&server, &asset, <[String]>::is_empty);
    let _ = server.call("DELETE", &format!("/v1/assets/{id}"), &Value::Null);
    let objects = super::made(&server, &asset);
    wait_for("an empty disk", MADE, || (super::files_below(&objects) == 0).then_some(()));
}

#[test]
fn an_asset_waits_for_room_and_another_worker_leaves_nothing() {
    let server = Server::start_with(&[("ANABRANCH_DEMAND_ASSETS_AT_ONCE", "0")]);
    // A reserve larger than any disk: nothing may be written.
    let mut full = WorkerNode::start(&server, &[("ANABRANCH_STORE_RESERVE", "4000000TiB")]);
    drop_in(&server, &FILM.file(&server, "film"), "film.mp4");
    let job = wait_for("two tries that find no room", Duration::from_secs(60), || {
        let id = object(&server, "film.mp4")?["asset"].as_str()?.to_owned();
        let asset = server.call("GET", &format!("/v1/assets/{id}"), &Value::Null);
        let job = server.call("GET", &format!("/v1/jobs/{}", asset["job"].as_str()?), &Value::Null);
        let waits = asset["next_try_at"].is_string() && asset["problem"].as_str()?.contains("disk full");
        (waits && job["state"] == "QUEUED" && job["waits"].as_u64() >= Some(2)).then_some(job)
    });
    assert_eq!(job["attempts"], job["waits"], "{job:#}");
    let folders = |worker: &WorkerNode| fs::read_dir(worker.data().join("work")).into_iter().flatten().count();
    assert_eq!(folders(&full), 1, "what it has begun stays for the next try");
    full.kill();
    let other = WorkerNode::start(&server, &[]);
    let asset = wait_ready(&server, "film.mp4");
    assert_eq!(asset["problem"], Value::Null);
    assert_eq!(folders(&other), 0);
    full.restart();
    wait_for("the other to tidy up", SOON, || (folders(&full) == 0).then_some(()));
}
