//! What is wanted and what there is: repair, drift, orphans, detaching, deleting, dry runs.

use anabranch_model::Traffic;
use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::delivery::config;
use crate::support::{NOW_MS, Server, own, text};

both!(
    a_distribution_deleted_behind_the_systems_back_is_repaired_at_the_next_start_with_the_reason,
    a_breakout_without_a_distribution_gets_one,
    a_detached_distribution_serves_another_channel,
    what_differs_is_shown_and_set_right,
    orphans_are_removed_after_a_grace_time,
    what_is_watched_is_deleted_by_force_only,
    a_dry_run_changes_nothing,
);

async fn deployed_channel(server: &mut Server, name: &str) -> (Value, String) {
    let channel = server.channel(name).await;
    let id = text(&channel["distribution"]["id"]).to_owned();
    server.snapshot(|snapshot| snapshot.distributions.iter().any(|spec| spec.id.as_str() == id)).await;
    server.applied_until(&format!("/v1/distributions/{id}"), |shown| shown["status"] == "Deployed").await;
    (channel, id)
}

fn finished(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |list| {
        let items = list["items"].as_array().unwrap();
        items.iter().any(|item| item["kind"] == kind && item["state"] == "done")
    }
}

async fn a_distribution_deleted_behind_the_systems_back_is_repaired_at_the_next_start_with_the_reason(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (channel, id) = deployed_channel(&mut server, "c").await;
    let console = server.db();
    console.local_distribution_delete(&id.parse().unwrap(), None).await.unwrap();
    server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    server.snapshot(|snapshot| snapshot.distributions.iter().any(|spec| spec.id.as_str() == id)).await;
    let reason = format!("distribution {id} was gone at the provider and was made again");
    let starting = server.until("/v1/breakouts/b", |breakout| !breakout["notice"].is_null()).await;
    assert_eq!((&starting["notice"], &starting["state"]), (&json!(reason), &json!("STARTING")));
    server.applied_until("/v1/breakouts/b", |breakout| breakout["state"] == "RUNNING").await;
    let subject = format!("/v1/operations?subject={}", text(&starting["id"]));
    let listed = server.until(&subject, finished("breakout.start")).await;
    let whole = server.get(&format!("/v1/operations/{}", text(&listed["items"][0]["id"]))).await.body;
    let notes: Vec<&Value> = whole["steps"].as_array().unwrap().iter().map(|step| &step["note"]).collect();
    assert_eq!(notes, [&Value::Null, &json!(reason), &Value::Null, &Value::Null, &Value::Null], "{whole}");
    let shown = server.get(&format!("/v1/distributions/{id}")).await.body;
    assert_eq!((&shown["status"], &shown["channel"]), (&json!("Deployed"), &channel["id"]));
}

async fn a_breakout_without_a_distribution_gets_one(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (_, id) = deployed_channel(&mut server, "c").await;
    let path = format!("/v1/distributions/{id}");
    server.act("/v1/distributions/E0/detach").await.problem(404, "no distribution");
    server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    server.act(&format!("{path}/detach")).await.problem(409, "on air");
    server.act("/v1/breakouts/b/abort").await;
    let detached = server.act(&format!("{path}/detach")).await;
    assert_eq!(detached.status, StatusCode::OK, "{}", detached.body);
    assert_eq!((&detached.body["phase"], &detached.body["enabled"]), (&json!("detached"), &json!(false)));
    assert_eq!(
        (&detached.body["channel"], &server.get("/v1/channels/c").await.body["distribution"]),
        (&Value::Null, &Value::Null)
    );
    server.act("/v1/breakouts/b/play-url").await.problem(409, "has no distribution");
    server.snapshot(|snapshot| snapshot.distributions.iter().all(|spec| spec.id.as_str() != id || !spec.enabled)).await;

    server.act("/v1/breakouts/b/start").await;
    let starting = server.until("/v1/breakouts/b", |breakout| !breakout["notice"].is_null()).await;
    assert!(text(&starting["notice"]).starts_with("the channel had no distribution"), "{starting}");
    let made = server.get("/v1/channels/c").await.body["distribution"].clone();
    assert_ne!(made["id"], json!(id));
    server.post(&format!("{path}/attach"), json!({"channel": "c"})).await.problem(409, text(&made["id"]));
    server.act("/v1/channels/c/distribution").await.problem(409, text(&made["id"]));
    server
        .snapshot(|snapshot| snapshot.distributions.iter().any(|spec| made["id"] == spec.id.as_str() && spec.enabled))
        .await;
    server.applied_until("/v1/breakouts/b", |breakout| breakout["state"] == "RUNNING").await;
}

async fn a_detached_distribution_serves_another_channel(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (_, id) = deployed_channel(&mut server, "one").await;
    let (_, other) = deployed_channel(&mut server, "two").await;
    let path = format!("/v1/distributions/{id}");
    server.post(&format!("{path}/attach"), json!({"channel": "two"})).await.problem(409, "detach it first");
    server.act(&format!("{path}/detach")).await;
    let mut enabled = server.get(&path).await.body["config"].clone();
    enabled["Enabled"] = json!(true);
    server.put(&path, json!({ "config": enabled })).await.problem(409, "attach it");
    server.act(&format!("/v1/distributions/{other}/detach")).await;
    server.post(&format!("{path}/attach"), json!({"channel": "three"})).await.problem(422, "three");
    let attached = server.post(&format!("{path}/attach"), json!({"channel": "two"})).await;
    assert_eq!(attached.status, StatusCode::OK, "{}", attached.body);
    let two = server.get("/v1/channels/two").await.body;
    assert_eq!((&attached.body["channel"], &two["distribution"]["id"]), (&two["id"], &json!(id)));
    assert!(attached.body["config"]["Origins"].to_string().contains(text(&two["id"])), "{}", attached.body["config"]);
    server.snapshot(|snapshot| own(snapshot).iter().filter(|spec| spec.enabled).count() == 1).await;
    let manual = server.act("/v1/channels/one/distribution").await;
    assert_eq!((manual.status, &manual.body["enabled"]), (StatusCode::CREATED, &json!(true)), "{}", manual.body);
}

async fn what_differs_is_shown_and_set_right(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (_, id) = deployed_channel(&mut server, "c").await;
    let console = server.db();
    let row = console.local_distribution(&id.parse().unwrap()).await.unwrap().unwrap();
    let disabled = row.config.replace("\"Enabled\":true,\"HttpVersion\"", "\"Enabled\":false,\"HttpVersion\"");
    assert_ne!(disabled, row.config);
    console.local_distribution_update(&row.id, None, &disabled, false).await.unwrap();
    let dry = server.act("/v1/distributions/sweep?dry_run=true").await.body;
    assert_eq!(dry["drifted"], json!([{"id": id, "detail": "it was disabled at the provider"}]));
    let path = format!("/v1/distributions/{id}");
    let synced = server.act(&format!("{path}/sync")).await.body;
    assert_eq!(
        (&synced["drift"], &synced["status"]),
        (&json!("it was disabled at the provider"), &json!("InProgress"))
    );
    server.snapshot(|snapshot| snapshot.distributions.iter().all(|spec| spec.enabled)).await;
    let shown = server.applied_until(&path, |shown| shown["status"] == "Deployed").await;
    assert_eq!((&shown["drift"], &shown["enabled"]), (&Value::Null, &json!(true)));
}

async fn orphans_are_removed_after_a_grace_time(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (_, id) = deployed_channel(&mut server, "c").await;
    let channel = server.get("/v1/channels/c").await.body;
    let console = server.db();
    // The rows are gone, as after a restored backup; what they made is not.
    console.channel_retire("c", 1).await.unwrap();
    console.channel_remove(&text(&channel["id"]).parse().unwrap(), NOW_MS).await.unwrap();
    let orphans = |swept: &Value| -> Vec<String> {
        let mut kinds: Vec<String> =
            swept["orphans"].as_array().unwrap().iter().map(|one| text(&one["kind"]).to_owned()).collect();
        kinds.sort();
        kinds
    };
    let dry = server.act("/v1/distributions/sweep?dry_run=true").await.body;
    if orphans(&dry) != ["distribution", "pipeline"] {
        // The engine was quicker, and has deleted the channel as it should.
        return;
    }
    server.act("/v1/distributions/sweep").await;
    assert!(console.local_distribution(&id.parse().unwrap()).await.unwrap().is_some(), "not before its time");
    server.clock.set_ms(NOW_MS + 601_000);
    server.act("/v1/distributions/sweep").await;
    server
        .snapshot(|snapshot| {
            snapshot.channels.is_empty()
                && snapshot.distributions.iter().all(|spec| spec.id.as_str() != id || !spec.enabled)
        })
        .await;
    server.apply().await;
    let gone = async {
        while console.local_distribution(&id.parse().unwrap()).await.unwrap().is_some() {
            server.act("/v1/distributions/sweep").await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.unwrap();
    assert!(orphans(&server.act("/v1/distributions/sweep?dry_run=true").await.body).is_empty());
}

async fn what_is_watched_is_deleted_by_force_only(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (_, id) = deployed_channel(&mut server, "c").await;
    let seen = Traffic { requests: 1, bytes: 9, ..Traffic::none(id.parse().unwrap()) };
    server.reports.send(anabranch_model::Report::Traffic(vec![seen])).await.unwrap();
    server.until(&format!("/v1/distributions/{id}"), |shown| shown["bytes_total"] == 9).await;
    server.delete("/v1/channels/c").await.problem(409, "being watched, 9 bytes");
    assert_eq!(server.delete("/v1/channels/c?force=true").await.status, StatusCode::NO_CONTENT);
}

async fn a_dry_run_changes_nothing(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let planned = server.post("/v1/channels?dry_run=true", json!({"name": "c"})).await;
    let steps = [
        "channel.create/pipeline.ensure",
        "channel.create/distribution.create",
        "channel.create/distribution.deployed",
    ];
    assert_eq!((planned.status, &planned.body["steps"]), (StatusCode::OK, &json!(steps)));
    server.post("/v1/channels?dry_run=true", json!({"name": ""})).await.problem(422, "name");
    server.get("/v1/channels/c").await.problem(404, "no channel");
    let planned = server.post("/v1/distributions?dry_run=true", json!({"config": config("r")})).await;
    assert_eq!(planned.body["dry_run"], true, "{}", planned.body);
    let tagged = json!({"config": config("r"), "tags": {"anabranch:plane": "x"}});
    server.post("/v1/distributions?dry_run=true", tagged).await.problem(422, "not yours");
    let (_, id) = deployed_channel(&mut server, "c").await;
    let planned = server.delete("/v1/channels/c?dry_run=true").await;
    assert_eq!(
        (planned.status, planned.body["steps"].as_array().unwrap().len()),
        (StatusCode::OK, 7),
        "{}",
        planned.body
    );
    assert_eq!(server.get("/v1/channels/c").await.body["distribution"]["id"], json!(id));
    let made = server.post("/v1/distributions", json!({"config": config("r"), "tags": {"team": "x"}})).await.body;
    assert_eq!(
        (&made["tags"], &made["provider"], &made["provider_id"]),
        (&json!({"team": "x"}), &json!("local"), &made["id"])
    );
}
