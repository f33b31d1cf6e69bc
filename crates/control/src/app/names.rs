//! Rules for what operators type.

use std::collections::BTreeMap;

use anabranch_db::Idempotency;

use super::Error;

/// Longest name, in characters.
const NAME_MAX: usize = 100;

/// Longest description, in characters.
const DESCRIPTION_MAX: usize = 1000;

/// Addresses and blocks of a list at most.
const ALLOW_MAX: usize = 100;

/// Longest idempotency key, in characters.
const IDEMPOTENCY_MAX: usize = 255;

/// Labels of one resource.
const TAGS_MAX: usize = 50;

/// Longest key and value of a label, in characters.
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

/// A name without the space around it.
pub(crate) fn name(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > NAME_MAX {
        return Err(Error::invalid("name", format!("a name has 1 to {NAME_MAX} characters: {length}")));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid("name", format!("a name has no control characters: {text:?}")));
    }
    Ok(text.to_owned())
}

pub(crate) fn description(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let length = text.chars().count();
    if length > DESCRIPTION_MAX {
        return Err(Error::invalid(
            "description",
            format!("a description has at most {DESCRIPTION_MAX} characters: {length}"),
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Error::invalid("description", "a description has no control characters but line ends"));
    }
    Ok(text.to_owned())
}

/// Milliseconds of an RFC 3339 time.
pub(crate) fn time(field: &'static str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    match crate::time::parse_seconds(text) {
        Some(seconds) => Ok(Some(seconds.saturating_mul(1000))),
        None => Err(Error::invalid(field, format!("not a time such as 2026-01-31T20:00:00Z: {text:?}"))),
    }
}

/// Addresses and blocks that may push. A block of everything must be said as an empty list (V23).
pub(crate) fn allow_list(list: &[String]) -> Result<Vec<String>, Error> {
    const FIELD: &str = "ingest_allow";
    if list.len() > ALLOW_MAX {
        return Err(Error::invalid(FIELD, format!("a list has at most {ALLOW_MAX} addresses: {}", list.len())));
    }
    list.iter()
        .map(|text| {
            address_or_block(text.trim()).ok_or_else(|| {
                Error::invalid(
                    FIELD,
                    format!(
                        "not an address such as 192.0.2.7 or a block such as 192.0.2.0/24 or 2001:db8::/32: {text:?}"
                    ),
                )
            })
        })
        .collect()
}

fn address_or_block(text: &str) -> Option<String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: std::net::IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    match length {
        None => Some(address.to_string()),
        Some(length) if (1..=bits).contains(&length) => Some(format!("{address}/{length}")),
        Some(_) => None,
    }
}

/// Words to find a breakout by.
pub(crate) fn words(list: &[String]) -> Result<Vec<String>, Error> {
    if list.len() > TAGS_MAX {
        return Err(Error::invalid("tags", format!("at most {TAGS_MAX} tags: {}", list.len())));
    }
    list.iter()
        .map(|tag| {
            name(tag)
                .map_err(|_| Error::invalid("tags", format!("a tag has 1 to {NAME_MAX} printable characters: {tag:?}")))
        })
        .collect()
}

/// Labels of an operator: up to 50, keys of 1 to 128 and values of up to 256 characters, none of them ours.
pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    let refuse = |detail: String| Err(Error::invalid("tags", detail));
    if tags.len() > TAGS_MAX {
        return refuse(format!("there are at most {TAGS_MAX} tags: {}", tags.len()));
    }
    for (key, value) in tags {
        let (key_length, value_length) = (key.chars().count(), value.chars().count());
        if !(1..=TAG_KEY_MAX).contains(&key_length) || value_length > TAG_VALUE_MAX {
            return refuse(format!(
                "a key has 1 to {TAG_KEY_MAX} characters and a value at most {TAG_VALUE_MAX}: {key:?}"
            ));
        }
        if key.starts_with("anabranch:") || key.starts_with("aws:") {
            return refuse(format!("keys that begin so are not yours: {key:?}"));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return refuse(format!("a tag has no control characters: {key:?}"));
        }
    }
    Ok(tags.clone())
}

/// The key of an `Idempotency-Key` header, with the hash of the request that it stands for.
pub(crate) fn idempotency(key: &str, request_hash: [u8; 32]) -> Result<Idempotency, Error> {
    if key.is_empty() || key.len() > IDEMPOTENCY_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
        let detail = format!("an idempotency key has 1 to {IDEMPOTENCY_MAX} visible ASCII characters");
        return Err(Error::invalid("Idempotency-Key", detail));
    }
    Ok(Idempotency { key: key.to_owned(), request_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_lists_mean_what_they_say() {
        let list = |text: &str| allow_list(&[text.to_owned()]);
        for (given, kept) in [
            ("192.0.2.7", "192.0.2.7"),
            (" 192.0.2.0/24 ", "192.0.2.0/24"),
            ("2001:DB8::1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(list(given).unwrap(), [kept]);
        }
        for bad in ["0.0.0.0/0", "::/0", "192.0.2.0/33", "192.0.2", "host", "", "192.0.2.0/"] {
            assert!(list(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name("  Vårens konsert ").unwrap(), "Vårens konsert");
        assert_eq!(name(&"ö".repeat(100)).unwrap().chars().count(), 100);
        for bad in ["", "   ", "a\u{0}b", "a\nb", &"x".repeat(101)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
