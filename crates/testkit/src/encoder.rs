//! ffmpeg as an encoder.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::wait_for;

/// What is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Pixels.
    pub size: (u32, u32),
    /// Frames a second.
    pub rate: u32,
    /// Frames between keyframes.
    pub gop: u32,
    /// Video bit rate in kbit/s.
    pub kbps: u32,
    /// How far colours are turned, in degrees: other bytes with the same init section.
    pub hue: u32,
}

impl Default for Picture {
    fn default() -> Self {
        Self { size: (640, 360), rate: 25, gop: 25, kbps: 600, hue: 0 }
    }
}

/// A publishing ffmpeg.
#[derive(Debug)]
pub struct Encoder {
    child: Child,
    dir: TempDir,
}

impl Encoder {
    /// Pushes a generated picture and a tone to `url` in real time, until dropped.
    ///
    /// # Panics
    /// ffmpeg is not installed.
    #[must_use]
    pub fn push(url: &str, picture: Picture) -> Self {
        let (width, height) = picture.size;
        let source = format!("testsrc2=size={width}x{height}:rate={},hue=h={}", picture.rate, picture.hue);
        let gop = picture.gop.to_string();
        let kbps = format!("{}k", picture.kbps);
        let arguments = [
            "-f",
            "lavfi",
            "-i",
            &source,
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
            "-g",
            &gop,
            "-keyint_min",
            &gop,
            "-b:v",
            &kbps,
            "-maxrate",
            &kbps,
            "-bufsize",
            &kbps,
            "-c:a",
            "aac",
            "-b:a",
            "96k",
            "-ac",
            "2",
        ];
        Self::run(&[&["-re"], &arguments[..4], &["-re"], &arguments[4..], &["-f", "flv", url]].concat())
    }

    /// Runs ffmpeg with these arguments.
    ///
    /// # Panics
    /// ffmpeg is not installed.
    #[must_use]
    pub fn run(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let log = File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin", "-loglevel", "warning"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("ffmpeg to start");
        Self { child, dir }
    }

    /// What ffmpeg has said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until ffmpeg ends by itself.
    ///
    /// # Panics
    /// It still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait_for("ffmpeg to end", limit, || self.child.try_wait().expect("a child to ask"))
    }

    /// Makes it stand still, with its connections open, or go on.
    ///
    /// # Panics
    /// It does not run.
    pub fn stand_still(&self, still: bool) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let signal = if still { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(pid), signal).expect("a running encoder");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child to ask").is_none()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
