//! Measures what there is.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

use crate::load::{BREAKOUTS, SPARE, name};
use crate::plane::{NOW_MS, Place, Plane, text};

/// Requests of each kind.
const READS: usize = 400;

/// Requests before those, not counted.
const WARM: usize = 20;

/// Time of rest that is looked at.
const REST: Duration = Duration::from_secs(20);

/// Rounds and changes of each kind.
const TIMES: usize = 15;

pub(crate) async fn measure(place: &Place, channels: usize) {
    let (begun, cpu) = (Instant::now(), cpu_ms());
    let plane = Plane::start(place, NOW_MS).await;
    println!("{channels} channels, {} breakouts", channels * BREAKOUTS);
    line("start, with the first snapshot", ms(begun.elapsed()), cpu_ms() - cpu);
    plane.settles().await;
    plane.encoders().await;
    // What a start leaves to be done, such as a first round, is not what is measured.
    tokio::time::sleep(Duration::from_secs(3)).await;
    sizes(&plane);
    rest(&plane).await;
    sweeps(&plane).await;
    changes(&plane, channels).await;
    println!("memory: {} MiB now, {} MiB at most", memory("VmRSS:"), memory("VmHWM:"));
    reads(&plane, channels).await;
    println!("memory: {} MiB now, {} MiB at most", memory("VmRSS:"), memory("VmHWM:"));
    plane.stop().await;
}

fn sizes(plane: &Plane) {
    let snapshot = plane.snapshots.borrow().clone();
    let size = |value: &serde_json::Value| value.to_string().len() / 1024;
    let parts = serde_json::to_value(&*snapshot).expect("a snapshot");
    println!(
        "snapshot: {} KiB; channels {} ({} KiB), breakouts {} ({} KiB), distributions {} ({} KiB)",
        size(&parts),
        snapshot.channels.len(),
        size(&parts["channels"]),
        snapshot.breakouts.len(),
        size(&parts["breakouts"]),
        snapshot.distributions.len(),
        size(&parts["distributions"]),
    );
    println!("memory: {} MiB now, {} MiB at most", memory("VmRSS:"), memory("VmHWM:"));
}

/// Nothing is asked and nothing changes: what the loops cost by themselves.
async fn rest(plane: &Plane) {
    let version = plane.snapshots.borrow().version;
    let cpu = cpu_ms();
    tokio::time::sleep(REST).await;
    let cpu = cpu_ms() - cpu;
    assert_eq!(plane.snapshots.borrow().version, version, "nothing changes at rest");
    println!("{:<44} {:>9.2} ms CPU a second", "at rest", cpu / REST.as_secs_f64());
}

async fn sweeps(plane: &Plane) {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let (begun, cpu) = (Instant::now(), cpu_ms());
        let swept = plane.act("/v1/distributions/sweep").await;
        walls.push(ms(begun.elapsed()));
        cpus.push(cpu_ms() - cpu);
        assert_eq!(swept["orphans"], json!([]), "everything is known");
        assert_eq!(swept["drifted"], json!([]), "everything is as wanted");
    }
    line("a round that an operator asks for", median(walls), median(cpus));
}

async fn changes(plane: &Plane, channels: usize) {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    let breakout = text(&plane.get(&format!("/v1/breakouts/{}", path(&name(0, 8)))).await["id"]).to_owned();
    for round in 0..TIMES {
        let mut snapshots = plane.snapshots.clone();
        let up = round % 2 == 1;
        let (begun, cpu) = (Instant::now(), cpu_ms());
        let word = if up { "up" } else { "down" };
        plane.put(&format!("/v1/breakouts/{breakout}/curtain"), json!({ "curtain": word })).await;
        let moved = |snapshot: &std::sync::Arc<anabranch_model::Snapshot>| {
            snapshot.breakouts.iter().any(|one| one.id.as_str() == breakout && one.audience.curtain_up == up)
        };
        snapshots.wait_for(moved).await.expect("a snapshot");
        walls.push(ms(begun.elapsed()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        cpus.push(cpu_ms() - cpu);
    }
    line("a curtain, until nodes are told", median(walls), median(cpus));
    let (mut walls, mut cpus, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for channel in channels - SPARE..channels - SPARE + TIMES {
        let version = plane.snapshots.borrow().version;
        let (begun, cpu) = (Instant::now(), cpu_ms());
        let started = plane.act(&format!("/v1/breakouts/{}/start", path(&name(channel, 8)))).await;
        plane.becomes(text(&started["id"]), "RUNNING").await;
        walls.push(ms(begun.elapsed()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        cpus.push(cpu_ms() - cpu);
        versions.push((plane.snapshots.borrow().version - version) as f64);
    }
    line("a start of a breakout, until it runs", median(walls), median(cpus));
    println!("{:<44} {:>9} snapshots", "", median(versions));
}

async fn reads(plane: &Plane, channels: usize) {
    let many = |make: &dyn Fn(usize) -> String| (0..READS).map(|at| make(at * 37 % channels)).collect::<Vec<_>>();
    let kinds = [
        ("breakouts, first page", vec!["/v1/breakouts".to_owned()]),
        ("breakouts, any page of 200", pages(plane, "/v1/breakouts?limit=200").await),
        ("breakouts of a channel", many(&|at| format!("/v1/breakouts?channel=channel%20{at:04}"))),
        ("breakouts of an event", vec!["/v1/breakouts?event=event".to_owned()]),
        ("a breakout", many(&|at| format!("/v1/breakouts/{}", path(&name(at, 5))))),
        ("viewers of a breakout", many(&|at| format!("/v1/breakouts/{}/viewers", path(&name(at, 5))))),
        ("channels, any page", pages(plane, "/v1/channels?limit=50").await),
        ("a channel", many(&|at| format!("/v1/channels/channel%20{at:04}"))),
        ("distributions, any page", pages(plane, "/v1/distributions?limit=50").await),
        ("recordings, any page", pages(plane, "/v1/recordings?limit=50").await),
        ("recordings of a breakout", many(&|at| format!("/v1/recordings?breakout={}", path(&name(at, 5))))),
        ("jobs, first page", vec!["/v1/jobs".to_owned()]),
        ("operations, first page", vec!["/v1/operations".to_owned()]),
        ("log, newest page", vec!["/v1/log".to_owned()]),
        ("log of a breakout", many(&|at| format!("/v1/log?breakout={}", path(&name(at, 5))))),
        ("log of a channel", many(&|at| format!("/v1/log?channel=channel%20{at:04}"))),
        ("log, a type that is rare", vec!["/v1/log?type=distribution.repaired".to_owned()]),
    ];
    println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "reads", "p50 ms", "p99 ms", "CPU ms", "KiB");
    for (title, paths) in kinds {
        let mut times = Vec::with_capacity(READS);
        let mut bytes = 0;
        let mut cpu = 0.0;
        for at in 0..WARM + READS {
            if at == WARM {
                cpu = cpu_ms();
            }
            let begun = Instant::now();
            let read = plane.read(&paths[at % paths.len()]).await;
            if at >= WARM {
                times.push(ms(begun.elapsed()));
                bytes += read;
            }
        }
        let cpu = (cpu_ms() - cpu) / READS as f64;
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (times[READS / 2], times[READS * 99 / 100]);
        println!("{title:<44} {p50:>9.2} {p99:>9.2} {cpu:>9.2} {:>9}", bytes / READS / 1024);
    }
}

/// The addresses of all pages of a list.
async fn pages(plane: &Plane, first: &str) -> Vec<String> {
    let mut all = vec![first.to_owned()];
    while let Some(next) = plane.get(&all[all.len() - 1]).await["next"].as_str() {
        all.push(format!("{first}&after={next}"));
    }
    all
}

fn path(name: &str) -> String {
    name.replace(' ', "%20")
}

fn line(title: &str, wall_ms: f64, cpu_ms: f64) {
    println!("{title:<44} {wall_ms:>9.1} ms {cpu_ms:>9.1} ms CPU");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// CPU time of this process, user and system.
fn cpu_ms() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage of this process");
    let ms = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1000.0 + time.tv_usec() as f64 / 1000.0;
    ms(usage.user_time()) + ms(usage.system_time())
}

/// A line of `/proc/self/status`, in MiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix(field));
    found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}
