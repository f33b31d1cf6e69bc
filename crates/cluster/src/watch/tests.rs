//! The machine in a world of its own: answers are a function of the time, and time passes when nothing is left to do.

use bytes::Bytes;

use super::*;

/// Time that an answer takes, in milliseconds.
const TRIP_MS: u64 = 20;

const START_UNIX_MS: i64 = 1_750_000_000_000;

enum Said {
    Text(String),
    Failed(Trouble),
}

struct World<F: FnMut(&str, u64) -> Said> {
    machine: Machine,
    now_ms: u64,
    answers: F,
    /// Under way: when it ends, and what it is.
    trips: Vec<(u64, Request)>,
    asked: Vec<(u64, String)>,
    notes: Vec<Notification>,
    found: Vec<Finding>,
    segment: fn(&str) -> SegmentAnswer,
}

fn moment(at_ms: u64) -> Moment {
    Moment { at_ms, unix_ms: START_UNIX_MS + at_ms as i64 }
}

impl<F: FnMut(&str, u64) -> Said> World<F> {
    fn new(settings: Settings, answers: F) -> Self {
        let machine = Machine::new(settings, moment(0)).unwrap();
        let (trips, asked, notes, found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { machine, now_ms: 0, answers, trips, asked, notes, found, segment: |_| SegmentAnswer::There }
    }

    /// Lets time pass up to that moment.
    fn run(&mut self, until_ms: u64) {
        while self.now_ms <= until_ms && !self.machine.is_over() {
            let now = moment(self.now_ms);
            let room = IN_FLIGHT_MAX - self.trips.len();
            for request in self.machine.requests(now, room) {
                self.asked.push((self.now_ms, request.url.path().to_owned()));
                self.trips.push((self.now_ms + TRIP_MS, request));
            }
            let (ended, on_the_way) =
                std::mem::take(&mut self.trips).into_iter().partition(|(end, _)| *end <= self.now_ms);
            self.trips = on_the_way;
            for (_, request) in ended {
                self.answer(&request, now);
            }
            self.machine.tick(now);
            for event in self.machine.take_events() {
                match event {
                    Event::Announced(note) => self.notes.push(Notification::clone(&note)),
                    Event::Found(finding) => self.found.push(finding),
                }
            }
            let trip_ms = self.trips.iter().map(|(end, _)| *end).min().unwrap_or(u64::MAX);
            self.now_ms = self.machine.wake_ms().min(trip_ms).max(self.now_ms + 1);
        }
        self.now_ms = until_ms;
    }

    fn answer(&mut self, request: &Request, now: Moment) {
        let path = request.url.path().to_owned();
        if matches!(request.target, Target::Segment(_)) {
            return self.machine.segment_answered(request.target, &(self.segment)(&path), now);
        }
        let answer = match (self.answers)(&path, now.at_ms - TRIP_MS / 2) {
            Said::Text(text) => Answer::Body { bytes: Bytes::from(text), etag: None, url: None },
            Said::Failed(trouble) => Answer::Failed(trouble),
        };
        self.machine.answered(request.target, answer, now);
    }

    fn state(&self) -> VerdictState {
        self.machine.verdict().state
    }

    fn states(&self) -> Vec<&'static str> {
        self.machine.report(moment(self.now_ms)).playlists.iter().map(|one| one.state.as_str()).collect()
    }

    fn news(&self) -> Vec<(&'static str, &'static str)> {
        self.notes.iter().map(|note| (note.detector.state.as_str(), note.detector.reason.as_str())).collect()
    }

    fn kinds(&self) -> Vec<FindingKind> {
        self.found.iter().map(|finding| finding.kind).collect()
    }
}

fn settings() -> Settings {
    Settings::new("https://origin.example/live/index.m3u8?token=secret", Preset::Default)
}

/// A live playlist of 6 s segments: what it says at that time.
fn live(at_ms: u64) -> String {
    window(at_ms / 6000, "")
}

fn window(newest: u64, more: &str) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{newest}\n");
    for sequence in newest..newest + 5 {
        text.push_str(&format!("#EXTINF:6,\n{sequence}.ts\n"));
    }
    text + more
}

fn top(uris: &[&str]) -> Said {
    Said::Text(anabranch_testkit::multivariant_playlist(uris))
}

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
        _ => {
            let mut text = window(at_ms / 6000, "#EXT-X-PART-INF:PART-TARGET=1\n");
            for part in 0..at_ms / 1000 % 6 {
                text.push_str(&format!("#EXT-X-PART:DURATION=1,URI=\"{part}\"\n"));
            }
            Said::Text(text)
        }
    });
    world.run(3500);
    assert_eq!(world.state(), VerdictState::Fresh);
    world.run(60_000);
    let statistics = world.machine.report(moment(60_000)).playlists[0].statistics.unwrap();
    assert!(statistics.median_seconds <= 1.3, "{statistics:?}");
    assert_eq!(world.news(), [("fresh", "all fresh")]);
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

#[test]
fn one_media_playlist_is_a_stream_too() {
    let mut world = World::new(settings(), |_, at_ms| Said::Text(live(at_ms)));
    world.run(60_000);
    assert_eq!((world.state(), world.states()), (VerdictState::Fresh, vec!["fresh"]));
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

mod properties {
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
}
