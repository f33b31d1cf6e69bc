//! Whom a `Location` or `Content-Location` names, and what an unsafe request invalidates.

use http::Method;

/// Longest reference that is looked at, in bytes.
const MAX_REFERENCE: usize = 8192;

/// The URI of a request.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host, with a port unless it is the scheme's own.
    pub authority: &'a str,
    /// Path and query.
    pub path_and_query: &'a str,
}

impl Target<'_> {
    /// Path and query of what a URI reference names from here (RFC 3986 §5.2), without fragment; `None` if that has another
    /// scheme or authority, or if the reference makes no sense.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<String> {
        let reference = reference.trim();
        let reference = reference.split_once('#').map_or(reference, |(before, _)| before);
        if reference.len() > MAX_REFERENCE
            || reference.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'\\')
        {
            return None;
        }
        let rest = match scheme_of(reference) {
            Some(scheme) if scheme.eq_ignore_ascii_case(self.scheme) => &reference[scheme.len() + 1..],
            Some(_) => return None,
            None => reference,
        };
        if let Some(after) = rest.strip_prefix("//") {
            let end = after.find(['/', '?']).unwrap_or(after.len());
            if !self.is_own(&after[..end]) {
                return None;
            }
            let path = &after[end..];
            return Some(normal(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }));
        }
        if rest.len() < reference.len() {
            // A scheme without an authority is no HTTP URI.
            return None;
        }
        let path = self.path_and_query.split_once('?').map_or(self.path_and_query, |(path, _)| path);
        Some(match rest.as_bytes().first() {
            None => self.path_and_query.to_owned(),
            Some(b'?') => format!("{path}{rest}"),
            Some(b'/') => normal(rest.to_owned()),
            Some(_) => normal(format!("{}{rest}", &path[..path.rfind('/').map_or(0, |at| at + 1)])),
        })
    }

    /// Whether the reference names the target itself.
    #[must_use]
    pub fn is_named_by(&self, reference: &str) -> bool {
        self.resolve(reference).is_some_and(|named| named == self.path_and_query)
    }

    /// What the answer to an unsafe request invalidates (RFC 9111 §4.4): path and query of the target, and of `Location` and
    /// `Content-Location` where they are on the same host; empty for a safe method or an error.
    #[must_use]
    pub fn invalidated(
        &self,
        method: &Method,
        status: u16,
        location: Option<&str>,
        content_location: Option<&str>,
    ) -> Vec<String> {
        if is_safe(method) || !(200..400).contains(&status) {
            return Vec::new();
        }
        let mut named = vec![self.path_and_query.to_owned()];
        for reference in [location, content_location].into_iter().flatten() {
            if let Some(other) = self.resolve(reference).filter(|other| !named.contains(other)) {
                named.push(other);
            }
        }
        named
    }

    fn is_own(&self, authority: &str) -> bool {
        let port = if self.scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
        bare(authority) == bare(self.authority)
    }
}

/// Methods that change nothing (RFC 9110 §9.2.1); an unknown one may.
#[must_use]
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn scheme_of(reference: &str) -> Option<&str> {
    let colon = reference.find([':', '/', '?'])?;
    let scheme = &reference[..colon];
    let named = reference.as_bytes()[colon] == b':'
        && scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    named.then_some(scheme)
}

/// Without dot segments in the path (RFC 3986 §5.2.4).
fn normal(path_and_query: String) -> String {
    if !path_and_query.contains("/.") {
        return path_and_query;
    }
    let (path, query) = path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target { scheme: "http", authority: "Example.org:80", path_and_query: "/a/b?q" };

    #[test]
    fn references_are_resolved_within_the_host() {
        for (reference, answer) in [
            ("", Some("/a/b?q")),
            ("#part", Some("/a/b?q")),
            ("?x", Some("/a/b?x")),
            ("c", Some("/a/c")),
            ("c:d/e", None),
            ("./c:d", Some("/a/c:d")),
            ("../c?x/../y", Some("/c?x/../y")),
            ("../../..", Some("/")),
            ("/x/./y/..", Some("/x/")),
            ("//example.ORG/z", Some("/z")),
            ("http://example.org", Some("/")),
            ("HTTP://example.org:80?x", Some("/?x")),
            ("https://example.org/z", None),
            ("http://other.org/z", None),
            ("http://example.org:8080/z", None),
            ("http://user@example.org/z", None),
            ("http:z", None),
            ("a b", None),
            ("\\\\other.org\\z", None),
        ] {
            assert_eq!(TARGET.resolve(reference).as_deref(), answer, "{reference}");
        }
        assert!(TARGET.is_named_by("b?q") && !TARGET.is_named_by("b"));
    }

    #[test]
    fn only_unsafe_successes_invalidate() {
        let post = TARGET.invalidated(&Method::POST, 201, Some("/new"), Some("http://other.org/x"));
        assert_eq!(post, ["/a/b?q", "/new"]);
        let search = Method::from_bytes(b"M-SEARCH").unwrap();
        assert_eq!(TARGET.invalidated(&search, 302, None, Some("b?q")), ["/a/b?q"]);
        for (method, status) in [(Method::POST, 500), (Method::PUT, 404), (Method::GET, 200), (Method::OPTIONS, 200)] {
            assert!(TARGET.invalidated(&method, status, Some("/new"), None).is_empty(), "{method} {status}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_resolved_is_a_path(any in "\\PC{0,40}", near in "(http:)?(//)?[a-c./?#:]{0,30}") {
            for reference in [any, near] {
                if let Some(named) = TARGET.resolve(&reference) {
                    assert!(named.starts_with('/') && !named.contains('#'));
                }
            }
        }
    }
}
