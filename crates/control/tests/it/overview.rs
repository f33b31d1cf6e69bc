//! What needs a look, and since when it does.

use anabranch_model::{AlarmKind, Report};
use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::cluster::{made, regions};
use crate::support::{NOW_MS, Server, text};

both!(what_needs_a_look_says_since_when,);

const NOW: &str = "2026-01-01T00:00:00.000Z";

/// The alarm with these words, once there is one.
async fn alarm(server: &Server, words: &str) -> Value {
    let found = |overview: &Value| {
        let alarms = overview["alarms"].as_array().unwrap();
        alarms.iter().find(|alarm| text(&alarm["words"]).contains(words)).cloned()
    };
    let overview = server.until("/v1/overview", |overview| found(overview).is_some()).await;
    found(&overview).unwrap()
}

async fn what_needs_a_look_says_since_when(engine: Engine) {
    let server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    let raised = Report::Alarm {
        channel: text(&channel["id"]).parse().unwrap(),
        input: text(&channel["inputs"][0]["id"]).parse().unwrap(),
        kind: AlarmKind::NoKeyframes,
        raised: true,
        detail: "none for 12 s".into(),
    };
    server.reports.send(raised).await.unwrap();
    let cluster = made(&server, json!({ "name": "both", "regions": regions() })).await;
    let subject = format!("cluster/{}", text(&cluster["id"]));
    let vote = json!({ "region": "eu", "watcher": "w", "state": "stale", "reason": "it stands still" });
    assert!(server.post("/v1/clusters/both/votes", vote).await.status.is_success());
    server.post("/v1/clusters/both/close", json!({ "region": "us", "why": "maintenance" })).await;
    let words = [
        ("no keyframes", "warning"),
        ("region eu is stale", "error"),
        ("region us is closed by operator: maintenance", "warning"),
    ];
    for (words, _) in words {
        alarm(&server, words).await;
    }
    server.clock.set_ms(NOW_MS + 2000);
    for (words, level) in words {
        let alarm = alarm(&server, words).await;
        assert_eq!((&alarm["at"], &alarm["level"]), (&json!(NOW), &json!(level)), "{alarm}");
    }
    assert_eq!(alarm(&server, "region eu is stale").await["subject"], subject);
    server.clock.set_ms(NOW_MS + 3_600_000);
    let silent = alarm(&server, "watcher w is silent").await;
    assert_eq!((&silent["at"], &silent["subject"]), (&json!(NOW), &json!(subject)), "{silent}");
    let hook = server.post("/v1/webhooks", json!({ "url": "http://127.0.0.1:9/nobody" })).await.body;
    server.channel("d").await;
    let failing = alarm(&server, "127.0.0.1:9/nobody fails").await;
    assert_eq!(failing["subject"], format!("webhook/{}", text(&hook["id"])), "{failing}");
    assert_eq!(failing["at"], hook["created_at"]);
}
