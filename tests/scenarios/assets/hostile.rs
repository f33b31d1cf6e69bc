//! Whatever is dropped in, each file ends in a state with a reason, and the next is made.

use std::fs;
use std::path::PathBuf;

use anabranch_testkit::{Server, wait_for};
use serde_json::Value;

use super::{Film, MADE, decoded, drop_in, ended, ffmpeg, object, play, wait_ready};
use crate::text;

/// How a file has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ready,
    Failed,
    /// Whichever, with a reason or a notice.
    Told,
}

struct Dropped {
    name: &'static str,
    file: PathBuf,
    end: End,
}

/// A film that is no file of its own.
fn film(server: &Server, tone: usize) -> PathBuf {
    Film { seconds: 2, tone, ..Film::default() }.file(server, "film")
}

fn plain(server: &Server, bytes: &[u8]) -> PathBuf {
    let path = server.data().with_file_name("plain");
    fs::write(&path, bytes).expect("a scratch file");
    path
}

/// The first half of a film whose index is at its beginning, or at its end.
fn cut(server: &Server, tone: usize, index_first: bool) -> PathBuf {
    let (whole, path) = (film(server, tone), server.data().with_file_name("cut"));
    let flags = if index_first { "+faststart" } else { "0" };
    let (from, to) = (whole.to_string_lossy(), path.to_string_lossy());
    ffmpeg(&["-i", &from, "-c", "copy", "-movflags", flags, "-f", "mp4", &to]);
    let bytes = fs::read(&path).expect("a film");
    plain(server, &bytes[..bytes.len() / 2])
}

/// An MP4 with captions alone.
fn words_alone(server: &Server) -> PathBuf {
    let (words, path) = (server.data().with_file_name("words.srt"), server.data().with_file_name("words"));
    fs::write(&words, "1\n00:00:00,000 --> 00:00:02,000\nHello\n").expect("a scratch file");
    ffmpeg(&["-i", &words.to_string_lossy(), "-c:s", "mov_text", "-f", "mp4", &path.to_string_lossy()]);
    path
}

/// A ZIP archive of one file that is not compressed.
fn archive() -> Vec<u8> {
    let (name, body) = (b"film.txt", b"no film");
    let number = |value: usize| u32::try_from(value).expect("a small number").to_le_bytes();
    let mut sizes = [0_u8; 12].to_vec();
    // The checksum stays zero: whoever reads so far has lost already.
    sizes[4..8].copy_from_slice(&number(body.len()));
    sizes[8..12].copy_from_slice(&number(body.len()));
    let lengths = [8, 0, 0, 0];
    let entry = [b"\x14\0\0\0\0\0\0\0\0\0".as_slice(), &sizes, &lengths].concat();
    let local = [b"PK\x03\x04".as_slice(), &entry, name, body].concat();
    let central = [b"PK\x01\x02\x14\0".as_slice(), &entry, &[0; 14], name].concat();
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &number(central.len()), &number(local.len()), b"\0\0"];
    [local, central, end.concat()].concat()
}

fn drop_all(server: &Server) -> Vec<(&'static str, End)> {
    let own = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}/healthz\n#EXT-X-ENDLIST\n", server.api());
    let mut made: Vec<Dropped> = Vec::new();
    let mut add = |name: &'static str, end: End, file: PathBuf| {
        // Each under a name of its own, until all are dropped at once.
        let waits = server.data().with_file_name(format!("waits-{}", made.len()));
        fs::rename(file, &waits).expect("a scratch file");
        made.push(Dropped { name, file: waits, end });
    };
    add("empty.mp4", End::Failed, plain(server, b""));
    add("words.mp4", End::Failed, plain(server, "This is no film, whatever its name says.\n".repeat(100).as_bytes()));
    add("playlist.mp4", End::Failed, plain(server, own.as_bytes()));
    add("concat.mp4", End::Failed, plain(server, b"ffconcat version 1.0\nfile /etc/passwd\n"));
    add("zip.mp4", End::Failed, plain(server, &archive()));
    add("cut without its index.mp4", End::Failed, cut(server, 500, false));
    add("cut behind its index.mp4", End::Told, cut(server, 510, true));
    add("captions alone.mp4", End::Failed, words_alone(server));
    add("\"quotes\" & 'others' $(reboot) `x`.mp4", End::Ready, film(server, 520));
    add("-i -y.mp4", End::Ready, film(server, 530));
    add("Grüße 日本語 🎬 e\u{301}.mp4", End::Ready, film(server, 540));
    add("50%20off #1?x=y;z\\..mp4", End::Ready, film(server, 550));
    add("good.mp4", End::Ready, film(server, 560));
    for Dropped { name, file, .. } in &made {
        drop_in(server, file, name);
    }
    made.into_iter().map(|Dropped { name, end, .. }| (name, end)).collect()
}

#[test]
fn hostile_files_end_in_a_clear_state() {
    let server = Server::start();
    let dropped = drop_all(&server);
    let mut table = String::new();
    for (name, end) in &dropped {
        let asset = wait_for(&format!("an end of {name}"), MADE, || match object(&server, name) {
            Some(object) if object["arrival"] == "FAILED" => Some(object),
            _ => ended(&server, name),
        });
        let state = asset["state"].as_str().unwrap_or("FAILED").to_owned();
        let notices: Vec<&str> = asset["notices"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let problem = asset["problem"].as_str().unwrap_or_default();
        let words = [&[problem], &notices[..]].concat().join("; ");
        table.push_str(&format!("{name:40} {state:7} {}\n", words.trim_matches([';', ' ']).replace('\n', " | ")));
        match end {
            End::Ready => assert_eq!(state, "READY", "{asset:#}"),
            End::Failed => assert!(state == "FAILED" && !problem.is_empty(), "{asset:#}"),
            End::Told => assert!(state == "READY" || !problem.is_empty(), "{asset:#}"),
        }
        if state == "READY" {
            let played = decoded(&text(&play(&server, &asset)["url"]));
            assert!(*end == End::Told || played.video == [50], "{name}: {played:?}");
        } else {
            assert_ne!(asset["playable"], true, "{asset:#}");
        }
    }
    eprintln!("{table}");
    wait_ready(&server, "good.mp4");
    assert!(!server.data().join("work").read_dir().is_ok_and(|mut folder| folder.next().is_some()), "nothing is left");
}
