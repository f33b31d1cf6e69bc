//! Pages in place of errors.

use std::sync::Arc;

use anabranch_model::{ErrorPage, ErrorResponse, HeaderRule};
use tokio::sync::Notify;

use crate::support::{NOW_MS, Script, TestEdge, TestOrigin, ask, behavior, distribution, get, start};

fn response(status: u16, min_ttl_seconds: u64, page: Option<(u16, &str)>) -> ErrorResponse {
    let page = page.map(|(status, path)| ErrorPage { status, path: path.to_owned() });
    ErrorResponse { status, min_ttl_seconds, page }
}

async fn started() -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    site.error_responses = vec![
        response(404, 10, Some((200, "/pages/lost.html"))),
        response(403, 10, Some((404, "/pages/lost.html"))),
        response(500, 10, Some((500, "/pages/missing.html"))),
        response(502, 10, Some((502, "/pages/broken.html"))),
        response(503, 10, None),
    ];
    let mut pages = behavior("/pages/*");
    pages.response_headers.set = vec![HeaderRule { name: "x-page".into(), value: "1".into(), overrides: true }];
    site.behaviors.push(pages);
    site.default_behavior.allowed_methods = anabranch_model::AllowedMethods::All;
    origin.set("/pages/lost.html", Script::ok("lost and found", "max-age=600").with(|s| s.etag = Some("\"p\"")));
    for status in [403, 500, 502, 503] {
        origin.set(&format!("/{status}"), Script::ok("bare", "max-age=0").with(|s| s.status = status));
    }
    (origin, start(vec![site], |_| {}))
}

#[tokio::test]
async fn a_page_stands_in_for_an_error() {
    let (origin, edge) = started().await;
    for (target, status, word) in [
        ("/none", 200, "Miss from cloudfront"),
        ("/none", 200, "Hit from cloudfront"),
        ("/403", 404, "Error from cloudfront"),
        ("/403", 404, "Error from cloudfront"),
    ] {
        let reply = get(edge.address, "a.test", target).await;
        assert_eq!((reply.status, reply.text(), reply.header("x-cache")), (status, "lost and found", Some(word)));
        assert_eq!(reply.header("x-page"), Some("1"));
    }
    assert_eq!(origin.count(), 3, "page and errors are kept");
    let head = ask(edge.address, "HEAD", "a.test", "/403", "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (404, Some("14"), 0));
    let ranged = ask(edge.address, "GET", "a.test", "/none", "Range: bytes=0-1\r\nIf-None-Match: \"p\"\r\n").await;
    assert_eq!((ranged.status, ranged.text()), (200, "lost and found"), "conditions are about another thing");
    edge.clock.set_ms(NOW_MS + 10_000);
    get(edge.address, "a.test", "/403").await;
    assert_eq!(origin.count(), 4, "the error is asked for again, the page is still there");
}

#[tokio::test]
async fn without_its_page_an_error_is_itself() {
    let (origin, edge) = started().await;
    for (target, status) in [("/500", 500), ("/502", 502), ("/503", 503)] {
        for _ in 0..2 {
            let reply = get(edge.address, "a.test", target).await;
            assert_eq!((reply.status, reply.text()), (status, "bare"));
        }
    }
    let posted = ask(edge.address, "POST", "a.test", "/403", "Content-Length: 0\r\n").await;
    assert_eq!((posted.status, posted.text()), (403, "bare"));
    assert_eq!(origin.count(), 3 + 2 + 1, "three errors, two pages that are not there, one that is not asked for");
}

#[tokio::test]
async fn an_unreachable_origin_has_its_page_if_that_is_elsewhere() {
    let origin = TestOrigin::start().await;
    origin.set("/pages/sorry.html", Script::ok("sorry", "max-age=600"));
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut site = distribution("E1", "a.test", &origin);
    let mut dead = site.origins[0].clone();
    (dead.id, dead.origin) = ("dead".to_owned(), crate::support::http_origin(closed));
    site.origins.push(dead);
    site.behaviors.push(behavior("/pages/*"));
    site.default_behavior.origin = "dead".to_owned();
    site.error_responses = vec![response(502, 5, Some((503, "/pages/sorry.html")))];
    let edge = start(vec![site], |_| {});
    for _ in 0..2 {
        let reply = get(edge.address, "a.test", "/a").await;
        assert_eq!((reply.status, reply.text()), (503, "sorry"));
    }
}

#[tokio::test]
async fn the_time_that_a_page_takes_to_come_counts() {
    let (origin, edge) = started().await;
    let hold = Arc::new(Notify::new());
    origin.set("/pages/lost.html", Script::ok("late", "max-age=600").with(|s| s.hold = Some(hold.clone())));
    let address = edge.address;
    let reply = tokio::spawn(async move { get(address, "a.test", "/none").await });
    while origin.count() < 2 {
        tokio::task::yield_now().await;
    }
    edge.clock.set_ms(NOW_MS + 500);
    hold.notify_one();
    let reply = reply.await.unwrap();
    assert_eq!(reply.header("cache-status"), Some("anabranch; fwd=miss; stored; ttl=600"));
}
