//! `kill -9` of an edge that writes to disk.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anabranch_testkit::{Viewer, binary, wait_for};

const KILLS: u64 = 50;

/// Objects that are asked for: several times what fits on disk, so that writing and evicting never end.
const OBJECTS: u64 = 1200;

const LOADERS: u64 = 4;

/// Pseudo-random numbers, the same in every run.
fn scatter(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What the origin has under a number: a third small, the rest up to 400 KB, no two alike anywhere.
fn content(number: u64) -> Vec<u8> {
    let size = if number.is_multiple_of(3) { 1 + scatter(number) % 20_000 } else { 65_000 + scatter(number) % 335_000 };
    let words = (0..size / 8 + 1).flat_map(|at| scatter(number << 32 | at).to_le_bytes());
    words.take(usize::try_from(size).expect("a small size")).collect()
}

/// Serves every number, every fifth of them without a length.
fn origin() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_all(stream));
        }
    });
    port
}

fn answer_all(mut stream: TcpStream) -> Option<()> {
    let (mut buffer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
            buffer.extend_from_slice(&piece[..read]);
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).ok()?;
        let number: u64 = head.split(' ').nth(1)?.trim_start_matches('/').parse().ok()?;
        let body = content(number);
        let framed = if number.is_multiple_of(5) {
            let begin = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
            [begin.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
        } else {
            [format!("content-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
        };
        let head = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=3600\r\netag: \"{number}\"\r\n");
        stream.write_all(&[head.as_bytes(), &framed].concat()).ok()?;
    }
}

struct Edge {
    child: Child,
    url: String,
}

impl Edge {
    fn start(dir: &Path, port: u16) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log file");
        let child = Command::new(binary())
            .args(["edge", "--workers", "2", "--memory-mib", "4", "--disk-mib", "64"])
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"))
            .arg("--snapshot")
            .arg(dir.join("snapshot.json"))
            .arg("--cache-dir")
            .arg(dir.join("cache"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("an edge");
        let mut edge = Self { child, url: format!("http://127.0.0.1:{port}") };
        wait_for("the edge to listen", Duration::from_secs(20), || {
            let ended = edge.child.try_wait().expect("a child to ask");
            assert!(
                ended.is_none(),
                "the edge ended: {}",
                std::fs::read_to_string(dir.join("log")).unwrap_or_default()
            );
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        edge
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for one object after another until told to stop. What comes whole must be right.
fn load(url: &str, seed: u64, stop: &AtomicBool, whole: &AtomicUsize) {
    let mut turn = scatter(seed);
    while !stop.load(Ordering::SeqCst) {
        turn = scatter(turn);
        let number = turn % OBJECTS;
        let answer = Viewer::new().try_get(&format!("{url}/{number}"));
        if let Some(answer) = answer.filter(|answer| answer.status == 200) {
            assert!(answer.body == content(number), "object {number} is corrupt");
            whole.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn fifty_kills_under_load_leave_no_corrupt_object() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let snapshot = serde_json::json!({
        "version": 1, "channels": [], "breakouts": [], "key_groups": [],
        "distributions": [{
            "id": "E1KILLED", "domain_name": "127.0.0.1", "enabled": true,
            "origins": [{ "id": "o", "origin": { "type": "http", "host": "127.0.0.1", "http_port": origin() } }],
            "default_behavior": { "path_pattern": "*", "origin": "o" },
        }],
    });
    std::fs::write(dir.path().join("snapshot.json"), snapshot.to_string()).expect("a snapshot file");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let (whole, seeds) = (Arc::new(AtomicUsize::new(0)), AtomicU64::new(0));
    for round in 0..KILLS {
        let mut edge = Edge::start(dir.path(), port);
        let stop = Arc::new(AtomicBool::new(false));
        let loaders: Vec<_> = (0..LOADERS)
            .map(|_| {
                let (url, stop, whole) = (edge.url.clone(), stop.clone(), whole.clone());
                let seed = seeds.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || load(&url, seed, &stop, &whole))
            })
            .collect();
        // Each time at another moment of whatever is being written.
        let (before, wanted) =
            (whole.load(Ordering::SeqCst), 10 + usize::try_from(scatter(round) % 60).expect("small"));
        wait_for("some load", Duration::from_secs(30), || {
            (whole.load(Ordering::SeqCst) >= before + wanted
                || loaders.iter().any(std::thread::JoinHandle::is_finished))
            .then_some(())
        });
        edge.child.kill().expect("a running edge");
        stop.store(true, Ordering::SeqCst);
        for loader in loaders {
            loader.join().expect("no corrupt object");
        }
    }
    let edge = Edge::start(dir.path(), port);
    let mut hits = 0;
    for number in 0..OBJECTS {
        let answer = Viewer::new().get(&format!("{}/{number}", edge.url));
        assert_eq!(answer.status, 200);
        assert!(answer.body == content(number), "object {number} is corrupt");
        hits += usize::from(answer.header("x-cache").starts_with("Hit"));
    }
    assert!(hits > 50, "the disk was of use: {hits} hits");
    let cache = dir.path().join("cache");
    wait_for("what was cut off to be removed", Duration::from_secs(10), || {
        let mut names = std::fs::read_dir(&cache).expect("the cache").flatten();
        names.all(|name| !name.file_name().to_string_lossy().ends_with(".part")).then_some(())
    });
}
