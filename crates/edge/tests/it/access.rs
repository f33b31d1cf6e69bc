//! Hosts, paths, methods, CORS, signatures.

use anabranch_model::{CorsPolicy, DistributionSpec, KeyGroupSpec, KeySpec, Selection, Transform};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};

use crate::support::{NOW_MS, Script, TestEdge, TestOrigin, ask, behavior, distribution, get, start, start_with_keys};

const NOW: i64 = NOW_MS / 1000;

struct Signed {
    origin: TestOrigin,
    edge: TestEdge,
    key: PrivateKey,
}

async fn signed(change: impl FnOnce(&mut DistributionSpec)) -> Signed {
    let origin = TestOrigin::start().await;
    let key = PrivateKey::generate().unwrap();
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    site.default_behavior.transform = Transform::SignedPlaylist;
    change(&mut site);
    let edge = start_with_keys(vec![site], vec![group(&key)], |_| {});
    Signed { origin, edge, key }
}

fn group(key: &PrivateKey) -> KeyGroupSpec {
    let key = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
    KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![key] }
}

impl Signed {
    /// Query of a signature over everything of breakout `b1` by the address form.
    fn query(&self, expires: i64) -> String {
        let policy = Policy::new("*://*/d/E1/b1/*", expires);
        let url = sign_url("http://x/d/E1/b1/a", &SignSpec::Custom(policy), "K1", &self.key).unwrap();
        url.split_once('?').unwrap().1.to_owned()
    }
}

#[tokio::test]
async fn signatures_open_and_share_one_object() {
    let signed = signed(|_| {}).await;
    signed.origin.set("/b1/a.m4s", Script::ok("segment", "max-age=60"));
    let (one, two) = (signed.query(NOW + 60), signed.query(NOW + 61));
    assert_ne!(one, two);
    for query in [&one, &two, &one] {
        let reply = get(signed.edge.address, "127.0.0.1:8888", &format!("/d/E1/b1/a.m4s?{query}")).await;
        assert_eq!((reply.status, reply.text()), (200, "segment"));
    }
    assert_eq!(signed.origin.count(), 1);
    let head = &signed.origin.heads()[0];
    assert!(head.starts_with("GET /b1/a.m4s HTTP/1.1\r\n") && !head.contains("Signature"), "{head}");
    // A remembered signature is judged by time and place again.
    let outside = get(signed.edge.address, "127.0.0.1:8888", &format!("/d/E1/b2/a.m4s?{one}")).await;
    assert_eq!(outside.status, 403);
    signed.edge.clock.set_ms((NOW + 60) * 1000);
    assert_eq!(get(signed.edge.address, "127.0.0.1:8888", &format!("/d/E1/b1/a.m4s?{one}")).await.status, 403);
    assert_eq!(get(signed.edge.address, "127.0.0.1:8888", &format!("/d/E1/b1/a.m4s?{two}")).await.status, 200);
}

#[tokio::test]
async fn cookies_open_only_for_their_holder() {
    let signed = signed(|_| {}).await;
    signed.origin.set("/b1/a", Script::ok("x", "max-age=60"));
    let cookie = |query: &str| {
        let named = query.split('&').map(|parameter| format!("CloudFront-{parameter}"));
        format!("Cookie: a=b; {}\r\n", named.collect::<Vec<_>>().join("; "))
    };
    let good = cookie(&signed.query(NOW + 60));
    for target in ["/d/E1/b1/a", "/d/E1/b1/a?x=1", "/d/E1/b1/a?xKey-Pair-Id=K1"] {
        for _ in 0..2 {
            assert_eq!(ask(signed.edge.address, "GET", "127.0.0.1", target, &good).await.status, 200, "{target}");
        }
        assert_eq!(get(signed.edge.address, "127.0.0.1", target).await.status, 403, "{target}");
        let bad = cookie(&tampered(&signed.query(NOW + 60)));
        assert_eq!(ask(signed.edge.address, "GET", "127.0.0.1", target, &bad).await.status, 403, "{target}");
    }
    // With a signature in the query, cookies are not looked at.
    let both = format!("/d/E1/b1/a?{}", tampered(&signed.query(NOW + 60)));
    assert_eq!(ask(signed.edge.address, "GET", "127.0.0.1", &both, &good).await.status, 403);
}

#[tokio::test]
async fn refusals_speak_cloudfronts_words() {
    let signed = signed(|site| site.default_behavior.response_headers.cors = Some(any_origin())).await;
    let good = signed.query(NOW + 60);
    let xml = |code: &str, message: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
    };
    let missing = xml("MissingKey", "Missing Key-Pair-Id query parameter or cookie value");
    let denied = xml("AccessDenied", "Access denied");
    for (query, body) in [
        (String::new(), &missing),
        (signed.query(NOW), &denied),
        (good.replace("Key-Pair-Id=K1", "Key-Pair-Id=K2"), &xml("InvalidKey", "Unknown Key")),
        (tampered(&good), &denied),
    ] {
        let reply = get(signed.edge.address, "127.0.0.1", &format!("/d/E1/b1/a?{query}")).await;
        assert_eq!((reply.status, reply.text()), (403, body.as_str()), "{query}");
        assert_eq!(reply.header("content-type"), Some("text/xml"));
        assert_eq!(reply.header("server"), Some("CloudFront"));
        assert_eq!(reply.header("x-cache"), Some("Error from cloudfront"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    let other = get(signed.edge.address, "127.0.0.1", &format!("/d/E1/b2/a?{good}")).await;
    assert_eq!((other.status, other.text()), (403, denied.as_str()));
    assert_eq!(signed.origin.count(), 0);
}

fn tampered(query: &str) -> String {
    let at = query.find("Signature=").unwrap() + 20;
    let other = if query.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &query[..at], &query[at + 1..])
}

#[tokio::test]
async fn playlists_carry_the_viewers_own_signature() {
    let signed = signed(|_| {}).await;
    signed.origin.set(
        "/b1/index.m3u8",
        Script::ok("#EXTM3U", "max-age=60").with(|s| {
            s.headers[1].1 = "application/vnd.apple.mpegurl".to_owned();
            s.etag = Some("\"p\"");
        }),
    );
    let mut tags = vec![];
    for query in [signed.query(NOW + 60), signed.query(NOW + 61)] {
        let target = format!("/d/E1/b1/index.m3u8?{query}");
        let reply = get(signed.edge.address, "127.0.0.1", &target).await;
        assert_eq!(reply.text(), format!("#EXTM3U?{query}"));
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
        let tag = reply.header("etag").unwrap().to_owned();
        let known = ask(signed.edge.address, "GET", "127.0.0.1", &target, &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((known.status, known.header("etag")), (304, Some(tag.as_str())));
        let bare =
            ask(signed.edge.address, "GET", "127.0.0.1", &target, "If-None-Match: \"p\"\r\nRange: bytes=0-1\r\n").await;
        assert_eq!((bare.status, bare.body.len()), (200, reply.body.len()));
        tags.push(tag);
    }
    assert_ne!(tags[0], tags[1]);
    assert_eq!(signed.origin.count(), 1);
}

#[tokio::test]
async fn a_canned_signature_is_not_put_on_children_that_it_cannot_open() {
    let signed = signed(|_| {}).await;
    signed.origin.set(
        "/b1/index.m3u8",
        Script::ok("#EXTM3U", "max-age=60").with(|s| s.headers[1].1 = "application/vnd.apple.mpegurl".to_owned()),
    );
    let url = "http://127.0.0.1/d/E1/b1/index.m3u8";
    let url = sign_url(url, &SignSpec::Canned { expires: NOW + 60 }, "K1", &signed.key).unwrap();
    let target = url.strip_prefix("http://127.0.0.1").unwrap();
    let reply = get(signed.edge.address, "127.0.0.1", target).await;
    assert_eq!((reply.status, reply.text()), (200, "#EXTM3U"));
}

#[tokio::test]
async fn what_players_tell_breaks_no_signature_and_no_cache() {
    let signed = signed(|site| {
        site.default_behavior.cache.query = Selection::All;
        site.default_behavior.origin_request.query = Selection::All;
    })
    .await;
    signed.origin.set("/b1/a.m4s?x=1", Script::ok("segment", "max-age=60"));
    let url = "http://127.0.0.1/d/E1/b1/a.m4s?x=1";
    let canned = sign_url(url, &SignSpec::Canned { expires: NOW + 60 }, "K1", &signed.key).unwrap();
    let canned = canned.strip_prefix("http://127.0.0.1").unwrap();
    let custom = format!("/d/E1/b1/a.m4s?x=1&{}", signed.query(NOW + 60));
    for target in [canned, &custom] {
        for told in ["", "&CMCD=bl%3D2100%2Csid%3D%22a%22", "&CMCD=bl%3D4200%2Ccom.anabranch-startup%3D310"] {
            let reply = get(signed.edge.address, "127.0.0.1", &format!("{target}{told}")).await;
            assert_eq!((reply.status, reply.text()), (200, "segment"), "{told}");
        }
    }
    assert_eq!(signed.origin.count(), 1);
    // Anything else that comes after signing is a change of what was signed.
    for changed in ["&cmcd=bl%3D2100", "&CMCDx=1"] {
        assert_eq!(get(signed.edge.address, "127.0.0.1", &format!("{canned}{changed}")).await.status, 403, "{changed}");
    }
}

#[tokio::test]
async fn a_removed_key_opens_nothing_any_more() {
    let signed = signed(|_| {}).await;
    signed.origin.set("/b1/a", Script::ok("x", "max-age=60"));
    let target = format!("/d/E1/b1/a?{}", signed.query(NOW + 60));
    assert_eq!(get(signed.edge.address, "127.0.0.1", &target).await.status, 200);
    signed.edge.snapshots.send_modify(|snapshot| {
        let mut next = (**snapshot).clone();
        next.version = 2;
        next.key_groups = vec![KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![] }];
        *snapshot = next.into();
    });
    for _ in 0..1000 {
        if get(signed.edge.address, "127.0.0.1", &target).await.status == 403 {
            return;
        }
    }
    panic!("the key still opens");
}

fn any_origin() -> CorsPolicy {
    CorsPolicy {
        allow_origins: vec!["*".to_owned()],
        allow_headers: vec!["*".to_owned()],
        allow_methods: vec!["*".to_owned()],
        allow_credentials: false,
        expose_headers: vec![],
        max_age_seconds: 600,
        overrides: true,
    }
}

#[tokio::test]
async fn preflights_need_no_signature() {
    let signed = signed(|site| site.default_behavior.response_headers.cors = Some(any_origin())).await;
    let lines =
        "Origin: http://page.test\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n";
    let reply = ask(signed.edge.address, "OPTIONS", "127.0.0.1", "/d/E1/b1/a", lines).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("*"));
    let post = ask(signed.edge.address, "POST", "127.0.0.1", "/d/E1/b1/a", "Content-Length: 0\r\n").await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[tokio::test]
async fn pages_with_cookies_are_named_beside_all_others() {
    const APP: &str = "https://app.test";
    let signed = signed(|site| {
        let mut cors = any_origin();
        cors.allow_origins.insert(0, APP.to_owned());
        cors.allow_credentials = true;
        site.default_behavior.response_headers.cors = Some(cors);
    })
    .await;
    signed.origin.set("/b1/a", Script::ok("xyz", "max-age=60").with(|s| s.etag = Some("\"t\"")));
    let query = signed.query(NOW + 60);
    let cookies: Vec<_> = query.split('&').map(|parameter| format!("CloudFront-{parameter}")).collect();
    let cookies = format!("Cookie: {}\r\n", cookies.join("; "));
    let preflight = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n";
    let asked = [
        ("GET", cookies.clone(), 200),
        ("GET", format!("{cookies}Range: bytes=0-1\r\n"), 206),
        ("GET", format!("{cookies}If-None-Match: \"t\"\r\n"), 304),
        ("GET", String::new(), 403),
        ("POST", cookies.clone() + "Content-Length: 0\r\n", 405),
        ("OPTIONS", preflight.to_owned(), 204),
    ];
    for (method, lines, status) in asked {
        let from = async |origin: &str| {
            let lines = if origin.is_empty() { lines.clone() } else { format!("Origin: {origin}\r\n{lines}") };
            let reply = ask(signed.edge.address, method, "127.0.0.1", "/d/E1/b1/a", &lines).await;
            assert_eq!(
                (reply.status, reply.header("vary")),
                (status, Some("Origin")),
                "{method} {lines} {}",
                reply.head
            );
            assert_eq!(reply.head.matches("access-control-allow-origin:").count(), 1, "{}", reply.head);
            reply
        };
        let named = from(APP).await;
        assert_eq!(named.header("access-control-allow-origin"), Some(APP), "{}", named.head);
        assert_eq!(named.header("access-control-allow-credentials"), Some("true"), "{}", named.head);
        for other in ["https://other.test", "https://app.test.other.test", "http://app.test", "null", ""] {
            let reply = from(other).await;
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{other} {}", reply.head);
            assert_eq!(reply.header("access-control-allow-credentials"), None, "{other} {}", reply.head);
        }
        if method == "OPTIONS" {
            // With credentials a star would be a name like any other.
            assert_eq!(named.header("access-control-allow-headers"), Some("range"));
            assert_eq!(named.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
        }
    }
}

#[tokio::test]
async fn the_behaviors_cors_replaces_the_origins() {
    let origin = TestOrigin::start().await;
    let own = |s: &mut Script| s.headers.push(("access-control-allow-origin", "http://origin.test".to_owned()));
    origin.set("/named/a", Script::ok("x", "max-age=60").with(own));
    origin.set("/plain/a", Script::ok("x", "max-age=60").with(own));
    let mut named = behavior("/named/*");
    named.response_headers.cors = Some(CorsPolicy {
        allow_origins: vec!["https://app.test".to_owned()],
        allow_headers: vec!["Range".to_owned()],
        allow_methods: vec!["GET".to_owned()],
        allow_credentials: true,
        expose_headers: vec![],
        max_age_seconds: 600,
        overrides: true,
    });
    let mut site = distribution("E1", "a.test", &origin);
    site.behaviors = vec![named];
    let edge = start(vec![site], |_| {});
    for _ in 0..2 {
        let ours = ask(edge.address, "GET", "a.test", "/named/a", "Origin: https://app.test\r\n").await;
        assert_eq!(ours.header("access-control-allow-origin"), Some("https://app.test"));
        assert_eq!(
            (ours.header("access-control-allow-credentials"), ours.header("vary")),
            (Some("true"), Some("Origin"))
        );
        let other = ask(edge.address, "GET", "a.test", "/named/a", "Origin: https://evil.test\r\n").await;
        assert_eq!(other.header("access-control-allow-origin"), None);
        let plain = get(edge.address, "a.test", "/plain/a").await;
        assert_eq!(plain.header("access-control-allow-origin"), Some("http://origin.test"));
    }
}

#[tokio::test]
async fn hosts_and_address_form() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("x", "max-age=60"));
    let mut disabled = distribution("E2", "off.test", &origin);
    disabled.enabled = false;
    let mut site = distribution("E1", "e1.cdn.localhost", &origin);
    site.aliases = vec!["alias.test".to_owned()];
    let edge = start(vec![site.clone(), disabled], |_| {});
    for (status, host, target) in [
        (200, "E1.CDN.localhost:8888", "/a"),
        (200, "alias.test.", "/a"),
        (200, "127.0.0.1:8888", "/d/E1/a"),
        (200, "[::1]:8888", "/d/E1/a"),
        (200, "unknown.test", "/d/E1/a"),
        (421, "unknown.test", "/a"),
        (421, "127.0.0.1", "/d/E9/a"),
        (301, "127.0.0.1", "/d/E1"),
        (403, "off.test", "/a"),
        (403, "127.0.0.1", "/d/E2/a"),
        (404, "alias.test", "/d/E1/a"),
        (400, "alias.test", "/b/../a"),
        (400, "127.0.0.1", "/d/E1/../E2/a"),
        (400, "127.0.0.1", "/d/E1/%2e%2e/E2/a"),
        (400, "127.0.0.1", "/d/E1%2f..%2fE2/a"),
    ] {
        assert_eq!(get(edge.address, host, target).await.status, status, "{host} {target}");
    }
    let edge = start(vec![site], |config| config.default_distribution = Some("E1".parse().unwrap()));
    assert_eq!(get(edge.address, "unknown.test", "/a").await.status, 200);
}

#[tokio::test]
async fn playlists_that_may_not_be_kept_are_signed_too() {
    let signed = signed(|site| site.behaviors.push(uncached("/b1/never/*"))).await;
    for path in ["/b1/private.m3u8", "/b1/never/a.m3u8"] {
        let playlist = Script::ok("#EXTM3U", "private").with(|s| {
            s.headers[1].1 = "application/vnd.apple.mpegurl".to_owned();
            s.chunked = true;
        });
        signed.origin.set(path, playlist);
        let query = signed.query(NOW + 60);
        let reply = get(signed.edge.address, "127.0.0.1", &format!("/d/E1{path}?{query}")).await;
        assert_eq!(reply.text(), format!("#EXTM3U?{query}"), "{path}");
    }
}

fn uncached(pattern: &str) -> anabranch_model::Behavior {
    let mut rule = behavior(pattern);
    rule.trusted_key_groups = vec!["g1".parse().unwrap()];
    rule.transform = Transform::SignedPlaylist;
    rule.cache.max_ttl_seconds = 0;
    rule
}
