//! Origins and their faults, as viewers see them.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anabranch_edge::{Edge, Error, OriginRoom};
use anabranch_model::{BucketOrigin, DistributionSpec, HttpOrigin, Origin, OriginProtocol, OriginSpec, OriginTimeouts};

use crate::raw_origin::{Authority, RawOrigin, Then, ok};
use crate::support::{TestOrigin, distribution, get, http_origin, start, until};

const QUICK: OriginTimeouts =
    OriginTimeouts { connect_seconds: 1, connect_attempts: 1, response_seconds: 1, keepalive_seconds: 5 };

/// A distribution of one origin at `address`.
async fn site(origin: &RawOrigin, change: impl FnOnce(&mut HttpOrigin)) -> DistributionSpec {
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    let Origin::Http(mut http) = http_origin(origin.address) else { unreachable!() };
    http.timeouts = QUICK;
    http.https_port = origin.address.port();
    change(&mut http);
    site.origins = vec![OriginSpec { id: "o".to_owned(), origin: Origin::Http(http), shield: None }];
    site
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn https_origins_need_a_certificate_that_is_believed() {
    let authority = Authority::new();
    let origin = RawOrigin::start_tls(authority.server("127.0.0.1"), 0, |_, _, _| (ok("secure"), Then::Keep)).await;
    let https = |http: &mut HttpOrigin| http.protocol = OriginProtocol::HttpsOnly;
    let (ours, other) = (file(&authority.pem()), file(&Authority::new().pem()));
    let believing = start(vec![site(&origin, https).await], |config| {
        (config.workers, config.origin_ca) = (1, Some(ours.path().to_owned()));
    });
    for path in ["/1", "/2"] {
        assert_eq!(get(believing.address, "a.test", path).await.text(), "secure");
    }
    assert_eq!(origin.connections(), 1, "the connection is used again");
    for file in [Some(other.path().to_owned()), None] {
        let doubting = start(vec![site(&origin, https).await], |config| config.origin_ca = file);
        let refused = get(doubting.address, "a.test", "/1").await;
        assert_eq!((refused.status, refused.text()), (502, "The origin cannot be reached.\n"));
    }
    assert_eq!(origin.heads().len(), 2);
}

#[tokio::test]
async fn an_edge_does_not_start_without_its_authorities() {
    let config = anabranch_edge::Config { origin_ca: Some("/nowhere/ca.pem".into()), ..Default::default() };
    let (_snapshots, snapshot) = tokio::sync::watch::channel(Arc::default());
    let (reports, _inbox) = tokio::sync::mpsc::channel(1);
    let clock = Arc::new(anabranch_net::ManualClock::new(0));
    let error = Edge::bind(config, snapshot, reports, clock).unwrap_err();
    assert!(matches!(error, Error::Trust(_)) && error.to_string().ends_with(": /nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn a_silent_origin_is_a_504() {
    let origin = RawOrigin::start(|_, _, _| (vec![], Then::Hang)).await;
    let edge = start(vec![site(&origin, |_| {}).await], |_| {});
    let began = Instant::now();
    let late = get(edge.address, "a.test", "/").await;
    assert_eq!((late.status, late.text()), (504, "The origin did not answer in time.\n"));
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn bodies_that_stall_or_break_off_are_cut_and_forgotten() {
    for then in [Then::Hang, Then::Drop] {
        let well = Arc::new(AtomicBool::new(false));
        let now = well.clone();
        let origin = RawOrigin::start(move |_, _, _| match now.load(Ordering::SeqCst) {
            true => (ok("whole"), Then::Keep),
            false => (b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 9\r\n\r\nabc".to_vec(), then),
        })
        .await;
        let edge = start(vec![site(&origin, |_| {}).await], |_| {});
        let cut = get(edge.address, "a.test", "/").await;
        assert!(cut.status == 200 && !cut.complete, "{then:?}: {cut:?}");
        well.store(true, Ordering::SeqCst);
        assert_eq!(get(edge.address, "a.test", "/").await.text(), "whole", "{then:?}");
        assert_eq!(get(edge.address, "a.test", "/").await.header("x-cache"), Some("Hit from cloudfront"));
    }
}

#[tokio::test]
async fn a_flapping_origin_is_asked_again() {
    // Each connection takes one request more than it answers.
    let origin = RawOrigin::start(|_, request, _| match request {
        0 => (ok("x"), Then::Keep),
        _ => (vec![], Then::Drop),
    })
    .await;
    let edge = start(vec![site(&origin, |_| {}).await], |config| config.workers = 1);
    for n in 0..5 {
        let reply = get(edge.address, "a.test", &format!("/{n}")).await;
        assert_eq!((reply.status, reply.text()), (200, "x"), "{n}");
    }
    assert_eq!((origin.connections(), origin.heads().len()), (5, 9));
}

#[tokio::test]
async fn ambiguous_answers_are_neither_passed_on_nor_kept() {
    let origin = RawOrigin::start(|_, _, head| {
        let framing = match head.split(' ').nth(1).unwrap() {
            "/both" => "content-length: 1\r\ntransfer-encoding: chunked",
            "/lengths" => "content-length: 1\r\ncontent-length: 5",
            _ => "transfer-encoding: gzip, chunked",
        };
        let text = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        (text.into_bytes(), Then::Keep)
    })
    .await;
    let edge = start(vec![site(&origin, |_| {}).await], |_| {});
    for path in ["/both", "/lengths", "/coding"] {
        let refused = get(edge.address, "a.test", path).await;
        assert_eq!((refused.status, refused.text()), (502, "The origin's answer cannot be used.\n"), "{path}");
    }
    until("such connections are closed", || origin.ended.load(Ordering::SeqCst) == 3).await;
}

#[tokio::test]
async fn old_and_chunked_origins_are_understood() {
    let origin = RawOrigin::start(|_, _, head| match head.split(' ').nth(1).unwrap() {
        "/old" => {
            (b"HTTP/1.0 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 3\r\n\r\nold".to_vec(), Then::Close)
        }
        "/endless" => (b"HTTP/1.0 200 OK\r\ncache-control: max-age=60\r\n\r\nto the end".to_vec(), Then::Close),
        _ => {
            let early = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
            let head =
                "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
            (format!("{early}{head}3\r\nchu\r\n4;a=b\r\nnked\r\n0\r\nx-sum: 1\r\n\r\n").into_bytes(), Then::Keep)
        }
    })
    .await;
    let edge = start(vec![site(&origin, |_| {}).await], |_| {});
    for (path, body) in [("/old", "old"), ("/endless", "to the end"), ("/chunked", "chunked")] {
        let reply = get(edge.address, "a.test", path).await;
        assert_eq!((reply.status, reply.text()), (200, body));
        assert!(reply.header("x-sum").is_none() && reply.header("trailer").is_none() && reply.header("link").is_none());
    }
    assert_eq!(get(edge.address, "a.test", "/chunked").await.header("content-length"), Some("7"));
}

#[tokio::test]
async fn buckets_are_read_through_the_origin_room() {
    let room = RawOrigin::plain("object").await;
    let mut site = site(&room, |_| {}).await;
    site.origins[0].origin = Origin::Bucket(BucketOrigin {
        bucket: "vod".to_owned(),
        path: String::new(),
        headers: [].into(),
        timeouts: QUICK,
    });
    let known = OriginRoom { authority: room.address.to_string(), token: "secret".to_owned() };
    let edge = start(vec![site], |config| config.origin_room = Some(known));
    assert_eq!(get(edge.address, "a.test", "/a/1.mp4").await.text(), "object");
    assert_eq!(get(edge.address, "a.test", "/").await.status, 404);
    let heads = room.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("GET /bucket/vod/a/1.mp4 HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("x-anabranch-origin-token: secret\r\n"), "{}", heads[0]);
}
