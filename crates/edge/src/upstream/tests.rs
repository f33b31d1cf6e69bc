//! What origins get and what is made of what they say, over real connections.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anabranch_model::{
    AllowedMethods, Behavior, BucketOrigin, CachePolicy, DistributionSpec, HttpOrigin, InvalidationLog, Origin,
    OriginProtocol, OriginRequestPolicy, OriginSpec, OriginTimeouts, PriceClass, ResponseHeadersPolicy, Transform,
    ViewerProtocol,
};
use anabranch_net::ManualClock;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::raw_origin::{Authority, RawOrigin, Then, ok};
use super::{Answer, Ask, Failure, Pool, Trust, Unusable, Upstream};
use crate::config::{Config, OriginRoom, S3Bucket, Shield};
use crate::request::Scheme;

/// 2013-05-24T00:00:00Z.
const NOW_MS: i64 = 1_369_353_600_000;

const QUICK: OriginTimeouts =
    OriginTimeouts { connect_seconds: 1, connect_attempts: 2, response_seconds: 1, keepalive_seconds: 5 };

fn pool(config: &Config) -> Pool {
    Pool::new(Trust::load(config).unwrap(), Arc::new(ManualClock::new(NOW_MS)))
}

fn plain_pool() -> Pool {
    pool(&Config::default())
}

fn believing(authority: &Authority) -> Pool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    pool(&Config { origin_ca: Some(file.path().to_owned()), ..Config::default() })
}

fn distribution() -> DistributionSpec {
    DistributionSpec {
        id: "E1".parse().unwrap(),
        domain_name: "d1.test".to_owned(),
        aliases: vec![],
        enabled: true,
        default_root_object: String::new(),
        price_class: PriceClass::All,
        http2: true,
        http3: false,
        origins: vec![],
        origin_groups: vec![],
        behaviors: vec![],
        default_behavior: Behavior {
            path_pattern: "*".to_owned(),
            origin: "o".to_owned(),
            viewer_protocol: ViewerProtocol::AllowAll,
            allowed_methods: AllowedMethods::All,
            cache_options: false,
            trusted_key_groups: vec![],
            cache: CachePolicy::default(),
            origin_request: OriginRequestPolicy::default(),
            response_headers: ResponseHeadersPolicy::default(),
            compress: false,
            transform: Transform::None,
        },
        error_responses: vec![],
        invalidations: InvalidationLog::default(),
    }
}

fn compile(origin: Origin, config: &Config) -> Result<Upstream, Unusable> {
    Upstream::compile(&OriginSpec { id: "o".to_owned(), origin, shield: None }, &distribution(), config)
}

fn http(address: SocketAddr, change: impl FnOnce(&mut HttpOrigin)) -> Upstream {
    let mut origin = HttpOrigin {
        host: address.ip().to_string(),
        http_port: address.port(),
        https_port: address.port(),
        protocol: OriginProtocol::HttpOnly,
        path: String::new(),
        headers: [].into(),
        timeouts: QUICK,
    };
    change(&mut origin);
    compile(Origin::Http(origin), &Config::default()).unwrap()
}

fn https(address: SocketAddr, host: &str) -> Upstream {
    http(address, |origin| (origin.protocol, origin.host) = (OriginProtocol::HttpsOnly, host.to_owned()))
}

fn ask(method: Method, target: &str, headers: &[(&'static str, &'static str)], body: &'static str) -> Ask {
    let fields = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
    let mut map = HeaderMap::new();
    map.extend(fields);
    Ask {
        method,
        target: target.to_owned(),
        headers: map,
        body: Bytes::from_static(body.as_bytes()),
        scheme: Scheme::Http,
    }
}

fn get(target: &str) -> Ask {
    ask(Method::GET, target, &[], "")
}

async fn read(answer: &mut Answer) -> Result<String, Failure> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.next().await? {
        body.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8(body).unwrap())
}

/// Asks, reads everything and gives the connection back.
async fn whole(pool: &Pool, upstream: &Upstream, ask: &Ask) -> Result<String, Failure> {
    let mut answer = pool.fetch(upstream, ask).await?;
    let body = read(&mut answer).await?;
    answer.release(pool);
    Ok(body)
}

/// What is made of one answer, said byte for byte.
async fn said(bytes: &[u8], then: Then) -> (Result<String, Failure>, Option<bool>) {
    let bytes = bytes.to_vec();
    let origin = RawOrigin::start(move |_, _, _| (bytes.clone(), then)).await;
    let pool = plain_pool();
    match pool.fetch(&http(origin.address, |_| {}), &get("/")).await {
        Ok(mut answer) => (read(&mut answer).await, Some(answer.complete_known)),
        Err(failure) => (Err(failure), None),
    }
}

#[tokio::test]
async fn requests_go_out_as_the_specification_says() {
    let origin = RawOrigin::plain("x").await;
    let pool = plain_pool();
    let upstream = http(origin.address, |spec| {
        spec.path = "/base".to_owned();
        spec.headers = [("x-Secret".to_owned(), "ours".to_owned())].into();
    });
    let lines = &[
        ("x-secret", "theirs"),
        ("via", "2 front"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("content-length", "99"),
        ("accept-encoding", "br"),
    ];
    whole(&pool, &upstream, &ask(Method::GET, "/a%20b?c=d", lines, "")).await.unwrap();
    let expected = [
        "accept-encoding: br".to_owned(),
        format!("host: {}", origin.address),
        "via: 2 front, 1.1 anabranch".to_owned(),
        "x-secret: ours".to_owned(),
    ];
    let head = origin.heads()[0].clone();
    let mut fields: Vec<_> = head.trim_end().split("\r\n").collect();
    assert_eq!(fields.remove(0), "GET /base/a%20b?c=d HTTP/1.1");
    fields.sort_unstable();
    assert_eq!(fields, expected);
    whole(&pool, &upstream, &ask(Method::POST, "/", &[("host", "viewers.test")], "12345")).await.unwrap();
    whole(&pool, &upstream, &ask(Method::PUT, "/", &[], "")).await.unwrap();
    let heads = origin.heads();
    assert!(heads[1].contains("host: viewers.test\r\n") && !heads[1].contains("host: 127"), "{}", heads[1]);
    assert!(heads[1].contains("content-length: 5\r\n") && heads[1].ends_with("\r\n\r\n12345"), "{}", heads[1]);
    assert!(heads[2].contains("content-length: 0\r\n"), "{}", heads[2]);
    assert_eq!(origin.connections(), 1);
    assert_eq!(upstream.name(), format!("o at http://{}", origin.address));
}

#[tokio::test]
async fn the_scheme_may_be_the_viewers() {
    let authority = Authority::new();
    let plain = RawOrigin::plain("plain").await;
    let secure = RawOrigin::start_tls(authority.server("127.0.0.1"), 0, |_, _, _| (ok("secure"), Then::Keep)).await;
    let pool = believing(&authority);
    let upstream = http(plain.address, |spec| {
        spec.protocol = OriginProtocol::MatchViewer;
        spec.https_port = secure.address.port();
    });
    for (scheme, body) in [(Scheme::Http, "plain"), (Scheme::Https, "secure"), (Scheme::Https, "secure")] {
        assert_eq!(whole(&pool, &upstream, &Ask { scheme, ..get("/") }).await.unwrap(), body);
    }
    assert_eq!((plain.connections(), secure.connections()), (1, 1));
}

#[tokio::test]
async fn certificates_must_be_known_and_for_the_host() {
    let authority = Authority::new();
    let named = RawOrigin::start_tls(authority.server("localhost"), 0, |_, _, _| (ok("x"), Then::Keep)).await;
    assert_eq!(whole(&believing(&authority), &https(named.address, "LOCALHOST"), &get("/")).await.unwrap(), "x");
    assert!(named.heads()[0].contains(&format!("host: localhost:{}\r\n", named.address.port())));
    let before = named.connections();
    for (pool, host) in
        [(believing(&authority), "127.0.0.1"), (plain_pool(), "localhost"), (believing(&Authority::new()), "localhost")]
    {
        let failure = whole(&pool, &https(named.address, host), &get("/")).await.unwrap_err();
        assert!(matches!(failure, Failure::Tls(_)) && failure.may_fail_over(), "{failure:?}");
        assert_eq!(failure.answer().0, 502);
    }
    assert_eq!(named.connections() - before, 3, "a refused certificate is not asked for again");
    assert_eq!(named.heads().len(), 1);
}

#[tokio::test]
async fn authorities_must_be_readable() {
    let load = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Trust::load(&Config { origin_ca: Some(file.path().to_owned()), ..Config::default() }).unwrap_err().to_string()
    };
    assert!(load("").starts_with("no certificate authority for origins in: /"));
    assert!(load("-----BEGIN CERTIFICATE-----\n!").starts_with("cannot read the certificate authorities"));
    let missing = Config { origin_ca: Some("/nowhere/ca.pem".into()), ..Config::default() };
    assert!(Trust::load(&missing).is_err());
}

#[tokio::test]
async fn a_connection_that_breaks_while_it_opens_is_tried_again() {
    let authority = Authority::new();
    let flapping = RawOrigin::start_tls(authority.server("127.0.0.1"), 1, |_, _, _| (ok("x"), Then::Keep)).await;
    assert_eq!(whole(&believing(&authority), &https(flapping.address, "127.0.0.1"), &get("/")).await.unwrap(), "x");
    assert_eq!(flapping.connections(), 2);
    let broken = RawOrigin::start_tls(authority.server("127.0.0.1"), 9, |_, _, _| (ok("x"), Then::Keep)).await;
    let failure = whole(&believing(&authority), &https(broken.address, "127.0.0.1"), &get("/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Tls(_)), "{failure:?}");
    assert_eq!(broken.connections(), 2, "as many attempts as the origin's specification says");
}

#[tokio::test]
async fn nobody_there() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = whole(&plain_pool(), &http(closed, |_| {}), &get("/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Connect(_)) && failure.may_fail_over(), "{failure:?}");
    let nameless = http(closed, |spec| spec.host = "nobody.invalid".to_owned());
    let failure = whole(&plain_pool(), &nameless, &get("/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Resolve(_) | Failure::Timeout(_)), "{failure:?}");
}

#[tokio::test]
async fn connecting_has_an_end() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let deaf = socket.listen(1).unwrap();
    let address = deaf.local_addr().unwrap();
    // The kernel takes some connections in the listener's place, and no answer comes to those that follow.
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let began = Instant::now();
    let failure = whole(&plain_pool(), &http(address, |_| {}), &get("/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Timeout("accept a connection")) && failure.may_fail_over(), "{failure:?}");
    assert_eq!(failure.answer().0, 504);
    assert!(began.elapsed() >= Duration::from_secs(2), "two attempts");
    // One that accepts and then says nothing of TLS.
    let mute = RawOrigin::start(|_, _, _| (vec![], Then::Hang)).await;
    let failure = whole(&plain_pool(), &https(mute.address, "127.0.0.1"), &get("/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Timeout("accept a connection")), "{failure:?}");
}

#[tokio::test]
async fn silence_has_an_end() {
    let (late, _) = said(b"", Then::Hang).await;
    let late = late.unwrap_err();
    assert!(matches!(late, Failure::Timeout("answer")) && late.may_fail_over() && late.answer().0 == 504, "{late:?}");
    let (half, _) = said(b"HTTP/1.1 200 OK\r\nx: ", Then::Hang).await;
    assert!(matches!(half, Err(Failure::Timeout("answer"))), "{half:?}");
    let (stalled, _) = said(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", Then::Hang).await;
    assert!(matches!(stalled, Err(Failure::Timeout("send its body"))), "{stalled:?}");
}

#[tokio::test]
async fn a_name_with_several_addresses_is_tried_in_order() {
    let origin = RawOrigin::plain("x").await;
    let upstream = http(origin.address, |spec| spec.host = "localhost".to_owned());
    let pool = plain_pool();
    for _ in 0..2 {
        assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "x");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_dead_connection_is_replaced_once_if_that_is_safe() {
    // Every connection answers once and dies at the second request, after having read it.
    let script = |_: usize, request: usize, _: &str| {
        if request == 0 { (ok("x"), Then::Keep) } else { (vec![], Then::Drop) }
    };
    let origin = RawOrigin::start(script).await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
    for _ in 0..2 {
        assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "x");
    }
    assert_eq!((origin.connections(), origin.heads().len()), (2, 3));
    let failure = whole(&pool, &upstream, &ask(Method::POST, "/", &[], "once")).await.unwrap_err();
    assert!(matches!(failure, Failure::Protocol(_)), "{failure:?}");
    assert_eq!(origin.heads().iter().filter(|head| head.starts_with("POST")).count(), 1);
    assert_eq!(origin.connections(), 2);
    // A new connection that dies is no reason for another.
    let dying = RawOrigin::start(|_, _, _| (vec![], Then::Drop)).await;
    let failure = whole(&pool, &http(dying.address, |_| {}), &get("/")).await.unwrap_err();
    assert!(matches!(failure, Failure::Protocol(_)) && failure.answer().0 == 502, "{failure:?}");
    assert_eq!(dying.connections(), 1);
}

#[tokio::test]
async fn what_was_closed_while_idle_takes_no_request() {
    let origin = RawOrigin::start(|_, _, _| (ok("x"), Then::Close)).await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
    for count in 1..4 {
        assert_eq!(whole(&pool, &upstream, &ask(Method::POST, "/", &[], "b")).await.unwrap(), "x");
        while origin.ended.load(Ordering::SeqCst) < count {
            sleep(Duration::from_millis(5)).await;
        }
        // The end has been sent; the connection's task sees it in one of its next turns.
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((origin.connections(), origin.heads().len()), (3, 3));
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let origin = RawOrigin::plain("x").await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |spec| spec.timeouts.keepalive_seconds = 1));
    whole(&pool, &upstream, &get("/")).await.unwrap();
    whole(&pool, &upstream, &get("/")).await.unwrap();
    assert_eq!((origin.connections(), origin.ended.load(Ordering::SeqCst)), (1, 0));
    let closed = async {
        while origin.ended.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), closed).await.expect("the idle connection is closed");
    whole(&pool, &upstream, &get("/")).await.unwrap();
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_is_closed() {
    let body: &'static str = "x".repeat(1 << 20).leak();
    let origin = RawOrigin::start(move |_, _, _| (ok(body), Then::Keep)).await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
    let mut answer = pool.fetch(&upstream, &get("/")).await.unwrap();
    answer.next().await.unwrap();
    answer.release(&pool);
    assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap().len(), 1 << 20);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn ambiguous_answers_are_refused() {
    for head in [
        "content-length: 1\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: 1, 2\r\n",
        "content-length: +1\r\n",
        "content-length: 0x1\r\n",
        "content-length: -1\r\n",
        "content-length:\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding : chunked\r\n",
        "content-length: 1\r\n folded: 2\r\n",
        "no colon\r\n",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n1\r\nx\r\n0\r\n\r\n");
        let (answer, _) = said(text.as_bytes(), Then::Close).await;
        let failure = answer.expect_err(head);
        assert!(matches!(failure, Failure::Framing(_) | Failure::Protocol(_)), "{head}: {failure:?}");
        assert_eq!(failure.answer().0, 502);
    }
    for text in
        ["HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "garbage\r\n\r\n", "HTTP/2 200 OK\r\n\r\n"]
    {
        assert!(said(text.as_bytes(), Then::Close).await.0.is_err(), "{text}");
    }
    let (upgrade, _) =
        said(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Then::Hang).await;
    assert!(matches!(upgrade, Err(Failure::Status(101))), "{upgrade:?}");
}

#[tokio::test]
async fn heads_have_a_limit() {
    for line in ["x: y\r\n".repeat(1000), format!("x: {}\r\n", "y".repeat(400 << 10))] {
        let text = format!("HTTP/1.1 200 OK\r\n{line}content-length: 0\r\n\r\n");
        let (answer, _) = said(text.as_bytes(), Then::Hang).await;
        assert!(matches!(answer, Err(Failure::Protocol(_))), "{} bytes: {answer:?}", text.len());
    }
    let endless = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
    assert!(said(endless.as_bytes(), Then::Hang).await.0.is_err());
}

#[tokio::test]
async fn the_end_of_a_body_is_known_or_said_to_be_unknown() {
    for (text, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", "ab"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab", "ab"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", "ab"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=y\r\na\r\n1\r\nb\r\n0\r\nx-trailer: 1\r\n\r\n",
            "ab",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
            "ab",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        let (answer, known) = said(text.as_bytes(), Then::Close).await;
        assert_eq!((answer.unwrap().as_str(), known), (body, Some(true)), "{text}");
    }
    for text in ["HTTP/1.0 200 OK\r\n\r\nab", "HTTP/1.1 200 OK\r\n\r\nab"] {
        let (answer, known) = said(text.as_bytes(), Then::Close).await;
        assert_eq!((answer.unwrap().as_str(), known), ("ab", Some(false)), "{text}");
    }
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\na\r\n0\r\n\r\n",
    ] {
        assert!(said(text.as_bytes(), Then::Close).await.0.is_err(), "{text}");
    }
}

#[tokio::test]
async fn tls_tells_the_end_from_a_cut() {
    let authority = Authority::new();
    for (then, complete) in [(Then::Close, true), (Then::Drop, false)] {
        let script = move |_: usize, _: usize, _: &str| (b"HTTP/1.0 200 OK\r\n\r\nab".to_vec(), then);
        let origin = RawOrigin::start_tls(authority.server("127.0.0.1"), 0, script).await;
        let pool = believing(&authority);
        let mut answer = pool.fetch(&https(origin.address, "127.0.0.1"), &get("/")).await.unwrap();
        assert!(answer.complete_known);
        assert_eq!(read(&mut answer).await.is_ok(), complete, "{then:?}");
    }
}

#[tokio::test]
async fn connections_of_http_1_0_are_used_again_only_if_they_stay() {
    for (line, connections) in [("connection: keep-alive\r\n", 1), ("", 2)] {
        let text = format!("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n{line}\r\nx");
        let origin = RawOrigin::start(move |_, _, _| (text.clone().into_bytes(), Then::Keep)).await;
        let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
        for _ in 0..2 {
            assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "x");
        }
        assert_eq!(origin.connections(), connections, "{line}");
    }
}

#[tokio::test]
async fn bytes_that_belong_to_no_answer_are_not_taken_for_one() {
    let trailing =
        b"HTTP/1.1 204 No Content\r\ncontent-length: 44\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    let over = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    for first in [&trailing[..], over] {
        let script = move |connection: usize, _: usize, _: &str| {
            if connection == 0 { (first.to_vec(), Then::Keep) } else { (ok("honest"), Then::Keep) }
        };
        let origin = RawOrigin::start(script).await;
        let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
        assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "");
        assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "honest");
    }
}

#[tokio::test]
async fn answers_to_head_have_no_body_and_keep_the_connection() {
    let script = |_: usize, _: usize, head: &str| {
        let body = if head.starts_with("HEAD") { "" } else { "abc" };
        (
            format!("HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\ncontent-length: 3\r\n\r\n{body}").into_bytes(),
            Then::Keep,
        )
    };
    let origin = RawOrigin::start(script).await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
    let mut answer = pool.fetch(&upstream, &ask(Method::HEAD, "/", &[], "")).await.unwrap();
    assert_eq!(
        (answer.status, answer.headers["content-length"].as_bytes(), answer.complete_known),
        (200, &b"3"[..], true)
    );
    assert!(!answer.headers.contains_key("connection") && !answer.headers.contains_key("x-hop"));
    assert_eq!(read(&mut answer).await.unwrap(), "");
    answer.release(&pool);
    assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "abc");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let body: &'static str = "u".repeat(3 << 20).leak();
    let script = |_: usize, _: usize, text: &str| {
        let length = text.split_once("\r\n\r\n").unwrap().1.len();
        (ok(&length.to_string()), Then::Keep)
    };
    let origin = RawOrigin::start(script).await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
    for _ in 0..2 {
        let count = whole(&pool, &upstream, &ask(Method::PUT, "/", &[], body)).await.unwrap();
        assert_eq!(count, (3 << 20).to_string());
    }
    assert_eq!(origin.connections(), 1);
}

fn bucket(change: impl FnOnce(&mut BucketOrigin)) -> Origin {
    let mut origin =
        BucketOrigin { bucket: "vod".to_owned(), path: String::new(), headers: [].into(), timeouts: QUICK };
    change(&mut origin);
    Origin::Bucket(origin)
}

#[tokio::test]
async fn buckets_of_the_house_are_behind_the_origin_room() {
    let origin = RawOrigin::plain("x").await;
    let room = OriginRoom { authority: origin.address.to_string(), token: "secret".to_owned() };
    let config = Config { origin_room: Some(room), ..Config::default() };
    let upstream = compile(bucket(|origin| origin.path = "/films".to_owned()), &config).unwrap();
    let lines = &[("authorization", "Bearer v"), ("cookie", "a=b"), ("range", "bytes=0-1"), ("host", "v.test")];
    let pool = plain_pool();
    whole(&pool, &upstream, &ask(Method::GET, "/1.mp4?list-type=2", lines, "")).await.unwrap();
    let head = origin.heads()[0].clone();
    assert!(head.starts_with("GET /bucket/vod/films/1.mp4 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-anabranch-origin-token: secret\r\n") && head.contains("range: bytes=0-1\r\n"), "{head}");
    for absent in ["authorization", "cookie", "v.test"] {
        assert!(!head.contains(absent), "{head}");
    }
    let mut missing = pool.fetch(&upstream, &get("/?list-type=2")).await.unwrap();
    assert_eq!((missing.status, read(&mut missing).await.unwrap().contains("NoSuchKey")), (404, true));
    missing.release(&pool);
    let refused = pool.fetch(&upstream, &ask(Method::PUT, "/1.mp4", &[], "x")).await.unwrap();
    assert_eq!((refused.status, refused.headers["allow"].as_bytes()), (405, &b"GET, HEAD"[..]));
    assert_eq!(origin.heads().len(), 1);
    assert_eq!(compile(bucket(|_| {}), &Config::default()), Err(Unusable::NoRoom));
}

#[tokio::test]
async fn buckets_elsewhere_are_asked_with_signatures() {
    let origin = RawOrigin::plain("x").await;
    let known = S3Bucket {
        bucket: "vod".to_owned(),
        endpoint: format!("http://{}", origin.address),
        region: "eu-west-1".to_owned(),
        access_key_id: "AKID".to_owned(),
        secret_access_key: "hidden".to_owned(),
        path_style: true,
    };
    assert!(!format!("{known:?}").contains("hidden"));
    let config = Config { buckets: vec![known.clone()], ..Config::default() };
    let upstream = compile(bucket(|_| {}), &config).unwrap();
    let lines = &[("authorization", "Bearer v"), ("x-amz-acl", "public"), ("range", "bytes=0-1")];
    let pool = plain_pool();
    whole(&pool, &upstream, &ask(Method::GET, "/a%20b(1).mp4?acl", lines, "")).await.unwrap();
    let head = origin.heads().pop().unwrap();
    assert!(head.starts_with("GET /vod/a%20b%281%29.mp4 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-amz-date: 20130524T000000Z\r\n") && !head.contains("Bearer"), "{head}");
    assert!(head.contains("Credential=AKID/20130524/eu-west-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"), "{head}");
    assert!(!head.contains("x-amz-acl"));
    let mut hosted = known.clone();
    (hosted.endpoint, hosted.path_style) = ("https://s3.example.com/".to_owned(), false);
    let upstream = compile(bucket(|_| {}), &Config { buckets: vec![hosted], ..Config::default() }).unwrap();
    assert_eq!(upstream.name(), "o at https://vod.s3.example.com:443");
    for endpoint in ["", "s3.example.com", "ftp://s3.example.com", "https://s3.example.com/path", "https:///"] {
        let wrong = S3Bucket { endpoint: endpoint.to_owned(), ..known.clone() };
        let compiled = compile(bucket(|_| {}), &Config { buckets: vec![wrong], ..Config::default() });
        assert!(matches!(compiled, Err(Unusable::Endpoint(_))), "{endpoint}: {compiled:?}");
    }
}

#[tokio::test]
async fn a_shield_is_asked_in_the_origins_place() {
    let shield = RawOrigin::plain("x").await;
    let known = Shield { authority: shield.address.to_string(), tls: false, token: "between us".to_owned() };
    assert!(!format!("{known:?}").contains("between us"));
    let config = Config { shields: [("paris".to_owned(), known)].into(), ..Config::default() };
    let spec = |name: &str| OriginSpec {
        id: "o".to_owned(),
        origin: Origin::Http(HttpOrigin {
            host: "origin.invalid".to_owned(),
            http_port: 80,
            https_port: 443,
            protocol: OriginProtocol::MatchViewer,
            path: "/base".to_owned(),
            headers: [("x-secret".to_owned(), "ours".to_owned())].into(),
            timeouts: QUICK,
        }),
        shield: Some(name.to_owned()),
    };
    let upstream = Upstream::compile(&spec("paris"), &distribution(), &config).unwrap();
    let asked =
        Ask { scheme: Scheme::Https, ..ask(Method::GET, "/a?b=c", &[("host", "alias.test"), ("accept", "*/*")], "") };
    whole(&plain_pool(), &upstream, &asked).await.unwrap();
    let head = shield.heads()[0].clone();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    for line in ["host: d1.test", "x-anabranch-shield: between us", "x-anabranch-viewer-scheme: https", "accept: */*"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert!(!head.contains("x-secret") && !head.contains("alias"), "{head}");
    let direct = Upstream::compile(&spec("elsewhere"), &distribution(), &config).unwrap();
    assert_eq!(direct.name(), "o at https://origin.invalid:443");
}

#[test]
fn what_cannot_be_asked_is_named() {
    let wrong = |change: fn(&mut HttpOrigin)| {
        let mut origin = HttpOrigin {
            host: "a.test".to_owned(),
            http_port: 80,
            https_port: 443,
            protocol: OriginProtocol::MatchViewer,
            path: String::new(),
            headers: [].into(),
            timeouts: QUICK,
        };
        change(&mut origin);
        compile(Origin::Http(origin), &Config::default()).unwrap_err().to_string()
    };
    assert!(wrong(|origin| origin.host = "a b".to_owned()).ends_with(": a b:80"));
    assert!(wrong(|origin| origin.path = "base/".to_owned()).ends_with(": base/"));
    assert!(wrong(|origin| origin.path = "/a?b".to_owned()).ends_with(": /a?b"));
    for name in ["content-length", "transfer-encoding", "connection", "a b"] {
        let mut origin = match bucket(|_| {}) {
            Origin::Bucket(origin) => origin,
            _ => unreachable!(),
        };
        origin.headers = [(name.to_owned(), "x".to_owned())].into();
        let room = OriginRoom { authority: "127.0.0.1:1".to_owned(), token: "t".to_owned() };
        let config = Config { origin_room: Some(room), ..Config::default() };
        assert_eq!(compile(Origin::Bucket(origin), &config), Err(Unusable::Header(name.to_owned())));
    }
    let room = OriginRoom { authority: "127.0.0.1:1".to_owned(), token: "a\nb".to_owned() };
    let config = Config { origin_room: Some(room), ..Config::default() };
    assert!(matches!(compile(bucket(|_| {}), &config), Err(Unusable::Secret(_))));
    let named = compile(bucket(|origin| origin.bucket = "../live".to_owned()), &config);
    assert!(matches!(named, Err(Unusable::Secret(_) | Unusable::Bucket(_))));
}
