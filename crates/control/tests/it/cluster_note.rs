//! Notifications of detectors elsewhere, as votes.

use anabranch_testkit::Engine;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{made, region, regions};
use crate::support::{Server, answer, text};

/// What a detector elsewhere tells.
fn note(url: &str, state: &str, sequence: u64) -> Value {
    json!({
        "options": { "origin_url": "http://somewhere/else.m3u8", "cdn_url": url, "name": "Stale Playlist Detector", "region": "us-west-2",
                     "duration_multiplier": 1.5 },
        "playlists": { "http://cdn/a.m3u8": { "state": state, "changed": 1.0 } },
        "detector": { "total": 2, "fresh": 1, "stale": 1, "stale_playlist_percent": 50.0, "state": state, "sequence": sequence,
                      "reason": "tolerance exceeded" },
    })
}

#[tokio::test]
async fn notifications_of_detectors_are_votes() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let body = json!({ "name": "detector", "scopes": ["cluster"] });
    let token = text(&server.post("/v1/tokens", body).await.body["secret"]).to_owned();
    let url = format!("{}/v1/clusters/c/notifications", server.base);
    let tell = async |body: &Value, kind: &str| {
        let request = server.client.post(&url).bearer_auth(&token).header("content-type", kind);
        answer(request.body(body.to_string())).await
    };
    let eu = "https://cdn.eu.example.com/show/index.m3u8?Policy=REDACTED";
    assert_eq!(tell(&note(eu, "stale", 3), "application/json").await.status, StatusCode::NO_CONTENT);
    let cluster = server.until("/v1/clusters/c", |cluster| region(cluster, "eu")["verdict"] == "stale").await;
    assert_eq!(region(&cluster, "eu")["verdict_reason"], "tolerance exceeded: 1 of 2 playlists are stale");
    assert_eq!(region(&cluster, "us")["verdict"], "unknown");
    let votes = server.get("/v1/clusters/c/votes").await.body;
    let vote = &votes["items"][0];
    assert_eq!((&vote["watcher"], &vote["region"]), (&json!("Stale Playlist Detector"), &json!("eu")));
    assert_eq!(vote["evidence"]["stale_playlists"], json!(["http://cdn/a.m3u8"]));

    // In the envelope of a topic; one that comes late changes nothing; a detector that begins anew is heard.
    let envelope =
        |note: Value| json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:x:1:y", "Message": note.to_string() });
    let sns = "text/plain; charset=UTF-8";
    let verdict = async || region(&server.get("/v1/clusters/c").await.body, "eu")["verdict"].clone();
    for (state, sequence, expected) in
        [("fresh", 5, "fresh"), ("stale", 4, "fresh"), ("stale", 0, "stale"), ("fresh", 1, "fresh")]
    {
        assert_eq!(tell(&envelope(note(eu, state, sequence)), sns).await.status, StatusCode::NO_CONTENT);
        assert_eq!(verdict().await, expected, "{state} {sequence}");
    }
    let us = note("https://cdn.us.example.com:8443/show/index.m3u8", "stale", 0);
    let records = json!({ "Records": [{ "Sns": envelope(us) }, { "Sns": envelope(note(eu, "stale", 2)) }] });
    assert_eq!(tell(&records, sns).await.status, StatusCode::NO_CONTENT);
    let shown = server.get("/v1/clusters/c").await.body;
    assert_eq!(
        (&region(&shown, "us")["verdict"], &region(&shown, "eu")["verdict"]),
        (&json!("stale"), &json!("stale"))
    );

    let asia = note("https://cdn.asia.example.com/x.m3u8", "fresh", 9);
    let refused = tell(&asia, "application/json").await;
    refused.problem(422, "no region of cluster c has this host");
    refused.problem(422, "cdn.asia.example.com");
    // All records or none.
    let records = json!({ "Records": [{ "Sns": envelope(note(eu, "fresh", 9)) }, { "Sns": envelope(asia) }] });
    tell(&records, sns).await.problem(422, "cdn.asia.example.com");
    assert_eq!(verdict().await, "stale");
    tell(&json!({ "detector": {} }), sns).await.problem(422, "options");
    let reader = json!({ "name": "reader", "scopes": ["read"] });
    let reader = text(&server.post("/v1/tokens", reader).await.body["secret"]).to_owned();
    answer(server.client.post(&url).bearer_auth(&reader).json(&note(eu, "fresh", 9)))
        .await
        .problem(403, "scope cluster");
}

#[tokio::test]
async fn a_topic_of_sns_shows_its_token_as_a_password_and_asks_by_the_log() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let body = json!({ "name": "topic", "scopes": ["cluster"] });
    let token = text(&server.post("/v1/tokens", body).await.body["secret"]).to_owned();
    let url = format!("{}/v1/clusters/c/notifications", server.base);
    let arn = "arn:aws:sns:eu-west-1:123456789012:stale";
    let confirm = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t";
    let asks = json!({ "Type": "SubscriptionConfirmation", "TopicArn": arn, "Token": "t", "SubscribeURL": confirm });
    let post = |url: &str, body: &Value| {
        server.client.post(url).header("content-type", "text/plain; charset=UTF-8").body(body.to_string())
    };

    // It is asked for a password before it shows one.
    let unasked = post(&url, &asks).send().await.unwrap();
    assert_eq!(unasked.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(unasked.headers()["www-authenticate"], "Basic realm=\"anabranch\"");
    answer(post(&url, &asks).basic_auth("sns", Some("another"))).await.problem(401, "not one of this server");
    assert_eq!(answer(post(&url, &asks).basic_auth("sns", Some(&token))).await.status, StatusCode::NO_CONTENT);
    let log = server.get("/v1/log?type=cluster.topic.asks").await.body;
    let entry = &log["items"][0];
    assert_eq!((&entry["details"]["topic"], &entry["details"]["confirm_url"]), (&json!(arn), &json!(confirm)), "{log}");
    assert_eq!(entry["details"]["name"], "c");

    let told = note("https://cdn.eu.example.com/show/index.m3u8", "stale", 0);
    let told = json!({ "Type": "Notification", "TopicArn": arn, "Message": told.to_string() });
    assert_eq!(answer(post(&url, &told).basic_auth("sns", Some(&token))).await.status, StatusCode::NO_CONTENT);
    assert_eq!(region(&server.get("/v1/clusters/c").await.body, "eu")["verdict"], "stale");

    let nameless = json!({ "Type": "UnsubscribeConfirmation", "TopicArn": arn });
    answer(post(&url, &nameless).basic_auth("sns", Some(&token))).await.problem(422, "SubscribeURL");
    // A password is for topics alone: elsewhere a browser would send it along for other sites' pages.
    let elsewhere = server.client.get(format!("{}/v1/clusters/c", server.base)).basic_auth("sns", Some(&token));
    let refused = elsewhere.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
}
