//! What others are told of a stream.

use super::*;

#[test]
fn it_is_told_how_fast_answers_come_and_how_far_a_stream_is_behind() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => {
            let date = anabranch_hls::time::render(START_UNIX_MS + (at_ms / 6000 * 6000) as i64 - 30_000);
            Said::Text(live(at_ms).replace("#EXTINF", &format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF")))
        }
    });
    world.run(60_500);
    let playlist = world.machine.report(moment(60_500)).playlists.remove(0);
    assert_eq!(playlist.answer_ms, Some(TRIP_MS));
    // The last one has the date of the others, and lasts 6 s.
    assert!(playlist.behind_ms.is_some_and(|ms| (24_000..31_000).contains(&ms)), "{playlist:?}");
}

#[test]
fn the_notification_has_the_members_that_receivers_know() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        "/live/b.m3u8" => Said::Failed(Trouble::Status(500)),
        _ => Said::Text(live(at_ms)),
    });
    world.run(30_000);
    let note = serde_json::from_str::<serde_json::Value>(&world.notes[0].json()).unwrap();
    let members = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&note), ["detector", "options", "playlists"]);
    assert_eq!(
        members(&note["detector"]),
        ["fresh", "reason", "sequence", "stale", "stale_playlist_percent", "stale_tolerance_percent", "state", "total"]
    );
    assert_eq!(note["options"]["origin_url"], "https://origin.example/live/index.m3u8?token=REDACTED");
    assert_eq!(note["options"]["cdn_url"], note["options"]["origin_url"]);
    assert_eq!(note["options"]["duration_multiplier"], 1.5);
    let healthy = &note["playlists"]["https://origin.example/live/a.m3u8"];
    assert_eq!(
        members(healthy),
        ["changed", "duration", "max_duration", "mean_duration", "median_duration", "min_duration", "state"]
    );
    assert_eq!((&healthy["state"], &healthy["duration"]), (&"fresh".into(), &6.0.into()));
    assert_eq!(note["playlists"]["https://origin.example/live/b.m3u8"]["changed"], serde_json::Value::Null);
    assert_eq!(
        (
            &note["detector"]["total"],
            &note["detector"]["stale_playlist_percent"],
            &note["detector"]["stale_tolerance_percent"]
        ),
        (&2.into(), &50.0.into(), &95.0.into())
    );
}
