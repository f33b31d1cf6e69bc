//! Making of media, packaging, and judging of what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anabranch_hls::playlist::{MediaPlaylist, MultivariantPlaylist};
use anabranch_packager::vod::{Container, Cuts, Input, Kind, Label, Output, Plan, Summary, package, publish};
use anabranch_store::LocalStore;
use mp4_atom::{Any, Decode, Header};
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::{HlsLine, Reader};

/// Segments are about this long, in seconds.
pub(crate) const TARGET: u32 = 2;

/// A folder with a store, media and an asset `m1`.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) output: Output,
}

impl Bench {
    pub(crate) fn new(container: Container) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&dir.path().join("store"), 0).unwrap();
        let prefix = "bucket/vod/assets/m1/HLS/".to_owned();
        Self { dir, output: Output { store, prefix, stem: "m1".to_owned(), container } }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file by ffmpeg from arguments that are split at spaces.
    pub(crate) fn make(&self, arguments: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(&path);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        path
    }

    /// A file of what was packaged.
    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.path("store/bucket/vod/assets/m1/HLS").join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.out(name)).unwrap()
    }

    pub(crate) fn media(&self, name: &str) -> MediaPlaylist {
        let text = self.text(name);
        judged(&text);
        let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
        assert!(playlist.ended && playlist.independent_segments, "{text}");
        for segment in &playlist.segments {
            assert!(segment.duration_seconds.round() <= playlist.target_duration_seconds as f64, "{text}");
        }
        playlist
    }

    pub(crate) fn multivariant(&self) -> MultivariantPlaylist {
        let text = self.text("m1.m3u8");
        judged(&text);
        MultivariantPlaylist::parse(text.as_bytes()).unwrap()
    }

    /// All that was packaged, by name.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let files = std::fs::read_dir(self.out(".")).unwrap().map(|entry| entry.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
    }

    /// Packages the first picture and the first sound of a file, whichever there are, and publishes them.
    pub(crate) async fn direct(&self, file: &Path, video: bool, audio: bool) -> (Vec<Summary>, Cuts) {
        let input = || Input { chunks: vec![file.to_owned()], track: 0 };
        let (kind, others) = match (video, audio) {
            (true, true) => (Kind::Video, vec![(Kind::Audio, input())]),
            (true, false) => (Kind::Video, Vec::new()),
            _ => (Kind::Audio, Vec::new()),
        };
        let cuts = Cuts::decide(kind, &input(), &others, TARGET).await.unwrap();
        let is_muxed = self.output.container == Container::Ts && video;
        let mut summaries = Vec::new();
        if video {
            let sound = (is_muxed && audio).then(|| (input(), label("en", "Sound")));
            let plan = Plan { sound, ..plan("source", Kind::Video, input()) };
            summaries.push(package(&self.output, &plan, &cuts).await.unwrap());
        }
        if audio && !is_muxed {
            let plan = Plan { label: label("en", "Sound"), ..plan("audio_1_en", Kind::Audio, input()) };
            summaries.push(package(&self.output, &plan, &cuts).await.unwrap());
        }
        publish(&self.output, &summaries, None).await.unwrap();
        (summaries, cuts)
    }
}

pub(crate) fn label(language: &str, name: &str) -> Label {
    Label { language: language.to_owned(), name: name.to_owned(), ..Label::default() }
}

pub(crate) fn plan(name: &str, kind: Kind, input: Input) -> Plan {
    Plan { name: name.to_owned(), kind, input, label: label("und", ""), sound: None }
}

/// An independent reader must understand every line.
fn judged(text: &str) {
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, options);
    while let Some(line) = reader.read_line().unwrap_or_else(|error| panic!("{error:?}: {text}")) {
        assert!(!matches!(line, HlsLine::UnknownTag(_)), "{text}");
    }
}

/// Runs a tool that must say nothing; answers its output.
pub(crate) fn quietly(tool: &str, arguments: &[&str], path: &Path) -> String {
    let output = Command::new(tool).args(["-v", "warning"]).args(arguments).arg(path).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{tool} {}: {complaints}", path.display());
    String::from_utf8(output.stdout).unwrap()
}

/// A packet by ffprobe: time in seconds and whether it is a keyframe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) pts: f64,
    pub(crate) dts: f64,
    pub(crate) keyframe: bool,
}

/// The packets of a stream, such as `v` or `a`, those that are not to be shown left out.
pub(crate) fn packets(path: &Path, stream: &str) -> Vec<Packet> {
    let entries = "packet=pts_time,dts_time,flags";
    let text = quietly("ffprobe", &["-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"], path);
    let fields = text.lines().map(|line| line.split(',').collect::<Vec<_>>()).filter(|fields| fields.len() >= 3);
    let shown = fields.filter(|fields| !fields[2].contains('D'));
    let number = |text: &str| text.parse().unwrap_or(f64::NAN);
    shown.map(|f| Packet { pts: number(f[0]), dts: number(f[1]), keyframe: f[2].starts_with('K') }).collect()
}

/// Hashes of all pictures in order, decoded without a warning.
pub(crate) fn pictures(path: &Path) -> Vec<String> {
    pictures_at("warning", path)
}

/// [`pictures`], where only words of this level are complaints.
pub(crate) fn pictures_at(level: &str, path: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", level, "-nostdin", "-i"]).arg(path).args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    let output = command.args(["-pix_fmt", "yuv420p", "-f", "framehash", "-hash", "crc32", "-"]).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", path.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// Seconds of decoded sound.
pub(crate) fn sound_seconds(path: &Path) -> f64 {
    let arguments = ["-nostdin", "-i"];
    let output = Command::new("ffmpeg")
        .args(["-v", "warning"])
        .args(arguments)
        .arg(path)
        .args(["-map", "0:a:0", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.len() as f64 / 2.0 / 48_000.0
}

/// Reads every box of an init section or segment with an independent parser; answers its types.
pub(crate) fn boxes(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut kinds = Vec::new();
    while !rest.is_empty() {
        let whole = rest;
        let header = Header::decode(&mut rest).unwrap();
        let size = header.size.unwrap();
        let mut one = &whole[..whole.len() - rest.len() + size];
        assert!(!matches!(Any::decode(&mut one).unwrap(), Any::Unknown(..)), "{:?}", header.kind);
        kinds.push(header.kind.to_string());
        rest = &rest[size..];
    }
    kinds
}

/// The bytes of each range of an I-frame playlist, behind the init section if there is one.
pub(crate) fn ranges(bench: &Bench, playlist: &MediaPlaylist) -> Vec<Vec<u8>> {
    let init = playlist.segments[0].map.as_ref().map_or(Vec::new(), |map| std::fs::read(bench.out(&map.uri)).unwrap());
    let ranges = playlist.segments.iter().map(|segment| {
        let range = segment.byte_range.unwrap();
        let bytes = std::fs::read(bench.out(&segment.uri)).unwrap();
        let from = range.offset.unwrap() as usize;
        [&init[..], &bytes[from..from + range.length as usize]].concat()
    });
    ranges.collect()
}
