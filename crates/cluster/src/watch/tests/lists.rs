//! Several playlists: how many of them count, which end, and what names them.

use super::*;

#[test]
fn hysteresis_of_several() {
    let mut world = World::new(Settings { stale_tolerance: 0.5, ..settings() }, |path, at_ms| {
        let frozen = match path {
            "/live/index.m3u8" => return top(&["a.m3u8", "b.m3u8", "c.m3u8"]),
            "/live/a.m3u8" => (60_000..180_000).contains(&at_ms),
            "/live/b.m3u8" => (90_000..150_000).contains(&at_ms),
            _ => false,
        };
        Said::Text(live(if frozen { 59_999 } else { at_ms }))
    });
    world.run(240_000);
    assert_eq!(
        world.news(),
        [
            ("fresh", "all fresh"),
            ("fresh", "counts changed"),
            ("stale", "tolerance exceeded"),
            ("stale", "counts changed"),
            ("fresh", "all fresh"),
        ]
    );
}

#[test]
fn the_end_is_no_alarm() {
    let answers = |path: &str, at_ms: u64| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        "/live/a.m3u8" if at_ms >= 60_000 => Said::Text(window(9, "#EXT-X-ENDLIST\n")),
        "/live/b.m3u8" if at_ms >= 62_000 => Said::Text(window(9, "#EXT-X-ENDLIST\n")),
        _ => Said::Text(live(at_ms)),
    };
    let mut world = World::new(settings(), answers);
    world.run(200_000);
    assert!(world.machine.is_over());
    assert_eq!(world.news().last(), Some(&("ended", "ended")));
    assert!(world.notes.iter().all(|note| note.detector.stale == 0), "{:?}", world.news());

    // An instance may go on under the same address.
    let mut world = World::new(Settings { after_end: AfterEnd::Keep, ..settings() }, move |path, at_ms| {
        answers(path, if at_ms > 120_000 { at_ms - 120_000 } else { at_ms })
    });
    world.run(119_000);
    assert_eq!(world.state(), VerdictState::Ended);
    world.run(170_000);
    assert_eq!(world.state(), VerdictState::Fresh);
}

#[test]
fn one_that_ends_alone_is_told() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        "/live/a.m3u8" => Said::Text(window(9, "#EXT-X-ENDLIST\n")),
        _ => Said::Text(live(at_ms)),
    });
    world.run(60_000);
    assert_eq!(world.state(), VerdictState::Fresh);
    assert_eq!(world.kinds(), [FindingKind::EndedUnevenly]);
}

#[test]
fn a_changed_multivariant_playlist_is_followed_or_only_told() {
    for reload in [true, false] {
        let mut world =
            World::new(Settings { reload_on_top_level_change: reload, ..settings() }, |path, at_ms| match path {
                "/live/index.m3u8" if at_ms < 30_000 => top(&["a.m3u8?s=1", "b.m3u8"]),
                "/live/index.m3u8" => top(&["a.m3u8?s=2", "c.m3u8", "d.m3u8"]),
                _ => Said::Text(live(at_ms)),
            });
        world.run(29_000);
        let before = world.machine.report(moment(29_000)).playlists[0].clone();
        world.run(60_000);
        let report = world.machine.report(moment(60_000));
        let urls: Vec<&str> = report.playlists.iter().map(|one| one.url.rsplit('/').next().unwrap()).collect();
        assert_eq!(world.kinds(), [FindingKind::TopChanged]);
        assert!(world.found[0].evidence.contains("2 playlists came, 1 of 2 went"), "{:?}", world.found);
        if reload {
            assert_eq!(urls, ["a.m3u8?s=2", "c.m3u8", "d.m3u8"]);
            let intervals = |one: &PlaylistReport| one.statistics.unwrap().intervals;
            assert!(intervals(&report.playlists[0]) > intervals(&before), "what goes on keeps its history");
            assert_eq!(report.fresh, 3);
        } else {
            assert_eq!(urls, ["a.m3u8?s=1", "b.m3u8"]);
        }
        assert_eq!(world.state(), VerdictState::Fresh);
    }
}

#[test]
fn rates_that_change_are_no_change_and_hide_no_drift() {
    for reload in [true, false] {
        let mut world = World::new(Settings { reload_on_top_level_change: reload, ..settings() }, |path, at_ms| {
            let Said::Text(text) = top(&["a.m3u8", "b.m3u8"]) else { unreachable!() };
            match path {
                // Measured anew with each look.
                "/live/index.m3u8" => Said::Text(format!("{text}# measured at {at_ms}\n")),
                "/live/b.m3u8" => Said::Text(window(9000 + at_ms / 8000, "")),
                _ => Said::Text(live(at_ms)),
            }
        });
        world.run(140_000);
        assert!(
            !world.found.is_empty() && world.kinds().iter().all(|kind| *kind == FindingKind::Drift),
            "{:?}",
            world.found
        );
    }
}

#[test]
fn a_multivariant_playlist_that_goes_is_told_and_no_more() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" if at_ms < 30_000 => top(&["a.m3u8"]),
        "/live/index.m3u8" => Said::Failed(Trouble::Status(503)),
        _ => Said::Text(live(at_ms)),
    });
    world.run(90_000);
    assert_eq!((world.state(), world.kinds()), (VerdictState::Fresh, vec![FindingKind::TopUnreachable]));
    assert_eq!(world.found[0].evidence, "multivariant playlist cannot be read: status 503");
}
