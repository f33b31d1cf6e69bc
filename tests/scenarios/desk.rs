//! The operator's desk in a real Chromium, over a real server: what operators do all day, by log-in and pages alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anabranch_testkit::{Encoder, Picture, Server, Viewer, wait_for};

use crate::browser::Browser;
use crate::cluster::{CLOSED, PLAYING, Pair};
use crate::text;

const NAME: &str = "ada";
const PASSWORD: &str = "a long enough password";

/// A walk by a script of `web/tests`.
fn walk(script: &str, server: &Server, more: &[&str]) -> Browser {
    let url = server.api();
    let arguments = ["--url", &url, "--name", NAME, "--password", PASSWORD];
    Browser::script(script, &[&arguments, more].concat())
}

/// Makes the user as whom pages are walked.
fn make_owner(server: &Server) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), PASSWORD).expect("a password");
    let path = file.path().to_str().expect("a path");
    let _ = server.cli(&["user", "create", NAME, "--role", "owner", "--password-file", path]);
}

/// A viewer who asks for the same again and again.
struct Asking {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, u16)>>,
}

impl Asking {
    /// Longest time between two questions, without that for an answer.
    const EVERY: Duration = Duration::from_millis(50);

    fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                let answer = Viewer::new().get(&url);
                if seen.last().is_none_or(|(_, status)| *status != answer.status) {
                    seen.push((Instant::now(), answer.status));
                }
                std::thread::sleep(Self::EVERY);
            }
            seen
        });
        Self { stop, thread }
    }

    /// What was answered, and since when: the first of what is alike.
    fn stop(self) -> Vec<(Instant, u16)> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("answers")
    }
}

#[test]
fn a_breakout_is_run_from_the_first_log_in_to_its_charges() {
    let server = Server::start();
    let mut encoders = Vec::new();
    let mut steps = Vec::new();
    let mut browser = walk("desk-walk.mjs", &server, &["--token", Server::token()]);
    let done = loop {
        let line = browser.next().unwrap_or_else(|| panic!("the walk ended after {steps:?}"));
        if line["done"] == true {
            break line;
        }
        let step = line["step"].as_str().unwrap_or_else(|| panic!("{line} after {steps:?}")).to_owned();
        if step == "channel" {
            let urls = line["push"].as_array().expect("push URLs");
            encoders.extend(urls.iter().map(|url| Encoder::push(&text(url), Picture::default())));
        }
        if step == "stopped" {
            encoders.clear();
        }
        steps.push(step);
    };
    assert_eq!(done["faults"].as_array().map_or(0, Vec::len), 0, "{done}");
    for step in ["entered", "channel", "on-air", "failed-over", "stopped"] {
        assert!(steps.iter().any(|taken| taken == step), "{step} is missing in {steps:?}");
    }
    assert!(encoders.is_empty());
    // Once edges have told everything, doing the sums again changes nothing.
    let total = || {
        let _ = server.cli(&["charges", "collect"]);
        text(&server.cli(&["charges", "list"])["total"])
    };
    let settled = wait_for("the sums to stand still", Duration::from_secs(30), || {
        let once = total();
        (0..10).all(|_| total() == once).then_some(once)
    });
    assert_ne!(settled, "0.00");
}

#[test]
fn a_file_is_uploaded_made_played_and_deleted() {
    let server = Server::start();
    make_owner(&server);
    let result = walk("library-walk.mjs", &server, &["--reload"]).result();
    assert_eq!(result["ok"], true, "{result}");
}

#[test]
fn a_region_is_closed_and_opened_again() {
    let pair = Pair::start();
    pair.wait_fresh();
    let [east, west] = pair.regions.each_ref().map(|region| &region.server);
    for server in [east, west] {
        // Only what the operator does is to be seen.
        let _ = server.cli(&["cluster", "update", "show", "--mode", "manual"]);
    }
    make_owner(east);
    let url = wait_for("segments in the west", PLAYING, || pair.segments(1).into_values().next_back()).1;
    let is_cached = || Viewer::new().get(&url).header("cache-status").contains("hit").then_some(());
    wait_for("a cached segment", PLAYING, is_cached);

    // Said in the east, by pages; done in the west.
    let viewer = Asking::start(url.clone());
    let mut steps = Vec::new();
    let mut browser = walk("cluster-walk.mjs", east, &["--cluster", "show", "--region", "west"]);
    let done = loop {
        let line = browser.next().unwrap_or_else(|| panic!("the walk ended after {steps:?}"));
        let Some(step) = line["step"].as_str() else { break line };
        steps.push((step.to_owned(), Instant::now()));
    };
    let seen = viewer.stop();
    assert_eq!(done["done"], true, "{done} after {steps:?}");
    assert_eq!(done["faults"].as_array().map_or(0, Vec::len), 0, "{done}");

    let statuses: Vec<u16> = seen.iter().map(|(_, status)| *status).collect();
    // Closed and opened, then closed and opened by the drill.
    assert_eq!(statuses, [200, 404, 200, 404, 200], "{seen:?} at {steps:?}");
    let said = |of: &str| steps.iter().find(|(step, _)| step == of).unwrap_or_else(|| panic!("{of} in {steps:?}")).1;
    for (of, at) in [("closing", 1), ("opening", 2), ("drilling", 3)] {
        let took = seen[at].0.saturating_duration_since(said(of));
        println!("{of}: viewers noticed after {took:?}");
        assert!(took <= CLOSED, "{of} took {took:?}: {seen:?} at {steps:?}");
    }
    let of_west = west.cli(&["cluster", "history", "show"]);
    let whats: Vec<_> =
        of_west["items"].as_array().expect("a history").iter().map(|entry| text(&entry["what"])).collect();
    assert!(["closed", "open", "drill"].iter().all(|what| whats.iter().any(|told| told == what)), "{of_west}");
}
