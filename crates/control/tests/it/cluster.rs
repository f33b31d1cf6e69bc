//! Clusters: words, votes and peers over real HTTP, between control planes that have nothing in common but that.

use std::sync::Arc;
use std::time::Duration;

use anabranch_model::{ClosedSpec, Snapshot};
use anabranch_testkit::{Engine, both};
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{NOW_MS, Server, TOKEN, answer, text};

both!(
    a_region_is_closed_and_opened_and_edges_are_told,
    the_automat_closes_with_evidence_and_opens_again,
    what_is_said_is_kept_over_a_restart,
    a_stream_is_aligned_from_the_first_snapshot_after_a_restart,
);

/// Longest wait for what a peer is told.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn regions() -> Value {
    json!([
        { "name": "eu", "origin_url": "http://origin.eu.example.com/{breakout}/index.m3u8",
          "cdn_url": "https://cdn.eu.example.com/{breakout}/index.m3u8" },
        { "name": "us", "origin_url": "http://origin.us.example.com/{breakout}/index.m3u8",
          "cdn_url": "https://cdn.us.example.com:8443/{breakout}/index.m3u8" },
    ])
}

pub(crate) fn region<'a>(cluster: &'a Value, name: &str) -> &'a Value {
    cluster["regions"].as_array().unwrap().iter().find(|region| region["name"] == name).unwrap()
}

pub(crate) fn is(name: &'static str, opening: &'static str) -> impl Fn(&Value) -> bool + Copy {
    move |cluster| region(cluster, name)["opening"] == opening
}

async fn distribution(server: &mut Server) -> String {
    let channel = server.channel("c").await;
    let id = text(&channel["distribution"]["id"]).to_owned();
    server.snapshot(|snapshot| snapshot.distributions.iter().any(|spec| spec.id.as_str() == id)).await;
    id
}

pub(crate) async fn made(server: &Server, body: Value) -> Value {
    let made = server.post("/v1/clusters", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.body
}

pub(crate) async fn done(server: &Server, path: &str, body: Value) -> Value {
    let done = server.post(path, body).await;
    assert!(done.status.is_success(), "{path}: {}", done.body);
    done.body
}

pub(crate) async fn vote(server: &Server, region: &str, watcher: &str, state: &str) {
    let body = json!({ "region": region, "watcher": watcher, "state": state, "reason": format!("it is {state}"),
                       "evidence": { "seen": state } });
    assert_eq!(server.post("/v1/clusters/c/votes", body).await.status, StatusCode::NO_CONTENT);
}

fn closed(snapshot: &Snapshot) -> Vec<(&str, &str)> {
    snapshot
        .closed
        .iter()
        .map(|ClosedSpec { region, distribution, .. }| (region.as_str(), distribution.as_str()))
        .collect()
}

async fn a_region_is_closed_and_opened_and_edges_are_told(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let id = distribution(&mut server).await;
    let mut body = json!({ "name": "c", "here": "eu", "regions": regions() });
    body["regions"][0]["distribution"] = json!(id);
    body["regions"][0]["paths"] = json!(["/live/*"]);
    let cluster = made(&server, body.clone()).await;
    assert_eq!((&cluster["here"], &cluster["automat"]["mode"]), (&json!("eu"), &json!("manual")));
    assert_eq!(region(&cluster, "eu")["opening"], "open");
    server.post("/v1/clusters", body).await.problem(409, "already a cluster");
    server.apply().await;

    let began = std::time::Instant::now();
    let shown = done(&server, "/v1/clusters/c/close", json!({ "region": "eu", "why": "maintenance" })).await;
    let eu = region(&shown, "eu");
    assert_eq!(
        (&eu["opening"], &eu["by"], &eu["who"], &eu["why"]),
        (&json!("closed"), &json!("operator"), &json!("admin"), &json!("maintenance"))
    );
    let snapshot = server.snapshot(|snapshot| !snapshot.closed.is_empty()).await;
    assert!(began.elapsed() < Duration::from_secs(2), "edges are told within two seconds");
    assert_eq!(closed(&snapshot), [("eu", id.as_str())]);
    assert_eq!(snapshot.closed[0].paths, ["/live/*"]);
    assert_eq!(region(&server.get("/v1/clusters/c").await.body, "eu")["in_force"], false, "an edge is behind");
    server.applied_until("/v1/clusters/c", |cluster| region(cluster, "eu")["in_force"] == true).await;

    // Somebody else's region is no edge's of ours; everything may be closed by an operator, who is told.
    let shown = done(&server, "/v1/clusters/c/close", json!({ "region": "us" })).await;
    assert_eq!(region(&shown, "us")["in_force"], true);
    assert!(text(&shown["warning"]).contains("every region is closed"), "{shown}");
    done(&server, "/v1/clusters/c/open", json!({ "region": "eu" })).await;
    let open = server.snapshot(|snapshot| snapshot.closed.is_empty()).await;
    assert!(open.version > snapshot.version);
    let shown = done(&server, "/v1/clusters/c/automatic", json!({ "region": "us" })).await;
    assert_eq!((region(&shown, "us")["opening"].as_str(), shown["warning"].is_null()), (Some("open"), true));

    let history = server.get("/v1/clusters/c/history?limit=3").await.body;
    let what: Vec<&str> = history["items"].as_array().unwrap().iter().map(|item| text(&item["what"])).collect();
    assert_eq!(what, ["automatic", "open", "closed"]);
    let rest = server.get(&format!("/v1/clusters/c/history?after={}", text(&history["next"]))).await.body;
    assert_eq!((rest["items"][0]["why"].as_str(), &rest["next"]), (Some("maintenance"), &Value::Null));
    let log = server.get("/v1/log?type=cluster&sort=asc").await.body;
    let types: Vec<&str> = log["items"].as_array().unwrap().iter().map(|item| text(&item["type"])).collect();
    let expected = [
        "cluster.created",
        "cluster.region.closed",
        "cluster.region.closed",
        "cluster.region.opened",
        "cluster.region.automatic",
    ];
    assert_eq!(types, expected);
    assert_eq!((&log["items"][1]["actor"], &log["items"][1]["details"]["region"]), (&json!("admin"), &json!("eu")));

    // A cluster that is gone closes nothing.
    done(&server, "/v1/clusters/c/close", json!({ "region": "eu" })).await;
    server.snapshot(|snapshot| !snapshot.closed.is_empty()).await;
    assert_eq!(server.delete("/v1/clusters/c").await.status, StatusCode::NO_CONTENT);
    server.snapshot(|snapshot| snapshot.closed.is_empty()).await;
    server.get("/v1/clusters/c").await.problem(404, "no cluster");
}

async fn the_automat_closes_with_evidence_and_opens_again(engine: Engine) {
    let server = Server::start_on(engine).await;
    let body = json!({ "name": "c", "here": "eu", "regions": regions(), "automat": { "mode": "automatic" } });
    assert_eq!(made(&server, body).await["decides"], true);
    let mut now_ms = NOW_MS;
    // Watchers speak with each step of the clock.
    let pass = async |now_ms: &mut i64, seconds: i64, eu: &str| {
        for _ in 0..seconds {
            *now_ms += 1_000;
            server.clock.set_ms(*now_ms);
            vote(&server, "eu", "w", eu).await;
            vote(&server, "us", "w", "fresh").await;
        }
    };
    pass(&mut now_ms, 1, "fresh").await;
    let shown = server.until("/v1/clusters/c", |cluster| region(cluster, "eu")["verdict"] == "fresh").await;
    assert_eq!(region(&shown, "eu")["watchers"], 1);
    pass(&mut now_ms, 3, "stale").await;
    let shown = server.until("/v1/clusters/c", is("eu", "closed")).await;
    let eu = region(&shown, "eu");
    assert_eq!((&eu["by"], &eu["who"], &eu["verdict"]), (&json!("automat"), &json!("automat"), &json!("stale")));
    let history = server.get("/v1/clusters/c/history").await.body;
    let evidence = &history["items"][0]["evidence"];
    assert_eq!(
        (&evidence["votes"][0]["watcher"], &evidence["votes"][0]["evidence"]["seen"]),
        (&json!("w"), &json!("stale"))
    );
    // It flaps, and stays as it is; then it is fresh for the hold.
    for state in ["fresh", "stale", "fresh", "stale"] {
        pass(&mut now_ms, 5, state).await;
        assert_eq!(region(&server.get("/v1/clusters/c").await.body, "eu")["opening"], "closed");
    }
    pass(&mut now_ms, 62, "fresh").await;
    server.until("/v1/clusters/c", is("eu", "open")).await;
    let history = server.get("/v1/clusters/c/history").await.body;
    let what: Vec<&str> = history["items"].as_array().unwrap().iter().map(|item| text(&item["what"])).collect();
    assert_eq!(what, ["open", "closed"]);

    // The last healthy region is not closed, and it is said why; the operator's word wins.
    pass(&mut now_ms, 3, "stale").await;
    let withheld = |history: &Value| history["items"][0]["what"] == "withheld";
    let history = server.until("/v1/clusters/c/history", withheld).await;
    assert!(text(&history["items"][0]["why"]).contains("switched a short while ago"), "{history}");
    done(&server, "/v1/clusters/c/open", json!({ "region": "eu", "why": "I know better" })).await;
    pass(&mut now_ms, 90, "stale").await;
    assert_eq!(region(&server.get("/v1/clusters/c").await.body, "eu")["opening"], "open");
    done(&server, "/v1/clusters/c/automatic", json!({ "region": "eu" })).await;
    server.until("/v1/clusters/c", is("eu", "closed")).await;

    // A watcher that says nothing is an alarm and no vote.
    server.clock.set_ms(now_ms + 6_000);
    let shown = server.until("/v1/clusters/c", |cluster| cluster["silent_watchers"] == json!(["w"])).await;
    assert_eq!(region(&shown, "eu")["verdict"], "unknown");
    server.until("/v1/log?type=cluster.watcher.silent", |log| log["items"][0]["details"]["watcher"] == "w").await;
    let votes = server.get("/v1/clusters/c/votes").await.body;
    assert_eq!((&votes["items"][0]["counts"], &votes["items"][0]["state"]), (&json!(false), &json!("stale")));
}

async fn what_is_said_is_kept_over_a_restart(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let id = distribution(&mut server).await;
    let mut body = json!({ "name": "c", "here": "eu", "regions": regions() });
    body["regions"][0]["distribution"] = json!(id);
    made(&server, body).await;
    done(&server, "/v1/clusters/c/close", json!({ "region": "eu" })).await;
    vote(&server, "us", "w", "fresh").await;
    server.until("/v1/log?type=cluster.region.fresh", |log| !log["items"].as_array().unwrap().is_empty()).await;
    let scratch = server.stop().await;
    let mut server = Server::start_in(scratch, Some(TOKEN)).await;
    let snapshot = server.snapshot(|snapshot| !snapshot.closed.is_empty()).await;
    assert_eq!(closed(&snapshot), [("eu", id.as_str())]);
    assert_eq!(server.get("/v1/clusters/c/votes").await.body["items"][0]["state"], "fresh");
    // A drill ends by itself, even if nobody else does anything.
    done(&server, "/v1/clusters/c/automatic", json!({ "region": "eu" })).await;
    let shown =
        done(&server, "/v1/clusters/c/drill", json!({ "region": "eu", "seconds": 30, "why": "practice" })).await;
    assert_eq!((&region(&shown, "eu")["by"], region(&shown, "eu")["until"].is_string()), (&json!("drill"), true));
    server.snapshot(|snapshot| !snapshot.closed.is_empty()).await;
    server.clock.set_ms(NOW_MS + 30_000);
    server.snapshot(|snapshot| snapshot.closed.is_empty()).await;
    let history = server.until("/v1/clusters/c/history", |history| history["items"][0]["what"] == "automatic").await;
    assert_eq!((&history["items"][1]["what"], &history["items"][1]["why"]), (&json!("drill"), &json!("practice")));
}

async fn a_stream_is_aligned_from_the_first_snapshot_after_a_restart(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let id = distribution(&mut server).await;
    let mut body = json!({ "name": "c", "here": "eu", "regions": regions() });
    body["regions"][0]["distribution"] = json!(id);
    made(&server, body).await;
    done(&server, "/v1/breakouts", json!({ "name": "show", "channel": "c", "cluster": "c" })).await;
    done(&server, "/v1/breakouts/show/start", json!({})).await;
    let aligned = |snapshot: &Snapshot| snapshot.breakouts.iter().find_map(|breakout| breakout.aligned.clone());
    let before = aligned(&*server.snapshot(|snapshot| aligned(snapshot).is_some()).await);
    assert_eq!(before.as_ref().map(|spec| spec.region.as_str()), Some("eu"));
    // A packager opens what is on air by the first snapshot that it sees, and does not change it later.
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    assert_eq!(aligned(&server.snapshots.borrow()), before);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let server = Server::start_on(Engine::Sqlite).await;
    let create = async |change: fn(&mut Value)| {
        let mut body = json!({ "name": "c", "regions": regions() });
        change(&mut body);
        server.post("/v1/clusters", body).await
    };
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 12] = [
        (|body| body["regions"] = json!([]), "2 to 8 regions"),
        (|body| body["name"] = json!(""), "1 to 100"),
        (|body| body["here"] = json!("asia"), "no region with this name"),
        (|body| body["regions"][0]["origin_url"] = json!("ftp://x/"), "http:// or https://"),
        (|body| body["regions"][0]["origin_url"] = json!("x"), "not a URL"),
        (|body| body["regions"][0]["cdn_url"] = json!("http://{breakout}.x/"), "same for every breakout"),
        (|body| body["regions"][0]["distribution"] = json!("ENONE"), "create it first"),
        (|body| body["regions"][0]["peer"] = json!({ "url": "http://peer" }), "scope cluster"),
        (|body| body["regions"][0]["peer"] = json!({ "url": "http://169.254.169.254", "token": "t" }), "may not have"),
        (|body| body["automat"] = json!({ "mode": "wild" }), "stands for mode"),
        (|body| body["automat"] = json!({ "hold_ms": 1 }), "hold_ms is"),
        (|body| body["watch"] = json!({ "vote": "some" }), "stands for vote"),
    ];
    for (change, words) in cases {
        create(change).await.problem(422, words);
    }
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let post = async |path: &str, body: Value| server.post(&format!("/v1/clusters/c/{path}"), body).await;
    post("close", json!({ "region": "asia" })).await.problem(422, "no region with this name");
    post("close", json!({ "region": "eu", "why": "x".repeat(1001) })).await.problem(422, "at most 1000");
    post("drill", json!({ "region": "eu", "seconds": 0 })).await.problem(422, "1 to 3600");
    post("votes", json!({ "region": "eu", "watcher": "w", "state": "bad" })).await.problem(422, "stands for state");
    post("votes", json!({ "region": "eu", "watcher": "", "state": "fresh" })).await.problem(422, "1 to 100");
    post("votes", json!({ "region": "asia", "watcher": "w", "state": "fresh" })).await.problem(422, "no region");
    server.post("/v1/clusters/d/close", json!({ "region": "eu" })).await.problem(404, "no cluster");
    done(&server, "/v1/clusters/c/close", json!({ "region": "us" })).await;
    post("drill", json!({ "region": "eu", "seconds": 5 })).await.problem(409, "without any");
    post("drill", json!({ "region": "asia", "seconds": 5 })).await.problem(422, "no region with this name");
    server.get("/v1/clusters/c/history?limit=0").await.problem(422, "1 to 200");
    for at in 0..32 {
        vote(&server, "eu", &format!("w{at}"), "fresh").await;
    }
    post("votes", json!({ "region": "eu", "watcher": "w32", "state": "fresh" })).await.problem(409, "32 watchers");
}

#[tokio::test]
async fn a_definition_changes_in_place() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "here": "eu", "regions": regions() })).await;
    let change =
        json!({ "here": "", "automat": { "mode": "automatic", "hold_ms": 5_000 }, "watch": { "vote": "any" } });
    let changed = server.patch("/v1/clusters/c", change).await.body;
    assert_eq!((&changed["here"], &changed["automat"]["hold_ms"]), (&Value::Null, &json!(5_000)), "{changed}");
    assert_eq!(
        (&changed["automat"]["mode"], &changed["automat"]["cool_down_ms"]),
        (&json!("automatic"), &json!(10_000))
    );
    assert_eq!(changed["watch"]["vote"], "any");
    server.patch("/v1/clusters/c", json!({ "automat": { "hold_ms": 1 } })).await.problem(422, "hold_ms");
    done(&server, "/v1/clusters/c/close", json!({ "region": "us" })).await;
    let mut other = regions();
    other[1]["name"] = json!("asia");
    let changed = server.patch("/v1/clusters/c", json!({ "regions": other })).await.body;
    assert_eq!((region(&changed, "asia")["opening"].as_str(), changed["regions"][2].is_null()), (Some("open"), true));
    let changed = server.patch("/v1/clusters/c", json!({ "regions": regions() })).await.body;
    assert_eq!(region(&changed, "us")["opening"], "open", "what was said of a region goes with it");
}

#[tokio::test]
async fn edge_functions_elsewhere_are_told_and_fail_open() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let ask = async |query: &str| {
        let response = server.client.get(format!("{}/cluster/v1/decision{query}", server.base)).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["cache-control"]),
            (200, &"public, max-age=1".parse().unwrap())
        );
        response.json::<Value>().await.unwrap()
    };
    let unknown = json!({ "open": true, "region": null, "cluster": null });
    assert_eq!(ask("").await, unknown);
    assert_eq!(ask("?distribution=cdn.asia.example.com").await, unknown);
    assert_eq!(
        ask("?distribution=CDN.us.example.com&x=y").await,
        json!({ "open": true, "region": "us", "cluster": "c" })
    );
    done(&server, "/v1/clusters/c/close", json!({ "region": "us" })).await;
    assert_eq!(
        ask("?distribution=cdn.us.example.com:8443").await,
        json!({ "open": false, "region": "us", "cluster": "c" })
    );
    assert_eq!(ask("?distribution=cdn.eu.example.com:443").await["open"], true);
}

#[tokio::test]
async fn what_peers_are_told_needs_its_scope_and_waits_for_news() {
    let server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let token = async |scope: &str| {
        let body = json!({ "name": format!("for {scope}"), "scopes": [scope] });
        text(&server.post("/v1/tokens", body).await.body["secret"]).to_owned()
    };
    let (peer, reader) = (token("cluster").await, token("read").await);
    let url = format!("{}/v1/clusters/c/state", server.base);
    answer(server.client.get(&url).bearer_auth(&reader)).await.problem(403, "scope cluster");
    answer(server.client.get(format!("{}/v1/clusters/c", server.base)).bearer_auth(&peer))
        .await
        .problem(403, "scope read");
    let first = server.client.get(&url).bearer_auth(&peer).send().await.unwrap();
    let etag = first.headers()["etag"].clone();
    let state = first.json::<Value>().await.unwrap();
    assert_eq!((&state["cluster"], &state["registers"]), (&json!("c"), &json!([])));
    let again = server.client.get(&url).bearer_auth(&peer).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    // News ends the wait.
    let held = server.client.get(format!("{url}?after={}", state["version"])).bearer_auth(&peer).send();
    let (held, _) = tokio::join!(held, done(&server, "/v1/clusters/c/close", json!({ "region": "eu" })));
    let held = held.unwrap().json::<Value>().await.unwrap();
    assert_ne!(held["version"], state["version"]);
    assert_eq!(held["registers"][0]["word"], "closed", "{held}");
}

/// A link between two instances that can be cut.
pub(crate) struct Link {
    pub(crate) url: String,
    pipes: Arc<Mutex<Vec<JoinHandle<()>>>>,
    cut: Arc<Mutex<bool>>,
}

impl Link {
    pub(crate) async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = server.base.trim_start_matches("http://").to_owned();
        let (pipes, cut) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(false)));
        let (through, is_cut) = (pipes.clone(), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if *is_cut.lock() {
                    continue;
                }
                let target = target.clone();
                through.lock().push(tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                }));
            }
        });
        Self { url, pipes, cut }
    }

    pub(crate) fn cut(&self) {
        *self.cut.lock() = true;
        self.pipes.lock().drain(..).for_each(|pipe| pipe.abort());
    }

    pub(crate) fn mend(&self) {
        *self.cut.lock() = false;
    }
}

/// Two instances, each a region of the same cluster, and the links by which they pull from each other.
pub(crate) struct Pair {
    pub(crate) servers: [Server; 2],
    pub(crate) links: [Link; 2],
}

impl Pair {
    pub(crate) async fn start(automat: Value) -> Self {
        let servers = [Server::start_on(Engine::Sqlite).await, Server::start_on(Engine::Sqlite).await];
        let links = [Link::to(&servers[1]).await, Link::to(&servers[0]).await];
        for (at, here) in ["eu", "us"].into_iter().enumerate() {
            let other = &servers[1 - at];
            let body = json!({ "name": format!("peer {here}"), "scopes": ["cluster"] });
            let token = text(&other.post("/v1/tokens", body).await.body["secret"]).to_owned();
            let mut body = json!({ "name": "c", "here": here, "regions": regions(), "automat": automat });
            body["regions"][1 - at]["peer"] = json!({ "url": links[at].url, "token": token });
            let shown = made(&servers[at], body).await;
            assert!(!shown.to_string().contains(&token), "a token is never shown");
            assert!(!servers[at].get("/v1/log?limit=200").await.body.to_string().contains(&token));
        }
        let pair = Self { servers, links };
        pair.both(|cluster| {
            let regions = cluster["regions"].as_array().unwrap();
            regions.iter().any(|region| region["peer"]["reachable"] == true)
        })
        .await;
        pair
    }

    async fn both(&self, wanted: impl Fn(&Value) -> bool + Copy) {
        for server in &self.servers {
            server.until("/v1/clusters/c", wanted).await;
        }
    }

    pub(crate) async fn lost(&self) {
        let lost = |cluster: &Value| {
            cluster["regions"]
                .as_array()
                .unwrap()
                .iter()
                .any(|region| region["peer"]["problem"].is_string() && region["peer"]["next_try_at"].is_string())
        };
        self.both(lost).await;
    }

    async fn vote(&self, at: usize, region: &str, state: &str) {
        vote(&self.servers[at], region, ["watcher eu", "watcher us"][at], state).await;
    }
}

#[tokio::test]
async fn what_one_instance_says_the_other_does() {
    let pair = Pair::start(json!({})).await;
    let began = std::time::Instant::now();
    done(&pair.servers[0], "/v1/clusters/c/close", json!({ "region": "us", "why": "said in eu" })).await;
    let shown = pair.servers[1].until("/v1/clusters/c", is("us", "closed")).await;
    assert!(began.elapsed() < Duration::from_secs(2), "a peer is told within two seconds: {:?}", began.elapsed());
    assert_eq!((&region(&shown, "us")["who"], &region(&shown, "us")["why"]), (&json!("admin"), &json!("said in eu")));
    done(&pair.servers[1], "/v1/clusters/c/open", json!({ "region": "us", "why": "said in us" })).await;
    let shown = pair.servers[0].until("/v1/clusters/c", is("us", "open")).await;
    assert_eq!(region(&shown, "us")["why"], "said in us");
    // Whether the other one's edges act by it, it says itself.
    done(&pair.servers[0], "/v1/clusters/c/close", json!({ "region": "us" })).await;
    let shown = pair.servers[0].until("/v1/clusters/c", |cluster| region(cluster, "us")["in_force"] == true).await;
    assert_eq!(
        (&region(&shown, "us")["opening"], &region(&shown, "us")["waiting_for"]),
        (&json!("closed"), &Value::Null)
    );
    assert_eq!(region(&pair.servers[1].get("/v1/clusters/c").await.body, "us")["opening"], "closed");
    // Both have the same history, and votes of both.
    let histories = [
        pair.servers[0].get("/v1/clusters/c/history").await.body,
        pair.servers[1].get("/v1/clusters/c/history").await.body,
    ];
    let words = |history: &Value| -> Vec<(String, String, String)> {
        let items = history["items"].as_array().unwrap();
        items.iter().map(|item| (item["what"].to_string(), item["why"].to_string(), item["node"].to_string())).collect()
    };
    assert_eq!(words(&histories[0]), words(&histories[1]));
    pair.vote(0, "eu", "fresh").await;
    pair.vote(1, "eu", "stale").await;
    pair.both(|cluster| region(cluster, "eu")["watchers"] == 2).await;
    pair.vote(0, "eu", "stale").await;
    pair.both(|cluster| region(cluster, "eu")["verdict"] == "stale").await;
}

#[tokio::test]
async fn instances_that_are_cut_off_go_on_and_agree_again() {
    let pair = Pair::start(json!({ "mode": "automatic", "hold_ms": 60_000 })).await;
    pair.links.iter().for_each(Link::cut);
    pair.lost().await;
    let shown = pair.servers[0].get("/v1/clusters/c").await.body;
    let us = region(&shown, "us");
    assert_eq!((&us["in_force"], &us["opening"]), (&json!(false), &json!("open")));
    assert!(text(&us["waiting_for"]).starts_with("the server of us is not heard: "), "{us}");
    // Each sees itself well and the other one badly.
    for step in 1..=8 {
        for (at, server) in pair.servers.iter().enumerate() {
            server.clock.set_ms(NOW_MS + step * 1_000);
            let (own, other) = if at == 0 { ("eu", "us") } else { ("us", "eu") };
            pair.vote(at, own, "fresh").await;
            pair.vote(at, other, "stale").await;
        }
    }
    pair.servers[0].until("/v1/clusters/c", is("us", "closed")).await;
    pair.servers[1].until("/v1/clusters/c", is("eu", "closed")).await;
    done(&pair.servers[0], "/v1/clusters/c/open", json!({ "region": "eu", "why": "eu stays" })).await;
    pair.links.iter().for_each(Link::mend);
    // The operator's word wins over what the other automat has decided meanwhile.
    pair.both(|cluster| region(cluster, "eu")["by"] == "operator" && region(cluster, "us")["opening"] == "closed")
        .await;
    done(&pair.servers[1], "/v1/clusters/c/automatic", json!({ "region": "eu" })).await;
    // Without it each has closed the other: nothing would be open, so both are.
    let failing = |cluster: &Value| {
        let regions = cluster["regions"].as_array().unwrap();
        regions.iter().all(|region| region["opening"] == "open" && region["by"] == "fail_open")
    };
    pair.both(failing).await;
    let found =
        pair.servers[0].until("/v1/log?type=cluster.peer", |log| log["items"][0]["type"] == "cluster.peer.found").await;
    assert_eq!(found["items"][1]["type"], "cluster.peer.lost");
}

#[tokio::test]
async fn one_automat_decides_while_both_are_heard() {
    let pair = Pair::start(json!({ "mode": "automatic" })).await;
    pair.servers[0].until("/v1/clusters/c", |cluster| cluster["decides"] == true).await;
    pair.servers[1].until("/v1/clusters/c", |cluster| cluster["decides"] == false).await;
    for step in 1..=4 {
        for (at, server) in pair.servers.iter().enumerate() {
            server.clock.set_ms(NOW_MS + step * 1_000);
            pair.vote(at, "us", "fresh").await;
            pair.vote(at, "eu", "stale").await;
        }
    }
    pair.both(is("eu", "closed")).await;
    let histories = [
        pair.servers[0].get("/v1/clusters/c/history").await.body,
        pair.servers[1].get("/v1/clusters/c/history").await.body,
    ];
    for history in &histories {
        assert_eq!(history["items"].as_array().unwrap().len(), 1, "one decision: {history}");
    }
    assert_eq!(histories[0]["items"][0]["evidence"], histories[1]["items"][0]["evidence"], "the evidence travels");
    // The one that decides is gone: the other one decides.
    pair.links.iter().for_each(Link::cut);
    let takes_over = pair.servers[1].until("/v1/clusters/c", |cluster| cluster["decides"] == true);
    tokio::time::timeout(PATIENCE, takes_over).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_cannot_be_asked_is_shown_with_the_reason() {
    let server = Server::start_on(Engine::Sqlite).await;
    let other = Server::start_on(Engine::Sqlite).await;
    let mut body = json!({ "name": "c", "here": "eu", "regions": regions() });
    body["regions"][1]["peer"] = json!({ "url": other.base, "token": "wrong" });
    made(&server, body.clone()).await;
    let problem = |words: &'static str| {
        move |cluster: &Value| {
            region(cluster, "us")["peer"]["problem"].as_str().is_some_and(|text| text.contains(words))
        }
    };
    server.until("/v1/clusters/c", problem("does not know the token")).await;
    let change = async |peer: Value| {
        let mut regions = body["regions"].clone();
        regions[1]["peer"] = peer;
        let changed = server.patch("/v1/clusters/c", json!({ "regions": regions })).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    };
    change(json!({ "url": other.base, "token": TOKEN })).await;
    server.until("/v1/clusters/c", problem("create it there, too")).await;
    change(json!({ "url": format!("{}/", server.base), "token": TOKEN })).await;
    server.until("/v1/clusters/c", problem("this very instance")).await;
    // Nobody is there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    change(json!({ "url": nobody, "token": TOKEN })).await;
    server.until("/v1/clusters/c", problem("cannot be reached")).await;
    // A peer that is taken out is not asked any more; one that keeps its address keeps its token.
    change(json!({ "url": nobody })).await;
    change(Value::Null).await;
    assert!(region(&server.get("/v1/clusters/c").await.body, "us")["peer"].is_null());
}
