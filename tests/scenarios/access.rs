//! Who may watch, and who may push.

use std::time::Duration;

use anabranch_testkit::{Encoder, Fetched, Picture, Server, Viewer};

use crate::{play_url, push_url, text, wait_playing};

#[test]
fn unsigned_expired_and_foreign_urls_are_refused() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("mine");
    let (_, other) = server.on_air("other");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let url = play_url(&server, &breakout);
    wait_playing(&url);

    let (bare, query) = url.split_once('?').unwrap();
    let unsigned = Viewer::new().get(bare);
    assert_eq!(unsigned.status, 403);
    assert!(unsigned.text().contains("<Code>MissingKey</Code>"), "{}", unsigned.text());
    assert_eq!(unsigned.header("access-control-allow-origin"), "*", "a page must be able to read the refusal");

    let foreign = bare.replace(&text(&breakout["id"]), &text(&other["id"]));
    assert_eq!(Viewer::new().get(&format!("{foreign}?{query}")).status, 403, "another breakout");
    let tampered = url.replace("Signature=", "Signature=A");
    assert_eq!(Viewer::new().get(&tampered).status, 403, "another signature");

    let id = text(&breakout["id"]);
    let brief = text(&server.cli(&["breakout", "play-url", &id, "--expires-in", "1"])["url"]);
    anabranch_testkit::wait_for("the URL to expire", Duration::from_secs(5), || {
        (Viewer::new().get(&brief).status == 403).then_some(())
    });
    let elsewhere = text(&server.cli(&["breakout", "play-url", &id, "--ip", "192.0.2.1"])["url"]);
    assert_eq!(Viewer::new().get(&elsewhere).status, 403, "another address");
}

#[test]
fn a_page_of_another_origin_plays_with_cookies() {
    const APP: &str = "https://app.example.com";
    let server = Server::start_with(&[("ANABRANCH_API_VIEWER_ORIGINS", APP)]);
    let (channel, breakout) = server.on_air("cookies");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let answer = server.cli(&["breakout", "play-url", &text(&breakout["id"])]);
    wait_playing(&text(&answer["host_url"]));
    let url = text(&answer["host_url"]).split_once('?').unwrap().0.to_owned();
    let cookies: Vec<String> = answer["cookies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cookie| format!("{}={}", text(&cookie["name"]), text(&cookie["value"])))
        .collect();
    let page = Viewer::new().with("origin", APP);
    let player = page.clone().with("cookie", &cookies.join("; "));
    let named = |answer: &Fetched, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("vary").contains("Origin"), "{:?}", answer.headers);
    };

    // As a player with `credentials: include` goes: down to a segment, a piece of it, and the same again.
    let multivariant = player.playlist(&url);
    named(&player.get(&url), 200);
    let media = player.playlist(&multivariant.uris()[0]);
    let segment = media.uris()[0].clone();
    let whole = player.get(&segment);
    named(&whole, 200);
    named(&player.clone().with("range", "bytes=0-9").get(&segment), 206);
    named(&player.with("if-none-match", whole.header("etag")).get(&segment), 304);
    named(&page.get(&segment), 403);
    let asked = page.with("access-control-request-method", "GET").with("access-control-request-headers", "range");
    let preflight = asked.options(&segment);
    named(&preflight, 204);
    assert_eq!(preflight.header("access-control-allow-headers"), "range");

    // Any other page has what signed URLs need, and no more.
    let other = Viewer::new().with("origin", "https://elsewhere.example.com").get(&text(&answer["host_url"]));
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(other.header("access-control-allow-credentials"), "");
}

#[test]
fn the_host_form_of_the_url_plays_too() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("hosts");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let answer = server.cli(&["breakout", "play-url", &text(&breakout["id"])]);
    wait_playing(&text(&answer["url"]));
    let host_url = text(&answer["host_url"]);
    assert!(host_url.contains(&text(&channel["distribution"]["domain_name"])));
    let multivariant = wait_playing(&host_url);
    assert_eq!(Viewer::new().get(&multivariant.uris()[0]).status, 200);
}

#[test]
fn a_wrong_stream_key_is_refused_and_counted() {
    let server = Server::start();
    let mut encoder = Encoder::push(&format!("{}/not-a-key", server.rtmp()), Picture::default());
    assert!(!encoder.wait(Duration::from_secs(20)).success());
    assert!(server.metric("anabranch_ingest_refused_total", "") >= 1.0);
    assert!(server.log().contains("refused"), "{}", server.log());
}

#[test]
fn a_second_live_encoder_is_refused() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("one");
    let mut first = Encoder::push(&push_url(&channel), Picture::default());
    wait_playing(&play_url(&server, &breakout));
    let mut second = Encoder::push(&push_url(&channel), Picture::default());
    assert!(!second.wait(Duration::from_secs(20)).success());
    assert!(first.is_running(), "the first encoder keeps its place: {}", first.log());
}
