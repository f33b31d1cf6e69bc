//! Captions that are added to assets, presets of single files, and what workers wait for or have left; the worker is this test.

use anabranch_store::buckets::{Attributes, Put};
use anabranch_testkit::{Engine, both};
use bytes::Bytes;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, text};

both!(
    captions_are_added_replaced_and_removed,
    a_file_of_captions_is_added_to_the_asset_beside_it,
    a_file_is_made_by_a_preset_of_its_own,
    a_job_without_room_waits_and_spends_no_try,
    a_worker_is_told_what_it_need_not_keep,
);

const SUBRIP: &str = "1\n00:00:01,000 --> 00:00:02,500\nHello & <i>bye</i>\n";
const WEB_VTT: &str = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello &amp; <i>bye</i>\n";

impl Server {
    /// The next job that publishes captions, done.
    async fn published(&self, id: &str) -> Vec<Value> {
        let job = self.claim("captions", "1").await;
        assert_eq!((&job["work"]["kind"], &job["work"]["asset"]), (&json!("captions"), &json!(id)));
        let tracks = job["work"]["tracks"].as_array().unwrap().clone();
        let marks: Vec<_> = tracks.iter().map(|track| track["mark"].clone()).collect();
        let shown: Vec<_> = tracks
            .iter()
            .map(|track| json!({"name": "x", "language": track["language"], "label": track["label"]}))
            .collect();
        self.end(&job, "1", json!({"done": {"captions": marks, "report": {"made": {"captions": shown}}}})).await;
        tracks
    }

    /// The words that a worker finds.
    async fn words(&self, id: &str, track: &Value) -> Option<String> {
        let key = format!("assets/{id}/Captions/{}.vtt", text(&track["mark"]));
        let found = self.buckets.locate("vod", &key).await.ok()?;
        Some(std::fs::read_to_string(found.path).unwrap())
    }

    async fn shown(&self, id: &str) -> Vec<Value> {
        let asset = self.get(&format!("/v1/assets/{id}")).await.body;
        let captions = asset["captions"].as_array().unwrap();
        captions.iter().map(|track| track["language"].clone()).collect()
    }
}

async fn captions_are_added_replaced_and_removed(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    let of = |language: &str| format!("/v1/assets/{id}/captions/{language}");
    // Before anything is made they wait for it.
    let added = server.put(&of("en"), json!({"text": SUBRIP, "label": "English", "is_default": true})).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    assert_eq!((&added.body["cues"], &added.body["label"]), (&json!(1), &json!("English")));
    server.put(&of("e_n"), json!({"text": SUBRIP})).await.problem(422, "pt-BR");
    server.put(&of("de"), json!({"text": "hello"})).await.problem(422, "line 1");
    server.put(&of("de"), json!({"text": "WEBVTT\n"})).await.problem(422, "no cues");
    server.put("/v1/assets/m1/captions/de", json!({"text": SUBRIP})).await.problem(404, "m1");
    server.made(&id).await;
    let tracks = server.published(&id).await;
    assert_eq!((&tracks[0]["language"], &tracks[0]["preferred"]), (&json!("en"), &json!(true)));
    assert_eq!(server.words(&id, &tracks[0]).await.as_deref(), Some(WEB_VTT));
    assert_eq!(server.shown(&id).await, ["en"]);

    // Others of the same language take their place, also while they are being published.
    server.put(&of("de"), json!({"text": WEB_VTT})).await;
    let job = server.claim("captions", "1").await;
    let later = WEB_VTT.replace("Hello", "Bye");
    server.put(&of("en"), json!({"text": later})).await;
    assert_eq!(server.words(&id, &tracks[0]).await, None, "nobody names them any more");
    let marks: Vec<_> = job["work"]["tracks"].as_array().unwrap().iter().map(|track| track["mark"].clone()).collect();
    server.end(&job, "1", json!({"done": {"captions": marks, "report": {"made": {}}}})).await;
    server.clock.set_ms(NOW_MS + 60_000);
    let tracks = server.published(&id).await;
    assert_eq!(server.words(&id, &tracks[1]).await, Some(later));
    assert_eq!(server.shown(&id).await, ["de", "en"]);
    let listed = server.get(&format!("/v1/assets/{id}/captions")).await.body;
    assert_eq!((&listed["items"][0]["language"], &listed["items"][0]["label"]), (&json!("de"), &json!("de")));

    server.delete(&of("fr")).await.problem(404, "fr");
    assert_eq!(server.delete(&of("en")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.words(&id, &tracks[1]).await, None);
    assert_eq!(server.published(&id).await.len(), 1);
    assert_eq!(server.shown(&id).await, ["de"]);

    // What is made anew has them again.
    server.act(&format!("/v1/assets/{id}/retry")).await;
    server.made(&id).await;
    assert_eq!(server.published(&id).await.len(), 1);
    assert_eq!(server.delete(&format!("/v1/assets/{id}")).await.status, StatusCode::NO_CONTENT);
    server.put(&of("en"), json!({"text": SUBRIP})).await.problem(404, "asset");
}

async fn a_file_of_captions_is_added_to_the_asset_beside_it(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.store("films/a.b.en.srt", SUBRIP.as_bytes()).await;
    server.store("films/a.b.fr.srt", b"no captions").await;
    let id = server.asset("films/a.b.mp4", 1).await;
    let listed = async || server.get(&format!("/v1/assets/{id}/captions")).await.body["items"].clone();
    assert_eq!((&listed().await[0]["language"], &listed().await[0]["key"]), (&json!("en"), &json!("films/a.b.en.srt")));
    server.made(&id).await;
    assert_eq!(server.published(&id).await.len(), 1);
    // One that comes later is added when it comes.
    server.store("films/a.b.vtt", WEB_VTT.as_bytes()).await;
    assert_eq!(server.published(&id).await.len(), 2);
    assert_eq!(listed().await[1]["language"], "und");
    let files = server.get("/v1/buckets/uploads/objects?prefix=films/a.b.").await.body;
    let states: Vec<_> = files["items"].as_array().unwrap().iter().map(|file| text(&file["arrival"])).collect();
    assert_eq!(states, ["KNOWN", "FAILED", "KNOWN", "KNOWN"]);
    assert!(text(&files["items"][1]["problem"]).contains("line 1"), "{files}");
}

async fn a_file_is_made_by_a_preset_of_its_own(engine: Engine) {
    let server = Server::start_on(engine).await;
    let preset_of = async |id: &str| server.get(&format!("/v1/assets/{id}")).await.body["preset"].clone();
    let wish = |key: &str, preset: &str| json!({"bucket": "uploads", "key": key, "preset": preset});
    let told = |preset: &str| Put {
        attributes: Attributes {
            user: [("anabranch-preset".to_owned(), preset.to_owned())].into(),
            ..Attributes::default()
        },
        ..Put::default()
    };
    let body = Bytes::from_static(b"x");
    server.buckets.put_bytes("uploads", "s3.mp4", told("lms"), body.clone()).await.unwrap();
    let job = server.claim("intake", "1").await;
    server.end(&job, "1", json!({"done": {"sha256": vec![1; 32]}})).await;
    let id = text(&server.get("/v1/assets").await.body["items"][0]["id"]).to_owned();
    assert_eq!(preset_of(&id).await, "lms");
    assert_eq!(server.post("/v1/assets", wish("s3.mp4", "lms")).await.body["id"], json!(id));
    server.post("/v1/assets", wish("s3.mp4", "standard")).await.problem(409, "--preset standard");
    server.post("/v1/assets", wish("s3.mp4", "best")).await.problem(422, "standard, lms");

    // One that nobody knows is told where the file is listed.
    server.buckets.put_bytes("uploads", "typo.mp4", told("lsm"), body.clone()).await.unwrap();
    let job = server.claim("intake", "1").await;
    server.end(&job, "1", json!({"done": {"sha256": vec![2; 32]}})).await;
    let file = &server.get("/v1/buckets/uploads/objects?prefix=typo").await.body["items"][0];
    assert_eq!(file["arrival"], "FAILED");
    assert!(text(&file["problem"]).contains("\"lsm\"; there are standard, lms"), "{file}");

    // And in a bucket that makes none by itself.
    server.post("/v1/buckets", json!({"name": "plain"})).await;
    server.buckets.put_bytes("plain", "p.mp4", Put::default(), body).await.unwrap();
    server.post("/v1/assets", json!({"bucket": "plain", "key": "p.mp4"})).await.problem(409, "preset");
    let begun = server.post("/v1/assets", json!({"bucket": "plain", "key": "p.mp4", "preset": "lms"})).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.body);
    let job = server.claim("intake", "1").await;
    server.end(&job, "1", json!({"done": {"sha256": vec![3; 32]}})).await;
    let listed = server.get("/v1/assets?bucket=plain").await.body;
    assert_eq!(preset_of(text(&listed["items"][0]["id"])).await, "lms");
}

async fn a_job_without_room_waits_and_spends_no_try(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    let path = format!("/v1/assets/{id}");
    let mut now = NOW_MS;
    let pauses = [5, 10, 20, 40, 80, 120, 120];
    for (waits, pause) in (1..).zip(pauses) {
        let job = server.claim("asset", "1").await;
        let full = json!({"reason": "disk full: 1 bytes free", "again": true, "no_room": true});
        server.end(&job, "1", json!({ "failed": full })).await;
        let shown = server.get(&path).await.body;
        assert_eq!((&shown["state"], &shown["problem"]), (&json!("QUEUED"), &json!("disk full: 1 bytes free")));
        let job = server.get(&format!("/v1/jobs/{}", text(&job["id"]))).await.body;
        assert_eq!((&job["attempts"], &job["waits"], &job["attempts_max"]), (&json!(waits), &json!(waits), &json!(5)));
        assert_eq!((&job["next_try_at"], &job["state"]), (&shown["next_try_at"], &json!("QUEUED")));
        let none = json!({"node": "w", "instance": "1", "kinds": ["asset"]});
        server.clock.set_ms(now + pause * 1000 - 1);
        assert_eq!(server.work("claim", &none).await.0, StatusCode::NO_CONTENT, "not before its time");
        now += pause * 1000;
        server.clock.set_ms(now);
    }
    server.made(&id).await;
    let shown = server.get(&path).await.body;
    assert_eq!((&shown["state"], &shown["problem"]), (&json!("READY"), &Value::Null));
}

async fn a_worker_is_told_what_it_need_not_keep(engine: Engine) {
    let server = Server::start_on(engine).await;
    let assets = [server.asset("a.mp4", 1).await, server.asset("b.mp4", 2).await];
    // Both came in the same moment, so either may be first.
    let job = server.claim("asset", "1").await;
    let first = assets.iter().position(|asset| job["work"]["asset"] == json!(asset)).expect("one of the two");
    let (ready, queued) = (&assets[first], &assets[1 - first]);
    server.end(&job, "1", json!({"done": {}})).await;
    let work = |asset: &str, generation: u32| json!({"asset": asset, "generation": generation});
    let left = [work(ready, 1), work(queued, 1), work(queued, 2), work("mgone", 1)];
    let (status, answer) = server.work("left", &json!({ "work": left })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["work"], json!([work(ready, 1), work(queued, 2), work("mgone", 1)]));
}
