//! Events, accounts, recordings and jobs.

use anabranch_model::{Recorded, Report};
use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, text};

both!(a_breakout_ends_before_its_event, a_recording_follows_its_breakout, two_inputs_and_who_may_push,);

async fn a_breakout_ends_before_its_event(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let event = json!({"name": "e", "starts_at": "2026-01-01T10:00:00Z", "ends_at": "2026-01-01T12:00:00Z"});
    let made = server.post("/v1/events", event).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let breakout = |minutes: u32| json!({"name": "b", "channel": "c", "event": "e", "scheduled_at": "2026-01-01T11:00:00Z", "duration_minutes": minutes});
    server.post("/v1/breakouts", breakout(61)).await.problem(409, "end after its event");
    let made = server.post("/v1/breakouts", breakout(60)).await.body;
    assert_eq!(made["scheduled_at"], "2026-01-01T11:00:00.000Z");
    server.patch("/v1/breakouts/b", json!({"duration_minutes": 90})).await.problem(409, "end after its event");
    server.delete("/v1/events/e").await.problem(409, "has breakouts");
    let shorter = json!({"name": "e", "ends_at": "2026-01-01T11:30:00Z"});
    server.put("/v1/events/e", shorter).await.problem(409, "would end after it");
    server.post("/v1/events", json!({"name": "f", "starts_at": "yesterday"})).await.problem(422, "not a time");
    server.post("/v1/events", json!({"name": "f", "account": "nobody"})).await.problem(422, "account");
    server.post("/v1/accounts", json!({"name": "acme"})).await;
    server.post("/v1/events", json!({"name": "f", "account": "acme"})).await;
    server.delete("/v1/accounts/acme").await.problem(409, "has events");
    assert_eq!(server.delete("/v1/events/f").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.delete("/v1/accounts/acme").await.status, StatusCode::NO_CONTENT);
    let log = server.get("/v1/log?sort=asc&type=account").await.body;
    let told: Vec<_> = log["items"].as_array().unwrap().iter().map(|entry| (&entry["type"], &entry["actor"])).collect();
    assert_eq!(
        told,
        [
            (&json!("account.created"), &Value::Null),
            (&json!("account.created"), &json!("admin")),
            (&json!("account.deleted"), &json!("admin"))
        ],
        "the first is the system's own"
    );
    let log = server.get("/v1/log?sort=asc&type=event").await.body;
    let told: Vec<_> =
        log["items"].as_array().unwrap().iter().map(|entry| (&entry["type"], &entry["details"]["name"])).collect();
    let (made, gone) = (json!("event.created"), json!("event.deleted"));
    assert_eq!(told, [(&made, &json!("e")), (&made, &json!("f")), (&gone, &json!("f"))]);
    server.delete("/v1/accounts/default").await.problem(409, "default account");
    let found = server.get("/v1/breakouts?event=e").await.body;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

async fn a_recording_follows_its_breakout(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    server.channel("c").await;
    let body = json!({"name": "b", "channel": "c", "mp4": true});
    let id = text(&server.post("/v1/breakouts", body).await.body["id"]).to_owned();
    server.act("/v1/breakouts/b/start").await;
    let one = |list: &Value| list["items"][0].clone();
    let recording = one(&server.get("/v1/recordings?breakout=b").await.body);
    assert_eq!((&recording["state"], &recording["session"]), (&json!("RECORDING"), &json!(1)));
    let path = format!("/v1/recordings/{}", text(&recording["id"]));
    server.post(&format!("{path}/play-url"), json!({})).await.problem(409, "AVAILABLE");
    server.post(&format!("{path}/mp4"), json!({})).await.problem(409, "AVAILABLE");
    server.delete(&path).await.problem(409, "stop its breakout");
    server.act("/v1/breakouts/b/stop").await;
    assert_eq!(server.get(&path).await.body["state"], "CLOSING");
    server.patch("/v1/breakouts/b", json!({"mp4": false})).await.problem(409, "frozen");
    server.patch("/v1/breakouts/b", json!({"description": "the end"})).await;

    let recorded = Recorded { duration_ms: 12_500, segments: 6, bytes: 9_000, gaps: 1, gap_ms: 700, complete: true };
    let report = Report::Recorded { breakout: id.parse().unwrap(), session: 1, recorded };
    server.reports.send(report).await.unwrap();
    let shown = server.until(&path, |shown| shown["state"] == "AVAILABLE").await;
    assert_eq!((&shown["duration_seconds"], &shown["gap_seconds"]), (&json!(12.5), &json!(0.7)));
    assert_eq!(shown["mp4_job"]["state"], "QUEUED", "the breakout asked for it: {shown}");
    let job = format!("/v1/jobs/{}", text(&shown["mp4_job"]["id"]));
    assert_eq!(server.post(&format!("{path}/mp4"), json!({})).await.body["id"], shown["mp4_job"]["id"]);
    assert_eq!(server.act(&format!("{job}/cancel")).await.body["state"], "CANCELLED");
    server.act(&format!("{job}/retry")).await.problem(409, "make another");
    let log = server.get("/v1/log?sort=asc&type=job&breakout=b").await.body;
    let told: Vec<_> = log["items"].as_array().unwrap().iter().map(|entry| (&entry["type"], &entry["actor"])).collect();
    assert_eq!(told, [(&json!("job.queued"), &Value::Null), (&json!("job.cancelled"), &json!("admin"))]);
    let play = server.post(&format!("{path}/play-url"), json!({})).await.body;
    assert!(text(&play["url"]).contains(&format!("/{id}/1/index.m3u8?Policy=")), "{play}");
    let query = text(&play["url"]).split_once('?').unwrap().1;
    let watch = server.client.get(format!("{}/v1/watch/{id}?recording=1&{query}", server.base)).send().await.unwrap();
    assert_eq!(watch.status(), StatusCode::OK);

    // A reset makes room for another session, with a recording of its own.
    server.act("/v1/breakouts/b/reset").await;
    server.act("/v1/breakouts/b/start").await;
    let snapshot = server.snapshot(|snapshot| snapshot.breakouts.iter().any(|spec| spec.session == 2)).await;
    assert!(snapshot.breakouts[0].on_air);
    assert_eq!(server.get("/v1/recordings").await.body["items"].as_array().unwrap().len(), 2);
    // Nothing is kept of a start that was taken back.
    server.act("/v1/breakouts/b/abort").await;
    assert_eq!(server.get("/v1/recordings").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.delete(&path).await.status, StatusCode::NO_CONTENT);
    let jobs = server.get("/v1/jobs").await.body;
    let removals = jobs["items"].as_array().unwrap().iter().filter(|job| job["kind"] == "remove-recording").count();
    assert_eq!(removals, 2);
    server.clock.set_ms(NOW_MS + 1);
}

async fn two_inputs_and_who_may_push(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let body = json!({
        "name": "c", "inputs": 2, "failover": {"loss_ms": 1000, "preference": "equal"}, "ingest_allow": ["192.0.2.0/24"]
    });
    let channel = server.post("/v1/channels", body).await.body;
    assert_eq!(channel["inputs"].as_array().unwrap().len(), 2, "{channel}");
    assert_eq!((&channel["failover"]["loss_ms"], &channel["failover"]["clear_ms"]), (&json!(1000), &json!(30_000)));
    let first = server.snapshot(|snapshot| !snapshot.channels.is_empty()).await;
    assert_eq!(first.channels[0].inputs[1].allow, ["192.0.2.0/24"]);
    server.post("/v1/channels/c/switch", json!({"input": "2"})).await;
    let second = server.snapshot(|snapshot| snapshot.channels[0].failover.chosen.is_some()).await;
    let chosen = second.channels[0].failover.chosen.clone().unwrap();
    assert_eq!((chosen.input.as_str(), chosen.sequence), (text(&channel["inputs"][1]["id"]), 1));
    server.post("/v1/channels/c/switch", json!({"input": "3"})).await.problem(422, "inputs 1 to 2");
    server.patch("/v1/channels/c", json!({"failover": {"preference": "primary"}})).await;
    server.post("/v1/channels/c/switch", json!({"input": "1"})).await.problem(409, "make it equal first");
    // The text "false" is false, and no truth is made of anything else (V90).
    server.patch("/v1/channels/c", json!({"failover": {"enabled": "false"}})).await.problem(422, "boolean");
    server.patch("/v1/channels/c", json!({"ingest_allow": ["0.0.0.0/0"]})).await.problem(422, "0.0.0.0/0");
    // The breakout's list takes the place of the channel's while it is on air.
    server.post("/v1/breakouts", json!({"name": "b", "channel": "c", "ingest_allow": ["198.51.100.9"]})).await;
    server.act("/v1/breakouts/b/start").await;
    server.snapshot(|snapshot| snapshot.channels[0].inputs[0].allow == ["198.51.100.9"]).await;
    server.act("/v1/breakouts/b/stop").await;
    server.snapshot(|snapshot| snapshot.channels[0].inputs[0].allow == ["192.0.2.0/24"]).await;
}
