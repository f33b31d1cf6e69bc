//! Frame rates, measured and common ones.

/// Frame rates that measured ones are taken for when they are within 1 %.
const COMMON: [f64; 9] = [23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0];

/// The common frame rate that a measured one is taken for, or itself with three decimals.
pub(crate) fn nearest(measured: f64) -> f64 {
    let common = COMMON.iter().copied().min_by(|a, b| (a - measured).abs().total_cmp(&(b - measured).abs()));
    match common {
        Some(common) if (common - measured).abs() <= common * 0.01 => common,
        _ => (measured * 1000.0).round() / 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_a_common_rate_within_one_per_cent() {
        let rates = [29.96, 29.99, 60.3, 12.5, 59.0, 24.600_04].map(nearest);
        assert_eq!(rates, [29.97, 30.0, 60.0, 12.5, 59.0, 24.6]);
    }
}
