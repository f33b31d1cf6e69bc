//! What is in a playlist: segments that are there or not, parts, and numbers.

use super::*;

/// A live playlist of 6 s segments with parts of 1 s: those of the newest segment, and those of the one that is made.
fn low_latency(at_ms: u64) -> String {
    let of = |of: u64, count: u64| (0..count).map(move |part| format!("#EXT-X-PART:DURATION=1,URI=\"{of}.{part}\"\n"));
    let newest = at_ms / 6000;
    let (head, last) = ("#EXT-X-PART-INF:PART-TARGET=1\n", format!("#EXTINF:6,\n{}.ts\n", newest + 4));
    let before: String = of(newest + 4, 6).collect();
    let text = window(newest, "").replace(&last, &format!("{head}{before}{last}"));
    text + &of(newest + 5, at_ms / 1000 % 6).collect::<String>()
}

#[test]
fn segments_that_are_not_there_make_a_changing_playlist_stale() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => Said::Text(live(at_ms)),
    });
    // From segment 30 on nothing can be fetched, until segment 50.
    world.segment = |path| {
        let sequence: u64 = path.trim_start_matches("/live/").trim_end_matches(".ts").parse().unwrap();
        if (30..50).contains(&sequence) {
            SegmentAnswer::Missing("status 404".to_owned())
        } else {
            SegmentAnswer::There
        }
    };
    world.run(150_000);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(210_000);
    assert_eq!(world.state(), VerdictState::Stale);
    assert!(
        world.machine.verdict().evidence[0].contains("cannot be fetched: status 404"),
        "{:?}",
        world.machine.verdict()
    );
    let effects: Vec<Effect> = world.found.iter().map(|finding| finding.effect).collect();
    assert_eq!((world.kinds(), effects), (vec![FindingKind::SegmentMissing; 2], vec![Effect::Warn, Effect::Stale]));
    world.run(330_000);
    assert_eq!(world.state(), VerdictState::Fresh);
    let looks = world.asked.iter().filter(|(_, path)| path.ends_with(".ts")).count();
    assert!(looks < 40, "{looks} looks at 55 segments");
}

#[test]
fn gaps_are_no_segments() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => {
            let newest = at_ms / 6000;
            let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{newest}\n");
            for sequence in newest..newest + 5 {
                let gap = if sequence >= 20 { "#EXT-X-GAP\n" } else { "" };
                text.push_str(&format!("{gap}#EXTINF:6,\n{sequence}.ts\n"));
            }
            Said::Text(text)
        }
    });
    world.run(80_000);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(110_000);
    assert_eq!(world.state(), VerdictState::Stale);
    assert!(world.kinds().contains(&FindingKind::Gap));
}

#[test]
fn drift_is_told_by_dates_and_by_counts() {
    let dated = |at_ms: u64, behind_ms: u64| {
        let newest = at_ms / 6000;
        let date = anabranch_hls::time::render(START_UNIX_MS + newest as i64 * 6000 - behind_ms as i64);
        window(newest, "").replacen("#EXTINF", &format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF"), 1)
    };
    let mut world = World::new(settings(), move |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        "/live/b.m3u8" => Said::Text(dated(at_ms, if at_ms < 60_000 { 0 } else { 20_000 })),
        _ => Said::Text(dated(at_ms, 0)),
    });
    world.run(59_000);
    assert!(world.found.is_empty(), "{:?}", world.found);
    world.run(80_000);
    assert_eq!((world.kinds(), world.state()), (vec![FindingKind::Drift], VerdictState::Fresh));
    assert!(world.found[0].evidence.contains("b.m3u8 is 20.0 s behind"), "{:?}", world.found);

    // One rendition loses a segment in four; where each began to count means nothing.
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8", "b.m3u8"]),
        "/live/b.m3u8" => Said::Text(window(9000 + at_ms / 8000, "")),
        _ => Said::Text(live(at_ms)),
    });
    world.run(72_000);
    assert!(world.found.is_empty(), "{:?}", world.found);
    world.run(140_000);
    assert!(
        !world.found.is_empty() && world.kinds().iter().all(|kind| *kind == FindingKind::Drift),
        "{:?}",
        world.found
    );
}

#[test]
fn low_latency_playlists_change_with_each_part() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => Said::Text(low_latency(at_ms)),
    });
    world.run(3500);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(60_000);
    let statistics = world.machine.report(moment(60_000)).playlists[0].statistics.unwrap();
    assert!(statistics.median_seconds <= 1.3, "{statistics:?}");
    assert_eq!(world.news(), [("fresh", "all fresh")]);
}

#[test]
fn a_low_latency_stream_that_stops_in_mid_segment_is_stale() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ => Said::Text(low_latency(at_ms.min(63_000))),
    });
    world.run(71_000);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(74_000);
    assert_eq!(world.state(), VerdictState::Stale);
    let late_ms = world.machine.verdict().since_ms - START_UNIX_MS - 63_000;
    assert!((9000..10_500).contains(&late_ms), "{late_ms}: one and a half durations after the last part");
    // Parts that only fill the time are none.
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ if at_ms < 63_000 => Said::Text(low_latency(at_ms)),
        _ => {
            let gaps: String =
                (63..at_ms / 1000).map(|at| format!("#EXT-X-PART:DURATION=1,URI=\"{at}\",GAP=YES\n")).collect();
            Said::Text(low_latency(63_000) + &gaps)
        }
    });
    world.run(74_000);
    assert_eq!(world.state(), VerdictState::Stale);
}

#[test]
fn parts_that_are_announced_and_do_not_come_are_told() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ if (60_000..120_000).contains(&at_ms) => Said::Text(window(at_ms / 6000, "#EXT-X-PART-INF:PART-TARGET=1\n")),
        _ => Said::Text(low_latency(at_ms)),
    });
    world.run(59_000);
    assert!(world.found.is_empty(), "{:?}", world.found);
    world.run(110_000);
    assert_eq!((world.state(), world.kinds()), (VerdictState::Fresh, vec![FindingKind::PartsMissing]));
    assert_eq!(world.found[0].evidence, "partial segments of 1 s are announced, and there is none");
    world.run(140_000);
    assert_eq!(world.machine.report(moment(140_000)).playlists[0].findings.len(), 0);
}

#[test]
fn an_encoder_that_begins_again_is_told_and_goes_on() {
    let mut world = World::new(settings(), |path, at_ms| match path {
        "/live/index.m3u8" => top(&["a.m3u8"]),
        _ if at_ms < 60_000 => Said::Text(window(1000 + at_ms / 6000, "")),
        _ => Said::Text(window((at_ms - 60_000) / 6000, "")),
    });
    world.run(59_000);
    world.run(90_000);
    assert_eq!((world.state(), world.kinds()), (VerdictState::Fresh, vec![FindingKind::SequenceBack]));
    assert_eq!(world.found[0].evidence, "newest segment went back from 1013 to 4");
    assert_eq!(world.machine.report(moment(90_000)).findings.len(), 0);
}
