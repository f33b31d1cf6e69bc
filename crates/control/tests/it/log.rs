//! The log as a list and as a stream of events.

use std::time::Duration;

use anabranch_model::{AlarmKind, ChannelId, InputId, InputState, Report};
use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, TOKEN, answer, text};

both!(
    what_happens_is_listed_with_who_did_it,
    what_nodes_observe_of_streams_is_logged,
    a_stream_tells_what_happens_and_resumes,
    the_old_is_pruned_and_readers_are_told_of_the_gap,
);

/// Longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reader of an event stream.
struct Reader {
    response: reqwest::Response,
    rest: String,
}

impl Reader {
    async fn open(server: &Server, query: &str, last: Option<u64>) -> Self {
        let mut request = server.client.get(format!("{}/v1/log/stream{query}", server.base)).bearer_auth(TOKEN);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new() }
    }

    /// The next event: id, type, entry. None at the end of the stream.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = field("data: ") {
                    let id = field("id: ").map_or(0, |id| id.parse().unwrap());
                    return Some((id, field("event: ").unwrap(), serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the stream is silent");
            self.rest.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn words(&mut self, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..count {
            words.push(self.next().await.unwrap().1);
        }
        words
    }
}

fn words(log: &Value) -> Vec<&str> {
    log["items"].as_array().unwrap().iter().map(|entry| text(&entry["type"])).collect()
}

async fn what_happens_is_listed_with_who_did_it(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let before = server.get("/v1/log").await.body["newest"].as_u64().unwrap();
    let ci = json!({ "name": "ci", "scopes": ["manage", "operate"] });
    let secret = text(&server.post("/v1/tokens", ci).await.body["secret"]).to_owned();
    let channel = server.channel("c").await;
    server.breakout("b", "c").await;
    let request = server.client.post(format!("{}/v1/breakouts/b/start", server.base)).bearer_auth(&secret);
    assert_eq!(answer(request).await.status.as_u16(), 200);
    server.snapshot(|snapshot| snapshot.breakouts.iter().any(|breakout| breakout.on_air)).await;
    server.applied_until("/v1/breakouts/b", |breakout| breakout["state"] == "RUNNING").await;

    let log = server.get(&format!("/v1/log?sort=asc&after={before}")).await.body;
    assert_eq!(
        words(&log)[..7],
        [
            "token.created",
            "channel.created",
            "distribution.created",
            "breakout.created",
            "breakout.starting",
            "recording.started",
            "channel.starting"
        ]
    );
    assert_eq!(*words(&log).last().unwrap(), "breakout.running");
    let entries = log["items"].as_array().unwrap();
    for (entry, sequence) in entries.iter().zip(before + 1..) {
        assert_eq!(entry["sequence"], sequence);
        assert_eq!(entry["at"], "2026-01-01T00:00:00.000Z");
    }
    assert_eq!((&entries[1]["actor"], &entries[4]["actor"]), (&"admin".into(), &"ci".into()));
    assert!(entries.last().unwrap()["actor"].is_null(), "nobody but the system");
    assert_eq!(entries[4]["subject"]["kind"], "breakout");
    assert_eq!(entries[4]["channel"], channel["id"]);
    assert_eq!(log["oldest"], 1);

    let newest = server.get("/v1/log?limit=2").await.body;
    assert_eq!(words(&newest)[0], "breakout.running");
    let next = server.get(&format!("/v1/log?limit=200&before={}", text(&newest["next"]))).await.body;
    assert_eq!(next["items"].as_array().unwrap().len() as u64 + 2, newest["newest"].as_u64().unwrap());
    assert!(next["next"].is_null());
    for (query, expected) in [
        ("type=channel.created", 1),
        ("channel=c&kind=activity", 3),
        ("breakout=b&kind=transition", 3),
        ("actor=ci", 3),
        ("actor=ci&type=breakout", 1),
        ("since=2026-01-01T00:00:01Z", 0),
    ] {
        let found = server.get(&format!("/v1/log?{query}")).await.body;
        assert_eq!(found["items"].as_array().unwrap().len(), expected, "{query}: {found}");
    }
    for (query, words) in [
        ("limit=0", "1 to 200"),
        ("sort=up", "asc or desc"),
        ("kind=x", "transition"),
        ("since=today", "RFC 3339"),
        ("until=1", "RFC 3339"),
        ("type=", "1 to 128"),
        ("what=1", "unknown field"),
        ("after=x", "invalid digit"),
    ] {
        server.get(&format!("/v1/log?{query}")).await.problem(422, words);
    }
}

async fn what_nodes_observe_of_streams_is_logged(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let channel = server.channel("c").await;
    let breakout = server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    server.snapshot(|snapshot| snapshot.breakouts.iter().any(|breakout| breakout.on_air)).await;
    let channel: ChannelId = text(&channel["id"]).parse().unwrap();
    let one: InputId = text(&server.get("/v1/channels/c").await.body["inputs"][0]["id"]).parse().unwrap();
    let two = InputId::random();
    let connected =
        |bitrate| InputState::Connected { remote: "192.0.2.7:5".into(), encoder: "cam".into(), bitrate, media: None };
    let input = |state| Report::Input { channel: channel.clone(), input: one.clone(), state };
    let active = |input: Option<&InputId>| Report::ActiveInput {
        channel: channel.clone(),
        input: input.cloned(),
        reason: "no media for 3 s".into(),
    };
    let alarm = |raised| Report::Alarm {
        channel: channel.clone(),
        input: one.clone(),
        kind: AlarmKind::NoKeyframes,
        raised,
        detail: "none for 12 s".into(),
    };
    for report in [
        input(connected(0)),
        active(Some(&one)),
        input(connected(5_000_000)),
        alarm(true),
        active(Some(&two)),
        alarm(false),
        input(InputState::Disconnected),
        active(None),
    ] {
        server.reports.send(report).await.unwrap();
    }
    let path = format!("/v1/log?kind=stream&sort=asc&channel={channel}&type=");
    let expected = ["input.connected", "input.active", "input.failover", "input.disconnected", "input.lost"];
    let log = server.until(&format!("{path}input"), |log| log["items"].as_array().unwrap().len() == 5).await;
    assert_eq!(words(&log), expected);
    let entries = log["items"].as_array().unwrap();
    assert_eq!((&entries[0]["details"]["input"], &entries[0]["details"]["remote"]), (&1.into(), &"192.0.2.7:5".into()));
    assert_eq!(entries[2]["details"]["from"], one.as_str());
    assert_eq!(entries[2]["details"]["reason"], "no media for 3 s");
    assert_eq!(entries[0]["breakout"], breakout["id"], "while a breakout is on air it is part of it");
    let alarms = server.get(&format!("{path}alarm")).await.body;
    assert_eq!(words(&alarms), ["alarm.raised", "alarm.cleared"]);
    assert_eq!(alarms["items"][0]["details"]["alarm"], "no_keyframes");
}

async fn a_stream_tells_what_happens_and_resumes(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let mut live = Reader::open(&server, "", None).await;
    let mut channels = Reader::open(&server, "?type=channel&after=0", None).await;
    server.channel("c").await;
    server.act("/v1/channels/c/start").await;
    let expected = ["channel.created", "distribution.created", "channel.wanted", "channel.starting"];
    assert_eq!(live.words(4).await, expected);
    assert_eq!(channels.words(3).await, ["channel.created", "channel.wanted", "channel.starting"]);
    server.snapshot(|snapshot| snapshot.channels.iter().any(|channel| channel.running)).await;
    server.apply().await;
    let (id, word, entry) = channels.next().await.unwrap();
    assert_eq!((word.as_str(), entry["sequence"].as_u64()), ("channel.running", Some(id)));
    let listed = server.get("/v1/log?type=channel.running").await.body["items"][0].clone();
    assert_eq!(entry, listed, "the same as in the list");
    drop(channels);

    server.breakout("b", "c").await;
    server.act("/v1/breakouts/b/start").await;
    let mut resumed = Reader::open(&server, "?after=0", Some(id)).await;
    let mut told = Vec::new();
    while !told.iter().any(|(_, word)| word == "breakout.starting") {
        let (id, word, _) = resumed.next().await.unwrap();
        told.push((id, word));
    }
    assert_eq!(told.first().map(|(first, _)| *first), Some(id + 1), "in order, and nothing twice");
    assert!(told.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{told:?}");
    assert!(told.iter().any(|(_, word)| word == "breakout.created"));
    // A stream shows what another process writes.
    let other = server.db();
    other.log_add(&[anabranch_db::NewEntry::stream("test.elsewhere", "test", "x")], NOW_MS).await.unwrap();
    while resumed.next().await.unwrap().1 != "test.elsewhere" {}

    let bad = server.client.get(format!("{}/v1/log/stream", server.base)).bearer_auth(TOKEN);
    answer(bad.header("Last-Event-ID", "x")).await.problem(422, "Last-Event-ID");
    server.get("/v1/log/stream?kind=x").await.problem(422, "transition");
    // It ends with the server, by itself.
    let dir = server.stop().await;
    while resumed.next().await.is_some() {}
    drop(dir);
}

#[tokio::test]
async fn what_an_ingest_has_said_ends_with_it() {
    let server = Server::start_on(Engine::Sqlite).await;
    let body = json!({"name": "c", "inputs": 2});
    let channel = server.post("/v1/channels", body).await.body;
    let input = |at: usize| -> InputId { text(&channel["inputs"][at]["id"]).parse().unwrap() };
    let (one, two) = (input(0), input(1));
    let id: ChannelId = text(&channel["id"]).parse().unwrap();
    let connected = |input: &InputId| Report::Input {
        channel: id.clone(),
        input: input.clone(),
        state: InputState::Connected { remote: "192.0.2.7:5".into(), encoder: "cam".into(), bitrate: 0, media: None },
    };
    let active = |input: &InputId| Report::ActiveInput {
        channel: id.clone(),
        input: Some(input.clone()),
        reason: "it sends".into(),
    };
    let alarm = |input: &InputId, kind, raised| Report::Alarm {
        channel: id.clone(),
        input: input.clone(),
        kind,
        raised,
        detail: "so it is".into(),
    };
    let begun = || Report::Begun { role: "ingest".into(), node: "local".into() };
    let said = [
        begun(),
        connected(&one),
        connected(&two),
        active(&one),
        active(&two),
        alarm(&one, AlarmKind::Silence, true),
        alarm(&one, AlarmKind::Bitrate, true),
        alarm(&one, AlarmKind::Bitrate, false),
        // Of an input that is gone: nothing stands.
        alarm(&InputId::random(), AlarmKind::Silence, true),
    ];
    let said_count = said.len() - 1;
    for report in said {
        server.reports.send(report).await.unwrap();
    }
    let path = "/v1/log?kind=stream&sort=asc&limit=200";
    let count = |log: &Value| log["items"].as_array().unwrap().len();
    server.until(path, |log| count(log) == said_count).await;

    // The process dies, and nobody takes anything back.
    let server = Server::start_in(server.kill().await, Some(TOKEN)).await;
    assert_eq!(server.get("/v1/channels/c").await.body["failover"]["active_input"], Value::Null);
    server.reports.send(begun()).await.unwrap();
    let ends = ["alarm.cleared", "input.lost", "input.disconnected", "input.disconnected"];
    let log = server.until(path, |log| count(log) == said_count + ends.len()).await;
    assert_eq!(words(&log)[said_count..], ends);
    let entries = &log["items"].as_array().unwrap()[said_count..];
    let why = "ingest has started again";
    let alarm_details = json!({"alarm": "silence", "detail": why, "input": 1});
    assert_eq!((&entries[0]["subject"]["id"], &entries[0]["details"]), (&json!(one.as_str()), &alarm_details));
    assert_eq!(entries[1]["details"], json!({"from": two.as_str(), "reason": why}));
    assert!(entries.iter().all(|entry| entry["channel"] == channel["id"]), "{log}");

    // It happens without the control plane's end, too; what has ended does not end again.
    for report in [begun(), connected(&one), active(&one)] {
        server.reports.send(report).await.unwrap();
    }
    let shown = server.until("/v1/channels/c", |shown| shown["failover"]["active_input"] == one.as_str()).await;
    assert_eq!(shown["inputs"][0]["state"]["connected"], true);
    server.reports.send(begun()).await.unwrap();
    let shown = server.until("/v1/channels/c", |shown| shown["failover"]["active_input"].is_null()).await;
    assert_eq!(shown["inputs"][0]["state"]["connected"], false);
    let log = server.until(path, |log| count(log) == said_count + ends.len() + 4).await;
    let last = ["input.connected", "input.active", "input.lost", "input.disconnected"];
    assert_eq!(words(&log)[said_count + ends.len()..], last);
}

#[tokio::test]
async fn streams_are_counted_and_given_back() {
    let server = Server::start_on(Engine::Sqlite).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Reader::open(&server, "?after=0", None).await);
    }
    server.get("/v1/log/stream").await.problem(503, "too many event streams");
    open.truncate(32);
    let again = async {
        loop {
            let request = server.client.get(format!("{}/v1/log/stream", server.base)).bearer_auth(TOKEN);
            if request.send().await.unwrap().status().as_u16() == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a stream whose reader has gone is given back");
}

async fn the_old_is_pruned_and_readers_are_told_of_the_gap(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("old").await;
    let newest = server.get("/v1/log").await.body["newest"].as_u64().unwrap();
    let other = server.db();
    let keep = anabranch_db::LogRetention { keep_ms: 1000, keep_entries: 100, hard_entries: 200 };
    assert_eq!(other.log_prune(&keep, NOW_MS + 5000).await.unwrap(), newest);
    let log = server.get("/v1/log").await.body;
    assert_eq!((&log["items"], log["oldest"].as_u64()), (&json!([]), Some(newest + 1)));
    server.channel("new").await;
    let mut reader = Reader::open(&server, "?after=1", None).await;
    let (_, word, gap) = reader.next().await.unwrap();
    assert_eq!((word.as_str(), &gap), ("gap", &json!({ "after": 1, "floor": newest })));
    assert_eq!(reader.next().await.unwrap().1, "channel.created");
}

#[tokio::test]
async fn a_reader_that_does_not_keep_up_is_cut_and_resumes() {
    let server = Server::start_on(Engine::Sqlite).await;
    let mut slow = Reader::open(&server, "?after=0&type=test", None).await;
    let mut open = Vec::new();
    for _ in 1..64 {
        open.push(Reader::open(&server, "?type=nothing", None).await);
    }
    // More than what lies between the two ends holds.
    let long = "x".repeat(900);
    let other = server.db();
    let batch: Vec<_> = (0..1000)
        .map(|_| anabranch_db::NewEntry::stream("test.filled", "test", "t").detail("long", long.as_str()))
        .collect();
    for _ in 0..30 {
        other.log_add(&batch, NOW_MS).await.unwrap();
    }
    // The others read nothing either, but nothing is wanted of them: once the slow one is cut there is room for one more.
    let room = async {
        loop {
            let request = server.client.get(format!("{}/v1/log/stream", server.base)).bearer_auth(TOKEN);
            if request.send().await.unwrap().status().as_u16() == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 2, room).await.expect("it is not cut");
    let (mut seen, mut count) = (0, 0);
    while let Some((id, ..)) = slow.next().await {
        (seen, count) = (id, count + 1);
    }
    assert!((1..30_000).contains(&count), "{count}");
    let mut resumed = Reader::open(&server, "?type=test", Some(seen)).await;
    for _ in count..30_000 {
        let (id, ..) = resumed.next().await.unwrap();
        assert_eq!(id, seen + 1);
        seen = id;
    }
}
