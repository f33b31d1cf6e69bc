//! Definitions of clusters that are taken over from a peer.

use anabranch_testkit::Engine;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{made, region, regions};
use crate::support::{Server, TOKEN, text};

async fn token(server: &Server) -> String {
    let body = json!({ "name": "peer", "scopes": ["cluster"] });
    text(&server.post("/v1/tokens", body).await.body["secret"]).to_owned()
}

async fn joined(server: &Server, body: Value) -> Value {
    let made = server.post("/v1/clusters/join", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert!(!made.body.to_string().contains(TOKEN), "a token is never shown");
    made.body
}

#[tokio::test]
async fn a_definition_is_typed_once() {
    let [first, mut second] = [Server::start_on(Engine::Sqlite).await, Server::start_on(Engine::Sqlite).await];
    let tokens = [token(&first).await, token(&second).await];
    let mut body = json!({
        "name": "c", "here": "eu", "regions": regions(), "watch": { "vote": "any", "multiplier": 2.0 },
        "automat": { "mode": "automatic", "hold_ms": 7000 },
    });
    body["regions"][1]["peer"] = json!({ "url": second.base, "token": tokens[1] });
    made(&first, body).await;
    first.until("/v1/clusters/c", |cluster| region(cluster, "us")["peer"]["problem"].is_string()).await;

    let channel = second.channel("c").await;
    let distribution = text(&channel["distribution"]["id"]).to_owned();
    second.snapshot(|snapshot| snapshot.distributions.iter().any(|spec| spec.id.as_str() == distribution)).await;
    let peer = json!({ "url": first.base, "token": tokens[0] });
    let join = json!({ "name": "c", "here": "us", "peer": peer, "distribution": distribution, "paths": ["/live/*"] });
    let shown = joined(&second, join.clone()).await;
    assert_eq!(
        (&shown["here"], &shown["watch"]["vote"], &shown["automat"]["hold_ms"]),
        (&json!("us"), &json!("any"), &json!(7000))
    );
    let us = region(&shown, "us");
    assert_eq!(
        (&us["distribution"], &us["paths"], &us["peer"]),
        (&json!(distribution), &json!(["/live/*"]), &Value::Null)
    );
    assert_eq!(region(&shown, "eu")["cdn_url"], regions()[0]["cdn_url"]);
    for (server, other) in [(&first, "us"), (&second, "eu")] {
        let heard = |cluster: &Value| {
            let peer = &region(cluster, other)["peer"];
            peer["reachable"] == true && peer["differs"].is_null()
        };
        server.until("/v1/clusters/c", heard).await;
    }
    second.post("/v1/clusters/join", join).await.problem(409, "already a cluster");

    // One that changes is seen to differ, and taken over.
    let changed = first.patch("/v1/clusters/c", json!({ "automat": { "hold_ms": 9000 } })).await;
    assert_eq!(changed.status, StatusCode::OK);
    let differs = |cluster: &Value| region(cluster, "eu")["peer"]["differs"] == "settings of the automat";
    second.until("/v1/clusters/c", differs).await;
    let pulled = second.post("/v1/clusters/c/pull", json!({ "region": "eu" })).await;
    assert_eq!((pulled.status, &pulled.body["automat"]["hold_ms"]), (StatusCode::OK, &json!(9000)), "{}", pulled.body);
    let us = region(&pulled.body, "us");
    assert_eq!((&us["distribution"], &us["paths"]), (&json!(distribution), &json!(["/live/*"])));
    second.until("/v1/clusters/c", |cluster| region(cluster, "eu")["peer"]["differs"].is_null()).await;
    second.post("/v1/clusters/c/pull", json!({ "region": "us" })).await.problem(422, "no region with a peer");
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_said() {
    let [first, second] = [Server::start_on(Engine::Sqlite).await, Server::start_on(Engine::Sqlite).await];
    let mut body = json!({ "name": "c", "here": "eu", "regions": regions() });
    let asia = json!({ "name": "asia", "origin_url": "http://origin.asia.example.com/{breakout}/index.m3u8",
                       "peer": { "url": "http://127.0.0.1:9", "token": "t" } });
    body["regions"].as_array_mut().unwrap().push(asia);
    made(&first, body).await;
    let peer = json!({ "url": first.base, "token": TOKEN });
    let join = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({ "name": "c", "here": "us", "peer": peer.clone() });
        change(&mut body);
        body
    };
    type Refused<'a> = (&'a dyn Fn(&mut Value), u16, &'a str);
    let refused: [Refused<'_>; 6] = [
        (&|_| (), 422, "region \"asia\" is an instance of its own"),
        (&|body| body["here"] = json!("eu"), 422, "is this region itself"),
        (&|body| body["name"] = json!("d"), 409, "no cluster \"d\""),
        (&|body| body["peer"]["token"] = json!("wrong"), 409, "does not know the token"),
        (&|body| body["peer"] = json!({ "url": second.base, "token": TOKEN }), 409, "no cluster \"c\""),
        (&|body| body["peer"]["url"] = json!("ftp://x"), 422, "URL of a peer"),
    ];
    for (change, status, words) in refused {
        second.post("/v1/clusters/join", join(change)).await.problem(status, words);
    }
    let shown = joined(&second, join(&|body| body["tokens"] = json!({ "asia": "t" }))).await;
    assert_eq!(region(&shown, "asia")["peer"]["url"], "http://127.0.0.1:9");
    let nowhere = join(&|body| {
        body["tokens"] = json!({ "asia": "t" });
        body["here"] = json!("mars");
    });
    second.post("/v1/clusters/join", nowhere).await.problem(422, "no region with this name");
}
