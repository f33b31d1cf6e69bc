//! What connections see: smuggling, pipelining, limits, HTTP/1.0, HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{Script, TestEdge, TestOrigin, Viewer, distribution, get, start};

async fn started() -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("aaa", "max-age=60"));
    origin.set("/b", Script::ok("bb", "max-age=60").with(|s| s.chunked = true));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| {
        config.header_timeout = Duration::from_millis(400);
    });
    (origin, edge)
}

#[tokio::test]
async fn smuggling_is_refused_and_the_connection_closed() {
    let (origin, edge) = started().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for (status, lines) in [
        (400, "Host: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (400, "Host: a.test\r\nContent-Length: 0\r\nContent-Length: 40\r\n"),
        (400, "Host: a.test\r\nContent-Length: 0, 40\r\n"),
        (501, "Host: a.test\r\nTransfer-Encoding: chunked, identity\r\n"),
        (400, "Host: a.test\r\nTransfer-Encoding : chunked\r\n"),
        (400, "Host: a.test\r\nX: 1\r\n Transfer-Encoding: chunked\r\n"),
        (400, "Host: a.test\r\nHost: b.test\r\n"),
        (400, "X: no host\r\n"),
        (200, "Host: a.test\r\nTransfer-Encoding: chunked\r\n"),
        (200, "Host: a.test\r\nContent-Length: 9999999\r\n"),
    ] {
        let mut viewer = Viewer::connect(edge.address).await;
        viewer.send(&format!("GET /a HTTP/1.1\r\n{lines}\r\n{hidden}")).await;
        let reply = viewer.reply(false).await.unwrap();
        assert_eq!((reply.status, reply.header("connection")), (status, Some("close")), "{lines}");
        assert!(viewer.ended().await, "{lines}");
    }
    assert!(origin.heads().iter().all(|head| !head.contains("hidden")));
}

#[tokio::test]
async fn requests_may_be_pipelined_and_small_bodies_are_read_away() {
    let (_origin, edge) = started().await;
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    viewer.send("GET /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nGET GET http://a.test/a HTTP/1.1\r\nHost: x\r\n").await;
    viewer.send("Connection: close\r\n\r\n").await;
    assert_eq!(viewer.reply(false).await.unwrap().text(), "aaa");
    assert_eq!(viewer.reply(true).await.unwrap().status, 200);
    assert_eq!(viewer.reply(false).await.unwrap().text(), "bb");
    let last = viewer.reply(false).await.unwrap();
    assert_eq!((last.text(), last.header("connection")), ("aaa", Some("close")));
    assert!(viewer.ended().await);
}

#[tokio::test]
async fn http_1_0_gets_no_chunks() {
    let (_origin, edge) = started().await;
    for target in ["/b", "/b"] {
        let mut viewer = Viewer::connect(edge.address).await;
        viewer.send(&format!("GET {target} HTTP/1.0\r\nHost: a.test\r\n\r\n")).await;
        let reply = viewer.reply(false).await.unwrap();
        assert_eq!((reply.text(), reply.header("transfer-encoding")), ("bb", None));
        assert!(viewer.ended().await);
    }
    let mut viewer = Viewer::connect(edge.address).await;
    for _ in 0..2 {
        viewer.send("GET /a HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(viewer.reply(false).await.unwrap().header("connection"), Some("keep-alive"));
    }
}

#[tokio::test]
async fn heads_are_limited_in_size_and_time() {
    let (_origin, edge) = started().await;
    let mut big = Viewer::connect(edge.address).await;
    big.send(&format!("GET /a HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(40_000))).await;
    assert_eq!(big.reply(false).await.unwrap().status, 431);
    let mut slow = Viewer::connect(edge.address).await;
    slow.send("GET /a HTTP/1.1\r\nHost: a.test\r\nX").await;
    assert_eq!(slow.reply(false).await.unwrap().status, 408);
    let mut silent = Viewer::connect(edge.address).await;
    assert!(silent.ended().await);
    let mut trickle = Viewer::connect(edge.address).await;
    for byte in "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n".chars() {
        trickle.send(&byte.to_string()).await;
    }
    assert_eq!(trickle.reply(false).await.unwrap().text(), "aaa");
}

#[tokio::test]
async fn http_2_goes_down_the_same_river() {
    let (origin, edge) = started().await;
    origin.set("/big", Script::ok(vec![b'z'; 3 << 20], "max-age=60"));
    origin.set("/cut", Script::ok(vec![b'z'; 5000], "max-age=60").with(|s| s.cut_after = Some(2000)));
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |method: &str, target: &str| {
        let uri = format!("http://a.test{target}");
        let request =
            http::Request::builder().method(method).uri(uri).header("range", "bytes=0-").body(Empty::<Bytes>::new());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.map(http_body_util::Collected::to_bytes))
    };
    for cache in ["Miss from cloudfront", "Hit from cloudfront"] {
        let (parts, body) = ask("GET", "/big").await;
        assert_eq!((parts.status.as_u16(), parts.headers["x-cache"].to_str().unwrap()), (206, cache));
        assert_eq!(parts.headers["content-length"], "3145728");
        assert!(body.unwrap() == vec![b'z'; 3 << 20]);
    }
    let (parts, body) = ask("HEAD", "/big").await;
    assert_eq!((parts.status.as_u16(), body.unwrap().len()), (200, 0));
    assert!(ask("GET", "/cut").await.1.is_err());
    assert_eq!(ask("GET", "/x/%2e%2e/a").await.0.status.as_u16(), 400);
    assert_eq!(ask("POST", "/a").await.0.status.as_u16(), 405);
    assert_eq!(get(edge.address, "a.test", "/big").await.header("x-cache"), Some("Hit from cloudfront"));
}
