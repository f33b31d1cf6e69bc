//! The audit: one row for each request that wants to change something.

use anabranch_testkit::{Engine, both};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, TOKEN, text};
use crate::visitor::{Visitor, anonymous, audit, user};

both!(what_was_done_and_refused_is_kept, nothing_is_lost_at_an_orderly_end);

async fn what_was_done_and_refused_is_kept(engine: Engine) {
    let server = Server::start_on(engine).await;
    let owner = Visitor::owner(&server).await;
    user(&server, "vera", "viewer").await;
    let vera = Visitor::logged_in(&server, "vera").await;
    assert_eq!(vera.login("vera", "the wrong password").await.status.as_u16(), 401);
    assert_eq!(vera.login("correct horse battery", "typed into the wrong field").await.status.as_u16(), 401);
    let made =
        owner.request(Method::POST, "/v1/channels").header("X-Request-ID", "made-1").json(&json!({ "name": "c" }));
    let response = made.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-request-id"]), (201, &"made-1".parse().unwrap()));
    vera.call(Method::POST, "/v1/channels/c%20d/start", None).await.problem(403, "channel:start");
    anonymous(&server, Method::DELETE, "/v1/channels/c", None).await.problem(401, "Bearer TOKEN");
    server.get("/v1/channels").await;
    vera.call(Method::DELETE, "/v1/login", None).await;
    let rows = audit(&server, "", 9).await;
    let of = |row: &Value| {
        let word = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {} {}",
            word("actor"),
            word("actor_kind"),
            word("operation"),
            word("object"),
            word("subject"),
            row["status"]
        )
    };
    let found: Vec<String> = rows.iter().rev().map(of).collect();
    assert_eq!(
        found,
        [
            "admin token setup_create user olive 201",
            "admin token user_create user - 201",
            "vera user login_create session - 200",
            "- none login_create session vera 401",
            "- none login_create session - 401",
            "olive user channel_create channel - 201",
            "vera user channel_start channel c d 403",
            "- none channel_delete channel c 401",
            "vera user login_delete session - 204",
        ]
    );
    assert!(rows.iter().all(|row| row["remote"] == "127.0.0.1" && text(&row["at"]).starts_with("2026-01-01T00:00:00")));
    assert!(rows.windows(2).all(|two| two[0]["id"].as_u64() > two[1]["id"].as_u64()));
    assert_eq!(rows[3]["request_id"], "made-1");
    // Conditions stack, and pages go on.
    assert_eq!(audit(&server, "&actor=vera", 3).await.len(), 3);
    assert_eq!(audit(&server, "&actor=vera&object=channel", 1).await.len(), 1);
    assert_eq!(audit(&server, "&subject=c%20d", 1).await.len(), 1);
    assert_eq!(audit(&server, "&until=2026-01-01T00:00:00Z", 0).await.len(), 0);
    assert_eq!(audit(&server, "&since=2026-01-01T00:00:00Z&actor=olive", 1).await.len(), 1);
    let first = server.get("/v1/audit?limit=2").await.body;
    let second = server.get(&format!("/v1/audit?limit=200&cursor={}", text(&first["next"]))).await.body;
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (2, 7));
    assert!(second["next"].is_null());
    let first = server.get("/v1/audit?order=oldest&limit=4").await.body;
    let second = server.get(&format!("/v1/audit?order=oldest&cursor={}", text(&first["next"]))).await.body;
    let all: Vec<_> = [first, second].iter().flat_map(|page| page["items"].as_array().unwrap().clone()).collect();
    assert!(all.iter().rev().eq(rows.iter()), "the same rows, the other way");
    let newest = server.get("/v1/audit?order=newest&limit=9").await.body;
    assert_eq!(newest["items"], json!(rows));
    server.get("/v1/audit?order=any").await.problem(422, "oldest or newest");
    for (query, words) in
        [("limit=0", "1 to 200"), ("cursor=x", "next"), ("since=soon", "RFC"), ("actor=", "1 to 256"), ("who=x", "who")]
    {
        let found = server.get(&format!("/v1/audit?{query}")).await;
        assert_eq!(found.status.as_u16(), 422, "{query}");
        assert!(found.body.to_string().contains(words) || query.starts_with("since"), "{}", found.body);
    }
}

async fn nothing_is_lost_at_an_orderly_end(engine: Engine) {
    let server = Server::start_on(engine).await;
    for at in 0..300 {
        server.post("/v1/accounts", json!({ "name": format!("a{at}") })).await;
    }
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    assert_eq!(audit(&server, "&object=account", 200).await.len(), 200);
    let oldest = server.get("/v1/audit?object=account&limit=200").await.body;
    let rest = server.get(&format!("/v1/audit?object=account&limit=200&cursor={}", text(&oldest["next"]))).await.body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn who_knocks_all_day_does_not_fill_it() {
    let server = Server::start_on(Engine::Sqlite).await;
    for _ in 0..100 {
        anonymous(&server, Method::DELETE, "/v1/channels/c", None).await.problem(401, "");
    }
    server.post("/v1/accounts", json!({ "name": "last" })).await;
    let rows = audit(&server, "", 31).await;
    assert_eq!(rows.len(), 31);
    assert_eq!(rows[0]["operation"], "account_create");
}

#[tokio::test]
async fn old_rows_go() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.clock.set_ms(NOW_MS - 24 * 60 * 60 * 1000);
    server.post("/v1/accounts", json!({ "name": "a" })).await;
    audit(&server, "", 1).await;
    let scratch = server.stop().await;
    // The sweep of the start finds it.
    let server = Server::start_as(scratch, Some(TOKEN), |config| {
        config.auth.audit_keep = std::time::Duration::from_secs(60);
    })
    .await;
    server.until("/v1/audit", |page| page["items"].as_array().is_some_and(Vec::is_empty)).await;
}
