//! URI references and what they mean against a base (RFC 3986 §5).

/// The five components of a reference (RFC 3986 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Self {
        let (text, fragment) = cut(text, '#');
        let (text, query) = cut(text, '?');
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, text),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Self { scheme, authority, path, query, fragment }
    }

    fn is_http(&self) -> bool {
        self.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Whether `text` is an absolute URL by HTTP or HTTPS with a host, of bytes that a playlist's line and a quoted string can hold.
#[must_use]
pub fn is_http_url(text: &str) -> bool {
    let parts = Parts::split(text);
    parts.is_http()
        && parts.authority.is_some_and(|authority| !authority.is_empty())
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '"')
}

/// What `reference` means in a document at `base`, which must be one of [`is_http_url`] (RFC 3986 §5.2). References with a scheme that
/// is neither `http` nor `https` stay as they are.
#[must_use]
pub fn resolve(base: &str, reference: &str) -> String {
    let (base, given) = (Parts::split(base), Parts::split(reference));
    if given.scheme.is_some() && !(given.is_http() && given.authority.is_some()) {
        return reference.to_owned();
    }
    let scheme = given.scheme.or(base.scheme).unwrap_or("http");
    let authority = given.authority.or(base.authority).unwrap_or("");
    let (path, query) = if given.authority.is_some() || given.path.starts_with('/') {
        (without_dots(given.path), given.query)
    } else if given.path.is_empty() {
        (base.path.to_owned(), given.query.or(base.query))
    } else {
        let folder = base.path.rfind('/').map_or("/", |slash| &base.path[..=slash]);
        (without_dots(&format!("{folder}{}", given.path)), given.query)
    };
    let mut out = format!("{scheme}://{authority}{path}");
    for (mark, part) in [('?', query), ('#', given.fragment)] {
        if let Some(part) = part {
            out.push(mark);
            out.push_str(part);
        }
    }
    out
}

/// RFC 3986 §5.2.4, for a path that is empty or begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // The folder itself, with its slash.
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    kept.iter().flat_map(|segment| ["/", segment]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 3986 §5.4, but for schemes that are no HTTP.
    #[test]
    fn examples_of_the_rfc() {
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q#s"),
            ("g#s", "http://a/b/c/g#s"),
            ("g?y#s", "http://a/b/c/g?y#s"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g#s/../x", "http://a/b/c/g#s/../x"),
            ("https://h/x/../y?z", "https://h/y?z"),
            ("g:h", "g:h"),
            ("http:g", "http:g"),
            ("data:text/plain,../x", "data:text/plain,../x"),
        ] {
            assert_eq!(resolve("http://a/b/c/d;p?q", reference), expected, "{reference}");
        }
        assert_eq!(resolve("https://h", "v.m3u8"), "https://h/v.m3u8");
        assert_eq!(resolve("https://h:8443/a/12:30/i.m3u8", "./12:31.m4s"), "https://h:8443/a/12:30/12:31.m4s");
    }

    #[test]
    fn bases_are_http_urls() {
        for (text, is) in [
            ("http://h/x", true),
            ("HTTPS://h", true),
            ("http:///x", false),
            ("//h/x", false),
            ("ftp://h/x", false),
            ("http://h/a b", false),
            ("http://h/\"", false),
            ("x", false),
        ] {
            assert_eq!(is_http_url(text), is, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_resolved_is_absolute_and_stays(reference in "[a-z0-9./?#:é;=-]{0,20}") {
            let once = resolve("https://h.example/a/b/i.m3u8?q", &reference);
            prop_assert_eq!(&resolve("http://other/", &once), &once);
            if Parts::split(&reference).scheme.is_none() && !reference.starts_with("//") {
                prop_assert!(once.starts_with("https://h.example/"), "{}", once);
            }
        }

        #[test]
        fn any_text_is_judged(base in ".{0,20}", reference in ".{0,20}") {
            let _ = (is_http_url(&reference), resolve(&base, &reference));
        }
    }
}
