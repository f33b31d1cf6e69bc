//! Answers that vary, and codings that the edge makes.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_edge::DiskConfig;
use anabranch_model::{DistributionSpec, Selection};

use crate::raw_origin::{RawOrigin, Then};
use crate::support::{NOW_MS, Reply, Script, TestEdge, TestOrigin, ask, distribution, get, http_origin, start, until};

/// The value of a field of a request as the origin saw it.
fn field<'h>(head: &'h str, name: &str) -> &'h str {
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or("-")
}

fn answer(status: u16, lines: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{lines}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Says in which language it was asked.
async fn polyglot() -> RawOrigin {
    RawOrigin::start(|_, _, head| {
        let language = field(head, "accept-language").to_owned();
        (answer(200, "cache-control: max-age=60\r\nvary: Accept-Language\r\n", &language), Then::Keep)
    })
    .await
}

async fn site(origin: &RawOrigin, headers: Selection) -> DistributionSpec {
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    site.origins[0].origin = http_origin(origin.address);
    site.default_behavior.origin_request.headers = headers;
    site
}

async fn language(edge: &TestEdge, path: &str, language: &str) -> Reply {
    ask(edge.address, "GET", "a.test", path, &format!("Accept-Language: {language}\r\n")).await
}

fn is_hit(reply: &Reply) -> bool {
    reply.header("x-cache").unwrap().starts_with("Hit")
}

#[tokio::test]
async fn variants_are_kept_apart() {
    let origin = polyglot().await;
    let edge = start(vec![site(&origin, Selection::All).await], |_| {});
    for round in 0..2 {
        for one in ["de", "en", "de, en;q=0.5", "fr"] {
            let reply = language(&edge, "/a", one).await;
            assert_eq!((reply.text(), is_hit(&reply)), (one, round > 0));
        }
    }
    assert_eq!(
        language(&edge, "/a", "it").await.header("cache-status"),
        Some("anabranch; fwd=vary-miss; stored; ttl=60")
    );
    assert_eq!(origin.heads().len(), 5);
}

#[tokio::test]
async fn what_is_not_told_cannot_choose() {
    let origin = polyglot().await;
    let edge = start(vec![site(&origin, Selection::None).await], |_| {});
    for one in ["de", "en", "fr"] {
        assert_eq!(language(&edge, "/a", one).await.text(), "-");
    }
    assert_eq!(origin.heads().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_many_variants_is_one_fetch_for_each() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let origin = RawOrigin::start(move |_, _, head| {
        count.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(150));
        let language = field(head, "accept-language").to_owned();
        (answer(200, "cache-control: max-age=60\r\nvary: accept-language\r\n", &language), Then::Keep)
    })
    .await;
    let edge = start(vec![site(&origin, Selection::All).await], |_| {});
    let address = edge.address;
    let herd = (0..90).map(|n| {
        let language = ["de", "en", "fr"][n % 3];
        let asked = async move {
            (language, ask(address, "GET", "a.test", "/a", &format!("Accept-Language: {language}\r\n")).await)
        };
        tokio::spawn(asked)
    });
    for viewer in herd.collect::<Vec<_>>() {
        let (language, reply) = viewer.await.unwrap();
        assert_eq!(reply.text(), language);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    for one in ["de", "en", "fr"] {
        assert!(is_hit(&language(&edge, "/a", one).await));
    }
}

#[tokio::test]
async fn a_vary_that_changes_is_followed() {
    let stage = Arc::new(AtomicUsize::new(0));
    let now = stage.clone();
    let origin = RawOrigin::start(move |_, _, head| {
        let said = format!("{} {}", field(head, "accept-language"), field(head, "x-b"));
        let vary = ["vary: accept-language\r\n", "vary: accept-language, x-b\r\n", ""][now.load(Ordering::SeqCst)];
        (answer(200, &format!("cache-control: max-age=60\r\n{vary}"), &said), Then::Keep)
    })
    .await;
    let edge = start(vec![site(&origin, Selection::All).await], |_| {});
    let asked = async |one: &str, two: &str| {
        let lines = format!("Accept-Language: {one}\r\nX-B: {two}\r\n");
        let reply = ask(edge.address, "GET", "a.test", "/a", &lines).await;
        (reply.text().to_owned(), is_hit(&reply))
    };
    assert_eq!(asked("de", "1").await, ("de 1".to_owned(), false));
    assert_eq!(asked("de", "2").await, ("de 1".to_owned(), true));
    stage.store(1, Ordering::SeqCst);
    assert_eq!(asked("en", "1").await, ("en 1".to_owned(), false));
    assert_eq!(asked("en", "2").await, ("en 2".to_owned(), false));
    assert_eq!(asked("de", "2").await, ("de 2".to_owned(), false), "what was kept by the former list is not found");
    assert_eq!(asked("en", "1").await, ("en 1".to_owned(), true));
    stage.store(2, Ordering::SeqCst);
    assert_eq!(asked("fr", "1").await, ("fr 1".to_owned(), false));
    assert_eq!(asked("en", "1").await, ("fr 1".to_owned(), true));
    stage.store(0, Ordering::SeqCst);
    edge.clock.set_ms(NOW_MS + 61_000);
    assert_eq!(asked("de", "1").await, ("de 1".to_owned(), false));
    assert_eq!(asked("en", "1").await, ("en 1".to_owned(), false));
}

#[tokio::test]
async fn trouble_with_one_variant_is_not_trouble_with_all() {
    let origin = RawOrigin::start(|_, _, head| {
        let vary = "cache-control: max-age=60\r\nvary: accept-language\r\n";
        match field(head, "accept-language") {
            "bad" => (answer(500, "", "broken"), Then::Keep),
            "none" => (answer(404, "cache-control: max-age=60\r\n", "none"), Then::Keep),
            "own" => (answer(200, "cache-control: private\r\n", "own"), Then::Keep),
            "dead" => (vec![], Then::Drop),
            language => (answer(200, vary, language), Then::Keep),
        }
    })
    .await;
    let edge = start(vec![site(&origin, Selection::All).await], |_| {});
    language(&edge, "/a", "de").await;
    for (one, status) in [("bad", 500), ("none", 404), ("own", 200), ("dead", 502)] {
        assert_eq!(language(&edge, "/a", one).await.status, status, "{one}");
        assert!(is_hit(&language(&edge, "/a", "de").await), "after {one}");
        assert_eq!(language(&edge, "/a", one).await.status, status, "{one}");
    }
    let asked = origin.heads().iter().filter(|head| head.contains("accept-language: bad")).count();
    assert_eq!(asked, 1, "an error is kept for a moment");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variants_survive_a_restart() {
    let origin = RawOrigin::start(|_, _, head| {
        let body = field(head, "accept-language").repeat(40_000);
        (answer(200, "cache-control: max-age=600\r\nvary: accept-language\r\n", &body), Then::Keep)
    })
    .await;
    let site = site(&origin, Selection::All).await;
    let dir = tempfile::tempdir().unwrap();
    let disk = || DiskConfig { reserve_bytes: 0, ..DiskConfig::new(dir.path().to_owned()) };
    for round in 0..2 {
        let edge = start(vec![site.clone()], |config| config.disk = Some(disk()));
        for one in ["de", "e", "f"] {
            let reply = language(&edge, "/a", one).await;
            assert!(reply.body == one.repeat(40_000).as_bytes(), "{one}");
            assert_eq!(is_hit(&reply), round > 0, "{one} in round {round}");
        }
        let objects = || std::fs::read_dir(dir.path()).unwrap().count();
        until("marker, variants and lock are there", || objects() == 5).await;
        edge.shutdown.cancel();
        edge.running.await.unwrap().unwrap();
    }
    assert_eq!(origin.heads().len(), 3);
}

fn text() -> String {
    "Words that come again and again. ".repeat(200)
}

/// An edge that compresses; answers 304 to what names the origin's tag.
async fn compressing(change: impl FnOnce(&mut DistributionSpec)) -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    let rule = &mut site.default_behavior;
    (rule.cache.encodings.gzip, rule.cache.encodings.brotli, rule.cache.encodings.zstd) = (true, true, true);
    rule.compress = true;
    change(&mut site);
    (origin, start(vec![site], |_| {}))
}

async fn coded(edge: &TestEdge, path: &str, accept: &str) -> Reply {
    ask(edge.address, "GET", "a.test", path, &format!("Accept-Encoding: {accept}\r\n")).await
}

/// Asks until the compressed object is whole in the cache.
async fn settled(edge: &TestEdge, path: &str, accept: &str) -> Reply {
    for _ in 0..500 {
        let reply = coded(edge, path, accept).await;
        if reply.header("content-encoding").is_some() && reply.header("content-length").is_some() {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it is never compressed: {path}");
}

fn plain(reply: &Reply) -> Vec<u8> {
    use std::io::Read as _;
    let mut out = Vec::new();
    match reply.header("content-encoding").unwrap() {
        "br" => brotli::BrotliDecompress(&mut reply.body.as_slice(), &mut out).unwrap(),
        "gzip" => drop(flate2::read::GzDecoder::new(reply.body.as_slice()).read_to_end(&mut out).unwrap()),
        "zstd" => out = zstd::bulk::decompress(&reply.body, 1 << 20).unwrap(),
        other => panic!("{other}"),
    }
    out
}

#[tokio::test]
async fn what_lasts_is_compressed_once() {
    let (origin, edge) = compressing(|_| {}).await;
    let tagged = |s: &mut Script| s.etag = Some("\"t\"");
    origin.set("/a", Script::ok(text(), "max-age=60").with(tagged));
    for (accept, coding) in [("gzip", "gzip"), ("br, gzip", "br"), ("zstd, gzip", "zstd"), ("zstd, br", "br")] {
        let first = coded(&edge, "/a", accept).await;
        assert_eq!((first.header("content-encoding"), first.header("vary")), (Some(coding), Some("Accept-Encoding")));
        assert_eq!((first.header("etag"), first.header("x-cache")), (Some("W/\"t\""), Some("Miss from cloudfront")));
        assert!(first.complete && plain(&first) == text().as_bytes());
        let second = settled(&edge, "/a", accept).await;
        assert_eq!((second.header("content-encoding"), second.header("etag")), (Some(coding), Some("W/\"t\"")));
        assert_eq!(second.header("vary"), Some("Accept-Encoding"));
        assert_eq!(second.header("content-length"), Some(second.body.len().to_string().as_str()));
        assert!(second.body.len() < 1000 && second.body == first.body);
        let known = format!("Accept-Encoding: {accept}\r\nIf-None-Match: \"t\"\r\n");
        let known = ask(edge.address, "GET", "a.test", "/a", &known).await;
        assert_eq!((known.status, known.header("vary")), (304, Some("Accept-Encoding")));
        let part = format!("Accept-Encoding: {accept}\r\nRange: bytes=1-4\r\n");
        let part = ask(edge.address, "GET", "a.test", "/a", &part).await;
        assert_eq!((part.status, &part.body[..]), (206, &second.body[1..5]));
        assert_eq!(part.header("content-encoding"), Some(coding));
        let strict = format!("Accept-Encoding: {accept}\r\nRange: bytes=1-4\r\nIf-Range: W/\"t\"\r\n");
        assert_eq!(ask(edge.address, "GET", "a.test", "/a", &strict).await.status, 200, "a weak tag opens no range");
        let head = ask(edge.address, "HEAD", "a.test", "/a", &format!("Accept-Encoding: {accept}\r\n")).await;
        assert_eq!(head.header("content-length"), second.header("content-length"));
    }
    assert_eq!(origin.count(), 4);
    for _ in 0..2 {
        let bare = get(edge.address, "a.test", "/a").await;
        assert_eq!((bare.text(), bare.header("vary")), (text().as_str(), Some("Accept-Encoding")));
    }
}

#[tokio::test]
async fn what_comes_slowly_or_without_a_length_is_compressed_meanwhile() {
    let (origin, edge) = compressing(|_| {}).await;
    let long = text().repeat(50);
    origin.set("/chunked", Script::ok(long.clone(), "max-age=60").with(|s| s.chunked = true));
    origin.set("/large", Script::ok(long.clone(), "max-age=60"));
    origin.set("/cut", Script::ok(long.clone(), "max-age=60").with(|s| s.cut_after = Some(100_000)));
    origin.set("/cut-early", Script::ok(long.clone(), "max-age=60").with(|s| s.cut_after = Some(500)));
    for path in ["/chunked", "/large"] {
        for accept in ["gzip", "br", "zstd"] {
            let first = coded(&edge, path, accept).await;
            assert!(first.complete && plain(&first) == long.as_bytes(), "{path} by {accept}");
            assert_eq!(settled(&edge, path, accept).await.body, first.body);
        }
    }
    let cut = coded(&edge, "/cut", "gzip").await;
    assert!(cut.status == 502 || !cut.complete, "who sees any of it sees that it is cut off");
    assert_eq!(coded(&edge, "/cut-early", "gzip").await.status, 502);
}

#[tokio::test]
async fn a_compressed_object_is_confirmed_as_the_origins() {
    let (origin, edge) = compressing(|_| {}).await;
    origin.set("/a", Script::ok(text(), "max-age=60").with(|s| s.etag = Some("W/\"t\"")));
    coded(&edge, "/a", "gzip").await;
    settled(&edge, "/a", "gzip").await;
    for round in 1..4 {
        edge.clock.set_ms(NOW_MS + 61_000 * round);
        let reply = coded(&edge, "/a", "gzip").await;
        assert_eq!(reply.header("x-cache"), Some("RefreshHit from cloudfront"), "{}", reply.head);
        assert_eq!((reply.header("content-encoding"), reply.header("etag")), (Some("gzip"), Some("W/\"t\"")));
        assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        assert!(plain(&reply) == text().as_bytes());
        assert!(is_hit(&coded(&edge, "/a", "gzip").await));
    }
    assert_eq!(origin.count(), 4);
}

#[tokio::test]
async fn a_strong_tag_of_the_origin_stays_weak_after_a_304() {
    let confirm = Arc::new(AtomicBool::new(false));
    let now = confirm.clone();
    let origin = RawOrigin::start(move |_, _, _| {
        let lines = "cache-control: max-age=60\r\netag: \"t\"\r\nvary: x-other\r\ncontent-type: text/css\r\n";
        let answer = if now.load(Ordering::SeqCst) {
            format!("HTTP/1.1 304 X\r\n{lines}\r\n").into_bytes()
        } else {
            answer(200, lines, &text())
        };
        (answer, Then::Keep)
    })
    .await;
    let mut site = site(&origin, Selection::None).await;
    (site.default_behavior.compress, site.default_behavior.cache.encodings.gzip) = (true, true);
    let edge = start(vec![site], |_| {});
    coded(&edge, "/a", "gzip").await;
    settled(&edge, "/a", "gzip").await;
    confirm.store(true, Ordering::SeqCst);
    edge.clock.set_ms(NOW_MS + 61_000);
    let reply = coded(&edge, "/a", "gzip").await;
    assert_eq!((reply.header("content-encoding"), reply.header("etag")), (Some("gzip"), Some("W/\"t\"")));
    assert!(reply.head.contains("vary: Accept-Encoding\r\n"), "{}", reply.head);
    assert!(plain(&reply) == text().as_bytes());
}

#[tokio::test]
async fn what_may_not_or_need_not_be_is_not_compressed() {
    let (origin, edge) = compressing(|_| {}).await;
    let header = |name: &'static str, value: &str| {
        let value = value.to_owned();
        move |s: &mut Script| s.headers.push((name, value))
    };
    origin.set("/coded", Script::ok(text(), "max-age=60").with(header("content-encoding", "gzip")));
    origin.set("/plain", Script::ok(text(), "max-age=60, No-Transform"));
    origin.set("/small", Script::ok("few", "max-age=60"));
    origin.set("/video", Script::ok(text(), "max-age=60").with(|s| s.headers[1].1 = "video/mp4".to_owned()));
    origin.set("/error", Script::ok(text(), "max-age=60").with(|s| s.status = 404));
    let noise: Vec<u8> = (0..2000_u64).map(|n| (RandomState::new().hash_one(n) >> 24) as u8).collect();
    origin.set("/noise", Script::ok(noise, "max-age=60"));
    origin.set("/brief", Script::ok(text(), "no-store"));
    for path in ["/coded", "/plain", "/small", "/video", "/error", "/noise", "/brief"] {
        let first = coded(&edge, path, "gzip").await;
        assert_eq!(first.header("vary"), (path == "/noise").then_some("Accept-Encoding"), "{path}");
        for _ in 0..10 {
            let again = coded(&edge, path, "gzip").await;
            assert_eq!(again.header("content-encoding"), (path == "/coded").then_some("gzip"), "{path}");
            assert!(again.body == first.body, "{path}");
        }
    }
}
