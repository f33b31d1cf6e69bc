//! Edges before edges.

use anabranch_edge::Shield;
use anabranch_model::{
    CorsPolicy, DistributionSpec, ErrorPage, ErrorResponse, HeaderRule, InvalidationSpec, KeyGroupSpec, KeySpec,
    Origin, OriginProtocol, ViewerProtocol,
};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};

use crate::raw_origin::{Authority, RawOrigin, Then, ok};
use crate::secure::{client, connect, make, secure};
use crate::support::{NOW_MS, Script, TestEdge, TestOrigin, ask, distribution, get, start_with_keys};

/// Two edges near viewers and their shield.
struct Shielded {
    near: [TestEdge; 2],
    shield: TestEdge,
}

fn shielded(site: &DistributionSpec, keys: &[KeyGroupSpec]) -> Shielded {
    let shield =
        start_with_keys(vec![site.clone()], keys.to_vec(), |config| config.shield_token = Some("token".to_owned()));
    let mut site = site.clone();
    site.origins[0].shield = Some("s".to_owned());
    let near = [0, 1].map(|_| {
        start_with_keys(vec![site.clone()], keys.to_vec(), |config| {
            let there = Shield { authority: shield.address.to_string(), tls: false, token: "token".to_owned() };
            config.shields.insert("s".to_owned(), there);
        })
    });
    Shielded { near, shield }
}

#[tokio::test]
async fn a_shield_asks_once_for_all_edges() {
    let origin = TestOrigin::start().await;
    let own = |s: &mut Script| {
        s.headers.push(("cache-tag", "red, blue".to_owned()));
        s.headers.push(("access-control-allow-origin", "http://origin.test".to_owned()));
    };
    origin.set("/a", Script::ok("body ".repeat(1000), "max-age=60").with(own));
    let mut site = distribution("E1", "a.test", &origin);
    let rule = &mut site.default_behavior;
    (rule.compress, rule.cache.encodings.gzip) = (true, true);
    rule.response_headers.set = vec![HeaderRule { name: "x-soft".into(), value: "1".into(), overrides: false }];
    rule.viewer_protocol = ViewerProtocol::AllowAll;
    let world = shielded(&site, &[]);
    for edge in &world.near {
        for accept in ["", "Accept-Encoding: gzip\r\n"] {
            let reply = ask(edge.address, "GET", "a.test", "/a", accept).await;
            assert_eq!((reply.status, reply.header("x-soft")), (200, Some("1")));
            let coding = reply.header("content-encoding");
            assert_eq!(
                (coding, reply.body.len() == 5000),
                if accept.is_empty() { (None, true) } else { (Some("gzip"), false) }
            );
            assert_eq!(reply.header("access-control-allow-origin"), Some("http://origin.test"));
            assert!(reply.header("cache-tag").is_none());
            assert_eq!(reply.head.matches("via: ").count(), 2, "{}", reply.head);
        }
    }
    assert_eq!(origin.count(), 2, "one for each coding");
    // Tags have come along: the order is followed at the edge, whose shield does not have it.
    world.near[0].snapshots.send_modify(|snapshot| {
        let mut next = (**snapshot).clone();
        next.version += 1;
        next.distributions[0].invalidations.entries =
            vec![InvalidationSpec { sequence: 1, paths: vec![], tags: vec!["blue".to_owned()] }];
        *snapshot = next.into();
    });
    for _ in 0..1000 {
        if get(world.near[0].address, "a.test", "/a").await.header("x-cache") == Some("Miss from cloudfront") {
            return;
        }
    }
    panic!("the tag is not known");
}

#[tokio::test]
async fn viewers_are_judged_at_their_edge_and_only_there() {
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("body", "max-age=60"));
    origin.set("/page", Script::ok("page", "max-age=60"));
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    site.default_behavior.response_headers.cors = Some(CorsPolicy {
        allow_origins: vec!["*".to_owned()],
        allow_headers: vec![],
        allow_methods: vec!["GET".to_owned()],
        allow_credentials: false,
        expose_headers: vec![],
        max_age_seconds: 1,
        overrides: true,
    });
    let page = ErrorPage { status: 200, path: "/page".to_owned() };
    site.error_responses = vec![ErrorResponse { status: 404, min_ttl_seconds: 1, page: Some(page) }];
    let key = PrivateKey::generate().unwrap();
    let spec = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
    let world = shielded(&site, &[KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![spec] }]);
    let signed = |path: &str| {
        let policy = SignSpec::Custom(Policy::new("*", NOW_MS / 1000 + 60));
        let url = sign_url(&format!("http://a.test{path}"), &policy, "K1", &key).unwrap();
        url.strip_prefix("http://a.test").unwrap().to_owned()
    };
    for edge in &world.near {
        assert_eq!(get(edge.address, "a.test", "/a").await.status, 403);
        let reply = get(edge.address, "a.test", &signed("/a")).await;
        assert_eq!((reply.text(), reply.head.matches("access-control-allow-origin").count()), ("body", 1));
        assert_eq!(get(edge.address, "a.test", &signed("/none")).await.text(), "page");
    }
    assert_eq!(origin.count(), 3);
    for token in ["", "x-anabranch-shield: forged\r\n", "x-anabranch-shield: \r\n", "x-anabranch-shield: token2\r\n"] {
        let reply = ask(world.shield.address, "GET", "a.test", "/a", token).await;
        assert_eq!(reply.status, 403, "{token}");
        assert!(reply.header("cache-tag").is_none());
    }
    let trusted = ask(world.shield.address, "GET", "a.test", "/a", "x-anabranch-shield: token\r\n").await;
    assert_eq!(trusted.text(), "body");
    assert!(origin.heads().iter().all(|head| !head.contains("x-anabranch")), "secrets end at the shield");
}

#[tokio::test]
async fn an_edge_that_is_no_shield_believes_no_token() {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.viewer_protocol = ViewerProtocol::HttpsOnly;
    let edge = crate::support::start(vec![site], |_| {});
    for token in ["", "x-anabranch-shield: \r\n", "x-anabranch-shield: token\r\n"] {
        assert_eq!(ask(edge.address, "GET", "a.test", "/a", token).await.status, 403, "{token}");
    }
}

#[tokio::test]
async fn a_shield_asks_as_the_viewer_did() {
    let authority = Authority::new();
    let plain = RawOrigin::start(|_, _, _| (ok("plain"), Then::Keep)).await;
    let tls = RawOrigin::start_tls(authority.server("127.0.0.1"), 0, |_, _, _| (ok("secure"), Then::Keep)).await;
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), "a", &["a.test"]);
    let believed = directory.path().join("ca.pem");
    std::fs::write(&believed, authority.pem()).unwrap();
    let mut site = distribution("E1", "a.test", &TestOrigin::start().await);
    let Origin::Http(http) = &mut site.origins[0].origin else { unreachable!() };
    (http.http_port, http.https_port) = (plain.address.port(), tls.address.port());
    http.protocol = OriginProtocol::MatchViewer;
    let shield = start_with_keys(vec![site.clone()], vec![], |config| {
        (config.shield_token, config.origin_ca) = (Some("token".to_owned()), Some(believed));
    });
    site.origins[0].shield = Some("s".to_owned());
    let edge = start_with_keys(vec![site], vec![], |config| {
        let there = Shield { authority: shield.address.to_string(), tls: false, token: "token".to_owned() };
        config.shields.insert("s".to_owned(), there);
        secure(config, directory.path());
    });
    assert_eq!(get(edge.address, "a.test", "/1").await.text(), "plain");
    let mut stream = connect(edge.tls, &client(&[&rustls::version::TLS13], &["http/1.1"]), "a.test").await.unwrap();
    assert_eq!(crate::secure::ask(&mut stream, "a.test", "/2", "").await.2, b"secure");
    let scheme = "x-anabranch-viewer-scheme: https\r\n";
    assert_eq!(ask(shield.address, "GET", "a.test", "/3", scheme).await.text(), "plain", "a viewer's word");
    assert_eq!(ask(edge.address, "GET", "a.test", "/4", scheme).await.text(), "plain", "a viewer's word");
    let with_token = format!("{scheme}x-anabranch-shield: token\r\n");
    assert_eq!(ask(shield.address, "GET", "a.test", "/5", &with_token).await.text(), "secure");
}
