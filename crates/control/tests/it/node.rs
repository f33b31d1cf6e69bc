//! Nodes that are processes of their own: snapshots, reports, who is waited for.

use std::time::{Duration, Instant};

use anabranch_model::{
    BreakoutId, Briefing, DistributionId, InstanceId, PlaneId, Report, ReportBatch, SpoolId, Traffic, VIEWERS_MAX,
    ViewerSeen,
};
use anabranch_testkit::{Engine, both};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, NODE_TOKEN, NOW_MS, ORIGIN, Server, TOKEN, answer, own, text};

both!(
    a_change_waits_for_every_node_that_is_there,
    nodes_that_left_are_lost_or_forgotten_are_not_waited_for,
    after_a_restart_known_nodes_are_waited_for_before_they_are_heard,
    a_database_that_was_set_back_or_made_anew_is_believed,
    a_batch_counts_once_however_often_it_arrives,
    batches_of_viewers_are_taken_within_their_limits,
);

/// A node by hand.
struct Node<'a> {
    server: &'a Server,
    name: &'a str,
    instance: InstanceId,
}

impl<'a> Node<'a> {
    fn new(server: &'a Server, name: &'a str) -> Self {
        Self { server, name, instance: InstanceId::random() }
    }

    fn url(&self, plane: Option<&PlaneId>, after: u64) -> String {
        let plane = plane.map_or_else(String::new, |plane| format!("&plane={plane}"));
        format!(
            "{}/edge/v1/snapshot?node={}&instance={}&role=edge&location=Basel&location_class=PriceClass_100&after={after}&origin={ORIGIN}{plane}",
            self.server.base, self.name, self.instance
        )
    }

    /// Asks for what comes after; does not wait for the answer to come.
    fn ask(&self, plane: Option<&PlaneId>, after: u64) -> tokio::task::JoinHandle<Answer> {
        let request = self.server.client.get(self.url(plane, after)).bearer_auth(NODE_TOKEN);
        tokio::spawn(answer(request))
    }

    async fn first(&self) -> Briefing {
        briefing(self.ask(None, 0).await.unwrap())
    }

    async fn leave(&self) {
        let url = format!("{}/edge/v1/nodes/{}?instance={}", self.server.base, self.name, self.instance);
        let left = answer(self.server.client.delete(url).bearer_auth(NODE_TOKEN)).await;
        assert_eq!(left.status, StatusCode::NO_CONTENT);
    }
}

fn briefing(answer: Answer) -> Briefing {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    serde_json::from_value(answer.body).unwrap()
}

async fn send(server: &Server, batch: &Value) -> Answer {
    answer(server.client.post(format!("{}/edge/v1/reports", server.base)).bearer_auth(NODE_TOKEN).json(batch)).await
}

fn batch(spool: &SpoolId, sequence: u64, traffic: Vec<Traffic>) -> Value {
    batch_of(spool, sequence, Report::Traffic(traffic))
}

fn batch_of(spool: &SpoolId, sequence: u64, report: Report) -> Value {
    let node = "edge-1".parse().unwrap();
    serde_json::to_value(ReportBatch { node, spool: spool.clone(), sequence, reports: vec![report], journal: 0 })
        .unwrap()
}

async fn node_shown(server: &Server, name: &str, state: &str) -> Value {
    let is = |node: &&Value| node["name"] == name && node["state"] == state;
    let nodes = server.until("/v1/nodes", |nodes| nodes["items"].as_array().unwrap().iter().any(|n| is(&n))).await;
    nodes["items"].as_array().unwrap().iter().find(is).unwrap().clone()
}

async fn distribution_status(server: &Server, id: &str, wanted: &'static str) {
    server.until(&format!("/v1/distributions/{id}"), |distribution| distribution["status"] == wanted).await;
}

#[tokio::test]
async fn only_nodes_that_know_the_token_are_served() {
    let server = Server::start_on(Engine::Sqlite).await;
    let node = Node::new(&server, "edge-1");
    for token in [None, Some("wrong"), Some(TOKEN)] {
        for (method, path) in [
            (Method::GET, node.url(None, 0)),
            (Method::POST, format!("{}/edge/v1/reports", server.base)),
            (Method::DELETE, format!("{}/edge/v1/nodes/x?instance=y", server.base)),
        ] {
            let request = server.client.request(method, path);
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            answer(request).await.problem(401, "anabranch node token");
        }
    }
    let admin = server.client.get(format!("{}/v1/channels", server.base)).bearer_auth(NODE_TOKEN);
    answer(admin).await.problem(401, "not one of this server");
}

#[tokio::test]
async fn a_held_request_is_answered_when_something_changes() {
    let server = Server::start_on(Engine::Sqlite).await;
    let node = Node::new(&server, "edge-1");
    let first = node.first().await;
    assert_eq!(first.origin.as_deref(), Some(ORIGIN));
    let held = node.ask(Some(&first.plane), first.snapshot.version);
    node_shown(&server, "edge-1", "connected").await;
    assert!(!held.is_finished());
    let began = Instant::now();
    server.channel("c").await;
    let mut second = briefing(held.await.unwrap());
    // Pipeline and distribution are made one after the other.
    while own(&second.snapshot).is_empty() {
        second = briefing(node.ask(Some(&first.plane), second.snapshot.version).await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(second.snapshot.version > first.snapshot.version);
    assert_eq!(own(&second.snapshot).len(), 1);
    assert!(second.snapshot.channels.is_empty(), "stream keys are no edge's business");
}

#[tokio::test]
async fn held_requests_end_with_the_server() {
    let server = Server::start_on(Engine::Sqlite).await;
    let node = Node::new(&server, "edge-1");
    let first = node.first().await;
    let held = node.ask(Some(&first.plane), first.snapshot.version);
    node_shown(&server, "edge-1", "connected").await;
    let began = Instant::now();
    server.stop().await;
    assert_eq!(held.await.unwrap().status, StatusCode::NO_CONTENT);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

async fn a_change_waits_for_every_node_that_is_there(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let distribution = text(&server.channel("c").await["distribution"]["id"]).to_owned();
    let snapshot = server.snapshot(|snapshot| own(snapshot).len() == 1).await;
    let server = &server;
    let (one, two) = (Node::new(server, "edge-1"), Node::new(server, "edge-2"));
    let plane = one.first().await.plane;
    two.first().await;
    server.applied("edge", snapshot.version).await;
    let _one = one.ask(Some(&plane), snapshot.version);
    node_shown(server, "edge-1", "connected").await;
    let shown = server.get(&format!("/v1/distributions/{distribution}")).await;
    assert_eq!(shown.body["status"], "InProgress", "edge-2 has not applied it");
    let _two = two.ask(Some(&plane), snapshot.version);
    distribution_status(server, &distribution, "Deployed").await;
    let shown = node_shown(server, "edge-2", "connected").await;
    assert_eq!((&shown["version"], &shown["location"]), (&json!(snapshot.version), &json!("Basel")));
    assert_eq!(shown["newest_version"], json!(snapshot.version));
}

#[tokio::test]
async fn a_node_that_was_heard_before_the_clock_was_set_back_is_lost_in_its_time() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.clock.set_ms(NOW_MS + 365 * 24 * 3_600_000);
    Node::new(&server, "a").first().await;
    server.clock.set_ms(NOW_MS);
    let heard_now = |list: &Value| {
        let mut items = list["items"].as_array().unwrap().iter();
        items.any(|item| item["name"] == "a" && item["seen_at"] == "2026-01-01T00:00:00.000Z")
    };
    server.until("/v1/nodes", heard_now).await;
    server.clock.set_ms(NOW_MS + 601_000);
    node_shown(&server, "a", "lost").await;
}

async fn nodes_that_left_are_lost_or_forgotten_are_not_waited_for(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    for (name, how) in [("a", "left"), ("b", "lost"), ("c", "forgotten")] {
        let node = Node::new(&server, name);
        node.first().await;
        let distribution = text(&server.channel(name).await["distribution"]["id"]).to_owned();
        let version = server.snapshot(|s| s.distributions.iter().any(|d| d.id.as_str() == distribution)).await.version;
        server.applied("edge", version).await;
        let node = Node { server: &server, name, instance: InstanceId::random() };
        let shown = server.get(&format!("/v1/distributions/{distribution}")).await;
        assert_eq!(shown.body["status"], "InProgress", "{how}");
        match how {
            "left" => {
                // The goodbye of another life does not count.
                node.leave().await;
                node_shown(&server, name, "connected").await;
                node.first().await;
                node.leave().await;
                node_shown(&server, name, "left").await;
            }
            "lost" => {
                server.clock.set_ms(NOW_MS + 50_000);
                node_shown(&server, name, "silent").await;
                server.clock.set_ms(NOW_MS + 601_000);
                node_shown(&server, name, "lost").await;
            }
            _ => {
                assert_eq!(server.delete(&format!("/v1/nodes/{name}")).await.status, StatusCode::NO_CONTENT);
                server.delete(&format!("/v1/nodes/{name}")).await.problem(404, "no node");
            }
        }
        distribution_status(&server, &distribution, "Deployed").await;
    }
}

#[tokio::test]
async fn a_node_whose_held_request_is_cut_is_silent_within_seconds_and_still_waited_for() {
    let mut server = Server::start_on(Engine::Sqlite).await;
    let node = Node::new(&server, "edge-1");
    let first = node.first().await;
    let held = node.ask(Some(&first.plane), first.snapshot.version);
    node_shown(&server, "edge-1", "connected").await;
    held.abort();
    // The cut counts from when the server sees it.
    let mut seconds = 0;
    while server.get("/v1/nodes").await.body["items"].as_array().unwrap().iter().all(|node| node["state"] != "silent") {
        seconds += 6;
        assert!(seconds < 300, "it is never silent");
        server.clock.set_ms(NOW_MS + seconds * 1000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let distribution = text(&server.channel("c").await["distribution"]["id"]).to_owned();
    let version = server.snapshot(|snapshot| own(snapshot).len() == 1).await.version;
    server.applied("edge", version).await;
    let path = format!("/v1/distributions/{distribution}");
    let told = |distribution: &Value| text(&distribution["waiting_for"]).contains("`anabranch node forget edge-1`");
    assert_eq!(server.until(&path, told).await["status"], "InProgress");
    assert_eq!(server.delete("/v1/nodes/edge-1").await.status, StatusCode::NO_CONTENT);
    distribution_status(&server, &distribution, "Deployed").await;
}

async fn after_a_restart_known_nodes_are_waited_for_before_they_are_heard(engine: Engine) {
    let server = Server::start_on(engine).await;
    let node = Node::new(&server, "edge-1");
    let plane = node.first().await.plane;
    let distribution = text(&server.channel("c").await["distribution"]["id"]).to_owned();
    let mut server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    let version = server.snapshot(|_| true).await.version;
    server.applied("edge", version).await;
    let path = format!("/v1/distributions/{distribution}");
    node_shown(&server, "edge-1", "silent").await;
    assert_eq!(server.get(&path).await.body["status"], "InProgress");
    let node = Node::new(&server, "edge-1");
    assert_eq!(node.first().await.plane, plane, "the same database is the same control plane");
    let _held = node.ask(Some(&plane), version);
    distribution_status(&server, &distribution, "Deployed").await;
}

#[tokio::test]
async fn a_second_node_of_a_name_is_refused() {
    let server = Server::start_on(Engine::Sqlite).await;
    let node = Node::new(&server, "edge-1");
    let first = node.first().await;
    let held = node.ask(Some(&first.plane), first.snapshot.version);
    node_shown(&server, "edge-1", "connected").await;
    // The first request of a node is answered at once, so that the held one alone makes it refuse.
    server.until("/v1/nodes", |_| true).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let other = Node::new(&server, "edge-1");
    loop {
        let refused = other.ask(None, 0).await.unwrap();
        if refused.status == StatusCode::CONFLICT {
            refused.problem(409, "node.name");
            break;
        }
        assert!(Instant::now() < deadline);
    }
    server.delete("/v1/nodes/edge-1").await.problem(409, "stop it first");
    server.applied("edge", 1).await;
    node_shown(&server, "n1", "connected").await;
    Node::new(&server, "n1").ask(None, 0).await.unwrap().problem(409, "node.name");
    assert!(!held.is_finished());
}

async fn a_database_that_was_set_back_or_made_anew_is_believed(engine: Engine) {
    let server = Server::start_on(engine).await;
    let node = Node::new(&server, "edge-1");
    let first = node.first().await;
    // A node that has more than the database: a backup was put in place.
    let raised = briefing(node.ask(Some(&first.plane), 5000).await.unwrap());
    assert!(raised.snapshot.version > 5000);
    // A node that comes from another control plane is told at once, whatever its version.
    let told = briefing(node.ask(Some(&PlaneId::random()), 1_000_000).await.unwrap());
    assert_eq!(told.snapshot.version, raised.snapshot.version);
    // One that knows another origin room, too.
    let url = node.url(Some(&first.plane), raised.snapshot.version).replace(ORIGIN, "127.0.0.1:1");
    let told = briefing(answer(server.client.get(url).bearer_auth(NODE_TOKEN)).await);
    assert_eq!(told.snapshot.version, raised.snapshot.version);
}

async fn a_batch_counts_once_however_often_it_arrives(engine: Engine) {
    let server = Server::start_on(engine).await;
    let id: DistributionId = text(&server.channel("c").await["distribution"]["id"]).parse().unwrap();
    let breakout = BreakoutId::random();
    let one = Traffic {
        behavior: "*.m3u8".into(),
        breakout: Some(breakout.clone()),
        requests: 4,
        bytes: 100,
        statuses: [0, 3, 0, 1, 0],
        hits: 3,
        misses: 1,
        ..Traffic::none(id.clone())
    };
    let other = Traffic { behavior: "*".into(), breakout: None, ..one.clone() };
    let spool = SpoolId::random();
    for sequence in [1, 1, 2, 1, 2, 2] {
        let taken = send(&server, &batch(&spool, sequence, vec![one.clone(), other.clone()])).await;
        assert_eq!((taken.status, &taken.body), (StatusCode::OK, &json!({ "acknowledged": sequence })));
    }
    // What the control plane's own edge tells is added.
    server.reports.send(Report::Traffic(vec![one.clone()])).await.unwrap();
    let path = format!("/v1/distributions/{id}");
    server.until(&path, |distribution| distribution["requests_total"] == 20).await;
    let shown = server.get(&format!("{path}/traffic")).await.body;
    assert_eq!(shown["totals"]["requests"], 20);
    assert_eq!(shown["totals"]["statuses"], json!({ "1xx": 0, "2xx": 15, "3xx": 0, "4xx": 5, "5xx": 0 }));
    assert_eq!(shown["totals"]["hit_ratio"], 0.75);
    assert_eq!(shown["behaviors"][0]["behavior"], "*");
    assert_eq!((&shown["behaviors"][0]["requests"], &shown["behaviors"][1]["requests"]), (&json!(8), &json!(12)));
    assert_eq!(shown["breakouts"][0]["breakout"], breakout.as_str());
    assert_eq!(shown["breakouts"][0]["bytes"], 300);
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    assert_eq!(send(&server, &batch(&spool, 2, vec![one])).await.status, StatusCode::OK);
    assert_eq!(server.get(&format!("{path}/traffic")).await.body, shown);
}

#[tokio::test]
async fn batches_beyond_the_limits_are_refused_whole() {
    let server = Server::start_on(Engine::Sqlite).await;
    let id: DistributionId = text(&server.channel("c").await["distribution"]["id"]).parse().unwrap();
    let spool = SpoolId::random();
    let one = Traffic { requests: 1, ..Traffic::none(id.clone()) };
    let many = vec![one.clone(); anabranch_model::REPORT_ROWS_MAX + 1];
    send(&server, &batch(&spool, 1, many)).await.problem(422, "rows");
    let much = Traffic { bytes: u64::MAX, ..one.clone() };
    send(&server, &batch(&spool, 1, vec![one.clone(), much])).await.problem(422, "count");
    let long = Traffic { behavior: "x".repeat(257), ..one.clone() };
    send(&server, &batch(&spool, 1, vec![long])).await.problem(422, "pattern");
    send(&server, &batch(&spool, 0, vec![one.clone()])).await.problem(422, "numbered");
    let mut foreign = batch(&spool, 1, vec![one.clone()]);
    foreign["reports"] = json!([{ "Applied": { "role": "edge", "node": "n", "version": 1 } }]);
    send(&server, &foreign).await.problem(422, "traffic, viewers and quality only");
    foreign["node"] = json!("../x");
    send(&server, &foreign).await.problem(422, "identifier");
    let path = format!("/v1/distributions/{id}");
    assert_eq!(server.get(&path).await.body["requests_total"], 0);
    // The refused number is still free.
    assert_eq!(send(&server, &batch(&spool, 1, vec![one])).await.status, StatusCode::OK);
    assert_eq!(server.get(&path).await.body["requests_total"], 1);
}

async fn batches_of_viewers_are_taken_within_their_limits(engine: Engine) {
    let server = Server::start_on(engine).await;
    let spool = SpoolId::random();
    let seen = ViewerSeen {
        breakout: BreakoutId::random(),
        session: "é".repeat(128),
        user: "u1".to_owned(),
        address: "2001:db8::1".to_owned(),
        user_agent: "é".repeat(256),
        first_ms: NOW_MS,
        last_ms: NOW_MS,
        bytes: 1,
        stays: Vec::new(),
    };
    let with = |change: fn(&mut ViewerSeen)| {
        let mut changed = seen.clone();
        change(&mut changed);
        batch_of(&spool, 1, Report::Viewers(vec![seen.clone(), changed]))
    };
    for (bad, words) in [
        (batch_of(&spool, 1, Report::Viewers(vec![seen.clone(); VIEWERS_MAX + 1])), "rows"),
        (with(|seen| seen.session.push('x')), "characters"),
        (with(|seen| seen.session.clear()), "characters"),
        (with(|seen| seen.user = "x".repeat(129)), "characters"),
        (with(|seen| seen.user_agent.push('x')), "too long"),
        (with(|seen| seen.address = "x".repeat(65)), "too long"),
        (with(|seen| seen.last_ms -= 1), "first"),
        (with(|seen| seen.first_ms = -1), "first"),
        (with(|seen| seen.bytes = u64::MAX), "count"),
    ] {
        send(&server, &bad).await.problem(422, words);
    }
    // Twice is once.
    for _ in 0..2 {
        let taken = send(&server, &with(|seen| seen.user.clear())).await;
        assert_eq!((taken.status, &taken.body), (StatusCode::OK, &json!({ "acknowledged": 1 })));
    }
}

#[tokio::test]
async fn bad_questions_are_refused() {
    let server = Server::start_on(Engine::Sqlite).await;
    let node = Node::new(&server, "edge-1");
    for (from, to, words) in [
        ("role=edge", "role=ingest", "edge"),
        ("node=edge-1", "node=a%2Fb", "identifier"),
        ("location=Basel", "location=%00", "location"),
        ("after=0", "after=18446744073709551615", "version"),
    ] {
        let url = node.url(None, 0).replace(from, to);
        answer(server.client.get(url).bearer_auth(NODE_TOKEN)).await.problem(422, words);
    }
}
