//! Making signed URLs and cookies. All of them use SHA-256: see [`crate::Hash::Sha1`].

use crate::encoding::encode;
use crate::policy::canned_statement;
use crate::{KeyError, POLICY_MAX_BYTES, Policy, PrivateKey, RequestUrl, strip_reserved};

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not `http://` or `https://` with a host.
    #[error("not an absolute http url: {0:?}")]
    Url(String),
    /// The URL has parameters that belong to a signature.
    #[error("url has signature parameters already: {0:?}")]
    Signed(String),
    /// A key id is letters, digits, `-`, `_`, `.` or `~`.
    #[error("not a key id: {0:?}")]
    KeyId(String),
    /// The policy is longer than [`POLICY_MAX_BYTES`].
    #[error("policy is too long, in bytes: {0}")]
    PolicyTooLong(usize),
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What to sign.
#[derive(Clone, Debug, PartialEq)]
pub enum SignSpec {
    /// The one URL, until then.
    Canned {
        /// Unix seconds, exclusive.
        expires: i64,
    },
    /// What the policy says.
    Custom(Policy),
}

/// `url` with the parameters of a signature after its own. Bytes that may not stand in a URL are percent-encoded first, as players
/// would do after; a fragment stays at the end.
///
/// # Errors
/// [`SignError`].
pub fn sign_url(url: &str, spec: &SignSpec, key_id: &str, key: &PrivateKey) -> Result<String, SignError> {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let resource = checked_resource(url)?;
    let parameters = parameters(&resource, spec, key_id, key)?;
    let mut out = resource;
    let mut joint = if out.contains('?') { '&' } else { '?' };
    for (name, value) in parameters {
        out.push(joint);
        out.push_str(name);
        out.push('=');
        out.push_str(&value);
        joint = '&';
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    Ok(out)
}

/// Names and values of signed cookies. `url` matters to a canned policy only: the cookies then open just that.
///
/// # Errors
/// [`SignError`].
pub fn sign_cookies(
    url: &str,
    spec: &SignSpec,
    key_id: &str,
    key: &PrivateKey,
) -> Result<Vec<(String, String)>, SignError> {
    let resource = match spec {
        SignSpec::Canned { .. } => checked_resource(url)?,
        SignSpec::Custom(_) => String::new(),
    };
    let parameters = parameters(&resource, spec, key_id, key)?;
    Ok(parameters.into_iter().map(|(name, value)| (format!("CloudFront-{name}"), value)).collect())
}

/// The parameters of a custom policy, joined by `&`: one signature for every URL that the policy covers.
///
/// # Errors
/// [`SignError`].
pub fn sign_policy(policy: &Policy, key_id: &str, key: &PrivateKey) -> Result<String, SignError> {
    let parameters = custom(policy, key_id, key)?;
    let joined: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(joined.join("&"))
}

type Parameters = [(&'static str, String); 4];

fn parameters(resource: &str, spec: &SignSpec, key_id: &str, key: &PrivateKey) -> Result<Parameters, SignError> {
    match spec {
        SignSpec::Canned { expires } => {
            let statement = canned_statement(resource, *expires);
            finish(("Expires", expires.to_string()), &statement, key_id, key)
        }
        SignSpec::Custom(policy) => custom(policy, key_id, key),
    }
}

fn custom(policy: &Policy, key_id: &str, key: &PrivateKey) -> Result<Parameters, SignError> {
    let statement = policy.render();
    if statement.len() > POLICY_MAX_BYTES {
        return Err(SignError::PolicyTooLong(statement.len()));
    }
    finish(("Policy", encode(statement.as_bytes())), &statement, key_id, key)
}

fn finish(
    grant: (&'static str, String),
    statement: &str,
    key_id: &str,
    key: &PrivateKey,
) -> Result<Parameters, SignError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if key_id.is_empty() || !key_id.bytes().all(plain) {
        return Err(SignError::KeyId(key_id.to_owned()));
    }
    let signature = encode(&key.sign_sha256(statement.as_bytes())?);
    let hash = crate::Hash::Sha256.as_str().to_owned();
    Ok([grant, ("Signature", signature), ("Key-Pair-Id", key_id.to_owned()), ("Hash-Algorithm", hash)])
}

/// The URL as a request for it will be rebuilt.
fn checked_resource(url: &str) -> Result<String, SignError> {
    let bad = || SignError::Url(url.chars().take(200).collect());
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let (before_query, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (host, path) = before_query.split_at(before_query.find('/').unwrap_or(before_query.len()));
    if !matches!(scheme, "http" | "https") || host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad());
    }
    let query = query.map(escape);
    let own = query.as_deref().unwrap_or_default();
    if strip_reserved(own) != own {
        return Err(SignError::Signed(url.chars().take(200).collect()));
    }
    let path = if path.is_empty() { "/".to_owned() } else { escape(path) };
    Ok(RequestUrl { scheme, host, path: &path, query: Some(own) }.resource())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_those_that_players_ask() {
        for (url, expected) in [
            ("http://h", "http://h/"),
            ("http://h?", "http://h/"),
            ("http://h/p?", "http://h/p"),
            ("https://h:8443/a b/é?q=\"", "https://h:8443/a%20b/%C3%A9?q=%22"),
            ("http://h/p?a=1&b=%20", "http://h/p?a=1&b=%20"),
            ("http://h/p?u=http://x/?y", "http://h/p?u=http://x/?y"),
        ] {
            assert_eq!(checked_resource(url).unwrap(), expected);
        }
    }

    #[test]
    fn urls_that_cannot_be_signed() {
        for url in ["", "h/p", "/p", "ftp://h/p", "http:///p", "http://h h/p"] {
            assert!(matches!(checked_resource(url), Err(SignError::Url(_))), "{url}");
        }
        for url in ["http://h/p?Expires=5", "http://h/p?a&Hash-Algorithm=SHA256", "http://h/p?Policy"] {
            assert!(matches!(checked_resource(url), Err(SignError::Signed(_))), "{url}");
        }
    }
}
