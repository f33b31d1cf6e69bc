//! Running of ffmpeg and ffprobe, and a packager as small as can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anabranch_media::flv::{Demuxer, FileReader, FlvKind};
use anabranch_media::fmp4::{FragmentSample, init_section, rescale, segment_head};
use anabranch_media::{Event, Sample, Track, TrackKind};
use bytes::Bytes;

/// Timescale of packaged video.
const VIDEO_TIMESCALE: u32 = 90_000;

/// Sound access units of one segment.
const AUDIO_FRAMES: usize = 40;

/// A directory that goes away with the test.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Runs a tool that must end well and say nothing on stderr; answers its stdout.
fn run(tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool).args(arguments).output().unwrap_or_else(|error| panic!("{tool}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{tool} {arguments:?}: {complaints}");
    output.stdout
}

/// Makes a file from ffmpeg arguments, split at spaces.
pub(crate) fn make(arguments: &str, path: &Path) {
    let mut all = vec!["-v", "fatal", "-nostdin", "-y"];
    all.extend(arguments.split_whitespace());
    all.push(path.to_str().unwrap());
    // Encoder libraries print banners that no option stops.
    let output = Command::new("ffmpeg").args(&all).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Decodes a file to nothing; any complaint fails the test.
pub(crate) fn decode(path: &Path) {
    run("ffmpeg", &["-v", "error", "-nostdin", "-i", path.to_str().unwrap(), "-f", "null", "-"]);
}

/// Decodes the sound of a file to 16-bit samples.
pub(crate) fn decode_sound(path: &Path) -> Vec<i16> {
    let bytes = run("ffmpeg", &["-v", "error", "-nostdin", "-i", path.to_str().unwrap(), "-f", "s16le", "-"]);
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn probe(path: &Path, stream: char, entries: &str) -> Vec<Vec<String>> {
    let stream = stream.to_string();
    let path = path.to_str().unwrap();
    let arguments =
        ["-v", "error", "-count_frames", "-select_streams", &stream, "-show_entries", entries, "-of", "csv=p=0", path];
    let text = String::from_utf8(run("ffprobe", &arguments)).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// `codec_name`, `width`, `height` and count of decoded frames of the picture stream.
pub(crate) fn video_facts(path: &Path) -> (String, u32, u32, usize) {
    let lines = probe(path, 'v', "stream=codec_name,width,height,nb_read_frames");
    let [name, width, height, frames, ..] = lines[0].as_slice() else { panic!("{lines:?}") };
    (name.clone(), width.parse().unwrap(), height.parse().unwrap(), frames.parse().unwrap())
}

/// `codec_name`, `sample_rate` and `channels` of the sound stream.
pub(crate) fn audio_facts(path: &Path) -> (String, u32, u32) {
    let lines = probe(path, 'a', "stream=codec_name,sample_rate,channels");
    let [name, rate, channels, ..] = lines[0].as_slice() else { panic!("{lines:?}") };
    (name.clone(), rate.parse().unwrap(), channels.parse().unwrap())
}

/// What ffprobe says of one packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) pts_ms: i64,
    pub(crate) dts_ms: i64,
    pub(crate) size: usize,
    pub(crate) at: usize,
    pub(crate) keyframe: bool,
}

impl Packet {
    /// `(pts, dts, keyframe)`.
    pub(crate) fn time(&self) -> (i64, i64, bool) {
        (self.pts_ms, self.dts_ms, self.keyframe)
    }
}

/// The packets of a stream.
pub(crate) fn packets(path: &Path, stream: char) -> Vec<Packet> {
    let ms = |text: &str| (text.parse::<f64>().unwrap() * 1000.0).round() as i64;
    let packet = |line: Vec<String>| Packet {
        pts_ms: ms(&line[0]),
        dts_ms: ms(&line[1]),
        size: line[2].parse().unwrap(),
        at: line[3].parse().unwrap_or(0),
        keyframe: line[4].starts_with('K'),
    };
    probe(path, stream, "packet=pts_time,dts_time,size,pos,flags").into_iter().map(packet).collect()
}

/// What a session said, in order.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) demuxer: Demuxer,
    pub(crate) events: Vec<Event>,
}

impl Session {
    pub(crate) fn push(&mut self, kind: FlvKind, timestamp_ms: u32, body: impl Into<Bytes>) {
        self.demuxer.push(kind, timestamp_ms, body.into(), &mut self.events).unwrap();
    }

    /// Reads a whole `.flv` file in pieces of odd sizes.
    pub(crate) fn read(path: &Path) -> Self {
        let mut session = Self::default();
        let mut reader = FileReader::new();
        for piece in fs::read(path).unwrap().chunks(4093) {
            let mut tags = Vec::new();
            reader.push(piece, &mut tags).unwrap();
            for tag in tags {
                session.push(tag.kind, tag.timestamp_ms, tag.body);
            }
        }
        session
    }

    pub(crate) fn track(&self, kind: TrackKind) -> Arc<Track> {
        let found = self.events.iter().find_map(|event| match event {
            Event::Track(track) if track.kind == kind => Some(track.clone()),
            _ => None,
        });
        found.expect("the track was announced")
    }

    pub(crate) fn samples(&self, kind: TrackKind) -> Vec<Sample> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::Sample(sample) if sample.kind == kind => Some(sample.clone()),
            _ => None,
        });
        found.collect()
    }

    pub(crate) fn has_jump(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Discontinuity))
    }

    /// Packages one track into a file: the init section and a segment for each group of pictures.
    pub(crate) fn package(&self, kind: TrackKind, path: &Path) {
        let track = self.track(kind);
        package(&track, &self.samples(kind), path);
    }
}

/// Packages samples into a file: the init section and a segment for each group of pictures or 40 sound frames.
pub(crate) fn package(track: &Track, samples: &[Sample], path: &Path) {
    let timescale = if track.kind == TrackKind::Video { VIDEO_TIMESCALE } else { track.sample_rate };
    let place = |ms: i64| rescale(ms, track.timescale, timescale);
    let first = samples[0].dts;
    // Sound is counted in its own samples: milliseconds are too coarse for it.
    let dts = |index: usize| match track.kind {
        TrackKind::Video => place(samples[index].dts),
        TrackKind::Audio => place(first) + index as i64 * i64::from(track.frame_samples),
    };
    let fragment = |index: usize| {
        let sample = &samples[index];
        let end =
            if index + 1 < samples.len() { dts(index + 1) } else { 2 * dts(index) - dts(index.saturating_sub(1)) };
        FragmentSample {
            size: sample.data.len() as u32,
            duration: (end - dts(index)) as u32,
            composition_offset: (place(sample.pts) - place(sample.dts)) as i32,
            keyframe: sample.keyframe,
        }
    };
    let starts_segment = |index: usize| match track.kind {
        TrackKind::Video => index > 0 && samples[index].keyframe,
        TrackKind::Audio => index > 0 && index.is_multiple_of(AUDIO_FRAMES),
    };
    let mut bytes = init_section(track, timescale).unwrap();
    let mut start = 0;
    let mut sequence = 1;
    for end in 1..=samples.len() {
        if end < samples.len() && !starts_segment(end) {
            continue;
        }
        let fragments: Vec<_> = (start..end).map(fragment).collect();
        let base = u64::try_from(dts(start)).unwrap();
        bytes.extend_from_slice(&segment_head(sequence, base, &fragments, track).unwrap());
        for sample in &samples[start..end] {
            bytes.extend_from_slice(&sample.data);
        }
        start = end;
        sequence += 1;
    }
    fs::write(path, bytes).unwrap();
}
