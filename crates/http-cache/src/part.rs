//! Stored `206` answers (RFC 9111 §3.3, §3.4).

use std::ops::Range;

use crate::range::parse_ranges;

/// The byte range that a `206` brings (RFC 9110 §14.4): `bytes 4-9/10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Bytes of the representation.
    pub range: Range<u64>,
    /// Length of the whole, if the origin knows it.
    pub complete: Option<u64>,
}

impl ContentRange {
    /// Reads the value of `Content-Range`; `None` for other units, unsatisfied ranges and contradictions.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        let (range, complete) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let (first, last) = (digits(first)?, digits(last)?);
        let complete = if complete == "*" { None } else { Some(digits(complete)?) };
        if !unit.eq_ignore_ascii_case("bytes") || last < first || complete.is_some_and(|complete| last >= complete) {
            return None;
        }
        Some(Self { range: first..last.checked_add(1)?, complete })
    }
}

/// A part of a representation that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// Where it lies.
    pub place: ContentRange,
    /// `ETag`, if it is a strong one: without it parts cannot be told to be of one representation.
    pub strong_etag: Option<Box<str>>,
}

impl StoredPart {
    /// The part that a `206` brought, if its body had the length that `Content-Range` says.
    #[must_use]
    pub fn new(content_range: &str, etag: Option<&str>, body_length: u64) -> Option<Self> {
        let place = ContentRange::parse(content_range)?;
        let whole = place.range.end - place.range.start == body_length;
        let strong_etag = etag.filter(|tag| tag.starts_with('"')).map(Into::into);
        whole.then_some(Self { place, strong_etag })
    }

    /// The bytes of the stored body that answer a `Range`, if it holds them all; the caller has dealt with `If-Range`.
    #[must_use]
    pub fn answer(&self, range: &str) -> Option<Range<u64>> {
        let wanted = match (parse_ranges(range)?.as_slice(), self.place.complete) {
            (&[one], Some(complete)) => one.within(complete)?,
            (&[one], None) => one.closed()?,
            _ => return None,
        };
        let held = &self.place.range;
        let covered = wanted.start >= held.start && wanted.end <= held.end;
        covered.then(|| wanted.start - held.start..wanted.end - held.start)
    }

    /// Whether two parts may be put together (RFC 9111 §3.4): same strong validator, same length, no gap.
    #[must_use]
    pub fn joins(&self, next: &Self) -> bool {
        self.strong_etag.is_some()
            && self.strong_etag == next.strong_etag
            && self.place.complete == next.place.complete
            && next.place.range.start <= self.place.range.end
            && self.place.range.start <= next.place.range.end
    }

    /// `Range` and `If-Range` for the rest of the representation, if this is its beginning and has a strong validator.
    #[must_use]
    pub fn ask_for_rest(&self) -> Option<(String, &str)> {
        let etag = self.strong_etag.as_deref()?;
        let rest = self.place.range.start == 0 && self.place.complete != Some(self.place.range.end);
        rest.then(|| (format!("bytes={}-", self.place.range.end), etag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_by_the_table() {
        let read = |text| ContentRange::parse(text).map(|found| (found.range, found.complete));
        assert_eq!(read("bytes 4-9/10"), Some((4..10, Some(10))));
        assert_eq!(read("Bytes 0-0/*"), Some((0..1, None)));
        for text in [
            "bytes */10",
            "bytes 4-9/9",
            "bytes 9-4/10",
            "items 0-1/2",
            "bytes 0-1",
            "bytes +1-2/3",
            "bytes 0-18446744073709551615/*",
            "x",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_part_answers_what_it_holds() {
        assert_eq!(StoredPart::new("bytes 4-9/10", None, 5), None, "a truncated body");
        let part = StoredPart::new("bytes 4-9/10", Some("\"a\""), 6).unwrap();
        for (range, answer) in [
            ("bytes=-5", Some(1..6)),
            ("bytes=6-8", Some(2..5)),
            ("bytes=6-", Some(2..6)),
            ("bytes=-1", Some(5..6)),
            ("bytes=4-", Some(0..6)),
            ("bytes=3-5", None),
            ("bytes=4-5,7-8", None),
            ("bytes=x", None),
        ] {
            assert_eq!(part.answer(range), answer, "{range}");
        }
        let open = StoredPart::new("bytes 4-9/*", None, 6).unwrap();
        assert_eq!(
            (open.answer("bytes=5-6"), open.answer("bytes=5-"), open.answer("bytes=-1")),
            (Some(1..3), None, None)
        );
    }

    #[test]
    fn parts_join_by_a_strong_validator() {
        let part = |range, etag| StoredPart::new(range, etag, 5).unwrap();
        let first = part("bytes 0-4/10", Some("\"a\""));
        assert!(first.joins(&part("bytes 5-9/10", Some("\"a\""))));
        assert!(
            !first.joins(&part("bytes 5-9/10", Some("\"b\""))) && !first.joins(&part("bytes 5-9/11", Some("\"a\"")))
        );
        assert!(!part("bytes 0-4/10", Some("W/\"a\"")).joins(&part("bytes 5-9/10", Some("W/\"a\""))));
        assert_eq!(first.ask_for_rest(), Some(("bytes=5-".to_owned(), "\"a\"")));
        assert_eq!(part("bytes 0-4/5", Some("\"a\"")).ask_for_rest(), None);
        assert_eq!(part("bytes 0-4/10", None).ask_for_rest(), None);
    }

    proptest::proptest! {
        #[test]
        fn an_answer_lies_within_the_part(text in "\\PC{0,30}", near in "bytes [0-9]{1,3}-[0-9]{1,3}/[0-9*]{1,3}", range in "bytes=[0-9,-]{0,12}", length in 0_u64..100) {
            let _ = ContentRange::parse(&text);
            if let Some(answer) = StoredPart::new(&near, None, length).and_then(|part| part.answer(&range)) {
                assert!(answer.start < answer.end && answer.end <= length);
            }
        }
    }
}
