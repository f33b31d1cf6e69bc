//! Makes the rows: every channel lives through its breakouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anabranch_model::{Recorded, Report, ViewerSeen};
use serde_json::json;
use tokio::task::JoinSet;

use crate::plane::{DAY_MS, NOW_MS, Place, Plane, text};

/// Breakouts of a channel that ended days ago.
const OLD: usize = 4;

/// Breakouts of a channel that ended within the last day, and are still readable.
const RECENT: usize = 4;

/// Breakouts of a channel: those, one on air, and one that has not begun.
pub(crate) const BREAKOUTS: usize = OLD + RECENT + 2;

/// Channels without a breakout on air, at the end of the list.
pub(crate) const SPARE: usize = 20;

/// Viewers of each breakout.
const VIEWERS: usize = 5;

/// Channels worked on at once.
const AT_ONCE: usize = 64;

/// Recordings of which one has an MP4 ordered.
const MP4_EVERY: usize = 20;

/// What happens to each channel, one day after the other.
#[derive(Clone, Copy)]
enum Day {
    Make,
    Old,
    Recent,
    Air,
}

pub(crate) fn name(channel: usize, breakout: usize) -> String {
    format!("breakout {channel:04}-{breakout}")
}

pub(crate) async fn load(place: &Place, channels: usize) {
    let begun = Instant::now();
    let plane = Arc::new(Plane::start(place, NOW_MS - 4 * DAY_MS).await);
    plane.post("/v1/events", json!({ "name": "event" })).await;
    let days = [(Day::Make, -4 * DAY_MS), (Day::Old, -3 * DAY_MS), (Day::Recent, -DAY_MS / 2), (Day::Air, -DAY_MS / 4)];
    for (day, at) in days {
        plane.clock.set_ms(NOW_MS + at);
        everywhere(&plane, channels, day).await;
        plane.settles().await;
    }
    order(&plane).await;
    let plane = Arc::into_inner(plane).expect("nobody else has it");
    plane.stop().await;
    println!("{channels} channels and {} breakouts made in {:.0?}", channels * BREAKOUTS, begun.elapsed());
}

async fn everywhere(plane: &Arc<Plane>, channels: usize, day: Day) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (plane, next) = (plane.clone(), next.clone());
        workers.spawn(async move {
            loop {
                let channel = next.fetch_add(1, Ordering::Relaxed);
                if channel >= channels {
                    return;
                }
                live(&plane, channel, day, channels).await;
            }
        });
    }
    workers.join_all().await;
}

async fn live(plane: &Plane, channel: usize, day: Day, channels: usize) {
    match day {
        Day::Make => {
            let made = plane.post("/v1/channels", json!({ "name": format!("channel {channel:04}") })).await;
            for breakout in 0..BREAKOUTS {
                // Every tenth one belongs to the event.
                let event = if channel.is_multiple_of(10) { "event" } else { "" };
                let body = json!({ "name": name(channel, breakout), "channel": made["id"], "event": event });
                plane.post("/v1/breakouts", body).await;
            }
        }
        Day::Old => through(plane, channel, 0..OLD).await,
        Day::Recent => through(plane, channel, OLD..OLD + RECENT).await,
        Day::Air if channel + SPARE < channels => drop(air(plane, &name(channel, OLD + RECENT)).await),
        Day::Air => {}
    }
}

/// Starts a breakout, and answers its id.
async fn air(plane: &Plane, name: &str) -> String {
    let name = name.replace(' ', "%20");
    let started = plane.act(&format!("/v1/breakouts/{name}/start")).await;
    let id = text(&started["id"]).to_owned();
    plane.becomes(&id, "RUNNING").await;
    let now_ms = anabranch_net::Clock::now_ms(&*plane.clock);
    let viewer = |number: usize| ViewerSeen {
        breakout: id.parse().expect("an id"),
        session: format!("session-{number}"),
        user: format!("user-{number}"),
        address: "192.0.2.7".into(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36".into(),
        first_ms: now_ms,
        last_ms: now_ms + 10,
        bytes: 100_000_000,
        stays: Vec::new(),
    };
    let seen = (0..VIEWERS).map(viewer).collect();
    plane.report(Report::Viewers(seen)).await;
    id
}

/// Lets breakouts begin and end, one after the other.
async fn through(plane: &Plane, channel: usize, breakouts: std::ops::Range<usize>) {
    for breakout in breakouts {
        let id = air(plane, &name(channel, breakout)).await;
        plane.act(&format!("/v1/breakouts/{id}/stop")).await;
        let recorded = Recorded {
            duration_ms: 3_600_000,
            segments: 900,
            bytes: 2_700_000_000,
            gaps: 0,
            gap_ms: 0,
            complete: true,
        };
        let report = Report::Recorded { breakout: id.parse().expect("an id"), session: 1, recorded };
        plane.report(report).await;
    }
}

/// Orders an MP4 of some recordings; nobody makes them here.
async fn order(plane: &Plane) {
    let mut path = "/v1/recordings?limit=200".to_owned();
    loop {
        let page = plane.get(&path).await;
        let items = page["items"].as_array().expect("items").iter();
        for one in items.filter(|one| one["state"] == "AVAILABLE").step_by(MP4_EVERY) {
            plane.act(&format!("/v1/recordings/{}/mp4", text(&one["id"]))).await;
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/recordings?limit=200&after={next}"),
            None => return,
        }
    }
}
