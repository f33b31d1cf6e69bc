//! Tokens that are not to be believed, and the two kinds that are.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;

const EXPECTED: Expected<'static> =
    Expected { issuer: "https://id.example.com", client_id: "desk", nonce: "n-1", now_seconds: NOW };

struct Signer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

impl Signer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    fn keys(&self) -> Vec<Jwk> {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = self.rsa.public_key();
        let (n, e) = (rsa.modulus(), rsa.exponent());
        let point = self.ec.public_key().as_ref();
        [
            json!({ "kty": "RSA", "kid": "r1", "use": "sig", "n": part(n.big_endian_without_leading_zero()),
                    "e": part(e.big_endian_without_leading_zero()) }),
            json!({ "kty": "EC", "kid": "e1", "crv": "P-256", "alg": "ES256", "x": part(&point[1..33]), "y": part(&point[33..]) }),
            // One that signs nothing, and secrets that no provider would publish.
            json!({ "kty": "RSA", "kid": "enc", "use": "enc", "n": part(n.big_endian_without_leading_zero()),
                    "e": part(e.big_endian_without_leading_zero()) }),
            json!({ "kty": "oct", "kid": "oct", "k": part(b"0123456789abcdef0123456789abcdef") }),
        ]
        .into_iter()
        .map(|key| serde_json::from_value(key).unwrap())
        .collect()
    }

    fn rs256(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn es256(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn claims() -> Value {
    json!({ "iss": EXPECTED.issuer, "aud": "desk", "sub": "alice", "nonce": "n-1", "iat": NOW - 5, "exp": NOW + 300 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn both_algorithms_are_believed() {
    let signer = Signer::new();
    let keys = signer.keys();
    let rs = signer.rs256(&json!({ "alg": "RS256", "kid": "r1", "typ": "JWT" }), &claims());
    assert_eq!(check(&rs, &keys, EXPECTED).unwrap()["sub"], "alice");
    let es = signer.es256(&json!({ "alg": "ES256", "kid": "e1" }), &claims());
    assert_eq!(check(&es, &keys, EXPECTED).unwrap()["sub"], "alice");
    // Without an id the only key that fits is meant.
    let unnamed = signer.rs256(&json!({ "alg": "RS256" }), &claims());
    assert!(check(&unnamed, &keys, EXPECTED).is_ok());
    let two = [keys, Signer::new().keys()].concat();
    assert_eq!(check(&unnamed, &two, EXPECTED), Err(TokenError::UnknownKey));
}

#[test]
fn forged_tokens_are_refused() {
    let signer = Signer::new();
    let keys = signer.keys();
    let body = claims();
    // No signature at all.
    for alg in ["none", "None", "NONE", ""] {
        let token = format!("{}.", message(&json!({ "alg": alg, "kid": "r1" }), &body));
        assert_eq!(check(&token, &keys, EXPECTED), Err(TokenError::Malformed), "{alg}");
    }
    // The public key as the secret of an HMAC, in several spellings of it.
    let rsa = signer.rsa.public_key();
    for secret in [rsa.as_ref().to_vec(), rsa.modulus().big_endian_without_leading_zero().to_vec(), Vec::new()] {
        for kid in ["r1", "oct"] {
            let message = message(&json!({ "alg": "HS256", "kid": kid }), &body);
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(check(&token, &keys, EXPECTED), Err(TokenError::Algorithm("HS256".into())));
        }
    }
    // Another algorithm of the same key.
    let text = message(&json!({ "alg": "RS512", "kid": "r1" }), &body);
    let mut signature = vec![0; signer.rsa.public_modulus_len()];
    signer.rsa.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(check(&token, &keys, EXPECTED), Err(TokenError::Algorithm("RS512".into())));
    // A stranger's key under our id, one that comes with the token, and ids of others.
    let stranger = Signer::new();
    let forged = stranger.rs256(&json!({ "alg": "RS256", "kid": "r1" }), &body);
    assert_eq!(check(&forged, &keys, EXPECTED), Err(TokenError::Signature));
    let brought = json!({ "alg": "RS256", "kid": "r1", "jwk": serde_json::to_value(&stranger.keys()[0]).unwrap(), "jku": "https://evil.test/" });
    assert_eq!(check(&stranger.rs256(&brought, &body), &keys, EXPECTED), Err(TokenError::Signature));
    for (alg, kid) in [("RS256", "e1"), ("RS256", "other"), ("RS256", "enc"), ("RS256", "oct"), ("ES256", "r1")] {
        let header = json!({ "alg": alg, "kid": kid });
        let token = if alg == "RS256" { signer.rs256(&header, &body) } else { signer.es256(&header, &body) };
        assert_eq!(check(&token, &keys, EXPECTED), Err(TokenError::UnknownKey), "{alg} {kid}");
    }
    let critical = signer.rs256(&json!({ "alg": "RS256", "kid": "r1", "crit": ["exp"] }), &body);
    assert_eq!(check(&critical, &keys, EXPECTED), Err(TokenError::Critical));
    // Other claims under a good signature.
    let good = signer.rs256(&json!({ "alg": "RS256", "kid": "r1" }), &body);
    let parts: Vec<&str> = good.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
    assert_eq!(check(&format!("{}.{other}.{}", parts[0], parts[2]), &keys, EXPECTED), Err(TokenError::Signature));
    let huge = signer.rs256(&json!({ "alg": "RS256", "kid": "r1" }), &with("x", json!("x".repeat(70_000))));
    assert_eq!(check(&huge, &keys, EXPECTED), Err(TokenError::Malformed));
}

#[test]
fn claims_are_of_this_log_in() {
    let signer = Signer::new();
    let keys = signer.keys();
    let header = json!({ "alg": "ES256", "kid": "e1" });
    let judged = |claims: &Value| check(&signer.es256(&header, claims), &keys, EXPECTED).map(|_| ());
    for (claims, wrong) in [
        (with("iss", json!("https://id.example.com/")), "iss"),
        (without("iss"), "iss"),
        (with("aud", json!("other")), "aud"),
        (with("aud", json!(["other"])), "aud"),
        (with("aud", json!({ "desk": true })), "aud"),
        (without("aud"), "aud"),
        (with("aud", json!(["desk", "other"])), "azp"),
        (with("azp", json!("other")), "azp"),
        (with("exp", json!(NOW - 60)), "exp"),
        (with("exp", json!("2999")), "exp"),
        (without("exp"), "exp"),
        (with("iat", json!(NOW + 61)), "iat"),
        (without("iat"), "iat"),
        (with("nbf", json!(NOW + 61)), "nbf"),
        (with("nonce", json!("n-2")), "nonce"),
        (with("nonce", json!("")), "nonce"),
        (without("nonce"), "nonce"),
        (with("sub", json!("")), "sub"),
        (with("sub", json!(7)), "sub"),
        (with("sub", json!("a\u{0}b")), "sub"),
        (without("sub"), "sub"),
    ] {
        assert_eq!(judged(&claims), Err(TokenError::Claim(wrong)), "{claims}");
    }
    let mut several = with("aud", json!(["desk", "other"]));
    several["azp"] = json!("desk");
    // Clocks may differ by a minute.
    for claims in [several, with("exp", json!(NOW - 59)), with("iat", json!(NOW + 60)), with("exp", json!(1.9e12))] {
        assert_eq!(judged(&claims), Ok(()), "{claims}");
    }
}

proptest! {
    #[test]
    fn any_text_is_judged(token in "[a-zA-Z0-9_.-]{0,300}", header in "[ -~]{0,60}") {
        let _ = check(&token, &[], EXPECTED);
        let token = format!("{}.{token}", URL_SAFE_NO_PAD.encode(header));
        prop_assert!(check(&token, &[], EXPECTED).is_err());
    }
}
