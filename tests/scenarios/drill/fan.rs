//! One encoder whose coded stream goes to several regions, each by a connection of its own that can be held back.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that are passed on at once: whole packets of a transport stream.
const PIECE: usize = 188 * 28;

/// Shortest time between two connections to a region.
const AGAIN: Duration = Duration::from_secs(2);

/// Where the stream goes.
struct Way {
    url: String,
    begun: Instant,
    copier: Child,
    into: Option<ChildStdin>,
    /// Whether nothing is passed on; the connection stays.
    frozen: bool,
}

impl Way {
    /// Passes the coded stream on as it is.
    fn to(url: &str) -> Self {
        let mut copier = Command::new("ffmpeg")
            .args([
                "-hide_banner",
                "-loglevel",
                "error",
                "-fflags",
                "+nobuffer",
                "-probesize",
                "65536",
                "-f",
                "mpegts",
                "-i",
                "pipe:0",
            ])
            .args(["-map", "0:v", "-map", "0:a", "-c", "copy", "-flush_packets", "1", "-f", "flv", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ffmpeg to start");
        let into = copier.stdin.take();
        Self { url: url.to_owned(), begun: Instant::now(), copier, into, frozen: false }
    }

    /// Passes on a piece. A connection that has broken is made anew, as encoders do.
    fn pass(&mut self, piece: &[u8]) {
        if self.into.as_mut().is_some_and(|pipe| pipe.write_all(piece).is_ok()) {
            return;
        }
        self.into = None;
        if self.begun.elapsed() >= AGAIN {
            *self = Self::to(&self.url.clone());
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let _ = self.copier.kill();
        let _ = self.copier.wait();
    }
}

/// The encoder and its ways. Ends with its handle.
pub(super) struct Fan {
    encoder: Child,
    ways: Arc<Mutex<Vec<Way>>>,
    passing: Option<JoinHandle<()>>,
}

impl Fan {
    pub(super) fn start(urls: &[String]) -> Self {
        let mut encoder = Command::new("ffmpeg")
            .args([
                "-hide_banner",
                "-nostdin",
                "-loglevel",
                "error",
                "-re",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=25",
            ])
            .args(["-re", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast"])
            .args(["-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25", "-keyint_min", "25", "-b:v", "300k"])
            .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-flush_packets", "1", "-f", "mpegts", "pipe:1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ffmpeg to start");
        let mut out = encoder.stdout.take().expect("a pipe");
        let ways = Arc::new(Mutex::new(urls.iter().map(|url| Way::to(url.as_str())).collect::<Vec<_>>()));
        let into = ways.clone();
        let passing = std::thread::spawn(move || {
            let mut piece = vec![0; PIECE];
            while out.read_exact(&mut piece).is_ok() {
                for way in into.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().filter(|way| !way.frozen) {
                    way.pass(&piece);
                }
            }
        });
        Self { encoder, ways, passing: Some(passing) }
    }

    /// Holds back what goes to a region, or lets it go on.
    pub(super) fn freeze(&self, at: usize, frozen: bool) {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)[at].frozen = frozen;
    }
}

impl Drop for Fan {
    fn drop(&mut self) {
        let _ = self.encoder.kill();
        let _ = self.encoder.wait();
        if let Some(passing) = self.passing.take() {
            let _ = passing.join();
        }
    }
}
