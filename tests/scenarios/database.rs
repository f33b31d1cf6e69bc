//! The control database fails under a live stream: viewers notice nothing, operators are told why, and it goes on by itself.

use std::fs;
use std::time::Duration;

use anabranch_testkit::{Encoder, HeldLock, Picture, Server, Viewer, wait_for};

use crate::{media_playlist, play_url, push_url, wait_playing};

/// Longest time until a failure is known, or known to be over.
const NOTICED: Duration = Duration::from_secs(15);

/// Longest time in which segments must have come.
const SEGMENTS: Duration = Duration::from_secs(30);

/// Segments that viewers must get while the database fails.
const WANTED: usize = 3;

fn readiness(server: &Server, status: u16) -> String {
    wait_for("another readiness", NOTICED, || {
        let answer = Viewer::new().try_get(&format!("{}/readyz", server.api()))?;
        (answer.status == status).then(|| answer.text())
    })
}

#[test]
fn viewers_go_on_while_the_database_is_locked_or_gone() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("live");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let playing = wait_playing(&play_url(&server, &breakout));
    let newest = || media_playlist(&playing).uris().last().cloned();

    let file = server.data().join("anabranch.db");
    let aside = file.with_extension("aside");
    for words in ["another process holds the database locked", "was moved, removed or replaced"] {
        let lock = words.contains("locked").then(|| HeldLock::of(&file));
        if lock.is_none() {
            fs::rename(&file, &aside).expect("a file to move");
        }
        let refused = server.cli_refused(&["channel", "create", "meanwhile"]);
        assert!(refused.contains(words), "{refused}");
        assert!(readiness(&server, 503).contains(words));
        let mut seen = newest();
        for _ in 0..WANTED {
            seen = wait_for("the next segment", SEGMENTS, || {
                let found = newest();
                (found != seen).then_some(found)
            });
        }
        assert!(server.lines(&["channel", "list"]).iter().all(|line| !line.contains("meanwhile")), "half done");
        assert!(readiness(&server, 503).contains(words), "it was so all the time");
        match lock {
            Some(lock) => drop(lock),
            None => fs::rename(&aside, &file).expect("a file to move back"),
        }
        readiness(&server, 200);
    }
    let _made = server.cli(&["channel", "create", "meanwhile"]);
    let log = server.log();
    assert_eq!(log.matches("the database fails").count(), 2, "one line for each failure");
    assert_eq!(log.matches("the database works again").count(), 2);
    let stopped = server.cli(&["breakout", "stop", breakout["id"].as_str().expect("an id")]);
    assert_eq!(stopped["state"], "COMPLETED");
}
