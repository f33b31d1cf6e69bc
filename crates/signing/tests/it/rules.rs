//! Each rule of signed URLs and cookies on signatures of our own.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use anabranch_signing::{
    Credentials, Denied, KeySet, Policy, PolicyFault, PrivateKey, RequestUrl, SignError, SignSpec, Source,
    sign_cookies, sign_policy, sign_url, strip_reserved, verify,
};
use proptest::prelude::*;
use serde_json::json;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());
static KEYS: LazyLock<KeySet> = LazyLock::new(|| trusting("K1", &KEY));

const NOW: i64 = 1_800_000_000;

fn trusting(id: &str, key: &PrivateKey) -> KeySet {
    [(id, Arc::new(key.public_key().unwrap()))].into_iter().collect()
}

fn client() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

/// Takes a URL apart as an edge would.
pub(crate) fn request(url: &str) -> RequestUrl<'_> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (host, path) = before.split_at(before.find('/').unwrap());
    RequestUrl { scheme, host, path, query }
}

fn judge_with(keys: &KeySet, url: &str, client: IpAddr, now: i64) -> Result<(), Denied> {
    let url = request(url);
    let credentials = Credentials::from_query(url.query.unwrap_or_default())?.ok_or(Denied::MissingKey)?;
    verify(&credentials, keys, &url, client, now).map(|_| ())
}

fn judge(url: &str) -> Result<(), Denied> {
    judge_with(&KEYS, url, client(), NOW)
}

fn canned(url: &str) -> String {
    sign_url(url, &SignSpec::Canned { expires: NOW + 60 }, "K1", &KEY).unwrap()
}

fn custom(url: &str, policy: Policy) -> String {
    sign_url(url, &SignSpec::Custom(policy), "K1", &KEY).unwrap()
}

#[test]
fn a_canned_url_opens_itself_and_nothing_else() {
    let url = canned("http://h.example:8888/b1/index.m3u8?a=1&b=2");
    assert!(url.starts_with("http://h.example:8888/b1/index.m3u8?a=1&b=2&Expires=1800000060&Signature="));
    assert!(url.ends_with("&Key-Pair-Id=K1&Hash-Algorithm=SHA256"));
    assert_eq!(judge(&url), Ok(()));
    for (from, to) in [
        ("index.m3u8", "video.m3u8"),
        ("h.example", "i.example"),
        ("http://", "https://"),
        (":8888", ""),
        ("a=1", "a=2"),
        ("a=1&b=2", "b=2&a=1"),
        ("Expires=1800000060", "Expires=1800000061"),
        ("Hash-Algorithm=SHA256", "Hash-Algorithm=SHA1"),
        ("&Hash-Algorithm=SHA256", ""),
        ("Key-Pair-Id=K1", "c=3&Key-Pair-Id=K1"),
    ] {
        let other = url.replace(from, to);
        assert_ne!(other, url);
        assert_eq!(judge(&other), Err(Denied::BadSignature), "{other}");
    }
    assert_eq!(strip_reserved(request(&url).query.unwrap()), "a=1&b=2");
}

#[test]
fn own_parameters_may_stand_anywhere() {
    let url = canned("http://h/p?a=1&b=2");
    let query = request(&url).query.unwrap();
    let signature = query.strip_prefix("a=1&b=2&").unwrap();
    assert_eq!(judge(&format!("http://h/p?{signature}&a=1&b=2")), Ok(()));
    assert_eq!(judge(&format!("http://h/p?a=1&{signature}&b=2")), Ok(()));
    let bare = canned("http://h/p?");
    assert!(bare.starts_with("http://h/p?Expires="));
    assert_eq!(judge(&bare), Ok(()));
    let fragment = canned("http://h/p#t=5");
    assert!(fragment.ends_with("SHA256#t=5"), "{fragment}");
}

#[test]
fn dates_are_exclusive_at_both_ends() {
    let url = custom("http://h/p", Policy::new("http://h/*", NOW + 10).date_greater_than(NOW));
    for (now, expected) in [
        (NOW - 1, Err(Denied::NotYet)),
        (NOW, Err(Denied::NotYet)),
        (NOW + 1, Ok(())),
        (NOW + 9, Ok(())),
        (NOW + 10, Err(Denied::Expired)),
    ] {
        assert_eq!(judge_with(&KEYS, &url, client(), now), expected, "{now}");
    }
    let url = canned("http://h/p");
    assert_eq!(judge_with(&KEYS, &url, client(), NOW + 59), Ok(()));
    assert_eq!(judge_with(&KEYS, &url, client(), NOW + 60), Err(Denied::Expired));
}

#[test]
fn a_policy_opens_what_it_covers() {
    let policy = Policy::new("*://*/d/E1/b1/*", NOW + 60).source_ip("192.0.2.0/24".parse().unwrap());
    let parameters = sign_policy(&policy, "K1", &KEY).unwrap();
    for path in ["index.m3u8", "video/00000012-k3f9.m4s", "a?own=1&"] {
        let joint = if path.contains('?') { "&" } else { "?" };
        assert_eq!(judge(&format!("http://127.0.0.1:8888/d/E1/b1/{path}{joint}{parameters}")), Ok(()));
    }
    for path in ["/d/E1/b2/index.m3u8", "/d/E2/b1/index.m3u8", "/b1/index.m3u8", "/d/E1/b10/x"] {
        assert_eq!(judge(&format!("http://127.0.0.1:8888{path}?{parameters}")), Err(Denied::WrongResource), "{path}");
    }
    let escape = format!("http://127.0.0.1:8888/d/E1/b1/%2e%2e/b2/index.m3u8?{parameters}");
    assert_eq!(judge(&escape), Err(Denied::DotSegments));
    let url = format!("http://127.0.0.1:8888/d/E1/b1/index.m3u8?{parameters}");
    for (address, expected) in [
        ("192.0.2.255", Ok(())),
        ("::ffff:192.0.2.1", Ok(())),
        ("192.0.3.1", Err(Denied::WrongAddress)),
        ("2001:db8::1", Err(Denied::WrongAddress)),
    ] {
        assert_eq!(judge_with(&KEYS, &url, address.parse().unwrap(), NOW), expected, "{address}");
    }
}

#[test]
fn keys_must_be_trusted_and_fit() {
    let url = canned("http://h/p");
    let other = PrivateKey::generate().unwrap();
    assert_eq!(judge_with(&KeySet::default(), &url, client(), NOW), Err(Denied::UnknownKey));
    assert_eq!(judge_with(&trusting("K2", &KEY), &url, client(), NOW), Err(Denied::UnknownKey));
    assert_eq!(judge_with(&trusting("K1", &other), &url, client(), NOW), Err(Denied::BadSignature));
}

#[test]
fn tampering_is_refused() {
    let url = custom("http://h/p", Policy::new("http://h/*", NOW + 60));
    assert_eq!(judge(&url), Ok(()));
    let (before, rest) = url.split_once("Signature=").unwrap();
    let (signature, after) = rest.split_once('&').unwrap();
    for (forged, denied) in [
        ("", Denied::BadSignature),
        ("AAAA", Denied::BadSignature),
        ("A", Denied::MalformedSignature),
        ("%00", Denied::MalformedSignature),
        (&signature[4..], Denied::BadSignature),
        (&format!("{signature}+"), Denied::MalformedSignature),
    ] {
        assert_eq!(judge(&format!("{before}Signature={forged}&{after}")), Err(denied), "{forged}");
    }
    // Tildes escaped, as one of the npm signers does.
    let escaped = signature.replace('~', "%7E").replace('_', "%5F");
    assert_eq!(judge(&format!("{before}Signature={escaped}&{after}")), Ok(()));

    let wider = sign_policy(&Policy::new("*", NOW + 60), "K1", &KEY).unwrap();
    let wider = wider.split('&').next().unwrap();
    let narrow = request(&url).query.unwrap().split('&').next().unwrap();
    assert_eq!(judge(&url.replace(narrow, wider)), Err(Denied::BadSignature));
    assert_eq!(judge(&url.replace(narrow, "Policy=!")), Err(Denied::MalformedPolicy(PolicyFault::Encoding)));
    assert_eq!(judge(&format!("{url}&{wider}")), Err(Denied::MalformedPolicy(PolicyFault::Repeated)));
}

#[test]
fn signed_but_unreadable_policies_are_malformed() {
    let url = custom("http://h/p", Policy::new("h/*", NOW + 60));
    assert_eq!(judge(&url), Err(Denied::MalformedPolicy(PolicyFault::Resource)));
}

#[test]
fn verified_policies_are_judged_again_without_the_key() {
    let policy = Policy::new("http://h/b1/*", NOW + 60).claim("session", json!("s-1"));
    let url = custom("http://h/b1/index.m3u8", policy);
    let request = request(&url);
    let credentials = Credentials::from_query(request.query.unwrap()).unwrap().unwrap();
    let verified = verify(&credentials, &KEYS, &request, client(), NOW).unwrap();
    assert_eq!(verified.policy.claim("session"), Some(&json!("s-1")));
    assert_eq!(verified.policy.expires(), NOW + 60);
    assert_eq!(verified.policy.allows(&request, client(), NOW + 59), Ok(()));
    assert_eq!(verified.policy.allows(&request, client(), NOW + 60), Err(Denied::Expired));
    let elsewhere = RequestUrl { path: "/b2/index.m3u8", ..request };
    assert_eq!(verified.policy.allows(&elsewhere, client(), NOW), Err(Denied::WrongResource));
    // What an edge puts on the URIs of a playlist opens them.
    assert_eq!(judge(&format!("http://h/b1/video.m3u8?{}", credentials.raw_query())), Ok(()));
}

#[test]
fn a_verified_canned_policy_covers_its_url_only() {
    let url = canned("http://h/p?a=1");
    let request = request(&url);
    let credentials = Credentials::from_query(request.query.unwrap()).unwrap().unwrap();
    let verified = verify(&credentials, &KEYS, &request, client(), NOW).unwrap();
    assert_eq!(verified.policy.allows(&request, client(), NOW), Ok(()));
    for other in [RequestUrl { path: "/p2", ..request }, RequestUrl { query: Some("a=2"), ..request }] {
        assert_eq!(verified.policy.allows(&other, client(), NOW), Err(Denied::WrongResource));
    }
}

#[test]
fn cookies_open_what_urls_would() {
    let url = request("http://h/b1/x");
    for (spec, first) in [
        (SignSpec::Canned { expires: NOW + 60 }, "CloudFront-Expires"),
        (SignSpec::Custom(Policy::new("http://h/b1/*", NOW + 60)), "CloudFront-Policy"),
    ] {
        let cookies = sign_cookies("http://h/b1/x", &spec, "K1", &KEY).unwrap();
        assert_eq!(cookies[0].0, first);
        let header: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let credentials = Credentials::from_cookies([header.join("; ").as_str()]).unwrap().unwrap();
        assert_eq!(credentials.source(), Source::Cookies);
        assert!(verify(&credentials, &KEYS, &url, client(), NOW).is_ok());
        let other = verify(&credentials, &KEYS, &RequestUrl { path: "/b2/x", ..url }, client(), NOW);
        assert_eq!(other.unwrap_err().code(), "AccessDenied");
    }
}

#[test]
fn what_cannot_be_signed() {
    let spec = SignSpec::Canned { expires: NOW };
    assert!(matches!(sign_url("h/p", &spec, "K1", &KEY), Err(SignError::Url(_))));
    assert!(matches!(sign_url(&canned("http://h/p"), &spec, "K1", &KEY), Err(SignError::Signed(_))));
    for id in ["", "K 1", "K&1", "é"] {
        assert!(matches!(sign_url("http://h/p", &spec, id, &KEY), Err(SignError::KeyId(_))), "{id}");
    }
    let long = Policy::new(format!("http://h/{}", "x".repeat(8192)), NOW);
    assert!(matches!(sign_policy(&long, "K1", &KEY), Err(SignError::PolicyTooLong(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_signed_verifies(path in "/[ -~é]{0,30}", query in prop::option::of("[ -\"$-~é]{0,30}"), now in 1_i64..4_000_000_000) {
        let path = path.replace(['#', '?'], "");
        prop_assume!(!request(&format!("http://h{path}")).path.split('/').any(|s| s == "." || s == ".."));
        let url = query.map_or_else(|| format!("http://h{path}"), |query| format!("http://h{path}?{query}"));
        for spec in [SignSpec::Canned { expires: now + 1 }, SignSpec::Custom(Policy::new("*", now + 1))] {
            let signed = sign_url(&url, &spec, "K1", &KEY).unwrap();
            let verdict = judge_with(&KEYS, &signed, client(), now);
            prop_assert!(verdict.is_ok() || verdict == Err(Denied::DotSegments), "{signed}: {verdict:?}");
        }
    }

    #[test]
    fn any_request_is_judged(path in ".*", query in ".*", cookie in ".*", tail in "(&(Policy|Expires|Signature|Key-Pair-Id)=[a-zA-Z0-9~_-]{0,12}){0,4}") {
        let query = format!("{query}{tail}&Key-Pair-Id=K1");
        let url = RequestUrl { scheme: "http", host: "h", path: &path, query: Some(&query) };
        for found in [Credentials::from_query(&query), Credentials::from_cookies([cookie.as_str()])] {
            if let Ok(Some(credentials)) = found {
                prop_assert!(verify(&credentials, &KEYS, &url, client(), NOW).is_err());
            }
        }
    }
}
