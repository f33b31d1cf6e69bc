//! The web pages, built or not.

use anabranch_testkit::Engine;

use crate::support::Server;

#[tokio::test]
async fn pages_have_their_headers() {
    let server = Server::start_on(Engine::Sqlite).await;
    for path in ["/", "/watch/b0123?Policy=x", "/watch/asset/m1?Policy=x", "/watch/collection/c1?Policy=x"] {
        let response = server.client.get(format!("{}{path}", server.base)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-cache");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(header("content-security-policy").contains("connect-src 'self' http: https: blob:"));
        assert!(header("content-security-policy").contains("img-src 'self' http: https: data: blob:"));
        assert!(response.text().await.unwrap().contains("<title>Anabranch</title>"));
    }
}

#[tokio::test]
async fn only_players_for_frames_can_be_framed() {
    let policy = async |server: &Server, path: &str| {
        let response = server.client.get(format!("{}{path}", server.base)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        response.headers()["content-security-policy"].to_str().unwrap().to_owned()
    };
    let embeds = ["/embed/b0123?Policy=x", "/embed/asset/m1", "/embed/collection/c1"];
    let server = Server::start_on(Engine::Sqlite).await;
    for path in embeds {
        assert!(!policy(&server, path).await.contains("frame-ancestors"), "{path}");
    }
    for path in ["/", "/watch/b0123", "/watch/asset/m1", "/watch/collection/c1"] {
        assert!(policy(&server, path).await.ends_with("; frame-ancestors 'self'"), "{path}");
    }
    let named = |config: &mut anabranch_control::Config| {
        config.embed_frame_ancestors = vec!["https://a.example".into(), "'self'".into()];
    };
    let server = Server::start_as(anabranch_testkit::Scratch::new(Engine::Sqlite), Some("test-token-1"), named).await;
    for path in embeds {
        assert!(policy(&server, path).await.ends_with("; frame-ancestors https://a.example 'self'"), "{path}");
    }
    assert!(policy(&server, "/watch/b0123").await.ends_with("; frame-ancestors 'self'"));
}

#[tokio::test]
async fn assets_are_immutable_and_stay_in_their_folder() {
    let server = Server::start_on(Engine::Sqlite).await;
    let page = server.client.get(&server.base).send().await.unwrap().text().await.unwrap();
    // A page without the built UI names no assets.
    for asset in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let response = server.client.get(format!("{}{asset}", server.base)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{asset}");
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_ne!(response.headers()["content-type"], "application/octet-stream", "{asset}");
    }
    for path in ["/assets/nothing.js", "/assets/%2e%2e%2findex.html", "/assets/..%2f..%2fpackage.json"] {
        let status = server.get(path).await.status.as_u16();
        assert_eq!(status, 404, "{path}");
    }
}
