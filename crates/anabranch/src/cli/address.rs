//! Addresses of the API.

/// `/v1/` and the parts, escaped, since names may hold any character.
pub(super) fn path(parts: &[&str]) -> String {
    let mut path = String::from("/v1");
    for part in parts {
        path.push('/');
        path.push_str(&escape(part));
    }
    path
}

/// An address with those parameters that are given.
pub(super) fn address<const N: usize>(of: &str, parameters: [(&str, Option<String>); N]) -> String {
    let given = parameters.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(&value?))));
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { of.to_owned() } else { format!("{of}?{query}") }
}

/// Everything but unreserved characters percent-encoded (RFC 3986 §2.3).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_part_of_a_path() {
        assert_eq!(path(&["buckets", "a/b?c", "objects"]), "/v1/buckets/a%2Fb%3Fc/objects");
        assert_eq!(path(&["keys", "ü ~.-_"]), "/v1/keys/%C3%BC%20~.-_");
    }

    #[test]
    fn parameters_that_are_not_given_are_left_out() {
        let given = |subject: Option<&str>, state: Option<&str>| {
            address("/v1/operations", [("subject", subject.map(str::to_owned)), ("state", state.map(str::to_owned))])
        };
        assert_eq!(given(None, None), "/v1/operations");
        assert_eq!(given(None, Some("a&b")), "/v1/operations?state=a%26b");
        assert_eq!(given(Some("c"), Some("done")), "/v1/operations?subject=c&state=done");
    }
}
