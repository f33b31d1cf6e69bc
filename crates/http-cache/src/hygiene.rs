//! Fields that concern one connection only and go no further (RFC 9110 §7.6.1).

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

/// Fields of one hop, whether or not `Connection` names them; lower-case, sorted.
pub const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Options that `Connection` may have; a message that has more loses every field that is not known here.
const MAX_OPTIONS: usize = 64;

/// Whether a field, by its lower-case name, belongs to one hop.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.binary_search(&name).is_ok()
}

/// The fields that a message's `Connection` declares to belong to its hop.
///
/// A proxy takes them out before it adds its own, so that no peer can strike out what the proxy adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nominated {
    names: Vec<HeaderName>,
    overflow: bool,
}

impl Nominated {
    /// Reads all lines of `Connection`.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for line in headers.get_all(CONNECTION) {
            for option in line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                found.add(option);
            }
        }
        found
    }

    fn add(&mut self, option: &[u8]) {
        // Most messages say only this.
        if option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive") {
            return;
        }
        let Ok(name) = HeaderName::from_bytes(option) else { return };
        if self.names.len() == MAX_OPTIONS {
            self.overflow = true;
        } else {
            self.names.push(name);
        }
    }

    /// Whether the field goes on to the next hop and may be stored. `Content-Length`, `Host` and the caching fields stay
    /// whatever `Connection` says: without them the message would mean something else.
    #[must_use]
    pub fn is_end_to_end(&self, name: &HeaderName) -> bool {
        if is_hop_by_hop(name.as_str()) {
            return false;
        }
        if self.names.is_empty() || ESSENTIAL.contains(&name.as_str()) {
            return true;
        }
        !self.overflow && !self.names.contains(name)
    }
}

/// Fields that `Connection` cannot take away.
const ESSENTIAL: [&str; 8] =
    ["age", "authorization", "cache-control", "cdn-cache-control", "content-length", "content-range", "host", "vary"];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn hop_by_hop_fields_and_nominated_ones_go_no_further() {
        assert!(HOP_BY_HOP.is_sorted());
        let mut headers = HeaderMap::new();
        for line in ["a, B ,close", "Cache-Control", "not a name,,"] {
            headers.append(CONNECTION, HeaderValue::from_static(line));
        }
        let nominated = Nominated::read(&headers);
        for (name, passes) in [
            ("a", false),
            ("b", false),
            ("c", true),
            ("cache-control", true),
            ("connection", false),
            ("upgrade", false),
            ("transfer-encoding", false),
            ("trailer", false),
            ("trailers", true),
            ("etag", true),
        ] {
            assert_eq!(nominated.is_end_to_end(&HeaderName::from_static(name)), passes, "{name}");
        }
        assert_eq!(Nominated::read(&HeaderMap::new()), Nominated::default());
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(bytes: Vec<u8>, options in "([a-z]{1,3},){0,100}") {
            let mut headers = HeaderMap::new();
            for line in [bytes.as_slice(), options.as_bytes()] {
                if let Ok(value) = HeaderValue::from_bytes(line) {
                    headers.append(CONNECTION, value);
                }
            }
            let _ = Nominated::read(&headers).is_end_to_end(&HeaderName::from_static("abc"));
        }
    }
}
