//! Making, listing, showing, deleting; restart; idempotency; refusals.

use anabranch_testkit::{Engine, Scratch, both};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::delivery::config;
use crate::support::{NOW_MS, Server, TOKEN, answer, own, text};

both!(
    a_channel_comes_with_input_and_distribution,
    a_stream_key_is_rotated,
    state_survives_a_restart,
    the_first_token_is_made_once,
    lists_come_in_pages,
    lists_come_in_either_order,
    a_repeated_request_makes_one_thing,
    a_key_shows_its_private_half_once,
    deleting,
);

async fn a_channel_comes_with_input_and_distribution(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let channel = server.channel("  concert  ").await;
    assert_eq!(channel["name"], "concert");
    assert_eq!(channel["state"], "Idle");
    assert_eq!(channel["segment_target_seconds"], 6);
    assert_eq!(channel["window_seconds"], 60);
    assert_eq!(channel["created_at"], "2026-01-01T00:00:00.000Z");
    let input = &channel["inputs"][0];
    assert_eq!(input["push_url"], "rtmp://127.0.0.1:1935/live");
    let key = text(&input["stream_key"]);
    assert_eq!(key.len(), 32);
    assert_eq!(input["push_url_with_key"], format!("rtmp://127.0.0.1:1935/live/{key}"));
    assert_eq!(input["state"]["connected"], false);
    let distribution = &channel["distribution"];
    let id = text(&distribution["id"]);
    assert_eq!(distribution["domain_name"], format!("{}.cdn.localhost", id.to_lowercase()));
    assert_eq!(distribution["status"], "InProgress");
    assert_eq!(distribution["enabled"], true);
    let shown = server.get(&format!("/v1/distributions/{id}")).await.body;
    assert_eq!(shown["price_class"], "PriceClass_100");
    assert_eq!(shown["channel"], channel["id"]);
    for wanted in [text(&channel["id"]), "concert"] {
        assert_eq!(server.get(&format!("/v1/channels/{wanted}")).await.body, channel);
    }
    let snapshot = server.snapshot(|snapshot| !snapshot.channels.is_empty() && !own(snapshot).is_empty()).await;
    assert_eq!(snapshot.channels[0].inputs[0].stream_key, key);
    assert!(!snapshot.channels[0].running);
    let spec = own(&snapshot)[0];
    assert_eq!(spec.behaviors[0].path_pattern, "*.m3u8");
    assert_eq!(spec.default_behavior.trusted_key_groups, [snapshot.key_groups[0].id.clone()]);
    assert!(!snapshot.key_groups[0].keys.is_empty());
}

async fn a_stream_key_is_rotated(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let made = server.post("/v1/channels", json!({ "name": "c", "inputs": 2 })).await.body;
    let key = |channel: &serde_json::Value, at: usize| text(&channel["inputs"][at]["stream_key"]).to_owned();
    server.snapshot(|snapshot| !snapshot.channels.is_empty()).await;
    let rotated = server.act("/v1/channels/c/inputs/1/rotate-key").await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    assert_eq!(rotated.body["inputs"][0]["id"], made["inputs"][0]["id"]);
    assert_ne!(key(&rotated.body, 0), key(&made, 0));
    assert_eq!(key(&rotated.body, 1), key(&made, 1), "the other input keeps its own");
    let input = text(&made["inputs"][1]["id"]);
    let both = server.act(&format!("/v1/channels/c/inputs/{input}/rotate-key")).await.body;
    assert_ne!(key(&both, 1), key(&made, 1));
    let told = |snapshot: &std::sync::Arc<anabranch_model::Snapshot>| {
        let inputs = &snapshot.channels[0].inputs;
        (0..2).all(|at| inputs[at].stream_key == key(&both, at))
    };
    server.snapshot(told).await;
    server.act("/v1/channels/c/inputs/3/rotate-key").await.problem(422, "inputs 1 to 2");
    let log = server.get("/v1/log?type=channel.key_rotated").await.body;
    assert_eq!(log["items"][0]["details"]["input"], json!(input));
    assert!(!log.to_string().contains(&key(&both, 1)), "no key is logged");
}

async fn state_survives_a_restart(engine: Engine) {
    let server = Server::start_on(engine).await;
    let channel = server.channel("durable").await;
    server.breakout("session", "durable").await;
    let keys = server.get("/v1/keys").await.body;
    let version = server.snapshots.borrow().version;
    let dir = server.stop().await;
    let server = Server::start_in(dir, Some(TOKEN)).await;
    assert_eq!(server.get("/v1/channels/durable").await.body, channel);
    assert_eq!(server.get("/v1/breakouts/session").await.body["state"], "IDLE");
    assert_eq!(server.get("/v1/keys").await.body, keys, "the first key is made once");
    let snapshot = server.snapshots.borrow().clone();
    assert!(snapshot.version >= version);
    assert_eq!(snapshot.channels.len(), 1);
}

async fn the_first_token_is_made_once(engine: Engine) {
    let server = Server::start_in(Scratch::new(engine), None).await;
    let token = server.first_token.clone().expect("a token is made when there is none");
    let url = format!("{}/v1/channels", server.base);
    assert_eq!(answer(server.client.get(&url).bearer_auth(&token)).await.status, StatusCode::OK);
    answer(server.client.get(&url).bearer_auth(TOKEN)).await.problem(401, "not one of this server");
    let server = Server::start_in(server.stop().await, None).await;
    assert_eq!(server.first_token, None);
    let url = format!("{}/v1/channels", server.base);
    assert_eq!(answer(server.client.get(&url).bearer_auth(&token)).await.status, StatusCode::OK);
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    let url = format!("{}/v1/channels", server.base);
    for token in [token.as_str(), TOKEN] {
        assert_eq!(answer(server.client.get(&url).bearer_auth(token)).await.status, StatusCode::OK);
    }
}

async fn lists_come_in_pages(engine: Engine) {
    let server = Server::start_on(engine).await;
    for name in ["a", "b", "c"] {
        server.channel(name).await;
    }
    let first = server.get("/v1/channels?limit=2").await.body;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let second = server.get(&format!("/v1/channels?limit=2&after={}", text(&first["next"]))).await.body;
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert!(second["next"].is_null());
    let mut names: Vec<_> = [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap()).collect();
    names.sort_by_key(|channel| text(&channel["name"]));
    assert_eq!(names.iter().map(|channel| text(&channel["name"])).collect::<Vec<_>>(), ["a", "b", "c"]);
    server.get("/v1/channels?limit=0").await.problem(422, "1 to 200");
    server.get("/v1/channels?after=x").await.problem(422, "cursor");
    let unknown = server.get("/v1/channels?page=2").await;
    unknown.problem(422, "`limit`, `after`, `order`");
    assert_eq!(unknown.body["field"], "page");
    server.breakout("x", "a").await;
    server.breakout("y", "b").await;
    let of_a = server.get("/v1/breakouts?channel=a").await.body;
    assert_eq!(of_a["items"].as_array().unwrap().len(), 1);
    assert_eq!(of_a["items"][0]["name"], "x");
}

/// Names of what a list has, page by page, each page asked for by what the one before has answered.
async fn names(server: &Server, path: &str, of: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = server.get(&format!("{path}{after}")).await.body;
        names.extend(page["items"].as_array().unwrap().iter().map(|item| text(&item[of]).to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return names,
        }
    }
}

async fn lists_come_in_either_order(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    for number in 0..5 {
        // Two of a moment, so that ids decide between them.
        server.clock.set_ms(NOW_MS + number / 2 * 1000);
        server.breakout(&format!("b{number}"), "c").await;
        server.post("/v1/collections", json!({ "name": format!("l{number}") })).await;
    }
    for (path, of) in [("/v1/breakouts?", "name"), ("/v1/breakouts?channel=c&", "name"), ("/v1/collections?", "name")] {
        let oldest = names(&server, &format!("{path}limit=2"), of).await;
        assert_eq!(oldest.len(), 5, "{path}");
        assert_eq!(names(&server, &format!("{path}limit=2&order=oldest"), of).await, oldest);
        let mut newest = names(&server, &format!("{path}limit=2&order=newest"), of).await;
        assert!(newest[0].ends_with('4') && oldest[4] == newest[0], "{path}: {newest:?}");
        newest.reverse();
        assert_eq!(newest, oldest, "{path}");
    }
    for list in
        ["breakouts", "recordings", "assets", "collections", "channels", "operations", "jobs", "breakouts/b0/viewers"]
    {
        let path = format!("/v1/{list}");
        assert_eq!(server.get(&format!("{path}?order=newest")).await.status, StatusCode::OK, "{list}");
        let refused = server.get(&format!("{path}?order=size")).await;
        refused.problem(422, "oldest or newest");
        assert_eq!(refused.body["field"], "order", "{list}");
    }
}

async fn a_repeated_request_makes_one_thing(engine: Engine) {
    let server = Server::start_on(engine).await;
    let send = |path: &str, key: &str, body: serde_json::Value| {
        let request = server.client.post(format!("{}{path}", server.base)).bearer_auth(TOKEN);
        answer(request.header("Idempotency-Key", key).json(&body))
    };
    for (path, body, other) in [
        ("/v1/channels", json!({"name": "c"}), json!({"name": "d"})),
        ("/v1/breakouts", json!({"name": "b", "channel": "c"}), json!({"name": "e", "channel": "c"})),
        ("/v1/keys", json!({"name": "k"}), json!({"name": "l"})),
        ("/v1/key-groups", json!({"name": "g"}), json!({"name": "h"})),
        ("/v1/distributions", json!({"config": config("one")}), json!({"config": config("two")})),
        ("/v1/accounts", json!({"name": "acme"}), json!({"name": "other"})),
        ("/v1/events", json!({"name": "ev", "account": "acme"}), json!({"name": "ex"})),
    ] {
        let first = send(path, "key-1", body.clone()).await;
        assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
        let again = send(path, "key-1", body.clone()).await;
        assert_eq!((again.status, again.body), (first.status, first.body));
        let reused = send(path, "key-1", other).await;
        reused.problem(422, "different request");
        assert_eq!(reused.body["field"], "Idempotency-Key");
        send(path, "key-2", body).await.problem(409, "lready");
    }
    send("/v1/channels", "a b", json!({"name": "x"})).await.problem(422, "visible");
    let changed = server.put("/v1/events/ev", json!({"name": "ev", "description": "longer"})).await;
    assert_eq!((changed.status, &changed.body["description"]), (StatusCode::OK, &json!("longer")));
    assert_eq!(server.delete("/v1/breakouts/b").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn bad_requests_are_problems() {
    let server = Server::start_on(Engine::Sqlite).await;
    let unknown = server.post("/v1/channels", json!({"nmae": "x"})).await;
    unknown.problem(422, "`name`, `description`, `segment_target_seconds`, `window_seconds`");
    assert_eq!(unknown.body["field"], "nmae");
    let missing = server.post("/v1/channels", json!({})).await;
    missing.problem(422, "missing field `name`");
    assert_eq!(missing.body["field"], "name");
    server.post("/v1/channels", json!({"name": " "})).await.problem(422, "1 to 100");
    server.post("/v1/channels", json!({"name": "a\u{7}"})).await.problem(422, "control");
    server.post("/v1/channels", json!({"name": 5})).await.problem(422, "string");
    server.post("/v1/channels", json!({"name": "a", "segment_target_seconds": 11})).await.problem(422, "1 to 10");
    server.post("/v1/channels", json!({"name": "a", "window_seconds": 12})).await.problem(422, "18 (three segments)");
    let post = || server.client.post(format!("{}/v1/channels", server.base)).bearer_auth(TOKEN);
    answer(post().header("content-type", "application/json").body("{")).await.problem(400, "EOF");
    answer(post().header("content-type", "text/xml").body("{}")).await.problem(415, "application/json");
    let long = vec![b' '; 1024 * 1024 + 1];
    answer(post().header("content-type", "application/json").body(long)).await.problem(413, "1048576");
    server.get("/v1/channels/nothing").await.problem(404, "no channel");
    server.get("/v1/nothing").await.problem(404, "/v1/nothing");
    server.get("/nothing").await.problem(404, "/nothing");
    server.call(Method::PUT, "/v1/channels", None).await.problem(405, "PUT");
    server.call(Method::POST, "/livez", None).await.problem(405, "POST");
    let channelless = server.post("/v1/breakouts", json!({"name": "b", "channel": "x"})).await;
    channelless.problem(422, "no channel");
    assert_eq!(channelless.body["field"], "channel");
    server.channel("twice").await;
    let twice = server.post("/v1/channels", json!({"name": "twice"})).await;
    twice.problem(409, "already a channel");
    assert_eq!(twice.body["field"], "name");
}

async fn a_key_shows_its_private_half_once(engine: Engine) {
    let server = Server::start_on(engine).await;
    let made = server.post("/v1/keys", json!({"name": "partner"})).await.body;
    assert!(text(&made["private_key"]).starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(made["signs"], true);
    let listed = server.get("/v1/keys").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("PRIVATE"));
    let imported = server.post("/v1/keys", json!({"name": "theirs", "public_key": made["public_key"]})).await.body;
    assert!(imported["private_key"].is_null());
    assert_eq!(imported["signs"], false);
    server.post("/v1/keys", json!({"name": "bad", "public_key": "x"})).await.problem(422, "pem");
}

async fn deleting(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    server.snapshot(|snapshot| snapshot.channels.iter().any(|channel| channel.running)).await;
    server.delete("/v1/breakouts/b").await.problem(409, "stop it first");
    server.delete("/v1/channels/c").await.problem(409, "on air");
    server.act("/v1/breakouts/b/stop").await;
    server.delete("/v1/channels/c").await.problem(409, "Stopping");
    server.snapshot(|snapshot| snapshot.channels.iter().all(|channel| !channel.running)).await;
    server.applied_until("/v1/channels/c", |channel| channel["state"] == "Idle").await;
    assert_eq!(server.delete("/v1/channels/c").await.status, StatusCode::NO_CONTENT);
    server.get("/v1/channels/c").await.problem(404, "no channel");
    assert_eq!(server.get("/v1/breakouts/b").await.body["channel"], serde_json::Value::Null, "what was on air stays");
    let distribution = format!("/v1/distributions/{}", text(&channel["distribution"]["id"]));
    server.until(&distribution, |shown| shown["phase"] == "stale" && shown["enabled"] == false).await;
    server.snapshot(|snapshot| own(snapshot).iter().all(|spec| !spec.enabled)).await;
    server.applied_until(&distribution, |shown| shown["status"] == 404).await;
    server.snapshot(|snapshot| snapshot.channels.is_empty() && own(snapshot).is_empty()).await;
}
