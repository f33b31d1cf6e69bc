//! Who may watch: curtain, device limit, revocation, renewal, cookies, attendance.

use anabranch_model::{Report, ViewerSeen};
use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, answer, text};

both!(
    the_newest_session_of_a_user_expels_the_oldest,
    attendance_keeps_what_it_may,
    curtain_and_revocation_reach_the_nodes,
);

fn seen(breakout: &str, user: &str, session: &str, first_ms: i64) -> ViewerSeen {
    ViewerSeen {
        breakout: breakout.parse().unwrap(),
        session: session.into(),
        user: user.into(),
        address: "192.0.2.7".into(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36".into(),
        first_ms,
        last_ms: first_ms + 10,
        bytes: 100,
        stays: Vec::new(),
    }
}

async fn report(server: &Server, viewers: &[ViewerSeen]) {
    server.reports.send(Report::Viewers(viewers.to_vec())).await.unwrap();
}

async fn viewers(server: &Server, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let page = server.until("/v1/breakouts/b/viewers", |page| wanted(page["items"].as_array().unwrap())).await;
    page["items"].as_array().unwrap().clone()
}

async fn the_newest_session_of_a_user_expels_the_oldest(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    server.channel("c").await;
    let id = text(&server.breakout("b", "c").await["id"]).to_owned();
    server.act("/v1/breakouts/b/start").await;
    report(&server, &[seen(&id, "ann", "one", NOW_MS), seen(&id, "bob", "two", NOW_MS)]).await;
    viewers(&server, |items| items.len() == 2).await;
    server.clock.set_ms(NOW_MS + 1000);
    report(&server, &[seen(&id, "ann", "three", NOW_MS + 1000), seen(&id, "bob", "two", NOW_MS + 1000)]).await;
    let all = viewers(&server, |items| items.iter().any(|one| one["exit_reason"] == "device-limit")).await;
    let of = |session: &str| all.iter().find(|one| one["session"] == session).unwrap();
    assert_eq!(of("one")["exit_reason"], "device-limit");
    assert_eq!((&of("two")["exited_at"], &of("two")["bytes"]), (&Value::Null, &json!(200)));
    assert_eq!((&of("three")["browser"], &of("three")["os"]), (&json!("Chrome"), &json!("Linux")));
    let snapshot = server.snapshot(|snapshot| !snapshot.breakouts[0].audience.expelled.is_empty()).await;
    assert_eq!(snapshot.breakouts[0].audience.expelled, ["one"]);
    let log = server.get("/v1/log?type=viewer.expelled&breakout=b").await.body;
    let [entry] = log["items"].as_array().unwrap().as_slice() else { panic!("one entry: {log}") };
    assert_eq!((&entry["kind"], &entry["actor"]), (&json!("transition"), &Value::Null));
    let details = json!({"name": "b", "reason": "device-limit", "session": "one", "user": "ann"});
    assert_eq!(entry["details"], details);
    // A late report of the expelled does not bring it back.
    report(&server, &[seen(&id, "ann", "one", NOW_MS + 2000)]).await;
    assert_eq!(server.get("/v1/breakouts/b").await.body["viewers"], 2);
    // Who asks for nothing has left; whoever asks again is back.
    server.clock.set_ms(NOW_MS + 40_000);
    viewers(&server, |items| items.iter().all(|one| !one["exited_at"].is_null())).await;
    report(&server, &[seen(&id, "bob", "two", NOW_MS + 40_000)]).await;
    viewers(&server, |items| items.iter().any(|one| one["session"] == "two" && one["exited_at"].is_null())).await;
    server.act("/v1/breakouts/b/stop").await;
    viewers(&server, |items| items.iter().any(|one| one["session"] == "two" && one["exit_reason"] == "ended")).await;
}

async fn attendance_keeps_what_it_may(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let body = json!({"name": "b", "channel": "c", "attendance": "anonymous", "device_limit": 0});
    let id = text(&server.post("/v1/breakouts", body).await.body["id"]).to_owned();
    server.act("/v1/breakouts/b/start").await;
    report(&server, &[seen(&id, "ann", "one", NOW_MS)]).await;
    let kept = viewers(&server, |items| items.len() == 1).await.remove(0);
    assert_eq!((&kept["address"], &kept["user_agent"]), (&Value::Null, &Value::Null));
    assert_eq!(kept["browser"], "Chrome");
    server.patch("/v1/breakouts/b", json!({"attendance": "off"})).await;
    let other = text(&server.breakout("other", "c").await["id"]).to_owned();
    report(&server, &[seen(&id, "ann", "two", NOW_MS), seen("b0", "x", "y", NOW_MS), seen(&other, "x", "y", NOW_MS)])
        .await;
    let written = |page: &Value| page["items"].as_array().unwrap().len() == 1;
    server.until("/v1/breakouts/other/viewers", written).await;
    server.patch("/v1/breakouts/b", json!({"attendance": "full"})).await;
    report(&server, &[seen(&id, "ann", "three", NOW_MS)]).await;
    let kept = viewers(&server, |items| items.len() > 1).await;
    assert!(kept.iter().all(|one| one["session"] != "two"), "{kept:?}");
}

async fn curtain_and_revocation_reach_the_nodes(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    server.channel("c").await;
    server.post("/v1/breakouts", json!({"name": "b", "channel": "c", "curtain": "down"})).await;
    server.act("/v1/breakouts/b/start").await;
    let down = server.snapshot(|snapshot| !snapshot.breakouts.is_empty()).await;
    assert!(!down.breakouts[0].audience.curtain_up);
    let up = server.put("/v1/breakouts/b/curtain", json!({"curtain": "up"})).await;
    assert_eq!((up.status, &up.body["curtain"]), (StatusCode::OK, &json!("up")));
    server.snapshot(|snapshot| snapshot.breakouts[0].audience.curtain_up).await;
    server.put("/v1/breakouts/b/curtain", json!({"curtain": "half"})).await.problem(422, "half");

    let play = server.post("/v1/breakouts/b/play-url", json!({"user": "ann"})).await.body;
    let query = text(&play["url"]).split_once('?').unwrap().1.to_owned();
    let renew = format!("{}/v1/watch/b/renew?{query}", server.base);
    server.clock.set_ms(NOW_MS + 3_600_000);
    let renewed = answer(server.client.post(&renew)).await.body;
    assert_eq!((&renewed["session"], &renewed["user"]), (&play["session"], &json!("ann")));
    assert_eq!(renewed["expires_at"], "2026-01-01T13:00:00Z");
    server.act("/v1/breakouts/b/revoke").await;
    let revoked = server.snapshot(|snapshot| snapshot.breakouts[0].audience.revoked_before > 0).await;
    assert_eq!(revoked.breakouts[0].audience.revoked_before, (NOW_MS + 3_600_000) / 1000 + 1);
    answer(server.client.post(&renew)).await.problem(403, "revoked");
    server.post("/v1/breakouts/b/revoke", json!({"session": "nobody"})).await.problem(422, "nobody");
}

#[tokio::test]
async fn cookies_are_for_every_host_of_the_distributions() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.channel("c").await;
    let id = text(&server.breakout("b", "c").await["id"]).to_owned();
    let play = server.act("/v1/breakouts/b/play-url").await.body;
    let cookie = text(&play["cookies"][0]["set_cookie"]).to_owned();
    assert!(cookie.starts_with("CloudFront-Policy="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Domain=cdn.localhost; Secure; HttpOnly; SameSite=None"), "{cookie}");
    let query = text(&play["url"]).split_once('?').unwrap().1.to_owned();
    for path in [format!("/public/{id}/stream-auth"), format!("/public/breakouts/{id}/recordings")] {
        let url = format!("{}{path}?{query}", server.base);
        let response = server.client.get(&url).header("Origin", "https://app.example.com").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(response.headers()["access-control-allow-credentials"], "true");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 4);
        let other = server.client.get(&url).header("Origin", "https://evil.example").send().await.unwrap();
        assert!(other.headers().get("access-control-allow-origin").is_none());
        let unsigned = answer(server.client.get(format!("{}{path}", server.base))).await;
        unsigned.problem(403, "does not open");
    }
    let bye = format!("{}/api/breakout/signout-stream?breakout={id}&{query}", server.base);
    let response = server.client.post(bye).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let cleared = response.headers().get_all("set-cookie").iter().all(|c| c.to_str().unwrap().ends_with("Max-Age=0"));
    assert!(cleared);
}
