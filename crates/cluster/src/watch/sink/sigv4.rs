//! AWS Signature Version 4 of a form that is posted.

use std::fmt::{self, Write as _};

use anabranch_hls::time;
use aws_lc_rs::{digest, hmac};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};

use super::SinkError;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// From `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if there is one, `AWS_SESSION_TOKEN`, as `variable` gives them.
    ///
    /// # Errors
    /// [`SinkError::Credentials`] if one of the first two is missing.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SinkError> {
        let of = |name| variable(name).filter(|value| !value.is_empty());
        Ok(Self {
            access_key_id: of("AWS_ACCESS_KEY_ID").ok_or(SinkError::Credentials)?,
            secret_access_key: of("AWS_SECRET_ACCESS_KEY").ok_or(SinkError::Credentials)?,
            session_token: of("AWS_SESSION_TOKEN"),
        })
    }

    /// Adds date, token and signature to the headers of `POST path` with `body`, and signs them with the host and the type that are
    /// there. `path` is as it is sent.
    ///
    /// `None` if a value cannot stand in a header.
    pub(super) fn sign(
        &self,
        scope: (&str, &str),
        path: &str,
        body: &[u8],
        headers: &mut HeaderMap,
        now_ms: i64,
    ) -> Option<()> {
        let (region, service) = scope;
        let stamp = timestamp(now_ms);
        let date = stamp.get(..8)?;
        headers.insert(DATE, HeaderValue::from_str(&stamp).ok()?);
        if let Some(token) = &self.session_token {
            let mut token = HeaderValue::from_str(token).ok()?;
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
        // In the order of their names, as the rules want it.
        let names = [CONTENT_TYPE, HOST, DATE, TOKEN];
        let mut canonical = format!("POST\n{path}\n\n");
        let mut signed = String::new();
        for name in names {
            let Some(value) = headers.get(&name) else { continue };
            let _ = writeln!(canonical, "{name}:{}", value.to_str().ok()?.trim());
            let joint = if signed.is_empty() { "" } else { ";" };
            let _ = write!(signed, "{joint}{name}");
        }
        let _ = write!(canonical, "\n{signed}\n{}", sha256(body));
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let mut key = hmac(format!("AWS4{}", self.secret_access_key).as_bytes(), date);
        for part in [region, service, "aws4_request"] {
            key = hmac(key.as_ref(), part);
        }
        let signature = hex(hmac(key.as_ref(), &text).as_ref());
        let id = &self.access_key_id;
        let text = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Some(())
    }
}

/// As `YYYYMMDDTHHMMSSZ`.
fn timestamp(now_ms: i64) -> String {
    let mut stamp: String = time::render(now_ms).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    if let Some(fraction) = stamp.find('.') {
        stamp.truncate(fraction);
        stamp.push('Z');
    }
    stamp
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_comes_out() {
        // "post-x-www-form-urlencoded" of AWS' own suite for Signature Version 4.
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        assert!(!format!("{credentials:?}").contains("wJalr"));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("example.amazonaws.com"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let scope = ("us-east-1", "service");
        credentials.sign(scope, "/", b"Param1=value1", &mut headers, 1_440_938_160_000).unwrap();
        assert_eq!(
            headers[AUTHORIZATION].to_str().unwrap(),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn credentials_come_from_the_usual_names() {
        let of =
            |missing: &'static str| Credentials::read(|name| (name != missing).then(|| format!("value of {name}")));
        assert_eq!(of("AWS_ACCESS_KEY_ID").unwrap_err(), SinkError::Credentials);
        assert_eq!(of("AWS_SECRET_ACCESS_KEY").unwrap_err(), SinkError::Credentials);
        assert_eq!(of("AWS_SESSION_TOKEN").unwrap().session_token, None);
        let all = of("").unwrap();
        let mut headers = HeaderMap::new();
        all.sign(("r", "sns"), "/", b"", &mut headers, 0).unwrap();
        assert_eq!(headers[TOKEN], "value of AWS_SESSION_TOKEN");
        assert!(headers[AUTHORIZATION].to_str().unwrap().contains("SignedHeaders=x-amz-date;x-amz-security-token"));
    }
}
