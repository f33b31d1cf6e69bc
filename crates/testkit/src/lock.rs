//! Another process that has an SQLite file locked.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Holds the lock of the one writer until its input ends.
const PROGRAM: &str = "import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
held.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.read()
held.rollback()";

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub struct HeldLock(Child);

impl HeldLock {
    /// Locks the file against every other writer.
    ///
    /// # Panics
    /// There is no python3, or the file cannot be locked.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let mut python = Command::new("python3");
        python.args(["-c", PROGRAM]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 to start");
        let mut line = String::new();
        let output = child.stdout.take().expect("an output that is a pipe");
        BufReader::new(output).read_line(&mut line).expect("a word from python3");
        assert_eq!(line.trim(), "held", "{} cannot be locked", file.display());
        Self(child)
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
