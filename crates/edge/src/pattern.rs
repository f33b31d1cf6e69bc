//! CloudFront path patterns.

/// A path pattern: `*` is any run of characters, `?` one character; case-sensitive; a leading `/` is optional.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// `*`.
    Any,
    /// No wildcard.
    Exact(Box<str>),
    /// One star, at the end.
    Prefix(Box<str>),
    /// Anything else.
    Wild(Box<[u8]>),
}

impl Pattern {
    pub(crate) fn compile(text: &str) -> Self {
        if text == "*" || text == "/*" {
            return Self::Any;
        }
        // CloudFront reads `images/*` as `/images/*`; one that begins with a star may begin anywhere.
        let rooted = if text.starts_with(['/', '*']) { text.to_owned() } else { format!("/{text}") };
        match rooted.find(['*', '?']) {
            None => Self::Exact(rooted.into()),
            Some(at) if at + 1 == rooted.len() && rooted.ends_with('*') => Self::Prefix(rooted[..at].into()),
            Some(_) => Self::Wild(rooted.into_bytes().into()),
        }
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == &**exact,
            Self::Prefix(prefix) => path.starts_with(&**prefix),
            Self::Wild(pattern) => wild(pattern, path.as_bytes()),
        }
    }
}

/// Greedy match with one point to fall back to: at most pattern length x text length steps.
pub(crate) fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_by_the_table() {
        for (pattern, path, matched) in [
            ("*", "/", true),
            ("/a/b", "/a/b", true),
            ("a/b", "/a/b", true),
            ("/a/b", "/a/bc", false),
            ("/a/*", "/a/", true),
            ("/a/*", "/a", false),
            ("/A/*", "/a/b", false),
            ("*.m3u8", "/x/index.m3u8", true),
            ("*.m3u8", "/x/index.m3u8x", false),
            ("/*/v?/*.ts", "/c/v1/s/9.ts", true),
            ("/*/v?/*.ts", "/c/v12/s/9.ts", false),
            ("a*b*c", "/axxbyyc", true),
            ("a*b*c", "/axxcyyb", false),
        ] {
            assert_eq!(Pattern::compile(pattern).matches(path), matched, "{pattern} {path}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = Pattern::compile(&"*a".repeat(200));
        assert!(!pattern.matches(&format!("/{}b", "a".repeat(5000))));
    }
}
