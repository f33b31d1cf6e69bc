//! Requests signed for S3: AWS Signature Version 4 in the `Authorization` header, and the one spelling of paths and queries that it needs.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RANGE};
use http::{HeaderMap, Method};

use super::config::Credentials;
use super::time::compact;
use crate::buckets::hex::hex;

/// Time of the signature.
const DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// Hash of the body.
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What names a session of temporary credentials.
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What is signed, as it is sent.
pub(super) struct Signed<'a> {
    pub(super) method: &'a Method,
    /// As [`escape`] spells it.
    pub(super) path: &'a str,
    /// As [`query`] spells it.
    pub(super) query: &'a str,
    /// Lower-case hexadecimal.
    pub(super) body_sha256: &'a str,
}

/// Adds date, hash, token and signature. `headers` has `Host` already; that, the type, the range, the MD5 and all `x-amz-*` are signed.
///
/// `None` if a value cannot stand in a header.
pub(super) fn sign(
    credentials: &Credentials,
    region: &str,
    what: &Signed<'_>,
    headers: &mut HeaderMap,
    now: SystemTime,
) -> Option<()> {
    let time = compact(now.duration_since(UNIX_EPOCH).ok()?.as_secs());
    let date = time.get(..8)?;
    headers.insert(DATE, HeaderValue::from_str(&time).ok()?);
    headers.insert(CONTENT_SHA256, HeaderValue::from_str(what.body_sha256).ok()?);
    if let Some(token) = &credentials.session_token {
        let mut value = HeaderValue::from_str(token).ok()?;
        value.set_sensitive(true);
        headers.insert(TOKEN, value);
    }
    let mut names: Vec<&HeaderName> = headers.keys().filter(|name| is_signed(name)).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let mut canonical = format!("{}\n{}\n{}\n", what.method, what.path, what.query);
    for name in &names {
        let values = headers.get_all(*name).iter().map(|value| value.to_str().ok().map(collapsed));
        // Writing to a string does not fail, here and below.
        let _ = writeln!(canonical, "{name}:{}", values.collect::<Option<Vec<_>>>()?.join(","));
    }
    let signed = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(";");
    let _ = write!(canonical, "\n{signed}\n{}", what.body_sha256);
    let scope = format!("{date}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = hmac(format!("AWS4{}", credentials.secret_access_key).as_bytes(), date);
    for part in [region, "s3", "aws4_request"] {
        key = hmac(key.as_ref(), part);
    }
    let signature = hex(hmac(key.as_ref(), &text).as_ref());
    let text = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={signed},Signature={signature}",
        credentials.access_key_id
    );
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Some(())
}

fn is_signed(name: &HeaderName) -> bool {
    [HOST, RANGE, CONTENT_TYPE].contains(name) || name == "content-md5" || name.as_str().starts_with("x-amz-")
}

fn hmac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// Lower-case hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Without blanks around it, and with one blank for several.
fn collapsed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// A key as it stands in a path: everything escaped but letters, digits, `-._~` and `/`.
pub(super) fn escape(key: &str) -> String {
    escaped(key, b"-._~/")
}

/// The canonical query: sorted, each name with `=`.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> =
        pairs.iter().map(|(name, value)| (escaped(name, b"-._~"), escaped(value, b"-._~"))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn escaped(text: &str, plain: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Names and time of the examples in the Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header".
    fn example(
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
        lines: &[(&'static str, &'static str)],
    ) -> String {
        let credentials = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        assert!(!format!("{credentials:?}").contains("wJalr"));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("examplebucket.s3.amazonaws.com"));
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let what = Signed { method, path, query, body_sha256: &sha256(body) };
        sign(&credentials, "us-east-1", &what, &mut headers, UNIX_EPOCH + Duration::from_secs(1_369_353_600)).unwrap();
        let text = headers[AUTHORIZATION].to_str().unwrap();
        text.rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn the_published_examples_come_out() {
        assert_eq!(
            example(&Method::GET, "/test.txt", "", b"", &[("range", "bytes=0-9")]),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            example(&Method::GET, "/", &query(&[("prefix", "J"), ("max-keys", "2")]), b"", &[]),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn a_session_is_signed_as_well() {
        let credentials = Credentials {
            access_key_id: "ASIA".to_owned(),
            secret_access_key: "s".to_owned(),
            session_token: Some("t+/=".to_owned()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("a"));
        let what = Signed { method: &Method::GET, path: "/", query: "", body_sha256: &sha256(b"") };
        sign(&credentials, "r", &what, &mut headers, UNIX_EPOCH).unwrap();
        assert_eq!(headers[TOKEN], "t+/=");
        assert!(headers[AUTHORIZATION].to_str().unwrap().contains("x-amz-security-token"));
    }

    #[test]
    fn keys_have_one_spelling() {
        assert_eq!(escape("a b/ü?.mp4"), "a%20b/%C3%BC%3F.mp4");
        assert_eq!(query(&[("b", "/ "), ("a", "")]), "a=&b=%2F%20");
    }
}
