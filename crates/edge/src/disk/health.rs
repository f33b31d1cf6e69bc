//! Whether the disk works, and the alarm when it does not.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Gauge, gauge};

/// The state of the disk. While it has failed nothing is written.
pub(super) struct Health {
    dir: PathBuf,
    failed: AtomicBool,
    gauge: Gauge,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("dir", &self.dir).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Health {
    pub(super) fn new(dir: &Path) -> Self {
        let gauge = gauge!("anabranch_edge_disk_failed");
        gauge.set(0.0);
        Self { dir: dir.to_owned(), failed: AtomicBool::new(false), gauge }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// It does not work. Only the first of a row of failures is told.
    pub(super) fn fail(&self, failure: &Failure) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.gauge.set(1.0);
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            tracing::error!(
                cache.dir = %self.dir.display(),
                error = %failure,
                cause,
                "the disk cache does not work; objects are kept in memory only until it does"
            );
        }
    }

    /// It works again.
    pub(super) fn recover(&self) {
        if self.failed.swap(false, Ordering::Relaxed) {
            self.gauge.set(0.0);
            tracing::info!(cache.dir = %self.dir.display(), "the disk cache works again");
        }
    }
}

/// Why the disk does not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The system refuses something.
    #[error("cannot {0}")]
    Io(&'static str, #[source] std::io::Error),
    /// Another process has locked the directory.
    #[error("another process uses the directory; give each edge one that it alone may write")]
    Occupied,
    /// The file system has too little room beside what is to be left free.
    #[error("disk full: {free} bytes free, {needed} are needed, the reserve of {reserve} among them; free some space")]
    Full {
        /// Bytes free.
        free: u64,
        /// Bytes that would have to be free: more than `free`.
        needed: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
}
