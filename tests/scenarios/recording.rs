//! What viewers were given stays: a breakout that ends is a recording, and an MP4 if somebody wants one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Playlist, Server, Viewer, wait_for};
use anabranch_transcode::{CancellationToken, Limits, Method, Mp4Done, Mp4Job, Worker};
use serde_json::{Value, json};

use crate::{play_url, push_url, text, wait_playing};

/// Bodies by the name that they have below the breakout.
type Bodies = BTreeMap<String, Vec<u8>>;

/// A channel with short segments, and its breakout on air.
fn on_air(server: &Server, name: &str) -> (Value, Value) {
    let channel = server.cli(&["channel", "create", name, "--segment", "2"]);
    let breakout = server.cli(&["breakout", "create", name, "--channel", &text(&channel["id"])]);
    let breakout = server.cli(&["breakout", "start", &text(&breakout["id"]), "--wait"]);
    (channel, breakout)
}

/// Part of a URL below the breakout or the recording.
fn name_in(url: &str) -> String {
    let path = url.split('?').next().unwrap_or(url);
    path.rsplitn(3, '/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/")
}

/// Fetches what the playlists name and was not fetched before; nothing while a playlist cannot be read.
fn watch(renditions: &[String], fetched: &mut Bodies) -> Option<()> {
    for url in renditions {
        let answer = Viewer::new().try_get(url).filter(|answer| answer.status == 200)?;
        let playlist = Playlist { url: url.clone(), text: answer.text() };
        for object in playlist.uris().into_iter().chain(playlist.attribute_uris()) {
            if let Entry::Vacant(place) = fetched.entry(name_in(&object)) {
                let answer = Viewer::new().try_get(&object).filter(|answer| answer.status == 200)?;
                place.insert(answer.body);
            }
        }
    }
    Some(())
}

/// Watches until so many more segments of each rendition are there.
fn watch_more(renditions: &[String], fetched: &mut Bodies, more: usize) {
    let count = |fetched: &Bodies, kind: &str| {
        fetched.keys().filter(|name| name.starts_with(kind) && name.ends_with(".m4s")).count()
    };
    let wanted = ["video", "audio"].map(|kind| count(fetched, kind) + more);
    wait_for("more segments", Duration::from_secs(60), || {
        watch(renditions, fetched)?;
        (count(fetched, "video") >= wanted[0] && count(fetched, "audio") >= wanted[1]).then_some(())
    });
}

fn renditions(multivariant: &Playlist) -> Vec<String> {
    multivariant.uris().into_iter().chain(multivariant.attribute_uris()).collect()
}

fn seconds(playlist: &str) -> f64 {
    let durations = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next());
    durations.map(|seconds| seconds.parse::<f64>().expect("a number")).sum()
}

/// A distribution of the bucket of recordings, whose objects only signatures open.
fn shared_distribution(server: &Server) -> String {
    let groups = server.cli(&["key-group", "list"]);
    let config = json!({
        "CallerReference": "recordings", "Comment": "", "Enabled": true,
        "Origins": {"Quantity": 1, "Items": [{
            "Id": "recordings", "DomainName": "recordings.s3.anabranch.internal",
            "S3OriginConfig": {"OriginAccessIdentity": ""}
        }]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "recordings", "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            "TrustedKeyGroups": {"Enabled": true, "Quantity": 1, "Items": [groups["items"][0]["id"]]}
        }
    });
    let file = server.data().with_file_name("recordings.json");
    fs::write(&file, config.to_string()).expect("a scratch file");
    text(&server.cli(&["distribution", "create", "--config", &file.to_string_lossy(), "--wait"])["id"])
}

fn mp4(folder: &Path) -> Mp4Done {
    let limits = Limits { reserve_bytes: 0, ..Limits::default() };
    let job = Mp4Job { input_playlist: folder.join("index.m3u8"), output: folder.join("recording.mp4"), limits };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Worker::default().mp4(job, |_| {}, &CancellationToken::new())).expect("an MP4")
}

/// Duration of a file in seconds; neither reading nor decoding may complain.
fn judged_duration(path: &Path) -> f64 {
    let mut ffmpeg = Command::new("ffmpeg");
    let decoded = ffmpeg.args(["-v", "warning", "-i"]).arg(path).args(["-f", "null", "-"]).output().expect("ffmpeg");
    assert_eq!(String::from_utf8_lossy(&decoded.stderr), "");
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "warning", "-of", "csv=p=0", "-show_entries", "format=duration"]).arg(path);
    let probed = ffprobe.output().expect("ffprobe");
    assert_eq!(String::from_utf8_lossy(&probed.stderr), "");
    String::from_utf8_lossy(&probed.stdout).trim().parse().expect("a number")
}

#[test]
fn a_recording_is_what_viewers_got_across_losses_and_plays_the_moment_it_ends() {
    let mut server = Server::start();
    let shared = shared_distribution(&server);
    let (channel, breakout) = on_air(&server, "recorded");
    let id = text(&breakout["id"]);
    let folder: PathBuf = server.data().join("media/bucket/recordings").join(&id).join("1");
    let recording = format!("{}/d/{shared}/{id}/1", server.edge());
    let signed = text(
        &server.cli(&["sign", &format!("{recording}/index.m3u8"), "--resource", &format!("{recording}/*")])["url"],
    );
    let mut fetched = Bodies::new();

    let encoder = Encoder::push(&push_url(&channel), Picture::default());
    let playing = renditions(&wait_playing(&play_url(&server, &breakout)));
    watch_more(&playing, &mut fetched, 2);
    assert_eq!(Viewer::new().get(&signed).status, 404, "there is no recording yet");
    server.kill();
    drop(encoder);
    server.restart();
    let encoder = Encoder::push(&push_url(&channel), Picture::default());
    watch_more(&playing, &mut fetched, 2);
    drop(encoder);
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    watch_more(&playing, &mut fetched, 2);
    let _ = server.cli(&["breakout", "stop", &id]);
    wait_for("the end of the playlist", Duration::from_secs(15), || {
        // Copies of playlists at the edge may be of another moment each.
        let ended = |url: &String| Some(Viewer::new().try_get(url)?.text().contains("#EXT-X-ENDLIST"));
        playing.iter().all(|url| ended(url) == Some(true)).then_some(())
    });
    watch(&playing, &mut fetched).expect("the end of the live playlists");

    // At once, though it was asked for too early.
    let index = wait_for("the recording", Duration::from_secs(3), || {
        Viewer::new().try_get(&signed).filter(|answer| answer.status == 200)
    });
    let index = Playlist { url: signed, text: index.text() };
    assert_eq!(Viewer::new().get(&format!("{recording}/index.m3u8")).status, 403, "unsigned");
    let mut recorded = Bodies::new();
    let lists = renditions(&index);
    assert_eq!(lists.len(), 2);
    watch(&lists, &mut recorded).expect("the whole recording under one signature");
    for (name, body) in &fetched {
        assert!(recorded.get(name) == Some(body), "{name} is not what a viewer got");
        assert_eq!(&fs::read(folder.join(name)).expect("an object of the store"), body, "{name}");
    }
    assert_eq!(recorded.keys().collect::<Vec<_>>(), fetched.keys().collect::<Vec<_>>());
    let gaps: Value = serde_json::from_slice(&fs::read(folder.join("gaps.json")).expect("gaps")).expect("JSON");
    let reasons: Vec<&Value> = gaps["gaps"].as_array().expect("a list").iter().map(|gap| &gap["reason"]).collect();
    assert_eq!(reasons, ["restart", "encoder_lost"]);

    let total = seconds(&fs::read_to_string(folder.join("video.m3u8")).expect("a playlist"));
    assert!(total >= 8.0, "{total}");
    let done = mp4(&folder);
    assert_eq!(done.method, Method::Copied);
    let told = judged_duration(&folder.join("recording.mp4"));
    // The list is of pictures; sound may end some frames of its own later.
    assert!((told - total).abs() < 0.07 && done.duration_ms.abs_diff((total * 1000.0) as u64) < 50, "{told} {total}");
}
