//! Players that ask for the next segment before it is there (rfc8216bis §6.2.5.2).

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anabranch_testkit::{Encoder, Fetched, Picture, Playlist, Server, Viewer, wait_for};
use serde_json::Value;

use crate::{media_playlist, play_url, push_url, text, wait_playing};

/// Longest time from a segment in the store to a playlist that names it at the viewer; a sixth of a target duration.
const PROMPT: Duration = Duration::from_secs(1);

/// Longest wait for a segment of 6 s.
const SEGMENT: Duration = Duration::from_secs(15);

/// A breakout on air that plays.
struct OnAir {
    server: Server,
    _encoder: Encoder,
    breakout: Value,
    video: Playlist,
    segments: std::path::PathBuf,
}

fn on_air() -> OnAir {
    let server = Server::start();
    let (channel, breakout) = server.on_air("held");
    let encoder = Encoder::push(&push_url(&channel), Picture::default());
    let video = media_playlist(&wait_playing(&play_url(&server, &breakout)));
    let segments = server.data().join("media/bucket/recordings").join(text(&breakout["id"])).join("1/video");
    OnAir { server, _encoder: encoder, breakout, video, segments }
}

impl OnAir {
    /// Waits until a segment has just been published, and gives the number of the one after it.
    fn next(&self) -> u64 {
        let before = newest(&self.segments);
        let msn = wait_for("a segment", SEGMENT, || newest(&self.segments).filter(|msn| Some(*msn) > before));
        // It is stored a moment before it is named.
        assert_eq!(self.ask(msn).join().expect("an answer").0.status, 200);
        msn + 1
    }

    /// Asks for the playlist with the segment in it; gives the answer and when it came.
    fn ask(&self, msn: u64) -> JoinHandle<(Fetched, Instant)> {
        let url = format!("{}&_HLS_msn={msn}", self.video.url);
        std::thread::spawn(move || (Viewer::new().get(&url), Instant::now()))
    }
}

/// Highest number of a stored segment, by its name `<msn>-<run>.m4s`.
fn newest(segments: &Path) -> Option<u64> {
    let names = std::fs::read_dir(segments).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".m4s")?.split('-').next()?.parse().ok()).max()
}

#[test]
fn the_next_playlist_comes_with_its_segment() {
    let on_air = on_air();
    assert!(on_air.video.text.contains("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"), "{}", on_air.video.text);
    let msn = on_air.next();
    let before = on_air.server.metric("anabranch_edge_origin_fetches_total", "");
    let waiting = [on_air.ask(msn), on_air.ask(msn)];
    wait_for("the origin to hold one request for both", Duration::from_secs(3), || {
        (on_air.server.metric("anabranch_origin_held_requests", "") == 1.0).then_some(())
    });
    let refused = on_air.ask(msn + 20).join().expect("an answer").0;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(newest(&on_air.segments) < Some(msn) && waiting.iter().all(|asked| !asked.is_finished()));

    wait_for("the segment", SEGMENT, || newest(&on_air.segments).filter(|newest| *newest >= msn));
    let stored = Instant::now();
    for asked in waiting {
        let (answer, came) = asked.join().expect("an answer");
        assert!(came.saturating_duration_since(stored) < PROMPT, "{:?}", came - stored);
        let (playlist, name) = (answer.text(), format!("video/{msn:08}-"));
        assert_eq!(answer.status, 200, "{playlist}");
        assert!(playlist.lines().last().is_some_and(|last| last.starts_with(&name)), "{playlist}");
        assert!(playlist.contains("Policy=") && !playlist.contains("_HLS_"), "{playlist}");
        assert_eq!(answer.header("age"), "0");
    }
    // The refusal was one, and what both waited for another.
    assert_eq!(on_air.server.metric("anabranch_edge_origin_fetches_total", "") - before, 2.0);
    assert_eq!(on_air.server.metric("anabranch_origin_held_requests", ""), 0.0);

    let last = on_air.ask(on_air.next() + 1);
    let _ = on_air.server.cli(&["breakout", "stop", &text(&on_air.breakout["id"])]);
    let ended = last.join().expect("an answer").0.text();
    assert!(ended.ends_with("#EXT-X-ENDLIST\n") && !ended.contains("SERVER-CONTROL"), "{ended}");
}

#[test]
fn a_server_that_ends_lets_waiting_players_go() {
    let mut on_air = on_air();
    let asked = on_air.ask(on_air.next() + 1);
    wait_for("the origin to hold it", Duration::from_secs(3), || {
        (on_air.server.metric("anabranch_origin_held_requests", "") == 1.0).then_some(())
    });
    let told = Instant::now();
    assert!(on_air.server.terminate().success());
    let (answer, came) = asked.join().expect("an answer");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
    assert!(came - told < PROMPT, "{:?}", came - told);
}
