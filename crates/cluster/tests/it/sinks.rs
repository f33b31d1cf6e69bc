//! Receivers of notifications.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anabranch_cluster::watch::sink::{Credentials, Queue, Retry, Sink, Sinks, Topic};
use anabranch_cluster::watch::{Event, Notification, VerdictState};
use anabranch_net::{ManualClock, SharedClock, Shutdown};
use anabranch_testkit::{Asked, Reply, Site};

use crate::support::{Running, live, settings};

/// A real notification.
async fn notification() -> Arc<Notification> {
    let begun = Instant::now();
    let site = Site::start(move |asked| if asked.path().ends_with(".ts") { Reply::ok("s") } else { live("v", begun) });
    let mut running = Running::start(settings(site.url("/v.m3u8?token=t")));
    running.verdict(VerdictState::Fresh).await;
    loop {
        if let Event::Announced(notification) = running.events.recv().await.expect("an event") {
            return notification;
        }
    }
}

fn clock() -> SharedClock {
    Arc::new(ManualClock::new(1_440_938_160_000))
}

fn quick() -> Retry {
    Retry { attempts: 4, first_pause: Duration::from_millis(5) }
}

fn credentials() -> Credentials {
    Credentials::read(|name| match name {
        "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("very-secret".to_owned()),
        "AWS_SESSION_TOKEN" => Some("session".to_owned()),
        _ => None,
    })
    .unwrap()
}

/// Tells the receiver and waits until that is over; what was wrong.
async fn tell(sink: Sink, notification: &Notification) -> Option<String> {
    let sinks = Sinks::new(vec![sink], quick(), &clock()).unwrap();
    let problem = sinks.problems()[0].1.clone();
    let (teller, telling) = sinks.start(Shutdown::new());
    teller.tell(notification);
    drop(teller);
    telling.await;
    problem.borrow().clone()
}

fn fields(asked: &Asked) -> Vec<(String, String)> {
    let url = format!("http://form/?{}", String::from_utf8_lossy(&asked.body));
    reqwest::Url::parse(&url).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_webhook_gets_the_json_and_is_tried_again() {
    let notification = notification().await;
    let tries = Arc::new(AtomicU32::new(0));
    let of_site = Arc::clone(&tries);
    let site = Site::start(move |_| Reply::status(if of_site.fetch_add(1, Ordering::SeqCst) < 2 { 503 } else { 204 }));
    assert_eq!(tell(Sink::webhook(&site.url("/hook?token=x")).unwrap(), &notification).await, None);
    let asked = site.asked();
    assert_eq!(asked.len(), 3);
    for one in &asked {
        assert_eq!((one.method.as_str(), one.target.as_str()), ("POST", "/hook?token=x"));
        assert_eq!(one.header("content-type"), "application/json");
        assert_eq!(String::from_utf8_lossy(&one.body), notification.json());
    }
    let json: serde_json::Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(json["detector"]["state"], "fresh");
    assert!(json["options"]["origin_url"].as_str().unwrap().ends_with("?token=REDACTED"));
}

#[tokio::test]
async fn a_webhook_that_wants_a_token_is_shown_one() {
    let notification = notification().await;
    let site = Site::start(|asked| Reply::status(if asked.header("authorization") == "Bearer t" { 204 } else { 401 }));
    let webhook = Sink::webhook(&site.url("/hook")).unwrap();
    assert_eq!(tell(webhook.clone(), &notification).await.as_deref(), Some("status 401"));
    let webhook = webhook.with_authorization("Bearer t".parse().unwrap());
    assert!(!format!("{webhook:?}").contains("Bearer"), "it is a secret: {webhook:?}");
    assert_eq!(tell(webhook, &notification).await, None);
}

#[tokio::test]
async fn what_cannot_be_delivered_is_shown() {
    let notification = notification().await;
    let site = Site::start(|_| Reply::status(500));
    let problem = tell(Sink::webhook(&site.url("/")).unwrap(), &notification).await;
    assert_eq!((problem.as_deref(), site.asked().len()), (Some("status 500, 4 attempts"), 4));
    let site = Site::start(|_| Reply::status(400));
    let problem = tell(Sink::webhook(&site.url("/")).unwrap(), &notification).await;
    assert_eq!((problem.as_deref(), site.asked().len()), (Some("status 400"), 1), "a refusal is final");
}

#[tokio::test]
async fn a_topic_gets_a_signed_form() {
    let notification = notification().await;
    let site = Site::start(|_| Reply::ok("<PublishResponse/>"));
    let arn = "arn:aws:sns:eu-central-1:123456789012:alarms";
    let topic = Topic::new(arn, Some(&site.url("")), credentials()).unwrap();
    assert_eq!(tell(Sink::Sns(topic), &notification).await, None);
    let asked = &site.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/"));
    assert_signed(asked, "20150830/eu-central-1/sns/aws4_request");
    let expected: [(&str, &str); 5] = [
        ("Action", "Publish"),
        ("Version", "2010-03-31"),
        ("TopicArn", arn),
        ("Subject", "Stale Playlist Detector Message"),
        ("Message", &notification.json()),
    ];
    assert_eq!(fields(asked), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_queue_gets_a_signed_form() {
    let notification = notification().await;
    let site = Site::start(|_| Reply::ok("<SendMessageResponse/>"));
    let url = "https://sqs.us-east-2.amazonaws.com/123456789012/alarms.fifo";
    let queue = Queue::new(url, "elsewhere", Some(&site.url("")), credentials()).unwrap();
    assert_eq!(tell(Sink::Sqs(queue), &notification).await, None);
    let asked = &site.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/123456789012/alarms.fifo"));
    assert_signed(asked, "20150830/us-east-2/sqs/aws4_request");
    let fields = fields(asked);
    let of = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone()).unwrap();
    assert_eq!(
        (of("Action"), of("QueueUrl"), of("MessageBody")),
        ("SendMessage".to_owned(), url.to_owned(), notification.json())
    );
    assert_eq!(of("MessageGroupId"), "Stale-Playlist-Detector");
    assert!(of("MessageDeduplicationId").starts_with("1440938160000-") && of("MessageDeduplicationId").ends_with("-0"));
}

fn assert_signed(asked: &Asked, scope: &str) {
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(asked.header("x-amz-date"), "20150830T123600Z");
    assert_eq!(asked.header("x-amz-security-token"), "session");
    let authorization = asked.header("authorization");
    let start = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    );
    let signature = authorization.strip_prefix(start.as_str()).unwrap_or_else(|| panic!("{authorization}"));
    assert!(signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit()), "{signature}");
    assert!(!asked.header("host").is_empty());
}
