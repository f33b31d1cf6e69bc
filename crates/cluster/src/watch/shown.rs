//! URLs as they are shown: what opens a stream does not go into logs, notifications and reports.

use reqwest::Url;

/// What stands for a secret.
const HIDDEN: &str = "REDACTED";

/// Starts of names of query parameters whose values are secret or identify a viewer.
const SECRETS: &[&str] = &[
    "policy",
    "signature",
    "key-pair-id",
    "x-amz-",
    "token",
    "access_token",
    "hdn",
    "sig",
    "auth",
    "key",
    "secret",
    "password",
];

/// A URL without the values of parameters that sign it, and without a password. A text that is no URL is left as it is, without its query.
#[must_use]
pub fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.split('?').next().unwrap_or_default().to_owned();
    };
    let has_password = parsed.password().is_some();
    let hides = parsed.query_pairs().any(|(name, _)| is_secret(&name));
    if !hides && !has_password {
        return url.to_owned();
    }
    if has_password {
        // A URL with a host can have one, and this one has.
        let _ = parsed.set_password(Some(HIDDEN));
    }
    if hides {
        let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
        let mut query = parsed.query_pairs_mut();
        query.clear();
        for (name, value) in &pairs {
            query.append_pair(name, if is_secret(name) { HIDDEN } else { value });
        }
    }
    parsed.into()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.starts_with(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signs_is_not_shown() {
        for (url, text) in [
            ("https://a/b.m3u8", "https://a/b.m3u8"),
            ("https://a/b.m3u8?x=%41&y", "https://a/b.m3u8?x=%41&y"),
            (
                "https://a/b?x=1&Policy=abc&Signature-PREFIX=s&Key-Pair-Id=K",
                "https://a/b?x=1&Policy=REDACTED&Signature-PREFIX=REDACTED&Key-Pair-Id=REDACTED",
            ),
            ("https://u:p@a/b", "https://u:REDACTED@a/b"),
            ("not a url?token=x", "not a url"),
        ] {
            assert_eq!(shown(url), text);
        }
    }
}
