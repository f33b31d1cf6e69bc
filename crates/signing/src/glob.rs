//! Wildcards in time linear in the text, whatever the pattern: `*` is any run, `?` one character, `\?` a question mark.
//!
//! What a match costs is bounded by its two lengths alone, see [`steps_at_most`]: pieces between stars are searched one after the
//! other, each from where the last one ended, and no byte of text is looked at again.

use std::ops::Range;

/// Longest run with a `?` in it between two stars, in bytes. Each 64 of them are one more step for each byte of text. Runs without
/// a `?`, and those at the ends of the pattern, have no limit but the policy's own.
pub(crate) const MASK_MAX_BYTES: usize = 1024;

/// Bits of a word of the search's state.
const WORD: usize = u64::BITS as usize;

/// A compiled pattern: what stands between its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    /// The pattern without its stars, a literal question mark without its escape.
    text: String,
    /// For each byte of `text`, whether it stands for any one.
    any: Vec<bool>,
    /// Before the first star; the whole pattern when there is none.
    first: Piece,
    /// Between stars, none of them empty.
    middle: Vec<Piece>,
    /// After the last star; `None` without a star.
    last: Option<Piece>,
}

/// A run without stars: where it stands in the pattern's text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    at: Range<usize>,
    /// Whether it has a `?` for any character.
    masked: bool,
}

impl Glob {
    /// Compiles a pattern; `None` when a run between two stars has a `?` and is longer than [`MASK_MAX_BYTES`].
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        let mut text = String::with_capacity(pattern.len());
        let mut any = Vec::with_capacity(pattern.len());
        let mut pieces = pattern.split('*').map(|run| {
            let from = text.len();
            let masked = unescape(run, &mut text, &mut any);
            Piece { at: from..text.len(), masked }
        });
        let first = pieces.next()?;
        let mut middle: Vec<Piece> = pieces.collect();
        let last = middle.pop();
        middle.retain(|piece| !piece.at.is_empty());
        if middle.iter().any(|piece| piece.masked && piece.at.len() > MASK_MAX_BYTES) {
            return None;
        }
        Some(Self { text, any, first, middle, last })
    }

    /// Whether the pattern ends with a star.
    pub(crate) fn is_open(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.at.is_empty())
    }

    /// Whether the pattern is all of `text`. Text that is not ASCII matches nothing: URLs are ASCII on the wire.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.search(text, &mut Search::default())
    }

    fn search(&self, text: &str, search: &mut Search) -> bool {
        // Stars stand for nothing at least, so a text must hold every other character of the pattern.
        if text.len() < self.text.len() || !text.is_ascii() {
            return false;
        }
        let Some(last) = &self.last else { return self.equals(&self.first, text) };
        let (mut at, end) = (self.first.at.len(), text.len() - last.at.len());
        if !self.equals(&self.first, &text[..at]) || !self.equals(last, &text[end..]) {
            return false;
        }
        // The leftmost place is always the best one: it leaves the most text to the pieces that follow.
        for piece in &self.middle {
            let rest = &text[at..end];
            let found = if piece.masked {
                search.masked(&self.text.as_bytes()[piece.at.clone()], &self.any[piece.at.clone()], rest.as_bytes())
            } else {
                let found = rest.find(&self.text[piece.at.clone()]);
                search.count(found.map_or(rest.len(), |found| found + piece.at.len()));
                found
            };
            let Some(found) = found else { return false };
            at += found + piece.at.len();
        }
        true
    }

    fn equals(&self, piece: &Piece, text: &str) -> bool {
        let (wanted, any) = (&self.text[piece.at.clone()], &self.any[piece.at.clone()]);
        if !piece.masked {
            return wanted == text;
        }
        wanted.len() == text.len() && wanted.bytes().zip(any).zip(text.bytes()).all(|((w, any), got)| *any || w == got)
    }
}

/// Appends a run without its escapes, and says whether it has a `?` for any character.
fn unescape(run: &str, text: &mut String, any: &mut Vec<bool>) -> bool {
    let from = any.len();
    let mut rest = run;
    while let Some(mark) = rest.find('?') {
        let (before, after) = (&rest[..mark], &rest[mark + 1..]);
        let literal = before.strip_suffix('\\');
        text.push_str(literal.unwrap_or(before));
        any.resize(text.len(), false);
        text.push('?');
        any.push(literal.is_none());
        rest = after;
    }
    text.push_str(rest);
    any.resize(text.len(), false);
    any[from..].contains(&true)
}

/// The most steps that a match takes; a step is a byte compared or 64 bits shifted and masked. Each byte of the text is passed once by
/// one piece, and the tables are made once and then written and cleared by the pieces' own bytes.
#[cfg(test)]
const fn steps_at_most(pattern_bytes: usize, text_bytes: usize) -> usize {
    let words = MASK_MAX_BYTES / WORD;
    words * 256 + 3 * pattern_bytes + text_bytes * words
}

/// Tables of the search for masked pieces, made for the first one and used again.
#[derive(Default)]
struct Search {
    /// For each byte and each word, the places of the piece where it fits.
    rows: Vec<u64>,
    /// For each word, the places of the piece where every byte fits.
    any: Vec<u64>,
    state: Vec<u64>,
    #[cfg(test)]
    steps: usize,
}

impl Search {
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests count"))]
    fn count(&mut self, steps: usize) {
        #[cfg(test)]
        {
            self.steps += steps;
        }
        #[cfg(not(test))]
        let _ = steps;
    }

    /// Where a piece of at most [`MASK_MAX_BYTES`] first begins in `text`. Bit i of the state says that the last i+1 bytes of text
    /// match the first i+1 of the piece, so that a byte of text costs one step for each 64 bytes of the piece, never a step back.
    fn masked(&mut self, piece: &[u8], any: &[bool], text: &[u8]) -> Option<usize> {
        if piece.len() > text.len() {
            return None;
        }
        if self.rows.is_empty() {
            let words = MASK_MAX_BYTES / WORD;
            self.count(words * 256);
            self.rows = vec![0; words * 256];
            self.any = vec![0; words];
            self.state = vec![0; words];
        }
        self.fill(piece, any);
        let found = self.run(piece.len(), text);
        self.clear(piece);
        found
    }

    fn fill(&mut self, piece: &[u8], any: &[bool]) {
        self.count(piece.len());
        for (place, (byte, any)) in piece.iter().zip(any).enumerate() {
            let bit = 1 << (place % WORD);
            if *any {
                self.any[place / WORD] |= bit;
            } else {
                self.rows[row(*byte) + place / WORD] |= bit;
            }
        }
    }

    fn clear(&mut self, piece: &[u8]) {
        self.count(piece.len());
        for (place, byte) in piece.iter().enumerate() {
            self.any[place / WORD] = 0;
            self.state[place / WORD] = 0;
            self.rows[row(*byte) + place / WORD] = 0;
        }
    }

    fn run(&mut self, piece_bytes: usize, text: &[u8]) -> Option<usize> {
        let words = piece_bytes.div_ceil(WORD);
        let goal = 1 << ((piece_bytes - 1) % WORD);
        for (at, byte) in text.iter().enumerate() {
            let fits = &self.rows[row(*byte)..][..words];
            let mut carry = 1;
            for ((state, fits), any) in self.state.iter_mut().zip(fits).zip(&self.any) {
                let shifted = *state << 1 | carry;
                carry = *state >> (WORD - 1);
                *state = shifted & (fits | any);
            }
            if self.state[words - 1] & goal != 0 {
                self.count((at + 1) * words);
                return Some(at + 1 - piece_bytes);
            }
        }
        self.count(text.len() * words);
        None
    }
}

/// Where the words of a byte begin.
fn row(byte: u8) -> usize {
    usize::from(byte) * (MASK_MAX_BYTES / WORD)
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
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).unwrap().matches(text)
    }

    /// Judges and gives the steps that it took.
    fn steps(pattern: &str, text: &str) -> usize {
        let mut search = Search::default();
        let _ = Glob::new(pattern).unwrap().search(text, &mut search);
        search.steps
    }

    #[test]
    fn no_pattern_costs_more_than_its_length_and_the_texts() {
        // Pattern and text of the greatest length that a policy and a URL have. 160,000 steps of a nanosecond or so.
        const MOST: usize = crate::POLICY_MAX_BYTES;
        const { assert!(steps_at_most(MOST, MOST) < 160_000) };
        let text = "a".repeat(MOST);
        let run = "a".repeat(MASK_MAX_BYTES - 2);
        for pattern in [
            "a*".repeat(MOST / 2 - 1) + "b",
            format!("*{}b*", "a".repeat(MOST / 2)),
            format!("*{run}?b*"),
            format!("*?{run}*?b{run}*"),
            "*?a".repeat(MOST / 3 - 1) + "*",
            "*?a".repeat(MOST / 3 - 2) + "*b*",
            "*?".repeat(MOST / 2 - 1) + "*",
            format!("*?{}*", "a".repeat(63)).repeat(MOST / 66),
            format!("*?{run}*").repeat(7) + "*?b*",
            "?".repeat(MOST),
        ] {
            let spent = steps(&pattern, &text);
            assert!(spent <= steps_at_most(pattern.len(), text.len()), "{spent}: {pattern:.20}");
        }
        // The worst is really reached, so that the bound is not idle.
        assert!(steps(&format!("*{run}?b*"), &text) > MOST * 15);
    }

    #[test]
    fn long_runs_with_question_marks_are_no_patterns() {
        let run = "a".repeat(MASK_MAX_BYTES - 1);
        assert!(matches(&format!("*{run}?*"), &format!("b{run}bb")));
        assert_eq!(Glob::new(&format!("*{run}?a*")), None);
        for pattern in [format!("{run}?a*"), format!("*{run}?a"), format!("*{run}aa*"), format!("*{run}\\?a*")] {
            assert!(Glob::new(&pattern).is_some(), "{pattern:.20}");
        }
    }

    #[test]
    fn tables_are_clean_for_the_next_piece() {
        assert!(!matches("*ab?*ab?*", "abcab"));
        assert!(matches("*ab?*b?a*", "abcabba"));
        assert!(!matches("*?b*?a*", "abbb"));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[ab*?\\]{0,9}", text in r"[ab?\\]{0,12}") {
            prop_assert_eq!(matches(&pattern, &text), reference(pattern.as_bytes(), text.as_bytes()));
            prop_assert!(steps(&pattern, &text) <= steps_at_most(pattern.len(), text.len()));
        }

        #[test]
        fn long_masks_agree_with_the_definition(before in "[ab]{0,80}", core in "[ab]{60,140}", after in "[ab]{0,80}", hole in 0_usize..60) {
            let mut pattern = core.clone();
            pattern.replace_range(hole..=hole, "?");
            let text = format!("{before}{core}{after}");
            let any: Vec<bool> = pattern.bytes().map(|b| b == b'?').collect();
            let found = Search::default().masked(pattern.as_bytes(), &any, text.as_bytes());
            let expected = (0..=text.len() - pattern.len())
                .find(|at| text[*at..].bytes().zip(pattern.bytes()).all(|(t, p)| p == b'?' || p == t));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_text_is_judged(pattern in ".*", text in ".*") {
            let _ = Glob::new(&pattern).map(|glob| glob.matches(&text));
        }
    }
}
