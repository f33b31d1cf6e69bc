//! Of when usage is asked for, and by which stretches its course is told.

use anabranch_db::USAGE_STEPS;

use crate::app::Error;
use crate::time;

/// Time that is meant by a course when none is asked for, in seconds.
pub(super) const DAY_SECONDS: i64 = 86_400;

/// Length of a stretch of attendance for spans up to a day, in seconds (V125).
const ATTENDANCE_SECONDS: i64 = 120;

/// Longest span that is shown by those: a day, also one in which clocks are set back.
const ATTENDANCE_SPAN_SECONDS: i64 = DAY_SECONDS + 3600;

/// Points of a course at most.
const POINTS_MAX: i64 = 2_000;

/// A stretch of time in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Span {
    /// What is asked for, or `length` seconds up to now.
    pub(super) fn of(from: Option<&str>, to: Option<&str>, length: i64, now_ms: i64) -> Result<Self, Error> {
        let read = |field, text: &str| {
            time::parse_seconds(text).ok_or_else(|| {
                Error::invalid(field, format!("a time is as in RFC 3339, such as 2026-11-01T00:00:00Z: {text:?}"))
            })
        };
        let to = to.map(|text| read("to", text)).transpose()?.unwrap_or(now_ms.div_euclid(1000) + 1);
        let from = from.map(|text| read("from", text)).transpose()?.unwrap_or(to - length);
        if from >= to {
            return Err(Error::invalid("from", "a stretch of time begins before it ends"));
        }
        Ok(Self { from: from.max(0), to })
    }

    /// The month that is asked for, in UTC; none if none is.
    pub(super) fn month(month: Option<&str>, from: Option<&str>, to: Option<&str>) -> Result<Option<Self>, Error> {
        let Some(month) = month else { return Ok(None) };
        if from.is_some() || to.is_some() {
            return Err(Error::invalid("month", "ask for a month, or for a time from and to"));
        }
        let (begins, ends) = time::parse_month(month).ok_or_else(|| {
            Error::invalid("month", format!("a month is a year and a number, such as 2026-11: {month:?}"))
        })?;
        Ok(Some(Self { from: begins.div_euclid(1000), to: ends.div_euclid(1000) }))
    }

    pub(super) fn ms(self) -> (i64, i64) {
        (self.from.saturating_mul(1000), self.to.saturating_mul(1000))
    }
}

/// The length of a stretch, as asked for or as fits.
pub(super) fn step(wanted: Option<u32>, span: Span) -> Result<i64, Error> {
    let length = span.to - span.from;
    let step = match wanted.map(i64::from) {
        None => USAGE_STEPS.into_iter().find(|step| length / step <= POINTS_MAX / 4).unwrap_or(USAGE_STEPS[3]),
        Some(step) if USAGE_STEPS.contains(&step) => step,
        Some(step) => {
            return Err(Error::invalid("step", format!("a stretch has 60, 300, 3600 or 86400 seconds: {step}")));
        }
    };
    if length / step > POINTS_MAX {
        return Err(Error::invalid(
            "step",
            format!("a course has at most {POINTS_MAX} stretches: ask for longer ones"),
        ));
    }
    Ok(step)
}

/// The length of a stretch of attendance: what is known of viewers is known to the second, so it need not be one of those by which
/// deliveries are kept.
pub(super) fn attendance_step(span: Span) -> Result<i64, Error> {
    if span.to - span.from <= ATTENDANCE_SPAN_SECONDS { Ok(ATTENDANCE_SECONDS) } else { step(None, span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_fit_the_span() {
        assert!(step(Some(61), Span { from: 0, to: 60 }).is_err());
        assert!(step(Some(60), Span { from: 0, to: 86_400_000 }).is_err());
        assert_eq!(step(None, Span { from: 0, to: 30 * 86_400 }).unwrap(), 86_400);
        assert_eq!(step(None, Span { from: 0, to: 3600 }).unwrap(), 60);
        for (length, wanted) in [(60, 120), (86_400, 120), (86_401, 120), (90_001, 300), (30 * 86_400, 86_400)] {
            assert_eq!(attendance_step(Span { from: 0, to: length }).unwrap(), wanted, "{length}");
        }
    }
}
