//! Webhooks against real receivers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_testkit::{Engine, both};
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{NOW_MS, Server, TOKEN, open, text};

both!(
    a_webhook_by_its_operations,
    entries_are_told_signed_and_once,
    what_was_not_taken_survives_the_process,
    three_days_later_a_subject_is_given_up_visibly,
);

/// Longest wait for a delivery.
const PATIENCE: Duration = Duration::from_secs(20);

/// What operators do to channels, without what time alone brings about.
const MOVES: [&str; 5] =
    ["channel.created", "channel.wanted", "channel.unwanted", "channel.starting", "channel.stopping"];

/// A delivery as it came.
#[derive(Clone, Debug)]
struct Got {
    event: String,
    delivery: String,
    signature: String,
    body: Bytes,
    answered: u16,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn subject(&self) -> String {
        text(&self.json()["subject"]["id"]).to_owned()
    }
}

/// Chooses the status of an answer.
type Answering = Box<dyn Fn(&Value) -> u16 + Send + Sync>;

/// A receiver that keeps what it gets.
struct Receiver {
    got: Mutex<Vec<Got>>,
    answering: Mutex<Answering>,
    came: Notify,
    url: String,
}

impl Receiver {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Arc::new(Self {
            got: Mutex::new(Vec::new()),
            answering: Mutex::new(Box::new(|_| 204)),
            came: Notify::new(),
            url: format!("http://{}/hook?x=1", listener.local_addr().unwrap()),
        });
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    fn answer(&self, answering: impl Fn(&Value) -> u16 + Send + Sync + 'static) {
        *self.answering.lock() = Box::new(answering);
    }

    /// What it has got once that is like this.
    async fn until(&self, wanted: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let waiting = async {
            loop {
                let came = self.came.notified();
                let got = self.got.lock().clone();
                if wanted(&got) {
                    return got;
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), came).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("it never came: {:?}", self.words()))
    }

    fn words(&self) -> Vec<(String, u16)> {
        self.got.lock().iter().map(|got| (got.event.clone(), got.answered)).collect()
    }
}

async fn take(State(receiver): State<Arc<Receiver>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(uri.to_string(), "/hook?x=1");
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let answered = receiver.answering.lock()(&serde_json::from_slice(&body).unwrap());
    let (event, delivery) = (header("anabranch-event"), header("anabranch-delivery"));
    let got = Got { event, delivery, signature: header("anabranch-signature"), body, answered };
    receiver.got.lock().push(got);
    receiver.came.notify_waiters();
    StatusCode::from_u16(answered).unwrap()
}

/// Whether one of the `v1` is the HMAC of this secret, worked out by itself.
fn is_signed(got: &Got, secret: &str) -> bool {
    let (time, rest) = got.signature.strip_prefix("t=").unwrap().split_once(',').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut message = format!("{time}.").into_bytes();
    message.extend_from_slice(&got.body);
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    rest.split(',').any(|part| hmac::verify(&key, &message, &bytes(part.strip_prefix("v1=").unwrap())).is_ok())
}

async fn hook(server: &Server, url: &str, types: &[&str]) -> (String, String) {
    let made = server.post("/v1/webhooks", json!({ "url": url, "types": types })).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.body);
    (format!("/v1/webhooks/{}", text(&made.body["id"])), text(&made.body["secret"]).to_owned())
}

/// Sequences that were taken, by subject, in the order of their taking, repetitions left out.
fn taken(got: &[Got]) -> HashMap<String, Vec<u64>> {
    let mut taken: HashMap<String, Vec<u64>> = HashMap::new();
    for one in got.iter().filter(|one| one.answered < 300) {
        let of = taken.entry(one.subject()).or_default();
        let sequence = one.json()["sequence"].as_u64().unwrap();
        if !of.contains(&sequence) {
            of.push(sequence);
        }
    }
    taken
}

async fn entries_are_told_signed_and_once(engine: Engine) {
    let server = Server::start_on(engine).await;
    let receiver = Receiver::start().await;
    server.channel("before").await;
    let (path, secret) = hook(&server, &receiver.url, &["channel", "breakout.created"]).await;
    assert!(secret.starts_with("whsec_"));
    server.channel("c").await;
    // Only what is of one subject comes in its order.
    receiver.until(|got| got.len() == 1).await;
    server.breakout("b", "c").await;
    let got = receiver.until(|got| got.len() == 2).await;
    assert_eq!(got.iter().map(|one| one.event.as_str()).collect::<Vec<_>>(), ["channel.created", "breakout.created"]);
    let listed = server.get("/v1/log?type=channel.created").await.body["items"][0].clone();
    assert_eq!(got[0].json(), listed, "the same as in the list");
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(got[0].delivery, format!("{id}-{}", listed["sequence"]));
    assert!(got.iter().all(|one| is_signed(one, &secret) && !is_signed(one, "whsec_other")));
    assert!(got[0].signature.starts_with(&format!("t={}", NOW_MS / 1000)));
    let shown = server.until(&path, |hook| hook["delivered_total"] == 2).await;
    assert_eq!((&shown["backlog"], &shown["problem"], &shown["secret"]), (&0.into(), &Value::Null, &Value::Null));

    // Both secrets sign for a while, then the new one alone.
    let rotated = server.post(&format!("{path}/rotate-secret"), json!({ "keep_seconds": 60 })).await.body;
    let new = text(&rotated["secret"]).to_owned();
    assert_ne!(new, secret);
    server.channel("d").await;
    let got = receiver.until(|got| got.len() == 3).await;
    assert!(is_signed(&got[2], &secret) && is_signed(&got[2], &new));
    server.clock.set_ms(NOW_MS + 60_000);
    server.channel("e").await;
    let got = receiver.until(|got| got.len() == 4).await;
    assert!(!is_signed(&got[3], &secret) && is_signed(&got[3], &new));
}

#[tokio::test]
async fn a_failure_is_repeated_in_order_and_holds_up_nobody_else() {
    let server = Server::start_on(Engine::Sqlite).await;
    let receiver = Receiver::start().await;
    let (path, _) = hook(&server, &receiver.url, &MOVES).await;
    receiver.answer(|entry| if entry["details"]["name"] == "bad" { 500 } else { 200 });
    server.channel("bad").await;
    server.channel("good").await;
    server.act("/v1/channels/bad/start").await;
    server.act("/v1/channels/good/start").await;
    let got = receiver.until(|got| got.iter().filter(|one| one.answered == 200).count() == 3).await;
    let bad = got.iter().filter(|one| one.answered == 500).collect::<Vec<_>>();
    assert!(bad.iter().all(|one| one.event == "channel.created"), "nothing overtakes it: {:?}", receiver.words());
    let shown = server.until(&path, |hook| hook["backlog"] == 3).await;
    assert!(text(&shown["next_try_at"]) > "2026-01-01T00:00:00.000Z");
    assert_eq!(shown["enabled"], true);

    receiver.answer(|_| 200);
    let mut now_ms = NOW_MS;
    let got = loop {
        now_ms += 2000;
        server.clock.set_ms(now_ms);
        let got = receiver.got.lock().clone();
        if taken(&got).values().map(Vec::len).sum::<usize>() == 6 {
            break got;
        }
        assert!(now_ms < NOW_MS + 4_000_000, "{:?}", receiver.words());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (subject, sequences) in taken(&got) {
        assert!(sequences.is_sorted() && sequences.len() == 3, "{subject}: {sequences:?}");
    }
    let names: Vec<_> = got.iter().map(|one| &one.delivery).collect();
    assert!(names.iter().filter(|name| **name == &bad[0].delivery).count() >= 2, "a repetition has the same name");
    let shown = server.until(&path, |hook| hook["backlog"] == 0).await;
    assert_eq!((&shown["problem"], &shown["attempts"]), (&Value::Null, &0.into()));
}

async fn what_was_not_taken_survives_the_process(engine: Engine) {
    let server = Server::start_on(engine).await;
    let receiver = Receiver::start().await;
    let (path, secret) = hook(&server, &receiver.url, &MOVES).await;
    receiver.answer(|entry| if entry["details"]["name"] == "bad" { 503 } else { 200 });
    let mut expected = 0;
    for name in ["bad", "good", "bad 2"] {
        server.channel(name).await;
        server.act(&format!("/v1/channels/{}/start", name.replace(' ', "%20"))).await;
        expected += 3;
    }
    receiver.until(|got| got.iter().any(|one| one.answered == 503)).await;
    // Not a clean end: the rows are whatever they are, and more happens while nobody delivers.
    let dir = server.kill().await;
    let db = open(&dir).await;
    let good = db.channel_find("good").await.unwrap();
    db.channel_wish("good", anabranch_db::Wish::Rest, NOW_MS).await.unwrap();
    expected += 2;
    db.close().await;
    receiver.answer(|_| 200);
    let server = Server::start_in(dir, Some(TOKEN)).await;
    let mut now_ms = NOW_MS;
    let got = loop {
        now_ms += 2000;
        server.clock.set_ms(now_ms);
        let got = receiver.got.lock().clone();
        if taken(&got).values().map(Vec::len).sum::<usize>() >= expected {
            break got;
        }
        assert!(now_ms < NOW_MS + 4_000_000, "{:?}", receiver.words());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (subject, sequences) in taken(&got) {
        assert!(sequences.is_sorted(), "{subject}: {sequences:?}");
    }
    assert_eq!(taken(&got)[good.id.as_str()].len(), 5);
    assert!(got.iter().all(|one| is_signed(one, &secret)));
    let shown = server.until(&path, |hook| hook["backlog"] == 0 && hook["attempts"] == 0).await;
    assert_eq!(shown["given_up_total"], 0);
}

async fn three_days_later_a_subject_is_given_up_visibly(engine: Engine) {
    let server = Server::start_on(engine).await;
    let receiver = Receiver::start().await;
    let (path, _) = hook(&server, &receiver.url, &[]).await;
    receiver.answer(|entry| if entry["details"]["name"] == "bad" { 500 } else { 200 });
    server.channel("bad").await;
    receiver.until(|got| got.iter().any(|one| one.answered == 500)).await;
    server.until(&path, |hook| hook["backlog"] == 1).await;
    // By the hour: a clock that jumps gives nothing up.
    let mut now_ms = NOW_MS;
    let shown = loop {
        now_ms += 3_600_000;
        server.clock.set_ms(now_ms);
        let shown = server.get(&path).await.body;
        if shown["given_up_total"] == 1 {
            break shown;
        }
        assert!(now_ms < NOW_MS + 60 * 24 * 3_600_000, "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(receiver.got.lock().iter().filter(|one| one.answered == 500).count() >= 12);
    assert!(text(&shown["problem"]).contains("1 entries of channel:"), "{shown}");
    assert_eq!((&shown["backlog"], &shown["enabled"]), (&0.into(), &true.into()));
    let log = server.get("/v1/log?type=webhook.gave_up").await.body;
    assert_eq!(log["items"][0]["details"]["error"], "the receiver answered with status 500");
    receiver.until(|got| got.iter().any(|one| one.event == "webhook.gave_up")).await;
    let shown = server.until(&path, |hook| hook["cursor"].as_u64() >= log["newest"].as_u64()).await;
    assert!(!shown["problem"].is_null(), "a loss stays shown");
    let seen = server.call(reqwest::Method::PATCH, &path, Some(json!({ "enabled": true }))).await.body;
    assert!(seen["problem"].is_null());
    server.channel("good").await;
    let shown = server.until(&path, |hook| hook["delivered_total"].as_u64() >= Some(4)).await;
    assert!(shown["problem"].is_null(), "until somebody has seen to it: {shown}");
}

#[tokio::test]
async fn answers_that_are_not_success() {
    let server = Server::start_on(Engine::Sqlite).await;
    let receiver = Receiver::start().await;
    let (path, _) = hook(&server, &receiver.url, &["channel"]).await;
    receiver.answer(|_| 302);
    server.channel("a").await;
    let shown = server.until(&path, |hook| !hook["problem"].is_null()).await;
    assert!(text(&shown["problem"]).contains("redirects, which is not followed"), "{shown}");
    receiver.answer(|_| 410);
    server.channel("b").await;
    let shown = server.until(&path, |hook| hook["enabled"] == false).await;
    assert!(text(&shown["problem"]).contains("410"), "{shown}");
    assert_eq!(server.get("/v1/log?type=webhook.disabled").await.body["items"].as_array().unwrap().len(), 1);

    // Enabled again it goes on where it was.
    receiver.answer(|_| 200);
    let on = server.call(reqwest::Method::PATCH, &path, Some(json!({ "enabled": true }))).await.body;
    assert_eq!((&on["enabled"], &on["problem"]), (&true.into(), &Value::Null));
    server.channel("c").await;
    server.clock.set_ms(NOW_MS + 60_000);
    let got = receiver.until(|got| got.iter().filter(|one| one.answered == 200).count() == 3).await;
    assert_eq!(taken(&got).len(), 3);
}

async fn a_webhook_by_its_operations(engine: Engine) {
    let server = Server::start_on(engine).await;
    let receiver = Receiver::start().await;
    let (path, secret) = hook(&server, &receiver.url, &["breakout"]).await;
    let tested = server.act(&format!("{path}/test")).await.body;
    assert_eq!((&tested["delivered"], &tested["status"]), (&true.into(), &204.into()));
    let got = receiver.until(|got| got.len() == 1).await;
    assert_eq!(got[0].event, "ping");
    assert!(is_signed(&got[0], &secret) && got[0].json()["type"] == "ping");
    receiver.answer(|_| 500);
    let tested = server.act(&format!("{path}/test")).await.body;
    assert_eq!(tested["problem"], "the receiver answered with status 500");
    receiver.answer(|_| 200);

    let off = server.call(reqwest::Method::PATCH, &path, Some(json!({ "enabled": false, "types": [] }))).await.body;
    assert_eq!((&off["enabled"], &off["types"]), (&false.into(), &json!([])));
    server.channel("while off").await;
    server.call(reqwest::Method::PATCH, &path, Some(json!({ "enabled": true }))).await;
    receiver.until(|got| got.iter().any(|one| one.json()["details"]["name"] == "while off")).await;
    assert_eq!(server.get("/v1/webhooks").await.body["items"].as_array().unwrap().len(), 1);

    // A receiver that is not there.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    server.call(reqwest::Method::PATCH, &path, Some(json!({ "url": nobody }))).await;
    let tested = server.act(&format!("{path}/test")).await.body;
    assert!(text(&tested["problem"]).contains("cannot be reached"), "{tested}");
    for (body, words) in [
        (json!({ "url": "ftp://a/" }), "http://"),
        (json!({ "url": "http://169.254.169.254/latest" }), "may not reach"),
        (json!({ "url": "http://u:p@h/" }), "no user name"),
        (json!({ "url": "http://h/", "types": ["A b"] }), "lower-case"),
    ] {
        server.post("/v1/webhooks", body).await.problem(422, words);
    }
    server.post(&format!("{path}/rotate-secret"), json!({ "keep_seconds": 604_801 })).await.problem(422, "604800");
    assert_eq!(server.delete(&path).await.status.as_u16(), 204);
    server.get(&path).await.problem(404, "no webhook");
}
