//! HTTP dates.

/// Month names as they stand in dates.
const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const DAYS: [&[u8]; 7] = [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
/// Two-digit years below this are of this century; RFC 850 dates are too old a form for the sliding window to matter.
const CENTURY_TURN: i64 = 70;

/// An HTTP date in any of its three forms as seconds since the Unix epoch (RFC 9110 §5.6.7).
///
/// Case of names does not matter, everything else does: a date that is written differently is none, because a wrong guess
/// would make a response fresh that the origin wanted stale. Years are those from 1601 on.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim_matches([' ', '\t']).as_bytes();
    let comma = text.iter().position(|&byte| byte == b',');
    match comma {
        Some(3) => parse_imf(text),
        Some(at) => parse_rfc850(&text[..at], &text[at + 1..]),
        None => parse_asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_imf(text: &[u8]) -> Option<i64> {
    if text.len() != 29 || !is_day(&text[..3]) || !text[26..].eq_ignore_ascii_case(b"gmt") {
        return None;
    }
    let spaced = [4, 7, 11, 16, 25].iter().all(|&at| text[at] == b' ');
    if !spaced {
        return None;
    }
    moment(number(&text[12..16])?, month(&text[8..11])?, number(&text[5..7])?, &text[17..25])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, from after the comma.
fn parse_rfc850(day: &[u8], rest: &[u8]) -> Option<i64> {
    if !DAYS.iter().any(|name| day.eq_ignore_ascii_case(name)) || rest.len() != 23 {
        return None;
    }
    let separated = rest[0] == b' ' && rest[3] == b'-' && rest[7] == b'-' && rest[10] == b' ' && rest[19] == b' ';
    if !separated || !rest[20..].eq_ignore_ascii_case(b"gmt") {
        return None;
    }
    let year = number(&rest[8..10])?;
    let year = if year < CENTURY_TURN { 2000 + year } else { 1900 + year };
    moment(year, month(&rest[4..7])?, number(&rest[1..3])?, &rest[11..19])
}

/// `Sun Nov  6 08:49:37 1994`.
fn parse_asctime(text: &[u8]) -> Option<i64> {
    if text.len() != 24 || !is_day(&text[..3]) || ![3, 7, 10, 19].iter().all(|&at| text[at] == b' ') {
        return None;
    }
    let day = if text[8] == b' ' { number(&text[9..10])? } else { number(&text[8..10])? };
    moment(number(&text[20..24])?, month(&text[4..7])?, day, &text[11..19])
}

fn is_day(name: &[u8]) -> bool {
    DAYS.iter().any(|day| day[..3].eq_ignore_ascii_case(name))
}

fn month(name: &[u8]) -> Option<i64> {
    let at = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(*month))?;
    i64::try_from(at + 1).ok()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(
        0_i64,
        |sum, digit| {
            if digit.is_ascii_digit() { Some(sum * 10 + i64::from(digit - b'0')) } else { None }
        },
    )
}

/// Seconds of a day and a time `08:49:37`; second 60 is a leap second.
fn moment(year: i64, month: i64, day: i64, time: &[u8]) -> Option<i64> {
    if time[2] != b':' || time[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&time[..2])?, number(&time[3..5])?, number(&time[6..])?);
    if year < 1601 || hour > 23 || minute > 59 || second > 60 || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last, so that month lengths follow one rule.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_three_forms_are_read_in_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "SUN, 06 NOV 1994 08:49:37 gMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse_date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(parse_date("Thursday, 18-Aug-50 02:01:18 GMT"), parse_date("Thu, 18 Aug 2050 02:01:18 GMT"));
        assert_eq!(parse_date("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
    }

    #[test]
    fn what_is_written_differently_is_no_date() {
        for text in [
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 31 Jun 2050 02:01:18 GMT",
            "Wed, 29 Feb 2001 00:00:00 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Xyz, 18 Aug 2050 02:01:18 GMT",
            "0",
            "",
            ",",
            "foo",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,40}", near in "[STMFW][a-z]{2}[, ] ?[0-9 ]{2}[ -][A-Za-z]{3}[ -][0-9:GMT ]{0,20}") {
            let _ = (parse_date(&text), parse_date(&near));
        }

        #[test]
        fn what_is_written_by_the_book_is_read_back(seconds in 0_u64..200_000_000_000) {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(parse_date(&text), Some(i64::try_from(seconds).unwrap()));
        }
    }
}
