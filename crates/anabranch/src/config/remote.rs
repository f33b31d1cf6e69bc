//! S3-compatible services that buckets may be at.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::secret::Secret;

/// Services at most.
const REMOTES_MAX: usize = 100;

/// A service, and, if it names a bucket there, the bucket of this house that is there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RemoteStore {
    /// Without one Amazon's of the region.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) path_style: Option<bool>,
    /// Both or none: without them those of the environment.
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key: Option<Secret>,
    pub(crate) session_token: Option<Secret>,
    /// Bucket there.
    pub(crate) bucket: Option<String>,
    /// What keys there begin with.
    pub(crate) prefix: Option<String>,
}

/// What can be said without knowing the environment.
pub(super) fn check(remotes: &BTreeMap<String, RemoteStore>) -> Result<()> {
    ensure!(remotes.len() <= REMOTES_MAX, "store.remote must name at most {REMOTES_MAX} services: {}", remotes.len());
    for (name, remote) in remotes {
        ensure!(
            remote.access_key_id.is_some() == remote.secret_access_key.is_some(),
            "store.remote.{name} must have both access_key_id and secret_access_key, or neither"
        );
        ensure!(
            remote.prefix.is_none() || remote.bucket.is_some(),
            "store.remote.{name}.prefix has no meaning without store.remote.{name}.bucket"
        );
    }
    Ok(())
}
