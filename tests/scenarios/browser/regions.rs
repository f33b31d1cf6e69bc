//! The page of a breakout that runs in several regions.

use std::time::Instant;

use anabranch_testkit::{Viewer, wait_for};
use serde_json::Value;

use super::Browser;
use crate::cluster::{PLAYING, Pair};
use crate::text;

#[test]
fn a_page_plays_on_when_its_region_dies() {
    let mut pair = Pair::start();
    pair.wait_fresh();
    let east = &pair.regions[0].server;
    let _ = east.cli(&["cluster", "publish", "show"]);
    let edges = pair.regions.each_ref().map(|region| format!("{}/", region.server.edge()));
    wait_for("the merged playlist", PLAYING, || {
        let url = text(&east.cli(&["cluster", "play-url", "show"])["url"]);
        let answer = Viewer::new().try_get(&url)?;
        (answer.status == 200 && edges.iter().all(|edge| answer.text().contains(edge))).then_some(())
    });
    let links = [["breakout", "play-url", "show"], ["cluster", "play-url", "show"]];
    let [link, of_cluster] = links.map(|words| text(&east.cli(&words)["watch_url"]));
    let page = |link: &str| link.split('?').next().unwrap_or_default().to_owned();
    assert_eq!(page(&link), page(&of_cluster), "both are the page, which plays from every region");

    let mut browser = Browser::open(&link, 45, &["--events"]);
    let time = |line: &Value| line["currentTime"].as_f64().unwrap_or(0.0);
    while browser.next().is_some_and(|line| time(&line) < 5.0) {}
    // Packager, edge, and the server that the page came from and asks.
    pair.regions[0].server.kill();
    let died = Instant::now();
    let before = browser.next().map(|line| time(&line)).unwrap_or(0.0);
    // Beyond what can have been buffered before.
    let resumed = std::iter::from_fn(|| browser.next()).find(|line| time(line) > before + 30.0);
    println!("{:?} after the region died: {resumed:?}", died.elapsed());
    assert!(resumed.is_some(), "playback did not go on after {before} s");
    let result = browser.result();
    assert!(result["stall_seconds"].as_f64().is_some_and(|seconds| seconds < 3.0), "{result}");
}
