//! The work folder: what is whole has its name and a record, what is not lies under `part`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Unit};
use crate::TranscodeError;
use crate::work::end_earlier;

/// Records of finished units.
const DONE: &str = "done";

/// Files that are being written.
const PART: &str = "part";

/// A record larger than this is none.
const RECORD_MAX_BYTES: u64 = 4 << 20;

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

#[derive(Serialize, Deserialize)]
struct Record {
    /// Of the plan and the unit.
    fingerprint: String,
    done: UnitDone,
}

/// The folder of a unit that is being done. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Part {
    work: PathBuf,
    folder: PathBuf,
}

impl Part {
    /// Makes an empty folder. What an earlier try left there goes, and its ffmpeg as well if it still runs.
    pub(super) fn begin(work: &Path, unit: &Unit) -> Result<Self, TranscodeError> {
        fs::create_dir_all(work).map_err(TranscodeError::io("create", work))?;
        let work = work.canonicalize().map_err(TranscodeError::io("read", work))?;
        let folder = work.join(PART).join(&unit.id);
        end_earlier(&folder);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TranscodeError::io("empty", &folder)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(TranscodeError::io("create", &folder))?;
        Ok(Self { work, folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// Gives a file its name below the work folder, durably; returns its size.
    pub(super) fn publish(&self, name: &str, path: &Path) -> Result<u64, TranscodeError> {
        let (from, to) = (self.folder.join(name), self.work.join(path));
        let synced = File::open(&from).and_then(|file| file.sync_all().and_then(|()| Ok(file.metadata()?.len())));
        let bytes = synced.map_err(TranscodeError::io("write", &from))?;
        let folder = to.parent().unwrap_or(&self.work);
        fs::create_dir_all(folder).map_err(TranscodeError::io("create", folder))?;
        fs::rename(&from, &to).map_err(TranscodeError::io("name", &to))?;
        Ok(bytes)
    }

    /// Writes the record, when all files of the unit have their names.
    pub(super) fn finish(self, unit: &Unit, plan: &Plan, done: UnitDone) -> Result<UnitDone, TranscodeError> {
        let folders =
            done.files.iter().filter_map(|file| file.path.parent()).collect::<std::collections::BTreeSet<_>>();
        for folder in folders {
            sync_folder(&self.work.join(folder))?;
        }
        let record = Record { fingerprint: fingerprint(unit, plan), done };
        let path = record_path(&self.work, unit);
        let folder = self.work.join(DONE);
        let write = || {
            fs::create_dir_all(&folder)?;
            let part = self.folder.join("record");
            fs::write(&part, serde_json::to_vec(&record)?)?;
            File::open(&part)?.sync_all()?;
            fs::rename(&part, &path)
        };
        write().map_err(TranscodeError::io("write", &path))?;
        sync_folder(&folder)?;
        sync_folder(&self.work)?;
        Ok(record.done)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What stays is removed by the next try, and with the work folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a unit has made, when it was done by this plan and all of it is there.
pub(super) fn done(unit: &Unit, plan: &Plan, work: &Path) -> Result<Option<UnitDone>, TranscodeError> {
    let path = record_path(work, unit);
    let read = fs::metadata(&path).and_then(|metadata| match metadata.len() {
        0..=RECORD_MAX_BYTES => fs::read(&path),
        _ => Ok(Vec::new()),
    });
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TranscodeError::io("read", &path)(error)),
    };
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(None) };
    let is_there = |file: &UnitFile| fs::metadata(work.join(&file.path)).is_ok_and(|found| found.len() == file.bytes);
    let is_whole = record.fingerprint == fingerprint(unit, plan) && record.done.files.iter().all(is_there);
    Ok(is_whole.then_some(record.done))
}

fn record_path(work: &Path, unit: &Unit) -> PathBuf {
    work.join(DONE).join(format!("{}.json", unit.id))
}

/// Tells plans apart: FNV-1a of all that a unit's files depend on. The source may lie elsewhere meanwhile.
fn fingerprint(unit: &Unit, plan: &Plan) -> String {
    let mut source = plan.source.clone();
    source.path = PathBuf::new();
    let parts =
        (unit, &plan.preset, &plan.rungs, &plan.audio, &plan.text, plan.duration_ms, plan.thumbnail_ms, &source);
    // Nothing in it can fail to be written; should it, the unit is done anew.
    let text = serde_json::to_vec(&parts).unwrap_or_default();
    let hash = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}-{}", text.len())
}

fn sync_folder(folder: &Path) -> Result<(), TranscodeError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(TranscodeError::io("write", folder))
}
