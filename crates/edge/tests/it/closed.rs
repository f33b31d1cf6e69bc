//! What is closed is refused, whatever is in the cache (C40-C46, X6).

use std::sync::Arc;
use std::time::Duration;

use anabranch_edge::{Carried, OriginRoom, Rewriting, Shield, Transforms};
use anabranch_model::{
    ClosedSpec, CorsPolicy, DistributionSpec, ErrorResponse, HeaderRule, KeyGroupSpec, KeySpec, Origin, Report,
    Transform,
};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};
use tokio::sync::Notify;

use crate::support::{
    NOW_MS, Reply, Script, TestEdge, TestOrigin, Viewer, ask, distribution, get, start, start_with_keys, until,
};

const HOST: &str = "a.test";

/// Longest time that is allowed between a snapshot and its effect on one who waits.
const AT_ONCE: Duration = Duration::from_secs(1);

fn closing(paths: &[&str]) -> ClosedSpec {
    ClosedSpec {
        distribution: "E1".parse().unwrap(),
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        cluster: "news".to_owned(),
        region: "fra".to_owned(),
    }
}

/// Puts closings into the next snapshot and waits until it is in force.
async fn tell(edge: &mut TestEdge, closed: Vec<ClosedSpec>) {
    edge.snapshots.send_modify(|snapshot| {
        let mut next = (**snapshot).clone();
        next.version += 1;
        next.closed = closed;
        *snapshot = next.into();
    });
    let wanted = edge.snapshots.borrow().version;
    loop {
        match edge.reports.recv().await.unwrap() {
            Report::Applied { version, .. } if version >= wanted => return,
            _ => {}
        }
    }
}

fn assert_closed(reply: &Reply) {
    assert_eq!(reply.status, 404, "{}", reply.head);
    assert_eq!(reply.header("x-anabranch-closed"), Some("fra"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("age"), None);
}

fn site(origin: &TestOrigin) -> DistributionSpec {
    let mut site = distribution("E1", HOST, origin);
    site.default_behavior.cache.max_ttl_seconds = 86_400;
    site
}

#[tokio::test]
async fn a_cached_object_is_refused_with_the_next_request_and_served_again_with_the_one_after_reopening() {
    let origin = TestOrigin::start().await;
    origin.set("/v/1.m4s", Script::ok("segment", "max-age=600"));
    let mut edge = start(vec![site(&origin)], |_| {});
    let mut viewer = Viewer::connect(edge.address).await;
    let request = format!("GET /v/1.m4s HTTP/1.1\r\nHost: {HOST}\r\nOrigin: http://page.test\r\n\r\n");
    viewer.send(&request).await;
    assert_eq!(viewer.reply(false).await.unwrap().text(), "segment");
    for _ in 0..3 {
        tell(&mut edge, vec![closing(&[])]).await;
        viewer.send(&request).await;
        let reply = viewer.reply(false).await.expect("the connection goes on");
        assert_closed(&reply);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "a page sees the status: {}", reply.head);
        assert_eq!(reply.header("access-control-expose-headers"), Some("x-anabranch-closed"));
        let head = ask(edge.address, "HEAD", HOST, "/v/1.m4s", "").await;
        assert_closed(&head);
        assert!(head.header("content-length").is_some_and(|length| length != "0"));
        assert_closed(&get(edge.address, HOST, "/v/never-seen.m4s").await);

        tell(&mut edge, vec![]).await;
        viewer.send(&request).await;
        let reply = viewer.reply(false).await.unwrap();
        assert_eq!((reply.status, reply.header("x-cache")), (200, Some("Hit from cloudfront")), "{}", reply.head);
    }
    assert_eq!(origin.count(), 1, "what is closed asks no origin");
}

#[tokio::test]
async fn only_the_paths_that_are_named_and_the_distribution_that_is() {
    let origin = TestOrigin::start().await;
    for path in ["/b1/a", "/b2/a", "/index.m3u8"] {
        origin.set(path, Script::ok("here", "max-age=600"));
    }
    let mut root = site(&origin);
    root.default_root_object = "index.m3u8".to_owned();
    let mut edge = start(vec![root, distribution("E2", "b.test", &origin)], |_| {});
    tell(&mut edge, vec![closing(&["/b1/*", "/index.m3u8"])]).await;
    let status = async |host: &str, target: &str| get(edge.address, host, target).await.status;
    assert_eq!(status(HOST, "/b1/a").await, 404);
    assert_eq!(status(HOST, "/b2/a").await, 200);
    assert_eq!(status("b.test", "/b1/a").await, 200);
    assert_eq!(status(HOST, "/").await, 404, "the root object is what is asked for");
    assert_eq!(status("other", "/d/E1/b1/a").await, 404, "the address form is no way around");
}

#[tokio::test]
async fn preflights_are_answered_and_the_sites_rules_of_cors_hold() {
    let origin = TestOrigin::start().await;
    let mut site = site(&origin);
    let policy = &mut site.default_behavior.response_headers;
    policy.cors = Some(CorsPolicy {
        allow_origins: vec!["http://page.test".to_owned()],
        allow_headers: vec!["range".to_owned()],
        allow_methods: vec!["GET".to_owned()],
        expose_headers: vec![],
        max_age_seconds: 60,
        allow_credentials: true,
        overrides: true,
    });
    // A policy that would have the refusal kept.
    policy.set = vec![HeaderRule { name: "Cache-Control".into(), value: "max-age=60".into(), overrides: true }];
    site.error_responses = vec![ErrorResponse { status: 404, min_ttl_seconds: 60, page: None }];
    let mut edge = start(vec![site], |_| {});
    tell(&mut edge, vec![closing(&[])]).await;
    let lines =
        "Origin: http://page.test\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n";
    let preflight = ask(edge.address, "OPTIONS", HOST, "/a", lines).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (204, Some("range")));
    let reply = ask(edge.address, "GET", HOST, "/a", "Origin: http://page.test\r\n").await;
    assert_closed(&reply);
    assert_eq!(reply.header("access-control-allow-origin"), Some("http://page.test"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    assert!(!reply.head.contains("max-age"), "{}", reply.head);
    let other = ask(edge.address, "GET", HOST, "/a", "Origin: http://other.test\r\n").await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (404, None));
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn it_is_judged_before_signatures() {
    let origin = TestOrigin::start().await;
    let mut site = site(&origin);
    site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    let mut edge = start(vec![site], |_| {});
    assert_eq!(get(edge.address, HOST, "/a").await.status, 403);
    tell(&mut edge, vec![closing(&[])]).await;
    assert_closed(&get(edge.address, HOST, "/a").await);
}

#[tokio::test]
async fn previews_look_behind_it() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("here", "max-age=600"));
    let key = PrivateKey::generate().unwrap();
    let mut site = site(&origin);
    site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    let public = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
    let group = KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![public] };
    let mut edge = start_with_keys(vec![site], vec![group], |_| {});
    let target = |preview: bool| {
        let policy = Policy::new("http://*", NOW_MS / 1000 + 60).claim("preview", preview.into());
        let url = sign_url("http://a.test/a", &SignSpec::Custom(policy), "K1", &key).unwrap();
        url.strip_prefix("http://a.test").unwrap().to_owned()
    };
    assert_eq!(get(edge.address, HOST, &target(false)).await.status, 200);
    tell(&mut edge, vec![closing(&[])]).await;
    assert_closed(&get(edge.address, HOST, &target(false)).await);
    let reply = get(edge.address, HOST, &target(true)).await;
    assert_eq!((reply.status, reply.text()), (200, "here"), "{}", reply.head);
}

#[tokio::test]
async fn who_waits_for_a_segment_is_told_at_once_and_a_body_under_way_ends() {
    let origin = TestOrigin::start().await;
    let (hold, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = Script::ok("#EXTM3U", "max-age=36").with(|script| script.hold = Some(hold.clone()));
    origin.set("/live/c1/b1/video.m3u8?_HLS_msn=7", held);
    let body = Script::ok("first-rest", "max-age=600").with(|script| script.gate = Some((5, gate.clone())));
    origin.set("/live/c1/b1/6.m4s", body);
    let mut live = site(&origin);
    live.origins[0].origin = Origin::Live { channel: "c1".parse().unwrap() };
    let mut edge = start(vec![live], |config| {
        config.origin_room = Some(OriginRoom { authority: origin.address.to_string(), token: "t".to_owned() });
    });
    let mut body = Viewer::connect(edge.address).await;
    body.send(&format!("GET /b1/6.m4s HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    body.body_begins().await;
    let mut waiting = Viewer::connect(edge.address).await;
    waiting.send(&format!("GET /b1/video.m3u8?_HLS_msn=7 HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    until("the origin is asked", || origin.count() == 2).await;

    tell(&mut edge, vec![closing(&["/b2/*"])]).await;
    tell(&mut edge, vec![closing(&["/b1/*"])]).await;
    let reply = tokio::time::timeout(AT_ONCE, waiting.reply(false)).await.expect("nobody waits on").unwrap();
    assert_closed(&reply);
    gate.notify_one();
    let reply = body.reply(false).await.unwrap();
    assert_eq!((reply.text(), reply.complete), ("first-rest", true));

    // What the origin sends at last is there for those who come after the reopening.
    hold.notify_one();
    tell(&mut edge, vec![]).await;
    for target in ["/b1/video.m3u8?_HLS_msn=7", "/b1/6.m4s"] {
        assert_eq!(get(edge.address, HOST, target).await.status, 200);
    }
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_shield_answers_edges_which_judge_their_viewers_themselves() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("here", "max-age=600"));
    let mut site = site(&origin);
    let mut shield = start(vec![site.clone()], |config| config.shield_token = Some("token".to_owned()));
    site.origins[0].shield = Some("s".to_owned());
    let mut near = start(vec![site], |config| {
        let there = Shield { authority: shield.address.to_string(), tls: false, token: "token".to_owned() };
        config.shields.insert("s".to_owned(), there);
    });
    tell(&mut shield, vec![closing(&[])]).await;
    assert_closed(&get(shield.address, HOST, "/a").await);
    let reply = get(near.address, HOST, "/a").await;
    assert_eq!((reply.status, reply.text()), (200, "here"), "{}", reply.head);
    tell(&mut near, vec![closing(&[])]).await;
    assert_closed(&get(near.address, HOST, "/a").await);
}

/// Puts the hosts that count in place of the playlist.
#[derive(Debug)]
struct Hosts(String);

impl Hosts {
    fn begin(carried: &Carried<'_>) -> Box<dyn Rewriting> {
        Box::new(Self(carried.signed_hosts.join(" ")))
    }
}

impl Rewriting for Hosts {
    fn push(&mut self, bytes: &[u8], _: &mut Vec<u8>, _: usize) -> Option<usize> {
        Some(bytes.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

#[tokio::test]
async fn the_hosts_of_a_cluster_get_signatures_too() {
    let origin = TestOrigin::start().await;
    let multivariant = Script::ok("#EXTM3U\n", "max-age=60")
        .with(|script| script.headers[1].1 = "application/vnd.apple.mpegurl".to_owned());
    origin.set("/index.m3u8", multivariant);
    let key = PrivateKey::generate().unwrap();
    let mut site = site(&origin);
    site.signed_hosts = vec!["fra.test".to_owned(), "nyc.test:8443".to_owned()];
    site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    site.default_behavior.transform = Transform::SignedPlaylist;
    let public = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
    let group = KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![public] };
    let edge = start_with_keys(vec![site], vec![group], |config| {
        config.transforms = Transforms { signed_playlist: Hosts::begin };
    });
    let policy = Policy::new("http://*", NOW_MS / 1000 + 60);
    let url = sign_url("http://a.test/index.m3u8", &SignSpec::Custom(policy), "K1", &key).unwrap();
    let reply = get(edge.address, HOST, url.strip_prefix("http://a.test").unwrap()).await;
    assert_eq!((reply.status, reply.text()), (200, "fra.test nyc.test:8443"));
}
