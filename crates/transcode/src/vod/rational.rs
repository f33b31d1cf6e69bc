//! Exact rates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A positive ratio in lowest terms, such as frames per second: 30000/1001. Written as `num/den`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rational {
    num: u32,
    den: u32,
}

impl Rational {
    /// One.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// The ratio, unless one of its terms is 0.
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            return None;
        }
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Self { num: num / a, den: den / a })
    }

    /// Numerator.
    #[must_use]
    pub const fn num(self) -> u32 {
        self.num
    }

    /// Denominator.
    #[must_use]
    pub const fn den(self) -> u32 {
        self.den
    }

    /// As a number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Every `divisor`-th of what comes at this rate.
    #[must_use]
    pub fn divided(self, divisor: u32) -> Option<Self> {
        Self::new(self.num, self.den.checked_mul(divisor)?)
    }

    /// First frame at or after this many seconds, frame 0 being at 0.
    #[must_use]
    pub fn frame_at(self, seconds: u64) -> u64 {
        let frames = u128::from(seconds) * u128::from(self.num);
        u64::try_from(frames.div_ceil(u128::from(self.den))).unwrap_or(u64::MAX)
    }

    /// Frames that last this many microseconds, to the nearest.
    #[must_use]
    pub fn frames_in(self, micros: u64) -> u64 {
        let unit = u128::from(self.den) * 1_000_000;
        u64::try_from((u128::from(micros) * u128::from(self.num) + unit / 2) / unit).unwrap_or(u64::MAX)
    }

    /// When a frame begins, in microseconds, to the nearest.
    #[must_use]
    pub fn micros_of(self, frame: u64) -> u64 {
        let (num, micros) = (u128::from(self.num), u128::from(frame) * u128::from(self.den) * 1_000_000);
        u64::try_from((micros + num / 2) / num).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl FromStr for Rational {
    type Err = NotRational;

    /// Reads `num/den` or `num:den`, or a whole number.
    fn from_str(text: &str) -> Result<Self, NotRational> {
        let (num, den) = text.split_once(['/', ':']).unwrap_or((text, "1"));
        let terms = num.trim().parse().ok().zip(den.trim().parse().ok());
        terms.and_then(|(num, den)| Self::new(num, den)).ok_or_else(|| NotRational(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Rational {
    type Error = NotRational;

    fn try_from(text: String) -> Result<Self, NotRational> {
        text.parse()
    }
}

impl From<Rational> for String {
    fn from(rational: Rational) -> Self {
        rational.to_string()
    }
}

/// What is not a positive ratio.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a ratio of two positive numbers, as in 30000/1001: {0}")]
pub struct NotRational(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_exact() {
        let ntsc: Rational = "60000/2002".parse().unwrap();
        assert_eq!((ntsc.num(), ntsc.den()), (30000, 1001));
        assert_eq!((ntsc.frame_at(0), ntsc.frame_at(6), ntsc.frame_at(18)), (0, 180, 540));
        assert_eq!(ntsc.micros_of(180), 6_006_000);
        assert_eq!(ntsc.frames_in(ntsc.micros_of(1_000_001)), 1_000_001);
        assert_eq!(Rational::new(240, 1).unwrap().divided(4), Rational::new(60, 1));
        for wrong in ["0/1", "1/0", "-1", "", "a/b", "1/2/3"] {
            assert!(wrong.parse::<Rational>().is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Rational>("\"25\"").unwrap().to_string(), "25/1");
    }
}
