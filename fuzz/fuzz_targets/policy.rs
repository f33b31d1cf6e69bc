//! What a viewer may put into a signed URL: the query, and a policy in it.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use anabranch_signing::{Credentials, KeySet, ParsedPolicy, RequestUrl, strip_reserved, verify};
use libfuzzer_sys::fuzz_target;

const VIEWER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fuzz_target!(|input: &[u8]| {
    let (shape, input) = input.split_first().map_or((0, input), |(shape, rest)| (*shape, rest));
    let text = String::from_utf8_lossy(input);
    let url = RequestUrl { scheme: "http", host: "example.com", path: "/d/E1/b1/index.m3u8", query: Some(&text) };
    match shape % 3 {
        0 => {
            if let Ok(policy) = ParsedPolicy::parse(input) {
                let _ = policy.allows(&url, VIEWER, 1_700_000_000);
            }
        }
        1 => {
            if let Ok(Some(credentials)) = Credentials::from_query(&text) {
                // Nobody's key: nothing may pass.
                assert!(verify(&credentials, &KeySet::default(), &url, VIEWER, 0).is_err());
            }
            let own = strip_reserved(&text);
            assert_eq!(strip_reserved(&own), own, "what is stripped once is stripped");
        }
        _ => drop(Credentials::from_cookies([text.as_ref()])),
    }
});
