//! Files that are sent by the command line, piece by piece.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anabranch_testkit::{Server, Viewer, wait_for};

use crate::text;

const MIB: u64 = 1024 * 1024;

/// Longest wait for a part of a file.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file of so many MiB, no two of them the same.
fn file(path: &Path, mib: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a scratch file"));
    let mut block = vec![0x5a; usize::try_from(MIB).expect("a size")];
    for number in 0..mib {
        block[..8].copy_from_slice(&number.to_be_bytes());
        file.write_all(&block).expect("room for a scratch file");
    }
    file.flush().expect("room for a scratch file");
}

/// The one upload that is under way: its id, and the bytes that are there.
fn under_way(server: &Server) -> Option<(String, u64)> {
    let entries = fs::read_dir(server.data().join("media/.drafts")).ok()?;
    let entry = entries.flatten().find(|entry| !entry.file_name().to_string_lossy().contains('.'))?;
    Some((entry.file_name().to_string_lossy().into_owned(), entry.metadata().ok()?.len()))
}

fn wait_beyond(server: &Server, bytes: u64) -> (String, u64) {
    wait_for("more of the file", PATIENCE, || under_way(server).filter(|(_, has)| *has > bytes))
}

fn same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").args([one, other]).status().expect("cmp").success()
}

struct Scene {
    server: Server,
    file: PathBuf,
}

impl Scene {
    fn open(mib: u64) -> Self {
        let server = Server::start();
        let _ = server.cli(&["bucket", "create", "films"]);
        let path = server.data().with_file_name("big film.bin");
        file(&path, mib);
        Self { server, file: path }
    }

    fn object(&self) -> PathBuf {
        // Of a plain key: this is where other rooms read it.
        self.server.data().join("media/bucket/films/big.bin")
    }

    fn put<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let path = self.file.to_str().expect("a plain path");
        let mut arguments = vec!["bucket", "put", "films", path, "--key", "big.bin"];
        arguments.extend(more);
        arguments
    }
}

#[test]
fn a_file_comes_in_whole_across_kill_9() {
    let mut scene = Scene::open(256);
    let sender = scene.server.begin(&scene.put(&[]));
    let mut has = 0;
    for _ in 0..2 {
        (_, has) = wait_beyond(&scene.server, has);
        scene.server.kill();
        scene.server.restart();
    }
    let done = sender.wait_with_output().expect("the command line to end");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("trying again"), "{said}");
    assert!(same(&scene.file, &scene.object()));
    assert_eq!(under_way(&scene.server), None, "its bytes have one place");
}

#[test]
fn a_sender_that_was_ended_goes_on_where_it_was() {
    let scene = Scene::open(128);
    let mut sender = scene.server.begin(&scene.put(&[]));
    wait_beyond(&scene.server, 0);
    sender.kill().expect("a running command line");
    sender.wait().expect("its end");
    let (id, _) = under_way(&scene.server).expect("what came is kept");
    let other =
        scene.server.cli_refused(&["bucket", "put", "films", scene.put(&[])[3], "--key", "other", "--resume", &id]);
    assert!(other.contains("of another file, bucket or key"), "{other}");
    let file = scene.server.cli(&scene.put(&["--resume", &id]));
    assert_eq!((&file["key"], file["size"].as_u64()), (&"big.bin".into(), Some(128 * MIB)));
    assert!(same(&scene.file, &scene.object()));
}

#[test]
fn an_uploaded_film_is_followed_until_it_plays_or_fails() {
    let server = Server::start();
    let folder = server.data().with_file_name("films");
    fs::create_dir(&folder).expect("a scratch folder");
    let film = folder.join("holiday.2024.final.mp4").to_string_lossy().into_owned();
    #[rustfmt::skip]
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=3"])
        .args(["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=3", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", &film])
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg");
    assert!(made.success());
    let (asset, said) = server.cli_saying(&["asset", "add", &film, "--wait"]);
    assert_eq!((&asset["state"], &asset["name"]), (&"READY".into(), &"holiday.2024.final.mp4".into()), "{said}");
    let id = text(&asset["id"]);
    let url = server.lines(&["asset", "link", &id, "--form", "url"]).remove(0);
    let playlist = Viewer::new().try_get(&url).expect("an answer");
    assert!(playlist.status == 200 && playlist.text().starts_with("#EXTM3U"), "{}", playlist.text());
    // The same film by its key is the same asset.
    let again = server.cli(&["asset", "add", "--key", "holiday.2024.final.mp4", "--wait"]);
    assert_eq!(again["id"], asset["id"]);
    assert_eq!(server.cli(&["asset", "list", "--state", "ready"])["items"][0]["id"], asset["id"]);

    let notes = folder.join("notes.mp4");
    fs::write(&notes, "no film at all").expect("a scratch file");
    let refused = server.cli_refused(&["asset", "add", &notes.to_string_lossy(), "--wait"]);
    assert!(refused.contains("FAILED"), "{refused}");
    let without = server.cli(&["bucket", "create", "plain"]);
    assert!(without["preset"].is_null());
    let refused = server.cli_refused(&["asset", "add", &film, "--bucket", "plain"]);
    assert!(refused.contains("anabranch bucket update plain --preset NAME"), "{refused}");
}
