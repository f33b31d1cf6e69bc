//! Who may watch, and what goes with a file of a bucket that is a mirror.

use std::time::Duration;

use anabranch_testkit::{Server, Viewer, wait_for};
use serde_json::{Value, json};

use super::{Film, drop_in, made, object, wait_ready};
use crate::text;

fn ask(server: &Server, id: &str, request: &Value) -> (u16, Value) {
    let answer = server.ask("POST", &format!("/v1/assets/{id}/play-url"), request);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[test]
fn collections_say_who_may_watch_and_a_mirror_takes_the_asset_along() {
    let server = Server::start();
    let _ = server.call("PATCH", "/v1/buckets/uploads", &json!({"mirror": true}));
    drop_in(&server, &Film::default().file(&server, "film"), "film.mp4");
    let old = wait_ready(&server, "film.mp4");
    let id = text(&old["id"]);
    assert_eq!(ask(&server, &id, &json!({})).0, 200, "an asset without collections is free");

    let content = json!({"name": "members", "assets": [id], "viewers": ["anna"]});
    let collection = server.call("POST", "/v1/collections", &content);
    for refused in [json!({}), json!({"user": "bert"})] {
        let (status, problem) = ask(&server, &id, &refused);
        assert_eq!(status, 403, "{problem:#}");
        assert!(text(&problem["detail"]).contains("collection"), "{problem:#}");
    }
    assert_eq!(ask(&server, &id, &json!({"preview": true})).0, 200);
    let (status, play) = ask(&server, &id, &json!({"user": "anna"}));
    assert_eq!((status, &play["user"]), (200, &json!("anna")));
    let multivariant = Viewer::new().playlist(&text(&play["url"]));
    let rung = Viewer::new().playlist(&multivariant.uris()[0]);
    let mut urls = vec![multivariant.url, rung.url.clone()];
    urls.extend(rung.uris());
    assert!(urls.iter().all(|url| Viewer::new().get(url).status == 200));
    // One collection that admits is enough.
    let all = server.call("POST", "/v1/collections", &json!({"name": "all", "everyone": true, "assets": [id]}));
    assert_eq!(ask(&server, &id, &json!({"user": "bert"})).0, 200);
    let _ = server.call("DELETE", &format!("/v1/collections/{}", text(&all["id"])), &Value::Null);
    assert_eq!(ask(&server, &id, &json!({"user": "bert"})).0, 403);

    // The file is replaced: its asset goes, wherever it was cached, and leaves the collection.
    drop_in(&server, &Film { tone: 700, ..Film::default() }.file(&server, "film"), "film.mp4");
    let new = wait_for("the asset of the new file", super::MADE, || {
        object(&server, "film.mp4").filter(|object| object["asset"].as_str().is_some_and(|now| now != id))
    });
    assert_eq!(server.ask("GET", &format!("/v1/assets/{id}"), &Value::Null).status, 404, "{new:#}");
    let gone = |urls: &[String]| {
        wait_for("the edge to forget", Duration::from_secs(10), || {
            urls.iter().all(|url| Viewer::new().get(url).status == 404).then_some(())
        });
    };
    gone(&urls);
    wait_for("an empty disk", Duration::from_secs(10), || (!made(&server, &old).join("HLS").exists()).then_some(()));
    gone(&urls);
    let left = server.call("GET", &format!("/v1/collections/{}", text(&collection["id"])), &Value::Null);
    assert_eq!(left["assets"], json!([]));

    let new = wait_ready(&server, "film.mp4");
    let (_, play) = ask(&server, &text(&new["id"]), &json!({}));
    let url = text(&play["url"]);
    assert_eq!(Viewer::new().get(&url).status, 200);
    let _ = server.call("DELETE", "/v1/buckets/uploads/objects?key=film.mp4", &Value::Null);
    gone(&[url]);
    let all = server.call("GET", "/v1/assets", &Value::Null);
    assert_eq!(all["items"], json!([]));
}
