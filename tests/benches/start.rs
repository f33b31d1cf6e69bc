//! From the start of a breakout to something to watch, on a channel that exists and whose encoder pushes already.
//!
//! `ANABRANCH_BIN=… cargo bench -p anabranch-scenarios --bench start`. Prints how long each part took, in 20 runs for each
//! length of segments. `BENCH_RUNS` sets another number.

#![expect(clippy::print_stdout, reason = "a bench prints")]

mod spread;

use std::path::Path;
use std::time::{Duration, Instant};

use anabranch_testkit::{Encoder, Fetched, Picture, Playlist, Server, Viewer, wait_for};
use serde_json::{Value, json};

use spread::Spread;

const RUNS: usize = 20;

/// Lengths of segments, in seconds: the default and short ones.
const TARGETS: [u32; 2] = [6, 2];

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(4);

/// Longest run.
const LIMIT: Duration = Duration::from_secs(60);

/// What is waited for, in this order.
const PARTS: [&str; 6] = [
    "the API answers",
    "then RUNNING",
    "then the first segment is stored",
    "then the timeline holds enough to play",
    "then playlists and first segment come through the edge",
    "from the answer of the API to all of it",
];

fn main() {
    let runs = std::env::var("BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let server = Server::start();
    for target in TARGETS {
        let mut parts: [Spread; PARTS.len()] = Default::default();
        let name = format!("start-{target}");
        let channel = server.cli(&["channel", "create", &name, "--segment", &target.to_string()]);
        let _encoder = Encoder::push(&text(&channel["inputs"][0]["push_url_with_key"]), Picture::default());
        warm_up(&server, &name);
        for run in 0..runs {
            // Runs begin at all points between two keyframes.
            std::thread::sleep(Duration::from_millis(137 * (run as u64 % 8)));
            let times = once(&server, &name, &format!("{name}-{run}"));
            parts.iter_mut().zip(times).for_each(|(part, time)| part.add(time));
        }
        println!("segments of {target} s, a keyframe a second, {runs} runs");
        for (part, spread) in PARTS.iter().zip(&parts) {
            println!("  {part}: {spread}");
        }
    }
}

/// An input of a channel that does not run is refused: it has to run once for the encoder to be there.
fn warm_up(server: &Server, channel: &str) {
    let _ = server.cli(&["channel", "start", channel]);
    wait_for("the encoder", LIMIT, || {
        let shown = server.cli(&["channel", "show", channel]);
        shown["failover"]["active_input"].is_string().then_some(())
    });
}

fn once(server: &Server, channel: &str, name: &str) -> [Duration; PARTS.len()] {
    let breakout = server.call("POST", "/v1/breakouts", &json!({ "name": name, "channel": channel }));
    let id = text(&breakout["id"]);
    let path = format!("/v1/breakouts/{id}");
    let asked = Instant::now();
    let _ = server.call("POST", &format!("{path}/start"), &Value::Null);
    let answered = asked.elapsed();
    let url = text(&server.call("POST", &format!("{path}/play-url"), &json!({}))["url"]);
    let mut running = None;
    let record = server.data().join("media/record").join(&id).join("1/timeline.json");
    let (mut stored, mut enough) = (None, None);
    let whole = until(|| {
        let now = asked.elapsed();
        if running.is_none() {
            running = (server.call("GET", &path, &Value::Null)["state"] == "RUNNING").then_some(now);
        } else if stored.is_none() {
            stored = record.exists().then_some(now);
        } else if enough.is_none() {
            enough = is_enough(&record).then_some(now);
        }
        // A viewer who is there from the beginning asks all the time.
        plays(&url).then(|| asked.elapsed())
    });
    let _ = server.call("POST", &format!("{path}/stop"), &Value::Null);
    until(|| (server.call("GET", &path, &Value::Null)["state"] == "COMPLETED").then_some(()));
    let (running, stored) = (running.unwrap_or(answered), stored.unwrap_or(whole));
    let enough = enough.unwrap_or(whole);
    let after = |later: Duration, earlier: Duration| later.saturating_sub(earlier);
    [
        answered,
        after(running, answered),
        after(stored, running),
        after(enough, stored),
        after(whole, enough),
        after(whole, answered),
    ]
}

/// Whether the record holds as much as players need (`Timeline::is_playable`), a frame of sound more or less.
fn is_enough(record: &Path) -> bool {
    let Ok(bytes) = std::fs::read(record) else { return false };
    let record: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let seconds = |rendition: &Value| -> f64 {
        let segments = rendition["segments"].as_array().into_iter().flatten();
        segments.filter_map(|segment| segment["seconds"].as_f64()).sum()
    };
    let needed = record["target_duration_seconds"].as_f64().unwrap_or(f64::MAX) * 1.5 + 1.0;
    let mut renditions = record["renditions"].as_array().into_iter().flatten();
    renditions.all(|rendition| seconds(rendition) > needed - 0.05)
}

/// Whether a viewer gets both playlists and the first segment.
fn plays(url: &str) -> bool {
    let get = |url: &str| -> Option<Fetched> { Viewer::new().try_get(url).filter(|answer| answer.status == 200) };
    let playlist = |url: &str| Some(Playlist { url: url.to_owned(), text: get(url)?.text() });
    let first = |url: &str| playlist(url)?.uris().into_iter().next();
    first(url).and_then(|media| first(&media)).and_then(|segment| get(&segment)).is_some()
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing to watch after {LIMIT:?}");
        std::thread::sleep(LOOK);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}
