//! Two controllers on one PostgreSQL database: one acts, the other takes over when it is gone.

use std::time::{Duration, Instant};

use anabranch_testkit::{Database, Server, Viewer, wait_for};

/// A takeover: the lock of a process that was killed is free at once, and a standby waits a moment for it to come back.
const TAKEOVER: Duration = Duration::from_secs(10);

#[test]
fn the_second_acts_when_the_first_is_killed() {
    let Some(database) = Database::create() else { return };
    let url = database.url();
    let environment = [("ANABRANCH_DATABASE", url.as_str())];
    let mut first = Server::start_with(&environment);
    let channel = first.cli(&["channel", "create", "before"]);
    let mut second = Server::start_standing_by(&environment);

    // It is alive, and says what it is to everybody.
    let viewer = Viewer::new();
    assert_eq!(viewer.get(&format!("{}/livez", second.api())).status, 200);
    for path in ["/readyz", "/v1/channels", "/", "/openapi.json"] {
        let answer = viewer.get(&format!("{}{path}", second.api()));
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.header("retry-after"), "2", "{path}");
        assert!(answer.text().contains("urn:anabranch:problem:standby"), "{path}: {}", answer.text());
    }
    let refused = second.cli_refused(&["channel", "create", "refused"]);
    assert!(refused.contains("another controller acts"), "{refused}");

    first.kill();
    let killed = Instant::now();
    second.wait_ready();
    assert!(killed.elapsed() < TAKEOVER, "took over after {:?}", killed.elapsed());
    assert_eq!(second.cli(&["channel", "show", "before"])["id"], channel["id"]);
    let _running = second.on_air("after");

    // The first comes back as the one that stands by, and takes over in its turn.
    first.restart_standing_by();
    assert!(second.terminate().success(), "{}", second.log());
    first.wait_ready();
    assert_eq!(first.cli(&["breakout", "show", "after"])["state"], "RUNNING");
    let log = format!("{}{}", first.log(), second.log());
    let password = url.split(['@', ':']).nth(2).expect("a password");
    assert!(!log.contains(password), "the password of the database is in the log");
}

#[test]
fn a_server_that_is_restarted_is_no_reason_to_give_up() {
    let Some(database) = Database::create() else { return };
    let url = database.url();
    let environment = [("ANABRANCH_DATABASE", url.as_str())];
    let server = Server::start_with(&environment);
    let standby = Server::start_standing_by(&environment);
    for name in ["one", "two"] {
        database.cut();
        let created = server.cli(&["channel", "create", name]);
        assert_eq!(server.cli(&["channel", "show", name])["id"], created["id"]);
    }
    let answer = Viewer::new().get(&format!("{}/readyz", standby.api()));
    assert_eq!(answer.status, 503, "{}", standby.log());
}

#[test]
fn one_that_stood_still_writes_nothing_more_and_stands_by() {
    let Some(database) = Database::create() else { return };
    let url = database.url();
    let environment = [("ANABRANCH_DATABASE", url.as_str())];
    let mut first = Server::start_with(&environment);
    let (_, breakout) = first.on_air("one");
    let mut second = Server::start_standing_by(&environment);
    first.stand_still(true);
    second.wait_ready();
    let id = breakout["id"].as_str().expect("an id");
    let _stopped = second.cli(&["breakout", "stop", id, "--wait"]);
    first.stand_still(false);
    first.wait_standing_by();
    assert_eq!(second.cli(&["breakout", "show", id])["state"], "COMPLETED");
    // It takes its turn again, with what the other has written, in the same process.
    second.kill();
    first.wait_ready();
    assert_eq!(first.cli(&["breakout", "show", id])["state"], "COMPLETED");
    let _running = first.on_air("two");
}

#[test]
fn a_database_that_is_away_is_said_and_waited_for() {
    let Some(database) = Database::create() else { return };
    let url = database.url();
    let server = Server::start_with(&[("ANABRANCH_DATABASE", url.as_str())]);
    let _channel = server.cli(&["channel", "create", "before"]);
    database.away(true);
    let refused = server.cli_refused(&["channel", "create", "meanwhile"]);
    assert!(refused.contains("the database did not answer"), "{refused}");
    let readiness = |status: u16| {
        wait_for("the readiness", TAKEOVER, || {
            let answer = Viewer::new().try_get(&format!("{}/readyz", server.api()))?;
            (answer.status == status).then_some(())
        });
    };
    readiness(503);
    database.away(false);
    readiness(200);
    let _channel = server.cli(&["channel", "create", "after"]);
    assert!(server.cli_refused(&["channel", "show", "meanwhile"]).contains("no channel"));
}
