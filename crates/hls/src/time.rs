//! `EXT-X-PROGRAM-DATE-TIME`: dates of ISO 8601 with a time zone, in milliseconds since the Unix epoch.

use std::fmt::Write;

const DAY_MS: i64 = 86_400_000;

/// Days from 1 March of year 0 to the Unix epoch, in the Gregorian calendar.
const EPOCH_DAYS: i64 = 719_468;

/// Days in 400 years.
const ERA_DAYS: i64 = 146_097;

/// `unix_ms` as RFC 3339 in UTC with milliseconds, such as `2026-02-28T23:59:59.999Z`. Exact from year 0 to year 9999; outside of
/// them the year has a sign or more digits.
#[must_use]
pub fn render(unix_ms: i64) -> String {
    let mut out = String::with_capacity(24);
    push(&mut out, unix_ms);
    out
}

pub(crate) fn push(out: &mut String, unix_ms: i64) {
    let (year, month, day) = civil(unix_ms.div_euclid(DAY_MS));
    let ms = unix_ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let ms = ms % 1000;
    // Writing to a string does not fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
}

/// Reads a date with its time of day: `T` or a space between them, any number of decimals (those after the third are dropped), `Z`,
/// `+hh:mm` or `+hhmm` after it; without a zone it counts as UTC. A leap second counts as the second after.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |at: usize, len: usize| digits(bytes.get(at..at + len)?);
    let sign = |at: usize, sign: &[u8]| bytes.get(at).filter(|byte| sign.contains(byte)).map(|_| ());
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    for (at, signs) in [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")] {
        sign(at, signs)?;
    }
    if !(1..=12).contains(&month)
        || !(1..=month_days(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut kept = [b'0'; 3];
        for (kept, digit) in kept.iter_mut().zip(&fraction[..len]) {
            *kept = *digit;
        }
        ms = if len == 0 { return None } else { digits(&kept)? };
        rest = &fraction[len..];
    }
    let offset_ms = zone(rest)?;
    Some(days(year, month, day) * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms - offset_ms)
}

fn zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [_, _] => (digits(rest)?, 0),
        [_, _, b':', minutes @ ..] if minutes.len() == 2 => (digits(&rest[..2])?, digits(minutes)?),
        [_, _, _, _] => (digits(&rest[..2])?, digits(&rest[2..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a day number since the Unix epoch. Years begin in March here, so that the leap day is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_DAYS;
    let (era, day_of_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(render(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut expected = (1600, 1, 1);
        for day in days(1600, 1, 1)..days(2401, 1, 1) {
            assert_eq!(civil(day), expected);
            let (year, month, date) = expected;
            expected = match (month, date == month_days(year, month)) {
                (_, false) => (year, month, date + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn other_spellings() {
        for (text, expected) in [
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T01:00:00.000+0100", Some(0)),
            ("1969-12-31 22:30:00.5-01:30", Some(500)),
            ("1970-01-01T00:00:00.123456789Z", Some(123)),
            ("1970-01-01T00:00:00", Some(0)),
            ("1970-01-01T00:00:60Z", Some(60_000)),
            ("", None),
            ("1970-01-01", None),
            ("1970-02-29T00:00:00Z", None),
            ("1970-13-01T00:00:00Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00+1", None),
            ("1970-01-01T00:00:00Zx", None),
            ("+970-01-01T00:00:00Z", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in days(0, 1, 1) * DAY_MS..days(10_000, 1, 1) * DAY_MS) {
            prop_assert_eq!(parse(&render(ms)), Some(ms));
        }

        #[test]
        fn any_text_is_judged(text in ".*", ms: i64) {
            let _ = (parse(&text), render(ms));
        }
    }
}
