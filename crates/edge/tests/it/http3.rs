//! HTTP/3: the same river by QUIC, and how viewers learn of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_edge::Config;
use anabranch_model::AllowedMethods;
use bytes::{Buf as _, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::version::TLS13;

use crate::secure::{ask, client, connect, make, secure};
use crate::support::{Script, TestEdge, TestOrigin, distribution, start};

struct Viewer {
    _endpoint: quinn::Endpoint,
    requests: SendRequest<OpenStreams, Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Viewer {
    async fn connect(address: SocketAddr, name: &str) -> Self {
        let tls = Arc::unwrap_or_clone(client(&[&TLS13], &["h3"]));
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        endpoint.set_default_client_config(config);
        let quic = endpoint.connect(address, name).unwrap().await.unwrap();
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(quic)).await.unwrap();
        let driver = tokio::spawn(async move {
            std::future::poll_fn(|cx| driver.poll_close(cx)).await;
        });
        Self { _endpoint: endpoint, requests, driver }
    }

    /// Status and body, or nothing if the body breaks off.
    async fn ask(&mut self, method: &str, uri: &str, body: &[u8]) -> (u16, Option<Vec<u8>>) {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        let mut stream = self.requests.send_request(request).await.unwrap();
        if !body.is_empty() {
            // A refusal may come before all of it has gone.
            let _ = stream.send_data(Bytes::copy_from_slice(body)).await;
        }
        let _ = stream.finish().await;
        let status = stream.recv_response().await.unwrap().status().as_u16();
        let mut all = Vec::new();
        loop {
            match stream.recv_data().await {
                Ok(Some(mut piece)) => {
                    all.extend_from_slice(piece.chunk());
                    piece.advance(piece.remaining());
                }
                Ok(None) => return (status, Some(all)),
                Err(_) => return (status, None),
            }
        }
    }
}

async fn started(directory: &tempfile::TempDir, change: impl FnOnce(&mut Config)) -> (TestOrigin, TestEdge) {
    make(directory.path(), "a", &["a.test"]);
    make(directory.path(), "b", &["b.test"]);
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("aaa", "max-age=60"));
    origin.set("/big", Script::ok(vec![b'z'; 3_000_000], "max-age=60"));
    origin.set("/cut", Script::ok(vec![b'z'; 5000], "max-age=60").with(|s| s.cut_after = Some(2000)));
    let mut spec = distribution("E1", "a.test", &origin);
    spec.http3 = true;
    spec.default_behavior.allowed_methods = AllowedMethods::All;
    let edge = start(vec![spec, distribution("E2", "b.test", &origin)], |config| {
        secure(config, directory.path());
        config.tls.as_mut().unwrap().http3 = vec!["127.0.0.1:0".parse().unwrap()];
        config.max_request_body_bytes = 1000;
        change(config);
    });
    (origin, edge)
}

#[tokio::test]
async fn http_3_goes_down_the_same_river() {
    let directory = tempfile::tempdir().unwrap();
    let (_origin, edge) = started(&directory, |_| {}).await;
    let mut viewer = Viewer::connect(edge.http3.unwrap(), "a.test").await;
    for _ in 0..2 {
        assert_eq!(viewer.ask("GET", "https://a.test/a", b"").await, (200, Some(b"aaa".to_vec())));
        let (status, body) = viewer.ask("GET", "https://a.test/big", b"").await;
        assert!(status == 200 && body == Some(vec![b'z'; 3_000_000]));
    }
    assert_eq!(viewer.ask("HEAD", "https://a.test/big", b"").await, (200, Some(vec![])));
    assert_eq!(viewer.ask("GET", "https://a.test/x/%2e%2e/a", b"").await.0, 400);
    assert_eq!(viewer.ask("GET", "https://nobody.test/a", b"").await.0, 421);
    assert_eq!(viewer.ask("GET", "https://b.test/a", b"").await.0, 421, "that host has its own certificate");
    assert_eq!(viewer.ask("POST", "https://a.test/a", &[b'x'; 1001]).await.0, 413);
    assert_eq!(viewer.ask("GET", "https://a.test/cut", b"").await.1, None);
    edge.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), viewer.driver).await.expect("the edge says goodbye").unwrap();
    edge.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn viewers_are_told_where_it_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let (_origin, edge) = started(&directory, |_| {}).await;
    let http_1_1 = client(&[&TLS13], &["http/1.1"]);
    let port = edge.http3.unwrap().port();
    let mut stream = connect(edge.tls, &http_1_1, "a.test").await.unwrap();
    let (_, head, _) = ask(&mut stream, "a.test", "/a", "").await;
    assert!(head.contains(&format!("alt-svc: h3=\":{port}\"; ma=86400\r\n")), "{head}");
    let mut stream = connect(edge.tls, &http_1_1, "b.test").await.unwrap();
    assert!(!ask(&mut stream, "b.test", "/a", "").await.1.contains("alt-svc"), "this distribution does not want it");
    let plain = crate::support::get(edge.address, "a.test", "/a").await;
    assert_eq!(plain.header("alt-svc"), None);
}
