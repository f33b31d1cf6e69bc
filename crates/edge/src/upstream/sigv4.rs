//! Requests signed for S3-compatible storage: AWS Signature Version 4 in the `Authorization` header.

use std::fmt::{self, Write as _};

use aws_lc_rs::{digest, hmac};
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, RANGE};
use http::{HeaderMap, Method};

/// SHA-256 of no bytes: requests that read have no body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Time of the signature.
const DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// Hash of the body.
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Signer {
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Signer");
        shown.field("region", &self.region).field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Adds date, hash and signature to a request without body. `path` is the path as it is sent, in the form that [`key_path`] gives;
    /// `query` is the canonical query. Signs `Host`, `Range` and all `x-amz-*`.
    ///
    /// `None` if a value cannot stand in a header.
    pub(super) fn sign(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &mut HeaderMap,
        now_ms: i64,
    ) -> Option<()> {
        let time = timestamp(now_ms.div_euclid(1000));
        let date = time.get(..8)?;
        headers.insert(DATE, HeaderValue::from_str(&time).ok()?);
        headers.insert(CONTENT_SHA256, HeaderValue::from_static(EMPTY_SHA256));
        let mut names: Vec<&HeaderName> = headers.keys().filter(|name| is_signed(name)).collect();
        names.sort_unstable_by_key(|name| name.as_str());
        let mut canonical = format!("{method}\n{path}\n{query}\n");
        for name in &names {
            let values = headers.get_all(*name).iter().map(|value| value.to_str().ok().map(collapsed));
            let _ = writeln!(canonical, "{name}:{}", values.collect::<Option<Vec<_>>>()?.join(","));
        }
        let signed = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(";");
        let _ = write!(canonical, "\n{signed}\n{EMPTY_SHA256}");
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let signature = self.signature(date, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}"));
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={signed},Signature={signature}",
            self.access_key_id
        );
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Some(())
    }

    fn signature(&self, date: &str, text: &str) -> String {
        let mut key = hmac(format!("AWS4{}", self.secret_access_key).as_bytes(), date);
        for part in [self.region.as_str(), "s3", "aws4_request"] {
            key = hmac(key.as_ref(), part);
        }
        hex(hmac(key.as_ref(), text).as_ref())
    }
}

/// Whether a field is part of what is signed.
fn is_signed(name: &HeaderName) -> bool {
    *name == HOST || *name == RANGE || name.as_str().starts_with("x-amz-")
}

fn hmac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Without blanks around it, and with one blank for several.
fn collapsed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Seconds since the epoch as `YYYYMMDDTHHMMSSZ`.
fn timestamp(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar from days, with years that begin in March so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A URL path in the one spelling that S3 signs: everything escaped but letters, digits, `-._~` and `/`.
///
/// `None` for a path that spells a key in a way that another path pattern would match than the key itself (an escaped letter or slash),
/// that a server could take out of its bucket (`.` and `..`), or that names no key at all, which would list the bucket.
pub(super) fn key_path(path: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    let mut spelled = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' && plain(byte) {
            spelled.push(char::from(byte));
            continue;
        }
        let byte = if byte == b'%' {
            let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
            let byte = u8::try_from(digit()? * 16 + digit()?).ok()?;
            if plain(byte) || byte == 0 {
                return None;
            }
            byte
        } else {
            byte
        };
        let _ = write!(spelled, "%{byte:02X}");
    }
    let names_a_key = spelled.starts_with('/') && spelled.bytes().any(|byte| byte != b'/');
    (names_a_key && spelled.split('/').all(|part| part != "." && part != "..")).then_some(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and time of the examples in the Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header".
    fn example(query: &str, path: &str, lines: &[(HeaderName, &'static str)]) -> String {
        let signer = Signer {
            region: "us-east-1".to_owned(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        assert!(!format!("{signer:?}").contains("wJalr"));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("examplebucket.s3.amazonaws.com"));
        headers.insert("accept", HeaderValue::from_static("not signed"));
        for (name, value) in lines {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
        signer.sign(&Method::GET, path, query, &mut headers, 1_369_353_600_000).unwrap();
        headers[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_published_examples_come_out() {
        assert_eq!(
            example("", "/test.txt", &[(RANGE, "bytes=0-9")]),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let lifecycle = example("lifecycle=", "/", &[]);
        assert!(
            lifecycle.ends_with("=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            "{lifecycle}"
        );
        let list = example("max-keys=2&prefix=J", "/", &[]);
        assert!(list.ends_with("=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), "{list}");
    }

    #[test]
    fn times_are_civil() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_700_000_000, "20231114T221320Z"),
            (-1, "19691231T235959Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }

    #[test]
    fn keys_have_one_spelling() {
        for (path, spelled) in [
            ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/a+b", "/a%2Bb"),
            ("/%c3%a9", "/%C3%A9"),
            ("/(1)%28", "/%281%29%28"),
            ("/a//b/", "/a//b/"),
            ("/...", "/..."),
        ] {
            assert_eq!(key_path(path).as_deref(), Some(spelled), "{path}");
        }
        for path in
            ["", "/", "//", "a", "/..", "/a/../b", "/./a", "/%2e%2e/a", "/a%2fb", "/%61", "/%", "/%2", "/%zz", "/%00"]
        {
            assert_eq!(key_path(path), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_spelling_is_final(path in "/[a-z%0-9A-F+()é/.]{0,30}") {
            if let Some(spelled) = key_path(&path) {
                proptest::prop_assert_eq!(key_path(&spelled), Some(spelled.clone()));
                proptest::prop_assert!(spelled.is_ascii());
            }
        }
    }
}
