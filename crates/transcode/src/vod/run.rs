//! Units are done.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Unit};
use super::source::{ProbeError, ProbeLimits, Source};
use crate::{CancellationToken, Limits, TranscodeError, Worker};

/// What a unit has made. It is kept in the work folder, so that no unit is done twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitDone {
    /// The unit.
    pub unit: String,
    /// Its files.
    pub files: Vec<UnitFile>,
    /// What went less well than wished, for operators.
    pub notes: Vec<String>,
}

/// A file that a unit has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// Below the work folder.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Samples of the track, when it is a file of one.
    pub samples: Option<u64>,
    /// Length of that track.
    pub duration_ms: Option<u64>,
}

impl Worker {
    /// Looks at a file: its header, then every packet of it, without decoding any.
    ///
    /// It opens that file and no other. Dropping the future ends ffprobe.
    ///
    /// # Errors
    /// [`ProbeError::Rejected`] when the file is at fault, with words for operators; [`ProbeError::Failed`] when this machine is.
    pub async fn probe(&self, path: &Path, limits: &ProbeLimits) -> Result<Source, ProbeError> {
        let _ = (path, limits);
        Err(ProbeError::Failed(TranscodeError::Cancelled))
    }

    /// Does a unit: its files appear in the work folder when they are whole and durable.
    ///
    /// Once a unit is done it is not done again: the answer is that of [`Worker::done`]. Units may be done at once and by several
    /// processes that share the folder, but one unit by one at a time; those in [`Unit::after`] come first. What a `kill -9` left of an
    /// earlier try, ffmpeg included, is ended and removed. `limits.time` is the most; a short unit has less.
    ///
    /// `progress` is told permille, 999 at most, never less than before.
    ///
    /// # Errors
    /// [`TranscodeError`]; no file of the unit has appeared then, or all have and are found by the next try.
    pub async fn run(
        &self,
        unit: &Unit,
        plan: &Plan,
        work: &Path,
        limits: &Limits,
        progress: impl FnMut(u16) + Send,
        cancel: &CancellationToken,
    ) -> Result<UnitDone, TranscodeError> {
        let _ = (unit, plan, work, limits, progress, cancel);
        Err(TranscodeError::Cancelled)
    }

    /// What a unit has made, when it is done by this very plan and its files are still there.
    ///
    /// # Errors
    /// [`TranscodeError::Io`] when the folder cannot be read.
    pub async fn done(&self, unit: &Unit, plan: &Plan, work: &Path) -> Result<Option<UnitDone>, TranscodeError> {
        let _ = (unit, plan, work);
        Ok(None)
    }
}
