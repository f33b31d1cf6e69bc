//! Copies of a signature's parameters under other names (`Policy-PREFIX`), which a playlist hands to what it names.

use std::borrow::Cow;

use anabranch_model::{Behavior, Selection, Transform};
use anabranch_signing::is_reserved;

/// How a behavior knows copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copies {
    /// What stands after or before the name of the parameter that it is a copy of; not empty.
    mark: Box<str>,
    /// Whether neither cache key nor origin get them: no policy names one.
    withheld: bool,
}

/// The queries of what a playlist names, as the viewer wrote the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed<'q> {
    /// Of playlists: the signature, and the copies for what they name in their turn.
    pub(crate) playlists: Cow<'q, str>,
    /// Of everything else: the signature.
    pub(crate) others: Cow<'q, str>,
}

impl Copies {
    /// Of a behavior that has playlists and a mark.
    pub(crate) fn compile(behavior: &Behavior) -> Option<Self> {
        if behavior.transform != Transform::SignedPlaylist || behavior.copy_mark.is_empty() {
            return None;
        }
        let mut copies = Self { mark: behavior.copy_mark.as_str().into(), withheld: true };
        let named = |selection: &Selection| match selection {
            Selection::Only(names) => names.iter().any(|name| copies.original(name).is_some()),
            Selection::None | Selection::All | Selection::Except(_) => false,
        };
        copies.withheld = !named(&behavior.cache.query) && !named(&behavior.origin_request.query);
        Some(copies)
    }

    /// The name of the parameter that `name` is a copy of.
    fn original<'n>(&self, name: &'n str) -> Option<&'n str> {
        let original = name.strip_suffix(&*self.mark).or_else(|| name.strip_prefix(&*self.mark))?;
        is_reserved(original).then_some(original)
    }

    /// What cache key and origin see of a query.
    pub(crate) fn strip<'q>(&self, query: Cow<'q, str>) -> Cow<'q, str> {
        if !self.withheld || !query.contains(&*self.mark) {
            return query;
        }
        let is_own = |parameter: &&str| self.original(name(parameter)).is_none();
        Cow::Owned(query.split('&').filter(is_own).collect::<Vec<_>>().join("&"))
    }

    /// The copies in a query, if they make a signature. Of a repeated one the first counts, and where there is a policy no expiry.
    pub(crate) fn handed(&self, query: &str) -> Option<Handed<'static>> {
        if !query.contains(&*self.mark) {
            return None;
        }
        // Name of the original, the copy as it stands, and its value.
        let mut found: Vec<(&str, &str, &str)> = Vec::new();
        for parameter in query.split('&') {
            let Some(original) = self.original(name(parameter)) else { continue };
            let value = parameter.split_once('=').map_or("", |(_, value)| value);
            if !value.is_empty() && found.iter().all(|(known, ..)| *known != original) {
                found.push((original, parameter, value));
            }
        }
        let has = |wanted: &str| found.iter().any(|(original, ..)| *original == wanted);
        if !has("Signature") || !has("Key-Pair-Id") || !(has("Policy") || has("Expires")) {
            return None;
        }
        if has("Policy") {
            found.retain(|(original, ..)| *original != "Expires");
        }
        let others =
            found.iter().map(|(original, _, value)| format!("{original}={value}")).collect::<Vec<_>>().join("&");
        let copies = found.iter().map(|(_, copy, _)| *copy).collect::<Vec<_>>().join("&");
        Some(Handed { playlists: format!("{others}&{copies}").into(), others: others.into() })
    }
}

fn name(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::tests::distribution;

    fn copies(change: impl FnOnce(&mut Behavior)) -> Option<Copies> {
        let mut behavior = distribution().default_behavior;
        behavior.transform = Transform::SignedPlaylist;
        change(&mut behavior);
        Copies::compile(&behavior)
    }

    #[test]
    fn copies_become_the_signature_of_what_a_playlist_names() {
        let copies = copies(|_| {}).unwrap();
        for (query, others, copied) in [
            (
                "Policy=p&Signature=s&Key-Pair-Id=K&Policy-PREFIX=q~_&Signature-PREFIX=t%7E=&Key-Pair-Id-PREFIX=L",
                "Policy=q~_&Signature=t%7E=&Key-Pair-Id=L",
                "Policy-PREFIX=q~_&Signature-PREFIX=t%7E=&Key-Pair-Id-PREFIX=L",
            ),
            (
                "Key-Pair-Id-PREFIX=L&a=1&Expires-PREFIX=9&Signature-PREFIX=t&Hash-Algorithm-PREFIX=SHA256",
                "Key-Pair-Id=L&Expires=9&Signature=t&Hash-Algorithm=SHA256",
                "Key-Pair-Id-PREFIX=L&Expires-PREFIX=9&Signature-PREFIX=t&Hash-Algorithm-PREFIX=SHA256",
            ),
            (
                "-PREFIXPolicy=q&-PREFIXSignature=t&-PREFIXKey-Pair-Id=L&Policy-PREFIX=r&Expires-PREFIX=%0A",
                "Policy=q&Signature=t&Key-Pair-Id=L",
                "-PREFIXPolicy=q&-PREFIXSignature=t&-PREFIXKey-Pair-Id=L",
            ),
        ] {
            let handed = Handed { playlists: format!("{others}&{copied}").into(), others: others.into() };
            assert_eq!(copies.handed(query), Some(handed), "{query}");
        }
        for query in [
            "",
            "Policy=p&Signature=s&Key-Pair-Id=K",
            "Policy-PREFIX=q&Signature-PREFIX=t",
            "Policy-PREFIX=q&Key-Pair-Id-PREFIX=L",
            "Signature-PREFIX=t&Key-Pair-Id-PREFIX=L",
            "Policy-PREFIX=&Signature-PREFIX=t&Key-Pair-Id-PREFIX=L",
            "policy-PREFIX=q&Signature-PREFIX=t&Key-Pair-Id-PREFIX=L",
            "Policy-prefix=q&Signature-PREFIX=t&Key-Pair-Id-PREFIX=L",
        ] {
            assert_eq!(copies.handed(query), None, "{query}");
        }
    }

    #[test]
    fn copies_are_withheld_unless_a_policy_names_one() {
        let query = "a=1&Policy-PREFIX=q&b-PREFIX=2&Signature-PREFIX=t";
        let kept = copies(|_| {}).unwrap();
        assert_eq!(kept.strip(query.into()), "a=1&b-PREFIX=2");
        assert!(matches!(kept.strip("a=1".into()), Cow::Borrowed("a=1")));
        let all = copies(|behavior| behavior.origin_request.query = Selection::All).unwrap();
        assert_eq!(all.strip(query.into()), "a=1&b-PREFIX=2");
        let names = Selection::Only(vec!["a".to_owned(), "Policy-PREFIX".to_owned()]);
        let named = copies(|behavior| behavior.origin_request.query = names).unwrap();
        assert_eq!(named.strip(query.into()), query);
        assert_eq!(copies(|behavior| behavior.copy_mark.clear()), None);
        assert_eq!(copies(|behavior| behavior.transform = Transform::None), None);
        let other = copies(|behavior| behavior.copy_mark = "_x".to_owned()).unwrap();
        assert_eq!(other.strip("Policy_x=1&Policy-PREFIX=2".into()), "Policy-PREFIX=2");
    }

    proptest! {
        #[test]
        fn any_query_is_read(query in "((Policy|Signature|Key-Pair-Id|Expires|a)?(-PREFIX)?(=|%|[a-z0-9]|é)*&?){0,9}") {
            let copies = copies(|_| {}).unwrap();
            let own = copies.strip(query.as_str().into()).into_owned();
            prop_assert_eq!(copies.handed(&own), None);
            if let Some(handed) = copies.handed(&query) {
                prop_assert_eq!(copies.strip((&*handed.playlists).into()), &*handed.others);
                // A playlist that got them hands on the same.
                prop_assert_eq!(copies.handed(&handed.playlists), Some(handed));
            }
        }
    }
}
