//! The S3-compatible endpoint of this node: its keys are the control plane's.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_control::AccessKeys;
use anabranch_s3::{Access, AccessError, AccessKey, Config as S3Config, Endpoint, Grant, Level, Rights};
use anabranch_store::{Buckets, key};
use anyhow::{Context as _, Result};

use crate::config::Config;

/// Binds the endpoint, on each of its addresses.
pub(super) fn bind(config: &Config, buckets: &Buckets, keys: &AccessKeys) -> Result<Vec<Endpoint>> {
    let access = Arc::new(Keys(keys.clone()));
    let read_only = [key::RECORDINGS, key::VOD].map(str::to_owned);
    let endpoint = |address| {
        let config = S3Config {
            domain: config.s3.domain.clone(),
            read_only: BTreeSet::from(read_only.clone()),
            ..S3Config::new(address)
        };
        Endpoint::bind(config, buckets.clone(), access.clone())
            .with_context(|| format!("cannot listen for S3 on {address}: choose another s3.listen, or [] for none"))
    };
    config.s3.listen.0.iter().copied().map(endpoint).collect()
}

#[derive(Debug)]
struct Keys(AccessKeys);

#[async_trait::async_trait]
impl Access for Keys {
    async fn key(&self, id: &str) -> Result<Option<AccessKey>, AccessError> {
        let row = self.0.find(id).await.map_err(|error| AccessError(Box::new(error)))?;
        Ok(row.map(|row| {
            let level = if row.may_write { Level::Write } else { Level::Read };
            let all = if row.may_write { Level::Manage } else { Level::Read };
            let rights = match row.buckets.as_slice() {
                [] => Rights::all(all),
                named => Rights(named.iter().map(|bucket| Grant { bucket: Some(bucket.clone()), level }).collect()),
            };
            AccessKey { secret: row.secret, rights }
        }))
    }
}
