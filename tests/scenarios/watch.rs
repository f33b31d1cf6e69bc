//! `anabranch watch` on a frozen, a 404-ing, an ended and a healthy stream.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anabranch_testkit::{Reply, Site, binary, live_playlist, multivariant_playlist, wait_for};
use serde_json::Value;

/// Streams of one second segments, by the first part of the path.
fn site() -> Site {
    let begun = Instant::now();
    Site::start(move |asked| {
        let now = 100 + begun.elapsed().as_secs();
        match asked.path() {
            "/none/index.m3u8" => Reply::status(404),
            path if path.ends_with("/index.m3u8") => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
            path if path.ends_with(".ts") => Reply::ok("segment"),
            path if path.starts_with("/frozen/") => Reply::ok(live_playlist("v", 1, 100)),
            path if path.starts_with("/missing/") => Reply::status(404),
            path if path.starts_with("/ended/") => Reply::ok(live_playlist("v", 1, 100) + "#EXT-X-ENDLIST\n"),
            _ => Reply::ok(live_playlist("v", 1, now)),
        }
    })
}

fn watch(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("watch").args(arguments).stdin(Stdio::null());
    for name in ["AWS_REGION", "AWS_ENDPOINT_URL", "ANABRANCH_OUTPUT"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    watch(arguments).output().expect("the command line to run")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON, not {line}"))).collect()
}

#[test]
fn four_streams_get_the_four_right_verdicts() {
    let site = site();
    for (stream, state, reason, code) in [
        ("healthy", "fresh", "all fresh", 0),
        ("frozen", "stale", "tolerance exceeded", 1),
        ("missing", "stale", "tolerance exceeded", 1),
        ("none", "stale", "no playlists", 1),
        ("ended", "ended", "ended", 0),
    ] {
        let url = site.url(&format!("/{stream}/index.m3u8?Policy=secret"));
        let output = run(&[&url, "--once", "--output", "json"]);
        let said = lines(&output);
        let last =
            said.iter().rfind(|line| line["detector"].is_object()).unwrap_or_else(|| panic!("{stream}: {output:?}"));
        assert_eq!(
            (&last["detector"]["state"], &last["detector"]["reason"]),
            (&state.into(), &reason.into()),
            "{stream}"
        );
        assert_eq!(output.status.code(), Some(code), "{stream}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("secret"), "{stream}");
    }
    let asked = site.asked();
    assert!(
        asked.iter().filter(|one| one.path().ends_with("index.m3u8")).all(|one| one.target.ends_with("?Policy=secret"))
    );
}

#[test]
fn wrong_use_is_told() {
    for arguments in [&["ftp://a/b"][..], &["http://127.0.0.1/", "--multiplier", "0"], &["--once"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_stream_that_freezes_is_told_to_a_webhook_and_to_prometheus() {
    let site = site();
    let hook = Site::start(|_| Reply::status(204));
    let metrics =
        std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port").local_addr().expect("its address");
    let url = site.url("/healthy/index.m3u8");
    let arguments =
        [&url, "--cdn", &url, "--webhook", &hook.url("/"), "--metrics", &metrics.to_string(), "--name", "gala"];
    let mut child = watch(&arguments).stdout(Stdio::null()).spawn().expect("the command line to start");
    let states = || -> Vec<(String, String)> {
        let told = hook.asked();
        let json = told.iter().map(|one| serde_json::from_slice::<Value>(&one.body).expect("JSON"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        json.map(|one| (text(&one["options"]["name"]), text(&one["detector"]["state"]))).collect()
    };
    let has = |name: &str, state: &str| states().contains(&(name.to_owned(), state.to_owned())).then_some(());
    let patience = Duration::from_secs(30);
    wait_for("fresh", patience, || has("gala origin", "fresh").and(has("gala cdn", "fresh")));
    let page = wait_for("metrics", patience, || {
        let page = anabranch_testkit::Viewer::new().try_get(&format!("http://{metrics}/metrics"))?.text();
        page.contains("anabranch_cluster_watch_verdict{watch=\"gala cdn\",state=\"fresh\"} 1").then_some(page)
    });
    assert!(page.contains("anabranch_cluster_watch_playlists{watch=\"gala origin\",state=\"fresh\"} 2"), "{page}");
    site.become_another(|asked| match asked.path() {
        path if path.ends_with("/index.m3u8") => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
        _ => Reply::ok(live_playlist("v", 1, 500)),
    });
    wait_for("stale", patience, || has("gala origin", "stale").and(has("gala cdn", "stale")));
    site.become_another(|asked| match asked.path() {
        path if path.ends_with("/index.m3u8") => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
        _ => Reply::ok(live_playlist("v", 1, 501) + "#EXT-X-ENDLIST\n"),
    });
    wait_for("the end", patience, || has("gala origin", "ended").and(has("gala cdn", "ended")));
    let status = wait_for("its exit", patience, || child.try_wait().expect("its state"));
    assert_eq!(status.code(), Some(0));
}
