//! Regions that somebody else runs, and watchers that are no instance of a cluster.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anabranch_testkit::{Asked, Reply, Server, Site, binary, live_playlist, multivariant_playlist, wait_for};
use serde_json::Value;

/// Longest wait for a verdict.
const JUDGED: Duration = Duration::from_secs(40);

/// What an origin asks for.
const KEY: &str = "a-very-secret-word";

/// A stream of segments that take `seconds`, which goes on.
fn live(asked: &Asked, begun: Instant, seconds: u64) -> Reply {
    match asked.path() {
        path if path.ends_with("/index.m3u8") => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
        path if path.ends_with(".ts") => Reply::ok("segment"),
        _ => Reply::ok(live_playlist("v", seconds, 100 + begun.elapsed().as_secs() / seconds)),
    }
}

fn verdict_of(server: &Server, name: &str) -> String {
    let shown = server.cli(&["cluster", "show", "show"]);
    let regions = shown["regions"].as_array().cloned().unwrap_or_default();
    let region = regions.into_iter().find(|region| region["name"] == name);
    region.map_or_else(String::new, |region| crate::text(&region["verdict"]))
}

fn wait_verdict(server: &Server, region: &str, verdict: &str) {
    wait_for(&format!("{region} is {verdict}"), JUDGED, || (verdict_of(server, region) == verdict).then_some(()));
}

/// A watch that ends with the test.
struct Outside(Child, tempfile::TempDir);

impl Outside {
    fn start(arguments: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let said = File::create(place.path().join("said")).expect("a file");
        let mut command = Command::new(binary());
        command.arg("watch").args(arguments).args(["--output", "json"]);
        command.env("ANABRANCH_TOKEN", Server::token()).env_remove("AWS_REGION");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Self(command.spawn().expect("the command line to start"), place)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.1.path().join("said")).unwrap_or_default()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watcher_outside_votes_and_what_fails_is_shown() {
    let server = Server::start();
    let begun = Instant::now();
    let site = Site::start(move |asked| live(asked, begun, 1));
    let url = site.url("/index.m3u8");
    // Nobody watches these but the one outside: the cluster's own watchers find nothing to say.
    let regions = ["eu", "us"].map(|name| format!("{name},origin=http://127.0.0.1:9/{{breakout}}/{name}.m3u8"));
    let outside = Outside::start(&[
        &url,
        "--vote-to",
        &server.api(),
        "--cluster",
        "show",
        "--region",
        "eu",
        "--name",
        "outside",
        "--preset",
        "relaxed",
    ]);
    wait_for("the error is shown", JUDGED, || outside.said().contains("no cluster").then_some(()));
    let (eu, us) = (&regions[0], &regions[1]);
    let _ = server.cli(&["cluster", "create", "show", "--region", eu, "--region", us, "--silence", "3000"]);
    let vote = || -> Option<Value> {
        let votes = server.cli(&["cluster", "votes", "show"]);
        votes["items"].as_array()?.iter().find(|vote| vote["watcher"] == "outside").cloned()
    };
    let fresh = wait_for("a vote", JUDGED, || vote().filter(|vote| vote["state"] == "fresh"));
    assert_eq!((&fresh["region"], &fresh["counts"]), (&"eu".into(), &true.into()), "{fresh}");
    wait_verdict(&server, "eu", "fresh");
    site.become_another(|asked| match asked.path() {
        path if path.ends_with("/index.m3u8") => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
        _ => Reply::ok(live_playlist("v", 1, 100)),
    });
    let stale = wait_for("another vote", JUDGED, || vote().filter(|vote| vote["state"] == "stale"));
    assert!(crate::text(&stale["reason"]).starts_with("outside: "), "{stale}");
    // It goes on saying so, and is never silent.
    let heard = crate::text(&stale["heard_at"]);
    wait_for("a later vote", JUDGED, || vote().filter(|vote| crate::text(&vote["heard_at"]) > heard));
    assert_eq!(server.cli(&["cluster", "show", "show"])["silent_watchers"], Value::Array(Vec::new()));
    // Who is gone is an alarm.
    drop(outside);
    wait_for("the silence", JUDGED, || {
        let shown = server.cli(&["cluster", "show", "show"]);
        (shown["silent_watchers"] == serde_json::json!(["outside"])).then_some(())
    });
}

#[test]
fn a_foreign_origin_is_asked_with_its_header_and_nobody_else_is() {
    let server = Server::start();
    let begun = Instant::now();
    let origin = Site::start(move |asked| match asked.header("x-origin-key") {
        KEY => live(asked, begun, 1),
        _ => Reply::status(403),
    });
    let cdn = Site::start(move |asked| live(asked, begun, 1));
    let (own, behind) = (origin.url("/own/index.m3u8"), origin.url("/behind/index.m3u8"));
    // One region is the origin itself, the other stands behind a CDN.
    let (one, two) = (format!("one,origin={own}"), format!("two,origin={behind},cdn={}", cdn.url("/index.m3u8")));
    let headers = [format!("one=X-Origin-Key: {KEY}"), format!("two=X-Origin-Key: {KEY}")];
    #[rustfmt::skip]
    let made = server.cli(&[
        "cluster", "create", "show", "--preset", "relaxed", "--region", &one, "--region", &two,
        "--region-header", &headers[0], "--region-header", &headers[1],
    ]);
    assert!(!made.to_string().contains(KEY), "{made}");
    wait_verdict(&server, "one", "fresh");
    wait_verdict(&server, "two", "fresh");
    // The merged playlist is made of it, too.
    wait_for("a merged playlist", JUDGED, || server.log().contains("a merged playlist is published").then_some(()));
    assert!(origin.asked().iter().all(|asked| asked.header("x-origin-key") == KEY));
    assert!(!cdn.asked().is_empty() && cdn.asked().iter().all(|asked| asked.header("x-origin-key").is_empty()));
    let _ = server.cli(&["cluster", "update", "show", "--region-header", "one=X-Origin-Key:"]);
    wait_verdict(&server, "one", "stale");
    assert_eq!(verdict_of(&server, "two"), "fresh", "the other one keeps its own");
    assert!(!server.log().contains(KEY), "a secret is in no log");
}

#[test]
fn a_clusters_own_watchers_go_by_its_settings() {
    let server = Server::start();
    let begun = Instant::now();
    // One answers more slowly than the usual timeout; the other one's playlists change in nothing but their text.
    let slow = Site::start(move |asked| live(asked, begun, 6).after(Duration::from_millis(2_300)));
    let still = Site::start(move |asked| match asked.path() {
        path if path.ends_with("/index.m3u8") => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
        path if path.ends_with(".ts") => Reply::ok("segment"),
        _ => Reply::ok(format!("{}## {}\n", live_playlist("v", 1, 100), begun.elapsed().as_secs())),
    });
    let regions = [("slow", slow.url("/index.m3u8")), ("still", still.url("/index.m3u8"))];
    let regions = regions.map(|(name, url)| format!("{name},origin={url}"));
    #[rustfmt::skip]
    let made = server.cli(&[
        "cluster", "create", "show", "--preset", "relaxed", "--timeout", "5000", "--change-detect", "content-hash", "--divisor", "8",
        "--region", &regions[0], "--region", &regions[1],
    ]);
    assert_eq!((&made["watch"]["timeout_ms"], &made["watch"]["poll_divisor"]), (&5000.into(), &8.into()), "{made}");
    wait_verdict(&server, "slow", "fresh");
    wait_verdict(&server, "still", "fresh");
    let changed = server.cli(&["cluster", "update", "show", "--default", "timeout,change-detect"]);
    assert_eq!((&changed["watch"]["timeout_ms"], &changed["watch"]["poll_divisor"]), (&Value::Null, &8.into()));
    // Both stale at once would tell nothing of a region, since both are regions of one stream: each is looked at by itself.
    let stale = |url: &str| {
        let playlists = server.cli(&["cluster", "playlists", "show", "--region", url]);
        let items = playlists["items"].as_array().cloned().unwrap_or_default();
        (!items.is_empty() && items.iter().all(|one| one["state"] == "stale")).then_some(())
    };
    wait_for("what stands still is stale", JUDGED, || stale("still"));
    wait_for("what is slow is stale", JUDGED, || (verdict_of(&server, "slow") == "stale").then_some(()));
}
