//! Faults of viewers: what they get, what the edge keeps, and that it serves the others meanwhile.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anabranch_edge::Config;
use anabranch_model::AllowedMethods;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::raw_h2::{CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, block, farewell, frame};
use crate::support::{Script, TestEdge, TestOrigin, Viewer, distribution, get, start};

/// Time in which a patient viewer is served whatever others do; the tests share a machine.
const SOON: Duration = Duration::from_secs(5);

async fn started(change: impl FnOnce(&mut Config)) -> (TestOrigin, TestEdge) {
    let (origin, other) = (TestOrigin::start().await, TestOrigin::start().await);
    origin.set("/a", Script::ok("aaa", "max-age=60"));
    origin.set("/big", Script::ok(vec![b'z'; 24 << 20], "max-age=60"));
    other.set("/a", Script::ok("other", "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin), distribution("E2", "b.test", &other)], |config| {
        config.header_timeout = Duration::from_millis(500);
        change(config);
    });
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "aaa");
    (origin, edge)
}

/// The edge serves a viewer who does nothing wrong.
async fn serves(edge: &TestEdge) {
    let began = Instant::now();
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "aaa");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let (origin, edge) = started(|_| {}).await;
    origin.set("/never", Script::ok("x", "max-age=60").with(|s| s.delay = Duration::from_secs(60)));
    let mut frames = Frames::connect(edge.address, &[]).await;
    let head = block("/never", &[(":authority", "a.test")]);
    let mut flood = Vec::new();
    for id in (1..4000).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &head));
        flood.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    // The edge may hang up before the end.
    let _ = frames.stream.write_all(&flood).await;
    assert_eq!(farewell(&frames.rest().await), Some(0xb), "enhance your calm");
    assert!(origin.count() <= 2, "resets cost no fetches: {}", origin.count());
    serves(&edge).await;
}

#[tokio::test]
async fn floods_of_header_frames_end_the_connection() {
    let (origin, edge) = started(|_| {}).await;
    let mut frames = Frames::connect(edge.address, &[]).await;
    let head = block("/a", &[(":authority", "a.test")]);
    let mut sent = 0;
    let mut flood = frame(HEADERS, END_STREAM, 1, &head);
    let filler: Vec<u8> = (0..150).flat_map(|_| block("", &[("x", &"y".repeat(100))])[8..].to_vec()).collect();
    while sent < 64 << 20 {
        if frames.stream.write_all(&flood).await.is_err() {
            break;
        }
        sent += flood.len();
        flood = frame(CONTINUATION, 0, 1, &filler);
    }
    assert!(sent < 32 << 20, "the edge has hung up: {sent}");
    frames.rest().await;
    assert_eq!(origin.count(), 1);
    serves(&edge).await;
}

#[tokio::test]
async fn large_heads_are_refused_on_both_fronts() {
    let (origin, edge) = started(|_| {}).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |size: usize| {
        let request = http::Request::builder().uri("http://a.test/a").header("x", "y".repeat(size));
        let response = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await;
        response.map(|response| response.status().as_u16())
    };
    assert_eq!(ask(10).await.unwrap(), 200);
    assert!(!matches!(ask(40_000).await, Ok(200)));
    assert_eq!(ask(10).await.unwrap(), 200, "the connection goes on");
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send(&format!("GET /a HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "y".repeat(40_000))).await;
    assert_eq!(viewer.reply(false).await.unwrap().status, 431);
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send(&format!("GET /a HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(101))).await;
    assert_eq!(viewer.reply(false).await.unwrap().status, 431);
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn http_2_viewers_that_take_nothing_are_cut() {
    let (_origin, edge) = started(|config| config.write_timeout = Duration::from_millis(300)).await;
    // A window of nothing, and one that lets a body begin.
    for window in [0, 1000] {
        let mut frames = Frames::connect(edge.address, &[(4, window)]).await;
        let head = block("/big", &[(":authority", "a.test")]);
        frames.stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await.unwrap();
        let rest = frames.rest().await;
        let body: usize = rest.iter().filter(|(kind, ..)| *kind == 0).map(|(.., payload)| payload.len()).sum();
        assert_eq!(body, window as usize);
    }
    serves(&edge).await;
}

#[tokio::test]
async fn idle_http_2_connections_are_closed_politely() {
    let (_origin, edge) = started(|config| config.idle_timeout = Duration::from_millis(300)).await;
    let mut frames = Frames::connect(edge.address, &[]).await;
    let head = block("/a", &[(":authority", "a.test")]);
    frames.stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await.unwrap();
    let rest = frames.rest().await;
    assert!(rest.iter().any(|(kind, stream, payload)| (*kind, *stream, &payload[..]) == (0, 1, b"aaa")));
    assert_eq!(farewell(&rest), Some(0));
    let mut unfinished = Frames::connect(edge.address, &[]).await;
    unfinished.stream.write_all(&frame(HEADERS, END_STREAM, 1, &head)).await.unwrap();
    unfinished.rest().await;
}

#[tokio::test]
async fn viewers_that_read_nothing_are_cut() {
    let (_origin, edge) = started(|config| config.write_timeout = Duration::from_millis(300)).await;
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    serves(&edge).await;
    // Bytes for a connection that has been given up are answered by a reset.
    let given_up = async {
        while viewer.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, given_up).await.expect("the edge gives it up");
    serves(&edge).await;
}

#[tokio::test]
async fn slow_heads_hold_nobody_else_up() {
    let (_origin, edge) = started(|_| {}).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut viewer = Viewer::connect(edge.address).await;
        viewer.send("GET /a HTTP/1.1\r\n").await;
        slow.push(tokio::spawn(async move {
            // A byte now and then earns no more time.
            for byte in "X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".chars() {
                if viewer.stream.write_all(byte.to_string().as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            viewer.reply(false).await.map(|reply| reply.status)
        }));
    }
    for _ in 0..20 {
        serves(&edge).await;
    }
    for viewer in slow {
        // The reset of what was sent after the answer may come before it is read.
        assert!(matches!(viewer.await.unwrap(), Some(408) | None));
    }
}

/// Heads and bodies of requests.
type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// An origin that answers with the body that it is sent, and keeps what it has seen.
async fn echo() -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let keep = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let keep = keep.clone();
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut buffer).await {
                    let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_ascii_lowercase();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
                    if buffer.len() < end + 4 + length {
                        continue;
                    }
                    let body = buffer[end + 4..end + 4 + length].to_vec();
                    buffer.drain(..end + 4 + length);
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    keep.lock().unwrap().push((head, body.clone()));
                    stream.write_all(&[answer.as_bytes(), &body].concat()).await.unwrap();
                }
            });
        }
    });
    (address, seen)
}

async fn taking_bodies(origin: &TestOrigin) -> (TestEdge, Seen) {
    let (address, seen) = echo().await;
    let mut spec = distribution("E1", "a.test", origin);
    spec.origins[0].origin = crate::support::http_origin(address);
    spec.default_behavior.allowed_methods = AllowedMethods::All;
    let edge = start(vec![spec], |config| {
        config.header_timeout = Duration::from_millis(400);
        config.max_request_body_bytes = 100_000;
    });
    (edge, seen)
}

#[tokio::test]
async fn bodies_are_read_strictly_and_the_connection_goes_on() {
    let origin = TestOrigin::start().await;
    let (edge, seen) = taking_bodies(&origin).await;
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send("POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello").await;
    viewer.send("POST /2 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n").await;
    viewer.send("POST /3 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").await;
    viewer
        .send(&format!("PUT /4 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 90000\r\n\r\n{}", "x".repeat(90_000)))
        .await;
    for body in ["hello", "abcde", "", &"x".repeat(90_000)] {
        let reply = viewer.reply(false).await.unwrap();
        assert_eq!((reply.status, reply.text()), (200, body));
    }
    viewer.send("POST /5 HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    let mut interim = [0; 25];
    viewer.stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    viewer.send("ok").await;
    assert_eq!(viewer.reply(false).await.unwrap().text(), "ok");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 5);
    for (head, body) in seen.iter() {
        assert!(!head.contains("transfer-encoding") && !head.contains("expect"), "{head}");
        assert!(body.is_empty() || head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_and_never_forwarded() {
    let origin = TestOrigin::start().await;
    let (edge, seen) = taking_bodies(&origin).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for (status, lines, body) in [
        (400, "Transfer-Encoding: chunked", "x\r\n\r\n"),
        (400, "Transfer-Encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n"),
        (400, "Transfer-Encoding: chunked", "3\nabc\n0\n\n"),
        (400, "Transfer-Encoding: chunked", "0x3\r\nabc\r\n0\r\n\r\n"),
        (400, "Transfer-Encoding: chunked", "-1\r\n\r\n"),
        (400, "Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFFF\r\n"),
        (413, "Transfer-Encoding: chunked", "FFFFFF\r\n"),
        (413, "Content-Length: 100001", ""),
        (408, "Transfer-Encoding: chunked", "3\r\nab"),
        (408, "Content-Length: 2000", "half"),
        (400, "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        (400, "Content-Length: 4\r\nContent-Length: 5", "1234"),
        (501, "Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        (417, "Content-Length: 4\r\nExpect: wonders", "1234"),
    ] {
        let mut viewer = Viewer::connect(edge.address).await;
        let after = if status == 408 { "" } else { hidden };
        viewer.send(&format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n\r\n{body}{after}")).await;
        let reply = viewer.reply(false).await.unwrap();
        assert_eq!((reply.status, reply.header("connection")), (status, Some("close")), "{lines:?} {body:?}");
        assert!(viewer.ended().await, "{lines:?}");
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_come_by_http_2_as_well() {
    let origin = TestOrigin::start().await;
    let (edge, seen) = taking_bodies(&origin).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |method: &str, body: String| {
        let request = http::Request::builder().method(method).uri("http://a.test/p");
        let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
    };
    assert_eq!(ask("POST", "x".repeat(90_000)).await, (200, "x".repeat(90_000).into()));
    assert_eq!(ask("POST", "x".repeat(100_001)).await.0, 413);
    assert_eq!(ask("POST", String::new()).await, (200, Bytes::new()));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn hosts_are_never_confused() {
    let (origin, edge) = started(|_| {}).await;
    for (request, expected) in [
        ("GET http://b.test/a HTTP/1.1\r\nHost: a.test", "other"),
        ("GET /a HTTP/1.1\r\nHost: B.TEST:80", "other"),
        ("GET /a HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Host: b.test\r\nForwarded: host=b.test", "aaa"),
    ] {
        let mut viewer = Viewer::connect(edge.address).await;
        viewer.send(&format!("{request}\r\n\r\n")).await;
        assert_eq!(viewer.reply(false).await.unwrap().text(), expected, "{request}");
    }
    for (status, request) in [
        (400, "GET /a HTTP/1.1\r\nHost: a.test\r\nHost: b.test"),
        (400, "GET /a HTTP/1.1\r\nHost: a.test, b.test"),
        (400, "GET /a HTTP/1.1\r\nHost: a.test@b.test"),
        (400, "GET /a HTTP/1.1\r\nHost: a.test/b"),
        (400, "GET http://a.test@b.test/a HTTP/1.1\r\nHost: a.test"),
        (400, "GET https://a.test/a HTTP/1.1\r\nHost: a.test"),
        (421, "GET /a HTTP/1.1\r\nHost: xa.test"),
        (421, "GET /a HTTP/1.1\r\nHost: a.test.b.test"),
        (421, "GET /a HTTP/1.0"),
    ] {
        let mut viewer = Viewer::connect(edge.address).await;
        viewer.send(&format!("{request}\r\n\r\n")).await;
        assert_eq!(viewer.reply(false).await.unwrap().status, status, "{request}");
    }
    // On HTTP/2 the two names of the host must agree.
    let mut frames = Frames::connect(edge.address, &[]).await;
    let head = block("/a", &[(":authority", "a.test"), ("host", "b.test")]);
    frames.stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await.unwrap();
    edge.shutdown.cancel();
    let rest = frames.rest().await;
    assert!(rest.iter().all(|(kind, _, payload)| *kind != 0 || (payload != b"aaa" && payload != b"other")));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn path_tricks_reach_nobody() {
    let (origin, edge) = started(|_| {}).await;
    for path in [
        "/x/../a",
        "/x/%2e%2e/a",
        "/x/..%2fa",
        "/x%5c..%5ca",
        "/x\\..\\a",
        "//../a",
        "/a%00",
        "/a%0d%0aX:",
        "/./a",
        "/a/..",
    ] {
        assert_eq!(get(edge.address, "a.test", path).await.status, 400, "{path}");
        let mut frames = Frames::connect(edge.address, &[]).await;
        let head = block(path, &[(":authority", "a.test")]);
        frames.stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await.unwrap();
        let mut answer = vec![0; 4096];
        let mut length = 0;
        while !answer[..length].windows(4).any(|w| w == b"The ") {
            let read = tokio::time::timeout(SOON, frames.stream.read(&mut answer[length..])).await.unwrap().unwrap();
            // A path that the library refuses resets the stream, or ends the connection.
            if read == 0 || answer[..length + read].windows(5).any(|w| w == [0, 0, 4, RST_STREAM, 0]) {
                break;
            }
            length += read;
        }
        assert!(!answer.windows(3).any(|w| w == b"aaa"), "{path}");
    }
    assert_eq!(origin.count(), 1);
    serves(&edge).await;
}
