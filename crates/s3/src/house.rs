//! What operations work with.

use std::sync::Arc;

use anabranch_store::Buckets;
use s3s::{S3Result, s3_error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Config;

/// The buckets, and how much may be done with them.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) buckets: Buckets,
    pub(crate) region: String,
    pub(crate) max_body_bytes: u64,
    uploads: Arc<Semaphore>,
}

impl House {
    pub(crate) fn new(buckets: Buckets, config: &Config) -> Self {
        Self {
            buckets,
            region: config.region.clone(),
            max_body_bytes: config.max_body_bytes,
            uploads: Arc::new(Semaphore::new(config.max_uploads)),
        }
    }

    /// Leave to take in a body; held until it is on the disk.
    pub(crate) fn upload_permit(&self) -> S3Result<OwnedSemaphorePermit> {
        let permit = self.uploads.clone().try_acquire_owned();
        permit.map_err(|_| s3_error!(SlowDown, "too many bodies at once; try again"))
    }
}
