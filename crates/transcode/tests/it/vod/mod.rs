//! Files on demand, made by ffmpeg and encoded by the room.

mod corpus;
mod ladder;
mod misbehaving;
mod seams;

use std::path::{Path, PathBuf};
use std::process::Command;

use anabranch_transcode::vod::{
    EarlyWish, Fit, Options, Plan, Preset, ProbeLimits, Profile, Rate, RungPreset, Source, Speed, UnitDone, plan,
};
use anabranch_transcode::{CancellationToken, Limits, Worker};

/// A scratch folder with sources and a work folder.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) worker: Worker,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a scratch directory"), worker: Worker::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// Makes a file by ffmpeg: arguments between spaces, the name last.
    pub(crate) fn make(&self, arguments: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.current_dir(self.dir.path()).args(["-v", "error", "-y", "-nostdin"]).args(arguments.split(' '));
        let status = ffmpeg.arg(format!("file:{}", path.display())).status().expect("ffmpeg to start");
        assert!(status.success(), "{arguments}");
        path
    }

    pub(crate) async fn probe(&self, path: &Path) -> Source {
        self.worker.probe(path, &ProbeLimits::default()).await.expect("a source")
    }

    pub(crate) async fn plan(&self, path: &Path, preset: &Preset, options: &Options) -> Plan {
        plan(self.probe(path).await, preset, options).expect("a plan")
    }

    /// Does all units, in order.
    pub(crate) async fn run(&self, plan: &Plan, work: &Path) -> Vec<UnitDone> {
        let mut done = Vec::new();
        for unit in &plan.units {
            let run = self.worker.run(unit, plan, work, &limits(), |_| {}, &CancellationToken::new()).await;
            done.push(run.unwrap_or_else(|error| panic!("{}: {error}: {:#?}", unit.id, error.log())));
        }
        done
    }
}

pub(crate) fn limits() -> Limits {
    Limits { reserve_bytes: 0, ..Limits::default() }
}

/// A ladder that costs little.
pub(crate) fn small() -> Preset {
    let rung = |long, short| RungPreset {
        long,
        short,
        fit: Fit::Inside,
        profile: Profile::Main,
        rate: Rate::Quality { crf: 30, max_kbps: 400 },
    };
    Preset {
        name: "small".to_owned(),
        segment_seconds: 2,
        gop_frames: 30,
        speed: Speed::Ultrafast,
        surround_kbps: Some(256),
        rungs: vec![rung(320, 180), rung(160, 90)],
        ..Preset::standard()
    }
}

pub(crate) fn options(chunk_seconds: u32) -> Options {
    Options { chunk_seconds, early: EarlyWish::None, ..Options::default() }
}

/// What ffprobe says of the first track of a kind, for one question, joined by commas.
pub(crate) fn asked(path: &Path, stream: &str, entries: &str) -> String {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", stream, "-of", "csv=p=0", "-show_entries", entries]);
    let output = ffprobe.arg(path).output().expect("ffprobe to start");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
    String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').to_owned()
}
