//! Names of nodes that were given none.

use anabranch_model::{NodeName, SpoolId};

/// The role, the host's name, and something that is kept in the data directory: two nodes of one machine differ.
pub(super) fn default_name(role: &str, spool: &SpoolId) -> NodeName {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name_of(role, host.trim(), spool)
}

fn name_of(role: &str, host: &str, spool: &SpoolId) -> NodeName {
    let host: String =
        host.chars().take(40).map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let suffix: String = spool.as_str().chars().skip(1).take(6).collect();
    let host = if host.is_empty() { "node".to_owned() } else { host };
    format!("{role}-{host}-{suffix}").parse().expect("letters, digits and hyphens, few enough")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_name_is_an_identifier_whatever_the_host_is_called() {
        let spool: SpoolId = "s0123456789abc".parse().unwrap();
        assert_eq!(name_of("edge", "Basel.example.com", &spool).as_str(), "edge-basel-example-com-012345");
        assert_eq!(name_of("edge", "", &spool).as_str(), "edge-node-012345");
        assert!(name_of("edge", &"é".repeat(500), &spool).as_str().len() <= 64);
    }
}
