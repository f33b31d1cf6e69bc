//! Range requests to whole representations.

use std::ops::Range;

use crate::parse_date;

/// Ranges of one request that are looked at; more are answered with everything.
const MAX_RANGES: usize = 16;

/// What a range request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeAnswer {
    /// `200` with everything: no range, one that is not understood, several with gaps, or `If-Range` does not hold.
    Whole,
    /// `206` with these bytes; never empty.
    Part(Range<u64>),
    /// `416`.
    Unsatisfiable,
}

/// Evaluates `Range` and `If-Range` on a representation of `length` bytes (RFC 9110 §14.2, §13.1.5). Only for GET and a stored
/// status of 200.
///
/// Several ranges that overlap or touch are one (RFC 9110 §15.3.7.2); several with gaps are answered with everything, which
/// §14.2 leaves to the server.
#[must_use]
pub fn evaluate_range(
    range: Option<&str>,
    if_range: Option<&str>,
    etag: Option<&str>,
    last_modified: Option<i64>,
    length: u64,
) -> RangeAnswer {
    let Some(range) = range else { return RangeAnswer::Whole };
    if if_range.is_some_and(|validator| !if_range_holds(validator.trim(), etag, last_modified)) {
        return RangeAnswer::Whole;
    }
    let Some(asked) = parse_ranges(range) else { return RangeAnswer::Whole };
    let mut parts: Vec<Range<u64>> = asked.iter().filter_map(|one| one.within(length)).collect();
    parts.sort_unstable_by_key(|part| part.start);
    let Some(mut whole) = parts.first().cloned() else { return RangeAnswer::Unsatisfiable };
    for part in &parts[1..] {
        if part.start > whole.end {
            return RangeAnswer::Whole;
        }
        whole.end = whole.end.max(part.end);
    }
    RangeAnswer::Part(whole)
}

/// One range as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// From the first byte to the last, or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Asked {
    /// Its bytes of a representation of that length; `None` if there are none.
    pub(crate) fn within(self, length: u64) -> Option<Range<u64>> {
        let part = match self {
            Self::From(first, last) => first..last.map_or(length, |last| last.saturating_add(1).min(length)),
            Self::Last(suffix) => length.saturating_sub(suffix)..length,
        };
        (part.start < part.end).then_some(part)
    }

    /// Its bytes if they do not depend on the length.
    pub(crate) fn closed(self) -> Option<Range<u64>> {
        match self {
            Self::From(first, Some(last)) => Some(first..last.checked_add(1)?),
            _ => None,
        }
    }
}

/// Strong comparison is required (RFC 9110 §13.1.5); a date must be the stored one exactly.
fn if_range_holds(validator: &str, etag: Option<&str>, last_modified: Option<i64>) -> bool {
    if validator.starts_with('"') {
        return etag == Some(validator);
    }
    if validator.starts_with("W/") {
        return false;
    }
    parse_date(validator).is_some_and(|date| last_modified == Some(date))
}

/// The ranges of a `Range`; `None` when it is not understood as a whole.
pub(crate) fn parse_ranges(range: &str) -> Option<Vec<Asked>> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut asked = Vec::with_capacity(1);
    for one in set.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let (first, last) = one.split_once('-')?;
        let one = match (position(first)?, position(last)?) {
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), last) => Asked::From(first, last),
            (None, Some(suffix)) => Asked::Last(suffix),
            (None, None) => return None,
        };
        if asked.len() == MAX_RANGES {
            return None;
        }
        asked.push(one);
    }
    (!asked.is_empty()).then_some(asked)
}

/// Digits or nothing; a number beyond 64 bits is beyond every object.
fn position(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_the_table() {
        use RangeAnswer::{Part, Unsatisfiable, Whole};
        for (range, answer) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=2-5", Part(2..6)),
            ("Bytes=2-", Part(2..10)),
            ("bytes=2-99999999999999999999999", Part(2..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-30", Part(0..10)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=10-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=5-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=3-4, 0-1,2-3", Part(0..5)),
            ("bytes=0-1,2-", Part(0..10)),
            ("bytes=0-1,99-", Part(0..2)),
            ("bytes=98-,99-", Unsatisfiable),
            ("bytes=0-1,4-3", Whole),
            ("bytes=,", Whole),
            ("bytes=-", Whole),
            ("bytes= 1 - 2", Whole),
            ("bytes=+1-2", Whole),
            ("items=0-1", Whole),
            ("bytes", Whole),
        ] {
            assert_eq!(evaluate_range(Some(range), None, None, None, 10), answer, "{range}");
        }
        assert_eq!(evaluate_range(Some("bytes=-1"), None, None, None, 0), Unsatisfiable);
        assert_eq!(evaluate_range(None, None, None, None, 0), Whole);
    }

    #[test]
    fn if_range_needs_the_same_strong_validator() {
        let ask = |validator| evaluate_range(Some("bytes=0-0"), Some(validator), Some("\"a\""), Some(1000), 10);
        assert_eq!(ask("\"a\""), RangeAnswer::Part(0..1));
        assert_eq!(ask("Thu, 01 Jan 1970 00:16:40 GMT"), RangeAnswer::Part(0..1));
        for validator in ["\"b\"", "W/\"a\"", "Thu, 01 Jan 1970 00:16:41 GMT", "a", ""] {
            assert_eq!(ask(validator), RangeAnswer::Whole, "{validator}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_part_lies_within(range in "(bytes=)?[0-9,\\- ]{0,30}", other in "\\PC{0,20}", length: u64) {
            if let RangeAnswer::Part(part) = evaluate_range(Some(&range), None, None, None, length) {
                assert!(part.start < part.end && part.end <= length);
            }
            let _ = evaluate_range(Some(&other), Some(&range), Some(&other), None, length);
        }
    }
}
