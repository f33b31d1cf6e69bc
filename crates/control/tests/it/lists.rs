//! Lists that the server narrows down, and how many records there are.

use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, text};
use crate::visitor::{Visitor, user};

both!(
    breakouts_are_found_by_state_and_name,
    jobs_and_operations_are_found_by_state,
    records_are_counted_for_everybody_who_may_look,
);

fn names(list: &Value, of: &str) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| text(&item[of]).to_owned()).collect()
}

async fn breakouts_are_found_by_state_and_name(engine: Engine) {
    let server = Server::start_on(engine).await;
    let all = [("c1", "Morning 100%"), ("c2", "morning_2"), ("c3", "Evening"), ("c4", "Über")];
    for (at, (channel, breakout)) in (1..).zip(all) {
        server.clock.set_ms(NOW_MS + at);
        server.channel(channel).await;
        server.breakout(breakout, channel).await;
    }
    server.act("/v1/breakouts/Evening/start").await;
    server.applied_until("/v1/breakouts/Evening", |breakout| breakout["state"] == "RUNNING").await;
    server.act("/v1/breakouts/morning_2/start").await;
    server.applied_until("/v1/breakouts/morning_2", |breakout| breakout["state"] == "RUNNING").await;
    server.act("/v1/breakouts/morning_2/stop").await;
    for (query, wanted) in [
        ("state=IDLE", &["Morning 100%", "Über"][..]),
        ("state=RUNNING,COMPLETED", &["morning_2", "Evening"]),
        ("state=RUNNING,%20COMPLETED&order=newest", &["Evening", "morning_2"]),
        ("state=STARTING", &[]),
        ("name=MORNING", &["Morning 100%", "morning_2"]),
        ("name=%25", &["Morning 100%"]),
        ("name=g_", &["morning_2"]),
        ("name=%C3%9Cber", &["Über"]),
        ("name=ning&state=IDLE", &["Morning 100%"]),
        ("name=ning&channel=c3", &["Evening"]),
        ("name=none", &[]),
    ] {
        let found = names(&server.get(&format!("/v1/breakouts?{query}")).await.body, "name");
        assert_eq!(found, wanted, "{query}");
    }
    let first = server.get("/v1/breakouts?name=ning&limit=2").await.body;
    let second = server.get(&format!("/v1/breakouts?name=ning&limit=2&after={}", text(&first["next"]))).await.body;
    assert_eq!((names(&first, "name").len(), names(&second, "name")), (2, vec!["Evening".to_owned()]));
    server.get("/v1/breakouts?state=LIVE").await.problem(422, "IDLE, STARTING");
}

async fn jobs_and_operations_are_found_by_state(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    server.channel("d").await;
    server.applied_until("/v1/operations?state=running", |list| list["items"] == json!([])).await;
    let done = server.get("/v1/operations?state=done").await.body;
    let all = server.get("/v1/operations").await.body;
    assert_eq!(done["items"].as_array().unwrap().len(), all["items"].as_array().unwrap().len());
    let subject = text(&all["items"][0]["subject"]);
    let of_one = server.get(&format!("/v1/operations?state=done&subject={subject}")).await.body;
    assert!(!names(&of_one, "id").is_empty() && names(&of_one, "subject").iter().all(|one| one == subject));
    server.get("/v1/operations?state=finished").await.problem(422, "rolled_back");

    let new = |kind, subject: &str| anabranch_db::NewJob {
        kind,
        subject: subject.to_owned(),
        arguments: "{}".to_owned(),
        priority: 0,
        attempts_max: 1,
    };
    let first = server.db().job_create(&new("mp4", "r1"), 1).await.unwrap();
    server.db().job_create(&new("captions", "m1"), 2).await.unwrap();
    let cancelled = server.post(&format!("/v1/jobs/{}/cancel", first.id), json!({})).await.body;
    assert_eq!(cancelled["state"], "CANCELLED");
    for (query, wanted) in [
        ("", &["r1", "m1"][..]),
        ("?order=newest", &["m1", "r1"]),
        ("?state=QUEUED", &["m1"]),
        ("?state=CANCELLED&kind=mp4", &["r1"]),
        ("?kind=mp4&state=QUEUED", &[]),
    ] {
        assert_eq!(names(&server.get(&format!("/v1/jobs{query}")).await.body, "subject"), wanted, "{query}");
    }
    server.get("/v1/jobs?state=done").await.problem(422, "QUEUED, RUNNING");
}

async fn records_are_counted_for_everybody_who_may_look(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    server.breakout("b", "c").await;
    let _owner = Visitor::owner(&server).await;
    user(&server, "vera", "viewer").await;
    let vera = Visitor::logged_in(&server, "vera").await;
    let counts = vera.call(reqwest::Method::GET, "/v1/counts", None).await.body;
    let counts = counts["counts"].as_array().unwrap();
    assert!(counts.windows(2).all(|two| text(&two[0]["object"]) < text(&two[1]["object"])));
    let of = |object: &str| counts.iter().find(|one| one["object"] == object).map(|one| one["count"].as_u64().unwrap());
    for (object, count) in [("channel", 1), ("breakout", 1), ("asset", 0), ("user", 2), ("recording", 0)] {
        assert_eq!(of(object), Some(count), "{object}");
    }
    // The channel's and the one of all recordings.
    assert_eq!(of("distribution"), Some(2));
    assert!(of("key") > Some(0) && of("none").is_none());
}
