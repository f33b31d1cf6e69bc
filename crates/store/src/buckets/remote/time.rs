//! Times as S3 writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the epoch as `YYYYMMDDTHHMMSSZ`.
pub(super) fn compact(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar from days, with years that begin in March so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A time of a listing: `2026-11-21T14:41:39.123Z`, with or without a fraction. None for what is no such time since the epoch.
pub(super) fn listed(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (date, time) = whole.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    let (year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_era = year * 365 + year / 4 - year / 100 + year / 400 + (153 * march_month + 2) / 5 + day - 1;
    let days = day_of_era.checked_sub(719_468)?;
    UNIX_EPOCH.checked_add(Duration::new(days * 86_400 + hour * 3600 + minute * 60 + second, nanos))
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let is_number = !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u64>().ok()).flatten()
    });
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        for (seconds, compacted, text) in [
            (0, "19700101T000000Z", "1970-01-01T00:00:00Z"),
            (951_782_399, "20000228T235959Z", "2000-02-28T23:59:59.000Z"),
            (951_782_400, "20000229T000000Z", "2000-02-29T00:00:00.000Z"),
            (951_868_800, "20000301T000000Z", "2000-03-01T00:00:00.000Z"),
            (1_700_000_000, "20231114T221320Z", "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(compact(seconds), compacted);
            assert_eq!(listed(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(listed("1970-01-01T00:00:00.25Z"), Some(UNIX_EPOCH + Duration::from_millis(250)));
        for text in [
            "",
            "Z",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-13-14T22:13:20Z",
            "1969-01-01T00:00:00Z",
            "2023-11-14T22:13:20.1234567890Z",
        ] {
            assert_eq!(listed(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_time_comes_back(seconds in 0_u64..253_000_000_000) {
            let text = compact(seconds);
            let spelled = format!(
                "{}-{}-{}T{}:{}:{}Z", &text[..4], &text[4..6], &text[6..8], &text[9..11], &text[11..13], &text[13..15]
            );
            proptest::prop_assert_eq!(listed(&spelled), Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "[-0-9TZ:.é]{0,30}") {
            let _ = listed(&text);
        }
    }
}
