//! Wishes, reports and the states between them.

use anabranch_model::{InputMedia, InputState, InputVideo, PackagingState, Report, Traffic};
use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, text};

both!(
    a_breakout_takes_its_channel_along,
    an_operators_wish_outlives_a_breakout,
    one_breakout_of_a_channel_is_on_air,
    what_nodes_report_is_shown,
    traffic_is_added_up_and_kept,
    a_slow_start_says_what_it_waits_for,
);

fn state(is: &'static str) -> impl Fn(&Value) -> bool {
    move |row| row["state"] == is
}

async fn a_breakout_takes_its_channel_along(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    server.channel("c").await;
    server.breakout("b", "c").await;
    let started = server.act("/v1/breakouts/b/start").await.body;
    assert_eq!(started["state"], "STARTING");
    assert_eq!(started["started_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(server.get("/v1/channels/c").await.body["state"], "Starting");
    assert_eq!(server.get("/v1/channels/c").await.body["desired_running"], false);
    let snapshot = server.snapshot(|snapshot| snapshot.breakouts.iter().any(|breakout| breakout.on_air)).await;
    assert!(snapshot.channels[0].running);

    server.applied("ingest", snapshot.version).await;
    server.applied("edge", snapshot.version).await;
    server.until("/v1/channels/c", |channel| channel["distribution"]["status"] == "Deployed").await;
    assert_eq!(server.get("/v1/channels/c").await.body["state"], "Starting", "the packager has not confirmed");
    server.applied("packager", snapshot.version).await;
    server.until("/v1/channels/c", state("Running")).await;
    server.until("/v1/breakouts/b", state("RUNNING")).await;
    assert_eq!(server.snapshots.borrow().version, snapshot.version, "confirmations are no news for nodes");

    let stopped = server.act("/v1/breakouts/b/stop").await.body;
    assert_eq!((&stopped["state"], &stopped["packaging"]), (&"COMPLETED".into(), &"ended".into()));
    assert_eq!(server.get("/v1/channels/c").await.body["state"], "Stopping");
    let snapshot = server.snapshot(|snapshot| snapshot.breakouts.iter().all(|breakout| !breakout.on_air)).await;
    assert_eq!(snapshot.breakouts.len(), 1, "a completed breakout stays readable");
    server.applied_until("/v1/channels/c", state("Idle")).await;
    server.act("/v1/breakouts/b/start").await.problem(409, "create another");

    server.clock.set_ms(NOW_MS + 25 * 60 * 60 * 1000);
    let later = server.snapshot(|snapshot| snapshot.breakouts.is_empty()).await;
    assert!(later.version > snapshot.version);
}

async fn an_operators_wish_outlives_a_breakout(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    server.channel("c").await;
    assert_eq!(server.act("/v1/channels/c/start").await.body["state"], "Starting");
    server.snapshot(|snapshot| snapshot.channels.iter().any(|channel| channel.running)).await;
    server.applied_until("/v1/channels/c", state("Running")).await;
    server.delete("/v1/channels/c").await.problem(409, "stop it first");

    server.breakout("b", "c").await;
    assert_eq!(server.act("/v1/breakouts/b/start").await.body["state"], "STARTING");
    server.act("/v1/channels/c/stop").await.problem(409, "on air");
    server.snapshot(|snapshot| !snapshot.breakouts.is_empty()).await;
    server.applied_until("/v1/breakouts/b", state("RUNNING")).await;
    server.act("/v1/breakouts/b/stop").await;
    assert_eq!(server.get("/v1/channels/c").await.body["state"], "Running");
    assert_eq!(server.act("/v1/channels/c/stop").await.body["state"], "Stopping");
}

async fn one_breakout_of_a_channel_is_on_air(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    server.breakout("one", "c").await;
    server.breakout("two", "c").await;
    server.act("/v1/breakouts/one/start").await;
    server.act("/v1/breakouts/two/start").await.problem(409, "\"one\" of the same channel is on air: stop it first");
    assert_eq!(server.act("/v1/breakouts/one/start").await.body["state"], "STARTING", "a repetition changes nothing");
    assert_eq!(server.act("/v1/breakouts/one/abort").await.body["state"], "IDLE");
    assert_eq!(server.act("/v1/breakouts/two/start").await.body["state"], "STARTING");
    server.act("/v1/breakouts/one/abort").await.problem(409, "no start to abort");
    server.act("/v1/breakouts/one/stop").await.problem(409, "never started");
}

async fn what_nodes_report_is_shown(engine: Engine) {
    let server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    let breakout = server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    let (channel_id, breakout_id) = (text(&channel["id"]), text(&breakout["id"]));
    let report = Report::Input {
        channel: channel_id.parse().unwrap(),
        input: text(&channel["inputs"][0]["id"]).parse().unwrap(),
        state: InputState::Connected {
            remote: "192.0.2.7:5000".into(),
            encoder: "cam".into(),
            bitrate: 6_000_000,
            media: Some(Box::new(InputMedia {
                video: Some(InputVideo {
                    codec: "h264".into(),
                    codecs: "avc1.64001f".into(),
                    width: 1280,
                    height: 720,
                    frame_rate: Some(29.97),
                }),
                audio: None,
            })),
        },
    };
    server.reports.send(report).await.unwrap();
    let shown = server.until("/v1/channels/c", |channel| channel["inputs"][0]["state"]["connected"] == true).await;
    let input = &shown["inputs"][0]["state"];
    assert_eq!((text(&input["remote"]), text(&input["encoder"])), ("192.0.2.7:5000", "cam"));
    assert_eq!(input["bitrate_bps"], 6_000_000);
    let video = json!({"codec": "h264", "codecs": "avc1.64001f", "width": 1280, "height": 720, "frame_rate": 29.97});
    assert_eq!((&input["video"], &input["audio"]), (&video, &json!(null)));
    let is_known = |channel: &Value| !channel["inputs"][0]["state"]["connected_since"].is_null();
    server.until("/v1/channels", |list| is_known(&list["items"][0])).await;
    let shown = server.until("/v1/channels/c", is_known).await;
    assert!(text(&shown["inputs"][0]["state"]["connected_since"]).starts_with("2026-01-01T00:0"), "{shown}");

    let packaging = |state| server.reports.send(Report::Packaging { breakout: breakout_id.parse().unwrap(), state });
    packaging(PackagingState::Live).await.unwrap();
    server.until("/v1/breakouts/b", |breakout| breakout["packaging"] == "live").await;
    packaging(PackagingState::Blocked { reason: "disk full".into() }).await.unwrap();
    let blocked = server.until("/v1/breakouts/b", |breakout| breakout["problem"] == "disk full").await;
    assert_eq!(blocked["packaging"], "blocked");
    packaging(PackagingState::Live).await.unwrap();
    server.until("/v1/breakouts/b", |breakout| breakout["problem"].is_null()).await;
}

async fn traffic_is_added_up_and_kept(engine: Engine) {
    let server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    let id = text(&channel["distribution"]["id"]).to_owned();
    let path = format!("/v1/distributions/{id}");
    for _ in 0..2 {
        let traffic = Traffic { requests: 3, bytes: 500, ..Traffic::none(id.parse().unwrap()) };
        server.reports.send(Report::Traffic(vec![traffic])).await.unwrap();
    }
    let shown = server.until(&path, |distribution| distribution["requests_total"] == 6).await;
    assert_eq!(shown["bytes_total"], 1000);
    let server = Server::start_in(server.stop().await, Some(crate::support::TOKEN)).await;
    assert_eq!(server.get(&path).await.body["requests_total"], 6);
}

async fn a_slow_start_says_what_it_waits_for(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    server.clock.set_ms(NOW_MS + 11_000);
    let channel = server.until("/v1/channels/c", |channel| !channel["problem"].is_null()).await;
    assert_eq!(channel["problem"], "waiting for ingest: no such node has reported");
    let breakout = server.until("/v1/breakouts/b", |breakout| !breakout["problem"].is_null()).await;
    assert!(text(&breakout["problem"]).starts_with("waiting for the channel to run"));
    let breakout = server.applied_until("/v1/breakouts/b", state("RUNNING")).await;
    assert!(text(&breakout["problem"]).starts_with("no encoder is connected"));
    assert!(server.get("/v1/channels/c").await.body["problem"].is_null());
}
