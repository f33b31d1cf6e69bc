//! HTTP/2 in frames: what no library of a viewer shows.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::raw_h2::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, block, farewell, frame,
};
use crate::support::{Script, TestEdge, TestOrigin, distribution, get, start};

const BIG: usize = 3 << 20;

async fn started() -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("aaa", "max-age=60"));
    origin.set("/big", Script::ok(vec![b'z'; BIG], "max-age=60"));
    let edge = start(vec![distribution("E1", "a.test", &origin)], |config| {
        config.header_timeout = Duration::from_millis(500);
    });
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "aaa");
    (origin, edge)
}

fn ask(id: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, id, &block(path, &[(":authority", "a.test")]))
}

#[tokio::test]
async fn requests_in_any_pieces_are_answered() {
    let (_origin, edge) = started().await;
    let mut frames = Frames::connect(edge.address, &[]).await;
    for (id, size) in [(1, 1), (3, 2), (5, 7), (7, 1000)] {
        for piece in ask(id, "/a").chunks(size) {
            frames.stream.write_all(piece).await.unwrap();
            frames.stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(frames.next(DATA).await, (id, b"aaa".to_vec()));
    }
    let all: Vec<u8> = (9..209).step_by(2).flat_map(|id| ask(id, "/a")).collect();
    frames.stream.write_all(&all).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..100 {
        seen.push(frames.next(DATA).await.0);
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq((9..209).step_by(2)));
}

#[tokio::test]
async fn windows_are_kept_to_the_byte() {
    let (_origin, edge) = started().await;
    let mut frames = Frames::connect(edge.address, &[(4, 10)]).await;
    frames.stream.write_all(&ask(1, "/big")).await.unwrap();
    let (_, first) = frames.next(DATA).await;
    assert_eq!(first.len(), 10);
    for more in [1_u32, 5, 20_000] {
        frames.stream.write_all(&frame(WINDOW_UPDATE, 0, 1, &more.to_be_bytes())).await.unwrap();
        let mut got = 0;
        while got < more as usize {
            got += frames.next(DATA).await.1.len();
        }
        assert_eq!(got, more as usize);
    }
    // Another stream's window is its own, and the connection's is everybody's: 65,535 bytes less what has come.
    frames.stream.write_all(&frame(WINDOW_UPDATE, 0, 1, &(1_u32 << 20).to_be_bytes())).await.unwrap();
    let mut left = 65_535 - 20_016;
    while left > 0 {
        left -= frames.next(DATA).await.1.len();
    }
    frames.stream.write_all(&ask(3, "/a")).await.unwrap();
    frames.stream.write_all(&frame(PING, 0, 0, b"in order")).await.unwrap();
    assert_eq!(frames.next(HEADERS).await.0, 3, "heads need no window");
    assert_eq!(frames.next(PING).await.1, b"in order");
    frames.stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes())).await.unwrap();
    let mut last = frames.next(DATA).await;
    while last.0 != 3 {
        last = frames.next(DATA).await;
    }
    assert_eq!(last.1, b"aaa");
}

#[tokio::test]
async fn a_stream_that_is_reset_gives_way_to_others() {
    let (_origin, edge) = started().await;
    let mut frames = Frames::connect(edge.address, &[]).await;
    for id in (1..401).step_by(2) {
        // Its body has begun, and fills the connection's window: it is no rapid reset.
        frames.stream.write_all(&ask(id, "/big")).await.unwrap();
        let mut got = 0;
        while got < 65_535 {
            let (stream, bytes) = frames.next(DATA).await;
            assert_eq!(stream, id);
            got += bytes.len();
        }
        frames.stream.write_all(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())).await.unwrap();
        frames.stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &65_535_u32.to_be_bytes())).await.unwrap();
    }
    frames.stream.write_all(&ask(401, "/a")).await.unwrap();
    assert_eq!(frames.next(DATA).await, (401, b"aaa".to_vec()));
}

#[tokio::test]
async fn requests_under_way_at_shutdown_are_answered() {
    let (origin, edge) = started().await;
    origin.set("/slow", Script::ok("slow", "max-age=60").with(|s| s.delay = Duration::from_millis(300)));
    let mut frames = Frames::connect(edge.address, &[]).await;
    frames.stream.write_all(&ask(1, "/slow")).await.unwrap();
    while origin.count() < 2 {
        tokio::task::yield_now().await;
    }
    edge.shutdown.cancel();
    assert_eq!(frames.next(GOAWAY).await.1[..4], [0x7f, 0xff, 0xff, 0xff], "nothing is refused yet");
    let (_, ping) = frames.next(PING).await;
    frames.stream.write_all(&[ask(3, "/a"), frame(PING, 1, 0, &ping), ask(5, "/a")].concat()).await.unwrap();
    let rest = frames.rest().await;
    let bodies: Vec<_> = rest.iter().filter(|(kind, ..)| *kind == DATA).map(|(_, id, body)| (*id, &body[..])).collect();
    assert!(bodies.contains(&(1, b"slow")) && bodies.contains(&(3, b"aaa")) && bodies.len() == 2, "{bodies:?}");
    assert_eq!(farewell(&rest), Some(0));
    let last = rest.iter().rfind(|(kind, ..)| *kind == GOAWAY).unwrap();
    assert_eq!(last.2[..4], [0, 0, 0, 3], "what came later may go elsewhere");
}

#[tokio::test]
async fn floods_are_told_to_calm_down() {
    let (_origin, edge) = started().await;
    for noise in [frame(PING, 0, 0, &[0; 8]), frame(4, 0, 0, &[]), frame(99, 0, 0, &[]), frame(2, 0, 7, &[0; 5])] {
        let mut frames = Frames::connect(edge.address, &[]).await;
        // The edge may hang up before the end.
        let _ = frames.stream.write_all(&noise.repeat(6000)).await;
        assert_eq!(farewell(&frames.rest().await), Some(0xb));
    }
    assert_eq!(get(edge.address, "a.test", "/a").await.text(), "aaa");
}

#[tokio::test]
async fn malformed_requests_reset_their_stream_alone() {
    let (origin, edge) = started().await;
    let mut frames = Frames::connect(edge.address, &[]).await;
    for (id, field) in
        [(1, ("connection", "close")), (3, ("X-Upper", "a")), (5, ("x", "a\r\nhost: b.test")), (7, ("te", "gzip"))]
    {
        let head = block("/a", &[(":authority", "a.test"), field]);
        frames.stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &head)).await.unwrap();
        assert_eq!(frames.next(RST_STREAM).await, (id, 1_u32.to_be_bytes().to_vec()), "{field:?}");
    }
    frames.stream.write_all(&ask(9, "/a")).await.unwrap();
    assert_eq!(frames.next(DATA).await, (9, b"aaa".to_vec()));
    assert_eq!(origin.count(), 1);
}
