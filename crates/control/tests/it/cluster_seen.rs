//! What watchers have measured of a cluster, as the API tells it: when it is asked, and as it comes.

use std::time::Duration;

use anabranch_cluster::watch::{
    Effect, Finding, FindingKind, PlaylistReport, PlaylistState, Report, Role, Statistics, Verdict,
};
use anabranch_control::{Seen, Way};
use anabranch_model::Anchors;
use anabranch_testkit::Engine;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cluster::{made, region, regions};
use crate::support::{NOW_MS, Server, TOKEN, answer, text};

const PATIENCE: Duration = Duration::from_secs(20);

fn playlist(name: &str, state: PlaylistState, answer_ms: u64) -> PlaylistReport {
    PlaylistReport {
        url: format!("http://cdn/{name}?token=REDACTED"),
        role: Role::Variant,
        label: "320x180".to_owned(),
        state,
        since_ms: NOW_MS - 5000,
        changed_ms: Some(NOW_MS - 1500),
        age_ms: 1500,
        limit_ms: 3000,
        media_sequence: Some(7),
        newest_sequence: Some(12),
        duration_seconds: Some(2.0),
        answer_ms: Some(answer_ms),
        behind_ms: Some(2400),
        statistics: Some(Statistics {
            intervals: 25,
            p90_seconds: 2.1,
            mean_seconds: 2.0,
            median_seconds: 2.0,
            min_seconds: 1.9,
            max_seconds: 2.2,
        }),
        trouble: None,
        findings: vec![Finding {
            kind: FindingKind::Gap,
            effect: Effect::Warn,
            playlist: name.to_owned(),
            evidence: "the newest segments are gaps: 1".to_owned(),
            since_ms: NOW_MS,
        }],
    }
}

fn seen(cluster: &str, region: &str, way: Way, playlists: Vec<PlaylistReport>) -> Seen {
    let report = Report {
        name: "c/s".to_owned(),
        url: "http://cdn/index.m3u8".to_owned(),
        verdict: Verdict::default(),
        total: playlists.len(),
        fresh: 0,
        stale: 0,
        playlists,
        findings: Vec::new(),
        requests: 1,
        failures: 0,
    };
    Seen { cluster: cluster.to_owned(), stream: "s".to_owned(), region: region.to_owned(), way, report }
}

#[tokio::test]
async fn what_was_measured_is_told() {
    let server = Server::start_on(Engine::Sqlite).await;
    let cluster = made(&server, json!({ "name": "c", "here": "eu", "regions": regions() })).await;
    assert!(region(&cluster, "eu")["latency_ms"].is_null() && server.clusters.is_looked_at());
    let id = text(&cluster["id"]);
    let of_cdn = vec![
        playlist("a.m3u8", PlaylistState::Fresh, 12),
        playlist("b.m3u8", PlaylistState::Stale, 30),
        PlaylistReport { age_ms: 90_000, ..playlist("c.m3u8", PlaylistState::Ended, 20) },
    ];
    let mut cdn = seen(id, "eu", Way::Cdn, of_cdn);
    cdn.report.findings.push(Finding {
        kind: FindingKind::Drift,
        effect: Effect::Warn,
        playlist: "http://cdn/index.m3u8".to_owned(),
        evidence: "audio is 9.0 s behind".to_owned(),
        since_ms: NOW_MS,
    });
    server.clusters.tell_seen(vec![
        cdn,
        seen(id, "eu", Way::Origin, vec![playlist("a.m3u8", PlaylistState::Fresh, 3)]),
        seen(id, "nowhere", Way::Cdn, vec![playlist("a.m3u8", PlaylistState::Fresh, 3)]),
        seen("another", "eu", Way::Cdn, vec![playlist("a.m3u8", PlaylistState::Fresh, 3)]),
    ]);
    let shown = server.get("/v1/clusters/c").await.body;
    let eu = region(&shown, "eu");
    let glance = ["latency_ms", "origin_latency_ms", "behind_ms", "age_ms", "playlists", "playlists_stale"];
    assert_eq!(glance.map(|name| eu[name].as_i64()), [20, 3, 2400, 1500, 3, 1].map(Some));
    assert_eq!(region(&shown, "us")["playlists"], 0);

    let list = server.get("/v1/clusters/c/playlists?region=eu&stream=s").await.body;
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    let first = &list["items"][0];
    assert_eq!((&first["way"], &first["state"], &first["role"]), (&json!("cdn"), &json!("fresh"), &json!("variant")));
    assert_eq!((&first["statistics"]["p90_seconds"], &first["age_ms"]), (&json!(2.1), &json!(1500)));
    assert_eq!(first["findings"][0]["makes_stale"], false);
    let found = list["findings"].as_array().unwrap();
    assert_eq!((found.len(), &found[0]["kind"], &found[0]["way"]), (1, &json!("drift"), &json!("cdn")));
    assert_eq!((&found[0]["region"], &found[0]["stream"]), (&json!("eu"), &json!("s")));
    assert_eq!(server.get("/v1/clusters/c/playlists?region=us").await.body["findings"], json!([]));
    assert_eq!(server.get("/v1/clusters/c/playlists?stream=x").await.body["items"], json!([]));
    server.get("/v1/clusters/c/playlists?region=x").await.problem(422, "no region with this name");
    // Watchers that are gone have measured nothing.
    server.clusters.tell_seen(Vec::new());
    assert!(region(&server.get("/v1/clusters/c").await.body, "eu")["latency_ms"].is_null());
}

#[tokio::test]
async fn what_keeps_a_stream_from_being_aligned_is_shown_and_logged() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "here": "eu", "regions": regions() })).await;
    let told = |problem: Option<&str>| {
        let told = Anchors {
            stream: "c/b1".to_owned(),
            region: "eu".to_owned(),
            target_ms: 2000,
            problem: problem.map(str::to_owned),
            ..Anchors::default()
        };
        server.clusters.anchors_tell(&[told]);
    };
    told(Some("keyframes are 4 s apart"));
    let shown = server.get("/v1/clusters/c").await.body;
    let expected = json!([{ "stream": "b1", "region": "eu", "clock": null, "waiting": false,
                            "problem": "keyframes are 4 s apart" }]);
    assert_eq!(shown["alignment"], expected);
    let newest = |word: &'static str| move |log: &Value| log["items"][0]["type"] == word;
    let log = server.until("/v1/log?type=cluster.stream", newest("cluster.stream.problem")).await;
    assert_eq!(log["items"][0]["details"]["problem"], "keyframes are 4 s apart", "{log}");
    told(None);
    server.until("/v1/log?type=cluster.stream", newest("cluster.stream.aligned")).await;
    assert_eq!(server.get("/v1/log?type=cluster.stream").await.body["items"].as_array().unwrap().len(), 2);
}

/// A reader of a cluster's event stream.
struct Reader {
    response: reqwest::Response,
    rest: String,
}

impl Reader {
    /// The next event; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = field("data: ") {
                    return Some((field("event: ").unwrap(), serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the stream is silent");
            self.rest.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

#[tokio::test]
async fn a_cluster_is_told_as_it_changes_until_it_is_gone() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.get("/v1/clusters/c/stream").await.problem(404, "no cluster");
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let response = server.client.get(format!("{}/v1/clusters/c/stream", server.base)).bearer_auth(TOKEN).send().await;
    let response = response.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().unwrap())
    );
    let mut reader = Reader { response, rest: String::new() };
    // It says so again although nothing happens.
    for _ in 0..2 {
        let (name, shown) = reader.next().await.unwrap();
        assert_eq!((name.as_str(), &region(&shown, "eu")["opening"]), ("cluster", &json!("open")));
    }
    let closed = server.post("/v1/clusters/c/close", json!({ "region": "eu" })).await;
    assert_eq!(closed.status, StatusCode::OK);
    while region(&reader.next().await.unwrap().1, "eu")["opening"] != "closed" {}
    assert_eq!(server.delete("/v1/clusters/c").await.status, StatusCode::NO_CONTENT);
    let mut last = reader.next().await.unwrap();
    while let Some(next) = reader.next().await {
        last = next;
    }
    assert_eq!(last.0, "gone");
    // Rooms for streams are given back.
    let wrong = answer(server.client.get(format!("{}/v1/clusters/c/stream", server.base)).bearer_auth(TOKEN)).await;
    wrong.problem(404, "no cluster");
}
