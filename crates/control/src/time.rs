//! Times on the wire: RFC 3339 in UTC, seconds or milliseconds.

const DAY_SECONDS: i64 = 86_400;

/// `2026-11-21T03:04:05Z` of Unix seconds.
pub(crate) fn render_seconds(seconds: i64) -> String {
    let (day, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same with milliseconds, of Unix milliseconds.
pub(crate) fn render_ms(ms: i64) -> String {
    let text = render_seconds(ms.div_euclid(1000));
    format!("{}.{:03}Z", text.trim_end_matches('Z'), ms.rem_euclid(1000))
}

/// The same of a time of the file system; what is before 1970 counts as then.
pub(crate) fn render_system(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    render_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The month in UTC that a time is in, by Unix milliseconds: its name such as `2026-11`, its beginning and its end.
pub(crate) fn month(ms: i64) -> (String, i64, i64) {
    let (year, month, _) = civil(ms.div_euclid(1000 * DAY_SECONDS));
    let begins = |year, month| days(year, month, 1) * DAY_SECONDS * 1000;
    let ends = if month == 12 { begins(year + 1, 1) } else { begins(year, month + 1) };
    (format!("{year:04}-{month:02}"), begins(year, month), ends)
}

/// Beginning and end of the month of that name, in Unix milliseconds.
pub(crate) fn parse_month(name: &str) -> Option<(i64, i64)> {
    let (_, begins, ends) = month(parse_seconds(&format!("{name}-01T00:00:00Z"))?.checked_mul(1000)?);
    Some((begins, ends))
}

/// Unix seconds of an RFC 3339 time; a fraction is cut off.
pub(crate) fn parse_seconds(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, date) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    if hour > 23 || minute > 59 || second > 60 || !(1..=12).contains(&month) {
        return None;
    }
    let day = days(year, month, date);
    // Tells February the 30th from March the 2nd.
    if civil(day) != (year, month, date) {
        return None;
    }
    let rest = text.get(19..)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return None;
            }
            zone
        }
        None => rest,
    };
    Some(day * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset(zone)?)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 || !zone[1..].bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that the leap day is the last.
fn days(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + date - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The reverse of [`days`].
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(render_seconds(seconds), text);
            assert_eq!(parse_seconds(text), Some(seconds));
        }
        assert_eq!(render_ms(1_767_225_600_042), "2026-01-01T00:00:00.042Z");
        assert_eq!(parse_seconds("2026-01-01T02:00:00.5+02:00"), Some(1_767_225_600));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-01-01",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn months_follow_each_other() {
        let (name, begins, ends) = month(1_767_225_599_999);
        assert_eq!((name.as_str(), ends, parse_month("2025-12")), ("2025-12", 1_767_225_600_000, Some((begins, ends))));
        assert_eq!(month(ends).0, "2026-01");
        for wrong in ["2026-13", "2026", "26-01", "", "2026-1", "2026-01-01"] {
            assert_eq!(parse_month(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_round_trips() {
        for day in -1000..60_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }
}
