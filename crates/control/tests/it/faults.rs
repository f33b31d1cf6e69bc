//! A control database that fails: what operators get, what is kept, and that all goes on by itself.
//! Tests wait for other processes here, and the server must go on meanwhile: each has threads of its own.

use std::fs;
use std::time::{Duration, Instant};

use anabranch_model::Report;
use anabranch_testkit::{Database, Engine, HeldLock, Scratch};
use serde_json::{Value, json};

use crate::support::{Answer, Server, TOKEN, answer};

/// Reports that come while the database fails: more than the queue holds.
const REPORTS: u64 = 500;

/// Longest time that the data plane may wait to be heard.
const HEARD: Duration = Duration::from_secs(1);

impl Server {
    /// Asks for a channel under an idempotency key.
    async fn wish(&self, name: &str) -> Answer {
        let request = self.client.post(format!("{}/v1/channels", self.base)).bearer_auth(TOKEN);
        answer(request.header("idempotency-key", name.replace(' ', "-")).json(&json!({ "name": name }))).await
    }

    async fn names(&self) -> Vec<String> {
        let list = self.get("/v1/channels").await.body;
        let items = list["items"].as_array().unwrap().iter();
        let mut names: Vec<_> = items.map(|item| item["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Waits until readiness is like this; the words with it.
    async fn readiness(&self, status: u16) -> Answer {
        let asking = async {
            loop {
                let found = self.get("/readyz").await;
                if found.status.as_u16() == status {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect("another readiness")
    }

    /// Has the data plane say more than the queue holds, at the pace at which it is heard.
    async fn report_much(&self) {
        for version in 0..REPORTS {
            let report = Report::Applied { role: "edge".into(), node: "n1".into(), version: version % 2 };
            let sent = tokio::time::timeout(HEARD, self.reports.send(report)).await;
            sent.expect("the data plane waits for the database").unwrap();
        }
    }
}

/// A channel that was told to run, and is not running yet because no node has said that it acts by that.
async fn starting(server: &mut Server) {
    server.channel("before").await;
    server.act("/v1/channels/before/start").await;
    server.snapshot(|snapshot| snapshot.channels.iter().any(|channel| channel.running)).await;
    let _ = server.until("/v1/channels/before", |channel| channel["state"] == "Starting").await;
}

/// Meets a fault with wishes and reports, has it mended, and looks whether anything was lost or left half done.
async fn live_through(server: &mut Server, words: &str, retry_after: &str, reads: bool, mend: impl FnOnce(&Server)) {
    let version = server.snapshots.borrow().version;
    let (refused, ()) = tokio::join!(server.wish("meanwhile"), server.report_much());
    refused.problem(503, words);
    refused.problem(503, "look, then try again");
    assert_eq!(refused.body["type"], "urn:anabranch:problem:database");
    assert_eq!(refused.retry_after.as_deref(), Some(retry_after));
    let unready = server.readiness(503).await;
    unready.problem(503, words);
    assert_eq!(unready.body["type"], "urn:anabranch:problem:not-ready");
    assert_eq!(server.get("/livez").await.status.as_u16(), 200);
    if reads {
        assert_eq!(server.names().await, ["before"], "nothing is half done, and reading goes on");
    }
    assert_eq!(server.snapshots.borrow().version, version, "nodes keep what they have");
    // What the operation waits for comes now, when it cannot be written down.
    server.apply().await;
    mend(server);
    server.readiness(200).await;
    let running = |channel: &Value| channel["state"] == "Running";
    server.until("/v1/channels/before", running).await;
    let made = server.wish("meanwhile").await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.body);
    assert_eq!(server.names().await, ["before", "meanwhile"]);
}

fn file(server: &Server) -> std::path::PathBuf {
    let Scratch::File(dir) = &server.scratch else { panic!("a file") };
    dir.path().join("control.sqlite")
}

fn database_of(server: &Server) -> &Database {
    let Scratch::Server(database) = &server.scratch else { panic!("a server") };
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_has_locked() {
    let mut server = Server::start_on(Engine::Sqlite).await;
    starting(&mut server).await;
    let lock = HeldLock::of(&file(&server));
    live_through(&mut server, "another process holds the database locked", "5", true, |_| drop(lock)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_moved_away() {
    let mut server = Server::start_on(Engine::Sqlite).await;
    starting(&mut server).await;
    let path = file(&server);
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    let mend = |_: &Server| {
        // Another file in its place would be filled in vain.
        assert!(!path.exists(), "no empty database was made");
        fs::rename(&aside, &path).unwrap();
    };
    live_through(&mut server, "put it back, or stop the server", "30", true, mend).await;
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&path, &aside).unwrap();
    fs::rename(&copy, &path).unwrap();
    server.wish("into another file").await.problem(503, "was moved, removed or replaced");
    fs::rename(&aside, &path).unwrap();
    server.readiness(200).await;
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    assert_eq!(server.names().await, ["before", "meanwhile"], "what was taken is in the file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_and_comes_back() {
    if !Engine::Postgres.is_there() {
        return;
    }
    let mut server = Server::start_on(Engine::Postgres).await;
    starting(&mut server).await;
    database_of(&server).away(true);
    let mend = |server: &Server| database_of(server).away(false);
    live_through(&mut server, "the database did not answer in time", "5", false, mend).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_disk_is_full() {
    if !Engine::Postgres.is_there() {
        return;
    }
    let mut server = Server::start_on(Engine::Postgres).await;
    starting(&mut server).await;
    // What PostgreSQL says when a table or an index cannot grow.
    database_of(&server).run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON meta EXECUTE FUNCTION full_disk();
         CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON channels EXECUTE FUNCTION full_disk();
         CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON operations EXECUTE FUNCTION full_disk()",
    );
    let mend = |server: &Server| database_of(server).run("DROP FUNCTION full_disk() CASCADE");
    live_through(&mut server, "make room on its disk", "30", true, mend).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_lock_ends_with_it() {
    let server = Server::start_on(Engine::Sqlite).await;
    let lock = HeldLock::of(&file(&server));
    let began = Instant::now();
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(lock);
    };
    let (made, ()) = tokio::join!(server.wish("patient"), release);
    assert_eq!(made.status.as_u16(), 201, "{}", made.body);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.get("/readyz").await.status.as_u16(), 200, "a short lock is no failure");
}
