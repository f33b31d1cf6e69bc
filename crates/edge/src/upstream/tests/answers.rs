//! What is made of answers.

use super::*;

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
    pool.release(answer);
    assert_eq!(whole(&pool, &upstream, &get("/")).await.unwrap(), "abc");
    assert_eq!(origin.connections(), 1);
}
