//! Flights: herds, failing origins, bodies that break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_edge::OriginRoom;
use anabranch_model::Origin;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::support::{Script, TestOrigin, Viewer, ask, distribution, get, http_origin, start, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_is_one_fetch_and_gets_bytes_as_they_come() {
    let origin = TestOrigin::start().await;
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
    let gate = Arc::new(Notify::new());
    let begun = Arc::new(AtomicUsize::new(0));
    let cold = Script::ok(body.clone(), "max-age=60").with(|s| {
        s.delay = Duration::from_millis(100);
        s.gate = Some((100_000, gate.clone()));
    });
    origin.set("/cold", cold);
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let asked: Vec<_> = (0..200)
        .map(|_| {
            let (address, begun) = (edge.address, begun.clone());
            tokio::spawn(async move {
                let mut viewer = Viewer::connect(address).await;
                viewer.send("GET /cold HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
                viewer.body_begins().await;
                begun.fetch_add(1, Ordering::SeqCst);
                viewer.reply(false).await.unwrap()
            })
        })
        .collect();
    until("every viewer has bytes of a body that is not there yet", || begun.load(Ordering::SeqCst) == 200).await;
    gate.notify_one();
    let mut collapsed = 0;
    for asked in asked {
        let reply = asked.await.unwrap();
        assert!(reply.complete && reply.body == body);
        collapsed += usize::from(reply.header("cache-status").unwrap().contains("collapsed"));
    }
    assert_eq!((origin.count(), collapsed), (1, 199));
}

#[tokio::test]
async fn what_may_not_be_stored_is_not_shared_either() {
    let origin = TestOrigin::start().await;
    origin.set("/p", Script::ok("x", "private").with(|s| s.delay = Duration::from_millis(100)));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let asked: Vec<_> = (0..5).map(|_| tokio::spawn(get_owned(edge.address))).collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!(origin.count(), 5);
}

async fn get_owned(address: std::net::SocketAddr) -> u16 {
    get(address, "a.test", "/p").await.status
}

#[tokio::test]
async fn a_truncated_body_is_seen_and_not_stored() {
    let origin = TestOrigin::start().await;
    let cut = Script::ok(vec![b'x'; 50_000], "max-age=60").with(|s| s.cut_after = Some(20_000));
    origin.set("/sized", cut.clone());
    origin.set("/chunked", cut.clone().with(|s| s.chunked = true));
    origin.set(
        "/short",
        Script::ok("abc", "max-age=60").with(|s| {
            s.headers.push(("content-length", "9".to_owned()));
            s.cut_after = Some(3);
        }),
    );
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    for path in ["/sized", "/chunked", "/short"] {
        assert!(!get(edge.address, "a.test", path).await.complete, "{path}");
    }
    origin.set("/sized", Script::ok("whole", "max-age=60"));
    origin.set("/chunked", Script::ok("whole", "max-age=60").with(|s| s.chunked = true));
    for path in ["/sized", "/chunked"] {
        let again = get(edge.address, "a.test", path).await;
        assert_eq!((again.text(), again.header("x-cache")), ("whole", Some("Miss from cloudfront")), "{path}");
        assert_eq!(get(edge.address, "a.test", path).await.header("content-length"), Some("5"));
    }
}

#[tokio::test]
async fn dead_and_missing_origins_are_not_hammered() {
    let origin = TestOrigin::start().await;
    let mut dead = distribution("E1", "dead.test", &origin);
    // A port that nobody listens on: bound, then closed.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    dead.origins[0].origin = http_origin(closed);
    let edge = start(vec![dead, distribution("E2", "a.test", &origin)], |_| {});
    let refused = get(edge.address, "dead.test", "/x").await;
    assert_eq!((refused.status, refused.header("cache-control")), (502, Some("no-store")));
    assert_eq!(refused.header("x-cache"), Some("Error from cloudfront"));
    for _ in 0..3 {
        assert_eq!(get(edge.address, "a.test", "/none").await.status, 404);
    }
    assert_eq!(origin.count(), 1);
    edge.clock.set_ms(crate::support::NOW_MS + 1000);
    get(edge.address, "a.test", "/none").await;
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_viewer_that_leaves_does_not_stop_the_fetch() {
    let origin = TestOrigin::start().await;
    origin.set("/slow", Script::ok("slow", "max-age=60").with(|s| s.delay = Duration::from_millis(150)));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("the origin is asked", || origin.count() == 1).await;
    drop(viewer);
    assert_eq!(get(edge.address, "a.test", "/slow").await.text(), "slow");
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_slow_viewer_blocks_nobody() {
    let origin = TestOrigin::start().await;
    origin.set("/big", Script::ok(vec![b'x'; 20 << 20], "max-age=60"));
    origin.set("/small", Script::ok("small", "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| config.workers = 1);
    let mut slow = Viewer::connect(edge.address).await;
    slow.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    slow.stream.readable().await.unwrap();
    for _ in 0..20 {
        assert_eq!(get(edge.address, "a.test", "/small").await.text(), "small");
    }
    assert_eq!(get(edge.address, "a.test", "/big").await.body.len(), 20 << 20);
    let mut taken = vec![0; 1 << 20];
    slow.stream.read_exact(&mut taken).await.unwrap();
    assert!(taken.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn origin_connections_are_used_again() {
    let origin = TestOrigin::start().await;
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| config.workers = 1);
    for n in 0..3 {
        let path = format!("/{n}");
        origin.set(&path, Script::ok("x", "max-age=60").with(|s| s.chunked = n == 1));
        assert_eq!(get(edge.address, "a.test", &path).await.text(), "x");
    }
    // Closed by the origin while idle: the next fetch finds out and opens another.
    origin.set("/bye", Script::ok("x", "max-age=60").with(|s| s.cut_after = Some(1)));
    assert_eq!(get(edge.address, "a.test", "/bye").await.text(), "x");
    assert_eq!(get(edge.address, "a.test", "/none").await.status, 404);
}

#[tokio::test]
async fn the_origin_room_is_asked_by_channel_and_token() {
    let origin = TestOrigin::start().await;
    origin.set("/live/c1/b1/index.m3u8", Script::ok("#EXTM3U", "max-age=1"));
    let mut site = distribution("E1", "a.test", &origin);
    site.origins[0].origin = Origin::Live { channel: "c1".parse().unwrap() };
    let room = OriginRoom { authority: origin.address.to_string(), token: "secret".to_owned() };
    let edge = start(vec![site], |config| config.origin_room = Some(room));
    let reply =
        ask(edge.address, "GET", "127.0.0.1:8888", "/d/E1/b1/index.m3u8?a=b", "Cookie: x=y\r\nX-Viewer: 1\r\n").await;
    assert_eq!(reply.text(), "#EXTM3U");
    let head = &origin.heads()[0];
    assert!(head.starts_with("GET /live/c1/b1/index.m3u8 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-anabranch-origin-token: secret\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("x-viewer") && !head.contains("ookie"), "{head}");
}

#[tokio::test]
async fn bodies_past_the_limit_are_refused() {
    let origin = TestOrigin::start().await;
    origin.set("/sized", Script::ok(vec![b'x'; 5000], "max-age=60"));
    origin.set("/chunked", Script::ok(vec![b'x'; 5000], "max-age=60").with(|s| s.chunked = true));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| config.max_object_bytes = 1000);
    assert_eq!(get(edge.address, "a.test", "/sized").await.status, 502);
    // The limit may be met before or after the head has gone out.
    let chunked = get(edge.address, "a.test", "/chunked").await;
    assert!(!chunked.complete || chunked.status == 502);
}
