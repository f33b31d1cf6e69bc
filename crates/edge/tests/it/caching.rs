//! Freshness, validation, ranges, limits.

use std::time::Duration;

use crate::support::{NOW_MS, Script, TestOrigin, ask, behavior, distribution, get, start};

#[tokio::test]
async fn a_hit_is_the_same_bytes_and_costs_no_fetch() {
    let origin = TestOrigin::start().await;
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    origin.set("/a", Script::ok(body.clone(), "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let miss = get(edge.address, "a.test", "/a").await;
    assert_eq!((miss.status, miss.header("x-cache")), (200, Some("Miss from cloudfront")));
    assert_eq!(miss.header("cache-status"), Some("anabranch; fwd=miss; stored; ttl=60"));
    assert_eq!(miss.body, body);
    edge.clock.set_ms(NOW_MS + 5_500);
    let hit = get(edge.address, "A.Test:99", "/a?x=1").await;
    assert_eq!((hit.header("x-cache"), hit.header("age")), (Some("Hit from cloudfront"), Some("5")));
    assert_eq!(hit.header("cache-status"), Some("anabranch; hit; ttl=55"));
    assert_eq!(hit.header("content-length"), Some("200000"));
    assert_eq!(hit.header("via"), Some("1.1 anabranch"));
    assert!(hit.header("date").is_some());
    assert_eq!(hit.body, body);
    let head = ask(edge.address, "HEAD", "a.test", "/a", "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("200000"), 0));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn ranges_and_conditions_are_answered_from_the_cache() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("0123456789", "max-age=60").with(|s| s.etag = Some("\"v1\"")));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let ranged = |lines: &'static str| ask(edge.address, "GET", "a.test", "/a", lines);
    let part = ranged("Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    assert_eq!(part.header("content-length"), Some("3"));
    let tail = ranged("Range: bytes=-3\r\nIf-Range: \"v1\"\r\n").await;
    assert_eq!((tail.status, tail.text()), (206, "789"));
    assert_eq!(ranged("Range: bytes=-3\r\nIf-Range: \"v0\"\r\n").await.text(), "0123456789");
    assert_eq!(ranged("Range: bytes=0-1,3-4\r\n").await.status, 200);
    let beyond = ranged("Range: bytes=10-\r\n").await;
    assert_eq!((beyond.status, beyond.header("content-range"), beyond.body.len()), (416, Some("bytes */10"), 0));
    let known = ranged("If-None-Match: \"x\", W/\"v1\"\r\n").await;
    assert_eq!((known.status, known.header("etag"), known.header("content-length")), (304, Some("\"v1\""), None));
    assert_eq!(ranged("If-None-Match: \"x\"\r\n").await.status, 200);
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn an_expired_object_is_fetched_once_more_or_confirmed() {
    let origin = TestOrigin::start().await;
    origin.set("/plain", Script::ok("one", "max-age=1"));
    origin.set("/tagged", Script::ok("tagged", "max-age=1").with(|s| s.etag = Some("\"t\"")));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    assert_eq!(get(edge.address, "a.test", "/plain").await.text(), "one");
    assert_eq!(get(edge.address, "a.test", "/tagged").await.text(), "tagged");
    origin.set("/plain", Script::ok("two", "max-age=1"));
    edge.clock.set_ms(NOW_MS + 999);
    assert_eq!(get(edge.address, "a.test", "/plain").await.text(), "one");
    edge.clock.set_ms(NOW_MS + 1000);
    let fetched = get(edge.address, "a.test", "/plain").await;
    assert_eq!((fetched.text(), fetched.header("cache-status")), ("two", Some("anabranch; fwd=stale; stored; ttl=1")));
    let confirmed = get(edge.address, "a.test", "/tagged").await;
    assert_eq!((confirmed.text(), confirmed.header("x-cache")), ("tagged", Some("RefreshHit from cloudfront")));
    assert_eq!(get(edge.address, "a.test", "/tagged").await.header("x-cache"), Some("Hit from cloudfront"));
    assert_eq!(origin.count(), 4);
}

#[tokio::test]
async fn no_store_and_private_are_not_kept() {
    let origin = TestOrigin::start().await;
    for (path, control) in [("/n", "no-store"), ("/p", "private, max-age=60"), ("/c", "no-cache")] {
        origin.set(path, Script::ok("x", control));
    }
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    for path in ["/n", "/p", "/c", "/n", "/p", "/c"] {
        assert_ne!(get(edge.address, "a.test", path).await.header("x-cache"), Some("Hit from cloudfront"), "{path}");
    }
    assert_eq!(origin.count(), 6);
}

#[tokio::test]
async fn ttl_bounds_of_the_behavior_count() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("x", "max-age=1000"));
    origin.set("/b", Script::ok("x", "").with(|s| s.headers.clear()));
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.cache.max_ttl_seconds = 10;
    site.default_behavior.cache.default_ttl_seconds = 5;
    let edge = start(vec![site], |_| {});
    assert_eq!(
        get(edge.address, "a.test", "/a").await.header("cache-status"),
        Some("anabranch; fwd=miss; stored; ttl=10")
    );
    assert_eq!(
        get(edge.address, "a.test", "/b").await.header("cache-status"),
        Some("anabranch; fwd=miss; stored; ttl=5")
    );
}

#[tokio::test]
async fn stale_is_served_where_the_origin_allows_it() {
    let origin = TestOrigin::start().await;
    origin.set("/e", Script::ok("good", "max-age=1, stale-if-error=30"));
    origin.set("/r", Script::ok("good", "max-age=1, stale-while-revalidate=30"));
    origin.set("/s", Script::ok("good", "max-age=1, must-revalidate"));
    origin.set("/d", Script::ok("good", "max-age=1"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    for path in ["/e", "/r", "/s", "/d"] {
        get(edge.address, "a.test", path).await;
        origin.set(path, Script::ok("down", "no-store").with(|s| s.status = 503));
    }
    origin.set("/r", Script::ok("newer", "max-age=100"));
    edge.clock.set_ms(NOW_MS + 5000);
    assert_eq!(get(edge.address, "a.test", "/e").await.text(), "good");
    assert_eq!(get(edge.address, "a.test", "/e").await.text(), "good");
    assert_eq!(get(edge.address, "a.test", "/s").await.status, 503);
    assert_eq!(get(edge.address, "a.test", "/s").await.status, 503);
    assert_eq!(get(edge.address, "a.test", "/d").await.text(), "good", "stale by default, as CloudFront does");
    assert_eq!(origin.count(), 4 + 3, "a failing origin is asked once a second");
    assert_eq!(get(edge.address, "a.test", "/r").await.text(), "good");
    let mut refreshed = false;
    for _ in 0..500 {
        refreshed |= get(edge.address, "a.test", "/r").await.text() == "newer";
        if refreshed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refreshed);
    edge.clock.set_ms(NOW_MS + 40_000);
    assert_eq!(get(edge.address, "a.test", "/e").await.status, 503);
}

#[tokio::test]
async fn the_cache_keeps_within_its_bytes() {
    let origin = TestOrigin::start().await;
    for n in 0..40 {
        origin.set(&format!("/{n}"), Script::ok(vec![b'x'; 100_000], "max-age=600"));
    }
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| config.cache_bytes = 1 << 20);
    for n in 0..40 {
        get(edge.address, "a.test", &format!("/{n}")).await;
    }
    let mut hits = 0;
    // The newest first: every miss of this round puts something older out.
    for n in (0..40).rev() {
        hits += usize::from(
            get(edge.address, "a.test", &format!("/{n}")).await.header("x-cache") == Some("Hit from cloudfront"),
        );
    }
    assert!((1..=10).contains(&hits), "{hits} of 100 kB in 1 MiB");
    origin.set("/huge", Script::ok(vec![b'x'; 3 << 20], "max-age=600"));
    for _ in 0..2 {
        assert_eq!(get(edge.address, "a.test", "/huge").await.body.len(), 3 << 20, "served without room for it");
    }
}

#[tokio::test]
async fn distributions_share_nothing() {
    let (one, two) = (TestOrigin::start().await, TestOrigin::start().await);
    one.set("/a", Script::ok("one", "max-age=60"));
    two.set("/a", Script::ok("two", "max-age=60"));
    let mut second = distribution("E2", "b.test", &two);
    second.behaviors.push(behavior("/x/*"));
    let edge = start(vec![distribution("E1", "a.test", &one), second], |_| {});
    for _ in 0..2 {
        assert_eq!(get(edge.address, "a.test", "/a").await.text(), "one");
        assert_eq!(get(edge.address, "b.test", "/a").await.text(), "two");
        assert_eq!(get(edge.address, "127.0.0.1", "/d/E2/a").await.text(), "two");
    }
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[tokio::test]
async fn a_clock_that_jumps_harms_nothing() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("one", "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "one");
    origin.set("/a", Script::ok("two", "max-age=60"));
    // A day back: what is stored is from the future, and no older than nothing.
    edge.clock.set_ms(NOW_MS - 86_400_000);
    let back = get(edge.address, "a.test", "/a").await;
    assert_eq!((back.text(), back.header("age")), ("one", Some("0")));
    edge.clock.set_ms(NOW_MS + 61_000);
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "two");
    edge.clock.set_ms(NOW_MS + 86_400_000);
    let forth = get(edge.address, "a.test", "/a").await;
    assert_eq!((forth.text(), forth.header("x-cache")), ("two", Some("Miss from cloudfront")));
    assert_eq!(origin.count(), 3);
}
