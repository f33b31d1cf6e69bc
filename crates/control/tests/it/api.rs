//! The document and the routes: neither has what the other lacks.

use std::path::Path;

use anabranch_testkit::{Engine, both};
use reqwest::Method;
use serde_json::Value;

use crate::support::{NOW_MS, Server, TOKEN, answer, text};

both!(
    every_operation_but_the_open_ones_needs_a_token,
    tokens_expire_and_are_revoked_at_once,
    a_revocation_by_another_process_is_followed,
);

/// Operations that anybody may call.
const OPEN: [&str; 19] = [
    "asset_watch",
    "asset_watch_renew",
    "cluster_decision",
    "collection_watch",
    "collection_watch_renew",
    "livez",
    "login_create",
    "login_show",
    "oidc_begin",
    "oidc_end",
    "openapi",
    "readyz",
    "recordings_auth",
    "stream_auth",
    "stream_signout",
    "upload_options",
    "watch_renew",
    "watch_show",
    "watch_takeover",
];

/// Method, path, operation.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase().parse().unwrap(), path.clone(), operation.clone()));
        }
    }
    operations
}

async fn every_operation_but_the_open_ones_needs_a_token(engine: Engine) {
    let server = Server::start_on(engine).await;
    let document = server.get("/openapi.json").await.body;
    assert!(text(&document["openapi"]).starts_with("3.1"));
    let operations = operations(&document);
    assert!(operations.len() >= 20);
    let mut open = Vec::new();
    for (method, path, operation) in operations {
        let filled = path.replace("{id}", "x").replace("{breakout}", "x").replace("{invalidation}", "x");
        let url = format!("{}{filled}", server.base);
        let without = answer(server.client.request(method.clone(), &url)).await;
        if operation["security"].is_array() {
            let wrong = answer(server.client.request(method.clone(), &url).bearer_auth("wrong")).await;
            if method == Method::HEAD {
                assert_eq!((without.status.as_u16(), wrong.status.as_u16()), (401, 401), "{path}");
            } else {
                without.problem(401, "Bearer TOKEN");
                wrong.problem(401, "not one of this server");
            }
        } else {
            assert_ne!(without.status.as_u16(), 401, "{method} {path}");
            open.push(text(&operation["operationId"]).to_owned());
        }
        if path == "/v1/log/stream" {
            // It has no end; the tests of streams read it.
            continue;
        }
        let with = server.call(method.clone(), &filled, None).await;
        assert_ne!(with.status.as_u16(), 405, "{method} {path}");
        assert_ne!(with.status.as_u16(), 401, "{method} {path}");
    }
    open.sort();
    assert_eq!(open, OPEN);
}

#[tokio::test]
async fn stream_keys_are_for_who_may_change_channels() {
    let server = Server::start_on(Engine::Sqlite).await;
    let made = server.post("/v1/channels", serde_json::json!({ "name": "c", "inputs": 2 })).await.body;
    let key = text(&made["inputs"][0]["stream_key"]).to_owned();
    assert_eq!(made["inputs"][0]["push_url_with_key"], format!("rtmp://127.0.0.1:1935/live/{key}"));
    let everything: &[&str] = &["read", "operate", "keys", "webhooks"];
    let calls = [
        (Method::GET, "/v1/channels", None),
        (Method::GET, "/v1/channels/c", None),
        (Method::POST, "/v1/channels/c/switch", Some(serde_json::json!({ "input": "2" }))),
        (Method::POST, "/v1/channels/c/start", None),
        (Method::POST, "/v1/channels/c/stop", None),
    ];
    server.patch("/v1/channels/c", serde_json::json!({ "failover": { "preference": "equal" } })).await;
    for (scopes, shown) in [(everything, false), (&["read", "operate", "manage"], true), (&["admin"], true)] {
        let body = serde_json::json!({ "name": format!("some {}", scopes.len()), "scopes": scopes });
        let token = text(&server.post("/v1/tokens", body).await.body["secret"]).to_owned();
        for (method, path, body) in &calls {
            let request = server.client.request(method.clone(), format!("{}{path}", server.base)).bearer_auth(&token);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let found = answer(request).await;
            assert_eq!(found.status.as_u16(), 200, "{method} {path}: {}", found.body);
            assert_eq!(found.body.to_string().contains(&key), shown, "{method} {path} for {scopes:?}");
            let channel = if found.body["items"].is_array() { &found.body["items"][0] } else { &found.body };
            let input = &channel["inputs"][1];
            assert_eq!(input["push_url"], "rtmp://127.0.0.1:1935/live");
            assert_eq!((input["stream_key"].is_null(), input["push_url_with_key"].is_null()), (!shown, !shown));
        }
    }
    let log = server.get("/v1/log?limit=200").await.body.to_string();
    assert!(!log.contains(&key), "the log has no secret");
}

/// The closed list.
const SCOPES: [&str; 7] = ["read", "operate", "manage", "keys", "webhooks", "cluster", "admin"];

#[tokio::test]
async fn every_operation_names_its_scope_and_no_other_opens_it() {
    let server = Server::start_on(Engine::Sqlite).await;
    // For each scope a token that has all the others but admin.
    let mut without = std::collections::BTreeMap::new();
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope && *other != "admin").collect();
        let body = serde_json::json!({ "name": format!("all but {scope}"), "scopes": others });
        let made = server.post("/v1/tokens", body).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.body);
        without.insert(scope, text(&made.body["secret"]).to_owned());
    }
    let document = server.get("/openapi.json").await.body;
    let mut seen = std::collections::BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        if !operation["security"].is_array() {
            assert!(operation["x-scope"].is_null(), "{method} {path} is open");
            continue;
        }
        let scope = operation["x-scope"].as_str();
        let scope = scope.unwrap_or_else(|| panic!("{method} {path} has no scope: add it to http/scope.rs"));
        // The first owner is made when nobody can have a session.
        let by_session = operation["security"].as_array().unwrap().iter().any(|need| need["session"].is_array());
        assert!(by_session || path == "/v1/setup", "{method} {path} has no privilege: add it to http/scope.rs");
        seen.insert(scope.to_owned());
        let filled = path.replace("{id}", "x").replace("{breakout}", "x").replace("{invalidation}", "x");
        let request = server.client.request(method.clone(), format!("{}{filled}", server.base));
        let refused = answer(request.bearer_auth(&without[scope])).await;
        if method == Method::HEAD {
            // Its answers have no body.
            assert_eq!(refused.status.as_u16(), 403, "{path}");
            continue;
        }
        refused.problem(403, &format!("scope {scope};"));
        assert_eq!(refused.body["type"], "urn:anabranch:problem:scope", "{method} {path}");
    }
    assert_eq!(seen.len(), SCOPES.len(), "{seen:?}");
}

async fn tokens_expire_and_are_revoked_at_once(engine: Engine) {
    let server = Server::start_on(engine).await;
    let body = serde_json::json!({ "name": "ci", "scopes": ["read"], "expires_at": "2026-01-01T00:01:00Z" });
    let made = server.post("/v1/tokens", body.clone()).await.body;
    let secret = text(&made["secret"]).to_owned();
    assert!(secret.starts_with("anb_") && made["last_used_at"].is_null());
    server.post("/v1/tokens", body).await.problem(409, "already a token");
    let read = async || answer(server.client.get(format!("{}/v1/channels", server.base)).bearer_auth(&secret)).await;
    assert_eq!(read().await.status.as_u16(), 200);
    server.clock.set_ms(NOW_MS + 60_000);
    read().await.problem(401, "expired");

    let made = server.post("/v1/tokens", serde_json::json!({ "name": "ci 2", "scopes": ["read", "read"] })).await.body;
    assert_eq!(made["scopes"], serde_json::json!(["read"]));
    let secret = text(&made["secret"]).to_owned();
    let read = async || answer(server.client.get(format!("{}/v1/channels", server.base)).bearer_auth(&secret)).await;
    assert_eq!(read().await.status.as_u16(), 200);
    let listed = server.until("/v1/tokens", |list| !list["items"][2]["last_used_at"].is_null()).await;
    assert!(listed["items"].as_array().unwrap().iter().all(|token| token["secret"].is_null()));
    assert_eq!(server.delete("/v1/tokens/ci%202").await.status.as_u16(), 204);
    read().await.problem(401, "revoked");
    assert!(!server.get("/v1/tokens").await.body["items"][2]["revoked_at"].is_null());
    server.delete("/v1/tokens/admin").await.problem(409, "make another");
    server.delete("/v1/tokens/nothing").await.problem(404, "no token");
    for (body, words) in [
        (serde_json::json!({ "name": "x", "scopes": [] }), "at least one"),
        (serde_json::json!({ "name": "x", "scopes": ["root"] }), "no such scope"),
        (serde_json::json!({ "name": "", "scopes": ["read"] }), "1 to 100"),
        (serde_json::json!({ "name": "x", "scopes": ["read"], "expires_at": "2025-01-01T00:00:00Z" }), "is over"),
        (serde_json::json!({ "name": "x", "scopes": ["read"], "expires_at": "soon" }), "RFC 3339"),
    ] {
        server.post("/v1/tokens", body).await.problem(422, words);
    }
    // A revoked token stays so after a restart, and one that was revoked elsewhere is refused within a second.
    let dir = server.stop().await;
    let server = Server::start_in(dir, Some(TOKEN)).await;
    let again = answer(server.client.get(format!("{}/v1/channels", server.base)).bearer_auth(&secret)).await;
    again.problem(401, "revoked");
}

async fn a_revocation_by_another_process_is_followed(engine: Engine) {
    let server = Server::start_on(engine).await;
    let made = server.post("/v1/tokens", serde_json::json!({ "name": "ci", "scopes": ["read"] })).await.body;
    let other = server.db();
    other.token_revoke("ci", NOW_MS).await.unwrap();
    let url = format!("{}/v1/channels", server.base);
    let refused = async {
        while answer(server.client.get(&url).bearer_auth(text(&made["secret"]))).await.status.as_u16() != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), refused).await.unwrap();
}

#[tokio::test]
async fn every_route_is_in_the_document() {
    let server = Server::start_on(Engine::Sqlite).await;
    let document = server.get("/openapi.json").await.body;
    let documented = operations(&document);
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for path in document["paths"].as_object().unwrap().keys() {
        let filled = path.replace("{id}", "x").replace("{breakout}", "x").replace("{invalidation}", "x");
        for method in &methods {
            let url = format!("{}{filled}", server.base);
            let request = server.client.request(method.clone(), url).bearer_auth(TOKEN);
            let routed = request.send().await.unwrap().status().as_u16() != 405;
            let named = documented.iter().any(|(has, at, _)| has == method && at == path);
            assert_eq!(routed, named, "{method} {path}");
        }
    }
    for (_, path, operation) in &documented {
        assert!(!text(&operation["operationId"]).is_empty(), "{path}");
        assert!(!text(&operation["summary"]).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn health_is_open() {
    let server = Server::start_on(Engine::Sqlite).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(answer(server.client.get(format!("{}{path}", server.base))).await.status.as_u16(), 200);
    }
}

/// `ANABRANCH_BLESS=1` writes the file instead.
#[test]
fn the_committed_document_is_the_served_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let generated = anabranch_control::openapi_json();
    if std::env::var_os("ANABRANCH_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi.json is not what the code makes; run the test with ANABRANCH_BLESS=1"
    );
}
