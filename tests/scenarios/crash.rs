//! `kill -9` at every recorded step of every operation: after the restart what is wanted is reached, and nothing is left over.

use std::time::{Duration, Instant};

use anabranch_db::Db;
use anabranch_testkit::{Server, wait_for};
use serde_json::Value;

use crate::text;

/// Longest time from the restart to what is wanted.
const PATIENCE: Duration = Duration::from_secs(20);

/// Servers that work through the points at the same time.
const LANES: usize = 4;

/// What a point is tried on.
struct Subject {
    name: String,
    channel: String,
    distribution: String,
}

/// A channel whose distribution is deployed.
fn channel(server: &Server, name: &str) -> Subject {
    let made = server.cli(&["channel", "create", name]);
    let distribution = text(&made["distribution"]["id"]);
    until(server, &["distribution", "show", &distribution], |shown| shown["status"] == "Deployed");
    Subject { name: name.to_owned(), channel: text(&made["id"]), distribution }
}

fn until(server: &Server, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("{arguments:?}"), PATIENCE, || server.try_cli(arguments).ok().filter(|shown| wanted(shown)))
}

fn gone(server: &Server, arguments: &[&str]) {
    wait_for(&format!("the end of {arguments:?}"), PATIENCE, || {
        server.try_cli(arguments).err().filter(|error| error.contains("there is no")).map(|_| ())
    });
}

/// What is there before the operation begins.
fn prepare(server: &mut Server, kind: &str, name: &str) -> Subject {
    if kind == "channel.create" {
        return Subject { name: name.to_owned(), channel: name.to_owned(), distribution: String::new() };
    }
    let subject = channel(server, name);
    match kind {
        "channel.stop" => {
            let _ = server.cli(&["channel", "start", name]);
            until(server, &["channel", "show", name], |shown| shown["state"] == "Running");
        }
        "channel.switch" => drop(server.cli(&["channel", "update", name, "--preference", "equal"])),
        "breakout.start" => {
            let _ = server.cli(&["breakout", "create", name, "--channel", name]);
        }
        "breakout.stop" => {
            let _ = server.cli(&["breakout", "create", name, "--channel", name]);
            let _ = server.cli(&["breakout", "start", name, "--wait"]);
        }
        "distribution.create" | "distribution.delete" => {
            let _ = server.cli(&["distribution", "detach", &subject.distribution]);
            until(server, &["distribution", "show", &subject.distribution], |shown| shown["status"] == "Deployed");
        }
        _ => {}
    }
    server.kill();
    if kind == "distribution.repair" {
        // Somebody has deleted it at the provider.
        let id = subject.distribution.parse().expect("an id");
        at_rest(server, async |db| drop(db.local_distribution_delete(&id, None).await.expect("a delete")));
    }
    subject
}

/// Asks for the operation; the answer may never come.
fn trigger(server: &Server, kind: &str, subject: &Subject) {
    let Subject { name, distribution, .. } = subject;
    let config = server.data().join("changed.json");
    let file = config.to_str().expect("a path in UTF-8");
    if kind == "distribution.update"
        && let Ok(mut shown) = server.try_cli(&["distribution", "show", distribution])
    {
        shown["config"]["Comment"] = "changed".into();
        std::fs::write(&config, shown["config"].to_string()).expect("a file");
    }
    let arguments: &[&str] = match kind {
        "channel.create" => &["channel", "create", name],
        "channel.start" => &["channel", "start", name],
        "channel.stop" => &["channel", "stop", name],
        "channel.update" => &["channel", "update", name, "--description", "changed"],
        "channel.switch" => &["channel", "switch", name, "--input", "1"],
        "channel.delete" => &["channel", "delete", name, "--force"],
        "breakout.start" => &["breakout", "start", name],
        "breakout.stop" => &["breakout", "stop", name],
        "distribution.create" => &["channel", "create-distribution", name],
        "distribution.update" => &["distribution", "update", distribution, "--config", file],
        "distribution.detach" => &["distribution", "detach", distribution],
        "distribution.repair" => &["distribution", "sync", distribution],
        "distribution.delete" => &["distribution", "delete", distribution],
        _ => panic!("no trigger for {kind}"),
    };
    let _ = server.try_cli(arguments);
}

/// Waits until what was asked for is so.
fn check(server: &Server, kind: &str, subject: &Subject) {
    let Subject { name, channel, distribution } = subject;
    let deployed = |id: &str| until(server, &["distribution", "show", id], |shown| shown["status"] == "Deployed");
    match kind {
        "channel.create" => {
            let made =
                until(server, &["channel", "show", channel], |shown| shown["distribution"]["status"] == "Deployed");
            assert_eq!((&made["state"], &made["problem"]), (&"Idle".into(), &Value::Null));
        }
        "channel.start" => drop(until(server, &["channel", "show", name], |shown| shown["state"] == "Running")),
        "channel.stop" => drop(until(server, &["channel", "show", name], |shown| shown["state"] == "Idle")),
        "channel.update" | "channel.switch" => {
            let done = |list: &Value| {
                let mut items = list["items"].as_array().into_iter().flatten();
                items.all(|one| one["state"] == "done") && list["items"].as_array().is_some_and(|items| items.len() > 1)
            };
            until(server, &["operation", "list", "--subject", channel], done);
        }
        "channel.delete" => {
            gone(server, &["channel", "show", channel]);
            gone(server, &["distribution", "show", distribution]);
        }
        "breakout.start" => {
            until(server, &["breakout", "show", name], |shown| shown["state"] == "RUNNING");
            let shown = server.cli(&["channel", "show", name]);
            assert_eq!(shown["state"], "Running");
        }
        "breakout.stop" => {
            until(server, &["channel", "show", name], |shown| shown["state"] == "Idle");
            assert_eq!(server.cli(&["breakout", "show", name])["state"], "COMPLETED");
        }
        "distribution.create" => {
            let made = until(server, &["channel", "show", name], |shown| shown["distribution"]["status"] == "Deployed");
            assert_ne!(text(&made["distribution"]["id"]), *distribution);
        }
        "distribution.update" => assert_eq!(deployed(distribution)["comment"], "changed"),
        "distribution.detach" => {
            let shown = deployed(distribution);
            assert_eq!((&shown["phase"], &shown["enabled"]), (&"detached".into(), &false.into()));
        }
        "distribution.repair" => assert_eq!(deployed(distribution)["drift"], Value::Null),
        "distribution.delete" => gone(server, &["distribution", "show", distribution]),
        _ => panic!("no check for {kind}"),
    }
}

/// Looks into the database of a server that has ended.
fn at_rest<T>(server: &Server, work: impl AsyncFnOnce(&Db) -> T) -> T {
    let path = server.data().join("anabranch.db");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let db = Db::open(&path).await.expect("the database");
        let worked = work(&db).await;
        db.close().await;
        worked
    })
}

/// The operation of this kind that the process left behind, in words.
fn left(server: &Server, kind: &str) -> String {
    at_rest(server, async |db| {
        let open = db.operations_due(i64::MAX).await.expect("the journal");
        let Some(row) = open.iter().rfind(|row| row.plan.kind == kind) else { return "nothing".to_owned() };
        let (_, steps) = db.operation_find(&row.id).await.expect("the steps");
        let done = steps.iter().filter(|step| step.state == "done").count();
        let state = steps.get(row.step).map_or("over", |step| step.state.as_str());
        format!("{done} of {} done, next {state}", steps.len())
    })
}

/// One point: prepare, cut, restart, look. A line of the table.
fn point(server: &mut Server, number: usize, point: &str) -> String {
    let kind = point.split('/').next().expect("a kind");
    let subject = prepare(server, kind, &format!("point{number}"));
    if kind == "channel.create" {
        server.kill();
    }
    server.start_again(&[("ANABRANCH_CRASH_AT", point)]);
    // A repair begins by itself, perhaps before the server is ready.
    if server.is_ready() {
        trigger(server, kind, &subject);
    }
    assert!(server.ends_within(PATIENCE), "{point} was never reached");
    let open = left(server, kind);
    server.start_again(&[]);
    assert!(server.is_ready(), "it does not start after {point}");
    let began = Instant::now();
    check(server, kind, &subject);
    let took = began.elapsed();
    let swept = until(server, &["distribution", "sweep", "--dry-run"], |swept| {
        ["stale", "orphans", "drifted"].iter().all(|what| swept[*what].as_array().is_some_and(Vec::is_empty))
    });
    assert_eq!(swept["orphans"].as_array().map(Vec::len), Some(0), "{point}");
    format!("{point:<48} {open:<32} {:>6} ms", took.as_millis())
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "builds for use cannot be told where to end")]
fn every_recorded_step_survives_kill_9() {
    let points: Vec<(usize, String)> = anabranch_control::crash_points().into_iter().enumerate().collect();
    let share = points.len().div_ceil(LANES);
    let lanes: Vec<_> = points
        .chunks(share)
        .map(|share| {
            let share = share.to_vec();
            std::thread::spawn(move || {
                let mut server = Server::start();
                share.into_iter().map(|(number, name)| point(&mut server, number, &name)).collect::<Vec<_>>()
            })
        })
        .collect();
    println!("{:<48} {:<32} {:>9}", "cut", "found in the journal", "reached in");
    let mut lines = 0;
    for lane in lanes {
        for line in lane.join().expect("every point of the lane") {
            println!("{line}");
            lines += 1;
        }
    }
    assert_eq!(lines, points.len());
}
