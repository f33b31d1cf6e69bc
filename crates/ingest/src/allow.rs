//! Which addresses may push to an input (V23).

use std::collections::HashMap;
use std::net::IpAddr;

use anabranch_model::{InputId, Snapshot};

/// The allow-list of an input. Parsed from text that others have written, so it fails closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllowList {
    /// No entries: every address may push.
    All,
    /// Addresses in one of the blocks may push.
    Only(Vec<Block>),
    /// An entry cannot be read, so no address may push.
    Unreadable {
        /// The first such entry.
        entry: String,
    },
}

/// A CIDR block; one address is a block of all its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    network: IpAddr,
    prefix: u8,
}

impl AllowList {
    /// Reads entries such as `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/32`. Bits behind the prefix do not count; an IPv6
    /// address that maps an IPv4 one stands for that.
    pub(crate) fn parse(entries: &[String]) -> Self {
        if entries.is_empty() {
            return Self::All;
        }
        let mut blocks = Vec::with_capacity(entries.len());
        for entry in entries {
            match Block::parse(entry.trim()) {
                Some(block) => blocks.push(block),
                None => return Self::Unreadable { entry: entry.clone() },
            }
        }
        Self::Only(blocks)
    }

    /// Whether a peer at `address` may push.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Only(blocks) => blocks.iter().any(|block| block.contains(address)),
            Self::Unreadable { .. } => false,
        }
    }
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|p| *p <= bits)?,
            Some(_) => return None,
        };
        Some(match (address, mapped(address)) {
            // A shorter prefix says more than one family: it stays a block of IPv6, and admits no IPv4.
            (_, Some(v4)) if prefix >= 96 => Self { network: v4, prefix: prefix - 96 },
            (address, _) => Self { network: address, prefix },
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_start(network.to_bits().into(), address.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_start(network.to_bits(), address.to_bits(), 128, self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Allow-lists that cannot be read, so that each is logged once.
#[derive(Debug, Default)]
pub(crate) struct Unreadable(HashMap<InputId, String>);

impl Unreadable {
    /// Logs those that are new in `snapshot`.
    pub(crate) fn log(&mut self, snapshot: &Snapshot) {
        let mut found = HashMap::new();
        for (channel, input) in snapshot.channels.iter().flat_map(|c| c.inputs.iter().map(move |input| (c, input))) {
            if let AllowList::Unreadable { entry } = AllowList::parse(&input.allow) {
                if self.0.get(&input.id) != Some(&entry) {
                    tracing::error!(
                        channel.id = %channel.id, input.id = %input.id, ?entry,
                        "the allow-list has an entry that is no address or block: nobody may push until it is mended"
                    );
                }
                found.insert(input.id.clone(), entry);
            }
        }
        self.0 = found;
    }
}

fn mapped(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    }
}

fn same_start(one: u128, other: u128, bits: u32, prefix: u8) -> bool {
    let rest = bits - u32::from(prefix).min(bits);
    (one ^ other).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn lists_mean_what_they_say() {
        for (entries, inside, outside) in [
            (&["203.0.113.7"][..], &["203.0.113.7", "::ffff:203.0.113.7"][..], &["203.0.113.8", "::cb00:7107"][..]),
            (&["203.0.113.0/24"], &["203.0.113.0", "203.0.113.255"], &["203.0.114.0", "2001:db8::1"]),
            (&["203.0.113.9/24"], &["203.0.113.1"], &["203.0.112.9"]),
            (&[" 10.0.0.0/8 ", "2001:db8::/32"], &["10.9.8.7", "2001:db8:ffff::1"], &["11.0.0.1", "2001:db9::"]),
            (&["0.0.0.0/0"], &["1.2.3.4", "::ffff:1.2.3.4"], &["::1", "2001:db8::1"]),
            (&["::/0"], &["::1", "2001:db8::1"], &["1.2.3.4"]),
            (&["::ffff:10.0.0.0/104"], &["10.1.1.1", "::ffff:10.1.1.1"], &["11.1.1.1"]),
            (&["10.0.0.1/32", "10.0.0.3"], &["10.0.0.1", "10.0.0.3"], &["10.0.0.2"]),
            (&["fe80::1/128"], &["fe80::1"], &["fe80::2"]),
            (&[], &["1.2.3.4", "::1"], &[]),
        ] {
            let list = list(entries);
            for address in inside {
                assert!(list.admits(address.parse().unwrap()), "{entries:?} {address}");
            }
            for address in outside {
                assert!(!list.admits(address.parse().unwrap()), "{entries:?} {address}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_admits_nobody() {
        for entry in ["", "*", "any", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "010.0.0.1", "a/8"]
        {
            let list = list(&["127.0.0.1", entry]);
            assert_eq!(list, AllowList::Unreadable { entry: entry.to_owned() });
            assert!(!list.admits("127.0.0.1".parse().unwrap()), "{entry}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(entry in ".{0,64}", address in any::<u128>()) {
            let _ = list(&[&entry]).admits(IpAddr::V6(address.into()));
        }

        #[test]
        fn a_block_holds_its_own_addresses(bits in any::<u128>(), prefix in 0_u8..=128, noise in any::<u128>()) {
            let network = IpAddr::V6(bits.into());
            let behind = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let inside = IpAddr::V6((bits ^ (noise & behind)).into());
            prop_assume!(inside.to_canonical().is_ipv6() && network.to_canonical().is_ipv6());
            let block = format!("{network}/{prefix}");
            prop_assert!(list(&[&block]).admits(inside));
            if prefix > 0 {
                let outside = IpAddr::V6((bits ^ (1_u128 << 127)).into());
                prop_assert!(!list(&[&block]).admits(outside));
            }
        }
    }
}
