//! Real Chromium on a channel with two inputs: whichever is in use, playback goes on as if nothing had happened (V90-V93).

use std::time::{Duration, Instant};

use anabranch_testkit::{Encoder, Picture, Server, wait_for};
use serde_json::Value;

use super::{Browser, watch_url};
use crate::{media_playlist, play_url, text, wait_playing};

/// Silence that counts as loss, by default.
const LOSS: Duration = Duration::from_secs(3);

/// Longest wait for another input to be in use.
const SWITCHED: Duration = Duration::from_secs(15);

/// Ticks come a second apart; this much of one may be the browser's or the test's own lateness, in seconds.
const LATE: f64 = 0.8;

/// The same of the whole time, in which lateness of a busy machine adds up.
const LATE_IN_ALL: f64 = 2.0;

/// Standstills that are shorter than this in all are of a picture or two, in seconds.
const UNSEEN: f64 = 0.1;

/// Another picture than the first encoder's, with fewer keyframes. Were only the bit rate another, the first pictures after a keyframe
/// could be the same to the byte, and a switch just then would rightly go on without a break.
const BACKUP: Picture = Picture { size: (640, 352), rate: 25, gop: 50, kbps: 500, hue: 0 };

/// A channel with both inputs fed, its breakout on air, and a browser on its watch page.
struct Pair {
    server: Server,
    channel: Value,
    breakout: Value,
    encoders: Vec<Encoder>,
    browser: Browser,
    /// Time of the browser's clock and of its video, a second apart.
    ticks: Vec<(f64, f64)>,
}

impl Pair {
    /// Has played for some seconds from the first input.
    fn playing(preference: &str, seconds: u32) -> Self {
        let server = Server::start();
        // A window that nothing leaves, to see at the end that no number is missing.
        let arguments = ["--inputs", "2", "--preference", preference, "--window", "600"];
        let channel = server.cli(&[&["channel", "create", "pair"], arguments.as_slice()].concat());
        let breakout = server.cli(&["breakout", "create", "pair", "--channel", "pair"]);
        let _ = server.cli(&["breakout", "start", "pair", "--wait"]);
        let push = |at: usize, picture| Encoder::push(&text(&channel["inputs"][at]["push_url_with_key"]), picture);
        let primary = push(0, Picture::default());
        wait_in_use(&server, &channel, 0);
        let encoders = vec![primary, push(1, BACKUP)];
        wait_playing(&play_url(&server, &breakout));
        let browser = Browser::open(&watch_url(&server, &breakout), seconds, &["--events"]);
        let mut pair = Self { server, channel, breakout, encoders, browser, ticks: Vec::new() };
        pair.play_until(5.0);
        pair
    }

    /// Lets the browser play until the video's time.
    fn play_until(&mut self, time: f64) {
        while self.ticks.last().is_none_or(|(_, last)| *last < time) {
            let line = self.browser.next().expect("a browser that goes on");
            assert_eq!(line["event"], "tick", "the browser ended: {line}");
            self.note(&line);
        }
    }

    fn note(&mut self, tick: &Value) {
        if let (Some(at), Some(time)) = (tick["at_seconds"].as_f64(), tick["currentTime"].as_f64())
            && time > 0.0
        {
            self.ticks.push((at, time));
        }
    }

    fn in_use(&self, number: usize) {
        wait_in_use(&self.server, &self.channel, number);
    }

    /// Plays to the end; playback never stood still, and crossed this many switches.
    fn went_on(mut self, switches: u64) {
        let result = loop {
            let line = self.browser.next().expect("a result");
            if line["event"] != "tick" {
                break line;
            }
            self.note(&line);
        };
        let ticks = &self.ticks;
        // Where two encoders meet, the pictures may be some milliseconds apart; hls.js steps over that, and calls it a stall.
        let stalled = result["stall_seconds"].as_f64().expect("seconds");
        assert!(stalled < UNSEEN, "{result} {ticks:?}");
        assert_eq!((&result["resyncs"], &result["resumed"]), (&0.into(), &0.into()), "{result} {ticks:?}");
        assert_eq!(
            result["discontinuities"], switches,
            "the player has not come to the last switch: {result} {ticks:?}"
        );
        for pair in ticks.windows(2) {
            let (wall, video) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
            assert!((video - wall).abs() < LATE, "{video} s of video in {wall} s at {:?}: {ticks:?}", pair[0]);
        }
        let ((from, first), (to, last)) = (ticks[0], ticks[ticks.len() - 1]);
        assert!(((last - first) - (to - from)).abs() < LATE_IN_ALL, "{ticks:?}");

        let media = media_playlist(&wait_playing(&play_url(&self.server, &self.breakout)));
        let number = |uri: &String| -> u64 {
            let name = uri.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            name.split('-').next().and_then(|number| number.parse().ok()).expect("a number in a segment's name")
        };
        let numbers: Vec<u64> = media.uris().iter().map(number).collect();
        let all: Vec<u64> = (0..numbers.len() as u64).collect();
        assert_eq!(numbers, all, "{}", media.text);
        assert_eq!(media.text.matches("#EXT-X-DISCONTINUITY\n").count() as u64, switches, "{}", media.text);
        assert!(!media.text.contains("#EXT-X-GAP"), "{}", media.text);
    }
}

fn wait_in_use(server: &Server, channel: &Value, number: usize) {
    wait_for("the input in use", SWITCHED, || {
        let shown = server.cli(&["channel", "show", "pair"]);
        (shown["failover"]["active_input"] == channel["inputs"][number]["id"]).then_some(())
    });
}

#[test]
fn nobody_notices_that_the_encoder_in_use_was_killed() {
    let mut pair = Pair::playing("primary", 50);
    let killed = Instant::now();
    // As `kill -9` does.
    drop(pair.encoders.remove(0));
    pair.in_use(1);
    let taken_over = killed.elapsed();
    assert!(taken_over > LOSS - Duration::from_millis(500) && taken_over < LOSS * 2, "{taken_over:?}");
    pair.went_on(1);
}

#[test]
fn nobody_notices_that_an_operator_switches_there_and_back() {
    let mut pair = Pair::playing("equal", 60);
    for (number, until) in [(2, 15.0), (1, 25.0)] {
        let _ = pair.server.cli(&["channel", "switch", "pair", "--input", &number.to_string()]);
        pair.in_use(number - 1);
        pair.play_until(until);
    }
    assert!(pair.encoders.iter_mut().all(Encoder::is_running));
    pair.went_on(2);
}
