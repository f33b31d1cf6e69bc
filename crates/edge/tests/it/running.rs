//! Snapshots, reports, shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_edge::{Config, Edge};
use anabranch_model::{Report, Snapshot};
use anabranch_net::ManualClock;
use tokio::sync::{mpsc, watch};

use crate::support::{Script, TestOrigin, Viewer, distribution, get, start, until};

#[tokio::test]
async fn a_new_snapshot_applies_without_dropping_connections() {
    let (one, two) = (TestOrigin::start().await, TestOrigin::start().await);
    one.set("/a", Script::ok("one", "no-store"));
    two.set("/a", Script::ok("two", "no-store"));
    let mut edge = start(vec![distribution("E1", "a.test", &one)], |config| config.node = "n1".to_owned());
    let applied = |version| Report::Applied { role: "edge".to_owned(), node: "n1".to_owned(), version };
    assert_eq!(edge.reports.recv().await, Some(applied(1)));
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(viewer.reply(false).await.unwrap().text(), "one");
    edge.snapshots.send_modify(|snapshot| {
        let mut next = (**snapshot).clone();
        next.version = 7;
        next.distributions = vec![distribution("E1", "a.test", &two), distribution("E2", "b.test", &one)];
        *snapshot = next.into();
    });
    assert_eq!(edge.reports.recv().await, Some(applied(7)));
    viewer.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(viewer.reply(false).await.unwrap().text(), "two");
    assert_eq!(get(edge.address, "b.test", "/a").await.text(), "one");
}

#[tokio::test]
async fn traffic_is_reported_once() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok(vec![b'x'; 10_000], "max-age=60"));
    let mut edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    for _ in 0..5 {
        get(edge.address, "a.test", "/a").await;
    }
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
    let (mut requests, mut bytes) = (0, 0);
    while let Some(report) = edge.reports.recv().await {
        if let Report::Traffic(traffic) = report {
            requests += traffic.iter().map(|t| t.requests).sum::<u64>();
            bytes += traffic.iter().map(|t| t.bytes).sum::<u64>();
        }
    }
    assert_eq!(requests, 5);
    assert!((50_000..60_000).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn shutdown_lets_answers_end_and_closes_idle_connections() {
    let origin = TestOrigin::start().await;
    origin.set(
        "/slow",
        Script::ok(vec![b'x'; 10_000], "max-age=60").with(|s| s.pause = Some((5_000, Duration::from_millis(300)))),
    );
    origin.set("/a", Script::ok("a", "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let mut idle = Viewer::connect(edge.address).await;
    idle.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    idle.reply(false).await.unwrap();
    let mut busy = Viewer::connect(edge.address).await;
    busy.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("the origin is asked", || origin.count() == 2).await;
    edge.shutdown.cancel();
    assert!(idle.ended().await);
    let reply = busy.reply(false).await.unwrap();
    assert!(reply.complete && reply.body.len() == 10_000);
    assert!(busy.ended().await);
    edge.running.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(edge.address).await.is_err());
}

#[tokio::test]
async fn the_drain_has_a_deadline() {
    let origin = TestOrigin::start().await;
    origin.set("/hang", Script::ok("x", "max-age=60").with(|s| s.delay = Duration::from_secs(60)));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| {
        config.drain_timeout = Duration::from_millis(200);
    });
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send("GET /hang HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("the origin is asked", || origin.count() == 1).await;
    let began = Instant::now();
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(viewer.ended().await);
}

#[tokio::test]
async fn a_port_of_another_edge_is_not_shared() {
    let origin = TestOrigin::start().await;
    let first = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    let (_keep, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (tell, _reports) = mpsc::channel(1);
    let config = Config { listen: vec![first.address], ..Config::default() };
    let refused = Edge::bind(config, snapshots, tell, Arc::new(ManualClock::new(0)));
    assert!(matches!(refused, Err(anabranch_edge::Error::Bind(_))), "{refused:?}");
}
