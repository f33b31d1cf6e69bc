//! Addresses of listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Deserializer};

/// Addresses, as one text with commas between them or as a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses(pub(crate) Vec<SocketAddr>);

impl Addresses {
    /// The one that others are told; [`Config::check`](super::Config::check) makes sure that there is one where it is needed.
    pub(crate) fn first(&self) -> SocketAddr {
        self.0.first().copied().unwrap_or_else(|| local(0))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "an address such as \"0.0.0.0:8888\", or a list of them")]
        enum Raw {
            Text(String),
            List(Vec<String>),
        }
        let texts = match Raw::deserialize(deserializer)? {
            Raw::Text(text) => {
                text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
            }
            Raw::List(list) => list,
        };
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| serde::de::Error::custom(format!("not an address such as \"0.0.0.0:8888\": {text:?}")))
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// An address of this machine alone.
pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// All addresses of this machine.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The address by which this machine reaches a listener.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}
