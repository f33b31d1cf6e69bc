//! Whether the file of a database is still where it was.
//!
//! SQLite goes on with an open file that has no name any more, and says nothing: all that it takes then is gone with the process.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Error;

/// Device and number of a file.
type Identity = (u64, u64);

/// A file in use, with its write-ahead log.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    log: PathBuf,
    /// What was opened.
    opened: (Option<Identity>, Option<Identity>),
}

impl File {
    /// The file at `path`, which was opened and read.
    pub(crate) fn opened(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let mut file = Self { path: path.to_owned(), log: log.into(), opened: (None, None) };
        file.opened = file.found();
        file
    }

    /// Refuses when another file or none is there by now.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.found() == self.opened { Ok(()) } else { Err(Error::Moved { path: self.path.clone() }) }
    }

    fn found(&self) -> (Option<Identity>, Option<Identity>) {
        (identity(&self.path), identity(&self.log))
    }
}

fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}
