//! Recordings as packagers leave them, of media that ffmpeg makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anabranch_hls::playlist::MediaPlaylist;
use anabranch_hls::render;
use anabranch_hls::timeline::{Progress, Rendition, RenditionKind, Segment, Timeline};
use anabranch_transcode::{Limits, Mp4Job};

/// When recordings begin.
const START_MS: i64 = 1_700_000_000_000;

/// A stretch of test media.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) seconds: u32,
    /// Width and height; none for sound alone.
    pub(crate) picture: Option<(u32, u32)>,
    pub(crate) sound: bool,
    /// Where its media time begins, in seconds.
    pub(crate) at: u32,
}

pub(crate) const PLAIN: Stretch = Stretch { seconds: 6, picture: Some((320, 180)), sound: true, at: 0 };

/// A recording in a folder of its own.
pub(crate) struct Recording {
    dir: tempfile::TempDir,
    timeline: Timeline,
    wall_ms: i64,
    /// Sum of the stretches, each as long as its longer rendition.
    pub(crate) seconds: f64,
}

impl Recording {
    /// Of these stretches, with a minute lost between each two.
    pub(crate) fn of(stretches: &[Stretch]) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let timeline =
            Timeline { session: 1, progress: Progress::Ended, target_duration_seconds: 2, renditions: Vec::new() };
        let mut recording = Self { dir, timeline, wall_ms: START_MS, seconds: 0.0 };
        for (number, stretch) in stretches.iter().enumerate() {
            let mut longest = 0.0_f64;
            if let Some((width, height)) = stretch.picture {
                let source = format!("testsrc2=size={width}x{height}:rate=25");
                // Sound would have to be shifted by the delay of reordering.
                let reordered = if stretch.sound { "0" } else { "2" };
                let codec =
                    ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-bf", reordered];
                longest = longest.max(recording.add(number, stretch, RenditionKind::Video, &source, &codec));
            }
            if stretch.sound {
                let source = format!("sine=frequency={}:sample_rate=44100", 400 + 100 * number);
                longest = longest.max(recording.add(number, stretch, RenditionKind::Audio, &source, &["-c:a", "aac"]));
            }
            recording.seconds += longest;
            recording.wall_ms += 60_000 + i64::from(stretch.seconds) * 1000;
        }
        recording.write();
        recording
    }

    fn add(&mut self, number: usize, stretch: &Stretch, kind: RenditionKind, source: &str, codec: &[&str]) -> f64 {
        let name = if kind == RenditionKind::Video { "video" } else { "audio" };
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let list = folder.join("list.m3u8");
        // A little less sound, so that no frame of it makes a segment of its own.
        let length = if kind == RenditionKind::Video {
            stretch.seconds.to_string()
        } else {
            format!("{}.97", stretch.seconds - 1)
        };
        let status = Command::new("ffmpeg")
            .current_dir(&folder)
            .args(["-v", "error", "-y", "-f", "lavfi", "-i", source, "-t", &length])
            .args(codec)
            .args(["-output_ts_offset", &stretch.at.to_string(), "-f", "hls", "-hls_time", "2"])
            .args(["-hls_segment_type", "fmp4", "-hls_playlist_type", "vod", "-hls_segment_options", "use_editlist=0"])
            .args(["-hls_fmp4_init_filename", &format!("init-r{number}-0.mp4")])
            .args(["-hls_segment_filename", &format!("%08d-r{number}.m4s"), "list.m3u8"])
            .status()
            .expect("ffmpeg to start");
        assert!(status.success());
        let made = MediaPlaylist::parse(&fs::read(&list).expect("a playlist")).expect("a playlist");
        fs::remove_file(&list).expect("a playlist");
        let at = self.timeline.renditions.iter().position(|rendition| rendition.name == name).unwrap_or_else(|| {
            self.timeline.renditions.push(rendition(name, kind));
            self.timeline.renditions.len() - 1
        });
        let rendition = &mut self.timeline.renditions[at];
        rendition.resolution = rendition.resolution.max(stretch.picture.filter(|_| kind == RenditionKind::Video));
        let mut wall_ms = self.wall_ms;
        for (index, segment) in made.segments.iter().enumerate() {
            rendition.segments.push_back(Arc::new(Segment {
                msn: rendition.segments.len() as u64,
                name: format!("{name}/{}", segment.uri),
                init: format!("{name}/init-r{number}-0.mp4"),
                duration_seconds: segment.duration_seconds,
                program_date_time_ms: wall_ms,
                discontinuity: index == 0 && number > 0,
                gap: false,
                bytes: 1,
            }));
            // Segments of the same time have the same date, though sound ends a frame sooner or later.
            wall_ms += 2000;
        }
        made.segments.iter().map(|segment| segment.duration_seconds).sum()
    }

    fn write(&self) {
        for rendition in &self.timeline.renditions {
            let text = render::recording(&self.timeline, &rendition.name).expect("segments");
            fs::write(self.dir.path().join(format!("{}.m3u8", rendition.name)), text).expect("a file");
        }
        fs::write(self.index(), render::multivariant(&self.timeline)).expect("a file");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.dir.path().join("index.m3u8")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.dir.path().join("recording.mp4")
    }

    /// Files and folders beside the recording's own, but for the finished file.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with('.')).collect()
    }

    pub(crate) fn job(&self) -> Mp4Job {
        let limits = Limits { reserve_bytes: 0, ..Limits::default() };
        Mp4Job { input_playlist: self.index(), output: self.output(), limits }
    }
}

fn rendition(name: &str, kind: RenditionKind) -> Rendition {
    Rendition {
        name: name.to_owned(),
        kind,
        codecs: if kind == RenditionKind::Video { "avc1.42c00d" } else { "mp4a.40.2" }.to_owned(),
        resolution: None,
        frame_rate: (kind == RenditionKind::Video).then_some(25.0),
        channels: (kind == RenditionKind::Audio).then_some(1),
        peak_bandwidth: 500_000,
        average_bandwidth: 400_000,
        discontinuity_sequence: 0,
        segments: std::collections::VecDeque::new(),
    }
}

/// What ffprobe says of a file, for one question; it must not complain.
pub(crate) fn probe(path: &Path, arguments: &[&str]) -> String {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "warning", "-of", "default=noprint_wrappers=1:nokey=1"]).args(arguments).arg(path);
    let output = ffprobe.output().expect("ffprobe to start");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What ffmpeg complains of when it decodes all of it.
pub(crate) fn complaints(path: &Path) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "warning", "-i"]).arg(path).args(["-f", "null", "-"]);
    String::from_utf8_lossy(&ffmpeg.output().expect("ffmpeg to start").stderr).into_owned()
}
