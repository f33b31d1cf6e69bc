//! What makes the cache key, what origins are told, what viewers are told besides.

use anabranch_model::{CorsPolicy, DistributionSpec, HeaderRule, Origin, Selection, ViewerProtocol};

use crate::secure::{client, connect, make, secure};
use crate::support::{Reply, Script, TestEdge, TestOrigin, ask, behavior, distribution, get, start};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn only(list: &[&str]) -> Selection {
    Selection::Only(names(list))
}

fn except(list: &[&str]) -> Selection {
    Selection::Except(names(list))
}

async fn started(change: impl FnOnce(&mut DistributionSpec)) -> (TestOrigin, TestEdge) {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.cache.default_ttl_seconds = 60;
    change(&mut site);
    let edge = start(vec![site], |_| {});
    (origin, edge)
}

/// Whether two requests share one entry.
async fn share(edge: &TestEdge, origin: &TestOrigin, one: (&str, &str), two: (&str, &str)) -> bool {
    let before = origin.count();
    for (target, lines) in [one, two] {
        ask(edge.address, "GET", "a.test", target, lines).await;
    }
    origin.count() - before == 1
}

#[tokio::test]
async fn the_query_counts_as_the_policy_says() {
    for (n, (selection, one, two, shared, told)) in [
        (Selection::None, "x=1&y=2", "x=3", true, ""),
        (Selection::All, "x=1&y=2", "y=2&x=1", false, "?x=1&y=2"),
        (only(&["x"]), "y=2&x=1", "x=1&z=9", true, "?x=1"),
        (only(&["x"]), "x=1", "x=2", false, "?x=1"),
        (except(&["u"]), "u=1&x=1", "x=1&u=2", true, "?x=1"),
        (except(&["u"]), "x", "x=", false, "?x"),
    ]
    .into_iter()
    .enumerate()
    {
        let (origin, edge) = started(|site| site.default_behavior.cache.query = selection).await;
        let (one, two) = (format!("/a?{one}"), format!("/a?{two}"));
        assert_eq!(share(&edge, &origin, (&one, ""), (&two, "")).await, shared, "{n}");
        assert!(origin.heads()[0].starts_with(&format!("GET /a{told} HTTP/1.1\r\n")), "{}", origin.heads()[0]);
    }
}

#[tokio::test]
async fn headers_and_cookies_count_as_the_policy_says() {
    let (origin, edge) = started(|site| {
        let cache = &mut site.default_behavior.cache;
        cache.headers = names(&["X-Device", "host"]);
        cache.cookies = only(&["lang", "ab-*"]);
    })
    .await;
    for (n, (one, two, shared)) in [
        ("X-Device: tv\r\n", "x-device: tv\r\nX-Other: 1\r\n", true),
        ("X-Device: a\r\n", "X-Device: b\r\n", false),
        ("X-Device: a\r\n", "", false),
        ("Cookie: lang=de; s=1\r\n", "Cookie: s=2; lang=de\r\n", true),
        ("Cookie: lang=de\r\n", "Cookie: lang=en\r\n", false),
        ("Cookie: ab-1=x\r\n", "Cookie: ab-2=x\r\n", false),
        ("Cookie: CloudFront-Policy=x\r\n", "Cookie: s=3\r\n", true),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{n}");
        assert_eq!(share(&edge, &origin, (&path, one), (&path, two)).await, shared, "{one} {two}");
    }
    let heads = origin.heads();
    assert!(heads[0].contains("x-device: tv\r\n") && !heads[0].contains("x-other"), "{}", heads[0]);
    assert!(heads[0].contains("host: a.test\r\n"), "{}", heads[0]);
    assert!(heads.iter().any(|head| head.contains("cookie: lang=de\r\n")), "{heads:?}");
    let before = origin.count();
    ask(edge.address, "GET", "127.0.0.1", "/d/E1/0", "X-Device: tv\r\n").await;
    assert_eq!(origin.count() - before, 1, "another host is another entry");
}

#[tokio::test]
async fn accepted_codings_count_without_their_spelling() {
    let (origin, edge) = started(|site| {
        let encodings = &mut site.default_behavior.cache.encodings;
        (encodings.gzip, encodings.brotli) = (true, true);
    })
    .await;
    for (n, (one, two, shared)) in [
        ("gzip, br", "br;q=0.5,zstd,  GZIP", true),
        ("gzip", "gzip;q=1.0, deflate", true),
        ("gzip", "br", false),
        ("identity", "gzip;q=0", true),
        ("gzip;Q=0.000, br", "br", true),
        ("*", "br, gzip", true),
        ("*, gzip;q=0", "br", true),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{n}");
        let lines = |value: &str| format!("Accept-Encoding: {value}\r\n");
        let (one, two) = (lines(one), lines(two));
        assert_eq!(share(&edge, &origin, (&path, &one), (&path, &two)).await, shared, "{one} {two}");
    }
    assert!(origin.heads()[0].contains("accept-encoding: br, gzip\r\n"), "{}", origin.heads()[0]);
}

#[tokio::test]
async fn one_object_has_many_addresses_and_no_strangers() {
    let (one, two) = (TestOrigin::start().await, TestOrigin::start().await);
    for (origin, body) in [(&one, "one"), (&two, "two")] {
        origin.set("/index.html", Script::ok(body, "max-age=60"));
    }
    let mut first = distribution("E1", "a.test", &one);
    first.aliases = names(&["*.wild.test", "plain.test"]);
    first.default_root_object = "index.html".to_owned();
    let mut second = distribution("E11", "b.test", &two);
    second.default_root_object = "/index.html".to_owned();
    let edge = start(vec![first, second], |config| config.default_distribution = Some("E11".parse().unwrap()));
    for (host, target, body) in [
        ("a.test", "/", "one"),
        ("A.TEST:80", "/index.html", "one"),
        ("x.wild.test", "/?q", "one"),
        ("plain.test.", "/", "one"),
        ("127.0.0.1", "/d/E1/", "one"),
        ("b.test", "/", "two"),
        ("nobody.test", "/", "two"),
        ("nobody.test", "/index.html", "two"),
        ("nobody.test", "/d/E1/index.html", "one"),
        ("wild.test", "/", "two"),
        ("x.y.wild.test", "/", "two"),
        ("127.0.0.1", "/d/E11/index.html", "two"),
    ] {
        assert_eq!(get(edge.address, host, target).await.text(), body, "{host} {target}");
    }
    assert_eq!((one.count(), two.count()), (1, 1));
    // Relative links of the root object would go astray without the last slash.
    for (target, place) in [("/d/E1", "/d/E1/"), ("/d/E11?a=b&c", "/d/E11/?a=b&c")] {
        let reply = get(edge.address, "127.0.0.1", target).await;
        assert_eq!((reply.status, reply.header("location")), (301, Some(place)));
    }
    for target in ["/d/E2", "/d/"] {
        assert_eq!(get(edge.address, "127.0.0.1", target).await.status, 404, "the fallback's own path: {target}");
    }
    assert_eq!(
        get(edge.address, "a.test", "/d/E11").await.status,
        404,
        "a host that is claimed has no other's addresses"
    );
}

#[tokio::test]
async fn origins_are_told_what_the_policy_says_and_never_more() {
    let lines = "X-A: 1\r\nX-B: 2\r\nX-Hop: 3\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: 9\r\nTE: trailers\r\n\
        X-Anabranch-Viewer-Scheme: https\r\nx-anabranch-origin-token: forged\r\nX-Forwarded-For: 9.9.9.9\r\n\
        If-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\nRange: bytes=0-1\r\n\
        Cookie: a=1; b=2\r\nUser-Agent: tester\r\nProxy-Authorization: x\r\nCache-Control: no-cache\r\n";
    for (headers, cookies, query, has, lacks) in [
        (
            Selection::None,
            Selection::None,
            Selection::None,
            "GET /a HTTP/1.1\r\n|user-agent: anabranch\r\n",
            "x-a:|cookie:|host: a.test",
        ),
        (
            only(&["X-A"]),
            only(&["b"]),
            only(&["q"]),
            "GET /a?q=1 HTTP/1.1\r\n|x-a: 1\r\n|cookie: b=2\r\n",
            "x-b:|host: a.test",
        ),
        (
            Selection::All,
            Selection::All,
            Selection::All,
            "GET /a?p=0&q=1 HTTP/1.1\r\n|x-a: 1\r\n|x-b: 2\r\n|cookie: a=1; b=2\r\n|host: a.test\r\n|user-agent: tester\r\n",
            "x-hop:",
        ),
        (
            except(&["x-b"]),
            except(&["a"]),
            except(&["p"]),
            "GET /a?q=1 HTTP/1.1\r\n|x-a: 1\r\n|cookie: b=2\r\n|host: a.test\r\n",
            "x-b:",
        ),
        (except(&["Host"]), Selection::None, Selection::None, "x-b: 2\r\n|host: 127.0.0.1:", "cookie:|host: a.test"),
    ] {
        let (origin, edge) = started(|site| {
            let told = &mut site.default_behavior.origin_request;
            (told.headers, told.cookies, told.query) = (headers.clone(), cookies, query);
        })
        .await;
        assert_eq!(ask(edge.address, "GET", "a.test", "/a?p=0&q=1", lines).await.status, 404);
        let head = origin.heads()[0].clone();
        for wanted in has.split('|') {
            assert!(head.contains(wanted), "{headers:?}: {wanted} is not in {head}");
        }
        let never = "x-hop:|keep-alive:|te:|x-anabranch-|forged|if-none-match|if-modified|range:|proxy-|cache-control";
        for unwanted in lacks.split('|').chain(never.split('|')) {
            assert!(!head.contains(&format!("\n{unwanted}")), "{headers:?}: {unwanted} is in {head}");
        }
        assert!(head.contains("x-forwarded-for: 9.9.9.9, 127.0.0.1\r\n") && head.contains("via: 1.1 anabranch\r\n"));
    }
}

#[tokio::test]
async fn far_ranges_are_passed_on_alone() {
    let (origin, edge) = started(|_| {}).await;
    let part = |s: &mut Script| {
        s.status = 206;
        s.headers.push(("content-range", "bytes 5000000-5000002/9000000".to_owned()));
    };
    origin.set("/a", Script::ok("xyz", "max-age=60").with(part));
    for range in ["bytes=5000000-5000002", "bytes=-3"] {
        for _ in 0..2 {
            let lines = format!("Range: {range}\r\nIf-Range: \"t\"\r\nIf-None-Match: \"n\"\r\n");
            let reply = ask(edge.address, "GET", "a.test", "/a", &lines).await;
            assert_eq!((reply.status, reply.text()), (206, "xyz"), "{range}");
            assert_eq!(reply.header("content-range"), Some("bytes 5000000-5000002/9000000"));
            assert_eq!(reply.header("cache-status"), Some("anabranch; fwd=miss"));
            let head = origin.heads().pop().unwrap();
            assert!(head.contains(&format!("range: {range}\r\n")) && head.contains("if-range: \"t\"\r\n"), "{head}");
            assert!(!head.contains("if-none-match"), "{head}");
        }
    }
    assert_eq!(origin.count(), 4);
    origin.set("/a", Script::ok(vec![b'x'; 100], "max-age=60"));
    let near = ask(edge.address, "GET", "a.test", "/a", "Range: bytes=1-2\r\n").await;
    assert_eq!((near.status, near.header("content-range")), (206, Some("bytes 1-2/100")));
    let tail = ask(edge.address, "GET", "a.test", "/a", "Range: bytes=-3\r\n").await;
    assert_eq!((tail.status, tail.header("content-range")), (206, Some("bytes 97-99/100")));
    assert_eq!(origin.count(), 5, "now it is stored");
}

#[tokio::test]
async fn a_gate_takes_the_signature_out_of_what_is_told() {
    use anabranch_model::{KeyGroupSpec, KeySpec};
    use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};
    let origin = TestOrigin::start().await;
    let key = PrivateKey::generate().unwrap();
    let mut site = distribution("E1", "a.test", &origin);
    let rule = &mut site.default_behavior;
    rule.trusted_key_groups = vec!["g1".parse().unwrap()];
    rule.cache.default_ttl_seconds = 60;
    rule.cache.query = Selection::All;
    rule.cache.cookies = Selection::All;
    rule.origin_request.headers = Selection::All;
    let group = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
    let group = KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![group] };
    let edge = crate::support::start_with_keys(vec![site], vec![group], |_| {});
    let signed = |seconds: i64| {
        let policy = Policy::new("*", crate::support::NOW_MS / 1000 + seconds);
        let url = sign_url("http://a.test/a?x=1", &SignSpec::Custom(policy), "K1", &key).unwrap();
        url.strip_prefix("http://a.test").unwrap().to_owned()
    };
    for seconds in [60, 61] {
        let reply = ask(edge.address, "GET", "a.test", &signed(seconds), "Cookie: CloudFront-Policy=p; c=1\r\n").await;
        assert_eq!(reply.status, 404);
    }
    assert_eq!(origin.count(), 1, "they share one entry");
    let head = origin.heads()[0].clone();
    assert!(head.starts_with("GET /a?x=1 HTTP/1.1\r\n") && head.contains("cookie: c=1\r\n"), "{head}");
    assert!(!head.contains("Signature") && !head.contains("CloudFront"), "{head}");
}

fn rule(name: &str, value: &str, overrides: bool) -> HeaderRule {
    HeaderRule { name: name.to_owned(), value: value.to_owned(), overrides }
}

#[tokio::test]
async fn the_response_headers_policy_is_kept() {
    let (origin, edge) = started(|site| {
        let policy = &mut site.default_behavior.response_headers;
        policy.set =
            vec![rule("x-frame-options", "DENY", true), rule("x-soft", "ours", false), rule("x-new", "1", false)];
        policy.remove = names(&["Server", "x-powered-by"]);
        policy.server_timing_percent = Some(100.0);
    })
    .await;
    let own = |s: &mut Script| {
        for (name, value) in
            [("x-frame-options", "SAMEORIGIN"), ("x-soft", "theirs"), ("server", "s"), ("x-powered-by", "p")]
        {
            s.headers.push((name, value.to_owned()));
        }
        s.headers.push(("x-anabranch-secret", "s".to_owned()));
    };
    origin.set("/a", Script::ok("x", "max-age=60").with(own).with(|s| s.etag = Some("\"t\"")));
    let check = |reply: &Reply, word: &str| {
        let all = |name: &str| reply.head.lines().filter(|line| line.starts_with(&format!("{name}:"))).count();
        assert_eq!((reply.header("x-frame-options"), all("x-frame-options")), (Some("DENY"), 1), "{}", reply.head);
        assert_eq!((reply.header("x-soft"), reply.header("x-new")), (Some("theirs"), Some("1")));
        assert!(reply.header("server").is_none() && reply.header("x-powered-by").is_none(), "{}", reply.head);
        assert!(reply.header("x-anabranch-secret").is_none());
        assert_eq!(reply.header("server-timing"), Some(format!("{word}, cdn-pop;desc=\"edge\"").as_str()));
    };
    check(&get(edge.address, "a.test", "/a").await, "cdn-cache-miss");
    check(&get(edge.address, "a.test", "/a").await, "cdn-cache-hit");
    check(&ask(edge.address, "GET", "a.test", "/a", "If-None-Match: \"t\"\r\n").await, "cdn-cache-hit");
    check(&ask(edge.address, "GET", "a.test", "/a", "Range: bytes=0-0\r\n").await, "cdn-cache-hit");
}

fn cors(origins: &[&str]) -> CorsPolicy {
    CorsPolicy {
        allow_origins: names(origins),
        allow_headers: names(&["*"]),
        allow_methods: names(&["ALL"]),
        allow_credentials: false,
        expose_headers: names(&["ETag", "x-b"]),
        max_age_seconds: 7,
        overrides: true,
    }
}

#[tokio::test]
async fn cors_is_answered_as_the_policy_says() {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    for (pattern, change) in [
        ("/named/*", cors(&["https://app.test", "https://*.wild.test"])),
        ("/any/*", cors(&["*"])),
        ("/credit/*", CorsPolicy { allow_credentials: true, ..cors(&["*"]) }),
        ("/soft/*", CorsPolicy { overrides: false, ..cors(&["*"]) }),
    ] {
        let mut one = behavior(pattern);
        one.response_headers.cors = Some(change);
        site.behaviors.push(one);
    }
    let edge = start(vec![site], |_| {});
    let own = |s: &mut Script| s.headers.push(("access-control-allow-origin", "https://theirs.test".to_owned()));
    for path in ["/named/a", "/any/a", "/credit/a", "/soft/a"] {
        origin.set(path, Script::ok("x", "max-age=60").with(own));
    }
    origin.set("/soft/b", Script::ok("x", "max-age=60"));
    for (path, from, allowed, credentials) in [
        ("/named/a", "https://app.test", Some("https://app.test"), None),
        ("/named/a", "https://x.wild.test", Some("https://x.wild.test"), None),
        ("/named/a", "https://app.test.evil.test", None, None),
        ("/named/a", "http://app.test", None, None),
        ("/any/a", "https://app.test", Some("*"), None),
        ("/credit/a", "https://app.test", Some("https://app.test"), Some("true")),
        ("/soft/a", "https://app.test", Some("https://theirs.test"), None),
        ("/soft/b", "https://app.test", Some("*"), None),
    ] {
        let reply = ask(edge.address, "GET", "a.test", path, &format!("Origin: {from}\r\n")).await;
        let found = (reply.header("access-control-allow-origin"), reply.header("access-control-allow-credentials"));
        assert_eq!(found, (allowed, credentials), "{path} {from}");
        let expose = if path == "/soft/a" { None } else { Some("ETag, x-b") };
        assert_eq!(reply.header("access-control-expose-headers"), expose, "{path} {from}");
        assert_eq!(
            reply.header("vary"),
            ["/named/a", "/credit/a"].contains(&path).then_some("Origin"),
            "{path} {from}"
        );
    }
    let lines =
        "Origin: https://app.test\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-c\r\n";
    let preflight = ask(edge.address, "OPTIONS", "a.test", "/credit/a", lines).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (204, Some("x-c")));
    assert_eq!(preflight.header("access-control-max-age"), Some("7"));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS"));
    assert_eq!(preflight.header("access-control-expose-headers"), None);
}

#[tokio::test]
async fn the_viewers_protocol_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), "a", &["a.test"]);
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    for (pattern, protocol) in [("/to/*", ViewerProtocol::RedirectToHttps), ("/only/*", ViewerProtocol::HttpsOnly)] {
        let mut one = behavior(pattern);
        one.viewer_protocol = protocol;
        site.behaviors.push(one);
    }
    for path in ["/to/a", "/only/a"] {
        origin.set(path, Script::ok("x", "max-age=60"));
    }
    let edge = start(vec![site], |config| {
        secure(config, directory.path());
        (config.https_port, config.shield_token) = (8443, Some("token".to_owned()));
    });
    for lines in ["", "x-anabranch-shield: forged\r\n"] {
        let there = ask(edge.address, "GET", "a.test:80", "/to/a?b=c", lines).await;
        assert_eq!((there.status, there.header("location")), (301, Some("https://a.test:8443/to/a?b=c")), "{lines}");
        assert_eq!(there.header("x-cache"), Some("Redirect from cloudfront"));
        let refused = ask(edge.address, "GET", "a.test", "/only/a", lines).await;
        assert_eq!((refused.status, refused.header("x-cache")), (403, Some("Error from cloudfront")), "{lines}");
    }
    let mut stream = connect(edge.tls, &client(&[&rustls::version::TLS13], &["http/1.1"]), "a.test").await.unwrap();
    for path in ["/to/a", "/only/a"] {
        assert_eq!(crate::secure::ask(&mut stream, "a.test", path, "").await.2, b"x");
    }
    let plain = start(vec![distribution("E1", "a.test", &origin)], |_| {});
    assert_eq!(get(plain.address, "a.test", "/to/a").await.status, 200);
}

#[tokio::test]
async fn the_origins_own_headers_win_over_the_viewers() {
    let (origin, edge) = started(|site| {
        site.default_behavior.origin_request.headers = Selection::All;
        let Origin::Http(http) = &mut site.origins[0].origin else { unreachable!() };
        http.headers.insert("x-secret".to_owned(), "ours".to_owned());
        http.path = "/base".to_owned();
    })
    .await;
    ask(edge.address, "GET", "a.test", "/a", "X-Secret: theirs\r\n").await;
    let head = origin.heads()[0].clone();
    assert!(head.starts_with("GET /base/a HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-secret: ours\r\n") && !head.contains("theirs"), "{head}");
}
