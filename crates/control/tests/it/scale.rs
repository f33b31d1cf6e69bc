//! What many settled rows cost, counted in statements and rows rather than in time.

use anabranch_testkit::Engine;
use std::sync::Arc;
use std::time::Duration;

use anabranch_model::{Recorded, Report, Snapshot};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::support::{Server, text};

/// Channels, each with a distribution and a breakout.
const CHANNELS: u64 = 60;

/// Breakouts that are over and readable.
const COMPLETED: u64 = 20;

/// What the loops may ask beside a request that is looked at: some statements a second.
const LOOPS: u64 = 30;

/// The database's statements and rows so far.
fn counted(handle: &PrometheusHandle) -> (u64, u64) {
    let text = handle.render();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse::<u64>().unwrap()
    };
    (of("anabranch_db_statements_total "), of("anabranch_db_rows_total "))
}

/// Applies every snapshot at once, for all nodes.
async fn apply(mut snapshots: watch::Receiver<Arc<Snapshot>>, reports: mpsc::Sender<Report>) {
    loop {
        let version = snapshots.borrow_and_update().version;
        for role in ["ingest", "packager", "edge"] {
            let report = Report::Applied { role: role.into(), node: "n1".into(), version };
            if reports.send(report).await.is_err() {
                return;
            }
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

async fn fill(server: &Server) {
    for number in 0..CHANNELS {
        server.channel(&format!("c{number}")).await;
        server.breakout(&format!("b{number}"), &format!("c{number}")).await;
    }
    for number in 0..COMPLETED {
        let path = format!("/v1/breakouts/b{number}");
        server.act(&format!("{path}/start")).await;
        let running = server.until(&path, |found| found["state"] == "RUNNING").await;
        server.act(&format!("{path}/stop")).await;
        let recorded = Recorded { duration_ms: 1000, segments: 1, bytes: 1, gaps: 0, gap_ms: 0, complete: true };
        let report = Report::Recorded { breakout: text(&running["id"]).parse().unwrap(), session: 1, recorded };
        server.reports.send(report).await.unwrap();
    }
    let over = |one: &Value| !one["finished_at"].is_null();
    let mut path = "/v1/operations?limit=200".to_owned();
    loop {
        let page = server.until(&path, |page| page["items"].as_array().unwrap().iter().all(over)).await;
        let Some(next) = page["next"].as_str() else { return };
        path = format!("/v1/operations?limit=200&after={next}");
    }
}

/// Statements and rows since `before`.
fn since(handle: &PrometheusHandle, before: (u64, u64)) -> (u64, u64) {
    let after = counted(handle);
    (after.0 - before.0, after.1 - before.1)
}

/// Waits until the loops have asked so much.
async fn looks(handle: &PrometheusHandle, statements: u64) {
    let before = counted(handle);
    let waiting = async {
        while since(handle, before).0 < statements {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the loops look");
}

/// A list asks for what belongs to its rows together, and reads no more rows than it shows.
async fn lists(server: &Server, handle: &PrometheusHandle) {
    for (path, parts) in [("channels", 4), ("distributions", 1), ("breakouts", 1), ("recordings", 1)] {
        let before = counted(handle);
        let page = server.get(&format!("/v1/{path}?limit=200")).await.body;
        let (statements, rows) = since(handle, before);
        let shown = page["items"].as_array().unwrap().len() as u64;
        assert!(shown >= COMPLETED, "{path}: {shown}");
        assert!(statements <= LOOPS, "{path}: {statements} statements");
        assert!(rows <= shown * parts + LOOPS, "{path}: {rows} rows for {shown}");
    }
    // Nor does a page further on.
    let first = server.get("/v1/breakouts?limit=40").await.body;
    let before = counted(handle);
    let rest = server.get(&format!("/v1/breakouts?limit=40&after={}", text(&first["next"]))).await.body;
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(20));
    assert!(since(handle, before).1 <= 20 + LOOPS);
}

/// A round that looks at everything asks a bounded number of questions for each resource.
async fn round(server: &Server, handle: &PrometheusHandle) {
    let before = counted(handle);
    let swept = server.act("/v1/distributions/sweep").await;
    let (statements, rows) = since(handle, before);
    assert_eq!(swept.status, StatusCode::OK, "{}", swept.body);
    assert_eq!((&swept.body["orphans"], &swept.body["drifted"]), (&json!([]), &json!([])));
    let resources = 2 * CHANNELS + 1;
    assert!(statements <= 4 * resources + LOOPS, "{statements} statements for {resources}");
    assert!(rows <= 5 * resources + LOOPS, "{rows} rows for {resources}");
}

#[tokio::test]
async fn settled_rows_cost_little() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Of this thread, on which everything of this test runs.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Server::start_on(Engine::Sqlite).await;
    let applying = tokio::spawn(apply(server.snapshots.clone(), server.reports.clone()));
    fill(&server).await;
    // At rest each look asks what finds next to nothing, whatever there is.
    looks(&handle, 15).await;
    let before = counted(&handle);
    looks(&handle, 30).await;
    let (statements, rows) = since(&handle, before);
    assert!(rows <= statements, "{rows} rows by {statements} statements at rest");
    lists(&server, &handle).await;
    round(&server, &handle).await;
    applying.abort();
}
