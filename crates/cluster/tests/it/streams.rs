//! Streams of every kind of health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anabranch_cluster::watch::{
    AfterEnd, FetchConfig, Fetcher, FindingKind, PlaylistState, Report, Settings, VerdictState,
};
use anabranch_testkit::{Asked, Reply, Site, live_playlist, multivariant_playlist};

use crate::support::{Running, live, settings};

/// A site whose media playlists are answered by `media`, with two variants and segments that are there.
fn site(media: impl Fn(&Asked, Instant) -> Reply + Send + Sync + 'static) -> Site {
    let begun = Instant::now();
    Site::start(move |asked| match asked.path() {
        "/index.m3u8" => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8"])),
        path if path.ends_with(".ts") => Reply::ok("segment"),
        _ => media(asked, begun),
    })
}

#[tokio::test]
async fn a_healthy_stream_is_fresh() {
    let site = site(|asked, begun| live(asked.path().trim_end_matches(".m3u8"), begun));
    let running = Running::start(settings(site.url("/index.m3u8")));
    running.verdict(VerdictState::Fresh).await;
    let report = running
        .report("statistics", |report| {
            report.fresh == 2 && report.playlists.iter().all(|one| one.statistics.is_some_and(|of| of.intervals > 2))
        })
        .await;
    assert_eq!((report.total, report.verdict.state), (2, VerdictState::Fresh));
    let median = report.playlists[0].statistics.unwrap().median_seconds;
    assert!((0.7..1.6).contains(&median), "{median}");
    running.shutdown.cancel();
    running.task.await.unwrap();
    assert_eq!(running.watch.report().await.unwrap().verdict.state, VerdictState::Fresh, "the last report stays");
}

#[tokio::test]
async fn a_frozen_stream_is_stale_and_comes_back() {
    let is_frozen = Arc::new(AtomicBool::new(false));
    let of_site = Arc::clone(&is_frozen);
    let site =
        site(
            move |_, begun| {
                if of_site.load(Ordering::SeqCst) { Reply::ok(live_playlist("v", 1, 90)) } else { live("v", begun) }
            },
        );
    let running = Running::start(settings(site.url("/index.m3u8")));
    running.verdict(VerdictState::Fresh).await;
    is_frozen.store(true, Ordering::SeqCst);
    let verdict = running.verdict(VerdictState::Stale).await;
    assert!(verdict.evidence[0].contains("no new segment after"), "{verdict:?}");
    is_frozen.store(false, Ordering::SeqCst);
    running.verdict(VerdictState::Fresh).await;
}

#[tokio::test]
async fn errors_pages_and_silence_age_to_stale() {
    let replies: [fn() -> Reply; 4] = [
        || Reply::status(404),
        || Reply::ok("<html>welcome</html>"),
        || Reply::ok(live_playlist("v", 1, 90)).after(Duration::from_millis(700)),
        || Reply::status(302).with("location", "/b.m3u8"),
    ];
    for reply in replies {
        let is_bad = Arc::new(AtomicBool::new(false));
        let of_site = Arc::clone(&is_bad);
        let site = site(move |_, begun| if of_site.load(Ordering::SeqCst) { reply() } else { live("v", begun) });
        let running = Running::start(settings(site.url("/index.m3u8")));
        running.verdict(VerdictState::Fresh).await;
        is_bad.store(true, Ordering::SeqCst);
        let verdict = running.verdict(VerdictState::Stale).await;
        assert!(verdict.evidence[0].contains("last answer: "), "{verdict:?}");
    }
}

#[tokio::test]
async fn what_is_missing_at_the_start_is_found_later() {
    let is_there = Arc::new(AtomicBool::new(false));
    let of_site = Arc::clone(&is_there);
    let site = site(move |asked, begun| {
        if asked.path() == "/b.m3u8" && !of_site.load(Ordering::SeqCst) { Reply::status(404) } else { live("v", begun) }
    });
    let running = Running::start(Settings { stale_tolerance: 0.5, ..settings(site.url("/index.m3u8")) });
    running.verdict(VerdictState::Stale).await;
    is_there.store(true, Ordering::SeqCst);
    running.verdict(VerdictState::Fresh).await;
}

#[tokio::test]
async fn the_end_ends_the_watch() {
    let is_over = Arc::new(AtomicBool::new(false));
    let of_site = Arc::clone(&is_over);
    let site = site(move |_, begun| {
        let mut reply = live("v", begun);
        if of_site.load(Ordering::SeqCst) {
            reply.body.extend(b"#EXT-X-ENDLIST\n");
        }
        reply
    });
    let running = Running::start(settings(site.url("/index.m3u8")));
    running.verdict(VerdictState::Fresh).await;
    is_over.store(true, Ordering::SeqCst);
    running.verdict(VerdictState::Ended).await;
    running.task.await.unwrap();
    let report = running.watch.report().await.unwrap();
    assert!(report.playlists.iter().all(|one| one.state == PlaylistState::Ended), "{report:#?}");
}

#[tokio::test]
async fn a_watch_that_is_kept_sees_the_next_stream() {
    let begun = Instant::now();
    let site = Site::start(|_| Reply::ok(format!("{}#EXT-X-ENDLIST\n", live_playlist("v", 1, 9))));
    let keep = Settings { after_end: AfterEnd::Keep, ..settings(site.url("/v.m3u8")) };
    let running = Running::start(keep);
    running.verdict(VerdictState::Ended).await;
    assert!(!running.task.is_finished());
    site.become_another(move |_| live("v", begun));
    running.shutdown.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_changed_multivariant_playlist_is_followed() {
    let site = site(|_, begun| live("v", begun));
    let running = Running::start(settings(site.url("/index.m3u8")));
    running.verdict(VerdictState::Fresh).await;
    let begun = Instant::now();
    site.become_another(move |asked| match asked.path() {
        "/index.m3u8" => Reply::ok(multivariant_playlist(&["a.m3u8", "b.m3u8", "c.m3u8"])),
        path if path.ends_with(".ts") => Reply::ok("segment"),
        _ => live("v", begun + Duration::ZERO),
    });
    let report = running.report("the third", |report| report.playlists.len() == 3).await;
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::TopChanged), "{report:#?}");
}

#[tokio::test]
async fn segments_that_are_not_there_are_noticed_behind_a_playlist_that_changes() {
    let begun = Instant::now();
    let site = Site::start(move |asked| match asked.path() {
        "/index.m3u8" => Reply::ok(multivariant_playlist(&["a.m3u8"])),
        path if path.ends_with(".ts") => Reply::status(404),
        _ => live("v", begun),
    });
    let running = Running::start(settings(site.url("/index.m3u8")));
    let verdict = running.verdict(VerdictState::Stale).await;
    assert!(verdict.evidence[0].contains("cannot be fetched: status 404"), "{verdict:?}");
    let asked = site.asked();
    assert!(asked.iter().filter(|one| one.path().ends_with(".ts")).all(|one| one.method == "HEAD"));
    // Signed for GET alone: a range is asked for instead.
    site.become_another(move |asked| match asked.path() {
        "/index.m3u8" => Reply::ok(multivariant_playlist(&["a.m3u8"])),
        path if path.ends_with(".ts") && asked.header("range") == "bytes=0-0" => {
            Reply { status: 206, ..Reply::ok("s") }
        }
        path if path.ends_with(".ts") => Reply::status(403),
        _ => live("v", begun),
    });
    running.verdict(VerdictState::Fresh).await;
}

#[tokio::test]
async fn requests_are_those_of_a_polite_player() {
    let begun = Instant::now();
    let top = Site::start(|_| Reply::status(404));
    let elsewhere = Site::start(move |asked| {
        let etag = format!("\"{}\"", begun.elapsed().as_secs());
        let same = asked.header("if-none-match") == etag;
        let reply = if same { Reply::status(304) } else { live("v", begun) };
        reply.with("etag", &etag)
    });
    let (to, media) = (elsewhere.url("/moved.m3u8?Policy=p"), elsewhere.url("/b.m3u8"));
    top.become_another(move |asked| match asked.path() {
        "/index.m3u8" => Reply::ok(multivariant_playlist(&["a.m3u8?Signature=s", &media])),
        "/a.m3u8" => Reply::status(307).with("location", &to),
        _ => Reply::ok("segment"),
    });
    let host = FetchConfig {
        headers: [(http::HeaderName::from_static("x-key"), http::HeaderValue::from_static("secret"))]
            .into_iter()
            .collect(),
        host: Some("127.0.0.1".to_owned()),
        ..FetchConfig::default()
    };
    let running = Running::start_with(settings(top.url("/index.m3u8?token=t")), host);
    running.verdict(VerdictState::Fresh).await;
    running.report("some changes", |report| report.requests > 20).await;
    let asked = top.asked();
    assert!(asked.iter().any(|one| one.target == "/index.m3u8?token=t"));
    assert!(asked.iter().any(|one| one.target == "/a.m3u8?Signature=s"));
    assert!(asked.iter().all(|one| one.header("accept-encoding").is_empty() && one.header("x-key") == "secret"));
    let followed = elsewhere.asked();
    assert!(followed.iter().any(|one| one.target == "/moved.m3u8?Policy=p"));
    assert!(followed.iter().any(|one| !one.header("if-none-match").is_empty()), "{followed:#?}");
    let report = running.watch.report().await.unwrap();
    assert!(report.url.ends_with("?token=REDACTED") && report.playlists[0].url.ends_with("?Signature=REDACTED"));
}

#[tokio::test]
async fn headers_stay_with_their_host_and_bodies_have_a_limit() {
    let begun = Instant::now();
    let site = Site::start(move |asked| match asked.path() {
        "/index.m3u8" => Reply::ok(multivariant_playlist(&["long.m3u8", "v.m3u8"])),
        "/long.m3u8" => Reply::ok(vec![b'#'; 5 * 1024 * 1024]),
        path if path.ends_with(".ts") => Reply::ok("segment"),
        _ => live("v", begun),
    });
    let fetch = FetchConfig {
        headers: [(http::HeaderName::from_static("x-key"), http::HeaderValue::from_static("secret"))]
            .into_iter()
            .collect(),
        host: Some("another.example".to_owned()),
        ..FetchConfig::default()
    };
    let running = Running::start_with(settings(site.url("/index.m3u8")), fetch);
    let report =
        running.report("the trouble", |report| report.playlists.first().is_some_and(|one| one.trouble.is_some())).await;
    assert_eq!(report.playlists[0].trouble.as_deref(), Some("the body has more than 4194304 bytes"));
    assert!(site.asked().iter().all(|one| one.header("x-key").is_empty()));
}

#[tokio::test]
async fn a_watch_goes_on_with_other_headers() {
    let accepted = Arc::new(std::sync::Mutex::new("first"));
    let of_site = Arc::clone(&accepted);
    let site = site(move |asked, begun| {
        let is_good = asked.header("x-key") == *of_site.lock().unwrap();
        if is_good { live("v", begun) } else { Reply::status(403) }
    });
    let headers = |key: &'static str| {
        let pair = (http::HeaderName::from_static("x-key"), http::HeaderValue::from_static(key));
        http::HeaderMap::from_iter([pair])
    };
    let host = Some("127.0.0.1".to_owned());
    let fetcher = Fetcher::new(FetchConfig { headers: headers("first"), host, ..FetchConfig::default() }).unwrap();
    let running = Running::start_by(settings(site.url("/index.m3u8")), fetcher.clone());
    running.verdict(VerdictState::Fresh).await;
    *accepted.lock().unwrap() = "second";
    running.report("the refusal", |report| report.playlists.iter().any(|one| one.trouble.is_some())).await;
    fetcher.set_headers(headers("second"));
    let is_well = |report: &Report| report.playlists.iter().all(|one| one.trouble.is_none());
    let report = running.report("all to be well", is_well).await;
    assert!(report.playlists.iter().all(|one| one.statistics.is_some()), "it knows what was before: {report:#?}");
}

#[tokio::test]
async fn nobody_there_is_stale_at_once() {
    let gone = {
        let site = Site::start(|_| Reply::status(404));
        site.url("/index.m3u8")
    };
    let running = Running::start(settings(gone));
    let verdict = running.verdict(VerdictState::Stale).await;
    assert_eq!(verdict.reason.as_str(), "no playlists");
    assert!(verdict.evidence[0].contains("no connection"), "{verdict:?}");
}
