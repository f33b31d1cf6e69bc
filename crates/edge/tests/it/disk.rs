//! The disk tier: what survives, what is served from it, what happens when it fails.

use std::path::Path;
use std::time::Duration;

use anabranch_edge::{Config, DiskConfig};

use crate::support::{Script, TestEdge, TestOrigin, ask, distribution, get, start, until};

const LARGE: usize = 3_000_000;

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| (n % 251) as u8).collect()
}

fn with_disk(dir: &Path) -> impl FnOnce(&mut Config) {
    let disk = DiskConfig { reserve_bytes: 0, ..DiskConfig::new(dir.to_owned()) };
    move |config| config.disk = Some(disk)
}

/// Ends an edge as SIGTERM does.
async fn stop(edge: TestEdge) {
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
}

fn objects(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().is_some_and(|name| name.ends_with(".object"))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_survives_a_restart_without_a_fetch() {
    let origin = TestOrigin::start().await;
    origin.set("/large", Script::ok(large(), "max-age=600"));
    origin.set("/unsized", Script::ok(large(), "max-age=600").with(|s| s.chunked = true));
    origin.set("/small", Script::ok("small", "max-age=600"));
    origin.set("/live", Script::ok("live", "max-age=1"));
    let dir = tempfile::tempdir().unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    for path in ["/large", "/unsized", "/small", "/live"] {
        assert_eq!(get(edge.address, "a.test", path).await.status, 200, "{path}");
    }
    until("three are on disk", || objects(dir.path()) == 3).await;
    stop(edge).await;
    assert_eq!(origin.count(), 4);
    for round in 0..2 {
        let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
        for path in ["/large", "/unsized"] {
            let reply = get(edge.address, "a.test", path).await;
            assert!(reply.header("x-cache").unwrap().starts_with("Hit"), "{}", reply.head);
            assert_eq!(reply.header("content-length"), Some("3000000"));
            assert!(reply.complete && reply.body == large(), "{path} in round {round}");
        }
        assert_eq!(get(edge.address, "a.test", "/small").await.text(), "small");
        let part = ask(edge.address, "GET", "a.test", "/large", "range: bytes=1000000-1999999\r\n").await;
        assert_eq!(part.status, 206);
        assert!(part.body == large()[1_000_000..2_000_000]);
        assert_eq!(ask(edge.address, "HEAD", "a.test", "/large", "").await.header("content-length"), Some("3000000"));
        stop(edge).await;
    }
    assert_eq!(origin.count(), 4, "nothing was fetched again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_after_a_restart_is_one_reading_and_no_fetch() {
    let origin = TestOrigin::start().await;
    origin.set("/large", Script::ok(large(), "max-age=600"));
    let dir = tempfile::tempdir().unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    get(edge.address, "a.test", "/large").await;
    until("it is on disk", || objects(dir.path()) == 1).await;
    stop(edge).await;
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    let address = edge.address;
    let herd: Vec<_> = (0..40).map(|_| tokio::spawn(async move { get(address, "a.test", "/large").await })).collect();
    for viewer in herd {
        assert!(viewer.await.unwrap().body == large());
    }
    assert_eq!(origin.count(), 1);
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_object_from_disk_is_confirmed_and_its_new_head_survives() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok(large(), "max-age=60").with(|s| s.etag = Some("\"1\"")));
    let dir = tempfile::tempdir().unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    get(edge.address, "a.test", "/a").await;
    until("it is on disk", || objects(dir.path()) == 1).await;
    stop(edge).await;
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    let later = crate::support::NOW_MS + 100_000;
    edge.clock.set_ms(later);
    let reply = get(edge.address, "a.test", "/a").await;
    assert!(reply.header("x-cache").unwrap().starts_with("RefreshHit"), "{}", reply.head);
    assert!(reply.body == large());
    stop(edge).await;
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    edge.clock.set_ms(later + 30_000);
    let reply = get(edge.address, "a.test", "/a").await;
    assert!(reply.header("x-cache").unwrap().starts_with("Hit"), "{}", reply.head);
    assert!(reply.body == large());
    assert_eq!(origin.count(), 2);
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_on_no_disk() {
    let origin = TestOrigin::start().await;
    origin.set("/cut", Script::ok(large(), "max-age=600").with(|s| s.cut_after = Some(1_500_000)));
    let dir = tempfile::tempdir().unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    assert!(!get(edge.address, "a.test", "/cut").await.complete);
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    until("only the lock is left", || names() == 1).await;
    origin.set("/cut", Script::ok(large(), "max-age=600"));
    assert!(get(edge.address, "a.test", "/cut").await.body == large());
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_degrades_to_memory() {
    let origin = TestOrigin::start().await;
    for path in ["/a", "/b", "/c"] {
        origin.set(path, Script::ok(large(), "max-age=600"));
    }
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(&cache));
    assert!(get(edge.address, "a.test", "/a").await.body == large());
    std::fs::remove_dir_all(&cache).unwrap();
    for _ in 0..2 {
        for path in ["/a", "/b", "/c"] {
            let reply = get(edge.address, "a.test", path).await;
            assert!(reply.status == 200 && reply.body == large(), "{path}");
        }
    }
    assert_eq!(origin.count(), 3, "memory keeps what the disk does not");
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_directory_that_cannot_be_made_keeps_no_edge_from_serving() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok(large(), "max-age=600"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(&file.join("cache")));
    for _ in 0..2 {
        assert!(get(edge.address, "a.test", "/a").await.body == large());
    }
    assert_eq!(origin.count(), 1, "memory keeps it");
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_viewer_gets_the_rest_of_a_body_that_is_replaced() {
    let origin = TestOrigin::start().await;
    let body: Vec<u8> = (0..40_000_000_u32).map(|n| (n % 249) as u8).collect();
    origin.set("/a", Script::ok(body.clone(), "max-age=60"));
    let dir = tempfile::tempdir().unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    get(edge.address, "a.test", "/a").await;
    let mut slow = crate::support::Viewer::connect(edge.address).await;
    slow.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    slow.body_begins().await;
    origin.set("/a", Script::ok("new", "no-store"));
    edge.clock.set_ms(crate::support::NOW_MS + 100_000);
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "new");
    until("the file is gone", || objects(dir.path()) == 0).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        let reply = slow.reply(false).await.unwrap();
        assert!(reply.complete && reply.body == body);
    })
    .await
    .unwrap();
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_is_forgotten() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok(large(), "max-age=600"));
    let dir = tempfile::tempdir().unwrap();
    let edge = start(vec![distribution("E1", "a.test", &origin)], with_disk(dir.path()));
    assert!(get(edge.address, "a.test", "/a").await.body == large());
    until("it is on disk", || objects(dir.path()) == 1).await;
    let file = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.to_str().unwrap().ends_with(".object")).unwrap();
    std::fs::File::options().write(true).open(file).unwrap().set_len(1_000_000).unwrap();
    let cut = get(edge.address, "a.test", "/a").await;
    assert!(!cut.complete && cut.body.len() < LARGE, "{}", cut.body.len());
    for _ in 0..2 {
        assert!(get(edge.address, "a.test", "/a").await.body == large());
    }
    assert_eq!(origin.count(), 2);
    stop(edge).await;
}
