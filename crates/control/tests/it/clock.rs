//! A clock that jumps a year ahead and back again.

use anabranch_testkit::{Engine, Scratch, both};
use base64::Engine as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, answer, text};

const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

both!(what_expires_does_so_by_the_clock_and_comes_back_with_it, wishes_become_real_wherever_the_clock_goes);

/// The claim `iat` of a signed URL.
fn issued(play: &Value) -> i64 {
    let url = text(&play["url"]);
    let policy = url.split_once("Policy=").unwrap().1.split('&').next().unwrap();
    let policy = policy.replace('-', "+").replace('_', "=").replace('~', "/");
    let policy = base64::engine::general_purpose::STANDARD.decode(policy).unwrap();
    serde_json::from_slice::<Value>(&policy).unwrap()["iat"].as_i64().unwrap()
}

async fn what_expires_does_so_by_the_clock_and_comes_back_with_it(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    server.breakout("b", "c").await;
    let token = json!({ "name": "ci", "scopes": ["read"], "expires_at": "2026-01-02T00:00:00Z" });
    let secret = text(&server.post("/v1/tokens", token).await.body["secret"]).to_owned();
    let read = async || answer(server.client.get(format!("{}/v1/channels", server.base)).bearer_auth(&secret)).await;
    let play = server.post("/v1/breakouts/b/play-url", json!({ "expires_in_seconds": 3600 })).await.body;
    assert_eq!(issued(&play), NOW_MS / 1000);
    let query = text(&play["url"]).split_once('?').unwrap().1.to_owned();
    let watch = async || answer(server.client.get(format!("{}/v1/watch/b?{query}", server.base))).await.status;
    assert_eq!((read().await.status, watch().await), (StatusCode::OK, StatusCode::OK));

    server.clock.set_ms(NOW_MS + YEAR_MS);
    read().await.problem(401, "expired");
    assert_eq!(watch().await, StatusCode::FORBIDDEN);
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);

    server.clock.set_ms(NOW_MS);
    assert_eq!((read().await.status, watch().await), (StatusCode::OK, StatusCode::OK));

    // What was revoked in the year that was stays revoked, and what is signed from now on is not.
    server.clock.set_ms(NOW_MS + YEAR_MS);
    assert_eq!(server.post("/v1/breakouts/b/revoke", json!({})).await.status, StatusCode::OK);
    server.clock.set_ms(NOW_MS + 1000);
    let revoked = (NOW_MS + YEAR_MS) / 1000 + 1;
    let play = server.post("/v1/breakouts/b/play-url", json!({ "expires_in_seconds": 3600 })).await.body;
    assert_eq!(issued(&play), revoked);
    assert_eq!(play["expires_at"], "2026-01-01T01:00:01Z", "it opens no longer for that");
}

async fn wishes_become_real_wherever_the_clock_goes(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    // The controller's clock is not what it leads by, nor is that of one that stands by.
    let other = match &server.scratch {
        Scratch::File(_) => None,
        Scratch::Server(database) => Some(anabranch_db::Db::open_url(&database.url()).await.unwrap()),
    };
    for (round, jump_ms) in [0, YEAR_MS, -YEAR_MS, 3_600_000, 0].into_iter().enumerate() {
        server.clock.set_ms(NOW_MS + jump_ms);
        let name = format!("c{round}");
        let id = text(&server.channel(&name).await["id"]).to_owned();
        server.breakout(&format!("b{round}"), &name).await;
        server.act(&format!("/v1/breakouts/b{round}/start")).await;
        server.snapshot(|snapshot| snapshot.channels.iter().any(|one| one.id.as_str() == id && one.running)).await;
        server.applied_until(&format!("/v1/breakouts/b{round}"), |breakout| breakout["state"] == "RUNNING").await;
        assert_eq!(server.act("/v1/distributions/sweep").await.status, StatusCode::OK);
        if let Some(other) = &other {
            assert!(!other.try_lead().await.unwrap(), "two act");
        }
    }
    let log = server.get("/v1/log?sort=asc&limit=200").await.body;
    let sequences: Vec<i64> =
        log["items"].as_array().unwrap().iter().map(|one| one["sequence"].as_i64().unwrap()).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{sequences:?}");
    if let Some(other) = other {
        other.close().await;
    }
}
