//! Opening, keeping and losing connections.

use super::*;

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
    pool.release(answer);
    assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap().len(), 1 << 20);
    assert_eq!(origin.connections(), 2);
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
