//! Regions that fail: what is closed, what is not, and what is opened again.

pub(crate) mod land;

use std::time::{Duration, Instant};

use anabranch_testkit::{Viewer, wait_for};

use land::{Fault, Land, NOTICED, Region, TARGET, WELL, switches, words};

/// The automat's shortest time between two switches, in milliseconds.
const HOLD_MS: u32 = 3000;

/// A failure ages: it is older than a target duration and a half when the automat acts, and half a second is confirmed.
fn assert_aged(region: &Region, of: &str) {
    let history = region.history(of);
    let closing = history.iter().rev().find(|entry| entry["what"] == "closed").expect("a closing");
    let evidence = &closing["evidence"];
    assert!(evidence["for_ms"].as_i64().is_some_and(|ms| ms >= 500), "confirmed: {closing}");
    assert!(evidence["votes"].as_array().is_some_and(|votes| !votes.is_empty()), "with evidence: {closing}");
}

#[test]
fn an_encoder_that_stops_or_stands_still_closes_its_region() {
    let Some(mut land) = Land::start(HOLD_MS) else { return };
    let began = Instant::now();
    land.west().freeze(true);
    land.closed(land.east(), "west", "what answers stands still", began);
    assert!(began.elapsed() >= Duration::from_secs(u64::from(TARGET)), "a region is not closed before it can be known");
    assert_aged(land.east(), "west");
    // Its viewers are sent away by its own edge.
    wait_for("the other region to act by it", NOTICED, || {
        land.west().says_of("west").filter(|said| said["opening"] == "closed" && said["in_force"] == true)
    });
    land.west().freeze(false);
    land.well("the region that stood still");

    let began = Instant::now();
    land.regions[1].lose_encoder();
    land.closed(land.east(), "west", "its encoder is gone", began);
    assert_aged(land.east(), "west");
    land.regions[1].encode();
    land.well("the region with a new encoder");
}

#[test]
fn errors_and_slow_answers_age_and_close_a_region() {
    let Some(land) = Land::start(HOLD_MS) else { return };
    for (fault, why) in [
        (Fault::Status(404), "its origin answers 404"),
        (Fault::Slow(Duration::from_millis(2500)), "its origin is slow"),
    ] {
        let began = Instant::now();
        land.west().fail(fault);
        land.closed(land.east(), "west", why, began);
        assert!(began.elapsed() >= Duration::from_secs(u64::from(TARGET)), "an error is no reason to close at once");
        assert_aged(land.east(), "west");
        land.west().fail(Fault::None);
        land.well("the region that answers again");
    }
}

#[test]
fn a_region_that_is_cut_off_is_closed_and_one_without_its_leader_decides() {
    let Some(mut land) = Land::start(HOLD_MS) else { return };
    assert_eq!(land.east().says_of("east").expect("a view")["decides"], true);
    let began = Instant::now();
    land.link.connect(false);
    land.west().namespace.connect(false);
    land.closed(land.east(), "west", "it is cut off", began);
    land.west().namespace.connect(true);
    land.link.connect(true);
    land.well("the region that is connected again");

    // The control plane that decides is dead, with its whole region.
    let began = Instant::now();
    land.regions[0].server.kill();
    let said = land.closed(land.west(), "east", "the leader is dead", began);
    assert_eq!(said["decides"], true, "who is left decides: {said}");
    land.regions[0].server.restart();
    land.regions[0].encode_hue(90);
    land.well("the leader that is back");
    let media = wait_for("the hole to be listed", WELL, || {
        land.east().media().map(|media| media.text).filter(|media| media.contains("#EXT-X-GAP"))
    });
    assert!(!media.contains("#EXT-X-DISCONTINUITY"), "its time goes on: {media}");
    wait_for("the leader to decide again", NOTICED, || {
        land.west().says_of("west").filter(|said| said["decides"] == false)
    });
}

#[test]
fn regions_that_do_not_hear_each_other_both_serve_and_agree_again() {
    let Some(land) = Land::start(HOLD_MS) else { return };
    land.link.connect(false);
    let began = Instant::now();
    land.closed(land.east(), "west", "the link is cut", began);
    land.closed(land.west(), "east", "the link is cut", began);
    // To themselves, and to viewers, they are open.
    for region in &land.regions {
        let said = region.says_of(region.name).expect("a view");
        assert_eq!(said["opening"], "open", "{said}");
        let before = region.newest().expect("a playlist");
        wait_for("the stream to go on", NOTICED, || region.newest().filter(|newest| *newest > before));
    }
    land.link.connect(true);
    land.well("both views to agree");

    // Both are bad: nothing is closed.
    let closings =
        |region: &Region, of: &str| region.history(of).iter().filter(|entry| entry["what"] == "closed").count();
    let before = ["east", "west"].map(|of| closings(land.east(), of));
    land.regions.iter().for_each(|region| region.freeze(true));
    for of in ["east", "west"] {
        wait_for("both to be stale", NOTICED, || {
            land.east().says_of(of).filter(|said| said["verdict"] == "stale" && said["opening"] == "open")
        });
    }
    wait_for("the reason why nothing is closed", NOTICED, || {
        let history = ["east", "west"].map(|of| land.east().history(of)).concat();
        let is_last = |why: &str| why.contains("no other region is open and fresh");
        history
            .iter()
            .any(|entry| entry["what"] == "withheld" && entry["why"].as_str().is_some_and(is_last))
            .then_some(())
    });
    // One of them may have been seen to fail first, while the other was well.
    let after = ["east", "west"].map(|of| closings(land.east(), of));
    let open = ["east", "west"].map(|of| land.east().says_of(of).expect("a view")["opening"] == "open");
    assert!(after == before && open == [true, true], "{before:?} {after:?} {open:?}");
    land.regions.iter().for_each(|region| region.freeze(false));
    land.well("both");
}

#[test]
fn a_control_plane_that_dies_alone_takes_no_player_along() {
    let Some(land) = Land::start_apart(HOLD_MS) else { return };
    let url = land.west().play_url();
    let numbered = || {
        let media = Region::media_at(&url)?;
        let first: u64 = media.tag("EXT-X-MEDIA-SEQUENCE")?.parse().ok()?;
        Some((first + media.uris().len() as u64, media.uris().pop()?))
    };
    land.silence_west(true);
    let shown = wait_for("the other region to miss it", NOTICED, || {
        let shown = land.east().try_view()?;
        let is_silent = shown["silent_watchers"].as_array().is_some_and(|silent| !silent.is_empty());
        let peer = land.east().says_of("west").map(|west| west["peer"].clone())?;
        (is_silent && peer["problem"].is_string()).then_some(shown)
    });
    println!("without its control plane: {shown}");
    // For three segments and longer than the automat needs, every one of them is there.
    let (mut newest, _) = numbered().expect("a playlist");
    for _ in 0..3 {
        let (next, segment) =
            wait_for("the next segment", NOTICED, || numbered().filter(|(number, _)| *number > newest));
        assert_eq!(Viewer::new().get(&segment).status, 200, "{segment}");
        newest = next;
    }
    for of in ["east", "west"] {
        let said = land.east().says_of(of).expect("a view");
        assert_eq!((&said["verdict"], &said["opening"]), (&"fresh".into(), &"open".into()), "by what is seen: {said}");
    }

    // What is said meanwhile is heard when it lives again, and nothing else of the time between.
    let _ = land.east().server.cli(&["cluster", "close", "show", "west", "--why", "its control plane is dead"]);
    let said = land.east().says_of("west").expect("a view");
    assert_eq!((&said["opening"], &said["in_force"]), (&"closed".into(), &false.into()), "{said}");
    assert_eq!(Viewer::new().get(&url).status, 200, "its edge does not know");
    land.silence_west(false);
    wait_for("its edge to hear of it", NOTICED, || (Viewer::new().get(&url).status == 404).then_some(()));
    let said = land.west().says_of("west").expect("a view");
    assert_eq!(
        (&said["opening"], &said["by"], &said["why"]),
        (&"closed".into(), &"operator".into(), &"its control plane is dead".into())
    );
    let _ = land.west().server.cli(&["cluster", "automatic", "show", "west"]);
    land.well("both views to agree");
    for region in &land.regions {
        let history = ["east", "west"].map(|of| region.history(of)).concat();
        assert!(switches(&history).is_empty(), "no automat has acted, as {} says: {history:?}", region.name);
    }
}

#[test]
fn a_region_that_flaps_is_switched_once_in_a_hold() {
    let Some(land) = Land::start(HOLD_MS) else { return };
    for _ in 0..3 {
        for still in [true, false] {
            land.west().freeze(still);
            // The flapping is what is tested, so its time is the test's.
            std::thread::sleep(Duration::from_secs(5));
        }
    }
    let history = land.east().history("west");
    let switches = switches(&history);
    println!("{} switches in 30 s of flapping: {:?}", switches.len(), words(&history));
    assert!(!switches.is_empty(), "{history:?}");
    for pair in switches.windows(2) {
        assert!(pair[1] - pair[0] >= i64::from(HOLD_MS), "{switches:?}");
    }
    land.well("the region that flapped");
}
