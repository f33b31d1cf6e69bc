//! Why publishing fails.

use anabranch_media::fmp4;
use anabranch_store::StoreError;

/// Why a breakout cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A track cannot be written as CMAF.
    #[error("cannot package the encoder's stream")]
    Media(#[from] fmp4::WriteError),
    /// What an earlier process wrote cannot be understood.
    #[error("the record {key} is damaged; move it away to begin anew")]
    Damaged {
        /// Object key.
        key: String,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}
