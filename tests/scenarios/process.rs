//! The process: start, stop, health, limits of its machine.

use std::time::Duration;

use anabranch_testkit::{Encoder, Picture, Server, Viewer, wait_for};

use crate::{play_url, push_url, text};

#[test]
fn a_second_start_on_the_same_data_is_refused_with_the_reason() {
    let server = Server::start();
    let (status, error) = server.second_start();
    assert!(!status.success());
    assert!(error.contains(&format!("in use by process {}", server.pid())), "{error}");
}

#[test]
fn sigterm_drains_and_what_was_made_survives() {
    let mut server = Server::start();
    let (channel, breakout) = server.on_air("lasting");
    assert!(server.terminate().success());
    server.restart();
    assert_eq!(server.cli(&["channel", "show", &text(&channel["id"])])["name"], "lasting");
    assert_eq!(server.cli(&["breakout", "show", &text(&breakout["id"])])["state"], "RUNNING");
}

#[test]
fn health_metrics_and_documents_answer() {
    let server = Server::start();
    for path in ["/livez", "/readyz", "/openapi.json", "/"] {
        assert_eq!(Viewer::new().get(&format!("{}{path}", server.api())).status, 200, "{path}");
    }
    assert_eq!(server.metric("anabranch_build_info", ""), 1.0);
    assert_eq!(Viewer::new().get(&format!("{}/v1/channels", server.api())).status, 401);
}

#[test]
fn a_full_disk_stops_packaging_with_a_reason_and_loses_nothing() {
    // A reserve larger than any disk: nothing may be written.
    let server = Server::start_with(&[("ANABRANCH_STORE_RESERVE", "4000000TiB")]);
    let (channel, breakout) = server.on_air("full");
    let mut encoder = Encoder::push(&push_url(&channel), Picture::default());
    let id = text(&breakout["id"]);
    wait_for("the reason", Duration::from_secs(30), || {
        let problem = server.cli(&["breakout", "show", &id])["problem"].as_str().map(str::to_owned)?;
        problem.contains("disk full").then_some(())
    });
    assert!(encoder.is_running(), "the encoder is not punished: {}", encoder.log());
    assert_eq!(Viewer::new().get(&play_url(&server, &breakout)).status, 404);
}

#[test]
fn who_waits_is_told_how_far_it_is() {
    let server = Server::start();
    let (channel, said) = server.cli_saying(&["channel", "create", "waits", "--wait"]);
    let (id, distribution) = (text(&channel["id"]), text(&channel["distribution"]["id"]));
    assert_eq!(channel["distribution"]["status"], "Deployed");
    let last = |said: &str| said.lines().last().unwrap_or_default().to_owned();
    assert!(last(&said).starts_with(&format!("channel {id}: ready (")), "{said}");
    for (verb, state) in [("start", "Running"), ("stop", "Idle")] {
        let (channel, said) = server.cli_saying(&["channel", verb, "waits", "--wait", "--timeout", "30"]);
        assert_eq!(channel["state"], state);
        assert!(last(&said).starts_with(&format!("channel {id}: {state} (")), "{said}");
        // A line for each transition, and none twice.
        let words: Vec<_> = said.lines().filter_map(|line| line.rsplit_once(" (").map(|(words, _)| words)).collect();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{said}");
    }

    let breakout = text(&server.cli(&["breakout", "create", "b", "--channel", "waits"])["id"]);
    let (_, said) = server.cli_saying(&["breakout", "start", "b", "--wait-seconds", "30", "--wait"]);
    assert!(last(&said).starts_with(&format!("breakout {breakout}: RUNNING (")), "{said}");
    let (stopped, said) = server.cli_saying(&["breakout", "stop", "b", "--wait"]);
    assert_eq!(stopped["state"], "COMPLETED");
    assert!(last(&said).starts_with(&format!("channel {id}: Idle (")), "{said}");
    let (_, said) = server.cli_saying(&["channel", "show", "waits"]);
    assert_eq!(said, "", "nobody waits, nothing is said");

    let order = ["invalidation", "create", &distribution, "--path", "/*", "--wait"];
    let (order, said) = server.cli_saying(&order);
    assert_eq!(order["status"], "Completed");
    assert!(last(&said).contains(": Completed ("), "{said}");

    let (_, said) = server.cli_saying(&["channel", "delete", "waits", "--wait"]);
    assert!(last(&said).starts_with(&format!("distribution {distribution}: gone (")), "{said}");
    assert!(server.cli_refused(&["channel", "show", &id]).contains("404"));
    assert!(server.cli_refused(&["distribution", "show", &distribution]).contains("404"));
    // What cannot be awaited ends with its reason.
    assert!(server.cli_refused(&["channel", "start", "waits", "--wait"]).contains("404"));
}
