//! TLS: versions, protocols, certificates by name and their change, what may be asked for on a connection.

use std::time::Duration;

use anabranch_edge::Config;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::secure::{ask, ask_2, client, connect, http_2, make, presented, secure};
use crate::support::{Script, TestEdge, TestOrigin, distribution, start};

const BIG: usize = 5_000_011;

fn noise() -> Vec<u8> {
    (0..BIG).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

async fn started(directory: &tempfile::TempDir, change: impl FnOnce(&mut Config)) -> (TestOrigin, TestEdge) {
    make(directory.path(), "a", &["a.test", "www.a.test"]);
    make(directory.path(), "b", &["b.test", "*.b.test"]);
    let (origin, other) = (TestOrigin::start().await, TestOrigin::start().await);
    for origin in [&origin, &other] {
        origin.set("/big", Script::ok(noise(), "max-age=60"));
    }
    origin.set("/x", Script::ok("of a", "max-age=60"));
    other.set("/x", Script::ok("of b", "max-age=60"));
    let edge = start(
        vec![
            distribution("E1", "a.test", &origin),
            distribution("E2", "b.test", &other),
            distribution("E3", "plain.test", &origin),
        ],
        |config| {
            secure(config, directory.path());
            change(config);
        },
    );
    (origin, edge)
}

#[tokio::test]
async fn both_versions_serve_http_1_1_and_resume() {
    let directory = tempfile::tempdir().unwrap();
    let (_origin, edge) = started(&directory, |_| {}).await;
    for version in [&TLS12, &TLS13] {
        let config = client(&[version], &["http/1.1"]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = connect(edge.tls, &config, "a.test").await.unwrap();
            assert_eq!(ask(&mut stream, "a.test", "/x", "").await.2, b"of a");
            let (status, _, body) = ask(&mut stream, "a.test", "/big", "Range: bytes=100-4000099\r\n").await;
            assert_eq!((status, body.len()), (206, 4_000_000));
            assert!(body == noise()[100..4_000_100]);
            let (_, head, body) = ask(&mut stream, "a.test:8443", "/big", "Connection: close\r\n").await;
            assert!(body == noise() && head.contains("x-cache: Hit"));
            // A goodbye, so that nobody can cut a body short unnoticed.
            assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
            let connection = stream.get_ref().1;
            let found = (connection.handshake_kind(), connection.protocol_version());
            assert_eq!(found, (Some(kind), Some(version.version)));
        }
    }
    let mut stream = connect(edge.tls, &client(&[&TLS13], &[]), "a.test").await.unwrap();
    assert_eq!(ask(&mut stream, "a.test", "https://a.test/x", "").await.2, b"of a");
}

#[tokio::test]
async fn http_2_is_agreed_on() {
    let directory = tempfile::tempdir().unwrap();
    let (_origin, edge) = started(&directory, |_| {}).await;
    let mut sender = http_2(edge.tls, "a.test").await;
    for _ in 0..2 {
        assert_eq!(ask_2(&mut sender, "https://a.test/x").await, (200, "of a".into()));
        let (status, body) = ask_2(&mut sender, "https://a.test/big").await;
        assert!(status == 200 && body == noise());
    }
    let mut senders = Vec::new();
    for _ in 0..20 {
        let mut sender = sender.clone();
        senders.push(tokio::spawn(async move { ask_2(&mut sender, "https://a.test/big").await.1 == noise() }));
    }
    for sender in senders {
        assert!(sender.await.unwrap());
    }
}

#[tokio::test]
async fn certificates_and_hosts_belong_together() {
    let directory = tempfile::tempdir().unwrap();
    let (origin, edge) = started(&directory, |_| {}).await;
    let config = client(&[&TLS13], &["http/1.1"]);
    let of_a = presented(&connect(edge.tls, &config, "a.test").await.unwrap());
    let of_b = presented(&connect(edge.tls, &config, "x.b.test").await.unwrap());
    assert_ne!(of_a, of_b);
    for (name, certificate) in [("www.a.test", &of_a), ("b.test", &of_b), ("unknown.test", &of_a), ("127.0.0.1", &of_a)]
    {
        assert_eq!(presented(&connect(edge.tls, &config, name).await.unwrap()), *certificate, "{name}");
    }
    // A host of another certificate, one of the same, one of none that has a distribution, and one of nobody.
    for (name, host, status) in [
        ("a.test", "b.test", 421),
        ("a.test", "a.test", 200),
        ("unknown.test", "a.test", 200),
        ("127.0.0.1", "b.test", 421),
        ("a.test", "plain.test", 200),
        ("a.test", "www.a.test", 421),
        ("a.test", "nobody.test", 421),
        ("x.b.test", "b.test", 200),
    ] {
        let mut stream = connect(edge.tls, &config, name).await.unwrap();
        let (found, _, body) = ask(&mut stream, host, "/x", "").await;
        assert_eq!(found, status, "{name} {host}");
        assert!(status == 421 || body == if host == "b.test" { b"of b" } else { b"of a" });
        let mut sender = http_2(edge.tls, name).await;
        assert_eq!(ask_2(&mut sender, &format!("https://{host}/x")).await.0, status, "{name} {host}");
        assert_eq!(ask_2(&mut sender, "https://plain.test/x").await.0, 200, "the connection goes on");
    }
    assert!(origin.heads().iter().all(|head| !head.contains("b.test")));
}

#[tokio::test]
async fn certificates_change_without_a_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut certificates = None;
    let (_origin, edge) = started(&directory, |config| certificates = Some(secure(config, directory.path()))).await;
    let certificates = certificates.unwrap();
    let config = client(&[&TLS13], &["http/1.1"]);
    let mut open = connect(edge.tls, &config, "a.test").await.unwrap();
    let old = presented(&open);
    std::fs::write(directory.path().join("a.crt"), "broken").unwrap();
    certificates.refresh(false);
    assert_eq!(presented(&connect(edge.tls, &config, "a.test").await.unwrap()), old);
    make(directory.path(), "a", &["a.test"]);
    certificates.refresh(false);
    let fresh = client(&[&TLS13], &["http/1.1"]);
    assert_ne!(presented(&connect(edge.tls, &fresh, "a.test").await.unwrap()), old);
    assert_eq!(ask(&mut open, "a.test", "/x", "").await.2, b"of a");
}

#[tokio::test]
async fn handshakes_are_limited_in_time_and_harm_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (_origin, edge) = started(&directory, |config| config.header_timeout = Duration::from_millis(300)).await;
    let mut silent = TcpStream::connect(edge.tls).await.unwrap();
    let mut garbage = TcpStream::connect(edge.tls).await.unwrap();
    garbage.write_all(b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut halting = TcpStream::connect(edge.tls).await.unwrap();
    halting.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut mute = connect(edge.tls, &client(&[&TLS13], &["http/1.1"]), "a.test").await.unwrap();
    let mut mute_2 = connect(edge.tls, &client(&[&TLS13], &["h2"]), "a.test").await.unwrap();
    let mut stream = connect(edge.tls, &client(&[&TLS13], &["http/1.1"]), "a.test").await.unwrap();
    assert_eq!(ask(&mut stream, "a.test", "/x", "").await.0, 200);
    let ends = async {
        let mut rest = Vec::new();
        let _ = silent.read_to_end(&mut rest).await;
        let _ = garbage.read_to_end(&mut rest).await;
        let _ = halting.read_to_end(&mut rest).await;
        let _ = mute.read_to_end(&mut rest).await;
        let _ = mute_2.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(Duration::from_secs(5), ends).await.expect("the edge ends them all");
}

#[tokio::test]
async fn the_plain_port_needs_no_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let (_origin, edge) = started(&directory, |_| {}).await;
    assert_eq!(crate::support::get(edge.address, "b.test", "/x").await.text(), "of b");
    assert!(connect(edge.address, &client(&[&TLS13], &[]), "a.test").await.is_err());
}
