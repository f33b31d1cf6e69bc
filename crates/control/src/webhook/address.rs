//! Which addresses a webhook may reach. An operator's webhook makes this server send requests, so that what only this machine
//! can reach must not become reachable by it: metadata services of clouds never, private networks unless they are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// Longest URL, in bytes.
const URL_MAX_BYTES: usize = 2048;

/// Whether webhooks may reach loopback and private networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivateAddresses {
    /// They may: receivers often stand beside the control plane.
    #[default]
    Allowed,
    /// They may not: operators are not trusted with what this machine can reach.
    Refused,
}

/// Addresses where clouds tell machines their secrets, outside of the link-local blocks.
const METADATA: [IpAddr; 3] = [
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // EC2.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl PrivateAddresses {
    /// Whether a webhook may connect there.
    pub(crate) fn admits(self, ip: IpAddr) -> bool {
        let ip = embedded(ip);
        if METADATA.contains(&ip) {
            return false;
        }
        let (never, private) = match ip {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                let never = ip.is_unspecified() || ip.is_link_local() || ip.is_multicast() || a == 0 || a >= 240;
                // RFC 6598: carriers' networks.
                (never, ip.is_loopback() || ip.is_private() || (a == 100 && b & 0xc0 == 64))
            }
            IpAddr::V6(ip) => {
                let never = ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast();
                (never, ip.is_loopback() || ip.is_unique_local())
            }
        };
        !never && (self == Self::Allowed || !private)
    }

    /// A client for addresses that operators name: what it connects to is admitted, neither a redirect nor a proxy leads past that.
    /// `idle_max` connections to one host are kept.
    pub(crate) fn client(
        self,
        timeout: Duration,
        connect_timeout: Duration,
        idle_max: usize,
    ) -> reqwest::Result<Client> {
        Client::builder()
            .timeout(timeout)
            .connect_timeout(connect_timeout)
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(idle_max)
            .user_agent(concat!("anabranch/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver(self))
            .build()
    }

    /// The URL of a webhook, or why it may not be one. Names are judged when they are resolved, at each connection.
    pub(super) fn check(self, text: &str) -> Result<Url, String> {
        if text.len() > URL_MAX_BYTES {
            return Err(format!("a webhook's URL has at most {URL_MAX_BYTES} bytes"));
        }
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("a webhook's URL begins with http:// or https://: {:?}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a webhook's URL has no user name and no password: deliveries are signed instead".to_owned());
        }
        if url.fragment().is_some() {
            return Err("a webhook's URL has no fragment".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if !self.admits(ip) => Err(format!("webhooks may not reach this address: {ip}")),
            _ => Ok(url),
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291 §2.5.5.2) or translated (RFC 6052 §2.1).
fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => ip,
    }
}

/// Resolves names to addresses that webhooks may reach, and to no others.
#[derive(Clone, Copy, Debug)]
struct Resolver(PrivateAddresses);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted: Vec<SocketAddr> = found.iter().copied().filter(|at| policy.admits(at.ip())).collect();
            if admitted.is_empty() && !found.is_empty() {
                return Err(format!("webhooks may not reach the addresses of {}", name.as_str()).into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        use PrivateAddresses::{Allowed, Refused};
        for (text, allowed, refused) in [
            ("198.51.100.7", true, true),
            ("2001:db8::1", true, true),
            ("127.0.0.1", true, false),
            ("10.1.2.3", true, false),
            ("192.168.0.1", true, false),
            ("100.64.0.1", true, false),
            ("::1", true, false),
            ("fd12::1", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("fe80::1", false, false),
            ("fd00:ec2::254", false, false),
            ("100.100.100.200", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
        ] {
            let ip = text.parse().unwrap();
            assert_eq!((Allowed.admits(ip), Refused.admits(ip)), (allowed, refused), "{text}");
        }
    }

    #[test]
    fn urls() {
        let allowed = PrivateAddresses::Allowed;
        for good in ["http://127.0.0.1:1/x", "https://hooks.example.com/a?b=c", "http://[::1]:8/"] {
            assert!(allowed.check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "hooks.example.com",
            "ftp://a/",
            "file:///etc/passwd",
            "http://user@h/",
            "http://h/#x",
            "http://169.254.169.254/latest",
            // Other spellings of the same.
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[::ffff:169.254.169.254]/",
            &format!("http://h/{}", "x".repeat(2048)),
        ] {
            assert!(allowed.check(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_what_they_resolve_to() {
        let resolve = |policy| Resolver(policy).resolve("localhost".parse().unwrap());
        assert!(resolve(PrivateAddresses::Allowed).await.unwrap().count() > 0);
        assert!(resolve(PrivateAddresses::Refused).await.is_err());
    }
}
