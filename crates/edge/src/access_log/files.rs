//! The files of the log: their names, and one that is being written.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::text::{Civil, W3C_HEADER};

/// Directory and name of requests that no distribution claims.
const NOBODY: &str = "none";

/// Logs tell who watched what: they are not for everyone on the machine.
const MODE: u32 = 0o640;

/// What a compressed file's name ends with, and one that is being compressed.
pub(super) const COMPRESSED: &str = ".gz";
pub(super) const PARTIAL: &str = ".gz.part";

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    W3c,
    Json,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::W3c, Self::Json];

    /// What names of its files end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::W3c => ".log",
            Self::Json => ".jsonl",
        }
    }

    fn header(self) -> &'static str {
        match self {
            Self::W3c => W3C_HEADER,
            Self::Json => "",
        }
    }
}

/// Files that are being written, which the keeper leaves alone.
#[derive(Debug, Default)]
pub(super) struct Active(Mutex<HashSet<PathBuf>>);

impl Active {
    fn insert(&self, path: PathBuf) {
        self.0.lock().insert(path);
    }

    fn remove(&self, path: &Path) {
        self.0.lock().remove(path);
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.0.lock().contains(path)
    }
}

/// Hours since the Unix epoch.
pub(super) fn hour_of(moment_ms: i64) -> i64 {
    moment_ms.div_euclid(3_600_000)
}

/// Lines of one distribution and format on their way into files.
#[derive(Debug)]
pub(super) struct Stream {
    distribution: Arc<str>,
    kind: Kind,
    /// Whole lines that are in no file yet, but for the beginning of the first.
    pending: Vec<u8>,
    pub(super) pending_lines: u64,
    /// Whether the first of them may have its beginning in the present file.
    halved: bool,
    /// The present file, which may be closed for a while.
    present: Option<Present>,
}

#[derive(Debug)]
struct Present {
    path: PathBuf,
    hour: i64,
    file: Option<File>,
    written: u64,
}

impl Stream {
    pub(super) fn new(distribution: Arc<str>, kind: Kind) -> Self {
        Self { distribution, kind, pending: Vec::new(), pending_lines: 0, halved: false, present: None }
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.pending.extend_from_slice(line);
        self.pending_lines += 1;
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_open(&self) -> bool {
        self.present.as_ref().is_some_and(|present| present.file.is_some())
    }

    /// Whether there is neither a file nor a line.
    pub(super) fn is_idle(&self) -> bool {
        self.present.is_none() && self.pending.is_empty()
    }

    /// Writes the lines that are pending. What has been written is not pending any more, also if the rest fails.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub(super) fn flush(&mut self, place: &Place<'_>) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut present = match self.present.take() {
            Some(present) => present,
            None => {
                let present = place.create(&self.distribution, self.kind)?;
                self.pending.splice(0..0, self.kind.header().bytes());
                present
            }
        };
        let written = write(&mut present, &mut self.pending);
        self.halved = written.is_err();
        if self.halved {
            // It may be the descriptor that is bad; the next try opens the file again.
            present.file = None;
        } else {
            self.pending_lines = 0;
        }
        self.present = Some(present);
        written
    }

    /// Closes the present file for good if it is full or of another hour, or `always`. True if it did.
    pub(super) fn rotate(&mut self, place: &Place<'_>, always: bool) -> bool {
        let over =
            |present: &mut Present| always || present.hour != place.hour || present.written >= place.rotate_bytes;
        // A line that is half in one file must not end in another.
        if self.halved && !always {
            return false;
        }
        match self.present.take_if(over) {
            Some(present) => {
                place.active.remove(&present.path);
                true
            }
            None => false,
        }
    }

    /// Gives the descriptor back; the next line opens the file again.
    pub(super) fn close(&mut self) {
        if let Some(present) = &mut self.present {
            present.file = None;
        }
    }
}

fn write(present: &mut Present, pending: &mut Vec<u8>) -> io::Result<()> {
    let file = match &mut present.file {
        Some(file) => file,
        None => present.file.insert(File::options().append(true).create(true).mode(MODE).open(&present.path)?),
    };
    let mut done = 0;
    let result = loop {
        match file.write(&pending[done..]) {
            Ok(0) if done < pending.len() => break Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
        if done == pending.len() {
            break Ok(());
        }
    };
    present.written += done as u64;
    pending.drain(..done);
    result
}

/// Where and how files are made at the moment.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) dir: &'a Path,
    pub(super) active: &'a Active,
    pub(super) hour: i64,
    pub(super) rotate_bytes: u64,
    /// Makes names of this process unlike those of any other.
    pub(super) unique: &'a str,
    /// Files made so far.
    pub(super) made: &'a std::cell::Cell<u64>,
}

impl Place<'_> {
    fn create(&self, distribution: &str, kind: Kind) -> io::Result<Present> {
        let name = if distribution.is_empty() { NOBODY } else { distribution };
        let Civil { year, month, day, hour, .. } = Civil::of(self.hour.saturating_mul(3_600));
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        let number = self.made.get();
        self.made.set(number + 1);
        let unique = self.unique;
        let suffix = kind.suffix();
        let path = dir.join(format!("{name}.{year:04}-{month:02}-{day:02}-{hour:02}.{unique}{number:04}{suffix}"));
        // Known before it is there: the keeper must not take it for one that is left over.
        self.active.insert(path.clone());
        match File::options().append(true).create_new(true).mode(MODE).open(&path) {
            Ok(file) => Ok(Present { path, hour: self.hour, file: Some(file), written: 0 }),
            Err(error) => {
                self.active.remove(&path);
                Err(error)
            }
        }
    }
}

/// A name of one of our files taken apart; nothing if it is no such name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Date and hour, which sort as they follow each other.
    pub(super) hour: &'a str,
    pub(super) compressed: bool,
    /// A file that was being compressed.
    pub(super) partial: bool,
}

impl<'a> Name<'a> {
    /// Reads the name of a file in the directory `dir`.
    pub(super) fn read(dir: &str, file: &'a str) -> Option<Self> {
        let rest = file.strip_prefix(dir)?.strip_prefix('.')?;
        let (rest, compressed, partial) = match (rest.strip_suffix(PARTIAL), rest.strip_suffix(COMPRESSED)) {
            (Some(rest), _) => (rest, false, true),
            (None, Some(rest)) => (rest, true, false),
            (None, None) => (rest, false, false),
        };
        let rest = Kind::ALL.iter().find_map(|kind| rest.strip_suffix(kind.suffix()))?;
        let (hour, unique) = rest.split_once('.')?;
        let form =
            hour.len() == "YYYY-MM-DD-HH".len() && hour.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let ours = form && !unique.is_empty() && unique.bytes().all(|byte| byte.is_ascii_alphanumeric());
        ours.then_some(Self { hour, compressed, partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_known_and_others_left_alone() {
        for (file, expected) in [
            ("E1.2023-11-14-22.ab0000.log", Some((false, false))),
            ("E1.2023-11-14-22.ab0000.jsonl", Some((false, false))),
            ("E1.2023-11-14-22.ab0000.log.gz", Some((true, false))),
            ("E1.2023-11-14-22.ab0000.jsonl.gz.part", Some((false, true))),
            ("E2.2023-11-14-22.ab0000.log", None),
            ("E1.2023-11-14-22.log", None),
            ("E1.2023-11-14.ab0000.log", None),
            ("E1.2023-11-14-22.ab0000.txt", None),
            ("E1.notes.log", None),
            ("E1", None),
            ("", None),
        ] {
            let found = Name::read("E1", file);
            assert_eq!(found.as_ref().map(|name| (name.compressed, name.partial)), expected, "{file}");
            assert!(found.is_none_or(|name| name.hour == "2023-11-14-22"));
        }
    }

    #[test]
    fn hours_are_counted_downwards_too() {
        assert_eq!([hour_of(0), hour_of(3_599_999), hour_of(3_600_000), hour_of(-1)], [0, 0, 1, -1]);
    }
}
