//! Secondary keys by `Vary` (RFC 9111 §4.1).

use std::borrow::Cow;
use std::sync::Arc;

/// Lists of names that are remembered for one primary key; an origin that answers with more takes turns with misses.
const MAX_LISTS: usize = 4;

/// `Vary: *`: no later request matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response varies by everything")]
pub struct VaryStar;

/// The names of a `Vary`: lower-case, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VaryNames(Box<[Box<str>]>);

impl VaryNames {
    /// Reads all lines of `Vary`; none give an empty list.
    ///
    /// # Errors
    /// There is a `*` among them.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, VaryStar> {
        let mut names: Vec<Box<str>> = lines
            .into_iter()
            .flat_map(|line| line.split(','))
            .map(|name| name.trim().to_ascii_lowercase().into_boxed_str())
            .filter(|name| !name.is_empty())
            .collect();
        if names.iter().any(|name| &**name == "*") {
            return Err(VaryStar);
        }
        names.sort_unstable();
        names.dedup();
        Ok(Self(names.into()))
    }

    /// Whether every request matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Appends to `key` the values that a request has of the named headers, brought into the form that all requests with
    /// the same meaning share. `request` gives the request's field lines of a lower-case name.
    ///
    /// White space around commas and empty members never matter. In `Accept`, `Accept-Charset`, `Accept-Encoding` and
    /// `Accept-Language` neither do order, a weight of 1, and, `Accept` apart, case.
    pub fn append_key<'r, I>(&self, request: impl Fn(&str) -> I, key: &mut Vec<u8>)
    where
        I: IntoIterator<Item = &'r str>,
    {
        for name in &self.0 {
            // Line feeds cannot stand in names or values, so keys of different requests cannot run into each other.
            key.push(b'\n');
            key.extend_from_slice(name.as_bytes());
            let lines = request(name).into_iter();
            match &**name {
                "accept" => append_weighted(lines, false, key),
                "accept-charset" | "accept-encoding" | "accept-language" => append_weighted(lines, true, key),
                _ => append_plain(lines, key),
            }
        }
    }
}

/// Appends to `key` what [`VaryNames::append_key`] does for the lines of a `Vary`.
///
/// # Errors
/// `vary` has a `*`.
pub fn vary_key<'a, 'r, I>(
    vary: impl IntoIterator<Item = &'a str>,
    request: impl Fn(&str) -> I,
    key: &mut Vec<u8>,
) -> Result<(), VaryStar>
where
    I: IntoIterator<Item = &'r str>,
{
    VaryNames::parse(vary)?.append_key(request, key);
    Ok(())
}

/// The lists of names by which the responses of one primary key vary, the newest first. Which variants are stored is the
/// cache's to know: it looks up the key of each list in turn, and the first that is there is the selected response.
#[derive(Clone, Debug, Default)]
pub struct VaryLists(Vec<Arc<VaryNames>>);

impl VaryLists {
    /// Puts the list of the newest response first. The oldest of more than four is forgotten and given back, so that
    /// its variants can be dropped.
    pub fn remember(&mut self, names: VaryNames) -> Option<Arc<VaryNames>> {
        let known = self.0.iter().position(|known| **known == names);
        let names = known.map_or_else(|| Arc::new(names), |at| self.0.remove(at));
        self.0.insert(0, names);
        if self.0.len() > MAX_LISTS { self.0.pop() } else { None }
    }

    /// The lists, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<VaryNames>> {
        self.0.iter()
    }
}

fn append_plain<'r>(lines: impl Iterator<Item = &'r str>, key: &mut Vec<u8>) {
    for member in lines.flat_map(split_unquoted).map(str::trim).filter(|member| !member.is_empty()) {
        key.push(b',');
        key.extend_from_slice(member.as_bytes());
    }
}

fn append_weighted<'r>(lines: impl Iterator<Item = &'r str>, fold_case: bool, key: &mut Vec<u8>) {
    let mut members: Vec<String> = lines
        .flat_map(split_unquoted)
        .map(|member| weighted(member, fold_case))
        .filter(|member| !member.is_empty())
        .collect();
    members.sort_unstable();
    members.dedup();
    for member in members {
        key.push(b',');
        key.extend_from_slice(member.as_bytes());
    }
}

/// A member without white space around its semicolons and with its weight in the shortest form.
fn weighted(member: &str, fold_case: bool) -> String {
    let mut out = String::with_capacity(member.len());
    for part in member.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let part = match part.strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('=')) {
            Some(weight) if !out.is_empty() => {
                let weight = weight.trim();
                let short =
                    if weight.contains('.') { weight.trim_end_matches('0').trim_end_matches('.') } else { weight };
                if short == "1" {
                    continue;
                }
                Cow::Owned(format!("q={short}"))
            }
            _ => Cow::Borrowed(part),
        };
        if !out.is_empty() {
            out.push(';');
        }
        out.push_str(&part);
    }
    if fold_case {
        out.make_ascii_lowercase();
    }
    out
}

/// Members of a list; commas may stand within quotes.
fn split_unquoted(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' if quoted => {
            escaped = true;
            false
        }
        '"' => {
            quoted = !quoted;
            false
        }
        ',' => !quoted,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(vary: &[&str], values: &[&'static str]) -> Result<Vec<u8>, VaryStar> {
        let mut key = Vec::new();
        let request = |name: &str| if name == "missing" { vec![] } else { values.to_vec() };
        vary_key(vary.iter().copied(), request, &mut key)?;
        Ok(key)
    }

    #[test]
    fn names_have_no_order_and_no_case() {
        assert_eq!(key(&["Foo, accept-language"], &["a"]), key(&["accept-language", "FOO, foo"], &["a"]));
        assert_ne!(key(&["foo"], &["a"]), key(&["foo, missing"], &["a"]));
        assert_ne!(key(&["foo"], &["a"]), key(&[], &["a"]));
        for star in [&["*"][..], &["accept, *"], &["", "*"], &[", *"]] {
            assert_eq!(key(star, &["a"]), Err(VaryStar), "{star:?}");
        }
    }

    #[test]
    fn values_with_one_meaning_have_one_key() {
        let same = |name: &'static str, a: &[&'static str], b: &[&'static str]| key(&[name], a) == key(&[name], b);
        assert!(same("foo", &["1, 2"], &["1", "2"]) && same("foo", &["1,2"], &[" 1, 2 ,"]));
        assert!(
            !same("foo", &["1, 2"], &["2, 1"]) && !same("foo", &["a"], &["A"]) && !same("foo", &["a b"], &["a  b"])
        );
        assert!(!same("foo", &["\"a,b\""], &["\"a, b\""]) && !same("foo", &[""], &["a"]));
        assert!(same("accept-language", &["en, de"], &["De ,  eN"]) && same("accept-language", &["en;q=1.0"], &["en"]));
        assert!(same("accept-encoding", &["gzip;q=0.50, br"], &["br, gzip; Q=0.5"]));
        assert!(
            !same("accept-encoding", &["gzip;q=0"], &["gzip"]) && !same("accept-encoding", &["gzip;q=10"], &["gzip"])
        );
        assert!(
            same("accept", &["text/html, a/b;q=0.3"], &["a/b;q=0.3,text/html"]) && !same("accept", &["a/B"], &["a/b"])
        );
        assert!(same("missing", &["x"], &["y"]));
    }

    #[test]
    fn the_newest_list_comes_first_and_few_are_kept() {
        let names = |text: &str| VaryNames::parse([text]).unwrap();
        let mut lists = VaryLists::default();
        for text in ["a", "b", "c", "d", "a"] {
            assert_eq!(lists.remember(names(text)), None, "{text}");
        }
        assert_eq!(lists.remember(names("e")).as_deref(), Some(&names("b")));
        let kept: Vec<String> =
            lists.iter().flat_map(|list| list.iter().map(str::to_owned).collect::<Vec<_>>()).collect();
        assert_eq!(kept, ["e", "a", "d", "c"]);
        assert!(names("").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_key(vary in "\\PC{0,40}", value in "\\PC{0,40}", near in "[a-c;q=0-9.,\" ]{0,30}") {
            for list in [vary.as_str(), "foo, accept, accept-encoding"] {
                let _ = vary_key([list], |_| vec![value.as_str(), near.as_str()], &mut Vec::new());
            }
        }
    }
}
