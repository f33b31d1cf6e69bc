//! Where a connection goes.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::HeaderValue;
use rustls::pki_types::ServerName;

/// What distinguishes connections: one to a way serves every request that goes there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Way {
    /// Name or address, lower case, an IPv6 address without its brackets. Certificates must be valid for it.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Way {
    /// The way to `host`, where an IPv6 address stands in brackets; `None` for what is no host.
    pub(super) fn new(host: &str, port: u16, tls: bool) -> Option<Self> {
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
            None => host.to_ascii_lowercase(),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let valid = !bare.is_empty() && bare.len() <= 255 && (host.starts_with('[') || bare.bytes().all(plain));
        let way = Self { host: bare, port, tls };
        (valid && port != 0 && (!tls || way.server_name().is_some())).then_some(way)
    }

    /// The way to an authority, `host` or `host:port`.
    pub(super) fn to_authority(authority: &str, tls: bool) -> Option<Self> {
        let end = authority.rfind(']').map_or(0, |close| close + 1);
        match authority[end..].rfind(':') {
            Some(colon) => Self::new(&authority[..end + colon], authority[end + colon + 1..].parse().ok()?, tls),
            None => Self::new(authority, if tls { 443 } else { 80 }, tls),
        }
    }

    /// The address, if no name has to be resolved.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The name that certificates must be valid for.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }

    /// `Host` of requests that go there: without the port that the scheme implies (RFC 9110 §7.2).
    pub(super) fn host_field(&self) -> Option<HeaderValue> {
        let implied = if self.tls { 443 } else { 80 };
        let full = self.authority();
        let text = if self.port == implied { full.rsplit_once(':')?.0 } else { full.as_str() };
        HeaderValue::from_str(text).ok()
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_spelled_as_the_rules_say() {
        for (host, port, tls, field) in [
            ("a.test", 80, false, "a.test"),
            ("A.test", 443, true, "a.test"),
            ("a.test", 443, false, "a.test:443"),
            ("[::1]", 8080, false, "[::1]:8080"),
            ("[0:0::1]", 443, true, "[::1]"),
            ("127.0.0.1", 80, true, "127.0.0.1:80"),
        ] {
            assert_eq!(Way::new(host, port, tls).unwrap().host_field().unwrap(), field, "{host}");
        }
        for host in ["", "a b", "a/b", "::1", "[::1", "[a]", "a:80", "a\r\nb", "é", "a@b"] {
            assert_eq!(Way::new(host, 80, false), None, "{host}");
        }
    }

    #[test]
    fn authorities_are_read() {
        assert_eq!(Way::to_authority("a.test", true), Way::new("a.test", 443, true));
        assert_eq!(Way::to_authority("a.test:81", false), Way::new("a.test", 81, false));
        assert_eq!(Way::to_authority("[::1]:81", false), Way::new("[::1]", 81, false));
        assert_eq!(Way::to_authority("[::1]", false), Way::new("[::1]", 80, false));
        for authority in ["", ":80", "a:", "a:x", "a:0", "a:99999", "::1"] {
            assert_eq!(Way::to_authority(authority, false), None, "{authority}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,40}", near in "[a\\[\\]:.0-9]{0,20}") {
            let _ = (Way::to_authority(&text, true), Way::to_authority(&near, false));
        }
    }
}
