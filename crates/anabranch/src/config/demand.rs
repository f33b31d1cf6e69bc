//! Files on demand: where they come in, and how assets are made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anabranch_transcode::vod::{Options, Preset};
use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::presets::{self, PresetKeys};

/// Assets that one process makes at one time, at most.
const ASSETS_MAX: usize = 64;

/// Watched folders at most.
const FOLDERS_MAX: usize = 100;

/// Shortest and longest piece of a film, in seconds.
const CHUNK_SECONDS: std::ops::RangeInclusive<u32> = 1..=3600;

/// How assets are made.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Demand {
    /// Assets that this process makes at one time; 0 leaves them to workers of their own.
    pub(crate) assets_at_once: usize,
    /// Length of the pieces in which a film is encoded, in seconds. One that is whole is never encoded again, whatever ends.
    pub(crate) chunk_seconds: u32,
    /// Folders whose files become objects of a bucket; without the key the folder `drop` of the data directory.
    pub(crate) watch: Option<Vec<Watched>>,
    /// Bucket whose files `GET /videoList` and `GET /videoLink` tell of; without it there are no such routes (D5, D6).
    pub(crate) video_list_bucket: Option<String>,
    /// Presets beside those that are always there, by name.
    pub(crate) presets: BTreeMap<String, PresetKeys>,
}

/// A folder that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watched {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Bucket that its files come to.
    pub(crate) bucket: String,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            assets_at_once: 1,
            chunk_seconds: Options::default().chunk_seconds,
            watch: None,
            video_list_bucket: None,
            presets: BTreeMap::new(),
        }
    }
}

impl Demand {
    /// All presets, the usual one first.
    pub(crate) fn presets(&self) -> Result<Vec<Preset>> {
        presets::all(&self.presets)
    }

    pub(super) fn check(&self) -> Result<()> {
        self.presets()?;
        if self.assets_at_once > ASSETS_MAX {
            bail!("demand.assets_at_once must be at most {ASSETS_MAX}: {}", self.assets_at_once);
        }
        ensure!(
            CHUNK_SECONDS.contains(&self.chunk_seconds),
            "demand.chunk_seconds must be {} to {}: {}",
            CHUNK_SECONDS.start(),
            CHUNK_SECONDS.end(),
            self.chunk_seconds
        );
        let folders = self.watch.as_deref().unwrap_or_default();
        ensure!(
            folders.len() <= FOLDERS_MAX,
            "demand.watch must name at most {FOLDERS_MAX} folders: {}",
            folders.len()
        );
        for (at, watched) in folders.iter().enumerate() {
            let twice = folders[..at].iter().any(|other| other.folder == watched.folder);
            ensure!(!twice, "demand.watch names a folder twice: {}", watched.folder.display());
        }
        Ok(())
    }
}
