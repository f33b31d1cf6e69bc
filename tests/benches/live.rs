//! Latency and memory of a running server: one 1080p channel at 6 Mbit/s, 200 viewers.
//!
//! `ANABRANCH_BIN=… cargo bench -p anabranch-scenarios`. Prints the time from the last frame of a segment to the segment's
//! name in the timeline, and the server's resident memory.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anabranch_testkit::{Encoder, Picture, Playlist, Server, Viewer, wait_for};
use serde_json::Value;

const VIEWERS: usize = 200;
const RUN: Duration = Duration::from_secs(60);

/// Segments that exist when the first playlist is answered: how late they are says nothing.
const ALREADY_THERE: usize = 6;

fn main() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("bench");
    let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
    let input = &channel["inputs"][0];
    let push =
        format!("{}/{}", input["push_url"].as_str().expect("a URL"), input["stream_key"].as_str().expect("a key"));
    let _encoder =
        Encoder::push(&push, Picture { size: (1920, 1080), rate: 30, gop: 60, kbps: 6000, ..Picture::default() });
    let url = server.cli(&["breakout", "play-url", &id(&breakout)])["url"].as_str().expect("a URL").to_owned();
    wait_for("the first segment", Duration::from_secs(30), || Viewer::new().try_get(&url).filter(|a| a.status == 200));
    let media = Viewer::new().playlist(&url).uris().remove(0);

    let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|_| {
            let (stop, bytes, media) = (stop.clone(), bytes.clone(), media.clone());
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || watch(&media, &stop, &bytes))
                .expect("a thread")
        })
        .collect();
    let record = server.data().join("media/record").join(id(&breakout)).join("1/timeline.json");
    let mut named: BTreeMap<u64, f64> = BTreeMap::new();
    let (mut peak_kib, begin) = (0, Instant::now());
    while begin.elapsed() < RUN {
        if let Ok(Ok(value)) = std::fs::read(&record).map(|bytes| serde_json::from_slice::<Value>(&bytes)) {
            for segment in value["renditions"][0]["segments"].as_array().into_iter().flatten() {
                note(&mut named, segment["msn"].as_u64(), segment["pdt_ms"].as_f64(), segment["seconds"].as_f64());
            }
        }
        peak_kib = peak_kib.max(resident_kib(server.pid()));
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Relaxed);
    for viewer in viewers {
        let _ = viewer.join();
    }
    let mut lags: Vec<f64> = named.values().copied().skip(ALREADY_THERE).collect();
    lags.sort_by(f64::total_cmp);
    println!("one 1920x1080 channel at 6 Mbit/s, {VIEWERS} viewers, {} s", RUN.as_secs());
    println!(
        "last frame of a segment to its name in the timeline: median {:.0} ms, worst {:.0} ms, {} segments",
        1000.0 * lags[lags.len() / 2],
        1000.0 * lags[lags.len() - 1],
        lags.len()
    );
    println!("resident memory of the server: peak {:.0} MiB", peak_kib as f64 / 1024.0);
    println!("delivered: {:.1} MB", bytes.load(Ordering::Relaxed) as f64 / 1e6);
}

/// Notes how long after its end the segment was first seen.
fn note(seen: &mut BTreeMap<u64, f64>, msn: Option<u64>, start_ms: Option<f64>, seconds: Option<f64>) {
    let (Some(msn), Some(start_ms), Some(seconds)) = (msn, start_ms, seconds) else { return };
    seen.entry(msn).or_insert_with(|| now_seconds() - start_ms / 1000.0 - seconds);
}

#[expect(clippy::disallowed_methods, reason = "a bench compares with the server's wall clock")]
fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Fetches every new segment, as a player does.
fn watch(media: &str, stop: &AtomicBool, bytes: &AtomicU64) {
    let mut last = String::new();
    while !stop.load(Ordering::Relaxed) {
        if let Some(answer) = Viewer::new().try_get(media) {
            let playlist = Playlist { url: media.to_owned(), text: answer.text() };
            if let Some(newest) = playlist.uris().pop().filter(|newest| *newest != last) {
                if let Some(segment) = Viewer::new().try_get(&newest) {
                    bytes.fetch_add(segment.body.len() as u64, Ordering::Relaxed);
                }
                last = newest;
            }
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
