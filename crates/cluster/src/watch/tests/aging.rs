//! What goes on, what stands still, and what is not there.

use super::*;

#[test]
fn a_healthy_stream_is_fresh_and_cheap() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        _ => Said::Text(live(at_ms + 2500)),
    });
    world.run(5900);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(600_000);
    assert_eq!(world.news(), [("fresh", "all fresh")]);
    assert!(world.found.is_empty(), "{:?}", world.found);
    let (at_ms, next_ms) = world.machine.last_change().unwrap();
    assert_eq!(next_ms - at_ms, 6000);
    assert!((592_000..=600_000).contains(&(at_ms - START_UNIX_MS)), "{at_ms}");
    let of_one = world.asked.iter().filter(|(_, path)| path == "/live/a.m3u8").count();
    assert!((100..170).contains(&of_one), "{of_one} requests for 100 segments");
    let of_top = world.asked.iter().filter(|(_, path)| path == "/live/index.m3u8").count();
    assert!((90..110).contains(&of_top), "{of_top}");
    let report = world.machine.report(moment(600_000));
    let statistics = report.playlists[0].statistics.unwrap();
    assert_eq!(statistics.intervals, WINDOW_MAX);
    assert!((5.9..=6.1).contains(&statistics.mean_seconds), "{statistics:?}");
    assert!(
        statistics.max_seconds < 7.5 && statistics.min_seconds > 4.5,
        "the first sample does not count: {statistics:?}"
    );
    assert_eq!(report.url, "https://origin.example/live/index.m3u8?token=REDACTED");
}

#[test]
fn a_frozen_stream_is_stale_after_its_limit_and_recovers() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        // Frozen from second 60 to second 100.
        _ => Said::Text(live(if (60_000..100_000).contains(&at_ms) { 59_999 } else { at_ms })),
    });
    world.run(62_000);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(90_000);
    let verdict = world.machine.verdict().clone();
    assert_eq!((verdict.state, verdict.reason), (VerdictState::Stale, Reason::ToleranceExceeded));
    let late_ms = verdict.since_ms - START_UNIX_MS - 54_000;
    assert!((9000..10_400).contains(&late_ms), "{late_ms}: last change, seen a little late, and 1.5 durations");
    assert!(verdict.evidence[0].contains("no new segment after 13 for 9"), "{:?}", verdict.evidence);
    world.run(110_000);
    assert_eq!(world.news(), [("fresh", "all fresh"), ("stale", "tolerance exceeded"), ("fresh", "all fresh")]);
    let sequences: Vec<u64> = world.notes.iter().map(|note| note.detector.sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
}

#[test]
fn frozen_from_the_start_is_never_fresh() {
    let mut world = World::new(settings(), |path, _| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => Said::Text(window(7, "")),
    });
    world.run(8000);
    assert_eq!(world.state(), VerdictState::Unknown);
    world.run(9500);
    assert_eq!(world.news(), [("stale", "tolerance exceeded")]);
}

#[test]
fn whatever_is_no_playlist_ages() {
    for (trouble, text) in [
        (Some(Trouble::Status(404)), String::new()),
        (Some(Trouble::Timeout(2000)), String::new()),
        (None, "<html>all is well</html>".to_owned()),
        (None, "#EXTM3U\n".to_owned()),
        (None, anabranch_testkit::multivariant_playlist(&["c.m3u8"])),
    ] {
        let mut world = World::new(settings(), move |path, at_ms| match path {
            "/live/index.m3u8" => top(&["a.m3u8"]),
            _ if at_ms < 30_000 => Said::Text(live(at_ms)),
            _ => match &trouble {
                Some(trouble) => Said::Failed(trouble.clone()),
                // Each answer is another text, as error pages with a time are.
                None => Said::Text(format!("{text}# {at_ms}\n")),
            },
        });
        world.run(33_000);
        assert_eq!(world.state(), VerdictState::Fresh);
        world.run(36_000);
        assert!(world.kinds().contains(&FindingKind::Unreachable));
        world.run(40_500);
        assert_eq!(world.state(), VerdictState::Stale);
        assert!(world.machine.verdict().evidence[0].contains("last answer: "), "{:?}", world.machine.verdict());
    }
}

#[test]
fn what_is_missing_at_the_start_is_watched() {
    let mut world = World::new(Settings { stale_tolerance: 0.5, ..settings() }, |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        "/live/b.m3u8" if at_ms < 60_000 => Said::Failed(Trouble::Status(404)),
        _ => Said::Text(live(at_ms)),
    });
    world.run(20_000);
    assert_eq!((world.state(), world.states()), (VerdictState::Stale, vec!["fresh", "stale"]));
    world.run(80_000);
    assert_eq!((world.state(), world.states()), (VerdictState::Fresh, vec!["fresh", "fresh"]));
}

#[test]
fn nothing_at_all_is_stale_at_once_and_tried_again() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" if at_ms < 20_000 => Said::Failed(Trouble::Status(404)),
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => Said::Text(live(at_ms)),
    });
    world.run(10_000);
    assert_eq!(world.news(), [("stale", "no playlists")]);
    let note = serde_json::to_value(&world.notes[0]).unwrap();
    assert_eq!((&note["detector"]["total"], &note["detector"]["stale_playlist_percent"]), (&0.into(), &100.0.into()));
    assert_eq!(world.asked.len(), 4);
    world.run(40_000);
    assert_eq!(world.news()[1], ("fresh", "all fresh"));
}

#[test]
fn with_grace_nothing_at_all_ages_too() {
    let settings = Settings { start_grace_ms: 9000, ..settings() };
    // A server that is being started refuses some connections.
    let refused = || Said::Failed(Trouble::Connection("refused".to_owned()));
    let mut world = World::new(settings.clone(), move |path, at_ms| match path {
        "/live/index.m3u8" if at_ms < 6000 => refused(),
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => Said::Text(live(at_ms)),
    });
    world.run(40_000);
    assert_eq!(world.news(), [("fresh", "all fresh")]);
    let mut world = World::new(settings, move |_, _| refused());
    world.run(8900);
    assert_eq!(world.state(), VerdictState::Unknown);
    world.run(12_000);
    assert_eq!(world.news(), [("stale", "no playlists")]);
}

#[test]
fn answers_that_fail_between_others_are_no_alarm() {
    // Each second answer is none, of the playlists and of what names them.
    for trouble in [Trouble::Connection("refused".to_owned()), Trouble::Status(404), Trouble::Timeout(2000)] {
        let mut asked = [0_u32; 2];
        let mut world = World::new(Settings { start_grace_ms: 9000, ..settings() }, move |path, at_ms| {
            let is_top = path == "/live/index.m3u8";
            let asked = &mut asked[usize::from(is_top)];
            *asked += 1;
            match path {
                _ if !asked.is_multiple_of(2) => Said::Failed(trouble.clone()),
                _ if is_top => top(&["a.m3u8"]),
                _ => Said::Text(live(at_ms)),
            }
        });
        world.run(300_000);
        assert_eq!(world.news(), [("fresh", "all fresh")]);
    }
}

#[test]
fn one_media_playlist_is_a_stream_too() {
    let mut world = World::new(settings(), |_, at_ms| Said::Text(live(at_ms)));
    world.run(60_000);
    assert_eq!((world.state(), world.states()), (VerdictState::Fresh, vec!["fresh"]));
}
