//! Which query parameters, headers and cookies count: for the cache key, and for what the origin is told.

use std::borrow::Cow;

use anabranch_model::Selection;

/// A selection, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Select {
    #[default]
    None,
    All,
    Only(Box<[Box<str>]>),
    Except(Box<[Box<str>]>),
    /// What one or the other has.
    Either(Box<(Self, Self)>),
}

impl Select {
    pub(crate) fn compile(selection: &Selection) -> Self {
        let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        match selection {
            Selection::None => Self::None,
            Selection::All => Self::All,
            Selection::Only(list) => Self::Only(names(list)),
            Selection::Except(list) => Self::Except(names(list)),
        }
    }

    /// As [`Self::compile`], for names that are compared without case.
    pub(crate) fn compile_lower(selection: &Selection) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        match selection {
            Selection::Only(list) => Self::compile(&Selection::Only(lower(list))),
            Selection::Except(list) => Self::compile(&Selection::Except(lower(list))),
            other => Self::compile(other),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether `name`, in the case that was compiled, is among them. A listed name may end with `*`.
    pub(crate) fn has(&self, name: &str) -> bool {
        let listed = |list: &[Box<str>]| {
            list.iter().any(|one| match one.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => **one == *name,
            })
        };
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(list) => listed(list),
            Self::Except(list) => !listed(list),
            Self::Either(both) => both.0.has(name) || both.1.has(name),
        }
    }

    /// Everything that either has.
    pub(crate) fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::None, one) | (one, Self::None) => one.clone(),
            (Self::All, _) | (_, Self::All) => Self::All,
            (one, two) if one == two => one.clone(),
            (one, two) => Self::Either(Box::new((one.clone(), two.clone()))),
        }
    }

    /// The parameters of `query` that count, as they stand and in their order.
    pub(crate) fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        match self {
            Self::None => Cow::Borrowed(""),
            Self::All => Cow::Borrowed(query),
            Self::Only(_) | Self::Except(_) | Self::Either(_) => {
                let name = |parameter: &str| self.has(parameter.split('=').next().unwrap_or(""));
                Cow::Owned(query.split('&').filter(|parameter| name(parameter)).collect::<Vec<_>>().join("&"))
            }
        }
    }

    /// The cookies of `lines` that count, joined as one line. `Only` gives them in the viewer's order.
    pub(crate) fn cookies<'c>(&self, lines: impl Iterator<Item = &'c [u8]>, reserved: fn(&str) -> bool) -> String {
        let mut out = String::new();
        if self.is_none() {
            return out;
        }
        let pairs = lines.filter_map(|line| std::str::from_utf8(line).ok()).flat_map(|line| line.split(';'));
        for pair in pairs.map(str::trim).filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or("").trim();
            if self.has(name) && !reserved(name) {
                if !out.is_empty() {
                    out.push_str("; ");
                }
                out.push_str(pair);
            }
        }
        out
    }
}

/// Whether a cookie belongs to signed access: those never count and never reach an origin.
pub(crate) fn is_signature_cookie(name: &str) -> bool {
    matches!(
        name,
        "CloudFront-Policy"
            | "CloudFront-Expires"
            | "CloudFront-Signature"
            | "CloudFront-Key-Pair-Id"
            | "CloudFront-Hash-Algorithm"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn selections_choose() {
        let only = Select::compile(&Selection::Only(list(&["a", "c*"])));
        let except = Select::compile(&Selection::Except(list(&["a"])));
        assert_eq!(only.query("b=1&a=2&a&cd=3&ac=4"), "a=2&a&cd=3");
        assert_eq!(except.query("b=1&a=2&=x"), "b=1&=x");
        assert_eq!(Select::All.query("b=1"), "b=1");
        assert_eq!(Select::None.query("b=1"), "");
        let cookies = [&b"a=1; CloudFront-Policy=x;b=2"[..], b"c=3"];
        assert_eq!(Select::All.cookies(cookies.into_iter(), is_signature_cookie), "a=1; b=2; c=3");
        assert_eq!(except.cookies(cookies.into_iter(), |_| false), "CloudFront-Policy=x; b=2; c=3");
    }

    #[test]
    fn unions_keep_what_either_keeps() {
        let only = |names: &[&str]| Select::compile(&Selection::Only(list(names)));
        let except = |names: &[&str]| Select::compile(&Selection::Except(list(names)));
        for (a, b) in [
            (only(&["a"]), only(&["b"])),
            (only(&["a"]), except(&["a", "b"])),
            (except(&["a", "b"]), except(&["b", "c"])),
            (except(&["a"]), only(&["a*"])),
            (except(&["a*"]), only(&["ab", "d"])),
            (Select::None, only(&["c"])),
            (Select::All, except(&["c"])),
        ] {
            for name in ["a", "ab", "b", "c", "d"] {
                assert_eq!(a.join(&b).has(name), a.has(name) || b.has(name), "{a:?} {b:?} {name}");
                assert_eq!(b.join(&a).has(name), a.has(name) || b.has(name), "{b:?} {a:?} {name}");
            }
        }
    }
}
