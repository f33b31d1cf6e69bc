//! What it costs to watch 1,000 media playlists with segments of 6 s: `cargo bench -p anabranch-cluster -- [SECONDS]`.
//!
//! A hundred streams with ten playlists each, as a control plane would watch them, over HTTP from a server that is a process of its own and
//! not counted. CPU time is that of the whole process, user and system, after the first 12 s.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_cluster::watch::{FetchConfig, Fetcher, Preset, Settings, VerdictState, Watcher};
use anabranch_net::{Shutdown, SystemClock};
use anabranch_testkit::{Reply, Site, live_playlist, multivariant_playlist};
use nix::sys::resource::{UsageWho, getrusage};

const STREAMS: usize = 100;
const PLAYLISTS: usize = 10;
const SEGMENT_SECONDS: u64 = 6;

/// Streams are found and their first changes seen within this.
const WARM_UP: Duration = Duration::from_secs(12);

fn main() {
    if std::env::args().any(|argument| argument == "serve") {
        return serve();
    }
    let seconds: u64 = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(60);
    let mut server = Command::new(std::env::current_exe().expect("this program"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server to start");
    let mut url = String::new();
    BufReader::new(server.stdout.as_mut().expect("its output")).read_line(&mut url).expect("its address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(watch(url.trim(), Duration::from_secs(seconds)));
    drop(server.stdin.take());
    server.wait().expect("the server's end");
}

/// Serves until nobody holds its input. Streams change at different times.
fn serve() {
    let begun = Instant::now();
    let site = Site::start(move |asked| {
        let mut parts = asked.path().trim_start_matches('/').split('/');
        let stream: u64 = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        match parts.next() {
            Some("index.m3u8") => {
                let uris: Vec<String> = (0..PLAYLISTS).map(|at| format!("{at}.m3u8")).collect();
                Reply::ok(multivariant_playlist(&uris.iter().map(String::as_str).collect::<Vec<_>>()))
            }
            Some(name) if name.ends_with(".m3u8") => {
                let phase = Duration::from_millis(stream * 60);
                let newest = 100 + (begun.elapsed() + phase).as_secs() / SEGMENT_SECONDS;
                Reply::ok(live_playlist("segment-with-a-name-of-some-length", SEGMENT_SECONDS, newest))
            }
            _ => Reply::ok("segment"),
        }
    });
    println!("{}", site.url(""));
    let mut rest = String::new();
    while std::io::stdin().read_line(&mut rest).is_ok_and(|read| read > 0) {}
}

async fn watch(url: &str, measured: Duration) {
    let fetcher = Fetcher::new(FetchConfig::default()).expect("http");
    let shutdown = Shutdown::new();
    let mut running = tokio::task::JoinSet::new();
    let mut watches = Vec::new();
    for stream in 0..STREAMS {
        let settings = Settings {
            name: format!("stream {stream}"),
            ..Settings::new(format!("{url}/{stream}/index.m3u8"), Preset::Default)
        };
        let (watcher, watch) =
            Watcher::new(settings, fetcher.clone(), Arc::new(SystemClock)).expect("settings that make sense");
        running.spawn(watcher.run(shutdown.clone()));
        watches.push(watch);
    }
    tokio::time::sleep(WARM_UP).await;
    let (requests, cpu, begun) = (requests(&watches).await, cpu(), Instant::now());
    tokio::time::sleep(measured).await;
    let (cpu, wall) = (self::cpu() - cpu, begun.elapsed());
    let requests = self::requests(&watches).await - requests;
    let fresh = watches.iter().filter(|watch| watch.verdict().borrow().state == VerdictState::Fresh).count();
    let share = cpu.as_secs_f64() / wall.as_secs_f64() * 100.0;
    println!(
        "{} playlists of {SEGMENT_SECONDS} s segments in {STREAMS} streams, {} s",
        STREAMS * PLAYLISTS,
        wall.as_secs()
    );
    println!("fresh streams            {fresh:>8} of {STREAMS}");
    println!("requests a second        {:>8.0}", requests as f64 / wall.as_secs_f64());
    println!("CPU time a request       {:>8.0} µs", cpu.as_secs_f64() * 1e6 / requests as f64);
    println!("share of one core        {share:>8.1} %, goal 5 %");
    println!("memory at most           {:>8.0} MiB, goal 100 MiB", memory_mib());
    shutdown.cancel();
    while running.join_next().await.is_some() {}
}

async fn requests(watches: &[anabranch_cluster::watch::Watch]) -> u64 {
    let mut all = 0;
    for watch in watches {
        all += watch.report().await.map_or(0, |report| report.requests);
    }
    all
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("this process's usage");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Duration::from_secs_f64(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn memory_mib() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).expect("this process's usage").max_rss() as f64 / 1024.0
}
