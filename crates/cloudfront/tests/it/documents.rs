//! Whole documents: as tools write them, as they are given back.

use anabranch_cloudfront::DistributionConfig;
use anabranch_model::{KeyGroupId, PriceClass, Transform};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{compiled, list, parse, set, small, with};

/// What the AWS CLI makes of `--origin-domain-name`.
fn cli_default() -> Value {
    json!({
        "CallerReference": "cli-1700000000-123456",
        "Origins": { "Quantity": 1, "Items": [{
            "Id": "films.s3.amazonaws.com-cli-1700000000-123456",
            "DomainName": "films.s3.amazonaws.com",
            "S3OriginConfig": { "OriginAccessIdentity": "" },
        }] },
        "DefaultCacheBehavior": {
            "TargetOriginId": "films.s3.amazonaws.com-cli-1700000000-123456",
            "ForwardedValues": { "QueryString": false, "Cookies": { "Forward": "none" } },
            "TrustedSigners": { "Enabled": false, "Quantity": 0 },
            "ViewerProtocolPolicy": "allow-all",
            "MinTTL": 0,
        },
        "Enabled": true,
        "Comment": "",
        "DefaultRootObject": "index.html",
    })
}

#[test]
fn every_default_is_filled_in() {
    let config = parse(&cli_default()).unwrap().to_json();
    for (path, value) in [
        ("/Aliases", json!({ "Quantity": 0 })),
        ("/CacheBehaviors", json!({ "Quantity": 0 })),
        ("/CustomErrorResponses", json!({ "Quantity": 0 })),
        ("/OriginGroups", json!({ "Quantity": 0 })),
        ("/Logging", json!({ "Enabled": false, "IncludeCookies": false, "Bucket": "", "Prefix": "" })),
        ("/PriceClass", json!("PriceClass_All")),
        ("/HttpVersion", json!("http2")),
        ("/IsIPV6Enabled", json!(true)),
        ("/WebACLId", json!("")),
        ("/Staging", json!(false)),
        ("/Restrictions/GeoRestriction", json!({ "RestrictionType": "none", "Quantity": 0 })),
        ("/ViewerCertificate/CloudFrontDefaultCertificate", json!(true)),
        ("/ViewerCertificate/MinimumProtocolVersion", json!("TLSv1")),
        ("/Origins/Quantity", json!(1)),
        ("/Origins/Items/0/OriginPath", json!("")),
        ("/Origins/Items/0/CustomHeaders", json!({ "Quantity": 0 })),
        ("/Origins/Items/0/ConnectionAttempts", json!(3)),
        ("/Origins/Items/0/ConnectionTimeout", json!(10)),
        ("/Origins/Items/0/OriginShield", json!({ "Enabled": false })),
        ("/Origins/Items/0/S3OriginConfig/OriginReadTimeout", json!(30)),
        ("/DefaultCacheBehavior/DefaultTTL", json!(86_400)),
        ("/DefaultCacheBehavior/MaxTTL", json!(31_536_000)),
        ("/DefaultCacheBehavior/AllowedMethods/Items", json!(["GET", "HEAD"])),
        ("/DefaultCacheBehavior/AllowedMethods/CachedMethods", json!({ "Quantity": 2, "Items": ["GET", "HEAD"] })),
        ("/DefaultCacheBehavior/TrustedKeyGroups", json!({ "Enabled": false, "Quantity": 0 })),
        ("/DefaultCacheBehavior/ForwardedValues/Headers", json!({ "Quantity": 0 })),
        ("/DefaultCacheBehavior/ForwardedValues/QueryStringCacheKeys", json!({ "Quantity": 0 })),
        ("/DefaultCacheBehavior/LambdaFunctionAssociations", json!({ "Quantity": 0 })),
        ("/DefaultCacheBehavior/FieldLevelEncryptionId", json!("")),
    ] {
        assert_eq!(config.pointer(path), Some(&value), "{path}");
    }
}

#[test]
fn wrapped_documents_are_the_same() {
    let bare = parse(&cli_default()).unwrap();
    for wrapped in [
        json!({ "DistributionConfig": cli_default() }),
        json!({ "ETag": "E2QWRUHEXAMPLE", "DistributionConfig": bare.to_json() }),
        json!({ "ETag": "E2", "Distribution": { "Id": "E1", "Status": "Deployed", "DistributionConfig": cli_default() } }),
    ] {
        assert_eq!(parse(&wrapped).unwrap(), bare);
    }
    let error = parse(&json!({ "DistributionConfig": cli_default(), "Tags": {} })).unwrap_err();
    assert_eq!(error.field(), "Tags");
}

/// Every field that is honoured, away from its default, and the others as CloudFront gives them back.
fn full() -> Value {
    let mut config = small();
    for (path, value) in [
        ("Aliases", list(json!(["WWW.Example.org", "*.example.net", "192.0.2.1", "2001:db8::1", "localhost"]))),
        ("DefaultRootObject", json!("start/index.html")),
        ("Comment", json!("the films")),
        ("PriceClass", json!("PriceClass_100")),
        ("HttpVersion", json!("http2and3")),
        ("IsIPV6Enabled", json!(false)),
        ("Logging", json!({ "Enabled": false, "IncludeCookies": false, "Bucket": "", "Prefix": "" })),
        ("WebACLId", json!("")),
        ("Staging", json!(false)),
        ("ContinuousDeploymentPolicyId", json!("")),
        ("ConnectionMode", json!("direct")),
        ("AnycastIpListId", json!(null)),
        ("CacheTagConfig", json!({ "HeaderName": "Cache-Tag" })),
        ("Restrictions", json!({ "GeoRestriction": { "RestrictionType": "none", "Quantity": 0, "Items": [] } })),
        (
            "ViewerCertificate",
            json!({
                "CloudFrontDefaultCertificate": true, "SSLSupportMethod": "sni-only",
                "MinimumProtocolVersion": "TLSv1.2_2021", "CertificateSource": "cloudfront",
            }),
        ),
        ("Origins", list(json!([web(), files(), live()]))),
        (
            "OriginGroups",
            list(json!([{
                "Id": "both",
                "FailoverCriteria": { "StatusCodes": { "Quantity": 2, "Items": [500, 503] } },
                "Members": { "Quantity": 2, "Items": [{ "OriginId": "web" }, { "OriginId": "live" }] },
                "SelectionCriteria": "default",
            }])),
        ),
        (
            "CustomErrorResponses",
            list(json!([
                { "ErrorCode": 404, "ResponsePagePath": "/e/404.html", "ResponseCode": "200", "ErrorCachingMinTTL": 5 },
                { "ErrorCode": 502, "ResponsePagePath": "", "ResponseCode": "" },
            ])),
        ),
        ("CacheBehaviors", list(json!([signed(), forwarded()]))),
    ] {
        set(&mut config, path, value);
    }
    config
}

fn web() -> Value {
    json!({
        "Id": "web", "DomainName": "WWW.example.com", "OriginPath": "/v1",
        "CustomHeaders": { "Quantity": 1, "Items": [{ "HeaderName": "X-Origin-Secret", "HeaderValue": "s3cret word" }] },
        "ConnectionAttempts": 2, "ConnectionTimeout": 4,
        "OriginShield": { "Enabled": true, "OriginShieldRegion": "eu-central-1" }, "OriginAccessControlId": "",
        "CustomOriginConfig": {
            "HTTPPort": 8080, "HTTPSPort": 8443, "OriginProtocolPolicy": "match-viewer",
            "OriginSslProtocols": { "Quantity": 2, "Items": ["TLSv1.1", "TLSv1.2"] },
            "OriginReadTimeout": 60, "OriginKeepaliveTimeout": 20, "IpAddressType": "dualstack",
        },
    })
}

fn files() -> Value {
    json!({
        "Id": "files", "DomainName": "films.s3.eu-west-1.amazonaws.com", "OriginAccessControlId": "E327GJI25M56DG",
        "S3OriginConfig": { "OriginAccessIdentity": "", "OriginReadTimeout": 15 },
    })
}

fn live() -> Value {
    json!({ "Id": "live", "DomainName": "cA_b-1.LIVE.anabranch.internal", "OriginShield": { "Enabled": false } })
}

fn signed() -> Value {
    json!({
        "PathPattern": "live/*.m3u8", "TargetOriginId": "both", "ViewerProtocolPolicy": "https-only",
        "TrustedKeyGroups": { "Enabled": true, "Quantity": 2, "Items": ["g1", "g2"] },
        "AllowedMethods": {
            "Quantity": 3, "Items": ["OPTIONS", "HEAD", "GET"],
            "CachedMethods": { "Quantity": 3, "Items": ["GET", "HEAD", "OPTIONS"] },
        },
        "Compress": true, "MinTTL": 0,
        "CachePolicy": {
            "Name": "mine", "Comment": "of mine", "MinTTL": 1, "DefaultTTL": 2, "MaxTTL": 3,
            "ParametersInCacheKeyAndForwardedToOrigin": {
                "EnableAcceptEncodingGzip": true, "EnableAcceptEncodingBrotli": true, "EnableAcceptEncodingZstd": true,
                "HeadersConfig": { "HeaderBehavior": "whitelist", "Headers": { "Quantity": 1, "Items": ["Origin"] } },
                "CookiesConfig": { "CookieBehavior": "allExcept", "Cookies": { "Quantity": 1, "Items": ["ads*"] } },
                "QueryStringsConfig": {
                    "QueryStringBehavior": "whitelist", "QueryStrings": { "Quantity": 2, "Items": ["_HLS_msn", "_HLS_part"] },
                },
            },
        },
        "OriginRequestPolicy": {
            "Name": "mine",
            "HeadersConfig": { "HeaderBehavior": "allExcept", "Headers": { "Quantity": 1, "Items": ["Host"] } },
            "CookiesConfig": { "CookieBehavior": "none" },
            "QueryStringsConfig": { "QueryStringBehavior": "all" },
        },
        "ResponseHeadersPolicy": response_headers(),
    })
}

pub(crate) fn response_headers() -> Value {
    json!({
        "Name": "mine",
        "CorsConfig": {
            "AccessControlAllowOrigins": { "Quantity": 2, "Items": ["https://*.example.com", "localhost:8080"] },
            "AccessControlAllowHeaders": { "Quantity": 1, "Items": ["Range"] },
            "AccessControlAllowMethods": { "Quantity": 1, "Items": ["ALL"] },
            "AccessControlAllowCredentials": true,
            "AccessControlExposeHeaders": { "Quantity": 1, "Items": ["Age"] },
            "AccessControlMaxAgeSec": 60,
            "OriginOverride": true,
        },
        "SecurityHeadersConfig": {
            "XSSProtection": { "Override": true, "Protection": true, "ReportUri": "/xss" },
            "FrameOptions": { "Override": false, "FrameOption": "DENY" },
            "ReferrerPolicy": { "Override": true, "ReferrerPolicy": "same-origin" },
            "ContentSecurityPolicy": { "Override": true, "ContentSecurityPolicy": "default-src 'self'" },
            "ContentTypeOptions": { "Override": true },
            "StrictTransportSecurity": {
                "Override": true, "IncludeSubdomains": true, "Preload": true, "AccessControlMaxAgeSec": 63072000,
            },
        },
        "CustomHeadersConfig": {
            "Quantity": 1, "Items": [{ "Header": "X-Robots-Tag", "Value": "noindex", "Override": false }],
        },
        "RemoveHeadersConfig": { "Quantity": 1, "Items": [{ "Header": "X-Powered-By" }] },
        "ServerTimingHeadersConfig": { "Enabled": true, "SamplingRate": 12.5 },
    })
}

pub(crate) fn forwarded() -> Value {
    json!({
        "PathPattern": "/old/*", "TargetOriginId": "web", "ViewerProtocolPolicy": "allow-all",
        "AllowedMethods": { "Quantity": 7, "Items": ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "DELETE"] },
        "ForwardedValues": {
            "QueryString": true,
            "QueryStringCacheKeys": { "Quantity": 1, "Items": ["page"] },
            "Cookies": { "Forward": "whitelist", "WhitelistedNames": { "Quantity": 1, "Items": ["session"] } },
            "Headers": { "Quantity": 1, "Items": ["Accept-Language"] },
        },
        "MinTTL": 10, "DefaultTTL": 20, "MaxTTL": 30,
        "ResponseHeadersPolicyId": "SimpleCORS",
    })
}

#[test]
fn a_full_configuration_comes_back() {
    let config = parse(&full()).unwrap();
    assert_eq!(config.caller_reference(), "r1");
    assert_eq!(config.comment(), "the films");
    assert_eq!(config.price_class(), PriceClass::Class100);
    assert_eq!(config.aliases(), ["www.example.org", "*.example.net", "192.0.2.1", "[2001:db8::1]", "localhost"]);
    assert_eq!(config.trusted_key_groups().map(KeyGroupId::as_str).collect::<Vec<_>>(), ["g1", "g2"]);
    assert_eq!(config.live_channels().map(String::from).collect::<Vec<_>>(), ["cA_b-1"]);
    let spec = compiled(&full());
    assert_eq!(spec.aliases, config.aliases());
    assert!(spec.http3);
    assert_eq!(spec.behaviors[0].path_pattern, "/live/*.m3u8");
    assert_eq!(spec.behaviors[0].transform, Transform::SignedPlaylist);
    assert_eq!(spec.behaviors[1].path_pattern, "/old/*");
    assert_eq!(spec.behaviors[1].transform, Transform::None);
}

#[test]
fn it_can_be_switched_off() {
    let mut config = parse(&small()).unwrap();
    assert!(config.enabled());
    config.set_enabled(false);
    assert_eq!(config, parse(&with("Enabled", json!(false))).unwrap());
}

#[test]
fn faults_of_the_document() {
    for (bytes, display) in [
        (&b"{"[..], "not JSON: EOF while parsing an object at line 1 column 1"),
        (&b"\xff"[..], "not JSON"),
        (&b"[]"[..], "not an object"),
        (&b"{}"[..], "Origins: missing (the field is required)"),
    ] {
        let error = DistributionConfig::parse(bytes).unwrap_err();
        assert!(error.to_string().starts_with(display), "{error}");
        assert_eq!(error.code(), "InvalidArgument");
    }
    let error = DistributionConfig::parse(&vec![b' '; (1 << 20) + 1]).unwrap_err();
    assert!(error.to_string().starts_with("too large: 1048577 (at most"), "{error}");
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    DistributionConfig::parse(&deep).unwrap_err();
}

/// Any JSON, with field names that mean something among others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..4).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "web",
            "*",
            "",
            "none",
            "whitelist",
            "GET",
            "live.anabranch.internal",
            ".s3.amazonaws.com"
        ])
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(vec!["Quantity", "Items", "Enabled", "Id", "DomainName", "Headers", "Cookies", "Forward"])
            .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| list(Value::from(items))),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Paths of every value inside.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                pointers(inner, &format!("{at}/{name}"), into);
            }
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                pointers(inner, &format!("{at}/{n}"), into);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = DistributionConfig::parse(&bytes);
    }

    #[test]
    fn any_json_is_answered(value in any_json()) {
        let _ = parse(&value);
    }

    /// Anything in place of anything is refused, or read, written and read to the same.
    #[test]
    fn any_change_is_answered(at in any::<prop::sample::Index>(), value in any_json(), given_back in any::<bool>()) {
        let mut config = if given_back { parse(&full()).unwrap().to_json() } else { full() };
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        *config.pointer_mut(at.get::<String>(&all)).unwrap() = value;
        match parse(&config) {
            Ok(read) => {
                prop_assert_eq!(&parse(&read.to_json()).unwrap(), &read);
                read.compile(&"E1".parse().unwrap(), "d1.example.com").unwrap();
            }
            Err(error) => prop_assert!(!error.code().is_empty() && error.to_string().len() < 2000),
        }
    }

    /// A field that nobody knows is refused by its name, wherever it stands.
    #[test]
    fn unknown_fields_are_refused(at in any::<prop::sample::Index>()) {
        let mut config = full();
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        all.retain(|at| config.pointer(at).is_some_and(Value::is_object));
        config.pointer_mut(at.get::<String>(&all)).unwrap()["Unheard"] = json!(1);
        let error = parse(&config).unwrap_err();
        prop_assert!(error.field().ends_with("Unheard"), "{}", error);
        prop_assert_eq!(error.code(), "InvalidArgument");
    }
}
