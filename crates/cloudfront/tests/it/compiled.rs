//! What edges are told.

use anabranch_cloudfront::{DistributionConfig, ViewerOrigins};
use anabranch_model::{
    AllowedMethods, BucketOrigin, CachePolicy, CorsPolicy, Encodings, ErrorPage, ErrorResponse, HeaderRule, HttpOrigin,
    Origin, OriginGroup, OriginProtocol, OriginRequestPolicy, OriginTimeouts, ResponseHeadersPolicy, Selection,
    Transform, ViewerProtocol,
};
use serde_json::{Value, json};

use crate::documents::{forwarded, response_headers};
use crate::{compiled, list, parse, small, with};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_channels_own_distribution() {
    let config =
        DistributionConfig::live("r9", &"c1".parse().unwrap(), &"g1".parse().unwrap(), &ViewerOrigins::default());
    assert_eq!(config, parse(&config.to_json()).unwrap());
    assert_eq!(config.caller_reference(), "r9");
    assert_eq!(config.live_channels().collect::<Vec<_>>(), ["c1".parse().unwrap()]);
    let spec = config.compile(&"E1".parse().unwrap(), "D1.example.com").unwrap();
    assert_eq!(spec.domain_name, "d1.example.com");
    assert!(spec.enabled && !spec.http3);
    assert!(spec.origins.len() == 1 && spec.error_responses.is_empty() && spec.invalidations.entries.is_empty());
    assert_eq!(spec.origins[0].origin, Origin::Live { channel: "c1".parse().unwrap() });
    let [playlists] = spec.behaviors.as_slice() else { panic!("{:?}", spec.behaviors) };
    for (behavior, pattern) in [(playlists, "*.m3u8"), (&spec.default_behavior, "*")] {
        assert_eq!(behavior.path_pattern, pattern);
        assert_eq!(behavior.origin, spec.origins[0].id);
        assert_eq!(behavior.viewer_protocol, ViewerProtocol::AllowAll);
        assert_eq!(behavior.allowed_methods, AllowedMethods::GetHeadOptions);
        assert!(!behavior.cache_options && !behavior.compress);
        assert_eq!(behavior.trusted_key_groups, ["g1".parse().unwrap()]);
        assert_eq!(behavior.cache, CachePolicy::default());
        assert_eq!(behavior.origin_request, OriginRequestPolicy::default());
        assert_eq!(behavior.transform, Transform::SignedPlaylist);
        let cors = CorsPolicy {
            allow_origins: words(&["*"]),
            allow_headers: words(&["*"]),
            allow_methods: words(&["GET", "HEAD", "OPTIONS"]),
            allow_credentials: false,
            expose_headers: Vec::new(),
            max_age_seconds: 600,
            overrides: true,
        };
        let headers = ResponseHeadersPolicy { cors: Some(cors), ..ResponseHeadersPolicy::default() };
        assert_eq!(behavior.response_headers, headers);
    }
    assert!(config.compile(&"E1".parse().unwrap(), "no host").is_err());
}

#[test]
fn a_clusters_own_distribution() {
    let hosts = ["CDN.eu.example.com", "10.0.0.1:8443", "cdn.eu.example.com"].map(str::to_owned);
    let group = "g1".parse().unwrap();
    let of =
        |hosts: &[String]| DistributionConfig::cluster("r9", ("show", "cl1"), hosts, &group, &ViewerOrigins::default());
    let mut config = of(&hosts).unwrap();
    assert_eq!(config, parse(&config.to_json()).unwrap());
    let spec = config.compile(&"E1".parse().unwrap(), "d1.example.com").unwrap();
    assert_eq!((spec.default_root_object.as_str(), spec.behaviors.len()), ("index.m3u8", 0));
    let Origin::Bucket(bucket) = &spec.origins[0].origin else { panic!("{:?}", spec.origins) };
    assert_eq!((bucket.bucket.as_str(), bucket.path.as_str()), ("clusters", "/cl1"));
    assert_eq!(spec.signed_hosts, ["cdn.eu.example.com", "10.0.0.1:8443"]);
    let behavior = &spec.default_behavior;
    assert_eq!((behavior.allowed_methods, behavior.cache_options), (AllowedMethods::GetHeadOptions, true));
    let headers = words(&["access-control-request-headers", "access-control-request-method", "origin"]);
    assert_eq!(behavior.cache, CachePolicy { headers, ..CachePolicy::default() });
    assert_eq!((behavior.transform, behavior.viewer_protocol), (Transform::SignedPlaylist, ViewerProtocol::AllowAll));
    config.set_viewer_protocol(ViewerProtocol::RedirectToHttps);
    assert_eq!(config, parse(&config.to_json()).unwrap());
    let spec = config.compile(&"E1".parse().unwrap(), "d1.example.com").unwrap();
    assert_eq!(spec.default_behavior.viewer_protocol, ViewerProtocol::RedirectToHttps);
    assert!(of(&["not a host".to_owned()]).is_err());
}

#[test]
fn pages_that_play_with_cookies_are_named_beside_all_others() {
    let given = ["https://App.Example.com:443", "http://localhost:3000", "https://app.example.com"].map(str::to_owned);
    let viewers = ViewerOrigins::parse(&given).unwrap();
    assert!(viewers.has("https://app.example.com") && !viewers.has("https://other.example.com"));
    let group = "g1".parse().unwrap();
    let live = DistributionConfig::live("r", &"c1".parse().unwrap(), &group, &viewers);
    for config in [live, DistributionConfig::library("r", &group, &viewers)] {
        assert_eq!(config, parse(&config.to_json()).unwrap());
        assert!(config.answers_with_credentials(&viewers));
        let more = ViewerOrigins::parse(&["https://more.example.com".to_owned()]).unwrap();
        assert!(!config.answers_with_credentials(&more));
        let spec = config.compile(&"E1".parse().unwrap(), "d1.example.com").unwrap();
        for behavior in spec.behaviors.iter().chain([&spec.default_behavior]) {
            let cors = behavior.response_headers.cors.as_ref().unwrap();
            assert_eq!(cors.allow_origins, words(&["https://app.example.com", "http://localhost:3000", "*"]));
            assert!(cors.allow_credentials && cors.overrides);
        }
    }
    for text in ["*", "app.example.com", "https://*.example.com", "https://a.test/", "https://a.test:x", "ftp://a.test"]
    {
        let error = ViewerOrigins::parse(&[text.to_owned()]).unwrap_err().to_string();
        assert!(error.contains("viewer_origins") && error.contains(text), "{error}");
    }
    assert!(ViewerOrigins::parse(&vec!["https://a.test".to_owned(); 100]).is_err());
}

#[test]
fn live_origins_without_keys_change_no_playlist() {
    let mut config = with("Origins.Items.0", json!({ "Id": "web", "DomainName": "c1.live.anabranch.internal" }));
    assert_eq!(compiled(&config).default_behavior.transform, Transform::None);
    config["DefaultCacheBehavior"]["TrustedKeyGroups"] = json!({ "Enabled": true, "Quantity": 1, "Items": ["g"] });
    assert_eq!(compiled(&config).default_behavior.transform, Transform::SignedPlaylist);
}

#[test]
fn playlists_of_recordings_are_signed_and_those_of_other_buckets_are_not() {
    let mut config = small();
    config["DefaultCacheBehavior"]["TrustedKeyGroups"] = json!({ "Enabled": true, "Quantity": 1, "Items": ["g"] });
    config["DefaultCacheBehavior"]["TargetOriginId"] = json!("files");
    assert_eq!(compiled(&config).default_behavior.transform, Transform::None);
    for bucket in ["recordings.s3.anabranch.internal", "VOD.s3.anabranch.internal"] {
        config["Origins"]["Items"][1]["DomainName"] = json!(bucket);
        assert_eq!(compiled(&config).default_behavior.transform, Transform::SignedPlaylist);
    }
}

#[test]
fn a_behavior_may_say_what_its_playlists_carry() {
    let mut config = small();
    assert_eq!(compiled(&config).default_behavior.copy_mark, "-PREFIX");
    config["DefaultCacheBehavior"]["SignedPlaylists"] = json!(true);
    config["DefaultCacheBehavior"]["SignatureCopyMark"] = json!("_copy");
    let spec = compiled(&config).default_behavior;
    assert_eq!((spec.transform, spec.copy_mark.as_str()), (Transform::SignedPlaylist, "_copy"));
    let shown = parse(&config).unwrap().to_json();
    for word in ["SignedPlaylists", "SignatureCopyMark"] {
        assert_eq!(shown["DefaultCacheBehavior"][word], config["DefaultCacheBehavior"][word]);
    }
    config["DefaultCacheBehavior"]["SignatureCopyMark"] = json!("");
    assert_eq!(compiled(&config).default_behavior.copy_mark, "");
    for wrong in [json!("a&b"), json!("x".repeat(33)), json!("a=")] {
        config["DefaultCacheBehavior"]["SignatureCopyMark"] = wrong;
        assert_eq!(parse(&config).unwrap_err().field(), "DefaultCacheBehavior.SignatureCopyMark");
    }
    let mut live = with("Origins.Items.0", json!({ "Id": "web", "DomainName": "c1.live.anabranch.internal" }));
    live["DefaultCacheBehavior"]["TrustedKeyGroups"] = json!({ "Enabled": true, "Quantity": 1, "Items": ["g"] });
    live["DefaultCacheBehavior"]["SignedPlaylists"] = json!(false);
    assert_eq!(compiled(&live).default_behavior.transform, Transform::None);
}

#[test]
fn origins() {
    let spec = compiled(&small());
    let plain = HttpOrigin {
        host: "www.example.com".to_owned(),
        http_port: 80,
        https_port: 443,
        protocol: OriginProtocol::HttpsOnly,
        path: String::new(),
        headers: [].into(),
        timeouts: OriginTimeouts::default(),
    };
    assert_eq!(spec.origins[0].origin, Origin::Http(plain));
    let bucket = BucketOrigin {
        bucket: "films".to_owned(),
        path: String::new(),
        headers: [].into(),
        timeouts: OriginTimeouts::default(),
    };
    assert_eq!(spec.origins[1].origin, Origin::Bucket(bucket));

    let config = with(
        "Origins.Items.0",
        json!({
            "Id": "web", "DomainName": "[2001:DB8::1]", "OriginPath": "/a/b", "ConnectionAttempts": 1, "ConnectionTimeout": 2,
            "CustomHeaders": list(json!([{ "HeaderName": "X-Key", "HeaderValue": "a b" }])),
            "OriginShield": { "Enabled": true, "OriginShieldRegion": "eu-central-1" },
            "CustomOriginConfig": {
                "HTTPPort": 8080, "HTTPSPort": 8443, "OriginProtocolPolicy": "match-viewer",
                "OriginReadTimeout": 3, "OriginKeepaliveTimeout": 4,
            },
        }),
    );
    let spec = compiled(&config);
    assert_eq!(spec.origins[0].shield.as_deref(), Some("eu-central-1"));
    let timeouts =
        OriginTimeouts { connect_seconds: 2, connect_attempts: 1, response_seconds: 3, keepalive_seconds: 4 };
    let full = HttpOrigin {
        host: "[2001:db8::1]".to_owned(),
        http_port: 8080,
        https_port: 8443,
        protocol: OriginProtocol::MatchViewer,
        path: "/a/b".to_owned(),
        headers: [("x-key".to_owned(), "a b".to_owned())].into(),
        timeouts,
    };
    assert_eq!(spec.origins[0].origin, Origin::Http(full));
}

#[test]
fn buckets() {
    for (name, bucket) in [
        ("films.s3.anabranch.internal", "films"),
        ("Films.S3.Anabranch.Internal", "films"),
        ("films.s3.amazonaws.com", "films"),
        ("films.s3.eu-west-1.amazonaws.com", "films"),
        ("films.s3-eu-west-1.amazonaws.com", "films"),
        ("my.films.s3.eu-west-1.amazonaws.com", "my.films"),
    ] {
        let spec = compiled(&with("Origins.Items.1.DomainName", json!(name)));
        let Origin::Bucket(origin) = &spec.origins[1].origin else { panic!("{name}") };
        assert_eq!(origin.bucket, bucket, "{name}");
    }
}

#[test]
fn origin_groups_and_error_pages() {
    let mut config = small();
    config["OriginGroups"] = list(json!([{
        "Id": "both",
        "FailoverCriteria": { "StatusCodes": { "Quantity": 2, "Items": [503, 404] } },
        "Members": { "Quantity": 2, "Items": [{ "OriginId": "files" }, { "OriginId": "web" }] },
    }]));
    config["DefaultCacheBehavior"]["TargetOriginId"] = json!("both");
    config["CustomErrorResponses"] = list(json!([
        { "ErrorCode": 404, "ResponsePagePath": "/404.html", "ResponseCode": "200", "ErrorCachingMinTTL": 5 },
        { "ErrorCode": 502 },
    ]));
    let spec = compiled(&config);
    let group = OriginGroup {
        id: "both".to_owned(),
        primary: "files".to_owned(),
        secondary: "web".to_owned(),
        failover_statuses: vec![503, 404],
    };
    assert_eq!(spec.origin_groups, [group]);
    assert_eq!(spec.default_behavior.origin, "both");
    let page = ErrorPage { status: 200, path: "/404.html".to_owned() };
    assert_eq!(
        spec.error_responses,
        [
            ErrorResponse { status: 404, min_ttl_seconds: 5, page: Some(page) },
            ErrorResponse { status: 502, min_ttl_seconds: 10, page: None },
        ]
    );
}

fn forwarding(values: Value) -> (CachePolicy, OriginRequestPolicy) {
    let mut config = with("DefaultCacheBehavior.CachePolicyId", Value::Null);
    config["DefaultCacheBehavior"]["ForwardedValues"] = values;
    let behavior = compiled(&config).default_behavior;
    (behavior.cache, behavior.origin_request)
}

#[test]
fn forwarded_values() {
    let config = with("CacheBehaviors", list(json!([forwarded()])));
    let behavior = compiled(&config).behaviors.remove(0);
    let cache = CachePolicy {
        min_ttl_seconds: 10,
        default_ttl_seconds: 20,
        max_ttl_seconds: 30,
        heuristic: false,
        query: Selection::Only(words(&["page"])),
        headers: words(&["accept-language"]),
        cookies: Selection::Only(words(&["session"])),
        encodings: Encodings { gzip: true, brotli: false, zstd: false },
    };
    assert_eq!(behavior.cache, cache);
    assert_eq!(behavior.origin_request, OriginRequestPolicy { query: Selection::All, ..Default::default() });
    assert_eq!(behavior.allowed_methods, AllowedMethods::All);
    let mut written = forwarded()["ForwardedValues"].take();
    written["Headers"]["Items"][0] = json!("accept-language");
    assert_eq!(parse(&config).unwrap().to_json()["CacheBehaviors"]["Items"][0]["ForwardedValues"], written);

    let none = json!({ "QueryString": false, "Cookies": { "Forward": "none" } });
    let (cache, request) = forwarding(none);
    assert_eq!((cache.query, cache.default_ttl_seconds), (Selection::None, 86_400));
    assert_eq!(request, OriginRequestPolicy::default());

    let every = json!({ "QueryString": true, "Cookies": { "Forward": "all" }, "Headers": list(json!(["*"])) });
    let (cache, request) = forwarding(every);
    assert_eq!((cache.query, cache.cookies, cache.max_ttl_seconds), (Selection::All, Selection::All, 0));
    assert_eq!((cache.headers.len(), request.headers), (0, Selection::All));
}

#[test]
fn lifetimes_have_cloudfronts_defaults() {
    for (given, expected) in [
        (json!({}), (0, 86_400, 31_536_000)),
        (json!({ "MinTTL": 100_000 }), (100_000, 100_000, 31_536_000)),
        (json!({ "MaxTTL": 60 }), (0, 60, 60)),
        (json!({ "DefaultTTL": 40_000_000 }), (0, 40_000_000, 40_000_000)),
        (json!({ "MinTTL": 0, "DefaultTTL": 0, "MaxTTL": 0 }), (0, 0, 0)),
    ] {
        let mut config = with("DefaultCacheBehavior.CachePolicyId", json!(""));
        config["DefaultCacheBehavior"]["CachePolicy"] = given.clone();
        let cache = compiled(&config).default_behavior.cache;
        let found = (cache.min_ttl_seconds, cache.default_ttl_seconds, cache.max_ttl_seconds);
        assert_eq!(found, expected, "{given}");
    }
}

#[test]
fn response_headers_of_ones_own() {
    let policy = compiled(&with("DefaultCacheBehavior.ResponseHeadersPolicy", response_headers()));
    let policy = policy.default_behavior.response_headers;
    let rule =
        |name: &str, value: &str, overrides| HeaderRule { name: name.to_owned(), value: value.to_owned(), overrides };
    assert_eq!(
        policy.set,
        [
            rule("content-security-policy", "default-src 'self'", true),
            rule("x-content-type-options", "nosniff", true),
            rule("x-frame-options", "DENY", false),
            rule("referrer-policy", "same-origin", true),
            rule("strict-transport-security", "max-age=63072000; includeSubDomains; preload", true),
            rule("x-xss-protection", "1; report=/xss", true),
            rule("x-robots-tag", "noindex", false),
        ]
    );
    assert_eq!(policy.remove, ["x-powered-by"]);
    assert_eq!(policy.server_timing_percent, Some(12.5));
    let cors = policy.cors.unwrap();
    assert_eq!(cors.allow_origins, ["https://*.example.com", "http://localhost:8080", "https://localhost:8080"]);
    assert_eq!((cors.allow_credentials, cors.max_age_seconds), (true, 60));
}

#[test]
fn http_versions() {
    for (word, http3) in [("http2", false), ("http2and3", true)] {
        let spec = compiled(&with("HttpVersion", json!(word)));
        assert_eq!(spec.http3, http3, "{word}");
    }
    for word in ["http1.1", "http3"] {
        let refused = DistributionConfig::parse(with("HttpVersion", json!(word)).to_string().as_bytes()).unwrap_err();
        assert!(refused.to_string().starts_with("HttpVersion"), "{refused}");
    }
}

#[test]
fn path_patterns_mean_the_same_with_and_without_a_slash() {
    for (written, compared) in
        [("images/*.jpg", "/images/*.jpg"), ("/images/*", "/images/*"), ("*.jpg", "*.jpg"), ("?.jpg", "/?.jpg")]
    {
        let mut behavior = forwarded();
        behavior["PathPattern"] = json!(written);
        let config = with("CacheBehaviors", list(json!([behavior])));
        assert_eq!(compiled(&config).behaviors[0].path_pattern, compared);
        let back = parse(&config).unwrap().to_json();
        assert_eq!(back["CacheBehaviors"]["Items"][0]["PathPattern"], written);
    }
}
