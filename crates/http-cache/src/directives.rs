//! Directives of responses: `Cache-Control` and `CDN-Cache-Control`.

use http::HeaderName;

use crate::structured::{Item, dictionary};

/// Largest number of seconds that is kept apart; anything above means "for ever" (RFC 9111 §1.2.2).
const MAX_SECONDS: u64 = 1 << 31;

/// Field names that one response may withhold; a response that names more is treated as wholly withheld.
const MAX_WITHHELD: usize = 32;

/// Directives of a response that a shared cache obeys (RFC 9111 §5.2.2, RFC 5861).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// May not be stored.
    pub no_store: bool,
    /// May be stored, not reused without validation.
    pub no_cache: bool,
    /// Only for the viewer's own cache.
    pub private: bool,
    /// May be stored although something else speaks against it.
    pub public: bool,
    /// Never to be used stale.
    pub must_revalidate: bool,
    /// Never to be used stale by shared caches.
    pub proxy_revalidate: bool,
    /// May be stored only by a cache that knows the status code; then `no-store` is void (RFC 9111 §5.2.2.3).
    pub must_understand: bool,
    /// Lifetime in seconds; a value that is no number counts as 0.
    pub max_age: Option<u64>,
    /// Lifetime for shared caches in seconds.
    pub s_maxage: Option<u64>,
    /// Seconds after the lifetime in which stale is served while a validation runs.
    pub stale_while_revalidate: Option<u64>,
    /// Seconds after the lifetime in which stale is served instead of an error.
    pub stale_if_error: Option<u64>,
}

/// Directives, and the fields that they keep out of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) control: CacheControl,
    /// Names of `private="…"` and `no-cache="…"`: forwarded once, never stored.
    pub(crate) withheld: Vec<HeaderName>,
}

impl CacheControl {
    /// Reads all field lines of one name. Unknown directives are ignored; of a repeated one the first counts
    /// (RFC 9111 §4.2.1). Qualified forms (`private="x"`) say nothing about the response as a whole.
    #[must_use]
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Directives::parse(lines).control
    }

    /// Whether a stale response may never be used (RFC 9111 §4.2.4). `s-maxage` alone does not count: an origin that also
    /// sends `stale-if-error` or `stale-while-revalidate` means it.
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }

    /// Whether a response to a request with `Authorization` may be stored (RFC 9111 §3.5).
    #[must_use]
    pub fn allows_authorized(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    fn number_slot(&mut self, name: &[u8]) -> Option<&mut Option<u64>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Some(match () {
            () if is("max-age") => &mut self.max_age,
            () if is("s-maxage") => &mut self.s_maxage,
            () if is("stale-while-revalidate") => &mut self.stale_while_revalidate,
            () if is("stale-if-error") => &mut self.stale_if_error,
            () => return None,
        })
    }

    fn flag(&mut self, name: &[u8]) -> Option<&mut bool> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Some(match () {
            () if is("no-store") => &mut self.no_store,
            () if is("no-cache") => &mut self.no_cache,
            () if is("private") => &mut self.private,
            () if is("public") => &mut self.public,
            () if is("must-revalidate") => &mut self.must_revalidate,
            () if is("proxy-revalidate") => &mut self.proxy_revalidate,
            () if is("must-understand") => &mut self.must_understand,
            () => return None,
        })
    }
}

impl Directives {
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for (name, value) in lines.into_iter().flat_map(members) {
            if let Some(slot) = found.control.number_slot(name) {
                slot.get_or_insert_with(|| value.map_or(0, seconds));
            } else if qualifiable(name) && value.is_some_and(|value| found.withhold(unquote(value))) {
                // Only the named fields are meant.
            } else if let Some(flag) = found.control.flag(name) {
                *flag = true;
            }
        }
        found
    }

    /// `CDN-Cache-Control` (RFC 9213 §2.1); `None` when it is empty, no structured dictionary, or gives a directive a value
    /// of the wrong type: it is then as if it had not been sent.
    pub(crate) fn parse_targeted(text: &[u8]) -> Option<Self> {
        let members = dictionary(text)?;
        if members.is_empty() {
            return None;
        }
        let mut found = Self::default();
        for (name, item) in &members {
            let name = name.as_bytes();
            if let Some(slot) = found.control.number_slot(name) {
                let Item::Integer(value) = item else { return None };
                *slot = Some(u64::try_from(*value).unwrap_or(0).min(MAX_SECONDS));
                continue;
            }
            if let (true, Item::Text(fields)) = (qualifiable(name), item) {
                if found.withhold(fields.as_bytes()) {
                    continue;
                }
                *found.control.flag(name)? = true;
            } else if let Some(flag) = found.control.flag(name) {
                let Item::Boolean(value) = item else { return None };
                *flag = *value;
            }
        }
        Some(found)
    }

    /// Adds the names of a list; false when it is none, and the directive then counts without it, which is stricter.
    fn withhold(&mut self, list: &[u8]) -> bool {
        let mut names = Vec::new();
        for name in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            let Ok(name) = HeaderName::from_bytes(name) else { return false };
            names.push(name);
        }
        if names.is_empty() || self.withheld.len() + names.len() > MAX_WITHHELD {
            return false;
        }
        self.withheld.append(&mut names);
        true
    }
}

fn qualifiable(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"private") || name.eq_ignore_ascii_case(b"no-cache")
}

/// Directives of a line with their values, separated by commas outside quotes.
pub(crate) fn members(line: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (directive, after) = split_directive(rest);
        rest = after;
        Some(match directive.iter().position(|&byte| byte == b'=') {
            Some(at) => (directive[..at].trim_ascii(), Some(directive[at + 1..].trim_ascii())),
            None => (directive.trim_ascii(), None),
        })
    })
}

/// The text up to the next comma outside quotes, and what follows it.
fn split_directive(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, &[])
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value)
}

/// delta-seconds, quoted or not; text that is none is 0 (stale at once), a large one is capped.
pub(crate) fn seconds(value: &[u8]) -> u64 {
    delta_seconds(unquote(value)).unwrap_or(0)
}

/// delta-seconds (RFC 9111 §1.2.2), capped.
pub(crate) fn delta_seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(MAX_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CacheControl {
        CacheControl::parse([text.as_bytes()])
    }

    #[test]
    fn directives_are_found_in_any_case_and_spacing() {
        let found = parse("Public ,MAX-AGE=5,s-maxage=\"7\" ,, stale-if-error=30,stale-while-revalidate=2");
        assert_eq!((found.max_age, found.s_maxage), (Some(5), Some(7)));
        assert_eq!((found.stale_if_error, found.stale_while_revalidate), (Some(30), Some(2)));
        assert!(found.public && !found.no_store);
        assert!(parse("No-StOrE").no_store && parse("must-understand").must_understand);
    }

    #[test]
    fn a_comma_in_quotes_separates_nothing() {
        let found = parse("extension=\"a, max-age=9, no-store\", max-age=1");
        assert!(!found.no_store);
        assert_eq!(found.max_age, Some(1));
        assert_eq!(parse("max-age=1, extension=\"max-age=3600\"").max_age, Some(1));
    }

    #[test]
    fn a_qualified_form_withholds_fields_and_nothing_else() {
        let found = Directives::parse([b"private=\"Set-Cookie, x-a\", no-cache=\"b\", max-age=1".as_slice()]);
        assert!(!found.control.private && !found.control.no_cache);
        assert_eq!(found.withheld, ["set-cookie", "x-a", "b"]);
        for stricter in ["private=\"\"", "private=\"a b\"", "private=", "private"] {
            assert!(parse(stricter).private, "{stricter}");
        }
    }

    #[test]
    fn the_first_of_a_repeated_directive_counts_and_nonsense_is_zero() {
        assert_eq!(parse("max-age=1, max-age=100").max_age, Some(1));
        for text in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x", "max-age='3600'"] {
            assert_eq!(parse(text).max_age, Some(0), "{text}");
        }
        assert_eq!(parse("max-age=003600").max_age, Some(3600));
        assert_eq!(parse("max-age=99999999999999999999999").max_age, Some(MAX_SECONDS));
    }

    #[test]
    fn a_targeted_field_is_structured_or_void() {
        let read = |text: &str| Directives::parse_targeted(text.as_bytes()).map(|found| found.control);
        assert_eq!(read("foobar, max-age=99999999999").unwrap().max_age, Some(MAX_SECONDS));
        assert_eq!(read("max-age=-1").unwrap().max_age, Some(0));
        assert!(read("private, no-store=?0").is_some_and(|control| control.private && !control.no_store));
        for void in
            ["", "max-age=\"10000\"", "max-age", "max-age=10000, &&&&&", "no-store=1", "MaX-aGe=1", "max-age =1"]
        {
            assert_eq!(read(void), None, "{void}");
        }
        let qualified = Directives::parse_targeted(b"private=\"a\"").unwrap();
        assert!(!qualified.control.private && qualified.withheld == ["a"]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, text in "(max-age|no-store|private|s-maxage|,|=|\"|\\\\|[0-9]| ){0,40}") {
            let _ = Directives::parse([bytes.as_slice(), text.as_bytes()]);
            let _ = (Directives::parse_targeted(&bytes), Directives::parse_targeted(text.as_bytes()));
        }
    }
}
