//! `AWS:SourceIp`: one IPv4 address or block.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Why a text is not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ipv4 address or block")]
pub struct Ipv4BlockError;

/// An IPv4 address block such as `192.0.2.0/24`. A bare address is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Block {
    network: u32,
    prefix_bits: u32,
}

impl Ipv4Block {
    /// Whether `address` is inside. An IPv4 address mapped into IPv6 counts as what it maps; any other IPv6 address is inside
    /// `0.0.0.0/0` only, which signers write to mean everybody.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => u32::from(address) & self.mask() == self.network,
            IpAddr::V6(_) => self.prefix_bits == 0,
        }
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix_bits).unwrap_or(0)
    }
}

impl FromStr for Ipv4Block {
    type Err = Ipv4BlockError;

    fn from_str(text: &str) -> Result<Self, Ipv4BlockError> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| Ipv4BlockError)?;
        if prefix.is_empty() || prefix.len() > 2 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Ipv4BlockError);
        }
        let prefix_bits = prefix.parse().ok().filter(|bits| *bits <= 32).ok_or(Ipv4BlockError)?;
        let mut block = Self { network: 0, prefix_bits };
        block.network = u32::from(address) & block.mask();
        Ok(block)
    }
}

impl fmt::Display for Ipv4Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(block: &str, address: &str) -> bool {
        block.parse::<Ipv4Block>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn blocks() {
        assert!(inside("192.0.2.7", "192.0.2.7"));
        assert!(!inside("192.0.2.7", "192.0.2.8"));
        assert!(inside("192.0.2.7/24", "192.0.2.255"));
        assert!(!inside("192.0.2.0/24", "192.0.3.0"));
        assert!(inside("0.0.0.0/0", "203.0.113.9") && inside("0.0.0.0/0", "2001:db8::1"));
        assert!(inside("192.0.2.7/32", "::ffff:192.0.2.7"));
        assert!(!inside("192.0.2.0/1", "2001:db8::1"));
        assert_eq!("10.1.2.3/8".parse::<Ipv4Block>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_block() {
        for text in
            ["", "1.2.3", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/+1", "1.2.3.4/1/1", "2001:db8::/32", " 1.2.3.4", "*"]
        {
            assert!(text.parse::<Ipv4Block>().is_err(), "{text:?}");
        }
    }
}
