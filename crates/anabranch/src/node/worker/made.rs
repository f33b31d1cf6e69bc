//! The worker's note of what was made of an asset: captions are added by it, then or later.

use anabranch_model::{AssetId, Failure};
use anabranch_packager::vod::{Cuts, Summary};
use anabranch_store::buckets::BucketError;
use anabranch_store::{Buckets, LocalStore, key};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::failure::{given_up, lost, of_bucket};
use super::objects;

/// Largest note of what was made, in bytes.
const MADE_MAX_BYTES: u64 = 16 << 20;

/// What was made of an asset, for whoever adds to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Made {
    /// What the names of its objects begin with.
    pub(super) stem: String,
    pub(super) duration_ms: u64,
    pub(super) cuts: Cuts,
    /// What viewers are shown.
    pub(super) renditions: Vec<Summary>,
}

impl Made {
    pub(super) async fn keep(&self, store: &LocalStore, buckets: &Buckets, asset: &AssetId) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(self).map_err(|error| lost(&error))?;
        objects::put(store, buckets, &place(asset), Bytes::from(bytes)).await
    }

    pub(super) async fn read(buckets: &Buckets, asset: &AssetId) -> Result<Self, Failure> {
        let unknown = || {
            given_up(format!(
                "it is not known how the renditions were made: have the asset made again with `anabranch asset retry {asset}`"
            ))
        };
        let object = match buckets.get(key::VOD, &place(asset)).await {
            Err(BucketError::NoSuchKey { .. }) => return Err(unknown()),
            object => object.map_err(|error| of_bucket(&error))?,
        };
        let bytes = object.bytes(MADE_MAX_BYTES).await.map_err(|error| of_bucket(&error))?;
        serde_json::from_slice(&bytes).map_err(|_| unknown())
    }
}

fn place(asset: &AssetId) -> String {
    format!("{}{}", key::asset_prefix(asset.as_str()), key::ASSET_MADE)
}
