//! `Cache-Control` and `CDN-Cache-Control`.

/// Largest number of seconds that is kept apart; anything above means "for ever" (RFC 9111 §1.2.2).
const MAX_SECONDS: u64 = 1 << 31;

/// Directives of a response that a shared cache obeys (RFC 9111 §5.2.2, RFC 5861).
///
/// A qualified `no-cache="x"` or `private="x"` counts as the bare directive, which is stricter and allowed.
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
    /// Lifetime in seconds; a value that is no number counts as 0.
    pub max_age: Option<u64>,
    /// Lifetime for shared caches in seconds.
    pub s_maxage: Option<u64>,
    /// Seconds after the lifetime in which stale is served while a validation runs.
    pub stale_while_revalidate: Option<u64>,
    /// Seconds after the lifetime in which stale is served instead of an error.
    pub stale_if_error: Option<u64>,
}

impl CacheControl {
    /// Reads all field lines of one name. Unknown directives are ignored; of a repeated one the first counts
    /// (RFC 9111 §4.2.1).
    #[must_use]
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for line in lines {
            let mut rest = line;
            while !rest.is_empty() {
                let (directive, after) = split_directive(rest);
                found.take(directive);
                rest = after;
            }
        }
        found
    }

    /// Whether a stale response may never be used (RFC 9111 §4.2.4). `s-maxage` alone does not count: an origin that also
    /// sends `stale-if-error` or `stale-while-revalidate` means it.
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }

    fn take(&mut self, directive: &[u8]) {
        let (name, value) = match directive.iter().position(|&b| b == b'=') {
            Some(at) => (directive[..at].trim_ascii(), Some(directive[at + 1..].trim_ascii())),
            None => (directive.trim_ascii(), None),
        };
        let seconds = || Some(value.map_or(0, seconds));
        let first = |slot: &mut Option<u64>| {
            if slot.is_none() {
                *slot = seconds();
            }
        };
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"max-age" => first(&mut self.max_age),
            b"s-maxage" => first(&mut self.s_maxage),
            b"stale-while-revalidate" => first(&mut self.stale_while_revalidate),
            b"stale-if-error" => first(&mut self.stale_if_error),
            _ => {}
        }
    }
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

/// delta-seconds, quoted or not; text that is none is 0 (stale at once), a large one is capped.
fn seconds(value: &[u8]) -> u64 {
    let digits = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    digits.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(MAX_SECONDS))
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
    }

    #[test]
    fn a_comma_in_quotes_separates_nothing() {
        let found = parse("private=\"a, no-store\", max-age=1");
        assert!(found.private && !found.no_store);
        assert_eq!(found.max_age, Some(1));
    }

    #[test]
    fn the_first_of_a_repeated_directive_counts_and_nonsense_is_zero() {
        assert_eq!(parse("max-age=1, max-age=100").max_age, Some(1));
        for text in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x"] {
            assert_eq!(parse(text).max_age, Some(0), "{text}");
        }
        assert_eq!(parse("max-age=99999999999999999999999").max_age, Some(MAX_SECONDS));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, text in "(max-age|no-store|private|s-maxage|,|=|\"|\\\\|[0-9]| ){0,40}") {
            let _ = CacheControl::parse([bytes.as_slice(), text.as_bytes()]);
        }
    }
}
