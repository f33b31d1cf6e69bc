//! Ten thousand connections that have asked once and then say nothing.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Script, TestOrigin, distribution, get, start, until};

const WANTED: u64 = 10_000;

/// Descriptors that everything else in this process may need.
const OTHERS: u64 = 1_000;

/// Memory of both ends of an idle connection, by the allocator of a debug build.
const MOST_BYTES: u64 = 24 << 10;

/// How many connections there may be, with both ends in this process.
fn allowed() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = WANTED * 2 + OTHERS;
    // Who may raise the hard limit does; others are content with it.
    let raised = [(wanted, hard.max(wanted)), (hard.min(wanted), hard)]
        .into_iter()
        .find(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard).is_ok());
    raised.map_or(soft, |(soft, _)| soft).saturating_sub(OTHERS) / 2
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("aaa", "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| config.max_connections = 12_000);
    get(edge.address, "a.test", "/a").await;
    let count = allowed().min(WANTED);
    let before = resident_bytes();
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        let mut length = 0;
        while !answer[..length].ends_with(b"aaa") {
            let read = stream.read(&mut answer[length..]).await.unwrap();
            assert!(read > 0);
            length += read;
        }
        idle.push(stream);
    }
    let each = || resident_bytes().saturating_sub(before) / count;
    until("idle connections give their buffers back", || each() < MOST_BYTES).await;
    let each = each();
    println!("{count} idle connections, both ends: {each} bytes each");
    let began = Instant::now();
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "aaa");
    assert!(began.elapsed() < Duration::from_secs(5));
    for stream in idle.iter_mut().step_by(997) {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 512]).await.unwrap() > 100, "idle connections are still served");
    }
    assert_eq!(origin.count(), 1);
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
}
