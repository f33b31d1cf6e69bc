//! Origins that fail: failover, stale answers, errors that are kept for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_model::{
    AllowedMethods, DistributionSpec, ErrorResponse, HttpOrigin, Origin, OriginGroup, OriginSpec, OriginTimeouts,
};

use crate::raw_origin::{RawOrigin, Then, ok};
use crate::support::{NOW_MS, Reply, Script, TestEdge, TestOrigin, ask, distribution, get, http_origin, start, until};

const QUICK: OriginTimeouts =
    OriginTimeouts { connect_seconds: 1, connect_attempts: 1, response_seconds: 1, keepalive_seconds: 5 };

fn status(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\nfirst").into_bytes()
}

fn quick(address: std::net::SocketAddr) -> Origin {
    let Origin::Http(http) = http_origin(address) else { unreachable!() };
    Origin::Http(HttpOrigin { timeouts: QUICK, ..http })
}

/// A distribution of a group of two.
async fn grouped(one: std::net::SocketAddr, two: std::net::SocketAddr) -> DistributionSpec {
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    let named = |id: &str, address| OriginSpec { id: id.to_owned(), origin: quick(address), shield: None };
    site.origins = vec![named("one", one), named("two", two)];
    site.origin_groups = vec![OriginGroup {
        id: "o".to_owned(),
        primary: "one".to_owned(),
        secondary: "two".to_owned(),
        failover_statuses: vec![404, 502, 503],
    }];
    site.default_behavior.allowed_methods = AllowedMethods::All;
    site
}

#[tokio::test]
async fn the_second_origin_answers_where_the_first_fails() {
    let first = RawOrigin::start(|_, _, head| match head.split(' ').nth(1).unwrap() {
        "/good" => (ok("first"), Then::Keep),
        "/404" => (status(404), Then::Keep),
        "/503" => (status(503), Then::Keep),
        "/500" => (status(500), Then::Keep),
        "/ambiguous" => (b"HTTP/1.1 200 X\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_vec(), Then::Keep),
        "/cut" => (vec![], Then::Drop),
        _ => (vec![], Then::Hang),
    })
    .await;
    let second = RawOrigin::start(|_, _, head| {
        let missing = head.contains("/503");
        (if missing { status(404) } else { ok("second") }, Then::Keep)
    })
    .await;
    let edge = start(vec![grouped(first.address, second.address).await], |_| {});
    for (path, code, body) in [
        ("/good", 200, "first"),
        ("/404", 200, "second"),
        ("/503", 404, "first"),
        ("/500", 500, "first"),
        ("/ambiguous", 200, "second"),
        ("/cut", 200, "second"),
        ("/hangs", 200, "second"),
    ] {
        let reply = get(edge.address, "a.test", path).await;
        assert_eq!((reply.status, reply.text()), (code, body), "{path}");
    }
    let before = second.heads().len();
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(edge.address, method, "a.test", "/503", "Content-Length: 0\r\n").await.status, 503, "{method}");
    }
    assert_eq!(second.heads().len(), before, "what changes things is tried once");
    assert_eq!(ask(edge.address, "OPTIONS", "a.test", "/404", "").await.text(), "second");
}

#[tokio::test]
async fn two_dead_origins_are_one_error() {
    let closed = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let second = TestOrigin::start().await;
    let edge = start(vec![grouped(closed().await, second.address).await], |_| {});
    second.set("/a", Script::ok("second", "max-age=60"));
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "second");
    let edge = start(vec![grouped(closed().await, closed().await).await], |_| {});
    let reply = get(edge.address, "a.test", "/a").await;
    assert_eq!((reply.status, reply.header("x-cache")), (502, Some("Error from cloudfront")));
}

/// An origin that answers what a test sets, with a count.
async fn fickle(site: impl FnOnce(&mut DistributionSpec)) -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    let mut spec = distribution("E1", "a.test", &origin);
    site(&mut spec);
    let edge = start(vec![spec], |_| {});
    (origin, edge)
}

fn failing(status: u16, control: &str) -> Script {
    let control = control.to_owned();
    Script::ok("bad", &control).with(|s| {
        s.status = status;
        if control.is_empty() {
            s.headers.clear();
        }
    })
}

fn word(reply: &Reply) -> &str {
    reply.header("x-cache").unwrap()
}

#[tokio::test]
async fn errors_are_kept_as_long_as_they_should_be() {
    let (origin, edge) = fickle(|site| {
        let rule = |status, min_ttl_seconds| ErrorResponse { status, min_ttl_seconds, page: None };
        site.error_responses = vec![rule(404, 10), rule(503, 0), rule(500, 30)];
    })
    .await;
    for (path, code, control, seconds) in [
        ("/1", 404, "", 10),
        ("/2", 404, "max-age=20", 20),
        ("/3", 503, "", 0),
        ("/4", 500, "no-store", 30),
        ("/5", 502, "no-store", 1),
        ("/6", 403, "", 1),
        ("/7", 403, "no-store", 0),
        ("/8", 404, "max-age=0", 10),
        ("/9", 502, "private", 0),
    ] {
        edge.clock.set_ms(NOW_MS);
        origin.set(path, failing(code, control));
        let before = origin.count();
        assert_eq!(get(edge.address, "a.test", path).await.status, code);
        if seconds > 0 {
            edge.clock.set_ms(NOW_MS + seconds * 1000 - 1);
            let again = get(edge.address, "a.test", path).await;
            assert_eq!((again.status, word(&again)), (code, "Error from cloudfront"));
            assert_eq!(origin.count(), before + 1, "{path} is kept");
        }
        edge.clock.set_ms(NOW_MS + seconds * 1000);
        get(edge.address, "a.test", path).await;
        assert_eq!(origin.count(), before + 2, "{path} is kept for {seconds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_does_not_hammer_a_failing_origin() {
    let origin = RawOrigin::start(|_, _, _| {
        std::thread::sleep(Duration::from_millis(100));
        (b"HTTP/1.1 503 X\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Keep)
    })
    .await;
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    site.origins[0].origin = quick(origin.address);
    let edge = start(vec![site], |_| {});
    let address = edge.address;
    let herd: Vec<_> =
        (0..50).map(|_| tokio::spawn(async move { get(address, "a.test", "/a").await.status })).collect();
    for viewer in herd {
        assert_eq!(viewer.await.unwrap(), 503);
    }
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn stale_answers_stand_in_for_errors_and_for_nothing_else() {
    let (origin, edge) = fickle(|_| {}).await;
    for (path, control, code, hours, stale) in [
        ("/1", "max-age=60", 503, 23, true),
        ("/2", "max-age=60", 503, 25, false),
        ("/3", "max-age=60, must-revalidate", 500, 1, false),
        ("/4", "max-age=60, proxy-revalidate", 500, 1, false),
        ("/5", "s-maxage=60", 500, 1, false),
        ("/6", "max-age=60, stale-if-error=10", 504, 1, false),
        ("/7", "max-age=60", 404, 1, false),
        ("/8", "max-age=60", 501, 1, false),
        ("/9", "max-age=60, stale-while-revalidate=60, stale-if-error=0", 502, 0, true),
    ] {
        edge.clock.set_ms(NOW_MS);
        origin.set(path, Script::ok("good", control));
        get(edge.address, "a.test", path).await;
        origin.set(path, failing(code, "no-store"));
        edge.clock.set_ms(NOW_MS + hours * 3_600_000 + 61_000);
        let before = origin.count();
        for _ in 0..2 {
            let reply = get(edge.address, "a.test", path).await;
            assert_eq!(reply.text(), if stale { "good" } else { "bad" }, "{path}");
            if stale {
                assert_eq!(word(&reply), "Hit from cloudfront", "{path}");
                assert!(reply.header("cache-status").unwrap().starts_with("anabranch; hit; ttl=-"), "{path}");
            }
            until("it is asked", || origin.count() > before).await;
        }
    }
}

#[tokio::test]
async fn an_older_error_does_not_stand_in_for_a_newer_one() {
    let (origin, edge) = fickle(|_| {}).await;
    origin.set("/a", failing(503, "max-age=60"));
    get(edge.address, "a.test", "/a").await;
    origin.set("/a", failing(500, ""));
    edge.clock.set_ms(NOW_MS + 61_000);
    assert_eq!(get(edge.address, "a.test", "/a").await.status, 500);
}

#[tokio::test]
async fn what_is_for_one_viewer_is_not_kept() {
    let (origin, edge) = fickle(|site| {
        site.default_behavior.cache.default_ttl_seconds = 60;
        site.default_behavior.origin_request.headers = anabranch_model::Selection::All;
    })
    .await;
    for (path, control, lines, kept) in [
        ("/1", "no-store", "", false),
        ("/2", "private", "", false),
        ("/3", "no-cache", "", false),
        ("/4", "", "Authorization: x\r\n", false),
        ("/5", "public, max-age=60", "Authorization: x\r\n", true),
        ("/6", "s-maxage=60", "Authorization: x\r\n", true),
        ("/7", "max-age=0", "", false),
        ("/8", "max-age=60", "Cache-Control: no-store\r\n", true),
    ] {
        origin.set(
            path,
            Script::ok("x", control).with(|s| {
                if control.is_empty() {
                    s.headers.clear();
                }
            }),
        );
        let first = ask(edge.address, "GET", "a.test", path, lines).await;
        assert_eq!(first.header("cache-status").unwrap().contains("stored"), kept, "{path}");
        let again = ask(edge.address, "GET", "a.test", path, lines).await;
        let expected = if kept { "Hit from cloudfront" } else { "Miss from cloudfront" };
        assert_eq!(word(&again), expected, "{path}");
        assert_eq!(
            again.header("cache-status").unwrap(),
            if kept { "anabranch; hit; ttl=60" } else { "anabranch; fwd=miss" }
        );
    }
}

#[tokio::test]
async fn fields_that_are_for_one_viewer_only_are_kept_from_others() {
    let (origin, edge) = fickle(|_| {}).await;
    let named = |s: &mut Script| {
        s.headers.push(("x-own", "mine".to_owned()));
        s.headers.push(("x-all", "ours".to_owned()));
        s.delay = Duration::from_millis(100);
    };
    origin.set("/a", Script::ok("body", "max-age=60, private=\"x-own\"").with(named));
    let address = edge.address;
    let herd: Vec<_> = (0..5).map(|_| tokio::spawn(async move { get(address, "a.test", "/a").await })).collect();
    let mut shown = 0;
    for viewer in herd {
        let reply = viewer.await.unwrap();
        assert_eq!((reply.header("x-all"), reply.text()), (Some("ours"), "body"));
        shown += usize::from(reply.header("x-own").is_some());
    }
    assert_eq!((origin.count(), shown), (1, 1), "the viewer for whom it was fetched gets them");
    let hit = get(edge.address, "a.test", "/a").await;
    assert_eq!((word(&hit), hit.header("x-own")), ("Hit from cloudfront", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_again_is_shared_by_those_who_wait_and_not_stored() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let origin = RawOrigin::start(move |_, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(150));
        (b"HTTP/1.1 200 X\r\ncache-control: max-age=0\r\ncontent-length: 1\r\n\r\nx".to_vec(), Then::Keep)
    })
    .await;
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    site.origins[0].origin = quick(origin.address);
    let edge = start(vec![site], |_| {});
    let address = edge.address;
    let herd: Vec<_> = (0..30).map(|_| tokio::spawn(async move { get(address, "a.test", "/a").await })).collect();
    for viewer in herd {
        let reply = viewer.await.unwrap();
        assert!(reply.text() == "x" && !reply.header("cache-status").unwrap().contains("stored"));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let later = get(edge.address, "a.test", "/a").await;
    assert_eq!(later.header("cache-status"), Some("anabranch; fwd=miss"));
}

#[tokio::test]
async fn a_body_for_one_viewer_waits_for_that_viewer() {
    let (origin, edge) = fickle(|_| {}).await;
    let body: Vec<u8> = (0..30_000_000_u32).map(|n| (n % 247) as u8).collect();
    origin.set("/a", Script::ok(body.clone(), "private"));
    assert!(get(edge.address, "a.test", "/a").await.body == body);
}
