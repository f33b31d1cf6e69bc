//! Methods: what is served, passed on, cached, and what unsafe ones make unusable.

use anabranch_model::{AllowedMethods, DistributionSpec, Selection};

use crate::raw_origin::{RawOrigin, Then};
use crate::support::{NOW_MS, Script, TestEdge, TestOrigin, Viewer, ask, distribution, get, http_origin, start};

/// Origin whose answers say the method and body of the request; paths tell the status of unsafe methods.
async fn started(change: impl FnOnce(&mut DistributionSpec)) -> (RawOrigin, TestEdge) {
    let origin = RawOrigin::start(|_, _, text| {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (status, more) = match (method, target) {
            ("GET" | "HEAD" | "OPTIONS", _) => (200, "cache-control: max-age=60\r\nvary: x-v\r\n"),
            (_, "/fails") => (500, ""),
            (_, "/moves") => (201, "location: /named?q=1\r\ncontent-location: https://a.test/content\r\n"),
            (_, "/dies") => return (vec![], Then::Drop),
            (_, "/foreign") => (200, "location: http://other.test/named\r\n"),
            _ => (200, ""),
        };
        let said = format!("{method} {body}");
        let body = if method == "HEAD" { "" } else { &said };
        let length = said.len();
        (format!("HTTP/1.1 {status} X\r\n{more}content-length: {length}\r\n\r\n{body}").into_bytes(), Then::Keep)
    })
    .await;
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    site.origins[0].origin = http_origin(origin.address);
    site.default_behavior.allowed_methods = AllowedMethods::All;
    site.default_behavior.origin_request.headers = Selection::Only(vec!["x-v".to_owned()]);
    change(&mut site);
    (origin, start(vec![site], |config| config.max_request_body_bytes = 1000))
}

async fn hits(edge: &TestEdge, target: &str, lines: &str) -> bool {
    let reply = ask(edge.address, "GET", "a.test", target, lines).await;
    reply.header("x-cache") == Some("Hit from cloudfront")
}

#[tokio::test]
async fn unsafe_methods_are_passed_on_with_their_body() {
    let (origin, edge) = started(|_| {}).await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for _ in 0..2 {
            let lines = "Content-Length: 5\r\nContent-Type: text/csv\r\n\r\nbody!";
            let mut viewer = Viewer::connect(edge.address).await;
            viewer.send(&format!("{method} /a HTTP/1.1\r\nHost: a.test\r\n{lines}")).await;
            let reply = viewer.reply(false).await.unwrap();
            assert_eq!((reply.status, reply.text()), (200, format!("{method} body!").as_str()));
            assert_eq!(reply.header("cache-status"), Some("anabranch; fwd=method"));
            assert!(origin.heads().last().unwrap().contains("content-type: text/csv\r\n"));
        }
    }
    let mut viewer = Viewer::connect(edge.address).await;
    let body = "x".repeat(1001);
    viewer.send(&format!("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1001\r\n\r\n{body}")).await;
    assert_eq!(viewer.reply(false).await.unwrap().status, 413);
    assert_eq!(origin.heads().len(), 8);
}

#[tokio::test]
async fn what_is_not_allowed_is_405() {
    for (methods, allow, refused) in [
        (AllowedMethods::GetHead, "GET, HEAD", &["OPTIONS", "POST", "DELETE", "TRACE", "BREW"][..]),
        (AllowedMethods::GetHeadOptions, "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "TRACE"]),
        (AllowedMethods::All, "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE", &["TRACE", "BREW"]),
    ] {
        let (origin, edge) = started(|site| site.default_behavior.allowed_methods = methods).await;
        for method in refused {
            let reply = ask(edge.address, method, "a.test", "/a", "Content-Length: 0\r\n").await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method}");
        }
        assert!(origin.heads().is_empty());
    }
}

#[tokio::test]
async fn options_is_passed_on_or_cached() {
    let (origin, edge) = started(|_| {}).await;
    let preflight = "Origin: http://p.test\r\nAccess-Control-Request-Method: GET\r\n";
    for lines in ["", preflight, ""] {
        assert_eq!(ask(edge.address, "OPTIONS", "a.test", "/a", lines).await.text(), "OPTIONS ");
    }
    assert_eq!(origin.heads().len(), 3);
    let (origin, edge) = started(|site| site.default_behavior.cache_options = true).await;
    for _ in 0..2 {
        assert_eq!(ask(edge.address, "OPTIONS", "a.test", "/a", "").await.text(), "OPTIONS ");
        assert_eq!(get(edge.address, "a.test", "/a").await.text(), "GET ");
    }
    assert_eq!(origin.heads().len(), 2, "each has its own entry");
}

#[tokio::test]
async fn head_is_answered_from_the_cache_or_passed_on() {
    let (origin, edge) = started(|_| {}).await;
    for n in 1..3 {
        let passed = ask(edge.address, "HEAD", "a.test", "/a", "").await;
        assert_eq!((passed.status, passed.header("content-length")), (200, Some("5")));
        assert_eq!(passed.header("x-cache"), Some("Miss from cloudfront"));
        assert_eq!(origin.heads().len(), n);
        assert!(origin.heads()[n - 1].starts_with("HEAD /a "));
    }
    get(edge.address, "a.test", "/a").await;
    let hit = ask(edge.address, "HEAD", "a.test", "/a", "").await;
    assert_eq!((hit.header("x-cache"), hit.header("content-length")), (Some("Hit from cloudfront"), Some("4")));
    assert_eq!(origin.heads().len(), 3);
}

#[tokio::test]
async fn a_head_of_unknown_length_claims_none() {
    let origin =
        RawOrigin::start(|_, _, _| (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), Then::Keep))
            .await;
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    site.origins[0].origin = http_origin(origin.address);
    let edge = start(vec![site], |_| {});
    let mut viewer = Viewer::connect(edge.address).await;
    for _ in 0..2 {
        viewer.send("HEAD /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let reply = viewer.reply(true).await.unwrap();
        assert_eq!((reply.status, reply.header("content-length")), (200, None), "{}", reply.head);
    }
}

#[tokio::test]
async fn a_success_of_an_unsafe_method_makes_what_it_may_have_changed_unusable() {
    let (_origin, edge) = started(|site| {
        let cache = &mut site.default_behavior.cache;
        cache.headers = vec!["x-k".to_owned()];
        cache.encodings.gzip = true;
        cache.query = Selection::Except(vec!["u".to_owned()]);
        site.default_root_object = "root".to_owned();
    })
    .await;
    let kinds = ["", "X-V: 1\r\n", "X-V: 2\r\nX-K: 3\r\n", "Accept-Encoding: gzip\r\n"];
    let paths = ["/a", "/a?q=1", "/fails", "/dies", "/moves", "/named", "/named?q=1", "/content", "/foreign", "/root"];
    let fill = async || {
        for path in paths {
            for lines in kinds {
                ask(edge.address, "GET", "a.test", path, lines).await;
                assert!(hits(&edge, path, lines).await, "{path} {lines}");
            }
        }
    };
    for (n, (method, target, gone)) in [
        ("POST", "/a", &["/a"][..]),
        ("DELETE", "/a?u=9&q=1", &["/a?q=1"]),
        ("PUT", "/fails", &[]),
        ("POST", "/dies", &[]),
        ("PATCH", "/moves", &["/moves", "/named?q=1", "/content"]),
        ("POST", "/foreign", &["/foreign"]),
        ("POST", "/", &["/root"]),
        ("OPTIONS", "/a", &[]),
    ]
    .into_iter()
    .enumerate()
    {
        edge.clock.set_ms(NOW_MS + 10 * i64::try_from(n).unwrap());
        fill().await;
        ask(edge.address, method, "a.test", target, "Content-Length: 0\r\n").await;
        for path in paths {
            for lines in kinds {
                assert_eq!(hits(&edge, path, lines).await, !gone.contains(&path), "{method} {target}: {path} {lines}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_from_before_an_unsafe_method_is_not_kept() {
    use std::sync::Arc;
    use tokio::sync::Notify;
    let origin = TestOrigin::start().await;
    let gate = Arc::new(Notify::new());
    origin.set("/a", Script::ok("old body", "max-age=60").with(|s| s.gate = Some((3, gate.clone()))));
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.allowed_methods = AllowedMethods::All;
    let edge = start(vec![site], |_| {});
    let mut early = Viewer::connect(edge.address).await;
    early.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    early.body_begins().await;
    origin.set("/a", Script::ok("new body", "max-age=60"));
    assert_eq!(ask(edge.address, "POST", "a.test", "/a", "Content-Length: 0\r\n").await.status, 200);
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "new body", "it joins no flight from before");
    gate.notify_one();
    assert_eq!(early.reply(false).await.unwrap().text(), "old body");
    for _ in 0..3 {
        assert_eq!(get(edge.address, "a.test", "/a").await.text(), "new body");
    }
}
