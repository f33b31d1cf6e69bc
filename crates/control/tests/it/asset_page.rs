//! What the pages of assets and collections are told, by the viewer's own signature.

use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, NOW_MS, Server, answer, text};

both!(
    a_page_of_an_asset_is_opened_by_the_play_url,
    a_page_says_how_far_an_asset_is,
    who_is_let_in_no_longer_is_not_renewed,
    a_collection_opens_each_of_its_assets_and_no_other,
    a_long_collection_comes_in_parts,
);

impl Server {
    /// Without a token.
    async fn ask(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.base))).await
    }

    async fn renew(&self, path: &str) -> Answer {
        answer(self.client.post(format!("{}{path}", self.base))).await
    }
}

fn query(url: &Value) -> &str {
    text(url).split_once('?').unwrap().1
}

async fn a_page_of_an_asset_is_opened_by_the_play_url(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    server.made(&id).await;
    let play = server.post(&format!("/v1/assets/{id}/play-url"), json!({"user": "anna"})).await.body;
    let signature = query(&play["url"]);
    assert_eq!(play["watch_url"], format!("http://127.0.0.1:9997/watch/asset/{id}?{signature}"));
    let path = format!("/v1/watch/assets/{id}?{signature}");
    let watch = server.ask(&path).await.body;
    assert_eq!((&watch["name"], &watch["state"], &watch["partial"]), (&json!("a.mp4"), &json!("ready"), &json!(false)));
    for (shown, signed) in [("playlist_url", "url"), ("poster_url", "poster_url"), ("sprite_url", "sprite_url")] {
        assert_eq!(watch[shown], play[signed], "{shown}");
    }
    assert_eq!((&watch["mp4_url"], &watch["problem"]), (&Value::Null, &Value::Null));
    assert_eq!((&watch["duration_seconds"], &watch["rungs_planned"]), (&json!(4.0), &json!(2)));
    assert_eq!(watch["rungs"].as_array().unwrap().len(), 2);
    assert_eq!((&watch["user"], &watch["expires_in_seconds"]), (&json!("anna"), &json!(43_200)));
    assert_eq!(watch["expires_at"], play["expires_at"]);

    let other = server.asset("b.mp4", 2).await;
    for wanted in [format!("/v1/watch/assets/{id}"), format!("/v1/watch/assets/{other}?{signature}")] {
        server.ask(&wanted).await.problem(403, "does not open this asset");
    }
    // Nobody learns which assets there are.
    server.ask(&format!("/v1/watch/assets/none?{signature}")).await.problem(403, "does not open this asset");
    server.ask(&format!("/v1/watch/collections/none?{signature}")).await.problem(403, "does not open this collection");

    server.clock.set_ms(NOW_MS + 3_600_000);
    let renewed = server.renew(&format!("/v1/watch/assets/{id}/renew?{signature}")).await.body;
    assert_eq!((&renewed["session"], &renewed["user"]), (&play["session"], &json!("anna")));
    assert_eq!(renewed["expires_at"], "2026-01-01T13:00:00Z");
    let fresh = query(&renewed["watch_url"]);
    assert_eq!(server.ask(&format!("/v1/watch/assets/{id}?{fresh}")).await.body["expires_in_seconds"], 43_200);
    server.clock.set_ms(NOW_MS + 43_200_000);
    server.ask(&path).await.problem(403, "expired");
    server.renew(&format!("/v1/watch/assets/{id}/renew?{signature}")).await.problem(403, "expired");
    assert_eq!(server.ask(&format!("/v1/watch/assets/{id}?{fresh}")).await.status, StatusCode::OK);

    for (ip, status) in [("127.0.0.1", 200), ("192.0.2.1", 403)] {
        let play = server.post(&format!("/v1/assets/{id}/play-url"), json!({"ip": ip})).await.body;
        let asked = server.ask(&format!("/v1/watch/assets/{id}?{}", query(&play["url"]))).await;
        assert_eq!(asked.status.as_u16(), status, "{ip}");
    }
    let fresh = fresh.to_owned();
    assert_eq!(server.delete(&format!("/v1/assets/{id}")).await.status, StatusCode::NO_CONTENT);
    server.ask(&format!("/v1/watch/assets/{id}?{fresh}")).await.problem(404, "asset");
}

async fn a_page_says_how_far_an_asset_is(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    let course = json!({"name": "course", "assets": [id], "everyone": true});
    assert_eq!(server.post("/v1/collections", course).await.status, StatusCode::CREATED);
    let page = server.act("/v1/collections/course/play-url").await.body;
    let collection = text(&page["watch_url"]).rsplit_once('/').unwrap().1.to_owned();
    let list = server.ask(&format!("/v1/watch/collections/{collection}")).await.body;
    assert_eq!((&list["items"][0]["state"], &list["items"][0]["poster_url"]), (&json!("waiting"), &Value::Null));
    // What cannot be played yet has a page that waits.
    let path = format!("/v1/watch/assets/{id}?{}", query(&list["items"][0]["watch_url"]));
    let watch = server.ask(&path).await.body;
    assert_eq!((&watch["state"], &watch["playlist_url"]), (&json!("waiting"), &Value::Null));
    assert_eq!(server.renew(&path.replacen('?', "/renew?", 1)).await.status, StatusCode::OK);

    let job = server.claim("asset", "1").await;
    assert_eq!(server.ask(&path).await.body["state"], "processing");
    let rung = json!({"name": "360", "width": 640, "height": 360, "frame_rate": 30.0, "codecs": "avc1", "bandwidth": 10, "average_bandwidth": 9});
    let made = json!({"rungs": [rung], "rungs_planned": 2, "duration_ms": 4000, "partial": true});
    let beat = json!({"id": job["id"], "worker": "w/1", "attempt": 1, "progress": 430, "report": {"made": made}});
    assert_eq!(server.work("beat", &beat).await.0, StatusCode::NO_CONTENT);
    let watch = server.ask(&path).await.body;
    assert_eq!(
        (&watch["state"], &watch["partial"], &watch["progress_percent"]),
        (&json!("processing"), &json!(true), &json!(43.0))
    );
    assert!(text(&watch["playlist_url"]).contains(&format!("/assets/{id}/HLS/{id}.m3u8?Policy=")));
    // What an earlier making has left can be watched.
    assert_eq!(server.act(&format!("/v1/assets/{id}/cancel")).await.body["state"], "CANCELLED");
    assert_eq!(server.ask(&path).await.body["state"], "ready");

    let lost = server.asset("b.mp4", 2).await;
    let course = json!({"name": "course", "assets": [lost, id], "everyone": true});
    assert_eq!(server.put("/v1/collections/course", course).await.status, StatusCode::OK);
    let job = server.claim("asset", "1").await;
    server.end(&job, "1", json!({"failed": {"reason": "not a video: text", "again": false}})).await;
    let list = server.ask(&format!("/v1/watch/collections/{collection}")).await.body;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["state"]), (&json!(lost), &json!("failed")));
    let path = format!("/v1/watch/assets/{lost}?{}", query(&list["items"][0]["watch_url"]));
    let watch = server.ask(&path).await.body;
    assert_eq!((&watch["state"], &watch["problem"]), (&json!("failed"), &json!("not a video: text")));
}

async fn who_is_let_in_no_longer_is_not_renewed(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id = server.asset("a.mp4", 1).await;
    server.made(&id).await;
    let course = |viewers: &[&str]| json!({"name": "course", "assets": [id], "viewers": viewers});
    assert_eq!(server.post("/v1/collections", course(&["anna"])).await.status, StatusCode::CREATED);
    let play = server.post(&format!("/v1/assets/{id}/play-url"), json!({"user": "anna"})).await.body;
    let preview = server.post(&format!("/v1/assets/{id}/play-url"), json!({"preview": true})).await.body;
    let page = server.post("/v1/collections/course/play-url", json!({"user": "anna"})).await.body;
    let collection = text(&page["watch_url"]).rsplit_once('/').unwrap().1.to_owned();
    let (collection, signature) = collection.split_once('?').unwrap();
    let paths = [
        (format!("/v1/watch/assets/{id}"), query(&play["url"])),
        (format!("/v1/watch/collections/{collection}"), signature),
    ];
    for (path, signature) in &paths {
        assert_eq!(server.ask(&format!("{path}?{signature}")).await.status, StatusCode::OK, "{path}");
        assert_eq!(server.renew(&format!("{path}/renew?{signature}")).await.status, StatusCode::OK, "{path}");
    }
    server.put("/v1/collections/course", course(&["ben"])).await;
    for (path, signature) in &paths {
        server.ask(&format!("{path}?{signature}")).await.problem(403, "you may not watch this");
        server.renew(&format!("{path}/renew?{signature}")).await.problem(403, "you may not watch this");
    }
    // Operators look at what they like.
    let (path, signature) = (format!("/v1/watch/assets/{id}"), query(&preview["url"]));
    assert_eq!(server.ask(&format!("{path}?{signature}")).await.status, StatusCode::OK);
    assert_eq!(server.renew(&format!("{path}/renew?{signature}")).await.status, StatusCode::OK);
    // A signature of no session is not renewed.
    let signed =
        json!({"url": text(&play["url"]).split_once('?').unwrap().0, "resource": "*", "expires_in_seconds": 60});
    let signed = server.post("/v1/sign", signed).await.body;
    server.put("/v1/collections/course", json!({"name": "course", "assets": [id], "everyone": true})).await;
    let signature = query(&signed["url"]);
    assert_eq!(server.ask(&format!("{path}?{signature}")).await.status, StatusCode::OK);
    server.renew(&format!("{path}/renew?{signature}")).await.problem(403, "no session");
}

async fn a_collection_opens_each_of_its_assets_and_no_other(engine: Engine) {
    let server = Server::start_on(engine).await;
    let first = server.asset("1.mp4", 1).await;
    server.made(&first).await;
    let second = server.asset("2.mp4", 2).await;
    server.made(&second).await;
    let outside = server.asset("3.mp4", 3).await;
    let course =
        json!({"name": "course", "description": "Two lessons", "assets": [second, first], "viewers": ["anna"]});
    let made = server.post("/v1/collections", course).await.body;
    let play = "/v1/collections/course/play-url";
    server.act(play).await.problem(403, "name the user");
    server.post(play, json!({"user": "ben"})).await.problem(403, "does not admit user \"ben\"");
    server.post("/v1/collections/none/play-url", json!({"user": "ben"})).await.problem(404, "none");
    server.post(play, json!({"expires_in_seconds": 0})).await.problem(422, "1 to");
    assert_eq!(server.post(play, json!({"preview": true})).await.status, StatusCode::OK);

    let page = server.post(play, json!({"user": "anna", "expires_in_seconds": 600})).await.body;
    let signature = query(&page["watch_url"]);
    let id = text(&made["id"]);
    assert_eq!(page["watch_url"], format!("http://127.0.0.1:9997/watch/collection/{id}?{signature}"));
    let list = server.ask(&format!("/v1/watch/collections/{id}?{signature}")).await.body;
    assert_eq!(
        (&list["name"], &list["description"], &list["user"]),
        (&json!("course"), &json!("Two lessons"), &json!("anna"))
    );
    assert_eq!((&list["expires_in_seconds"], &list["next"]), (&json!(600), &Value::Null));
    let items = list["items"].as_array().unwrap();
    let shown: Vec<_> = items.iter().map(|item| (text(&item["id"]), text(&item["name"]))).collect();
    assert_eq!(shown, [(second.as_str(), "2.mp4"), (first.as_str(), "1.mp4")]);
    for item in items {
        let signature = query(&item["watch_url"]);
        assert!(text(&item["poster_url"]).ends_with(&format!("/Thumbnails/poster.jpg?{signature}")));
        let opened = server.ask(&format!("/v1/watch/assets/{}?{signature}", text(&item["id"]))).await.body;
        assert_eq!((&opened["state"], &opened["user"]), (&json!("ready"), &json!("anna")));
        // It ends with that of the collection, and is renewed by itself.
        assert_eq!(opened["expires_in_seconds"], 600);
        let renewed = server.renew(&format!("/v1/watch/assets/{}/renew?{signature}", text(&item["id"]))).await.body;
        assert_eq!(renewed["session"], page["session"]);
        server.ask(&format!("/v1/watch/assets/{outside}?{signature}")).await.problem(403, "does not open");
        server.ask(&format!("/v1/watch/collections/{id}?{signature}")).await.problem(403, "does not open");
    }
    // That of the collection opens no asset.
    server.ask(&format!("/v1/watch/assets/{first}?{signature}")).await.problem(403, "does not open");
    server.ask(&format!("/v1/watch/collections/{id}?{signature}&skip=x")).await.problem(422, "not a number");
    let renewed = server.renew(&format!("/v1/watch/collections/{id}/renew?{signature}")).await.body;
    assert_eq!((&renewed["session"], &renewed["expires_at"]), (&page["session"], &json!("2026-01-01T00:10:00Z")));
    server.clock.set_ms(NOW_MS + 600_000);
    server.ask(&format!("/v1/watch/collections/{id}?{signature}")).await.problem(403, "expired");
}

async fn a_long_collection_comes_in_parts(engine: Engine) {
    let server = Server::start_on(engine).await;
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(server.asset(&format!("{number:02}.mp4"), number).await);
    }
    server.post("/v1/collections", json!({"name": "long", "assets": ids, "everyone": true})).await;
    let page = server.act("/v1/collections/long/play-url").await.body;
    let path = text(&page["watch_url"]).rsplit_once('/').unwrap().1.to_owned();
    let first = server.ask(&format!("/v1/watch/collections/{path}")).await.body;
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (48, &json!(48)));
    let rest = server.ask(&format!("/v1/watch/collections/{path}&skip=48")).await.body;
    let names: Vec<_> = rest["items"].as_array().unwrap().iter().map(|item| text(&item["name"])).collect();
    assert_eq!((names, &rest["next"]), (vec!["48.mp4", "49.mp4"], &Value::Null));
}
