//! Streams of any course.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a stream does: it is asked neither too often nor too seldom, and its state follows from when it last changed.
    #[test]
    fn any_course_of_changes(
        changes in prop::collection::vec(500_u64..30_000, 1..20), divisor in 1_u32..10, multiplier in 1.0_f64..4.0
    ) {
        let times: Vec<u64> = changes.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
        let of_world = times.clone();
        let settings =
            Settings { segment_pause_divisor: divisor, duration_multiplier: multiplier, check_segments: false, ..settings() };
        let mut world = World::new(settings, move |_, at_ms| {
            Said::Text(window(of_world.iter().filter(|time| **time <= at_ms).count() as u64, ""))
        });
        let limit_ms = (6000.0 * multiplier) as u64;
        let pause_ms = 6000 / u64::from(divisor);
        let end_ms = times.last().unwrap() + 60_000;
        for check_ms in (0..end_ms).step_by(777) {
            world.run(check_ms);
            let last_ms = times.iter().copied().rfind(|time| *time <= check_ms).unwrap_or(0);
            let report = world.machine.report(moment(check_ms));
            if report.playlists.is_empty() {
                continue;
            }
            let state = report.playlists[0].state;
            let age_ms = check_ms - last_ms;
            // A change is seen at most one rest and one pause late; a stale one is looked for no later than its duration.
            if age_ms > limit_ms + 5700 + pause_ms + 100 {
                prop_assert_eq!(state, PlaylistState::Stale, "age {} limit {}", age_ms, limit_ms);
            }
            if age_ms < limit_ms && age_ms > 6000 + pause_ms + 100 && last_ms > 0 {
                prop_assert_eq!(state, PlaylistState::Fresh, "age {} limit {}", age_ms, limit_ms);
            }
        }
        let asked: Vec<u64> =
            world.asked.iter().map(|(at, _)| *at).collect();
        // Once in each pause, and once more when it would be stale.
        let most = end_ms / pause_ms.clamp(PAUSE_MIN_MS, PAUSE_MAX_MS) + 2 * times.len() as u64 + 10;
        prop_assert!(asked.len() as u64 <= most, "{} requests, {} allowed", asked.len(), most);
        for pair in asked.windows(2) {
            prop_assert!(pair[1] - pair[0] <= 10_000 + 100, "{:?}", pair);
        }
    }
}
