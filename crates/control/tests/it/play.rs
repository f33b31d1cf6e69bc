//! URLs that open a breakout, judged by the signing room as the edge does.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_model::{PackagingState, Report};
use anabranch_signing::{Credentials, Denied, KeySet, PublicKey, RequestUrl, verify};
use anabranch_testkit::{Engine, both};
use serde_json::json;

use crate::support::{NOW_MS, Server, TOKEN, answer, text};

both!(play_urls_open_just_their_breakout, a_watch_page_is_opened_by_the_play_url,);

const NOW: i64 = NOW_MS / 1000;

/// The trusted keys, as an edge takes them from the snapshot.
fn keys(server: &Server) -> KeySet {
    let snapshot = server.snapshots.borrow().clone();
    let keys = snapshot.key_groups.iter().flat_map(|group| group.keys.iter());
    keys.map(|key| (key.id.to_string(), Arc::new(PublicKey::from_pem(&key.public_key_pem).unwrap()))).collect()
}

fn judge(keys: &KeySet, url: &str, client: &str, now: i64) -> Result<(), Denied> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let url = RequestUrl { scheme, host, path, query };
    let credentials = Credentials::from_query(query.unwrap_or_default())?.ok_or(Denied::MissingKey)?;
    verify(&credentials, keys, &url, client.parse::<IpAddr>().unwrap(), now).map(|_| ())
}

async fn play_urls_open_just_their_breakout(engine: Engine) {
    let server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    let breakout = server.breakout("b", "c").await;
    let other = server.breakout("other", "c").await;
    let play = server.act("/v1/breakouts/b/play-url").await.body;
    let (url, host_url) = (text(&play["url"]), text(&play["host_url"]));
    let (id, other) = (text(&breakout["id"]), text(&other["id"]));
    let distribution = text(&channel["distribution"]["id"]);
    assert!(url.starts_with(&format!("http://127.0.0.1:8888/d/{distribution}/{id}/index.m3u8?Policy=")), "{url}");
    let domain = text(&channel["distribution"]["domain_name"]);
    assert!(host_url.starts_with(&format!("http://{domain}:8888/{id}/index.m3u8?Policy=")), "{host_url}");
    assert_eq!(play["expires_at"], "2026-01-01T12:00:00Z");
    let keys = keys(&server);
    for url in [url, host_url] {
        assert_eq!(judge(&keys, url, "192.0.2.1", NOW), Ok(()));
        assert_eq!(judge(&keys, &url.replace("index.m3u8", "video/00001.m4s"), "192.0.2.1", NOW), Ok(()));
        assert_eq!(judge(&keys, &url.replace(id, other), "192.0.2.1", NOW), Err(Denied::WrongResource));
        assert_eq!(judge(&keys, url, "192.0.2.1", NOW + 43_200), Err(Denied::Expired));
    }
    assert_ne!(url.split_once('?').unwrap().1, host_url.split_once('?').unwrap().1);
}

#[tokio::test]
async fn play_urls_for_one_network_and_time() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.channel("c").await;
    server.breakout("b", "c").await;
    let request = json!({"expires_in_seconds": 60, "ip": "192.0.2.0/24"});
    let play = server.post("/v1/breakouts/b/play-url", request).await.body;
    assert_eq!(play["expires_at"], "2026-01-01T00:01:00Z");
    let (keys, url) = (keys(&server), text(&play["url"]));
    assert_eq!(judge(&keys, url, "192.0.2.99", NOW), Ok(()));
    assert_eq!(judge(&keys, url, "198.51.100.1", NOW), Err(Denied::WrongAddress));
    server.post("/v1/breakouts/b/play-url", json!({"ip": "x"})).await.problem(422, "ipv4");
    server.post("/v1/breakouts/b/play-url", json!({"expires_in_seconds": 0})).await.problem(422, "1 to");
    server.act("/v1/breakouts/nothing/play-url").await.problem(404, "no breakout");
}

#[tokio::test]
async fn no_cache_keeps_what_holds_a_link() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.channel("c").await;
    server.breakout("b", "c").await;
    let play = server.act("/v1/breakouts/b/play-url").await.body;
    let query = text(&play["url"]).split_once('?').unwrap().1;
    let at = |path: &str| format!("{}{path}", server.base);
    for asked in [
        server.client.post(at("/v1/breakouts/b/play-url")).bearer_auth(TOKEN).json(&json!({})),
        server.client.post(at("/v1/sign")).bearer_auth(TOKEN).json(&json!({"url": "http://h/a"})),
        server.client.get(at(&format!("/v1/watch/b?{query}"))),
        server.client.post(at(&format!("/v1/watch/b/renew?{query}"))),
        server.client.get(at(&format!("/public/b/stream-auth?{query}"))),
        server.client.get(at("/v1/watch/b")),
    ] {
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store", "{} {}", answer.status(), answer.url());
    }
}

#[tokio::test]
async fn any_url_can_be_signed() {
    let mut server = Server::start_on(Engine::Sqlite).await;
    let made = server.post("/v1/keys", json!({"name": "second"})).await.body;
    let count =
        |keys: usize| move |snapshot: &Arc<anabranch_model::Snapshot>| snapshot.key_groups[0].keys.len() == keys;
    server.snapshot(count(2)).await;
    let keys = keys(&server);
    let canned = server.post("/v1/sign", json!({"url": "http://h/a?b=1", "expires_in_seconds": 60})).await.body;
    let url = text(&canned["url"]);
    assert!(url.starts_with("http://h/a?b=1&Expires=1767225660&Signature="), "{url}");
    assert_eq!(judge(&keys, url, "192.0.2.1", NOW), Ok(()));
    let request = json!({
        "url": "http://h/x/y", "resource": "http://h/x/*", "expires_in_seconds": 60, "key_id": "second",
        "starts_at": "2026-01-01T00:00:30Z"
    });
    let custom = server.post("/v1/sign", request).await.body;
    assert_eq!(custom["key_id"], made["id"]);
    let url = text(&custom["url"]);
    assert_eq!(judge(&keys, url, "192.0.2.1", NOW + 29), Err(Denied::NotYet));
    assert_eq!(judge(&keys, &url.replace("/x/y", "/x/z"), "192.0.2.1", NOW + 30), Ok(()));
    server
        .post("/v1/sign", json!({"url": "h", "expires_in_seconds": 60}))
        .await
        .problem(422, "not an absolute http url");
    let bad = server.post("/v1/sign", json!({"url": "http://h/", "expires_in_seconds": 60, "starts_at": "soon"})).await;
    bad.problem(422, "not a time");
    assert_eq!(bad.body["field"], "starts_at");
    let imported = json!({"name": "theirs", "public_key": made["public_key"]});
    server.post("/v1/keys", imported).await;
    let theirs = json!({"url": "http://h/", "expires_in_seconds": 60, "key_id": "theirs"});
    server.post("/v1/sign", theirs).await.problem(409, "not here");
    let unknown = json!({"url": "http://h/", "expires_in_seconds": 60, "key_id": "nothing"});
    server.post("/v1/sign", unknown).await.problem(404, "no key");
}

async fn a_watch_page_is_opened_by_the_play_url(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let breakout = server.breakout("b", "c").await;
    server.breakout("other", "c").await;
    let play = server.act("/v1/breakouts/b/play-url").await.body;
    let id = text(&breakout["id"]);
    let query = text(&play["url"]).split_once('?').unwrap().1.to_owned();
    assert_eq!(play["watch_url"], format!("http://127.0.0.1:9997/watch/{id}?{query}"));
    // Without a token.
    let ask = |path: String| answer(server.client.get(format!("{}{path}", server.base)));
    let watch = ask(format!("/v1/watch/{id}?{query}")).await.body;
    let expected = json!({
        "id": id, "name": "b", "state": "waiting", "curtain": "up", "preview": false, "starts_at": null,
        "starts_in_seconds": null, "playlist_url": play["url"], "viewers": null, "recording": null, "user": null,
        "expires_at": play["expires_at"], "expires_in_seconds": 43_200, "problem": null, "refresh": 0
    });
    assert_eq!(watch, expected);
    ask(format!("/v1/watch/{id}")).await.problem(403, "does not open");
    ask(format!("/v1/watch/other?{query}")).await.problem(403, "does not open");
    ask(format!("/v1/watch/nothing?{query}")).await.problem(403, "does not open");

    server.act("/v1/breakouts/b/start").await;
    let live = Report::Packaging { breakout: id.parse().unwrap(), state: PackagingState::Live };
    server.reports.send(live).await.unwrap();
    server.until("/v1/breakouts/b", |breakout| breakout["packaging"] == "live").await;
    assert_eq!(ask(format!("/v1/watch/{id}?{query}")).await.body["state"], "live");
    server.act("/v1/breakouts/b/stop").await;
    assert_eq!(ask(format!("/v1/watch/b?{query}")).await.body["state"], "ended");

    server.clock.set_ms(NOW_MS + 43_200_000);
    ask(format!("/v1/watch/{id}?{query}")).await.problem(403, "expired");
    server.clock.set_ms(NOW_MS);
    for (ip, status) in [("127.0.0.1", 200), ("192.0.2.1", 403)] {
        let play = server.post("/v1/breakouts/b/play-url", json!({"ip": ip})).await.body;
        let query = text(&play["url"]).split_once('?').unwrap().1.to_owned();
        assert_eq!(ask(format!("/v1/watch/{id}?{query}")).await.status.as_u16(), status, "{ip}");
    }
}
