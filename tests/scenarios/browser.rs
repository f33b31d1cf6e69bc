//! Real Chromium on the watch page.

mod inputs;
mod regions;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Server, wait_for};
use serde_json::Value;

use crate::{play_url, push_url, text, wait_playing};

/// A browser under a script that prints JSON lines as it goes on, and one at its end.
pub(crate) struct Browser {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Browser {
    pub(crate) fn open(url: &str, seconds: u32, more: &[&str]) -> Self {
        Self::script("play.mjs", &[&["--url", url, "--seconds", &seconds.to_string()], more].concat())
    }

    /// One of the scripts in `web/tests`.
    pub(crate) fn script(name: &str, arguments: &[&str]) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../web/tests").join(name);
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node to start: `cargo xtask test` installs what it needs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    pub(crate) fn next(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("a line");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    pub(crate) fn result(mut self) -> Value {
        let mut last = Value::Null;
        while let Some(line) = self.next() {
            last = line;
        }
        let status = self.child.wait().expect("a browser to end");
        assert!(status.success(), "{last}");
        last
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Asked rather than killed, so that the script takes its Chromium with it.
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}

fn watch_url(server: &Server, breakout: &Value) -> String {
    text(&server.cli(&["breakout", "play-url", &text(&breakout["id"])])["watch_url"])
}

#[test]
fn chromium_plays_twenty_seconds_without_a_stall() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("browser");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    wait_playing(&play_url(&server, &breakout));
    let result = Browser::open(&watch_url(&server, &breakout), 20, &[]).result();
    assert!(result["played_seconds"].as_f64().unwrap() >= 19.0, "{result}");
    assert_eq!(result["stalls"], 0, "{result}");
    assert_eq!((result["width"].as_u64(), result["height"].as_u64()), (Some(640), Some(360)), "{result}");
}

#[test]
fn the_same_player_goes_on_after_kill_9() {
    let mut server = Server::start();
    let (channel, breakout) = server.on_air("survives");
    let encoder = Encoder::push(&push_url(&channel), Picture::default());
    wait_playing(&play_url(&server, &breakout));
    let mut browser = Browser::open(&watch_url(&server, &breakout), 60, &["--events"]);
    let time = |line: &Value| line["currentTime"].as_f64().unwrap_or(0.0);
    while browser.next().is_some_and(|line| time(&line) < 3.0) {}
    server.kill();
    drop(encoder);
    server.restart();
    let _encoder = wait_for("the encoder to be taken again", Duration::from_secs(20), || {
        Some(Encoder::push(&push_url(&channel), Picture::default()))
    });
    let before = browser.next().map(|line| time(&line)).unwrap_or(0.0);
    // Beyond what can have been buffered before the kill.
    let resumed = std::iter::from_fn(|| browser.next()).find(|line| time(line) > before + 20.0);
    assert!(resumed.is_some(), "playback did not go on after {before} s");
}
