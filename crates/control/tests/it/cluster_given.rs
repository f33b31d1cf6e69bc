//! What definitions of clusters may say: settings of the watch, defaults, headers of origins, and refusals that name the place.

use anabranch_model::Origin;
use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{made, region, regions};
use crate::delivery::config;
use crate::support::{Server, TOKEN, text};

both!(settings_of_the_watch_are_kept, headers_of_an_origin_are_kept_and_never_shown);

/// What nobody is told.
const SECRET: &str = "a-very-secret-word";

async fn settings_of_the_watch_are_kept(engine: Engine) {
    let server = Server::start_on(engine).await;
    let shown = made(&server, json!({ "name": "c", "regions": regions() })).await;
    for name in ["multiplier", "tolerance", "change_detect", "poll_divisor", "timeout_ms", "reload"] {
        assert!(shown["watch"][name].is_null(), "as the preset says: {shown}");
    }
    let watch = json!({ "multiplier": 2.0, "tolerance": 0.5, "change_detect": "content-hash", "poll_divisor": 8, "timeout_ms": 900,
                        "reload": false, "silence_ms": 7000 });
    let changed = server.patch("/v1/clusters/c", json!({ "watch": watch, "automat": { "hold_ms": 7000 } })).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    for (name, value) in watch.as_object().unwrap() {
        assert_eq!(&changed.body["watch"][name], value, "{name}");
    }
    // What is not given stays, also over a restart; null is the default.
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    let change = json!({ "watch": { "multiplier": null, "poll_divisor": null, "silence_ms": null }, "automat": { "hold_ms": null } });
    let changed = server.patch("/v1/clusters/c", change).await.body;
    let watch = &changed["watch"];
    assert_eq!((&watch["multiplier"], &watch["poll_divisor"]), (&Value::Null, &Value::Null), "{changed}");
    assert_eq!((&watch["tolerance"], &watch["change_detect"]), (&json!(0.5), &json!("content-hash")));
    assert_eq!((&watch["silence_ms"], &changed["automat"]["hold_ms"]), (&json!(5000), &json!(60_000)));

    let state = server.get("/v1/clusters/c/state").await.body;
    assert_eq!(state["definition"]["watch"]["timeout_ms"], 900, "peers are told");
    for (watch, words) in [
        (json!({ "poll_divisor": 0 }), "poll_divisor is 1 to 50: 0"),
        (json!({ "timeout_ms": 40_000 }), "timeout_ms is 100 to 30000: 40000"),
        (json!({ "multiplier": 0.5 }), "multiplier is 1 to 20: 0.5"),
        (json!({ "change_detect": "hash" }), "change_detect, one of media-sequence, content-hash: \"hash\""),
        (json!({ "preset": "fast" }), "one of default, relaxed, design"),
    ] {
        server.patch("/v1/clusters/c", json!({ "watch": watch })).await.problem(422, words);
    }
}

async fn headers_of_an_origin_are_kept_and_never_shown(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let made_of = server.post("/v1/distributions", json!({ "config": config("site") })).await;
    assert_eq!(made_of.status, StatusCode::CREATED, "{}", made_of.body);
    let id = text(&made_of.body["id"]).to_owned();
    let mut body = json!({ "name": "c", "here": "eu", "regions": regions() });
    body["regions"][0]["origin_url"] = json!("http://origin.example.com:8080/{breakout}/index.m3u8");
    body["regions"][0]["distribution"] = json!(id);
    body["regions"][0]["headers"] = json!({ "X-Origin-Key": SECRET });
    let shown = made(&server, body.clone()).await;
    assert_eq!(region(&shown, "eu")["headers"], json!(["x-origin-key"]));
    assert_eq!(region(&shown, "us")["headers"], json!([]));
    // Edges ask that origin with it.
    let headers = |snapshot: &anabranch_model::Snapshot| {
        let spec = snapshot.distributions.iter().find(|spec| spec.id.as_str() == id)?;
        let Origin::Http(origin) = &spec.origins[0].origin else { return None };
        origin.headers.get("x-origin-key").cloned()
    };
    server.snapshot(|snapshot| headers(snapshot).as_deref() == Some(SECRET)).await;

    // Another URL of the same server keeps it, another server does not get it.
    body["regions"][0].as_object_mut().unwrap().remove("headers");
    body["regions"][0]["origin_url"] = json!("http://origin.example.com:8080/other/index.m3u8");
    let patched = server.patch("/v1/clusters/c", json!({ "regions": body["regions"] })).await;
    assert_eq!(region(&patched.body, "eu")["headers"], json!(["x-origin-key"]), "{}", patched.body);
    let mut elsewhere = body["regions"].clone();
    elsewhere[0]["origin_url"] = json!("http://elsewhere.example.com/index.m3u8");
    let refused = server.patch("/v1/clusters/c", json!({ "regions": elsewhere })).await;
    refused.problem(422, "regions[0].headers of region \"eu\": the origin is another server now");

    for path in [
        "/v1/clusters/c",
        "/v1/clusters",
        "/v1/clusters/c/state",
        "/v1/log?limit=200",
        "/v1/audit",
        "/v1/clusters/c/history",
    ] {
        let told = server.get(path).await.body.to_string();
        assert!(!told.contains(SECRET), "{path}: {told}");
    }
    let state = server.get("/v1/clusters/c/state").await.body;
    assert!(state["definition"]["regions"][0]["headers"].is_null(), "peers are not told: {state}");

    // Without it edges ask as before.
    body["regions"][0]["headers"] = json!({});
    let patched = server.patch("/v1/clusters/c", json!({ "regions": body["regions"] })).await;
    assert_eq!(region(&patched.body, "eu")["headers"], json!([]), "{}", patched.body);
    server.snapshot(|snapshot| headers(snapshot).is_none()).await;
}

#[tokio::test]
async fn a_refusal_of_a_region_says_which() {
    let server = Server::start_on(Engine::Sqlite).await;
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 7] = [
        (
            |us| us["origin_url"] = json!("ftp://x/"),
            "regions[1].origin_url of region \"us\": the URL of a playlist begins",
        ),
        (|us| us["cdn_url"] = json!("x"), "regions[1].cdn_url of region \"us\": not a URL of a playlist: \"x\""),
        (|us| us["peer"] = json!({ "url": "http://peer" }), "regions[1].peer of region \"us\": a peer needs"),
        (|us| us["distribution"] = json!("no id!"), "regions[1].distribution of region \"us\""),
        (
            |us| us["headers"] = json!({ "Host": SECRET }),
            "regions[1].headers of region \"us\": a header that no origin",
        ),
        (|us| us["name"] = json!("eu"), "regions[1].name: two regions have the same name"),
        (|us| us["paths"] = json!(["/x"]), "regions[1] of region \"us\": paths are of a distribution"),
    ];
    for (change, words) in cases {
        let mut body = json!({ "name": "c", "regions": regions() });
        change(&mut body["regions"][1]);
        let refused = server.post("/v1/clusters", body).await;
        refused.problem(422, words);
        assert!(!refused.body.to_string().contains(SECRET));
    }
}
