//! `[s3]`.

use serde::Deserialize;

use super::addresses::{Addresses, local};

/// The S3-compatible endpoint.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3 {
    pub(crate) listen: Addresses,
    /// Domain below which buckets are host names; without it they are the first part of the path.
    pub(crate) domain: Option<String>,
}

impl Default for S3 {
    fn default() -> Self {
        Self { listen: Addresses(vec![local(9995)]), domain: None }
    }
}
