//! Counts of the edge on disk until reports of them are safe.

use std::path::Path;

use anabranch_edge::{Journal, JournalConfig, Kept};
use anabranch_model::SpoolId;

use super::disk::write_atomically;

/// Folder of the data directory.
const FOLDER: &str = "counts";

/// File of its name in reports.
const ID_FILE: &str = "journal";

/// The journal of a data directory; none, and a line in the log, if there can be none: then what is counted is in memory until it is told.
pub(super) fn open(data: &Path) -> Option<Journal> {
    let opened = Journal::open(&data.join(FOLDER));
    opened.inspect_err(|error| tracing::error!(%error, "counts cannot be kept on disk")).ok()
}

/// What is there.
pub(super) fn kept(journal: Option<&Journal>) -> Vec<Kept> {
    let kept = journal.map(Journal::kept).transpose();
    let kept = kept.inspect_err(|error| tracing::error!(%error, "counts that were kept cannot be read"));
    kept.ok().flatten().unwrap_or_default()
}

/// Removes what others keep now. A file that stays is known by its number.
pub(super) fn forget(journal: Option<&Journal>, generation: u64) {
    if let Some(Err(error)) = journal.map(|journal| journal.forget(generation)) {
        tracing::warn!(%error, "counts that were told cannot be removed");
    }
}

/// What the edge is told of the journal of a data directory.
pub(super) fn config(data: &Path, id: SpoolId, first: u64) -> JournalConfig {
    JournalConfig { dir: data.join(FOLDER), id, first }
}

/// The journal's own name, made with it.
pub(super) fn identifier(data: &Path) -> SpoolId {
    let path = data.join(FOLDER).join(ID_FILE);
    if let Some(id) = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()) {
        return id;
    }
    let id = SpoolId::random();
    if let Err(error) = write_atomically(&path, id.as_str().as_bytes()) {
        // With another name each time nothing counts twice that could not be kept.
        tracing::error!(%error, "the name of the counts on disk cannot be kept");
    }
    id
}
