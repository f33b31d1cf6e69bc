//! The origin over real HTTP: who is answered, with what, and for how long it may be kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use anabranch_hls::timeline::{Progress, Rendition, RenditionKind, Segment, Timeline};
use anabranch_net::{ManualClock, Shutdown};
use anabranch_origin::{Config, Origin, TOKEN_HEADER, Timelines};
use anabranch_store::{LocalStore, key};
use anabranch_testkit::{Fetched, Viewer};
use bytes::Bytes;
use tokio::sync::watch;

const TOKEN: &str = "secret";
const START_MS: i64 = 1_700_000_000_000;

struct House {
    url: String,
    store: LocalStore,
    timeline: watch::Sender<Arc<Timeline>>,
    clock: Arc<ManualClock>,
    _timelines: watch::Sender<Timelines>,
    _dir: tempfile::TempDir,
    closing: Shutdown,
    shutdown: Shutdown,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn house() -> House {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let store = LocalStore::open(dir.path(), 0).expect("a store");
    for (name, body) in [("video/00000000-r.m4s", "segment"), ("audio/init-r-0.mp4", "init"), ("gaps.json", "{}")] {
        store.put(&key::recording_object("b1", 3, name), vec![Bytes::from(body)]).await.expect("an object");
    }
    for (name, body) in [("a/1.txt", "0123456789"), ("empty", ""), ("v.MP4", "x")] {
        store.put(&key::bucket_object("vod", name), vec![Bytes::from(body)]).await.expect("an object");
    }
    let (timeline, published) = watch::channel(Arc::new(timeline(0, Progress::Live)));
    let key = ("c1".parse().expect("an id"), "b1".parse().expect("an id"));
    let (_timelines, timelines) = watch::channel(Timelines::new(HashMap::from([(key, published)])));
    let clock = Arc::new(ManualClock::new(START_MS));
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), token: TOKEN.into() };
    let origin = Origin::bind(config, store.clone(), timelines, clock.clone()).expect("a free port");
    let url = format!("http://{}/live/c1/b1", origin.local_addr().expect("an address"));
    let shutdown = Shutdown::new();
    let closing = Shutdown::new();
    tokio::spawn(origin.run(closing.clone(), shutdown.clone()));
    House { url, store, timeline, clock, _timelines, _dir: dir, closing, shutdown }
}

/// A timeline of `count` video segments of 6 s.
fn timeline(count: u64, progress: Progress) -> Timeline {
    let segment = |msn: u64| {
        Arc::new(Segment {
            msn,
            name: format!("video/{msn:08}-r.m4s"),
            init: "video/init-r-0.mp4".into(),
            duration_seconds: 6.0,
            program_date_time_ms: START_MS + i64::try_from(msn).unwrap_or(0) * 6000,
            discontinuity: false,
            gap: false,
            bytes: 1000,
        })
    };
    let segments: VecDeque<_> = (0..count).map(segment).collect();
    let rendition = Rendition {
        name: "video".into(),
        kind: RenditionKind::Video,
        codecs: "avc1.64001f".into(),
        resolution: Some((1280, 720)),
        frame_rate: Some(30.0),
        channels: None,
        peak_bandwidth: 2000,
        average_bandwidth: 1000,
        discontinuity_sequence: 0,
        segments,
    };
    let renditions = if count == 0 { vec![] } else { vec![rendition] };
    Timeline { session: 3, progress, target_duration_seconds: 6, renditions }
}

impl House {
    /// Asks as an edge.
    async fn get(&self, path: &str) -> Fetched {
        self.ask(Viewer::new().with(TOKEN_HEADER, TOKEN), path).await
    }

    async fn ask(&self, viewer: Viewer, path: &str) -> Fetched {
        let url = format!("{}{path}", self.url);
        tokio::task::spawn_blocking(move || viewer.get(&url)).await.expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_edges_that_know_the_token_are_answered() {
    let house = house().await;
    assert_eq!(house.ask(Viewer::new(), "/video/00000000-r.m4s").await.status, 403);
    let wrong = Viewer::new().with(TOKEN_HEADER, "secreT");
    assert_eq!(house.ask(wrong, "/video/00000000-r.m4s").await.status, 403);
    assert_eq!(house.get("/video/00000000-r.m4s").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_tells_what_may_be_asked() {
    let house = house().await;
    let url = format!("{}/video/00000000-r.m4s", house.url);
    let send = |method: &'static str| {
        let (viewer, url) = (Viewer::new().with(TOKEN_HEADER, TOKEN), url.clone());
        tokio::task::spawn_blocking(move || viewer.try_send(method, &url, "").expect("an answer"))
    };
    for (method, status) in [("OPTIONS", 204), ("DELETE", 405)] {
        let answer = send(method).await.expect("an answer");
        assert_eq!((answer.status, answer.header("allow")), (status, "GET, HEAD, OPTIONS"), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_immutable_and_typed() {
    let house = house().await;
    let segment = house.get("/video/00000000-r.m4s").await;
    assert_eq!((segment.text().as_str(), segment.header("content-type")), ("segment", "video/mp4"));
    assert_eq!(segment.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(segment.header("etag"), "\"video/00000000-r.m4s\"");
    assert_eq!(house.get("/audio/init-r-0.mp4").await.header("content-type"), "audio/mp4");
    for path in ["/timeline.json", "/video/00000009-r.m4s", "/video/../timeline.json", "/", "/video/%2e%2e/x.m4s"] {
        let answer = house.get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, "max-age=1"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn playlists_appear_when_a_player_can_go_on() {
    let house = house().await;
    for count in 0..2 {
        house.timeline.send_replace(Arc::new(timeline(count, Progress::Live)));
        assert_eq!(house.get("/index.m3u8").await.status, 404, "{count} segments");
    }
    house.timeline.send_replace(Arc::new(timeline(2, Progress::Live)));
    let playlist = house.get("/index.m3u8").await;
    assert_eq!((playlist.status, playlist.header("content-type")), (200, "application/vnd.apple.mpegurl"));
    assert!(playlist.text().contains("video.m3u8"));
    assert_eq!(house.get("/audio.m3u8").await.status, 404, "no such rendition");
    // Short, but nothing more will come.
    house.timeline.send_replace(Arc::new(timeline(1, Progress::Ended)));
    assert!(house.get("/video.m3u8").await.text().contains("#EXT-X-ENDLIST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_is_kept_until_the_next_segment_is_due() {
    let house = house().await;
    house.timeline.send_replace(Arc::new(timeline(3, Progress::Live)));
    // The third segment ends at 18 s, so the fourth is due at 24 s.
    for (now_s, lifetime) in
        [(18, "max-age=3"), (21, "max-age=3"), (22, "max-age=2"), (23, "max-age=1"), (60, "max-age=1")]
    {
        house.clock.set_ms(START_MS + now_s * 1000);
        assert_eq!(house.get("/video.m3u8").await.header("cache-control"), lifetime, "{now_s} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_is_held_until_its_segment_is_published() {
    let house = house().await;
    house.timeline.send_replace(Arc::new(timeline(3, Progress::Live)));
    // At once: the segment is there.
    let there = house.get("/video.m3u8?_HLS_msn=2").await;
    assert_eq!((there.status, there.header("cache-control")), (200, "max-age=36"));
    assert!(there.text().contains("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"));
    let (asked, url) = (Viewer::new().with(TOKEN_HEADER, TOKEN), format!("{}/video.m3u8", house.url));
    let ask = |query: &str| {
        let (asked, url) = (asked.clone(), format!("{url}?{query}"));
        tokio::task::spawn_blocking(move || asked.get(&url))
    };
    let (next, same, after) = (ask("_HLS_msn=3"), ask("_HLS_msn=3&_HLS_part=0&_HLS_skip=YES"), ask("x&_HLS_msn=4"));
    // What follows is answered while those wait.
    for (query, status) in [
        ("_HLS_msn=5", 400),
        ("_HLS_part=0", 400),
        ("_HLS_msn=x", 400),
        ("_HLS_msn=3&_HLS_msn=3", 400),
        ("_HLS_msn=1", 200),
        ("_HLS_skip=YES", 200),
    ] {
        assert_eq!(house.get(&format!("/video.m3u8?{query}")).await.status, status, "{query}");
    }
    assert_eq!(house.get("/video.m3u8?_HLS_msn=5").await.header("cache-control"), "max-age=1");
    assert_eq!(house.get("/audio.m3u8?_HLS_msn=3").await.status, 404);
    assert_eq!(house.get("/index.m3u8?_HLS_msn=x").await.status, 200, "directives are for media playlists");
    let part = Viewer::new().with(TOKEN_HEADER, TOKEN).with("range", "bytes=-9");
    assert_eq!(house.ask(part, "/video.m3u8?_HLS_msn=3").await.status, 200, "nobody could share it");
    assert!(!next.is_finished() && !same.is_finished() && !after.is_finished());

    house.timeline.send_replace(Arc::new(timeline(4, Progress::Live)));
    for held in [next, same] {
        let held = held.await.expect("an answer");
        assert_eq!((held.status, held.header("cache-control")), (200, "max-age=36"));
        assert!(held.text().ends_with("video/00000003-r.m4s\n"), "{}", held.text());
    }
    assert!(!after.is_finished());
    house.timeline.send_replace(Arc::new(timeline(4, Progress::Ended)));
    let ended = after.await.expect("an answer");
    assert!(ended.text().ends_with("#EXT-X-ENDLIST\n") && !ended.text().contains("SERVER-CONTROL"), "{}", ended.text());
    assert_eq!(ended.header("cache-control"), "max-age=3");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_closes_lets_go_of_what_it_holds() {
    let house = house().await;
    house.timeline.send_replace(Arc::new(timeline(3, Progress::Live)));
    let (held, asked) = (format!("{}/video.m3u8?_HLS_msn=3", house.url), Viewer::new().with(TOKEN_HEADER, TOKEN));
    let held = tokio::task::spawn_blocking(move || asked.get(&held));
    assert_eq!(house.get("/video.m3u8").await.status, 200);
    house.closing.cancel();
    for refused in [held.await.expect("an answer"), house.get("/video.m3u8?_HLS_msn=3").await] {
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
        assert_eq!(refused.header("cache-control"), "max-age=1");
    }
    assert_eq!(house.get("/video.m3u8?_HLS_msn=2").await.status, 200, "it answers until it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_read_by_key() {
    let mut house = house().await;
    house.url = house.url.replace("/live/c1/b1", "/bucket/vod");
    let whole = house.get("/a/1.txt").await;
    assert_eq!((whole.status, whole.text().as_str(), whole.header("content-type")), (200, "0123456789", "text/plain"));
    assert_eq!((whole.header("content-length"), whole.header("accept-ranges")), ("10", "bytes"));
    let (tag, modified) = (whole.header("etag").to_owned(), whole.header("last-modified").to_owned());
    assert!(tag.starts_with('"') && modified.ends_with(" GMT"), "{tag} {modified}");
    assert_eq!(house.get("/v.MP4?list-type=2").await.header("content-type"), "video/mp4");
    assert_eq!(house.get("/empty").await.status, 200);
    assert_eq!(house.get("/a/%31.txt").await.text(), "0123456789", "a key is escaped in a path");
    assert_eq!(house.ask(Viewer::new(), "/a/1.txt").await.status, 403);
    for path in
        ["/a/2.txt", "/a", "/a/", "/", "", "/../vod/a/1.txt", "/a/%3.txt", "/a/%2531.txt", "//a/1.txt", "/a//1.txt"]
    {
        let missing = house.get(path).await;
        assert_eq!((missing.status, missing.header("content-type")), (404, "application/xml"), "{path}");
        assert!(missing.text().contains("<Code>NoSuchKey</Code>"));
    }
    let with = |name: &str, value: &str| Viewer::new().with(TOKEN_HEADER, TOKEN).with(name, value);
    for (name, value) in [("if-none-match", tag.as_str()), ("if-modified-since", &modified)] {
        let known = house.ask(with(name, value), "/a/1.txt").await;
        assert_eq!((known.status, known.header("etag"), known.body.len()), (304, tag.as_str(), 0), "{name}");
    }
    house.store.put("bucket/vod/a/1.txt", vec![Bytes::from("9876543210")]).await.expect("another version");
    let other = house.ask(with("if-none-match", &tag), "/a/1.txt").await;
    assert_eq!((other.status, other.text().as_str()), (200, "9876543210"));
    let part = house.ask(with("range", "bytes=0-1").with("if-range", &tag), "/a/1.txt").await;
    assert_eq!((part.status, part.body.len()), (200, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_a_bucket_are_parts() {
    let mut house = house().await;
    house.url = house.url.replace("/live/c1/b1", "/bucket/vod");
    for (range, status, body, part) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=8-", 206, "89", "bytes 8-9/10"),
        ("bytes=-1", 206, "9", "bytes 9-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=0-0,2-2", 200, "0123456789", ""),
    ] {
        let answer = house.ask(Viewer::new().with(TOKEN_HEADER, TOKEN).with("range", range), "/a/1.txt").await;
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.header("content-range")),
            (status, body, part),
            "{range}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_there_the_moment_it_ends() {
    let mut house = house().await;
    house.url = house.url.replace("/live/c1/b1", "/bucket/recordings/b1");
    let early = house.get("/3/index.m3u8").await;
    assert_eq!((early.status, early.header("cache-control")), (404, "max-age=1"), "asked too early");
    let segment = house.get("/3/video/00000000-r.m4s").await;
    assert_eq!((segment.text().as_str(), segment.header("content-type")), ("segment", "video/mp4"));
    assert_eq!(segment.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(house.get("/2/video/00000000-r.m4s").await.status, 404, "another session is another recording");
    for name in [key::INDEX, key::GAPS, key::MP4] {
        house.store.put(&key::recording_object("b1", 3, name), vec![Bytes::from("x")]).await.expect("an object");
        let answer = house.get(&format!("/3/{name}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "max-age=10"), "{name}");
    }
    assert_eq!(house.get("/3/index.m3u8").await.header("content-type"), "application/vnd.apple.mpegurl");
    house.store.delete_recording("b1", 3).await.expect("a store");
    for path in ["/3/index.m3u8", "/3/video/00000000-r.m4s"] {
        assert_eq!(house.get(path).await.status, 404, "{path}");
    }
    // What the packager notes is in no bucket.
    for path in ["/../../record/b1/3/timeline.json", "/3/timeline.json"] {
        assert_eq!(house.get(path).await.status, 404, "{path}");
    }
}
