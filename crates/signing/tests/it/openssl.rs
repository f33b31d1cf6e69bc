//! Keys and signatures of other implementations.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anabranch_signing::{Credentials, Denied, KeyError, KeySet, PrivateKey, PublicKey, SignSpec, sign_url, verify};

use crate::rules::request;

const NOW: i64 = 1_799_999_999;

struct Openssl(tempfile::TempDir);

impl Openssl {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(args).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn pem(&self, args: &[&str]) -> String {
        String::from_utf8(self.run(args)).unwrap()
    }

    /// Makes a private key in `key.pem`.
    fn generate(&self, kind: &[&str]) {
        self.run(&[&["genpkey", "-out", "key.pem"], kind].concat());
    }

    fn sign(&self, hash: &str, message: &str) -> Vec<u8> {
        fs::write(Path::new(&self.path("message")), message).unwrap();
        self.run(&["dgst", hash, "-sign", "key.pem", "message"])
    }

    fn public_key(&self) -> PublicKey {
        PublicKey::from_pem(&self.pem(&["pkey", "-in", "key.pem", "-pubout"])).unwrap()
    }
}

const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Standard base64 by hand, and the three other signs.
fn encode(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain(&[0, 0]).take(3).fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for i in 0..4 {
            let sign = char::from(SIGNS[word >> (18 - 6 * i) & 63]);
            out.push(if i > chunk.len() { '_' } else { sign });
        }
    }
    out
}

fn judge(keys: &KeySet, url: &str) -> Result<(), Denied> {
    let url = request(url);
    let credentials = Credentials::from_query(url.query.unwrap()).unwrap().unwrap();
    verify(&credentials, keys, &url, "192.0.2.7".parse().unwrap(), NOW).map(|_| ())
}

#[test]
fn signatures_of_openssl_verify() {
    for kind in [RSA, P256] {
        let openssl = Openssl::new();
        openssl.generate(kind);
        let keys: KeySet = [("K1", Arc::new(openssl.public_key()))].into_iter().collect();
        for (hash, parameter, wrong) in [
            ("-sha1", "", "&Hash-Algorithm=SHA256"),
            ("-sha1", "&Hash-Algorithm=SHA1", ""),
            ("-sha256", "&Hash-Algorithm=SHA256", ""),
        ] {
            let canned = r#"{"Statement":[{"Resource":"http://h/p?a=1","Condition":{"DateLessThan":{"AWS:EpochTime":1800000001}}}]}"#;
            let canned = format!("Expires=1800000001&Signature={}&Key-Pair-Id=K1", encode(&openssl.sign(hash, canned)));
            assert_eq!(judge(&keys, &format!("http://h/p?a=1&{canned}{parameter}")), Ok(()), "{kind:?} {hash}");
            assert_eq!(judge(&keys, &format!("http://h/p?a=2&{canned}{parameter}")), Err(Denied::BadSignature));
            if hash == "-sha256" || !wrong.is_empty() {
                assert_eq!(judge(&keys, &format!("http://h/p?a=1&{canned}{wrong}")), Err(Denied::BadSignature));
            }

            let policy = "{ \"Statement\": [ {\n  \"Resource\": \"http*://h/b/*\",\n  \"Condition\": { \"DateGreaterThan\": {\"AWS:EpochTime\": 1700000000}, \"DateLessThan\": {\"AWS:EpochTime\": 1800000001} } } ] }\n";
            let signature = encode(&openssl.sign(hash, policy));
            let custom =
                format!("Policy={}&Signature={signature}&Key-Pair-Id=K1{parameter}", encode(policy.as_bytes()));
            assert_eq!(judge(&keys, &format!("https://h/b/x?{custom}")), Ok(()), "{kind:?} {hash}");
            assert_eq!(judge(&keys, &format!("https://h/c/x?{custom}")), Err(Denied::WrongResource));
        }
    }
}

/// Made by botocore 1.43.11 with a key that nobody kept.
#[test]
fn urls_of_botocore_verify() {
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1IUr/uHd8rOdwtAPDqUO\nbTBC0V8wVX0Qa4nadsW6nGpruVa8fbPB1oNnZmC20qI998/qLH0ME3FzBRYBavNc\nwdDO4gBC6NFAlvmREO6ex3yv1IWcNMDRJ2fOYg0sy4T8qxj1UOwT+OU10XTR7Q94\nyygz8FClkCnDNw/K65ql0EI6BN9gJ9E+5+EOTGHnr89xhlmorbSrSQPjgPsXehZf\nrO0uZJFHnnbuMvBFa3TW9FO734QmNOHKJs4fP474A9EG6aoXM1gTdFtJDgdVrO/Y\n0d4vtBDyiWuQZPqS25VpPPcuXCQM+Kr5vVdbvyPNECGgV84WQ+phW6pVFLREmLit\ngQIDAQAB\n-----END PUBLIC KEY-----";
    const CANNED: &str = "https://d111111abcdef8.cloudfront.net/b1/index.m3u8?size=large&Expires=1800000000&Signature=lEcBRJ9fcjjWlOb2XrRufhKpMVZsiAladLeof7cxaoM1yVtjnKyG6rDlrkjeY3r7Z0zN7J6LH5rNM6Y6xDLEyd7sdINMb5UsPo-B0RAQscqxiKN25fMP8jj3o-8I4sKnZc32aX1f~JT3gm6LdPR2DTLRkzR0QUp8pxahHIktsuy6ZZ0dw8pBWITN1YmvmXDSNNehANbQbexfUCo0LJCQXrXAEw-WjPxoOS051D6XYn3NWn5bs1fjH3H3zIlMZjXURXgqrMilwlOK0JjxPN4al1n47eQhstbF9woNbHc8q2K5uwqRp~SZgV12WgpFyYXWIsskOQtqji0KBGpracpxHQ__&Key-Pair-Id=K2BOTOCORE";
    const CUSTOM: &str = "https://d111111abcdef8.cloudfront.net/b1/video.m3u8?Policy=eyJTdGF0ZW1lbnQiOlt7IlJlc291cmNlIjoiaHR0cCo6Ly8qL2IxLyoiLCJDb25kaXRpb24iOnsiRGF0ZUxlc3NUaGFuIjp7IkFXUzpFcG9jaFRpbWUiOjE4MDAwMDAwMDB9LCJJcEFkZHJlc3MiOnsiQVdTOlNvdXJjZUlwIjoiMTkyLjAuMi43LzMyIn0sIkRhdGVHcmVhdGVyVGhhbiI6eyJBV1M6RXBvY2hUaW1lIjoxNzY3MjI1NjAwfX19XX0_&Signature=sAqbjIQ5m8uW2BwV9rOrsP5H5R-wznr9PJLkDB0~3Iuxf--83ymht2QJDPe5AOHRLVtrB2W9ihKd-XAC~lgGsQ1Dj9yBao5SGecK9Tiw8MksXqivT3NUqq~PI7PQ6YHQzu28TMgMlAzN3kIfsEC0QeD7J229mXCsx6oKR~7Qc0WGEtnawG9c4FJynoIGk3YXaUV6E-6QNK8okpa9mEe3naNPRINVqal8aWDXcdPF5I5azRanBKbjpztNGxLRnhR1qCOS-vc8I3ffMCKBc3xEORP1ao~v0wqvBvybVB0Ks5xclMQMgWIa1O3Nse4Ir5VEUDw8GoMmpOEJdAklm0XxGQ__&Key-Pair-Id=K2BOTOCORE";
    let keys: KeySet = [("K2BOTOCORE", Arc::new(PublicKey::from_pem(KEY).unwrap()))].into_iter().collect();
    for url in [CANNED, CUSTOM] {
        assert_eq!(judge(&keys, url), Ok(()), "{url}");
        assert_eq!(judge(&keys, &url.replace("/b1/", "/b2/")).unwrap_err().code(), "AccessDenied");
    }
}

#[test]
fn openssl_verifies_our_signatures() {
    let openssl = Openssl::new();
    let key = PrivateKey::generate().unwrap();
    fs::write(openssl.path("public.pem"), key.public_key_pem().unwrap()).unwrap();
    let url = sign_url("http://h/p", &SignSpec::Canned { expires: 5 }, "K1", &key).unwrap();
    let signature = url.split_once("Signature=").unwrap().1.split_once('&').unwrap().0;
    let signature: String = signature
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '=',
            '~' => '/',
            other => other,
        })
        .collect();
    fs::write(openssl.path("signature.b64"), signature + "\n").unwrap();
    openssl.run(&["base64", "-d", "-A", "-in", "signature.b64", "-out", "signature"]);
    fs::write(
        openssl.path("message"),
        r#"{"Statement":[{"Resource":"http://h/p","Condition":{"DateLessThan":{"AWS:EpochTime":5}}}]}"#,
    )
    .unwrap();
    openssl.run(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"]);
}

#[test]
fn private_keys_of_either_form_are_read() {
    let openssl = Openssl::new();
    openssl.generate(RSA);
    let public = openssl.pem(&["pkey", "-in", "key.pem", "-pubout"]);
    for args in [vec!["pkey", "-in", "key.pem"], vec!["rsa", "-in", "key.pem", "-traditional"]] {
        let key = PrivateKey::from_pem(&openssl.pem(&args)).unwrap();
        assert_eq!(key.public_key_pem().unwrap(), public);
        fs::write(openssl.path("ours.pem"), key.to_pem().unwrap()).unwrap();
        assert_eq!(openssl.pem(&["pkey", "-in", "ours.pem", "-pubout"]), public);
    }
    let pkcs1 = openssl.pem(&["rsa", "-in", "key.pem", "-RSAPublicKey_out"]);
    assert!(pkcs1.starts_with("-----BEGIN RSA PUBLIC KEY-----"));
    assert_eq!(PublicKey::from_pem(&pkcs1).unwrap().to_pem().unwrap(), public);

    let encrypted = openssl.pem(&["pkey", "-in", "key.pem", "-aes128", "-passout", "pass:secret"]);
    assert_eq!(PrivateKey::from_pem(&encrypted).unwrap_err(), KeyError::Label);
}

#[test]
fn other_kinds_of_keys_are_refused() {
    for kind in [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "ED25519"],
    ] {
        let openssl = Openssl::new();
        openssl.generate(kind);
        let public = openssl.pem(&["pkey", "-in", "key.pem", "-pubout"]);
        assert_eq!(PublicKey::from_pem(&public).unwrap_err(), KeyError::Kind, "{kind:?}");
        assert_eq!(
            PrivateKey::from_pem(&openssl.pem(&["pkey", "-in", "key.pem"])).unwrap_err(),
            KeyError::Kind,
            "{kind:?}"
        );
    }
}
