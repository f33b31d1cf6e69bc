//! Buckets, assets, collections and the jobs about them; the worker is this test.

use std::fmt::Write as _;

use anabranch_store::buckets::{Condition, Put};
use anabranch_testkit::{Engine, both};
use bytes::Bytes;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NODE_TOKEN, Server, text};

both!(
    a_file_becomes_an_asset_that_can_be_played,
    what_a_worker_leaves_another_takes_over,
    an_asset_in_collections_opens_for_whom_they_admit,
    buckets_are_made_listed_and_emptied,
);

impl Server {
    pub(crate) async fn store(&self, key: &str, body: &'static [u8]) {
        self.buckets.put_bytes("uploads", key, Put::default(), Bytes::from_static(body)).await.unwrap();
    }

    /// What the job endpoints answer to a worker of this node and life.
    pub(crate) async fn work(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}/edge/v1/jobs/{path}", self.base)).bearer_auth(NODE_TOKEN).json(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// The next job of a kind, once there is one.
    pub(crate) async fn claim(&self, kind: &str, instance: &str) -> Value {
        let claim = json!({"node": "w", "instance": instance, "kinds": [kind]});
        let asking = async {
            loop {
                if let (StatusCode::OK, job) = self.work("claim", &claim).await {
                    return job;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let job = tokio::time::timeout(std::time::Duration::from_secs(20), asking).await;
        job.unwrap_or_else(|_| panic!("no job of kind {kind}"))
    }

    pub(crate) async fn end(&self, job: &Value, instance: &str, outcome: Value) {
        let end =
            json!({"id": job["id"], "worker": format!("w/{instance}"), "attempt": job["attempt"], "outcome": outcome});
        assert_eq!(self.work("end", &end).await.0, StatusCode::NO_CONTENT);
    }

    /// A file that has arrived and was read; the id of its asset.
    pub(crate) async fn asset(&self, key: &str, content: u8) -> String {
        self.store(key, b"bytes").await;
        let job = self.claim("intake", "1").await;
        assert_eq!(job["work"], json!({"kind": "intake", "bucket": "uploads", "key": key}));
        self.end(&job, "1", json!({"done": {"bytes": 5, "sha256": vec![content; 32]}})).await;
        let name = key.rsplit('/').next().unwrap();
        let listed = self.get(&format!("/v1/assets?name={}", encode(name))).await.body;
        text(&listed["items"][0]["id"]).to_owned()
    }

    /// The asset is made, all of it.
    pub(crate) async fn made(&self, id: &str) {
        let job = self.claim("asset", "1").await;
        assert_eq!(job["work"]["asset"], id);
        self.end(&job, "1", json!({"done": {"bytes": 9, "report": {"made": made(2)}}})).await;
    }
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "%{byte:02X}");
        out
    })
}

fn made(rungs: usize) -> Value {
    let rung = |name: &str| json!({"name": name, "width": 640, "height": 360, "frame_rate": 30.0, "codecs": "avc1", "bandwidth": 10, "average_bandwidth": 9});
    let rungs: Vec<_> = ["360", "540"].iter().take(rungs).map(|name| rung(name)).collect();
    let partial = rungs.len() < 2;
    json!({"rungs": rungs, "rungs_planned": 2, "poster": true, "sprite": true, "duration_ms": 4000, "partial": partial})
}

async fn a_file_becomes_an_asset_that_can_be_played(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("lessons/Größe 1.final.mp4", 7).await;
    let path = format!("/v1/assets/{id}");
    let shown = server.get(&path).await.body;
    assert_eq!((&shown["state"], &shown["name"]), (&json!("QUEUED"), &json!("Größe 1.final.mp4")));
    server.act(&format!("{path}/play-url")).await.problem(409, "cannot be played yet");

    // The same bytes under another name are the same asset.
    server.store("copy.mp4", b"bytes").await;
    let job = server.claim("intake", "1").await;
    server.end(&job, "1", json!({"done": {"sha256": vec![7; 32]}})).await;
    let files = server.get("/v1/buckets/uploads/objects").await.body;
    let became: Vec<_> = files["items"].as_array().unwrap().iter().map(|file| text(&file["asset"])).collect();
    assert_eq!(became, [&id, &id]);

    let job = server.claim("asset", "1").await;
    let beat = |progress: u32, rungs: usize| json!({"id": job["id"], "worker": "w/1", "attempt": 1, "progress": progress, "report": {"made": made(rungs)}});
    assert_eq!(server.work("beat", &beat(250, 1)).await.0, StatusCode::NO_CONTENT);
    let shown = server.get(&path).await.body;
    assert_eq!(shown["state"], "PROCESSING");
    assert_eq!(
        (&shown["playable"], &shown["partial"], &shown["progress_percent"]),
        (&json!(true), &json!(true), &json!(25.0))
    );
    let play = server.act(&format!("{path}/play-url")).await.body;
    let url = text(&play["url"]);
    assert!(url.contains(&format!("/assets/{id}/HLS/{id}.m3u8?Policy=")), "{url}");
    assert!(text(&play["prefix_url"]).contains("&Policy-PREFIX="));
    assert!(text(&play["sprite_url"]).contains("/Thumbnails/sprite.vtt?"));
    assert_eq!(play["mp4_url"], Value::Null);

    server.end(&job, "1", json!({"done": {"bytes": 9, "report": {"made": made(2)}}})).await;
    let shown = server.get(&path).await.body;
    assert_eq!(
        (&shown["state"], &shown["partial"], &shown["rungs"].as_array().unwrap().len()),
        (&json!("READY"), &json!(false), &2)
    );
    server.act(&format!("{path}/cancel")).await.problem(409, "retry it");
    server.post(&format!("{path}/retry"), json!({"preset": "none"})).await.problem(422, "standard, lms");
    let again = server.post(&format!("{path}/retry"), json!({"preset": "lms"})).await.body;
    assert_eq!(
        (&again["state"], &again["generation"], &again["playable"]),
        (&json!("QUEUED"), &json!(2), &json!(true))
    );
    assert_eq!(server.act(&format!("{path}/cancel")).await.body["state"], "CANCELLED");

    assert_eq!(server.delete(&path).await.status, StatusCode::NO_CONTENT);
    server.get(&path).await.problem(404, "asset");
    assert_eq!(server.claim("remove-asset", "1").await["work"], json!({"kind": "remove-asset", "asset": id}));
    // Its file stays, and is made again when that is asked for.
    assert_eq!(
        server.post("/v1/assets", json!({"bucket": "uploads", "key": "copy.mp4"})).await.status,
        StatusCode::ACCEPTED
    );
    server.claim("intake", "1").await;
    server.post("/v1/assets", json!({"bucket": "uploads", "key": "none"})).await.problem(404, "none");
    server.post("/v1/assets", json!({"bucket": "vod", "key": "none"})).await.problem(409, "preset");
}

async fn what_a_worker_leaves_another_takes_over(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    let first = server.claim("asset", "1").await;
    let none = json!({"node": "other", "instance": "1", "kinds": ["asset"]});
    assert_eq!(server.work("claim", &none).await.0, StatusCode::NO_CONTENT);
    // The same node in another life has nothing under way.
    let second = server.claim("asset", "2").await;
    assert_eq!((&second["id"], &second["attempt"]), (&first["id"], &json!(2)));
    let beat = json!({"id": first["id"], "worker": "w/1", "attempt": 1, "progress": 1});
    assert_eq!(server.work("beat", &beat).await.0, StatusCode::GONE);
    server.end(&first, "1", json!({"done": {}})).await;
    assert_eq!(server.get(&format!("/v1/assets/{id}")).await.body["state"], "PROCESSING");
    server.end(&second, "2", json!({"failed": {"reason": "not a video: text", "again": false}})).await;
    let shown = server.get(&format!("/v1/assets/{id}")).await.body;
    assert_eq!((&shown["state"], &shown["problem"]), (&json!("FAILED"), &json!("not a video: text")));
    let unknown = server.client.post(format!("{}/edge/v1/jobs/claim", server.base)).json(&none).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
}

async fn an_asset_in_collections_opens_for_whom_they_admit(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    server.made(&id).await;
    let play = format!("/v1/assets/{id}/play-url");
    assert_eq!(server.act(&play).await.status, StatusCode::OK);
    let course = json!({"name": "course", "assets": [id], "viewers": ["anna"]});
    let made = server.post("/v1/collections", course).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    server.act(&play).await.problem(403, "name the user");
    server.post(&play, json!({"user": "ben"})).await.problem(403, "ben");
    assert_eq!(server.post(&play, json!({"user": "anna"})).await.status, StatusCode::OK);
    assert_eq!(server.post(&play, json!({"preview": true})).await.status, StatusCode::OK);
    server.put("/v1/collections/course", json!({"name": "course", "assets": ["m1"]})).await.problem(422, "m1");
    let all = json!({"name": "course", "assets": [id], "everyone": true});
    assert_eq!(server.put("/v1/collections/course", all).await.body["everyone"], true);
    assert_eq!(server.post(&play, json!({"user": "ben"})).await.status, StatusCode::OK);
    assert_eq!(server.get("/v1/collections").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.delete("/v1/collections/course").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.act(&play).await.status, StatusCode::OK);
}

async fn buckets_are_made_listed_and_emptied(engine: Engine) {
    let server = Server::start_on(engine).await;
    let made = server.post("/v1/buckets", json!({"name": "films"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    server.post("/v1/buckets", json!({"name": "films"})).await.problem(409, "films");
    server.post("/v1/buckets", json!({"name": "No"})).await.problem(422, "lower-case");
    server.post("/v1/buckets", json!({"name": "more", "preset": "best"})).await.problem(422, "standard, lms");
    let names: Vec<_> = server.get("/v1/buckets").await.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| text(&bucket["name"]).to_owned())
        .collect();
    assert_eq!(names, ["clusters", "films", "media-manager", "recordings", "uploads", "vod"]);
    let body = Bytes::from_static(b"x");
    for key in ["a/1.mp4", "a/2.mp4", "ü.mp4"] {
        server.buckets.put_bytes("films", key, Put::default(), body.clone()).await.unwrap();
    }
    let listed = server.get("/v1/buckets/films/objects?delimiter=/&limit=1").await.body;
    assert_eq!((&listed["prefixes"], &listed["items"]), (&json!(["a/"]), &json!([])));
    let listed = server.get(&format!("/v1/buckets/films/objects?after={}", encode(text(&listed["next"])))).await.body;
    assert_eq!(listed["items"].as_array().unwrap().last().unwrap()["key"], "ü.mp4");

    server.post("/v1/buckets/films/link", json!({"key": "ü.mp4"})).await.problem(409, "anabranch bucket publish films");
    let published = server.act("/v1/buckets/films/distribution").await;
    assert_eq!(published.status, StatusCode::OK, "{}", published.body);
    assert_eq!(server.act("/v1/buckets/films/distribution").await.body["id"], published.body["id"]);
    let link = server.post("/v1/buckets/films/link", json!({"key": "ü.mp4"})).await.body;
    assert!(text(&link["url"]).contains("/%C3%BC.mp4?Expires="), "{link}");
    server.post("/v1/buckets/films/link", json!({"key": "none"})).await.problem(404, "none");
    server.post("/v1/buckets/vod/link", json!({"key": "none"})).await.problem(404, "none");

    server.delete("/v1/buckets/vod").await.problem(409, "system");
    server.delete("/v1/buckets/films").await.problem(409, "has files");
    for key in ["a/1.mp4", "a/2.mp4", "ü.mp4"] {
        let removed = server.delete(&format!("/v1/buckets/films/objects?key={}", encode(key))).await;
        assert_eq!(removed.status, StatusCode::NO_CONTENT, "{}", removed.body);
    }
    server.delete("/v1/buckets/films/objects?key=none").await.problem(404, "none");
    assert_eq!(server.delete("/v1/buckets/films").await.status, StatusCode::NO_CONTENT);
    assert!(!server.buckets.delete("uploads", "none", Condition::None).await.unwrap());

    let key = server.post("/v1/access-keys", json!({"name": "cam", "buckets": ["uploads"]})).await;
    assert_eq!(key.status, StatusCode::CREATED, "{}", key.body);
    assert!(text(&key.body["id"]).starts_with('A') && text(&key.body["secret"]).len() >= 40);
    let listed = server.get("/v1/access-keys").await.body;
    assert_eq!(listed["items"][0]["secret"], Value::Null);
    server.post("/v1/access-keys", json!({"name": "x", "buckets": ["none"]})).await.problem(404, "none");
    assert_eq!(
        server.delete(&format!("/v1/access-keys/{}", text(&key.body["id"]))).await.status,
        StatusCode::NO_CONTENT
    );
}
