//! Managed policies by id and by name.

use anabranch_cloudfront::{PolicyKind, managed_policies};
use anabranch_model::{CachePolicy, Encodings, Selection};
use serde_json::json;

use crate::{compiled, parse, with};

#[test]
fn ids_and_names_mean_the_same() {
    let policies = managed_policies();
    assert_eq!(policies.len(), 6 + 7 + 5);
    for policy in policies {
        let (id_field, own_field) = match policy.kind {
            PolicyKind::Cache => ("CachePolicyId", "CachePolicy"),
            PolicyKind::OriginRequest => ("OriginRequestPolicyId", "OriginRequestPolicy"),
            PolicyKind::ResponseHeaders => ("ResponseHeadersPolicyId", "ResponseHeadersPolicy"),
        };
        let field = format!("DefaultCacheBehavior.{id_field}");
        let by_id = parse(&with(&field, json!(policy.id))).unwrap();
        for name in [policy.name.to_owned(), format!("Managed-{}", policy.name)] {
            assert_eq!(parse(&with(&field, json!(name))).unwrap(), by_id, "{name}");
        }
        assert_eq!(by_id.to_json()["DefaultCacheBehavior"][id_field], policy.id);
        assert_eq!(policy.config["Name"], format!("Managed-{}", policy.name));
        // Written as one's own it does the same.
        let mut own = with(&format!("DefaultCacheBehavior.{own_field}"), policy.config);
        own["DefaultCacheBehavior"][id_field] = json!("");
        let named = by_id.compile(&"E1".parse().unwrap(), "d1.example.com").unwrap();
        assert_eq!(compiled(&own), named, "{}", policy.name);
    }
}

#[test]
fn contents() {
    let cache = |name: &str| compiled(&with("DefaultCacheBehavior.CachePolicyId", json!(name))).default_behavior.cache;
    let optimized = CachePolicy {
        min_ttl_seconds: 1,
        default_ttl_seconds: 86_400,
        max_ttl_seconds: 31_536_000,
        encodings: Encodings { gzip: true, brotli: true, zstd: false },
        ..CachePolicy::default()
    };
    assert_eq!(cache("CachingOptimized"), optimized);
    assert_eq!(cache("CachingDisabled"), CachePolicy { max_ttl_seconds: 0, ..CachePolicy::default() });
    let origin = cache("UseOriginCacheControlHeaders-QueryStrings");
    assert_eq!((origin.query, origin.cookies, origin.default_ttl_seconds), (Selection::All, Selection::All, 0));
    assert!(origin.headers.contains(&"host".to_owned()));

    let secure =
        with("DefaultCacheBehavior.ResponseHeadersPolicyId", json!("CORS-with-preflight-and-SecurityHeadersPolicy"));
    let policy = compiled(&secure).default_behavior.response_headers;
    let set: Vec<(&str, &str, bool)> =
        policy.set.iter().map(|rule| (rule.name.as_str(), rule.value.as_str(), rule.overrides)).collect();
    assert_eq!(
        set,
        [
            ("x-content-type-options", "nosniff", true),
            ("x-frame-options", "SAMEORIGIN", false),
            ("referrer-policy", "strict-origin-when-cross-origin", false),
            ("strict-transport-security", "max-age=31536000", false),
            ("x-xss-protection", "1; mode=block", false),
        ]
    );
    assert_eq!(policy.cors.unwrap().expose_headers, ["*"]);
}
