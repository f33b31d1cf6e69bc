//! Files on demand: from the folder that is watched, or the S3-compatible endpoint, to the viewer.

mod added;
mod hostile;
mod killed;
mod ladder;
mod tools;
mod who;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anabranch_testkit::{Server, wait_for};
use serde_json::{Value, json};

use crate::text;

/// Longest wait for an asset. Encoders share the machine with other tests.
const MADE: Duration = Duration::from_secs(300);

/// A film of which there is no other: pictures that are counted, and a tone.
pub(crate) struct Film {
    pub(crate) size: &'static str,
    pub(crate) rate: usize,
    pub(crate) seconds: usize,
    /// Hertz. Films of different tones are different files.
    pub(crate) tone: usize,
}

impl Default for Film {
    fn default() -> Self {
        Self { size: "320x240", rate: 25, seconds: 4, tone: 440 }
    }
}

impl Film {
    pub(crate) fn frames(&self) -> usize {
        self.rate * self.seconds
    }

    /// Writes it beside the data directory.
    pub(crate) fn file(&self, server: &Server, name: &str) -> PathBuf {
        let path = server.data().with_file_name(name);
        let picture = format!("testsrc2=size={}:rate={}", self.size, self.rate);
        let tone = format!("sine=frequency={}:sample_rate=48000", self.tone);
        let (gop, seconds) = ((self.rate * 2).to_string(), self.seconds.to_string());
        #[rustfmt::skip]
        ffmpeg(&[
            "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone, "-t", &seconds,
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", &gop,
            "-c:a", "aac", "-ac", "2", "-f", "mp4", &path.to_string_lossy(),
        ]);
        path
    }
}

/// Runs ffmpeg, which must succeed.
fn ffmpeg(arguments: &[&str]) {
    let done = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).stdin(Stdio::null()).output();
    let done = done.expect("ffmpeg");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Puts a file into the folder that is watched.
fn drop_in(server: &Server, file: &Path, name: &str) {
    fs::rename(file, server.data().join("drop").join(name)).expect("the folder that is watched");
}

/// The file in the bucket, with what has become of it.
pub(crate) fn object(server: &Server, key: &str) -> Option<Value> {
    let list = server.call("GET", "/v1/buckets/uploads/objects?limit=1000", &Value::Null);
    list["items"].as_array()?.iter().find(|item| item["key"] == key).cloned()
}

/// The asset that the file of this key has become, when it is where it ends.
fn ended(server: &Server, key: &str) -> Option<Value> {
    let id = object(server, key)?["asset"].as_str()?.to_owned();
    let asset = server.call("GET", &format!("/v1/assets/{id}"), &Value::Null);
    ["READY", "FAILED", "CANCELLED"].contains(&asset["state"].as_str()?).then_some(asset)
}

pub(crate) fn wait_ready(server: &Server, key: &str) -> Value {
    let asset = wait_for(&format!("{key} to be made"), MADE, || ended(server, key));
    assert_eq!(asset["state"], "READY", "{asset:#}");
    assert_eq!((&asset["playable"], &asset["partial"]), (&json!(true), &json!(false)), "{asset:#}");
    asset
}

pub(crate) fn play(server: &Server, asset: &Value) -> Value {
    server.call("POST", &format!("/v1/assets/{}/play-url", text(&asset["id"])), &json!({}))
}

/// What was made of an asset, on disk.
fn made(server: &Server, asset: &Value) -> PathBuf {
    server.data().join("media/bucket/vod/assets").join(text(&asset["id"]))
}

/// Plain files in a folder and the folders below it.
pub(crate) fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

/// What came of each stream when all of it was decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Frames of each video stream.
    pub(crate) video: Vec<usize>,
    /// Samples at 48 kHz of each audio stream.
    pub(crate) audio: Vec<usize>,
}

/// Decodes every stream of pictures and sound of a URL or a file; ffmpeg may not complain.
pub(crate) fn decoded(url: &str) -> Decoded {
    let mut ffmpeg = Command::new("timeout");
    ffmpeg.args(["120", "ffmpeg", "-v", "warning", "-i", url, "-map", "0", "-f", "framecrc", "-"]);
    let done = ffmpeg.stdin(Stdio::null()).output().expect("ffmpeg");
    let said = String::from_utf8_lossy(&done.stderr);
    // It knows no captions of HLS.
    let complaints: Vec<&str> = said.lines().filter(|line| !line.contains("Can't support the subtitle")).collect();
    assert!(done.status.success() && complaints.is_empty(), "{said}");
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let mut all = Decoded::default();
    let kinds = out.lines().filter_map(|line| line.strip_prefix("#media_type "));
    for (index, kind) in kinds.filter_map(|kind| kind.split_once(": ")) {
        let packets = || out.lines().filter(|line| line.starts_with(&format!("{index},")));
        // Stream, dts, pts, duration, size, checksum.
        let duration = |line: &str| line.split(',').nth(3).and_then(|field| field.trim().parse::<usize>().ok());
        match kind {
            "video" => all.video.push(packets().count()),
            "audio" => all.audio.push(packets().filter_map(duration).sum()),
            _ => {}
        }
    }
    all
}
