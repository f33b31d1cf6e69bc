//! When a failed try is repeated.

use std::time::Duration;

/// Wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// Longest wait, before jitter.
const LONGEST: Duration = Duration::from_secs(300);

/// How far a wait is from its mean at most, in percent.
const JITTER_PERCENT: u64 = 20;

/// The wait after `attempts` failures before this one; `random` spreads those who fail together.
pub(super) fn wait(attempts: u32, random: u64) -> Duration {
    let mean = FIRST.saturating_mul(2_u32.saturating_pow(attempts.min(16))).min(LONGEST);
    let percent = 100 - JITTER_PERCENT + random % (2 * JITTER_PERCENT + 1);
    mean.mul_f64(percent as f64 / 100.0)
}

/// A number that nobody foresees; not for secrets.
pub(super) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // Without random numbers those who fail together come back together, which does no harm.
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        for (attempts, seconds) in [(0, 1), (1, 2), (2, 4), (8, 256), (9, 300), (40, 300), (u32::MAX, 300)] {
            for random in [0, 20, 40, u64::MAX] {
                let wait = wait(attempts, random).as_secs_f64() / f64::from(seconds);
                assert!((0.79..1.21).contains(&wait), "{attempts} {random}: {wait}");
            }
        }
    }
}
