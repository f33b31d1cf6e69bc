//! `[store]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::remote::RemoteStore;
use super::units::size;

/// Where media lie.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    #[serde(deserialize_with = "size")]
    pub(crate) reserve: u64,
    /// Folder of media; without it `media` in the data directory.
    pub(crate) path: Option<PathBuf>,
    /// S3-compatible services, by name.
    pub(crate) remote: BTreeMap<String, RemoteStore>,
}

impl Default for Store {
    fn default() -> Self {
        Self { reserve: 256 << 20, path: None, remote: BTreeMap::new() }
    }
}
