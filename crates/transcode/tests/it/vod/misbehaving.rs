//! Work that is cut off, cancelled or too dear.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anabranch_transcode::vod::{Plan, ProbeError, ProbeLimits, Reason, UnitKind};
use anabranch_transcode::{CancellationToken, Limits, TranscodeError};

use super::{Bench, limits, options, small};

async fn prepared(bench: &Bench) -> Plan {
    let path = bench.make(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=9 -f lavfi -i sine=d=9 -c:v libx264 -preset ultrafast -g 25 -c:a aac -f mp4",
        "plain.mp4",
    );
    bench.plan(&path, &small(), &options(4)).await
}

fn written(path: &std::path::Path) -> SystemTime {
    fs::metadata(path).expect("a file").modified().expect("a time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_are_done_are_not_done_again() {
    let bench = Bench::new();
    let plan = prepared(&bench).await;
    // Survives being written down, as the owner of a job does.
    let plan: Plan = serde_json::from_str(&serde_json::to_string(&plan).expect("text")).expect("a plan");
    let work = bench.work();
    let first = plan.units.iter().find(|unit| matches!(unit.kind, UnitKind::Video { .. })).expect("a unit");
    let run = async |unit| bench.worker.run(unit, &plan, &work, &limits(), |_| {}, &CancellationToken::new()).await;
    let done = run(first).await.expect("done");
    let file = work.join("180/00000.mp4");
    let before = written(&file);
    // As if killed in the middle of the second chunk: half a file, and an ffmpeg that goes on.
    let second = &plan.units[plan.units.iter().position(|unit| unit == first).expect("a place") + 1];
    let part = work.join("part").join(&second.id);
    fs::create_dir_all(&part).expect("a folder");
    fs::write(part.join("180.mp4"), "half").expect("a file");
    let mut orphan = Command::new("sh")
        .args(["-c", "sleep 1000; exit"])
        .arg(part.join("180.mp4"))
        .process_group(0)
        .spawn()
        .expect("a process");
    fs::write(part.join("pid"), orphan.id().to_string()).expect("a note");
    assert_eq!(bench.worker.done(second, &plan, &work).await.expect("an answer"), None);
    let all = bench.run(&plan, &work).await;
    assert_eq!(orphan.wait().expect("an end").signal(), Some(9));
    assert!(all.contains(&done));
    assert_eq!(written(&file), before, "not written again");
    assert!(fs::read_dir(work.join("part")).expect("a folder").next().is_none());
    // A file that is gone is made again, and so is one of another plan.
    fs::remove_file(&file).expect("a file");
    assert_eq!(bench.worker.done(first, &plan, &work).await.expect("an answer"), None);
    run(first).await.expect("done");
    let other = Plan { preset: small(), duration_ms: plan.duration_ms + 1, ..plan.clone() };
    assert_eq!(bench.worker.done(first, &other, &work).await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_and_cancelled_work_leaves_nothing() {
    let bench = Bench::new();
    let plan = prepared(&bench).await;
    let work = bench.work();
    let unit = plan.units.iter().find(|unit| matches!(unit.kind, UnitKind::Video { .. })).expect("a unit");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cancelled = bench.worker.run(unit, &plan, &work, &limits(), |_| {}, &cancel).await.expect_err("cancelled");
    assert!(matches!(cancelled, TranscodeError::Cancelled));
    assert!(!work.join("180").exists());
    let mut told = Vec::new();
    bench
        .worker
        .run(unit, &plan, &work, &limits(), |now| told.push(now), &CancellationToken::new())
        .await
        .expect("done");
    assert!(!told.is_empty() && told.is_sorted() && told.iter().all(|now| *now <= 999), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold() {
    let bench = Bench::new();
    let plan = prepared(&bench).await;
    let unit = plan.units.iter().find(|unit| matches!(unit.kind, UnitKind::Video { .. })).expect("a unit");
    let run = async |limits: Limits| {
        let run = bench.worker.run(unit, &plan, &bench.work(), &limits, |_| {}, &CancellationToken::new()).await;
        run.expect_err("a limit").to_string()
    };
    let full = run(Limits { reserve_bytes: u64::MAX, ..limits() }).await;
    assert!(full.starts_with("disk full: "), "{full}");
    let slow = run(Limits { time: Duration::from_millis(1), ..limits() }).await;
    assert!(slow.contains("it took longer than"), "{slow}");
    let large = run(Limits { memory_bytes: 64 << 20, ..limits() }).await;
    assert!(large.starts_with("ffmpeg failed"), "{large}");
    assert!(fs::read_dir(bench.work().join("part")).expect("a folder").next().is_none());
    let probe = async |limits: ProbeLimits| match bench.worker.probe(&plan.source.path, &limits).await {
        Err(ProbeError::Rejected(rejected)) => (rejected.reason, rejected.text),
        other => panic!("{other:?}"),
    };
    let usual = ProbeLimits::default;
    assert_eq!(probe(ProbeLimits { pixels: 1000, ..usual() }).await.0, Reason::PictureSize);
    assert_eq!(probe(ProbeLimits { duration: Duration::from_secs(3), ..usual() }).await.0, Reason::TooLong);
    assert_eq!(probe(ProbeLimits { tracks: 1, ..usual() }).await.0, Reason::TooLong);
    assert_eq!(probe(ProbeLimits { header_time: Duration::from_millis(1), ..usual() }).await.0, Reason::TooCostly);
    assert_eq!(probe(ProbeLimits { memory_bytes: 64 << 20, ..usual() }).await.0, Reason::TooCostly);
}
