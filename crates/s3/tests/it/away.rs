//! Services that fail in every way: what is repeated, what is said, and that it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::seen::Log;
use anabranch_store::buckets::{BucketError, Condition, Content, ListQuery, Patience, Put};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::contract::Place;
use crate::house::OWNER;

/// Requests that were seen.
mod seen {
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    pub(super) struct Log(Mutex<Vec<String>>);

    impl Log {
        pub(super) fn add(&self, head: &str) {
            self.0.lock().expect("a log").push(head.to_owned());
        }

        pub(super) fn all(&self) -> Vec<String> {
            self.0.lock().expect("a log").clone()
        }
    }
}

/// What is answered: the bytes, after which the connection is closed or stands still.
struct Reply {
    bytes: Vec<u8>,
    stands: bool,
}

fn reply(text: &str) -> Reply {
    Reply { bytes: text.as_bytes().to_vec(), stands: false }
}

fn refusal(status: &str, code: &str) -> Reply {
    let body = format!("<Error><Code>{code}</Code><Message>for a test</Message></Error>");
    reply(&format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()))
}

/// A service that answers request after request by a script.
struct Script {
    place: Place,
    seen: Arc<Log>,
}

impl Script {
    async fn open(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Log::default());
        let (script, number, log) = (Arc::new(script), Arc::new(AtomicUsize::new(0)), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, number, log) = (script.clone(), number.clone(), log.clone());
                tokio::spawn(async move {
                    let (head, mut stream) = request(stream).await?;
                    log.add(&head);
                    let Reply { bytes, stands } = script(number.fetch_add(1, Ordering::SeqCst), &head);
                    stream.write_all(&bytes).await.ok()?;
                    if stands {
                        std::future::pending::<()>().await;
                    }
                    stream.shutdown().await.ok()
                });
            }
        });
        let patience = Patience {
            connect: Duration::from_secs(2),
            answer: Duration::from_millis(300),
            silence: Duration::from_millis(300),
        };
        Self { place: Place::open(Some(&url), "s3://there", patience).await, seen }
    }

    async fn get(&self) -> Result<Vec<u8>, BucketError> {
        let opened = self.place.buckets.get("films", "a").await?;
        let Content::Remote(object) = opened.content else { panic!("it is here") };
        let mut pieces = object.pieces(0, opened.info.size).await?;
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    fn problem(&self) -> Option<String> {
        let info = self.place.buckets.backend("films").expect("a backend").expect("it is elsewhere");
        info.problem.map(|problem| problem.reason)
    }
}

/// Reads a request to its end.
async fn request(mut stream: TcpStream) -> Option<(String, TcpStream)> {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        all.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&all).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
            return Some((head.to_owned(), stream));
        }
    }
}

const GOOD: &str = "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let script = Script::open(|number, _| match number {
        0 => refusal("500 Internal Server Error", "InternalError"),
        1 => refusal("503 Slow Down", "SlowDown"),
        2 => reply(""),
        _ => reply(GOOD),
    });
    let script = script.await;
    assert_eq!(script.get().await.expect("bytes"), b"fine");
    assert_eq!((script.seen.all().len(), script.problem()), (4, None));
}

#[tokio::test]
async fn a_service_that_is_away_is_said_to_be_and_comes_back() {
    let script =
        Script::open(|number, _| if number < 5 { refusal("503 No", "ServiceUnavailable") } else { reply(GOOD) });
    let script = script.await;
    let began = Instant::now();
    let error = script.get().await.expect_err("it is away");
    assert!(matches!(&error, BucketError::Away { bucket, .. } if bucket == "films"), "{error}");
    assert!(error.to_string().contains("503 ServiceUnavailable: for a test"), "{error}");
    assert!(script.problem().is_some_and(|problem| problem.contains("503")));
    assert_eq!(script.seen.all().len(), 4);
    // Nobody waits for it now.
    for _ in 0..100 {
        if matches!(script.get().await, Ok(bytes) if bytes == b"fine") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The fifth showed that it was still away, the sixth that it is back.
    assert_eq!((script.seen.all().len(), script.problem()), (6, None));
    assert!(began.elapsed() > Duration::from_secs(2));
}

#[tokio::test]
async fn nobody_there_is_known_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let place = Place::open(Some(&url), "s3://there", Patience::default()).await;
    let error = timeout(Duration::from_secs(20), place.buckets.head("films", "a")).await.expect("an end");
    let error = error.expect_err("nobody is there").to_string();
    assert!(error.contains("no connection") && error.contains(&url), "{error}");
    let put = place.buckets.put_bytes("films", "a", Put::default(), Bytes::from_static(b"x")).await;
    assert!(matches!(put, Err(BucketError::Away { .. })), "{put:?}");
}

#[tokio::test]
async fn refusals_are_told_and_not_repeated() {
    for (status, code, words) in [
        (
            "403 Forbidden",
            "SignatureDoesNotMatch",
            format!("refuses access key {}: SignatureDoesNotMatch: for a test", OWNER.0),
        ),
        ("404 Not Found", "NoSuchBucket", "has no bucket there: make it there".to_owned()),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "400 AuthorizationHeaderMalformed: for a test".to_owned()),
        ("301 Moved", "PermanentRedirect", "region us-east-1 or the endpoint is wrong".to_owned()),
    ] {
        let script = Script::open(move |_, _| refusal(status, code)).await;
        let error = script.get().await.expect_err("it refuses");
        assert!(matches!(error, BucketError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(&words) && !error.to_string().contains(OWNER.1), "{error}");
        assert_eq!(script.seen.all().len(), 1);
        assert!(script.problem().is_some_and(|problem| problem.contains(&words)));
    }
    let script = Script::open(|_, _| refusal("404 Not Found", "NoSuchKey")).await;
    assert!(matches!(script.get().await, Err(BucketError::NoSuchKey { .. })));
    assert_eq!((script.seen.all().len(), script.problem()), (1, None));
}

/// Ten bytes, of which a piece comes.
fn cut(head: &str, first: u64, piece: &str) -> Reply {
    let status = if first == 0 { "200 OK" } else { "206 Partial Content" };
    let range = if first == 0 { String::new() } else { format!("content-range: bytes {first}-9/10\r\n") };
    assert_eq!(head.contains(&format!("range: bytes={first}-9")), first > 0, "{head}");
    reply(&format!(
        "HTTP/1.1 {status}\r\netag: \"e\"\r\n{range}content-length: {}\r\nconnection: close\r\n\r\n{piece}",
        10 - first
    ))
}

#[tokio::test]
async fn a_body_goes_on_where_it_broke() {
    let script = Script::open(|number, head| match number {
        0 => cut(head, 0, "012"),
        1 => cut(head, 3, "3456"),
        _ => cut(head, 7, "789"),
    });
    let script = script.await;
    assert_eq!(script.get().await.expect("bytes"), b"0123456789");
    let seen = script.seen.all();
    assert!(seen.len() == 3 && seen[1].contains("if-match: \"e\""), "{seen:?}");
    // Of another version it does not.
    let script = Script::open(|number, head| match number {
        0 => cut(head, 0, "012"),
        _ => refusal("412 Precondition Failed", "PreconditionFailed"),
    });
    let changed = script.await.get().await;
    assert!(matches!(changed, Err(BucketError::Precondition { .. })), "{changed:?}");
    // And not for ever.
    let script = Script::open(|_, head| match head.contains("range:") {
        false => cut(head, 0, "012"),
        true => cut(head, 3, ""),
    });
    let script = script.await;
    assert!(matches!(script.get().await, Err(BucketError::Away { .. })));
    assert_eq!(script.seen.all().len(), 5);
}

#[tokio::test]
async fn what_stands_still_ends() {
    let script =
        Script::open(|_, head| Reply { stands: true, ..cut(head, if head.contains("range:") { 3 } else { 0 }, "") });
    let script = script.await;
    let ended = timeout(Duration::from_secs(20), script.get()).await.expect("an end");
    assert!(matches!(ended, Err(BucketError::Away { .. })), "{ended:?}");
    let script = Script::open(|_, _| Reply { bytes: Vec::new(), stands: true }).await;
    let ended = timeout(Duration::from_secs(20), script.get()).await.expect("an end");
    let error = ended.expect_err("no answer").to_string();
    assert!(error.contains("no answer"), "{error}");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_refused() {
    // MD5 of `x`.
    let etag = "9dd4e461268c8034f5c8564e155c67a6";
    let head = format!("HTTP/1.1 200 OK\r\netag: \"{etag}\"\r\ncontent-length: 1\r\nconnection: close\r\n\r\n");
    let script = Script::open(move |number, asked| match number {
        0 => reply(""),
        1 => refusal("412 Precondition Failed", "PreconditionFailed"),
        _ => {
            assert!(asked.starts_with("HEAD "), "{asked}");
            reply(&head)
        }
    });
    let script = script.await;
    let put = || Put { condition: Condition::Absent, ..Put::default() };
    let stored = script.place.buckets.put_bytes("films", "a", put(), Bytes::from_static(b"x")).await;
    assert_eq!(stored.expect("it was stored").etag, etag);
    // One that was never sent before is.
    let script = Script::open(|_, _| refusal("412 Precondition Failed", "PreconditionFailed")).await;
    let refused = script.place.buckets.put_bytes("films", "a", put(), Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(BucketError::Precondition { condition: "if-none-match" })), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_understood_or_said_is_named() {
    let script =
        Script::open(|_, _| reply("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n<html")).await;
    let listed = script.place.buckets.list("films", ListQuery { limit: 5, ..ListQuery::default() }).await;
    assert!(matches!(listed, Err(BucketError::Refused { .. })), "{listed:?}");
    let before = script.seen.all().len();
    for key in ["a/../b", "./a", ".."] {
        let unsendable = script.place.buckets.head("films", key).await;
        assert!(matches!(unsendable, Err(BucketError::Unsendable { .. })), "{unsendable:?}");
    }
    let mut put = Put::default();
    put.attributes.user.insert("name".to_owned(), "Grüße".to_owned());
    let unsendable = script.place.buckets.put_bytes("films", "a", put, Bytes::new()).await;
    assert!(matches!(unsendable, Err(BucketError::Unsendable { .. })), "{unsendable:?}");
    assert_eq!(script.seen.all().len(), before);
}
