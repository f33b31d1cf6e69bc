//! A backup while serving, and its way back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anabranch_testkit::{Server, binary};

fn run(verb: &str, file: &Path, data: &Path) -> Result<String, String> {
    let output = Command::new(binary()).arg(verb).arg(file).arg("--data").arg(data).output().expect("a run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn a_backup_is_made_while_serving_and_restored_when_not() {
    let mut server = Server::start();
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("backup");
    let (channel, breakout) = server.on_air("kept");
    run("backup", &file, &server.data()).expect("a backup");
    assert_eq!(fs::metadata(&file).expect("the backup").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(scratch.path()).expect("the directory").count(), 1, "nothing else is left");
    let again = run("backup", &file, &server.data()).expect_err("it is there");
    assert!(again.contains("exists"), "{again}");
    let running = run("restore", &file, &server.data()).expect_err("the server runs");
    assert!(running.contains("in use by process"), "{running}");

    let _later = server.cli(&["channel", "create", "later"]);
    let before = newest(&server);
    server.kill();
    let damaged = scratch.path().join("damaged");
    fs::write(&damaged, &fs::read(&file).expect("the backup")[..8192]).expect("a damaged backup");
    run("restore", &damaged, &server.data()).expect_err("it is damaged");
    let said = run("restore", &file, &server.data()).expect("restored");
    assert!(said.contains("anabranch.db.replaced-1"), "{said}");
    server.restart();
    assert_eq!(server.cli(&["channel", "show", "kept"])["id"], channel["id"]);
    assert_eq!(server.cli(&["breakout", "show", "kept"])["id"], breakout["id"]);
    assert!(server.cli_refused(&["channel", "show", "later"]).contains("no channel"));
    assert!(newest(&server) > before, "edges take what was restored for the newest");

    // What was replaced can take its turn again, log and all.
    let replaced = server.data().join("anabranch.db.replaced-1");
    server.kill();
    let whole = scratch.path().join("whole");
    fs::create_dir(scratch.path().join("data")).expect("a directory");
    for ending in ["", "-wal"] {
        let from = format!("{}{ending}", replaced.display());
        let to = scratch.path().join("data").join(format!("anabranch.db{ending}"));
        if Path::new(&from).exists() {
            fs::copy(from, to).expect("a copy");
        }
    }
    run("backup", &whole, &scratch.path().join("data")).expect("a backup of what was replaced");
    run("restore", &whole, &server.data()).expect("restored again");
    server.restart();
    assert_eq!(server.cli(&["channel", "show", "later"])["name"], "later");
}

/// The newest snapshot version.
fn newest(server: &Server) -> u64 {
    let nodes = server.cli(&["node", "list"]);
    nodes["items"][0]["newest_version"].as_u64().unwrap_or_else(|| panic!("a version in {nodes}"))
}
