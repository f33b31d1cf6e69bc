//! The document and the routes: neither has what the other lacks.

use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Server, answer, text};

/// Operations that anybody may call.
const OPEN: [&str; 8] =
    ["livez", "openapi", "readyz", "recordings_auth", "stream_auth", "stream_signout", "watch_renew", "watch_show"];

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

#[tokio::test]
async fn every_operation_but_the_open_ones_needs_a_token() {
    let server = Server::start().await;
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
            without.problem(401, "Bearer TOKEN");
            let wrong = answer(server.client.request(method.clone(), &url).bearer_auth("wrong")).await;
            wrong.problem(401, "not one of this server");
        } else {
            assert_ne!(without.status.as_u16(), 401, "{method} {path}");
            open.push(text(&operation["operationId"]).to_owned());
        }
        let with = server.call(method.clone(), &filled, None).await;
        assert_ne!(with.status.as_u16(), 405, "{method} {path}");
        assert_ne!(with.status.as_u16(), 401, "{method} {path}");
    }
    open.sort();
    assert_eq!(open, OPEN);
}

#[tokio::test]
async fn every_route_is_in_the_document() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.body;
    let documented = operations(&document);
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for path in document["paths"].as_object().unwrap().keys() {
        let filled = path.replace("{id}", "x").replace("{breakout}", "x").replace("{invalidation}", "x");
        for method in &methods {
            let routed = server.call(method.clone(), &filled, None).await.status.as_u16() != 405;
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
    let server = Server::start().await;
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
