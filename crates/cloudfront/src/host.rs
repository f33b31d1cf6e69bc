//! Names of hosts and of header fields.

use std::net::{IpAddr, Ipv6Addr};

/// Longest host name, in bytes (RFC 1035).
const MAX_HOST: usize = 253;

/// Longest label of a host name, in bytes.
const MAX_LABEL: usize = 63;

/// A host name in lower case.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits only would be a malformed IPv4 address.
    let named = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()));
    (text.len() <= MAX_HOST && named && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

/// A host name in lower case, or an address; an IPv6 address in brackets, with or without which it is read.
pub(crate) fn host_or_address(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Some(address.to_string()),
        Ok(IpAddr::V6(address)) => Some(format!("[{address}]")),
        Err(_) => host_name(text),
    }
}

/// A host name or address, with its port where there is one.
pub(crate) fn authority(text: &str) -> Option<String> {
    if let Some(host) = host_or_address(text) {
        return Some(host);
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    host_or_address(host).map(|host| format!("{host}:{port}"))
}

/// A host name, an address, or a host name under `*.`, in lower case.
pub(crate) fn alias(text: &str) -> Option<String> {
    match text.strip_prefix("*.") {
        Some(rest) => host_name(rest).map(|rest| format!("*.{rest}")),
        None => host_or_address(text),
    }
}

/// Whether a text is a field name (RFC 9110 5.1).
pub(crate) fn is_field_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a text may be a field's value: visible ASCII with single blanks inside (RFC 9110 5.5).
pub(crate) fn is_field_value(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text
}
