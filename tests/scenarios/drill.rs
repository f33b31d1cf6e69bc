//! What players notice when a region fails: hls.js and Shaka in Chromium on the merged playlist of two live regions, fed by one encoder.
//!
//! `cargo xtask drill --runs 20 --segment 6` gives distributions.

#![expect(clippy::print_stdout, reason = "what was measured is printed")]

mod fan;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch_net::{Clock, SystemClock};
use anabranch_testkit::{Viewer, wait_for};
use serde_json::Value;

use crate::browser::Browser;
use crate::faults::land::{Land, NOTICED, Region, WELL};
use crate::text;
use fan::Fan;

/// The automat's shortest time between two switches, in segments: what was missed is behind the point at which players begin then. The default
/// is longer.
const HOLD_SEGMENTS: u32 = 5;

/// Players that are watched.
const PLAYERS: [&str; 2] = ["hls", "shaka"];

/// Length of segments that channels have by default, in seconds.
const SEGMENT: u32 = 6;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// How a region fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing new comes, and what there is is answered with 200.
    Freezes,
    /// Its server is killed.
    Dies,
}

/// A player that plays, and what it said last.
struct Player {
    name: &'static str,
    said: Arc<Mutex<Value>>,
    stop: Arc<AtomicBool>,
    reading: Option<std::thread::JoinHandle<()>>,
}

impl Player {
    fn start(name: &'static str, url: &str) -> Self {
        let mut browser = Browser::script("merged.mjs", &["--player", name, "--url", url, "--seconds", "86400"]);
        let (said, stop) = (Arc::new(Mutex::new(Value::Null)), Arc::new(AtomicBool::new(false)));
        let (into, is_over) = (said.clone(), stop.clone());
        let reading = std::thread::spawn(move || {
            while let Some(line) = browser.next() {
                *into.lock().unwrap_or_else(PoisonError::into_inner) = line;
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self { name, said, stop, reading: Some(reading) }
    }

    fn said(&self) -> Value {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn number(&self, name: &str) -> f64 {
        self.said()[name].as_f64().unwrap_or(0.0)
    }

    /// Whether its newest segment came from that server.
    fn is_at(&self, edge: &str) -> bool {
        self.said()["host"].as_str().is_some_and(|host| edge.ends_with(host))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

/// What a failure was like for a player that was in the region that failed.
#[derive(Debug)]
struct Noticed {
    player: &'static str,
    stall_seconds: f64,
    lost_segments: f64,
    /// The furthest that it went ahead of the clock at once.
    jump_seconds: f64,
}

/// What a run was like.
#[derive(Debug)]
struct Run {
    kind: Kind,
    detection_seconds: f64,
    /// From the closing, as it stands in the history, to the last object that the closed region served: negative where the last was
    /// asked for before. Nothing of one that is dead.
    served_seconds: Option<f64>,
    players: Vec<Noticed>,
}

/// Two regions and one encoder.
struct Drill {
    land: Land,
    fan: Fan,
    /// The merged playlist, signed.
    url: String,
    /// Length of segments, in seconds.
    segment: u32,
}

impl Drill {
    fn start(segment: u32) -> Option<Self> {
        let mut fan = None;
        let land = Land::start_with(HOLD_SEGMENTS * segment * 1000, segment, |regions| {
            fan = Some(Fan::start(&regions.each_ref().map(Region::push_url)));
        })?;
        let east = &land.east().server;
        let _ = east.cli(&["cluster", "publish", "show"]);
        let url = wait_for("the merged playlist", WELL, || {
            let url = text(&east.cli(&["cluster", "play-url", "show", "--expires-in", "86400"])["url"]);
            let answer = Viewer::new().try_get(&url)?;
            let names = |at: usize| answer.text().contains(&format!("{}/", land.regions[at].server.edge()));
            (answer.status == 200 && names(0) && names(1)).then_some(url)
        });
        Some(Self { land, fan: fan.expect("regions that were started"), url, segment })
    }

    /// New players, who play. Those of the run before stay away from where something failed: hls.js for five minutes, Shaka for one.
    fn players(&self) -> Vec<Player> {
        let players: Vec<Player> = PLAYERS.into_iter().map(|name| Player::start(name, &self.url)).collect();
        for player in &players {
            let before = player.number("played_seconds");
            let deadline = Instant::now() + WELL;
            while player.number("played_seconds") < before + 2.0 * f64::from(self.segment)
                || !player.said()["host"].is_string()
            {
                assert!(Instant::now() < deadline, "{} does not play: {}", player.name, player.said());
                std::thread::sleep(LOOK);
            }
        }
        players
    }

    fn run(&mut self, kind: Kind) -> Run {
        let all = self.players();
        // What goes wrong by itself, as when one region takes over the other's clock, is no part of the drill.
        self.land.well("both regions while players play");
        // The region in which the first player is; the others may be elsewhere and are not counted then.
        let at = usize::from(!all[0].is_at(&self.land.east().server.edge()));
        let (name, edge) = (self.land.regions[at].name, self.land.regions[at].server.edge());
        let before: Vec<_> = all
            .iter()
            .map(|player| (player.is_at(&edge), player.number("stall_seconds"), player.number("skipped_seconds")))
            .collect();
        let object = self.land.regions[at].segment().expect("a segment");
        let polled = Polled::start(object);
        let began_ms = now_ms();
        match kind {
            Kind::Freezes => self.fan.freeze(at, true),
            Kind::Dies => self.land.regions[at].server.kill(),
        }
        let other = &self.land.regions[1 - at];
        let closed_ms = wait_for("the closing", NOTICED, || {
            let last = other.history(name).pop().filter(|entry| entry["what"] == "closed")?;
            anabranch_hls::time::parse(last["at"].as_str()?).filter(|at_ms| *at_ms >= began_ms)
        });
        // Longer than players have in their buffers.
        std::thread::sleep(Duration::from_secs(u64::from(4 * self.segment + 1)));
        let last_ms = polled.end();
        let players = all.iter().zip(before).filter(|(_, (was_there, ..))| *was_there);
        let players = players.map(|(player, (_, stalled, skipped))| Noticed {
            player: player.name,
            stall_seconds: player.number("stall_seconds") - stalled,
            lost_segments: (player.number("skipped_seconds") - skipped) / f64::from(self.segment),
            jump_seconds: player.number("jump_seconds"),
        });
        let run = Run {
            kind,
            detection_seconds: seconds(closed_ms - began_ms),
            served_seconds: (kind == Kind::Freezes).then(|| seconds(last_ms - closed_ms)),
            players: players.collect(),
        };
        println!("{name} {kind:?}: {run:?}");
        if run.players.iter().any(|player| player.stall_seconds > 0.5) {
            println!("{:#?}", crate::faults::land::words(&other.history(name)));
            all.iter().for_each(|player| println!("{} {}", player.name, player.said()));
        }
        match kind {
            Kind::Freezes => self.fan.freeze(at, false),
            Kind::Dies => self.land.regions[at].server.restart(),
        }
        drop(all);
        self.land.well("the region that failed");
        run
    }
}

fn now_ms() -> i64 {
    SystemClock.now_ms()
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Somebody who asks for one object all the time.
struct Polled {
    stop: Arc<AtomicBool>,
    asking: std::thread::JoinHandle<i64>,
}

impl Polled {
    fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let asking = std::thread::spawn(move || {
            let mut last_ms = now_ms();
            while !is_over.load(Ordering::SeqCst) {
                if Viewer::new().try_get(&url).is_some_and(|answer| answer.status == 200) {
                    last_ms = now_ms();
                }
                std::thread::sleep(LOOK);
            }
            last_ms
        });
        Self { stop, asking }
    }

    /// When it was answered last, in milliseconds since the Unix epoch.
    fn end(self) -> i64 {
        self.stop.store(true, Ordering::SeqCst);
        self.asking.join().expect("who asks does not panic")
    }
}

#[test]
#[ignore = "players of a machine that is busy stand still for its sake: cargo xtask drill"]
fn players_go_on_when_the_packager_of_their_region_stands_still_or_dies() {
    let Some(mut drill) = Drill::start(SEGMENT) else { return };
    for kind in [Kind::Freezes, Kind::Dies] {
        let run = drill.run(kind);
        assert!(!run.players.is_empty(), "a player was there");
        for player in &run.players {
            assert!(player.stall_seconds < 0.5, "{run:?}");
            assert!(player.lost_segments <= 1.1 && player.jump_seconds <= f64::from(SEGMENT) * 1.1, "{run:?}");
        }
        assert!(run.served_seconds.is_none_or(|served| served < 2.0), "{run:?}");
    }
    let history = drill.land.west().history("east");
    assert!(history.iter().any(|entry| entry["what"] == "closed" && !entry["evidence"].is_null()), "{history:?}");
    assert!(history.iter().any(|entry| entry["what"] == "open" && entry["by"] == "automat"), "{history:?}");
}

/// `DRILL_RUNS` failures, each fourth a death, with segments of `DRILL_SEGMENT` seconds, and how they were distributed.
#[test]
#[ignore = "a measure that takes half a minute a run: cargo xtask drill"]
fn measure() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    let (runs, segment) = (asked("DRILL_RUNS").unwrap_or(20), asked("DRILL_SEGMENT").unwrap_or(SEGMENT));
    let mut drill = Drill::start(segment).expect("a machine with network namespaces");
    let mut all = Vec::new();
    for at in 0..runs {
        all.push(drill.run(if at % 4 == 3 { Kind::Dies } else { Kind::Freezes }));
    }
    println!("{runs} runs, segments of {segment} s");
    for kind in [Kind::Freezes, Kind::Dies] {
        let of: Vec<&Run> = all.iter().filter(|run| run.kind == kind).collect();
        spread(&format!("{kind:?}: detection to close, s"), of.iter().map(|run| run.detection_seconds));
        let served = of.iter().filter_map(|run| run.served_seconds);
        spread(&format!("{kind:?}: close to last object served, s"), served);
        for name in PLAYERS {
            let players = || of.iter().flat_map(|run| &run.players).filter(|player| player.player == name);
            spread(&format!("{kind:?}: stall of {name}, s"), players().map(|player| player.stall_seconds));
            spread(&format!("{kind:?}: segments lost by {name}"), players().map(|player| player.lost_segments));
        }
    }
}

/// Prints a distribution.
fn spread(what: &str, values: impl Iterator<Item = f64>) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return };
    let at = |share: f64| values[(share * last as f64).round() as usize];
    println!(
        "{what:<44} n {:>3}  min {:>6.2}  median {:>6.2}  p90 {:>6.2}  max {:>6.2}",
        values.len(),
        at(0.0),
        at(0.5),
        at(0.9),
        at(1.0)
    );
}
