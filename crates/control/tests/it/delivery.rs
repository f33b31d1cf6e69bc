//! Distributions by CloudFront's configuration, and invalidations.

use anabranch_testkit::{Engine, both};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, NOW_MS, Server, TOKEN, answer, own, text};

both!(
    a_distribution_lives_from_its_configuration,
    a_channels_distribution_may_be_changed_and_goes_with_it,
    configurations_survive_a_restart,
    an_invalidation_is_completed_when_every_edge_acts_by_it,
);

/// A configuration as the AWS CLI takes it.
pub(crate) fn config(reference: &str) -> Value {
    json!({
        "CallerReference": reference,
        "Comment": "a site",
        "Enabled": true,
        "Origins": {"Quantity": 1, "Items": [{
            "Id": "site", "DomainName": "origin.example.com",
            "CustomOriginConfig": {"HTTPPort": 8080, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
        }]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "site", "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"
        }
    })
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

async fn conditional(server: &Server, method: Method, path: &str, etag: &str, body: Option<Value>) -> Answer {
    let request = server.client.request(method, format!("{}{path}", server.base)).bearer_auth(TOKEN);
    let request = request.header("If-Match", format!("\"{etag}\""));
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

async fn make(server: &Server, config: Value) -> Value {
    let made = server.post("/v1/distributions", json!({ "config": config })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.body
}

async fn a_distribution_lives_from_its_configuration(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let made = make(&server, with(config("r1"), "Aliases", json!({"Quantity": 1, "Items": ["www.example.com"]}))).await;
    let id = text(&made["id"]).to_owned();
    let path = format!("/v1/distributions/{id}");
    assert_eq!(made["status"], "InProgress");
    assert_eq!(made["domain_name"], format!("{}.cdn.localhost", id.to_lowercase()));
    assert_eq!((&made["channel"], &made["comment"]), (&Value::Null, &json!("a site")));
    assert_eq!(made["aliases"], json!(["www.example.com"]));
    assert_eq!(made["config"]["CallerReference"], "r1");
    assert!(made["config"]["DefaultRootObject"].is_string(), "defaults are filled in: {}", made["config"]);
    assert_eq!(made["waiting_for"], "waiting for edge: no such node has reported");

    let snapshot = server.snapshot(|snapshot| !own(snapshot).is_empty()).await;
    let spec = own(&snapshot)[0];
    assert_eq!((spec.id.as_str(), spec.enabled, spec.aliases[0].as_str()), (id.as_str(), true, "www.example.com"));
    let deployed = server.applied_until(&path, |shown| shown["status"] == "Deployed").await;
    assert_eq!(deployed["etag"], made["etag"], "the status is no part of the configuration");
    assert!(deployed["waiting_for"].is_null());
    let listed = server.get("/v1/distributions").await.body;
    let mine = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == made["id"]).unwrap();
    assert_eq!(mine["etag"], made["etag"]);
    assert!(mine["config"].is_null(), "lists are brief");

    // What was shown can be given back, and changes nothing.
    let same = server.put(&path, json!({ "config": deployed["config"] })).await;
    assert_eq!(
        (same.status, &same.body["etag"], &same.body["status"]),
        (StatusCode::OK, &made["etag"], &json!("Deployed"))
    );

    let off = with(deployed["config"].clone(), "Enabled", json!(false));
    server.delete(&path).await.problem(409, "Enabled false");
    conditional(&server, Method::PUT, &path, "E0-1", Some(json!({ "config": off }))).await.problem(412, "ETag");
    let etag = text(&made["etag"]);
    let changed = conditional(&server, Method::PUT, &path, etag, Some(json!({ "config": off }))).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    assert_eq!((&changed.body["status"], &changed.body["enabled"]), (&json!("InProgress"), &json!(false)));
    assert_ne!(changed.body["etag"], made["etag"]);
    server.snapshot(|snapshot| own(snapshot).iter().all(|spec| !spec.enabled)).await;
    conditional(&server, Method::DELETE, &path, etag, None).await.problem(412, "ETag");
    // It goes when every edge has heard that it is disabled.
    assert_eq!(server.delete(&path).await.status, StatusCode::ACCEPTED);
    let stale = server.get(&path).await.body;
    assert_eq!((&stale["phase"], &stale["operation"]["kind"]), (&json!("stale"), &json!("distribution.delete")));
    assert!(text(&stale["operation"]["waiting_for"]).contains("\"n1\""), "{stale}");
    server.applied_until(&path, |shown| shown["status"] == 404).await;
    server.snapshot(|snapshot| own(snapshot).is_empty()).await;
}

#[tokio::test]
async fn etags_are_headers_too() {
    let server = Server::start_on(Engine::Sqlite).await;
    let made = make(&server, config("r")).await;
    let url = format!("{}/v1/distributions/{}", server.base, text(&made["id"]));
    let response = server.client.get(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(response.headers()["etag"], format!("\"{}\"", text(&made["etag"])));
}

#[tokio::test]
async fn what_a_configuration_may_not_be() {
    let server = Server::start_on(Engine::Sqlite).await;
    let first =
        make(&server, with(config("r1"), "Aliases", json!({"Quantity": 1, "Items": ["www.example.com"]}))).await;
    let id = text(&first["id"]);
    let refused = async |config: Value, status: u16, words: &str, code: &str| {
        let answer = server.post("/v1/distributions", json!({ "config": config })).await;
        answer.problem(status, words);
        assert_eq!(answer.body["code"], code, "{}", answer.body);
    };
    refused(config("r1"), 409, id, "DistributionAlreadyExists").await;
    let alias = json!({"Quantity": 1, "Items": ["WWW.example.com"]});
    refused(with(config("r2"), "Aliases", alias), 409, id, "CNAMEAlreadyExists").await;
    let mut trusting = config("r3");
    trusting["DefaultCacheBehavior"]["TrustedKeyGroups"] =
        json!({"Enabled": true, "Quantity": 1, "Items": ["gnothing"]});
    refused(trusting.clone(), 422, "gnothing", "TrustedKeyGroupDoesNotExist").await;
    let answer = server.post("/v1/distributions", json!({ "config": trusting })).await;
    assert_eq!(answer.body["field"], "config.DefaultCacheBehavior.TrustedKeyGroups.Items[0]");
    let trusting = with(trusting, "CallerReference", json!("r1"));
    let answer = server.put(&format!("/v1/distributions/{id}"), json!({ "config": trusting })).await;
    assert_eq!(answer.body["field"], "config.DefaultCacheBehavior.TrustedKeyGroups.Items[0]");
    let unknown = server.post("/v1/distributions", json!({"config": with(config("r4"), "Colour", json!(1))})).await;
    unknown.problem(422, "Colour");
    assert!(text(&unknown.body["field"]).starts_with("config"), "{}", unknown.body);
    server.post("/v1/distributions", json!({"config": {}})).await.problem(422, "Origins");
    server.post("/v1/distributions", json!({})).await.problem(422, "missing field `config`");
    let path = format!("/v1/distributions/{id}");
    let renamed = server.put(&path, json!({"config": config("r9")})).await;
    renamed.problem(422, "IllegalUpdate");
    server.put("/v1/distributions/E0", json!({"config": config("r9")})).await.problem(404, "no distribution");
    assert_eq!(server.get("/v1/distributions").await.body["items"].as_array().unwrap().len(), 2);
}

async fn a_channels_distribution_may_be_changed_and_goes_with_it(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    let path = format!("/v1/distributions/{}", text(&channel["distribution"]["id"]));
    let shown = server.get(&path).await.body;
    assert_eq!(shown["channel"], channel["id"]);
    assert_eq!(shown["config"]["CallerReference"], channel["distribution"]["id"]);
    let changed = with(shown["config"].clone(), "Aliases", json!({"Quantity": 1, "Items": ["live.example.com"]}));
    let changed = server.put(&path, json!({ "config": changed })).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let snapshot = server.snapshot(|snapshot| snapshot.distributions.iter().any(|spec| !spec.aliases.is_empty())).await;
    assert_eq!(own(&snapshot)[0].behaviors[0].path_pattern, "*.m3u8");
    server.breakout("b", "c").await;
    assert_eq!(server.act("/v1/breakouts/b/play-url").await.status, StatusCode::OK);
    server.delete(&path).await.problem(409, "delete the channel");
    // At once, or by itself in a moment.
    let deleted = server.delete("/v1/channels/c").await.status;
    assert!([StatusCode::NO_CONTENT, StatusCode::ACCEPTED].contains(&deleted), "{deleted}");
    server.until(&path, |shown| shown["phase"] == "stale").await;
    server.snapshot(|snapshot| own(snapshot).iter().all(|spec| !spec.enabled)).await;
    server.applied_until(&path, |shown| shown["status"] == 404).await;
}

async fn configurations_survive_a_restart(engine: Engine) {
    let server = Server::start_on(engine).await;
    let made = make(&server, config("r")).await;
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    let shown = server.get(&format!("/v1/distributions/{}", text(&made["id"]))).await.body;
    assert_eq!((&shown["config"], &shown["etag"]), (&made["config"], &made["etag"]));
    assert_eq!(own(&server.snapshots.borrow()).len(), 1);
}

async fn an_invalidation_is_completed_when_every_edge_acts_by_it(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let made = make(&server, config("r")).await;
    let path = format!("/v1/distributions/{}/invalidations", text(&made["id"]));
    server.snapshot(|snapshot| !own(snapshot).is_empty()).await;
    for node in ["n1", "n2"] {
        let version = server.snapshots.borrow().version;
        let applied = anabranch_model::Report::Applied { role: "edge".into(), node: node.into(), version };
        server.reports.send(applied).await.unwrap();
    }
    let order = json!({"paths": ["/b", "/a/*", "/b"], "tags": ["news"], "caller_reference": "mine"});
    let first = server.post(&path, order.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let first = first.body;
    assert_eq!((&first["status"], &first["sequence"]), (&json!("InProgress"), &json!(1)));
    assert_eq!((&first["paths"], &first["tags"]), (&json!(["/a/*", "/b"]), &json!(["news"])));
    let snapshot =
        server.snapshot(|snapshot| snapshot.distributions.iter().any(|spec| spec.invalidations.last() == 1)).await;
    let log = &own(&snapshot)[0].invalidations;
    assert_eq!((log.floor, log.entries[0].paths.len()), (0, 2));
    let one = format!("{path}/{}", text(&first["id"]));
    server.applied("edge", snapshot.version).await;
    let waits = |shown: &Value| text_or_empty(&shown["waiting_for"]).contains("\"n2\"");
    let waiting = server.until(&one, waits).await;
    assert_eq!(waiting["status"], "InProgress");
    server.clock.set_ms(NOW_MS + 500);
    let applied =
        anabranch_model::Report::Applied { role: "edge".into(), node: "n2".into(), version: snapshot.version };
    server.reports.send(applied).await.unwrap();
    let done = server.until(&one, |shown| shown["status"] == "Completed").await;
    assert_eq!(done["completed_at"], "2026-01-01T00:00:00.500Z");
    assert_eq!(server.snapshots.borrow().version, snapshot.version, "a confirmation is no news for nodes");

    let again = server.post(&path, order).await;
    assert_eq!((again.status, &again.body["id"]), (StatusCode::CREATED, &first["id"]));
    let other = server.post(&path, json!({"paths": ["/c"], "caller_reference": "mine"})).await;
    other.problem(409, "InvalidationBatchAlreadyExists");
    let second = server.post(&path, json!({"tags": ["x"]})).await.body;
    assert_eq!(second["sequence"], 2);
    let listed = server.get(&path).await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

fn text_or_empty(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_an_invalidation_may_not_name() {
    let server = Server::start_on(Engine::Sqlite).await;
    let made = make(&server, config("r")).await;
    let path = format!("/v1/distributions/{}/invalidations", text(&made["id"]));
    let many: Vec<String> = (0..3001).map(|number| format!("/{number}")).collect();
    for (order, words) in [
        (json!({}), "at least one path or tag"),
        (json!({"paths": ["a"]}), "\"a\""),
        (json!({"paths": ["/a*b"]}), "\"/a*b\""),
        (json!({"paths": many}), "at most 3000 paths: 3001"),
        (json!({"tags": ["a b"]}), "\"a b\""),
        (json!({"tags": vec!["x"; 257]}), "at most 256 tags: 257"),
        (json!({"paths": ["/"], "caller_reference": ""}), "1 to 255"),
        (json!({"path": ["/"]}), "`paths`"),
    ] {
        server.post(&path, order).await.problem(422, words);
    }
    server.post("/v1/distributions/E0/invalidations", json!({"paths": ["/"]})).await.problem(404, "no distribution");
    server.get(&format!("{path}/I0")).await.problem(404, "no invalidation");
    assert_eq!(server.get(&path).await.body["items"], json!([]));
}
