//! Keys as paths. Every key has one path below its bucket, and every path that is one is that of one key.
//!
//! A part of a key that is a plain name (ASCII letters, digits, `.`, `-`, `_`, not beginning with a dot) is a folder or a file of that
//! name. In other parts each other byte, and a dot at the beginning, is `%` and two upper-case hexadecimal digits; a part that is empty
//! is `%_`. What is too long for a file name is cut into folders whose names end with `%-`. No name begins with a dot, so names that do
//! are free for what belongs to the store.

/// Longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;

/// Bytes of a piece of a name that is cut, without [`GOES_ON`].
const MAX_PIECE: usize = 252;

/// Ends the name of a folder whose name goes on in what is in it.
const GOES_ON: &str = "%-";

/// The part of a key that has no bytes.
const EMPTY: &str = "%_";

/// An object whose own path is a folder, because keys go on after it, has this name in that folder.
pub(super) const BESIDE: &str = "%o";

/// A name of a folder or of a file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A whole part of a key, or the end of one that was cut.
    Part(String),
    /// The beginning, or the middle, of a part that was cut.
    Piece(String),
    /// The object that has the folder's key.
    Beside,
}

/// Whether S3 allows the name for a bucket: 3 to 63 lower-case letters, digits, hyphens and dots, no address.
#[must_use]
pub fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && ends.into_iter().flatten().all(u8::is_ascii_alphanumeric)
        && !name.contains("..")
        && !name.starts_with("xn--")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// The names of the path of a key, which is not empty.
pub(super) fn spell(key: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in key.split('/') {
        spell_part(part, &mut names);
    }
    names
}

fn spell_part(part: &str, names: &mut Vec<String>) {
    if part.is_empty() {
        names.push(EMPTY.to_owned());
        return;
    }
    let mut rest = part;
    loop {
        let whole = spell_text(rest, usize::MAX).0;
        if whole.len() <= MAX_NAME {
            names.push(whole);
            return;
        }
        let (piece, used) = spell_text(rest, MAX_PIECE);
        names.push(piece + GOES_ON);
        rest = &rest[used..];
    }
}

/// Spells whole characters while they fit; returns how many bytes of `text` were spelled.
fn spell_text(text: &str, most: usize) -> (String, usize) {
    let mut spelled = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let plain = character.is_ascii_alphanumeric() || matches!(character, '-' | '_') || character == '.' && at > 0;
        let len = if plain { 1 } else { 3 * character.len_utf8() };
        if spelled.len() + len > most {
            return (spelled, at);
        }
        if plain {
            spelled.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                spelled.push('%');
                spelled.push(digit(byte >> 4));
                spelled.push(digit(byte & 15));
            }
        }
    }
    (spelled, text.len())
}

fn digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value & 15)])
}

/// Reads a name; `None` for one that [`spell`] never makes of anything.
pub(super) fn read(name: &str) -> Option<Name> {
    match name {
        BESIDE => return Some(Name::Beside),
        EMPTY => return Some(Name::Part(String::new())),
        _ => {}
    }
    if let Some(piece) = name.strip_suffix(GOES_ON) {
        return read_text(piece).map(Name::Piece);
    }
    read_text(name).map(Name::Part)
}

fn read_text(spelled: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(spelled.len());
    let mut rest = spelled.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (pair, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    // Only one spelling counts: otherwise two files would be one key.
    (!text.is_empty() && spell_text(&text, usize::MAX).0 == spelled).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    /// The key of a path, as a listing finds it.
    fn unspell(names: &[String]) -> Option<String> {
        let (mut key, mut goes_on) = (String::new(), true);
        for name in names {
            if !goes_on {
                key.push('/');
            }
            match read(name)? {
                Name::Part(part) => {
                    key.push_str(&part);
                    goes_on = false;
                }
                Name::Piece(piece) => {
                    key.push_str(&piece);
                    goes_on = true;
                }
                Name::Beside => return None,
            }
        }
        Some(key)
    }

    fn joined(key: &str) -> String {
        spell(key).join("/")
    }

    #[test]
    fn plain_keys_keep_their_path_and_others_have_one() {
        for key in ["a", "vod/assets/m1/HLS/m1_360.m3u8", "b1/1/video/00000007-k3.m4s", "A_b-c.d"] {
            assert_eq!(joined(key), key);
        }
        for (key, path) in [
            ("holiday 2024.final.mp4", "holiday%202024.final.mp4"),
            ("..", "%2E."),
            ("../../etc/passwd", "%2E./%2E./etc/passwd"),
            (".tmp", "%2Etmp"),
            ("/a", "%_/a"),
            ("a//b/", "a/%_/b/%_"),
            ("100%", "100%25"),
            ("%o", "%25o"),
            ("ä", "%C3%A4"),
            ("a\0b\\c", "a%00b%5Cc"),
        ] {
            assert_eq!(joined(key), path);
        }
    }

    #[test]
    fn names_that_are_too_long_are_cut() {
        assert_eq!(spell(&"x".repeat(255)), ["x".repeat(255)]);
        assert_eq!(spell(&"x".repeat(256)), [format!("{}%-", "x".repeat(252)), "x".repeat(4)]);
        let names = spell(&".".repeat(1024));
        assert!(names.iter().all(|name| name.len() <= MAX_NAME && !name.starts_with('.')));
        assert_eq!(unspell(&names).unwrap(), ".".repeat(1024));
    }

    #[test]
    fn one_spelling_counts() {
        for name in
            ["", ".", "..", ".meta", "%", "%2", "%2e.", "%41", "a%", "%zz", "a b", "%FF", "%-", "%+1", "ä", "a%o"]
        {
            assert_eq!(read(name), None, "{name:?}");
        }
    }

    #[test]
    fn names_of_buckets_are_those_of_s3() {
        for name in ["vod", "recordings", "my.bucket-1", "123", &"a".repeat(63)] {
            assert!(is_bucket_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in
            ["", "ab", &long, "Abc", "a_b", "-ab", "ab-", ".ab", "ab.", "a..b", "10.0.0.1", "xn--a", "..", "a/b", "ä12"]
        {
            assert!(!is_bucket_name(name), "{name}");
        }
    }

    fn key() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just(String::new()),
            Just(".".to_owned()),
            Just("..".to_owned()),
            "[a-zA-Z0-9._-]{1,12}",
            "[%._o-]{1,6}",
            "\\PC{0,40}",
            ".{0,300}",
            "[.a]{250,300}",
        ];
        prop::collection::vec(part, 1..6)
            .prop_map(|parts| parts.join("/"))
            .prop_filter("1 to 1024 bytes", |key| !key.is_empty() && key.len() <= 1024)
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in key()) {
            prop_assert_eq!(unspell(&spell(&key)), Some(key));
        }

        #[test]
        fn no_key_leaves_its_folder(key in key()) {
            for name in spell(&key) {
                prop_assert!(!name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && name != BESIDE);
                let mut components = Path::new(&name).components();
                prop_assert!(matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none());
            }
        }

        #[test]
        fn two_keys_have_two_paths(a in key(), b in key()) {
            prop_assert_eq!(a == b, joined(&a) == joined(&b));
        }

        #[test]
        fn any_name_is_read_or_refused(name in "\\PC{0,300}") {
            if let Some(Name::Part(part)) = read(&name) {
                let mut names = Vec::new();
                spell_part(&part, &mut names);
                prop_assert!(names.last() == Some(&name) || name.len() > MAX_NAME);
            }
        }
    }
}
