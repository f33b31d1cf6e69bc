//! One channel from its making to its end, as an operator lives it: systems.md 1.3 to 1.8.

use std::time::Duration;

use anabranch_testkit::{Encoder, Fetched, Picture, Playlist, Server, Viewer, wait_for};
use serde_json::{Value, json};

use crate::{media_playlist, text, wait_playing};

/// A wish reaches every node within a second; tests of a busy machine get more.
const SOON: Duration = Duration::from_secs(10);

fn push(channel: &Value, at: usize) -> Encoder {
    Encoder::push(&text(&channel["inputs"][at]["push_url_with_key"]), Picture::default())
}

fn until(server: &Server, limit: Duration, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("{arguments:?}"), limit, || server.try_cli(arguments).ok().filter(|shown| wanted(shown)))
}

/// Asks until the edge answers so.
fn answered(url: &str, wanted: impl Fn(&Fetched) -> bool) -> Fetched {
    wait_for(url, SOON, || Viewer::new().try_get(url).filter(|answer| wanted(answer)))
}

fn play(server: &Server, breakout: &str, more: &[&str]) -> Value {
    server.cli(&[&["breakout", "play-url", breakout], more].concat())
}

/// Types of the log's entries about a breakout or channel, oldest first.
fn log(server: &Server, filter: &[&str]) -> Vec<Value> {
    let lines = server.lines(&[&["log", "--limit", "500"], filter].concat());
    lines.iter().map(|line| serde_json::from_str(line).expect("an entry a line")).collect()
}

/// Sum of the segments' durations and where the window ends.
fn newest(multivariant: &Playlist) -> (u64, Playlist) {
    let media = media_playlist(multivariant);
    let first: u64 = media.tag("EXT-X-MEDIA-SEQUENCE").and_then(|first| first.parse().ok()).unwrap_or(0);
    (first + media.uris().len() as u64, media)
}

#[test]
fn a_channel_lives_from_its_making_to_the_sweep() {
    let server = Server::start_with(&[("ANABRANCH_PROVIDER_SWEEP", "1s")]);
    let channel = server.cli(&["channel", "create", "stage", "--segment", "2", "--inputs", "2"]);
    let distribution = text(&channel["distribution"]["id"]);
    // Deployed before anybody streams (V30, V38).
    until(&server, SOON, &["distribution", "show", &distribution], |shown| shown["status"] == "Deployed");

    let page = ["--show-viewers", "true", "--viewer-download", "true"];
    let made =
        server.cli(&[&["breakout", "create", "show", "--channel", "stage", "--curtain", "down"], &page[..]].concat());
    assert_eq!((&made["show_viewers"], &made["viewer_download"]), (&json!(true), &json!(true)));
    let made = server.cli(&["breakout", "update", "show", "--viewer-download", "false"]);
    assert_eq!((&made["show_viewers"], &made["viewer_download"]), (&json!(true), &json!(false)));
    let breakout = server.cli(&["breakout", "start", "show", "--wait"]);
    assert_eq!(breakout["state"], "RUNNING");
    let primary = push(&channel, 0);

    // The curtain is down: an operator's preview opens, the audience's URL does not.
    let preview = text(&play(&server, "show", &["--preview"])["url"]);
    wait_playing(&preview);
    let _backup = push(&channel, 1);
    let first = text(&play(&server, "show", &["--user", "ann"])["url"]);
    let refused = Viewer::new().get(&first);
    assert_eq!((refused.status, refused.header("x-anabranch-denied")), (403, "curtain"));
    let _ = server.cli(&["breakout", "curtain", "show", "up"]);
    answered(&first, |answer| answer.status == 200);

    // Two viewers; a second device of the first one shuts his first out.
    let other = text(&play(&server, "show", &["--user", "bob"])["url"]);
    wait_playing(&other);
    wait_playing(&first);
    let watching = |shown: &Value| shown["viewers"].as_u64().unwrap_or(0) >= 2;
    until(&server, SOON, &["breakout", "show", "show"], watching);
    let second = text(&play(&server, "show", &["--user", "ann"])["url"]);
    wait_playing(&second);
    let shut_out = answered(&first, |answer| answer.status == 403);
    assert_eq!(shut_out.header("x-anabranch-denied"), "device-limit");
    assert_eq!(Viewer::new().get(&second).status, 200);
    assert_eq!(Viewer::new().get(&other).status, 200);

    // The primary encoder dies: the sequence goes on, and the log tells.
    let multivariant = wait_playing(&other);
    let (before, _) = newest(&multivariant);
    drop(primary);
    let media = wait_for("segments of the backup", Duration::from_secs(30), || {
        let (now, media) = newest(&multivariant);
        (now >= before + 4).then_some(media)
    });
    assert!(media.text.matches("#EXT-X-DISCONTINUITY\n").count() <= 1, "{}", media.text);
    let channel_now = until(&server, SOON, &["channel", "show", "stage"], |shown| {
        shown["failover"]["active_input"] == channel["inputs"][1]["id"]
    });
    assert!(text(&channel_now["failover"]["reason"]).contains("input 1"), "{channel_now}");
    let words =
        |filter: &[&str]| -> Vec<String> { log(&server, filter).iter().map(|entry| text(&entry["type"])).collect() };
    wait_for("the failover in the log", SOON, || {
        words(&["--channel", &text(&channel["id"])]).contains(&"input.failover".to_owned()).then_some(())
    });

    // It ends; the recording plays at once under a signature of its own, and as an MP4.
    let _ = server.cli(&["breakout", "stop", "show"]);
    let recordings = until(&server, Duration::from_secs(30), &["recording", "list", "--breakout", "show"], |list| {
        list["items"][0]["state"] == "AVAILABLE"
    });
    let recording = recordings["items"][0].clone();
    let id = text(&recording["id"]);
    assert!(recording["duration_seconds"].as_f64().unwrap_or(0.0) > 8.0, "{recording}");
    let job = server.cli(&["recording", "mp4", &id, "--wait", "--timeout", "120"]);
    assert_eq!((&job["state"], &job["progress_percent"]), (&json!("COMPLETED"), &json!(100.0)));
    let play = server.cli(&["recording", "play-url", &id]);
    let playlist = wait_playing(&text(&play["url"]));
    let media = media_playlist(&playlist);
    assert!(media.text.contains("#EXT-X-ENDLIST"), "{}", media.text);
    assert_eq!(Viewer::new().get(&media.uris()[0]).status, 200);
    assert_eq!(Viewer::new().get(text(&play["url"]).split('?').next().unwrap_or_default()).status, 403);
    let mp4 = Viewer::new().get(&text(&play["mp4_url"]));
    assert_eq!((mp4.status, mp4.body.get(4..8)), (200, Some(&b"ftyp"[..])));

    // The channel goes; the sweep takes its distribution; the recording stays.
    wait_for("the channel to be deleted", SOON, || server.try_cli(&["channel", "delete", "stage", "--force"]).ok());
    wait_for("the distribution to be swept", Duration::from_secs(30), || {
        server.try_cli(&["distribution", "show", &distribution]).err().filter(|error| error.contains("there is no"))
    });
    assert_eq!(Viewer::new().get(&media.uris()[0]).status, 200);
    let told = words(&[]);
    for word in [
        "channel.created",
        "distribution.deployed",
        "breakout.running",
        "breakout.curtain_raised",
        "breakout.completed",
        "recording.available",
        "channel.deleted",
        "distribution.deleted",
    ] {
        assert!(told.contains(&word.to_owned()), "{word} is not in the log: {told:?}");
    }
}

#[test]
fn what_opens_one_breakout_opens_no_other_of_its_channel() {
    let server = Server::start();
    let channel = server.cli(&["channel", "create", "c", "--segment", "2"]);
    let encoder = push(&channel, 0);
    let _ = server.cli(&["breakout", "create", "x", "--channel", "c"]);
    let x = server.cli(&["breakout", "start", "x", "--wait"]);
    let of_x = play(&server, "x", &["--user", "ann"]);
    wait_playing(&text(&of_x["url"]));
    let _ = server.cli(&["breakout", "stop", "x"]);
    let _ = server.cli(&["breakout", "create", "y", "--channel", "c"]);
    let y = server.cli(&["breakout", "start", "y", "--wait"]);
    let of_y = wait_playing(&text(&play(&server, "y", &[])["url"]));
    let media = media_playlist(&of_y);
    let segment = media.uris()[0].split('?').next().expect("a URL").to_owned();
    let (url, query) = of_x["url"].as_str().and_then(|url| url.split_once('?')).expect("a signed URL");
    for address in [url.replace(&text(&x["id"]), &text(&y["id"])), segment] {
        assert_eq!(Viewer::new().get(&format!("{address}?{query}")).status, 403, "{address}");
    }
    // The same by cookie, at the distribution's own host.
    let cookies: Vec<String> = of_x["cookies"]
        .as_array()
        .expect("cookies")
        .iter()
        .map(|cookie| format!("{}={}", text(&cookie["name"]), text(&cookie["value"])))
        .collect();
    let viewer = Viewer::new().with("cookie", &cookies.join("; "));
    let host_url = text(&of_x["host_url"]);
    let of_host = host_url.split('?').next().expect("a URL");
    assert_eq!(viewer.get(of_host).status, 200, "the cookie opens x");
    assert_eq!(
        viewer.get(&of_host.replace(&text(&x["id"]), &text(&y["id"]))).status,
        403,
        "the cookie does not open y"
    );
    drop(encoder);
}
