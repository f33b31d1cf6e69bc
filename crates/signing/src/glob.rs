//! Wildcards in time linear in the text, whatever the pattern: `*` is any run, `?` one character, `\?` a question mark.

use std::ops::Range;

/// A compiled pattern: what stands between its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    /// Before the first star; the whole pattern when there is none.
    first: Piece,
    /// Between stars, none of them empty.
    middle: Vec<Piece>,
    /// After the last star; `None` without a star.
    last: Option<Piece>,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut pieces = pattern.split('*').map(Piece::new);
        let first = pieces.next().unwrap_or_else(|| Piece::Literal(String::new()));
        let mut middle: Vec<Piece> = pieces.collect();
        let last = middle.pop();
        middle.retain(|piece| piece.len() > 0);
        Self { first, middle, last }
    }

    /// Whether the pattern ends with a star.
    pub(crate) fn is_open(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.len() == 0)
    }

    /// Whether the pattern is all of `text`. Text that is not ASCII matches nothing: URLs are ASCII on the wire.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if !text.is_ascii() {
            return false;
        }
        let Some(last) = &self.last else { return self.first.equals(text) };
        let Some(end) = text.len().checked_sub(last.len()) else { return false };
        let mut at = self.first.len();
        if at > end || !self.first.equals(&text[..at]) || !last.equals(&text[end..]) {
            return false;
        }
        // The leftmost place is always the best one: it leaves the most text to the pieces that follow.
        for piece in &self.middle {
            let Some(found) = piece.find(text, at..end) else { return false };
            at = found + piece.len();
        }
        true
    }
}

/// A run without stars.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// Bytes, `None` for any one.
    Masked(Vec<Option<u8>>),
}

impl Piece {
    fn new(text: &str) -> Self {
        let mut masked = Vec::with_capacity(text.len());
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            masked.push(match byte {
                b'\\' if bytes.next_if_eq(&b'?').is_some() => Some(b'?'),
                b'?' => None,
                other => Some(other),
            });
        }
        let literal: Option<Vec<u8>> = masked.iter().copied().collect();
        literal.and_then(|bytes| String::from_utf8(bytes).ok()).map_or(Self::Masked(masked), Self::Literal)
    }

    fn len(&self) -> usize {
        match self {
            Self::Literal(text) => text.len(),
            Self::Masked(bytes) => bytes.len(),
        }
    }

    fn equals(&self, text: &str) -> bool {
        match self {
            Self::Literal(piece) => piece == text,
            Self::Masked(piece) => {
                piece.len() == text.len()
                    && piece.iter().zip(text.bytes()).all(|(want, got)| want.is_none_or(|w| w == got))
            }
        }
    }

    /// Where the piece first begins inside `range` of `text`, which is ASCII.
    fn find(&self, text: &str, range: Range<usize>) -> Option<usize> {
        let start = range.start;
        let found = match self {
            Self::Literal(piece) => text[range].find(piece.as_str()),
            Self::Masked(piece) => find_masked(piece, &text.as_bytes()[range]),
        };
        found.map(|at| start + at)
    }
}

/// Bit-parallel search: bit i of the state says that the last i+1 bytes of text match the first i+1 of the piece, so that a
/// byte of text costs one step for each 64 bytes of the piece, never a step back.
fn find_masked(piece: &[Option<u8>], text: &[u8]) -> Option<usize> {
    if piece.is_empty() || piece.len() > text.len() {
        return piece.is_empty().then_some(0);
    }
    let words = piece.len().div_ceil(64);
    let mut any = vec![0_u64; words];
    let mut rows = vec![0_u64; words * 256];
    for (i, byte) in piece.iter().enumerate() {
        let bit = 1 << (i % 64);
        match byte {
            None => any[i / 64] |= bit,
            Some(byte) => rows[usize::from(*byte) * words + i / 64] |= bit,
        }
    }
    let goal = 1 << ((piece.len() - 1) % 64);
    let mut state = vec![0_u64; words];
    for (at, byte) in text.iter().enumerate() {
        let row = &rows[usize::from(*byte) * words..][..words];
        let mut carry = 1;
        for ((state, row), any) in state.iter_mut().zip(row).zip(&any) {
            let shifted = *state << 1 | carry;
            carry = *state >> 63;
            *state = shifted & (row | any);
        }
        if state[words - 1] & goal != 0 {
            return Some(at + 1 - piece.len());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in exponential time.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|at| reference(rest, &text[at..])),
            [b'\\', b'?', rest @ ..] => text.first() == Some(&b'?') && reference(rest, &text[1..]),
            [b'?', rest @ ..] => !text.is_empty() && reference(rest, &text[1..]),
            [byte, rest @ ..] => text.first() == Some(byte) && reference(rest, &text[1..]),
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("*.m4s", "12.m4s", true),
            ("*.m4s", "12.m4s2", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            (r"a\?c", "a?c", true),
            (r"a\?c", "abc", false),
            (r"a\c", r"a\c", true),
            ("*a?b*c?d*", "xxaXbyycZdzz", true),
            ("*é*", "é", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn hostile_patterns_cost_little() {
        let text = "a".repeat(8192);
        let started = std::time::Instant::now();
        for pattern in
            ["a*".repeat(4000) + "b", format!("*{}b*", "a".repeat(4000)), format!("*{}?b*", "a".repeat(4000))]
        {
            assert!(!Glob::new(&pattern).matches(&text));
        }
        // Release builds take under a millisecond each; going back over the text would take seconds here.
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[ab*?\\]{0,9}", text in r"[ab?\\]{0,12}") {
            prop_assert_eq!(Glob::new(&pattern).matches(&text), reference(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn long_masks_agree_with_the_definition(before in "[ab]{0,80}", core in "[ab]{60,140}", after in "[ab]{0,80}", hole in 0_usize..60) {
            let mut pattern = core.clone();
            pattern.replace_range(hole..=hole, "?");
            let text = format!("{before}{core}{after}");
            let found = find_masked(&pattern.bytes().map(|b| (b != b'?').then_some(b)).collect::<Vec<_>>(), text.as_bytes());
            let expected = (0..=text.len() - pattern.len())
                .find(|at| text[*at..].bytes().zip(pattern.bytes()).all(|(t, p)| p == b'?' || p == t));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_text_is_judged(pattern in ".*", text in ".*") {
            let _ = Glob::new(&pattern).matches(&text);
        }
    }
}
