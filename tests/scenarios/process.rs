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
