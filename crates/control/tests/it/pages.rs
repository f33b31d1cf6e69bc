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
    for path in ["/watch/b0123", "/watch/asset/m1", "/watch/collection/c1"] {
        assert!(policy(&server, path).await.ends_with("; frame-ancestors 'self'"), "{path}");
    }
    assert!(policy(&server, "/").await.ends_with("; frame-ancestors 'none'"));
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

#[tokio::test]
async fn every_other_path_is_a_page_for_who_walks_there() {
    let server = Server::start_on(Engine::Sqlite).await;
    let ask = async |path: &str, accept: &str| {
        let request = server.client.get(format!("{}{path}", server.base)).header("Accept", accept);
        request.send().await.unwrap()
    };
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for path in ["/login", "/setup", "/channels/c1/log", "/settings?tab=users", "/a%20b"] {
        let page = ask(path, browser).await;
        assert_eq!(page.status().as_u16(), 200, "{path}");
        let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(header("content-security-policy").contains("script-src 'self';"));
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(header("permissions-policy").contains("camera=()"));
        assert_eq!(ask(path, "*/*").await.status().as_u16(), 404, "{path} for a program");
    }
    for path in ["/v1/nothing", "/api/x", "/public/x", "/assets/x.js", "/cluster/x", "/edge/v1/x", "/openapi.json/x"] {
        assert_eq!(ask(path, browser).await.status().as_u16(), 404, "{path}");
    }
    let posted = server.client.post(format!("{}/login", server.base)).header("Accept", browser).send().await.unwrap();
    assert_eq!(posted.status().as_u16(), 404);
    let watch = ask("/watch/b1", browser).await;
    assert!(watch.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'self'"));
    assert_eq!(watch.headers()["x-frame-options"], "SAMEORIGIN");
}
