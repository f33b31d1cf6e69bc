//! What the page of a breakout is told besides where the media is.

use anabranch_model::{PackagingState, Recorded, Report, ViewerSeen};
use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::support::{Answer, NOW_MS, Server, answer, text};
use crate::visitor::audit;

both!(
    viewers_are_forgotten_in_time,
    a_page_knows_the_plan_and_who_watches,
    a_page_says_why_and_takes_over,
    all_pages_are_told_to_begin_anew,
    the_recording_is_where_the_breakout_was,
);

/// The page of a breakout, as its viewer sees it.
struct Viewer<'s> {
    server: &'s Server,
    id: String,
    query: String,
}

impl<'s> Viewer<'s> {
    async fn of(server: &'s Server, id: &str, wish: Value) -> Self {
        let play = server.post(&format!("/v1/breakouts/{id}/play-url"), wish).await.body;
        let query = text(&play["url"]).split_once('?').unwrap().1.to_owned();
        Self { server, id: id.to_owned(), query }
    }

    async fn look(&self) -> Answer {
        answer(self.server.client.get(format!("{}/v1/watch/{}?{}", self.server.base, self.id, self.query))).await
    }

    async fn take_over(&self) -> Answer {
        let url = format!("{}/v1/watch/{}/takeover?{}", self.server.base, self.id, self.query);
        answer(self.server.client.post(url)).await
    }

    async fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1000 {
            let body = self.look().await.body;
            if holds(&body) {
                return body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the page is told something else: {}", self.look().await.body);
    }
}

async fn live(server: &Server, id: &str) {
    server.act("/v1/breakouts/b/start").await;
    let live = Report::Packaging { breakout: id.parse().unwrap(), state: PackagingState::Live };
    server.reports.send(live).await.unwrap();
    server.until("/v1/breakouts/b", |breakout| breakout["packaging"] == "live").await;
}

fn seen(breakout: &str, session: &str, at: i64) -> ViewerSeen {
    ViewerSeen {
        breakout: breakout.parse().unwrap(),
        session: session.to_owned(),
        user: "ann".to_owned(),
        address: "192.0.2.7".to_owned(),
        user_agent: String::new(),
        first_ms: at,
        last_ms: at,
        bytes: 1,
        stays: Vec::new(),
    }
}

async fn a_page_knows_the_plan_and_who_watches(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let event = json!({"name": "e", "starts_at": "2026-01-01T02:00:00Z"});
    server.post("/v1/events", event).await;
    let body = json!({"name": "b", "channel": "c", "event": "e", "show_viewers": true});
    let made = server.post("/v1/breakouts", body).await.body;
    assert_eq!((&made["show_viewers"], &made["viewer_download"]), (&json!(true), &json!(false)));
    let id = text(&made["id"]).to_owned();
    let viewer = Viewer::of(&server, &id, json!({"user": "ann"})).await;
    let shown = viewer.look().await.body;
    assert_eq!((&shown["starts_in_seconds"], &shown["user"]), (&json!(7200), &json!("ann")));
    server.patch("/v1/breakouts/b", json!({"scheduled_at": "2026-01-01T00:00:30Z"})).await;
    assert_eq!(viewer.look().await.body["starts_in_seconds"], 30);
    live(&server, &id).await;
    let shown = viewer.look().await.body;
    assert_eq!((&shown["state"], &shown["starts_at"], &shown["viewers"]), (&json!("live"), &Value::Null, &json!(0)));
    server.reports.send(Report::Viewers(vec![seen(&id, "one", NOW_MS)])).await.unwrap();
    server.until("/v1/breakouts/b", |breakout| breakout["viewers"] == 1).await;
    assert_eq!(viewer.look().await.body["viewers"], 0, "it is counted every five seconds");
    server.clock.set_ms(NOW_MS + 5_000);
    assert_eq!(viewer.look().await.body["viewers"], 1);
    server.put("/v1/breakouts/b/curtain", json!({"curtain": "down"})).await;
    let hidden = viewer.look().await.body;
    assert_eq!(
        (&hidden["state"], &hidden["curtain"], &hidden["viewers"]),
        (&json!("waiting"), &json!("down"), &Value::Null)
    );
    let operator = Viewer::of(&server, &id, json!({"preview": true})).await.look().await.body;
    assert_eq!((&operator["state"], &operator["preview"]), (&json!("live"), &json!(true)));
}

async fn all_pages_are_told_to_begin_anew(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let made = server.breakout("b", "c").await;
    let id = text(&made["id"]).to_owned();
    assert_eq!(made["refresh"], 0);
    live(&server, &id).await;
    let viewer = Viewer::of(&server, &id, json!({"user": "ann"})).await;
    assert_eq!(viewer.look().await.body["refresh"], 0);
    for times in 1..=2 {
        let told = server.post("/v1/breakouts/b/refresh", json!({})).await;
        assert_eq!((told.status.as_u16(), &told.body["refresh"]), (200, &json!(times)));
        let shown = viewer.look().await.body;
        assert_eq!((&shown["refresh"], &shown["state"]), (&json!(times), &json!("live")), "nobody loses access");
    }
    let log = server.get(&format!("/v1/log?type=breakout.refreshed&breakout={id}")).await.body;
    assert_eq!(log["items"].as_array().unwrap().len(), 2, "{log}");
    let rows = audit(&server, "&object=breakout", 5).await;
    assert!(rows.iter().any(|row| row["operation"] == "breakout_refresh" && row["subject"] == "b"), "{rows:?}");
    server.act("/v1/breakouts/b/stop").await;
    server.act("/v1/breakouts/b/reset").await;
    assert_eq!(server.get("/v1/breakouts/b").await.body["refresh"], 2, "it never goes back");
    let other = server.breakout("other", "c").await;
    assert_eq!(other["refresh"], 0);
    server.post("/v1/breakouts/none/refresh", json!({})).await.problem(404, "no breakout");
}

async fn a_page_says_why_and_takes_over(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let id = text(&server.breakout("b", "c").await["id"]).to_owned();
    live(&server, &id).await;
    let kind = |answer: &Answer| text(&answer.body["type"]).rsplit(':').next().unwrap().to_owned();
    let first = Viewer::of(&server, &id, json!({"user": "ann", "session": "one"})).await;
    let second = Viewer::of(&server, &id, json!({"user": "ann", "session": "two"})).await;
    let both = vec![seen(&id, "one", NOW_MS), seen(&id, "two", NOW_MS + 1)];
    server.reports.send(Report::Viewers(both)).await.unwrap();
    first.until(|body| body["type"] == "urn:anabranch:problem:device-limit").await;
    assert_eq!(second.look().await.body["state"], "live");
    let taken = first.take_over().await.body;
    assert_eq!(taken["user"], "ann");
    let session = text(&taken["session"]);
    assert_ne!(session, "one");
    let query = text(&taken["watch_url"]).split_once('?').unwrap().1.to_owned();
    let third = Viewer { query, id: id.clone(), server: &server };
    assert_eq!(third.look().await.body["state"], "live");
    server.reports.send(Report::Viewers(vec![seen(&id, session, NOW_MS + 2)])).await.unwrap();
    second.until(|body| body["type"] == "urn:anabranch:problem:device-limit").await;

    server.post("/v1/breakouts/b/revoke", json!({"session": session})).await;
    assert_eq!(kind(&third.look().await), "session-shut-out");
    third.take_over().await.problem(403, "by the operator");
    server.post("/v1/breakouts/b/revoke", json!({})).await;
    assert_eq!(kind(&second.look().await), "link-revoked");
    second.take_over().await.problem(403, "revoked");
    server.clock.set_ms(NOW_MS + 43_200_000);
    assert_eq!(kind(&second.look().await), "link-expired");
    let wrong = Viewer { query: String::new(), id, server: &server };
    assert_eq!(kind(&wrong.look().await), "link-wrong");
}

async fn the_recording_is_where_the_breakout_was(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let body = json!({"name": "b", "channel": "c", "mp4": true, "viewer_download": true});
    let id = text(&server.post("/v1/breakouts", body).await.body["id"]).to_owned();
    live(&server, &id).await;
    let viewer = Viewer::of(&server, &id, json!({"user": "ann", "expires_in_seconds": 600})).await;
    assert_eq!(viewer.look().await.body["recording"], Value::Null);
    server.act("/v1/breakouts/b/stop").await;
    let closing = viewer.look().await.body;
    assert_eq!((&closing["state"], &closing["recording"]["state"]), (&json!("ended"), &json!("making")));
    assert_eq!(closing["recording"]["playlist_url"], Value::Null);
    let recorded = Recorded { duration_ms: 12_500, segments: 6, bytes: 9_000, gaps: 0, gap_ms: 0, complete: true };
    let report = Report::Recorded { breakout: id.parse().unwrap(), session: 1, recorded };
    server.reports.send(report).await.unwrap();
    let ended = viewer.until(|body| body["recording"]["state"] == "ready").await;
    let recording = &ended["recording"];
    assert_eq!(recording["duration_seconds"], 12.5);
    assert!(text(&recording["playlist_url"]).contains(&format!("/{id}/1/index.m3u8?Policy=")), "{recording}");
    assert_eq!((&recording["mp4"]["state"], &recording["mp4"]["url"]), (&json!("making"), &Value::Null));
    // What the page was given opens the page of the recording as well, and is renewed there.
    let query = text(&recording["playlist_url"]).split_once('?').unwrap().1;
    let page = format!("{}/v1/watch/{id}?recording=1&{query}", server.base);
    let shown = answer(server.client.get(page)).await.body;
    assert_eq!((&shown["state"], &shown["expires_in_seconds"]), (&json!("ended"), &json!(600)));
    let renew = format!("{}/v1/watch/{id}/renew?recording=1&{query}", server.base);
    let renewed = answer(server.client.post(renew)).await.body;
    assert!(text(&renewed["watch_url"]).contains(&format!("/watch/{id}?recording=1&Policy=")), "{renewed}");
    server.patch("/v1/breakouts/b", json!({"viewer_download": false})).await;
    assert_eq!(viewer.look().await.body["recording"]["mp4"], Value::Null);
}

async fn viewers_are_forgotten_in_time(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let made = server.post("/v1/breakouts", json!({"name": "b", "channel": "c", "device_limit": 0})).await.body;
    let id = text(&made["id"]).to_owned();
    live(&server, &id).await;
    let all = ["gone", "shut out", "there"].map(|session| seen(&id, session, NOW_MS)).to_vec();
    server.reports.send(Report::Viewers(all)).await.unwrap();
    server.until("/v1/breakouts/b", |breakout| breakout["viewers"] == 3).await;
    let (db, breakout) = (server.db(), id.parse().unwrap());
    let revoked = anabranch_db::Exit::Revoked;
    db.viewer_left(&breakout, "gone", anabranch_db::Exit::SignedOut, NOW_MS + 1).await.unwrap();
    db.viewers_expel(&breakout, &["shut out".to_owned()], revoked, NOW_MS + 1).await.unwrap();
    assert_eq!(db.viewers_forget(NOW_MS + 1).await.unwrap(), 0, "they have left just now");
    assert_eq!(db.viewers_forget(NOW_MS + 2).await.unwrap(), 2);
    assert_eq!(db.viewers_forget(NOW_MS + 2).await.unwrap(), 0);
    let kept = server.get("/v1/breakouts/b/viewers").await.body;
    let kept: Vec<_> =
        kept["items"].as_array().unwrap().iter().map(|one| (text(&one["session"]), one["address"].as_str())).collect();
    assert_eq!(kept, [("shut out", None), ("there", Some("192.0.2.7"))]);
    assert_eq!(db.viewer_expelled(&breakout, "shut out").await.unwrap(), Some(revoked), "who is shut out stays so");
}
