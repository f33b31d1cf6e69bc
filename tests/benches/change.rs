//! From the request for a change to the last of 100 edges that acts by it.
//!
//! `ANABRANCH_BIN=… cargo bench -p anabranch-scenarios --bench change`. The edges are processes of their own on this machine.
//! `BENCH_EDGES` and `BENCH_RUNS` set other numbers.

#![expect(clippy::print_stdout, reason = "a bench prints")]

mod spread;

use std::time::{Duration, Instant};

use anabranch_testkit::{EdgeNode, Server, Viewer, wait_for};
use serde_json::{Value, json};

use spread::Spread;

const EDGES: usize = 100;
const RUNS: usize = 20;

/// Viewers that look whether their edges act by the change, each at its share of the edges, one edge after the other.
const LOOKERS: usize = 4;

/// Time between two looks at an edge that does not.
const LOOK: Duration = Duration::from_millis(5);

/// Longest wait for all of them.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let count = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (edges, runs) = (count("BENCH_EDGES", EDGES), count("BENCH_RUNS", RUNS));
    let server = Server::start();
    let edges: Vec<_> = (0..edges).map(|number| EdgeNode::start(&server, &format!("edge-{number}"))).collect();
    wait_for("every edge to be connected", LIMIT, || {
        let nodes = server.call("GET", "/v1/nodes", &Value::Null);
        let connected = |node: &Value| node["role"] == "edge" && node["state"] == "connected";
        let here = nodes["items"].as_array()?.iter().filter(|node| connected(node)).count();
        (here >= edges.len()).then_some(())
    });
    println!("{} edges of their own, {runs} runs", edges.len());
    curtain(&server, &edges, runs);
    behavior(&server, &edges, runs);
}

/// The curtain of a breakout on air falls and rises.
fn curtain(server: &Server, edges: &[EdgeNode], runs: usize) {
    let (channel, breakout) = server.on_air("curtain");
    let path = format!("/v1/breakouts/{}", text(&breakout["id"]));
    let url = text(&server.call("POST", &format!("{path}/play-url"), &json!({}))["url"]);
    let (mut falls, mut rises) = (Spread::default(), Spread::default());
    // There is no encoder: who is let through is told that there is nothing yet.
    all(server, edges, &url, 404, Instant::now());
    for _ in 0..runs {
        rest(server, &text(&channel["distribution"]["id"]));
        let asked = Instant::now();
        let _ = server.call("PUT", &format!("{path}/curtain"), &json!({ "curtain": "down" }));
        falls.add(all(server, edges, &url, 403, asked));
        rest(server, &text(&channel["distribution"]["id"]));
        let asked = Instant::now();
        let _ = server.call("PUT", &format!("{path}/curtain"), &json!({ "curtain": "up" }));
        rises.add(all(server, edges, &url, 404, asked));
    }
    println!("  curtain down, the last edge refuses after: {falls}");
    println!("  curtain up, the last edge admits after: {rises}");
}

/// A behavior of a distribution changes.
fn behavior(server: &Server, edges: &[EdgeNode], runs: usize) {
    let body = |policy: &str| json!({ "config": config(policy) });
    let made = server.call("POST", "/v1/distributions", &body("https-only"));
    let id = text(&made["id"]);
    let url = format!("{}/d/{id}/x", server.edge());
    let (mut in_force, mut deployed) = (Spread::default(), Spread::default());
    all(server, edges, &url, 403, Instant::now());
    for run in 0..runs {
        rest(server, &id);
        let (policy, status) = if run % 2 == 0 { ("redirect-to-https", 301) } else { ("https-only", 403) };
        let asked = Instant::now();
        let _ = server.call("PUT", &format!("/v1/distributions/{id}"), &body(policy));
        in_force.add(all(server, edges, &url, status, asked));
        until(|| (status_of(server, &id) == "Deployed").then_some(()));
        deployed.add(asked.elapsed());
    }
    println!("  behavior changed, the last edge acts by it after: {in_force}");
    println!("  behavior changed, the distribution is Deployed after: {deployed}");
}

/// Waits until nothing is under way from the change before.
fn rest(server: &Server, distribution: &str) {
    until(|| {
        let nodes = server.call("GET", "/v1/nodes", &Value::Null);
        let acts = |node: &Value| node["version"] == node["newest_version"] && node["state"] == "connected";
        let all = nodes["items"].as_array().is_some_and(|nodes| nodes.iter().all(acts));
        (all && status_of(server, distribution) == "Deployed").then_some(())
    });
}

fn status_of(server: &Server, distribution: &str) -> Value {
    server.call("GET", &format!("/v1/distributions/{distribution}"), &Value::Null)["status"].take()
}

/// Waits until every edge answers with this status; how long after the operator `asked` for it that is.
fn all(server: &Server, edges: &[EdgeNode], url: &str, status: u16, asked: Instant) -> Duration {
    std::thread::scope(|scope| {
        for share in edges.chunks(edges.len().div_ceil(LOOKERS)) {
            scope.spawn(move || {
                for edge in share {
                    let url = url.replace(&server.edge(), &edge.url());
                    until(|| Viewer::new().try_get(&url).filter(|answer| answer.status == status));
                }
            });
        }
    });
    asked.elapsed()
}

/// A DistributionConfig whose answers to plain HTTP need no origin.
fn config(policy: &str) -> Value {
    json!({
        "CallerReference": "change", "Comment": "", "Enabled": true,
        "Origins": {"Quantity": 1, "Items": [{
            "Id": "none", "DomainName": "localhost",
            "CustomOriginConfig": {"HTTPPort": 9, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
        }]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "none", "ViewerProtocolPolicy": policy,
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"
        }
    })
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}");
        std::thread::sleep(LOOK);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}
