//! A file that is dropped in becomes a ladder that only signatures open, and is gone when it is deleted.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anabranch_testkit::{Playlist, Server, Viewer, wait_for};
use serde_json::{Value, json};

use super::{Film, decoded, drop_in, ffmpeg, files_below, made, object, play, wait_ready};
use crate::text;

const SECONDS: usize = 8;
const FRAMES: usize = SECONDS * 25;

/// Pictures, two languages of sound, and captions of a third.
fn holiday(server: &Server) -> std::path::PathBuf {
    let (path, words) = (server.data().with_file_name("holiday"), server.data().with_file_name("words.srt"));
    std::fs::write(&words, "1\n00:00:01,000 --> 00:00:02,500\nBonjour\n\n2\n00:00:05,000 --> 00:00:07,000\nAdieu\n")
        .expect("a scratch file");
    #[rustfmt::skip]
    ffmpeg(&[
        "-f", "lavfi", "-i", "testsrc2=size=960x540:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
        "-f", "lavfi", "-i", "sine=frequency=880:sample_rate=48000", "-i", &words.to_string_lossy(),
        "-t", &SECONDS.to_string(), "-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s",
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac", "-ac", "2",
        "-c:s", "mov_text", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu",
        "-metadata:s:s:0", "language=fra", "-f", "mp4", &path.to_string_lossy(),
    ]);
    path
}

/// Every URL of the ladder: playlists, initialisation, segments, captions.
fn everything(multivariant: &Playlist) -> Vec<String> {
    let mut all = vec![multivariant.url.clone()];
    for url in multivariant.uris().into_iter().chain(multivariant.attribute_uris()) {
        let media = Viewer::new().playlist(&url);
        all.push(url);
        all.extend(media.uris().into_iter().chain(media.attribute_uris()));
    }
    all.sort();
    all.dedup();
    all
}

fn lines<'a>(playlist: &'a Playlist, tag: &str, with: &str) -> Vec<&'a str> {
    playlist.text.lines().filter(|line| line.starts_with(tag) && line.contains(with)).collect()
}

fn unsigned(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// The URL with another character in its signature.
fn tampered(url: &str) -> String {
    let (before, signature) = url.split_once("Signature=").expect("a signature");
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{before}Signature={other}{}", &signature[1..])
}

/// Names and sizes of the boxes of an MP4, at its top.
fn boxes(bytes: &[u8]) -> Vec<String> {
    let (mut at, mut names) = (0, Vec::new());
    while let Some(head) = bytes.get(at..at + 8) {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        names.push(String::from_utf8_lossy(&head[4..8]).into_owned());
        assert!(size >= 8, "{names:?}");
        at += size;
    }
    assert_eq!(at, bytes.len(), "{names:?}");
    names
}

fn check_ladder(multivariant: &Playlist) {
    let variants = lines(multivariant, "#EXT-X-STREAM-INF:", "");
    assert_eq!(variants.len(), 2, "{}", multivariant.text);
    for size in ["960x540", "640x360"] {
        assert_eq!(lines(multivariant, "#EXT-X-STREAM-INF:", &format!("RESOLUTION={size}")).len(), 1);
        assert_eq!(lines(multivariant, "#EXT-X-I-FRAME-STREAM-INF:", &format!("RESOLUTION={size}")).len(), 1);
    }
    assert!(variants.iter().all(|line| line.contains("avc1.") && line.contains("mp4a.40.2")), "{variants:?}");
    for (kind, language) in [("AUDIO", "en"), ("AUDIO", "de"), ("SUBTITLES", "fr")] {
        let named = lines(multivariant, "#EXT-X-MEDIA:", &format!("TYPE={kind}"));
        let of = named.iter().filter(|line| line.contains(&format!("LANGUAGE=\"{language}")));
        assert_eq!(of.count(), 1, "{kind} {language}: {}", multivariant.text);
    }
    for url in lines(multivariant, "#EXT-X-I-FRAME-STREAM-INF:", "") {
        let url = url.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a URI");
        let frames = Viewer::new()
            .playlist(&Playlist { text: format!("URI=\"{url}\""), ..multivariant.clone() }.attribute_uris()[0]);
        assert!(
            frames.text.contains("#EXT-X-I-FRAMES-ONLY") && frames.text.contains("#EXT-X-BYTERANGE:"),
            "{}",
            frames.text
        );
        assert_eq!(multivariant.url.contains("Policy="), frames.uris()[0].contains("Policy="));
    }
}

fn check_captions(multivariant: &Playlist) {
    let line = lines(multivariant, "#EXT-X-MEDIA:", "TYPE=SUBTITLES")[0].to_owned();
    let captions = Playlist { text: line, ..multivariant.clone() }.attribute_uris().remove(0);
    let segments = Viewer::new().playlist(&captions).uris().into_iter().map(|url| Viewer::new().get(&url).text());
    let all = segments.collect::<String>();
    assert!(all.starts_with("WEBVTT"), "{all}");
    for cue in ["00:01.000 --> 00:02.500\nBonjour", "00:05.000 --> 00:07.000\nAdieu"] {
        assert!(all.contains(cue), "{all}");
    }
}

fn check_files(server: &Server, signed: &Value) {
    let fetch = |url: &str| {
        assert_eq!(Viewer::new().get(unsigned(url)).status, 403, "{url}");
        let answer = Viewer::new().get(url);
        assert_eq!(answer.status, 200, "{url}");
        answer.body
    };
    let mp4 = fetch(&text(&signed["mp4_url"]));
    let names = boxes(&mp4);
    let at = |name: &str| names.iter().position(|known| known == name);
    assert!(at("moov").is_some() && at("moov") < at("mdat"), "{names:?}");
    let copy = server.data().with_file_name("fetched.mp4");
    std::fs::write(&copy, mp4).expect("a scratch file");
    assert_eq!(decoded(&copy.to_string_lossy()).video, [FRAMES]);

    let is_picture = |body: &[u8]| body.starts_with(&[0xff, 0xd8, 0xff]);
    let poster = text(&signed["poster_url"]);
    assert!(is_picture(&fetch(&poster)));
    assert!(is_picture(&fetch(&poster.replace("poster.jpg", "thumb_00001.jpg"))));
    let sprite = text(&signed["sprite_url"]);
    let cues = String::from_utf8(fetch(&sprite)).expect("text");
    assert!(cues.starts_with("WEBVTT"), "{cues}");
    let named: Vec<&str> = cues.lines().filter(|line| line.contains("#xywh=")).collect();
    assert_eq!(named.len(), SECONDS.div_ceil(5), "{cues}");
    let file = named[0].split('#').next().expect("a name");
    assert!(is_picture(&fetch(&sprite.replace("sprite.vtt", unsigned(file)))), "{cues}");
}

fn check_cookies(signed: &Value) {
    let cookies = signed["cookies"].as_array().expect("cookies");
    let cookies: Vec<_> = cookies.iter().map(|c| format!("{}={}", text(&c["name"]), text(&c["value"]))).collect();
    let host = text(&signed["host_url"]);
    assert_eq!(Viewer::new().get(&host).status, 200);
    let url = unsigned(&host).to_owned();
    assert_eq!(Viewer::new().get(&url).status, 403);
    let viewer = Viewer::new().with("Cookie", &cookies.join("; "));
    let multivariant = viewer.playlist(&url);
    let media = viewer.playlist(&multivariant.uris()[0]);
    assert!(!media.text.contains("Policy="), "{}", media.text);
    for segment in media.uris().into_iter().chain(media.attribute_uris()) {
        assert_eq!((viewer.get(&segment).status, Viewer::new().get(&segment).status), (200, 403), "{segment}");
    }
}

/// Deletes the asset while a viewer has all of it cached and goes on asking.
fn check_deletion(server: &Server, asset: &Value, all: &[String]) {
    for url in all {
        assert_eq!(Viewer::new().get(url).status, 200, "{url}");
        let again = Viewer::new().get(url);
        assert!(again.header("x-cache").starts_with("Hit"), "{url}: {}", again.header("x-cache"));
    }
    let _ = server.call("DELETE", &format!("/v1/assets/{}", text(&asset["id"])), &Value::Null);
    let deleted = Instant::now();
    for url in all {
        wait_for("the deletion on the edge", Duration::from_secs(10), || {
            (Viewer::new().get(url).status == 404).then_some(())
        });
    }
    assert!(deleted.elapsed() < Duration::from_secs(5), "{:?}", deleted.elapsed());
    wait_for("an empty disk", Duration::from_secs(10), || (files_below(&made(server, asset)) == 0).then_some(()));
    assert_eq!(files_below(&server.data().join("work")), 0, "nothing of unfinished work stays");
    for url in all {
        assert_eq!(Viewer::new().get(url).status, 404, "{url}");
    }
    assert_eq!(server.ask("GET", &format!("/v1/assets/{}", text(&asset["id"])), &Value::Null).status, 404);
    assert!(object(server, "holiday.2024.final.mp4").is_some(), "the file itself stays");
}

#[test]
fn a_dropped_file_becomes_a_protected_ladder() {
    let server = Server::start();
    let slow = std::fs::read(Film { tone: 300, ..Film::default() }.file(&server, "slow")).expect("a film");
    let folder = server.data().join("drop");
    let mut writer = File::create(folder.join("slow.mp4")).expect("the folder that is watched");
    let (first, last) = slow.split_at(slow.len() / 2);
    writer.write_all(first).expect("a file");
    drop_in(&server, &holiday(&server), "holiday.2024.final.mp4");
    let asset = wait_ready(&server, "holiday.2024.final.mp4");
    assert_eq!(asset["name"], "holiday.2024.final.mp4");
    assert!(!folder.join("holiday.2024.final.mp4").exists());

    // All this time nothing came of the file that somebody writes.
    assert!(folder.join("slow.mp4").exists() && object(&server, "slow.mp4").is_none());
    writer.write_all(last).expect("a file");
    drop(writer);

    let signed = play(&server, &asset);
    let url = text(&signed["url"]);
    let multivariant = Viewer::new().playlist(&url);
    check_ladder(&multivariant);
    check_captions(&multivariant);
    let all = everything(&multivariant);
    for url in &all {
        let viewer = Viewer::new();
        let got = [url.as_str(), unsigned(url), &tampered(url)].map(|url| viewer.get(url).status);
        assert_eq!(got, [200, 403, 403], "{url}");
    }
    let played = decoded(&url);
    assert_eq!(played.video, [FRAMES, FRAMES], "{played:?}");
    assert_eq!(played.audio.len(), 2, "{played:?}");
    assert!(played.audio.iter().all(|samples| samples.abs_diff(SECONDS * 48_000) < 4_800), "{played:?}");
    check_files(&server, &signed);
    check_cookies(&signed);

    let slow = wait_ready(&server, "slow.mp4");
    assert_eq!(decoded(&text(&play(&server, &slow)["url"])).video, [Film::default().frames()]);
    check_deletion(&server, &asset, &all);
}

#[test]
fn a_ladder_plays_by_copies_of_its_signature() {
    let server = Server::start();
    let _ = server.call("PATCH", "/v1/buckets/uploads", &json!({"preset": "live"}));
    let film = Film { size: "640x480", seconds: 7, ..Film::default() };
    drop_in(&server, &film.file(&server, "film"), "film.mp4");
    let asset = wait_ready(&server, "film.mp4");
    let url = text(&play(&server, &asset)["prefix_url"]);
    assert!(url.contains("&Policy-PREFIX=") && url.contains("&Signature-PREFIX="), "{url}");
    let played = decoded(&url);
    assert_eq!((played.video, played.audio.len()), (vec![film.frames(); 2], 1));
    for child in Viewer::new().playlist(&url).uris() {
        let media = Viewer::new().playlist(&child);
        assert!(media.uris().iter().all(|uri| uri.contains("?Policy=") && !uri.contains("-PREFIX")), "{}", media.text);
    }
}
