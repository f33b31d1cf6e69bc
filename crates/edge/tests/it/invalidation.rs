//! Orders to forget, as they come by snapshots.

use std::path::Path;
use std::sync::Arc;

use anabranch_edge::DiskConfig;
use anabranch_model::{DistributionSpec, InvalidationLog, InvalidationSpec, Report, Selection};
use tokio::sync::Notify;

use crate::raw_origin::{RawOrigin, Then};
use crate::support::{Script, TestEdge, TestOrigin, Viewer, ask, distribution, get, http_origin, start, until};

fn order(sequence: u64, paths: &[&str], tags: &[&str]) -> InvalidationSpec {
    let list = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    InvalidationSpec { sequence, paths: list(paths), tags: list(tags) }
}

/// Puts orders in force and waits until the edge says so.
async fn put(edge: &mut TestEdge, floor: u64, entries: Vec<InvalidationSpec>) {
    let mut version = 0;
    edge.snapshots.send_modify(|snapshot| {
        let mut next = (**snapshot).clone();
        next.version += 1;
        version = next.version;
        next.distributions[0].invalidations = InvalidationLog { floor, entries };
        *snapshot = next.into();
    });
    while let Some(report) = edge.reports.recv().await {
        if matches!(report, Report::Applied { version: applied, .. } if applied == version) {
            return;
        }
    }
    panic!("it is never applied");
}

async fn started(change: impl FnOnce(&mut DistributionSpec)) -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.cache.default_ttl_seconds = 600;
    change(&mut site);
    let edge = start(vec![site], |_| {});
    (origin, edge)
}

async fn is_hit(edge: &TestEdge, target: &str) -> bool {
    get(edge.address, "a.test", target).await.header("x-cache").unwrap().starts_with("Hit")
}

#[tokio::test]
async fn orders_by_path_query_and_tag_hold_at_once() {
    let (origin, mut edge) =
        started(|site| site.default_behavior.cache.query = Selection::Except(vec!["u".to_owned()])).await;
    let tagged = |name, value: &str| {
        let value = value.to_owned();
        Script::ok("x", "max-age=600").with(|s| s.headers.push((name, value)))
    };
    let targets = ["/a", "/a?q=1", "/a?q=2", "/dir/x", "/dir/y/z", "/dirx", "/t1", "/t2", "/t3"];
    for target in targets {
        origin.set(target, Script::ok("x", "max-age=600"));
    }
    origin.set("/t1", tagged("cache-tag", "red, green thing"));
    origin.set("/t2", tagged("surrogate-key", "blue red"));
    origin.set("/t3", tagged("cache-tag", "Red"));
    for target in targets {
        let reply = get(edge.address, "a.test", target).await;
        assert!(reply.header("cache-tag").is_none() && reply.header("surrogate-key").is_none(), "{}", reply.head);
        assert!(is_hit(&edge, target).await);
    }
    for (sequence, paths, tags, gone) in [
        (1, &["/a"][..], &[][..], &["/a", "/a?q=1", "/a?q=2"][..]),
        (2, &["/a?q=1&u=7"], &[], &["/a?q=1"]),
        (3, &["/dir/*"], &[], &["/dir/x", "/dir/y/z"]),
        (4, &["/dir*", "/none"], &[], &["/dir/x", "/dir/y/z", "/dirx"]),
        (5, &[], &["red"], &["/t1", "/t2"]),
        (6, &[], &["green thing"], &["/t1"]),
        (7, &["/*"], &[], &targets),
    ] {
        put(&mut edge, 0, vec![order(sequence, paths, tags)]).await;
        for target in targets {
            assert_eq!(is_hit(&edge, target).await, !gone.contains(&target), "{sequence} {target}");
            assert!(is_hit(&edge, target).await, "{sequence} {target}");
        }
    }
    put(&mut edge, 9, vec![]).await;
    for target in targets {
        assert!(!is_hit(&edge, target).await, "{target} is below the floor");
    }
}

#[tokio::test]
async fn an_order_with_a_query_covers_what_has_none_in_its_key() {
    let (origin, mut edge) = started(|_| {}).await;
    origin.set("/a", Script::ok("x", "max-age=600"));
    get(edge.address, "a.test", "/a?v=1").await;
    assert!(is_hit(&edge, "/a?v=2").await);
    put(&mut edge, 0, vec![order(1, &["/a?v=1"], &[])]).await;
    assert!(!is_hit(&edge, "/a?v=2").await);
}

#[tokio::test]
async fn what_is_on_its_way_during_an_order_is_not_served_afterwards() {
    let (origin, mut edge) = started(|_| {}).await;
    for (n, body) in ["/a", "/t"].into_iter().enumerate() {
        let gate = Arc::new(Notify::new());
        let old = Script::ok("old body", "max-age=600").with(|s| {
            s.gate = Some((3, gate.clone()));
            s.headers.push(("cache-tag", "t".to_owned()));
        });
        origin.set(body, old);
        let mut early = Viewer::connect(edge.address).await;
        early.send(&format!("GET {body} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        early.body_begins().await;
        origin.set(body, Script::ok("new body", "max-age=600"));
        let sequence = n as u64 + 1;
        put(&mut edge, 0, vec![if n == 0 { order(sequence, &["/a"], &[]) } else { order(sequence, &[], &["t"]) }])
            .await;
        assert_eq!(get(edge.address, "a.test", body).await.text(), "new body", "nobody joins it");
        gate.notify_one();
        assert_eq!(early.reply(false).await.unwrap().text(), "old body", "who came before gets it");
        for _ in 0..5 {
            assert_eq!(get(edge.address, "a.test", body).await.text(), "new body");
        }
    }
}

#[tokio::test]
async fn an_order_for_others_lets_a_flight_be_joined() {
    let (origin, mut edge) = started(|_| {}).await;
    let gate = Arc::new(Notify::new());
    origin.set("/a", Script::ok("body", "max-age=600").with(|s| s.gate = Some((3, gate.clone()))));
    let mut viewers = Vec::new();
    for sequence in 1..4 {
        let mut viewer = Viewer::connect(edge.address).await;
        viewer.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        viewer.body_begins().await;
        viewers.push(viewer);
        put(&mut edge, 0, vec![order(sequence, &["/b"], &[])]).await;
    }
    gate.notify_one();
    for mut viewer in viewers {
        assert_eq!(viewer.reply(false).await.unwrap().text(), "body");
    }
    assert!(is_hit(&edge, "/a").await);
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn an_order_covers_every_variant() {
    let (origin, mut edge) = started(|site| {
        site.default_behavior.origin_request.headers = Selection::All;
        site.default_behavior.cache.encodings.gzip = true;
    })
    .await;
    let vary = |s: &mut Script| s.headers.push(("vary", "accept-language".to_owned()));
    origin.set("/a", Script::ok("x", "max-age=600").with(vary));
    let kinds = ["", "Accept-Language: de\r\n", "Accept-Language: en\r\nAccept-Encoding: gzip\r\n"];
    for (round, path) in ["/a", "/*", "/none"].into_iter().enumerate() {
        for lines in kinds {
            ask(edge.address, "GET", "a.test", "/a", lines).await;
        }
        put(&mut edge, 0, vec![order(round as u64 + 1, &[path], &[])]).await;
        for lines in kinds {
            let reply = ask(edge.address, "GET", "a.test", "/a", lines).await;
            assert_eq!(reply.header("x-cache").unwrap().starts_with("Hit"), path == "/none", "{path} {lines}");
        }
    }
}

#[tokio::test]
async fn a_revalidated_object_keeps_its_tags_and_its_orders() {
    let (origin, mut edge) = started(|_| {}).await;
    let tagged = |s: &mut Script| {
        s.etag = Some("\"t\"");
        s.headers.push(("cache-tag", "red".to_owned()));
    };
    origin.set("/a", Script::ok("x", "max-age=60").with(tagged));
    get(edge.address, "a.test", "/a").await;
    origin.set("/a", Script::ok("x", "max-age=60").with(|s| s.etag = Some("\"t\"")));
    edge.clock.set_ms(crate::support::NOW_MS + 61_000);
    assert_eq!(get(edge.address, "a.test", "/a").await.header("x-cache"), Some("RefreshHit from cloudfront"));
    assert!(is_hit(&edge, "/a").await);
    put(&mut edge, 0, vec![order(1, &[], &["red"])]).await;
    let reply = get(edge.address, "a.test", "/a").await;
    assert_eq!(reply.header("x-cache"), Some("Miss from cloudfront"));
    assert!(!origin.heads().last().unwrap().contains("if-none-match"), "what is forgotten is not confirmed");
}

#[tokio::test]
async fn a_failing_origin_is_not_hammered_after_an_order_either() {
    let origin = RawOrigin::start(|_, _, _| (vec![], Then::Drop)).await;
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    site.origins[0].origin = http_origin(origin.address);
    site.invalidations = InvalidationLog { floor: 3, entries: vec![order(4, &["/*"], &[])] };
    let edge = start(vec![site], |_| {});
    for _ in 0..5 {
        assert_eq!(get(edge.address, "a.test", "/a").await.status, 502);
    }
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test]
async fn stale_objects_are_forgotten_too() {
    let (origin, mut edge) = started(|_| {}).await;
    origin.set("/a", Script::ok("old", "max-age=60, stale-while-revalidate=600, stale-if-error=600"));
    get(edge.address, "a.test", "/a").await;
    edge.clock.set_ms(crate::support::NOW_MS + 61_000);
    origin.set("/a", Script::ok("down", "no-store").with(|s| s.status = 503));
    put(&mut edge, 0, vec![order(1, &["/a"], &[])]).await;
    assert_eq!(get(edge.address, "a.test", "/a").await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_hold_for_what_is_on_disk() {
    let origin = TestOrigin::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut site = distribution("E1", "a.test", &origin);
    for (path, tag) in [("/a", "red"), ("/b", "blue"), ("/c", "red")] {
        let tagged =
            Script::ok(vec![b'x'; 100_000], "max-age=600").with(|s| s.headers.push(("cache-tag", tag.to_owned())));
        origin.set(path, tagged);
    }
    let on_disk = |dir: &Path| DiskConfig { reserve_bytes: 0, ..DiskConfig::new(dir.to_owned()) };
    let edge = start(vec![site.clone()], |config| config.disk = Some(on_disk(dir.path())));
    for path in ["/a", "/b", "/c"] {
        get(edge.address, "a.test", path).await;
    }
    until("three bodies and the lock", || std::fs::read_dir(dir.path()).unwrap().count() == 4).await;
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
    site.invalidations.entries = vec![order(1, &["/none"], &[]), order(2, &[], &["red"])];
    let edge = start(vec![site], |config| config.disk = Some(on_disk(dir.path())));
    for (path, hit) in [("/a", false), ("/b", true), ("/c", false)] {
        assert_eq!(is_hit(&edge, path).await, hit, "{path}");
    }
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_thousand_orders_are_looked_at_once_for_each_object() {
    let (origin, mut edge) = started(|_| {}).await;
    origin.set("/a", Script::ok("x", "max-age=600"));
    get(edge.address, "a.test", "/a").await;
    // Patterns that share all but their last letter with the path of nobody.
    let long = format!("/{}", "b".repeat(2000));
    let entries = (1..=1000).map(|n| order(n, &[&format!("{long}{n}")], &[&format!("tag-{n}")])).collect();
    put(&mut edge, 0, entries).await;
    let mut viewer = Viewer::connect(edge.address).await;
    let began = std::time::Instant::now();
    for _ in 0..500 {
        viewer.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(viewer.reply(false).await.unwrap().header("x-cache"), Some("Hit from cloudfront"));
    }
    assert!(began.elapsed().as_millis() < 5000, "{:?}", began.elapsed());
}
