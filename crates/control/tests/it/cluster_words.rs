//! What is said of regions, by whom, and what is kept of it: drills, evidence, watchers without streams, the end of a cluster.

use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{Link, Pair, done, is, made, region, regions, vote};
use crate::support::{NOW_MS, Server, text};

both!(openings_and_closings_without_a_word_are_rows, a_cluster_takes_its_distribution_along_and_nothing_that_is_on_air,);

const HOUR_MS: i64 = 60 * 60 * 1000;

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().unwrap()
}

async fn words(server: &Server, kind: &str) -> usize {
    items(&server.get(&format!("/v1/log?type={kind}")).await.body).len()
}

#[tokio::test]
async fn a_drill_does_not_end_an_operators_word() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let drill = async || server.post("/v1/clusters/c/drill", json!({ "region": "us", "seconds": 60 })).await;
    for (word, said) in [("close", "closed"), ("open", "open")] {
        done(&server, &format!("/v1/clusters/c/{word}"), json!({ "region": "us", "why": "the line is cut" })).await;
        let refused = drill().await;
        for words in [said, "admin", "the line is cut", "hand it back"] {
            refused.problem(409, words);
        }
    }
    done(&server, "/v1/clusters/c/automatic", json!({ "region": "us" })).await;
    assert_eq!(drill().await.status, StatusCode::OK);
    assert_eq!(drill().await.status, StatusCode::OK, "another drill is no other word");
    let history = server.get("/v1/clusters/c/history").await.body;
    assert_eq!(history["items"][2]["what"], "automatic");
}

#[tokio::test]
async fn an_operators_word_is_kept_with_what_was_known() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    vote(&server, "eu", "w", "stale").await;
    vote(&server, "us", "w", "fresh").await;
    done(&server, "/v1/clusters/c/close", json!({ "region": "eu" })).await;
    done(&server, "/v1/clusters/c/automatic", json!({ "region": "eu" })).await;
    done(&server, "/v1/clusters/c/drill", json!({ "region": "eu", "seconds": 60 })).await;
    let history = server.get("/v1/clusters/c/history").await.body;
    for item in items(&history) {
        let evidence = &item["evidence"];
        assert_eq!(
            (&evidence["verdict"], &evidence["others"][0]["verdict"]),
            (&json!("stale"), &json!("fresh")),
            "{item}"
        );
        assert_eq!(evidence["votes"][0]["reason"], "it is stale");
    }
    assert_eq!(items(&history).len(), 3);
}

async fn openings_and_closings_without_a_word_are_rows(engine: Engine) {
    let server = Server::start_on(engine).await;
    let automat = json!({ "drain_ms": 2000, "mode": "automatic" });
    made(&server, json!({ "name": "c", "here": "eu", "regions": regions(), "automat": automat })).await;
    done(&server, "/v1/clusters/c/drill", json!({ "region": "eu", "seconds": 600, "why": "practice" })).await;
    server.clock.set_ms(NOW_MS + 3000);
    let newest = |what: &'static str| move |history: &Value| history["items"][0]["what"] == what;
    let history = server.until("/v1/clusters/c/history", newest("closed")).await;
    assert!(text(&history["items"][0]["why"]).contains("steered away for 2000 ms: practice"), "{history}");
    assert_eq!((&history["items"][0]["who"], &history["items"][1]["what"]), (&json!("admin"), &json!("drill")));

    // The other region goes: the drill no longer counts, until it is back.
    done(&server, "/v1/clusters/c/close", json!({ "region": "us" })).await;
    let history = server.until("/v1/clusters/c/history", newest("fail_open")).await;
    let entry = &history["items"][0];
    assert_eq!((&entry["region"], &entry["who"]), (&json!("eu"), &json!("automat")));
    assert!(
        text(&entry["why"]).contains("no other region is open") && entry["evidence"]["votes"].is_array(),
        "{entry}"
    );
    done(&server, "/v1/clusters/c/open", json!({ "region": "us" })).await;
    let history = server.until("/v1/clusters/c/history", newest("closed")).await;
    assert!(text(&history["items"][0]["why"]).contains("open again: practice"), "{history}");
    assert_eq!(words(&server, "cluster.region.fail_open").await, 1);

    // After a start nothing is told twice.
    let before = items(&history).len();
    let server = Server::start_in(server.stop().await, Some(crate::support::TOKEN)).await;
    server.clock.set_ms(NOW_MS + 3000);
    done(&server, "/v1/clusters/c/open", json!({ "region": "us" })).await;
    server.until("/v1/clusters/c", is("eu", "closed")).await;
    vote(&server, "us", "w", "fresh").await;
    server.until("/v1/log?type=cluster.region.fresh", |log| !items(log).is_empty()).await;
    assert_eq!(items(&server.get("/v1/clusters/c/history").await.body).len(), before + 1);
}

#[tokio::test]
async fn who_has_nothing_to_watch_alarms_nobody() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "here": "eu", "regions": regions() })).await;
    for name in ["eu", "us"] {
        vote(&server, name, "eu/n", "fresh").await;
    }
    server.until("/v1/clusters/c", |cluster| region(cluster, "eu")["verdict"] == "fresh").await;
    let mut now_ms = NOW_MS;
    for _ in 0..10 {
        now_ms += 2000;
        server.clock.set_ms(now_ms);
        server.clusters.report_abstention("c", "eu/n").unwrap();
        let shown = server.get("/v1/clusters/c").await.body;
        assert_eq!(shown["silent_watchers"], json!([]));
    }
    let shown = server.until("/v1/clusters/c", |cluster| region(cluster, "eu")["verdict"] == "unknown").await;
    assert_eq!(region(&shown, "eu")["verdict_reason"], "nothing on air");
    assert_eq!(region(&shown, "eu")["watchers"], 0, "it has no vote");
    let votes = server.get("/v1/clusters/c/votes").await.body;
    assert_eq!((&votes["items"][0]["counts"], &votes["items"][0]["state"]), (&json!(false), &json!("unknown")));
    // Who does not agree is told with what is wrong.
    vote(&server, "eu", "eu/n", "fresh").await;
    vote(&server, "eu", "us/n", "stale").await;
    let split = |cluster: &Value| {
        text(&region(cluster, "eu")["verdict_reason"]).starts_with("1 of 2 watchers say stale; us/n: ")
    };
    server.until("/v1/clusters/c", split).await;
    server.clusters.report_abstention("c", "eu/n").unwrap();
    // It takes nothing from the word of another one.
    for name in ["eu", "us"] {
        vote(&server, name, "us/n", "stale").await;
    }
    server.until("/v1/clusters/c", |cluster| region(cluster, "us")["verdict"] == "stale").await;
    assert_eq!(words(&server, "cluster.watcher").await, 0);
}

#[tokio::test]
async fn a_watcher_that_is_forgotten_has_not_come_back() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "here": "eu", "regions": regions() })).await;
    vote(&server, "eu", "w", "fresh").await;
    server.clock.set_ms(NOW_MS + 10_000);
    server.until("/v1/log?type=cluster.watcher.silent", |log| !items(log).is_empty()).await;
    server.clock.set_ms(NOW_MS + HOUR_MS + 20_000);
    server.until("/v1/clusters/c/votes", |votes| items(votes).is_empty()).await;
    // One that comes back is told, after everything else was.
    vote(&server, "eu", "v", "fresh").await;
    server.clock.set_ms(NOW_MS + HOUR_MS + 40_000);
    server.until("/v1/clusters/c", |cluster| cluster["silent_watchers"] == json!(["v"])).await;
    server.until("/v1/log?type=cluster.watcher.silent", |log| items(log).len() == 2).await;
    vote(&server, "eu", "v", "fresh").await;
    let heard = server.until("/v1/log?type=cluster.watcher.heard", |log| !items(log).is_empty()).await;
    assert_eq!((items(&heard).len(), &heard["items"][0]["details"]["watcher"]), (1, &json!("v")));
}

#[tokio::test]
async fn votes_that_are_about_to_be_forgotten_are_not_taken_over() {
    let pair = Pair::start(json!({})).await;
    pair.links.iter().for_each(Link::cut);
    pair.lost().await;
    vote(&pair.servers[1], "us", "old", "fresh").await;
    pair.servers[1].clock.set_ms(NOW_MS + HOUR_MS - 30_000);
    vote(&pair.servers[1], "us", "new", "fresh").await;
    pair.links.iter().for_each(Link::mend);
    let votes = pair.servers[0].until("/v1/clusters/c/votes", |votes| !items(votes).is_empty()).await;
    assert_eq!((items(&votes).len(), &votes["items"][0]["watcher"]), (1, &json!("new")));
    let votes = pair.servers[1].get("/v1/clusters/c/votes").await.body;
    assert_eq!(items(&votes).len(), 2, "who has heard it keeps it for an hour");
}

async fn a_cluster_takes_its_distribution_along_and_nothing_that_is_on_air(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    made(&server, json!({ "name": "c", "here": "eu", "regions": regions() })).await;
    let published = done(&server, "/v1/clusters/c/publish", json!({})).await;
    let id = text(&published["id"]).to_owned();
    done(&server, "/v1/breakouts", json!({ "name": "show", "channel": "c", "cluster": "c" })).await;
    done(&server, "/v1/breakouts/show/start", json!({})).await;
    let refused = server.delete("/v1/clusters/c").await;
    refused.problem(409, "on air: show");
    assert_eq!(server.get(&format!("/v1/distributions/{id}")).await.body["enabled"], true);
    done(&server, "/v1/breakouts/show/stop", json!({})).await;
    server.until("/v1/breakouts/show", |breakout| breakout["state"] == "COMPLETED").await;
    assert_eq!(server.delete("/v1/clusters/c").await.status, StatusCode::NO_CONTENT);
    server.applied_until(&format!("/v1/distributions/{id}"), |gone| gone["status"] == 404).await;
    server.get("/v1/clusters/c").await.problem(404, "no cluster");
}
