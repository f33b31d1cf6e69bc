//! Playlist requests that the origin room holds until there is a segment (rfc8216bis §6.2.5.2): one for all who wait.

use std::sync::Arc;
use std::time::Duration;

use anabranch_edge::{Config, OriginRoom};
use anabranch_model::{DistributionSpec, KeyGroupSpec, KeySpec, Origin, OriginGroup, OriginSpec, Selection, Transform};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::{
    NOW_MS, Reply, Script, TestEdge, TestOrigin, Viewer, distribution, get, http_origin, start, start_with_keys, until,
};

const HOST: &str = "127.0.0.1:8888";
const NEXT: &str = "/live/c1/b1/video.m3u8?_HLS_msn=7";

/// A distribution of channel `c1`, cached by the path alone.
fn live(origin: &TestOrigin) -> DistributionSpec {
    let mut site = distribution("E1", "a.test", origin);
    site.origins[0].origin = Origin::Live { channel: "c1".parse().unwrap() };
    site.default_behavior.cache.max_ttl_seconds = 86_400;
    site
}

fn room(origin: &TestOrigin) -> Option<OriginRoom> {
    Some(OriginRoom { authority: origin.address.to_string(), token: "secret".to_owned() })
}

fn edge(origin: &TestOrigin, site: DistributionSpec, change: impl FnOnce(&mut Config)) -> TestEdge {
    start(vec![site], |config| {
        config.origin_room = room(origin);
        change(config);
    })
}

/// A playlist that is not answered before it is told so, once for each request.
fn held(origin: &TestOrigin, path: &str, body: &str) -> Arc<Notify> {
    let hold = Arc::new(Notify::new());
    origin.set(path, playlist(body).with(|script| script.hold = Some(hold.clone())));
    hold
}

fn playlist(body: &str) -> Script {
    let mut script = Script::ok(body, "max-age=36");
    script.headers[1].1 = "application/vnd.apple.mpegurl".to_owned();
    script
}

/// Sends a request and gives what becomes of it.
async fn asked(edge: &TestEdge, target: &str) -> JoinHandle<Reply> {
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send(&format!("GET /d/E1{target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    tokio::spawn(async move { viewer.reply(false).await.expect("an answer") })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_viewers_with_signatures_of_their_own_are_one_origin_request() {
    const VIEWERS: i64 = 500;
    let origin = TestOrigin::start().await;
    let hold = held(&origin, NEXT, "#EXTM3U\nsegment-7.m4s");
    let key = PrivateKey::generate().unwrap();
    let mut site = live(&origin);
    site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    site.default_behavior.transform = Transform::SignedPlaylist;
    let public = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
    let group = KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![public] };
    let edge = start_with_keys(vec![site], vec![group], |config| config.origin_room = room(&origin));
    let mut viewers = Vec::new();
    for viewer in 0..VIEWERS {
        let policy = Policy::new("*://*/d/E1/b1/*", NOW_MS / 1000 + 60 + viewer);
        let url = sign_url("http://x/d/E1/b1/a", &SignSpec::Custom(policy), "K1", &key).unwrap();
        let signature = url.split_once('?').unwrap().1.to_owned();
        // The directive may stand anywhere among the parameters of the signature.
        let query = match viewer % 3 {
            0 => format!("_HLS_msn=7&{signature}"),
            1 => format!("{signature}&_HLS_msn=7"),
            _ => signature.replacen('&', "&_HLS_msn=7&", 1),
        };
        viewers.push((signature, asked(&edge, &format!("/b1/video.m3u8?{query}")).await));
    }
    until("the origin is asked", || origin.count() == 1).await;
    // The segment takes its time, which makes the playlist no older.
    edge.clock.set_ms(NOW_MS + 5_900);
    assert!(viewers.iter().all(|(_, asked)| !asked.is_finished()));
    hold.notify_one();
    let mut collapsed = 0;
    for (signature, asked) in viewers {
        let reply = asked.await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.text(), format!("#EXTM3U\nsegment-7.m4s?{signature}"), "the signature and no directive");
        assert_eq!((reply.header("age"), reply.header("cache-control")), (Some("0"), Some("max-age=36")));
        collapsed += usize::from(reply.header("cache-status").unwrap().contains("collapsed"));
    }
    assert!(collapsed > 0);
    assert_eq!(origin.count(), 1);
    assert!(origin.heads()[0].starts_with(&format!("GET {NEXT} HTTP/1.1\r\n")), "{}", origin.heads()[0]);
}

#[tokio::test]
async fn waiting_is_no_idleness() {
    let origin = TestOrigin::start().await;
    let hold = held(&origin, NEXT, "seven");
    origin.set("/live/c1/b1/video.m3u8", playlist("six"));
    let limit = Duration::from_millis(150);
    let edge = edge(&origin, live(&origin), |config| {
        (config.header_timeout, config.idle_timeout, config.write_timeout) = (limit, limit, limit);
    });
    let mut viewer = Viewer::connect(edge.address).await;
    viewer.send(&format!("GET /d/E1/b1/video.m3u8?_HLS_msn=7 HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = |query: &str| {
        let uri = format!("http://{HOST}/d/E1/b1/video.m3u8{query}");
        sender.send_request(http::Request::get(uri).body(Empty::<Bytes>::new()).unwrap())
    };
    let over_2 = tokio::spawn(request("?_HLS_msn=7"));
    until("the origin is asked", || origin.count() == 1).await;
    // The time itself is what is tried: every limit of the connections passes several times.
    tokio::time::sleep(limit * 8).await;
    assert!(!over_2.is_finished());
    // The connection of HTTP/2 has more than this to do.
    let other = request("").await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(other, "six");
    hold.notify_one();
    assert_eq!(viewer.reply(false).await.unwrap().text(), "seven");
    let body = over_2.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "seven");
    viewer.send(&format!("GET /d/E1/b1/video.m3u8 HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert_eq!(viewer.reply(false).await.unwrap().text(), "six", "the connection goes on");
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn viewers_that_leave_take_nothing_from_the_others() {
    let origin = TestOrigin::start().await;
    let hold = held(&origin, NEXT, "seven");
    let edge = edge(&origin, live(&origin), |_| {});
    let first = asked(&edge, "/b1/video.m3u8?_HLS_msn=7").await;
    until("the origin is asked", || origin.count() == 1).await;
    let (second, third) =
        (asked(&edge, "/b1/video.m3u8?_HLS_msn=7").await, asked(&edge, "/b1/video.m3u8?_HLS_msn=7").await);
    first.abort();
    third.abort();
    assert!(first.await.is_err() && third.await.is_err());
    hold.notify_one();
    assert_eq!(second.await.unwrap().text(), "seven");
    // Nobody is left, and the playlist is kept all the same.
    let last = held(&origin, "/live/c1/b1/video.m3u8?_HLS_msn=8", "eight");
    let gone = asked(&edge, "/b1/video.m3u8?_HLS_msn=8").await;
    until("the origin is asked", || origin.count() == 2).await;
    gone.abort();
    assert!(gone.await.is_err());
    last.notify_one();
    assert_eq!(get(edge.address, HOST, "/d/E1/b1/video.m3u8?_HLS_msn=8").await.text(), "eight");
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_runs_out_is_told_to_all_and_kept_for_a_moment() {
    let origin = TestOrigin::start().await;
    let hold = Arc::new(Notify::new());
    let too_late = Script::ok("too late", "max-age=1").with(|script| {
        script.status = 503;
        script.headers.push(("retry-after", "1".to_owned()));
        script.hold = Some(hold.clone());
    });
    origin.set(NEXT, too_late);
    let edge = edge(&origin, live(&origin), |_| {});
    let mut viewers = Vec::new();
    for _ in 0..50 {
        viewers.push(asked(&edge, "/b1/video.m3u8?_HLS_msn=7").await);
    }
    until("the origin is asked", || origin.count() == 1).await;
    hold.notify_one();
    for viewer in viewers {
        let reply = viewer.await.unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(get(edge.address, HOST, "/d/E1/b1/video.m3u8?_HLS_msn=7").await.status, 503);
    assert_eq!(origin.count(), 1);
    edge.clock.set_ms(NOW_MS + 1000);
    origin.set(NEXT, playlist("seven"));
    assert_eq!(get(edge.address, HOST, "/d/E1/b1/video.m3u8?_HLS_msn=7").await.text(), "seven");
}

#[tokio::test]
async fn directives_count_under_every_cache_policy_and_in_groups() {
    let origin = TestOrigin::start().await;
    for (path, body) in [("", "now"), ("?_HLS_msn=7", "seven"), ("?_HLS_msn=8&_HLS_part=0", "eight")] {
        origin.set(&format!("/live/c1/b1/video.m3u8{path}"), playlist(body));
    }
    for query in
        [Selection::None, Selection::Only(vec!["x".to_owned()]), Selection::Except(vec!["_HLS_msn".to_owned()])]
    {
        let mut site = live(&origin);
        let other = OriginSpec { id: "p".to_owned(), origin: http_origin(origin.address), shield: None };
        site.origins.push(other);
        site.origin_groups = vec![OriginGroup {
            id: "g".to_owned(),
            primary: "o".to_owned(),
            secondary: "p".to_owned(),
            failover_statuses: vec![502],
        }];
        site.default_behavior.origin = "g".to_owned();
        site.default_behavior.cache.query = query.clone();
        let edge = edge(&origin, site, |_| {});
        let before = origin.count();
        for _ in 0..2 {
            for (path, body) in [("", "now"), ("?_HLS_msn=7", "seven"), ("?_HLS_msn=8&_HLS_part=0", "eight")] {
                let reply = get(edge.address, HOST, &format!("/d/E1/b1/video.m3u8{path}")).await;
                assert_eq!((reply.status, reply.text()), (200, body), "{query:?} {path}");
            }
        }
        assert_eq!(origin.count() - before, 3, "{query:?}");
    }
    // What else a viewer writes makes no second request.
    let edge = edge(&origin, live(&origin), |_| {});
    let before = origin.count();
    for more in ["", "&x=1", "&_HLS=2"] {
        assert_eq!(get(edge.address, HOST, &format!("/d/E1/b1/video.m3u8?_HLS_msn=7{more}")).await.text(), "seven");
    }
    assert_eq!(origin.count() - before, 1);
}
