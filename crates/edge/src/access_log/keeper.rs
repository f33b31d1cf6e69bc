//! The keeping thread: compresses files that are complete, and removes the oldest beyond the limit.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Common;
use super::files::{COMPRESSED, Name, PARTIAL};

/// Time between two looks at the directory when nobody asks for one, and for the thread to see that it is to end.
const TICK: Duration = Duration::from_secs(1);

/// Looks that go by before one is taken without being asked for.
const IDLE_TICKS: u32 = 30;

/// Bytes compressed between two looks at whether to stop.
const STEP_BYTES: usize = 64 << 10;

/// A little effort: the machine is there to serve.
const LEVEL: u32 = 4;

/// A file of the log that nobody writes.
#[derive(Debug)]
struct Kept {
    hour: String,
    modified: SystemTime,
    path: PathBuf,
    bytes: u64,
}

/// The keeping thread's state.
pub(super) struct Keeper {
    common: Arc<Common>,
    failing: bool,
}

impl Keeper {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self { common, failing: false }
    }

    /// Keeps until the log is stopped.
    pub(super) fn run(mut self, pokes: &Receiver<()>) {
        // Files of an earlier life are compressed first.
        let mut due = IDLE_TICKS;
        while !self.common.is_stopping() {
            if due >= IDLE_TICKS {
                self.look();
                due = 0;
            }
            match pokes.recv_timeout(TICK) {
                Ok(()) => due = IDLE_TICKS,
                Err(RecvTimeoutError::Timeout) => due += 1,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        match self.sweep() {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.common.meters.errors.increment(1);
                if !self.failing {
                    let dir = self.common.dir.display();
                    tracing::error!(log.dir = %dir, %error, "old files of the access log cannot be compressed or removed");
                }
                self.failing = true;
            }
        }
    }

    /// Compresses what is complete, then removes the oldest files until the rest is within the limit. A failure does not keep
    /// other files from their turn.
    fn sweep(&self) -> io::Result<()> {
        let mut result = Ok(());
        for (dir, name) in directories(&self.common.dir)? {
            for (path, file) in files(&dir)? {
                let Some(parts) = Name::read(&name, &file) else { continue };
                let done = if parts.partial {
                    fs::remove_file(&path)
                } else if parts.compressed || self.common.active.contains(&path) {
                    Ok(())
                } else {
                    self.compress(&path)
                };
                result = result.and(done);
            }
        }
        result.and(self.retain())
    }

    fn compress(&self, path: &Path) -> io::Result<()> {
        let with = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (partial, whole) = (with(PARTIAL), with(COMPRESSED));
        let mut plain = File::open(path)?;
        let compressed = File::create(&partial)?;
        compressed.set_permissions(plain.metadata()?.permissions())?;
        let mut encoder = GzEncoder::new(compressed, Compression::new(LEVEL));
        let mut step = vec![0; STEP_BYTES];
        loop {
            if self.common.is_stopping() {
                return fs::remove_file(&partial);
            }
            match plain.read(&mut step)? {
                0 => break,
                read => encoder.write_all(&step[..read])?,
            }
        }
        // The plain file goes only when the compressed one is sure to stay.
        encoder.finish()?.sync_data()?;
        fs::rename(&partial, &whole)?;
        fs::remove_file(path)
    }

    fn retain(&self) -> io::Result<()> {
        let (mut kept, mut total) = (Vec::new(), 0_u64);
        for (dir, name) in directories(&self.common.dir)? {
            for (path, file) in files(&dir)? {
                let Some(parts) = Name::read(&name, &file) else { continue };
                let metadata = match fs::metadata(&path) {
                    Ok(metadata) => metadata,
                    // Others may tidy up too.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                total += metadata.len();
                if !self.common.active.contains(&path) {
                    let (modified, bytes) = (metadata.modified()?, metadata.len());
                    kept.push(Kept { hour: parts.hour.to_owned(), modified, path, bytes });
                }
            }
        }
        kept.sort_by(|a, b| (&a.hour, a.modified, &a.path).cmp(&(&b.hour, b.modified, &b.path)));
        for oldest in kept {
            if total <= self.common.keep_bytes {
                break;
            }
            fs::remove_file(&oldest.path)?;
            total -= oldest.bytes;
        }
        Ok(())
    }
}

/// The distributions' directories and their names.
fn directories(root: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    entries(root, fs::FileType::is_dir)
}

fn files(dir: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    entries(dir, fs::FileType::is_file)
}

/// What is in a directory; links are not followed, and names that are no text are none of ours.
fn entries(dir: &Path, wanted: fn(&fs::FileType) -> bool) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if wanted(&entry.file_type()?)
            && let Ok(name) = entry.file_name().into_string()
        {
            found.push((entry.path(), name));
        }
    }
    Ok(found)
}
