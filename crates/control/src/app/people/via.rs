//! From where a request came.

use std::net::{IpAddr, Ipv6Addr};

/// From where a request came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    /// Of who sent it, as far as proxies that are trusted tell.
    pub(crate) address: IpAddr,
    /// What the browser calls itself.
    pub(crate) user_agent: String,
}

impl Via {
    /// What counts as one sender: of IPv6 a network of 64 bits, which is what one household has.
    pub(crate) fn sender(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into(),
            address @ IpAddr::V4(_) => address,
        }
    }
}
