//! The operator's desk in a real Chromium, over a real server: what operators do all day, by log-in and pages alone.

use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Server, wait_for};

use crate::browser::Browser;
use crate::text;

const NAME: &str = "ada";
const PASSWORD: &str = "a long enough password";

/// A walk by a script of `web/tests`.
fn walk(script: &str, server: &Server, more: &[&str]) -> Browser {
    let url = server.api();
    let arguments = ["--url", &url, "--name", NAME, "--password", PASSWORD];
    Browser::script(script, &[&arguments, more].concat())
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
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), PASSWORD).expect("a password");
    let path = file.path().to_str().expect("a path");
    let _ = server.cli(&["user", "create", NAME, "--role", "owner", "--password-file", path]);
    let result = walk("library-walk.mjs", &server, &["--reload"]).result();
    assert_eq!(result["ok"], true, "{result}");
}
