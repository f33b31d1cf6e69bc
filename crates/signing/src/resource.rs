//! What a URL is, and which URLs the `Resource` of a policy covers.

use crate::PolicyFault;
use crate::credentials::strip_reserved;
use crate::encoding::percent_decode;
use crate::glob::Glob;

/// The URL of a request, as the viewer asked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestUrl<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host as asked, with the port when the viewer named one.
    pub host: &'a str,
    /// Path as asked, beginning with `/`, not decoded.
    pub path: &'a str,
    /// Query as asked without its `?`, signature parameters included.
    pub query: Option<&'a str>,
}

impl RequestUrl<'_> {
    /// The URL without the reserved parameters and without a lone `?`: what a canned policy names.
    #[must_use]
    pub fn resource(&self) -> String {
        let own = strip_reserved(self.query.unwrap_or_default());
        let mark = if own.is_empty() { "" } else { "?" };
        format!("{}://{}{}{mark}{own}", self.scheme, self.host, self.path)
    }

    /// Whether a resolver that decodes the path would find a `.` or `..` segment in it.
    pub(crate) fn has_dot_segments(&self) -> bool {
        let path = percent_decode(self.path);
        path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."))
    }
}

/// A `Resource`, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// No `Resource` at all: any file of any distribution that trusts the key.
    Any,
    /// One URL, no wildcards: canned policies.
    Exact(String),
    /// A pattern.
    Pattern(Box<Pattern>),
}

/// A pattern in its four sections; a star stays inside its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    scheme: Glob,
    host: Glob,
    /// Path and query; `None` when the host ends with a star and nothing follows, which covers both.
    file: Option<(Glob, QueryRule)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum QueryRule {
    /// The path ends with a star, which goes on over any query.
    Free,
    /// No word about a query: there must be none.
    Absent,
    /// After `\?`.
    Like(Glob),
}

impl Resource {
    /// Compiles the `Resource` of a custom policy.
    ///
    /// # Errors
    /// It begins with neither a scheme nor a star, or a run between two stars is too long.
    pub(crate) fn pattern(text: &str) -> Result<Self, PolicyFault> {
        let glob = |text: &str| Glob::new(text).ok_or(PolicyFault::Wildcards);
        let (scheme, rest) = split_scheme(text).ok_or(PolicyFault::Resource)?;
        let (before_query, query) = rest.split_once(r"\?").map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let path_at = before_query.find('/').unwrap_or(before_query.len());
        let (host, path) = before_query.split_at(path_at);
        let host = glob(&host.to_ascii_lowercase())?;
        let file = if path.is_empty() && query.is_none() && host.is_open() {
            None
        } else {
            let path = glob(if path.is_empty() { "/" } else { path })?;
            let query = match query {
                Some(query) => QueryRule::Like(glob(query)?),
                None if path.is_open() => QueryRule::Free,
                None => QueryRule::Absent,
            };
            Some((path, query))
        };
        let scheme = glob(&scheme.to_ascii_lowercase())?;
        Ok(Self::Pattern(Box::new(Pattern { text: text.to_owned(), scheme, host, file })))
    }

    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    pub(crate) fn covers(&self, url: &RequestUrl<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(resource) => *resource == url.resource(),
            Self::Pattern(pattern) => pattern.covers(url),
        }
    }
}

impl Pattern {
    fn covers(&self, url: &RequestUrl<'_>) -> bool {
        self.covers_by_section(url)
            // Signers often put the very URL, its question mark not escaped; that cannot cover more than was meant.
            || self.text == url.resource()
    }

    fn covers_by_section(&self, url: &RequestUrl<'_>) -> bool {
        if !self.scheme.matches(&url.scheme.to_ascii_lowercase()) || !self.host.matches(&url.host.to_ascii_lowercase())
        {
            return false;
        }
        let Some((path, query)) = &self.file else { return true };
        let own = strip_reserved(url.query.unwrap_or_default());
        path.matches(url.path)
            && match query {
                QueryRule::Free => true,
                QueryRule::Absent => own.is_empty(),
                QueryRule::Like(glob) => !own.is_empty() && glob.matches(&own),
            }
    }
}

/// Scheme pattern, and the rest after `://`. Without a scheme the pattern must begin with a star, and any scheme will do.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let head = text.split('/').next().unwrap_or_default();
    if let Some((scheme, rest)) = text.split_once("://")
        && scheme.len() + 1 == head.len()
    {
        let known = ["http", "https", "*", "http*"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
        return known.then_some((scheme, rest));
    }
    text.starts_with('*').then_some(("*", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RequestUrl<'_> {
        let (scheme, rest) = text.split_once("://").unwrap();
        let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
        let (host, path) = before.split_at(before.find('/').unwrap());
        RequestUrl { scheme, host, path, query }
    }

    fn covers(pattern: &str, text: &str) -> bool {
        Resource::pattern(pattern).unwrap().covers(&url(text))
    }

    #[test]
    fn sections_hold_their_stars() {
        for (pattern, text, expected) in [
            ("*", "https://a.example/x/y?z=1", true),
            ("http://a.example/x/*", "http://a.example/x/y/z.m4s", true),
            ("http://a.example/x/*", "https://a.example/x/y", false),
            ("http://a.example/x/*", "http://a.example/y/x/", false),
            ("http://a.example/x/*", "http://b.example/x/y", false),
            ("*://a.example/x", "https://a.example/x", true),
            ("http*://a.example/x", "https://a.example/x", true),
            ("http*://a.example/x", "http://a.example/x", true),
            ("HTTP://A.example/x", "http://a.EXAMPLE/x", true),
            ("http://a.example/X", "http://a.example/x", false),
            ("*://*/d/E1/b1/*", "http://127.0.0.1:8888/d/E1/b1/index.m3u8", true),
            ("*://*/d/E1/b1/*", "http://127.0.0.1:8888/d/E1/b2/index.m3u8", false),
            ("http://*.example/x", "http://a.b.example/x", true),
            ("http://*.example/x", "http://evil.com/.example/x", false),
            ("http://*/x", "http://a.example/b/x", false),
            ("http://a.example*", "http://a.example/x/y?z", true),
            ("http://*", "http://a.example/x?z", true),
            ("http://a.example", "http://a.example/", true),
            ("http://a.example", "http://a.example/x", false),
            ("*.example/x", "https://a.example/x", true),
            ("*/x", "https://a.example/x", true),
            ("http://a.example/?.ts", "http://a.example/1.ts", true),
            ("http://a.example/?.ts", "http://a.example/12.ts", false),
        ] {
            assert_eq!(covers(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn queries_need_a_word_for_them() {
        for (pattern, text, expected) in [
            ("http://a.example/x", "http://a.example/x?z=1", false),
            ("http://a.example/x*", "http://a.example/x?z=1", true),
            ("http://a.example/x*.ts", "http://a.example/x1.ts?z=1", false),
            (r"http://a.example/x\?z=*", "http://a.example/x?z=1", true),
            (r"http://a.example/x\?z=*", "http://a.example/x?y=1", false),
            (r"http://a.example/x\?z=*", "http://a.example/x", false),
            (r"http://a.example/x\?*", "http://a.example/x?", false),
            (r"http://a.example/x*\?z=1", "http://a.example/xyz?z=1", true),
            (r"http://a.example/x*\?z=1", "http://a.example/xyz?z=12", false),
            (r"*\?z=1", "http://a.example/?z=1", true),
            (r"http://a.example/x\?z=\?", "http://a.example/x?z=?", true),
            // The star of the path does not reach over a question mark that stands alone in the pattern.
            ("http://a.example/*?z", "http://a.example/x?z", false),
            // The very URL that was signed, its question mark not escaped.
            ("http://a.example/x?z=1", "http://a.example/x?z=1", true),
            ("http://a.example/x?z=1", "http://a.example/x?z=1&Policy=p", true),
            ("http://a.example/x?z=1", "http://a.example/x?z=2", false),
            // Reserved parameters are no query.
            (
                "http://a.example/x",
                "http://a.example/x?Expires=1&Signature=s&Key-Pair-Id=k&Hash-Algorithm=SHA256",
                true,
            ),
        ] {
            assert_eq!(covers(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn what_is_no_resource() {
        for text in ["", "ftp://a.example/x", "a.example/x", "/x", "?ttp://a.example/x", "x*://a.example/"] {
            assert_eq!(Resource::pattern(text), Err(PolicyFault::Resource), "{text:?}");
        }
        let long = "x".repeat(crate::glob::MASK_MAX_BYTES);
        for text in [format!("*://h*?{long}*"), format!("http://h/*?{long}*"), format!("http://h/x\\?*?{long}*")] {
            assert_eq!(Resource::pattern(&text), Err(PolicyFault::Wildcards), "{text:.20}");
        }
    }

    #[test]
    fn dot_segments_are_seen_in_any_dress() {
        for path in ["/a/../b", "/..", "/a/%2e%2E/b", "/a/.", "/a%2f..%2fb", "/a/..\\b", "/a%5c.%5cb"] {
            assert!(url(&format!("http://h{path}")).has_dot_segments(), "{path}");
        }
        for path in ["/a/b", "/a/...", "/a..b/c", "/.well-known/x", "/%252e%252e/x"] {
            assert!(!url(&format!("http://h{path}")).has_dot_segments(), "{path}");
        }
    }

    #[test]
    fn resource_text_drops_reserved_parameters_and_a_lone_mark() {
        assert_eq!(url("http://h/p?").resource(), "http://h/p");
        assert_eq!(url("http://h/p?Expires=1").resource(), "http://h/p");
        assert_eq!(url("http://h/p?a=1&Expires=1&b=2").resource(), "http://h/p?a=1&b=2");
    }
}
