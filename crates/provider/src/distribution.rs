//! Distributions at the provider, by CloudFront's rules (V43).

use anabranch_model::{DistributionId, DistributionState};
use serde_json::Value;

use crate::{Listing, Reply, Tags};

/// A distribution to make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDistribution {
    /// Client token, equal to the configuration's `CallerReference`: the same one with the same content answers the same distribution.
    pub reference: String,
    /// Id that the caller would like; a provider that gives ids itself ignores it.
    pub id: Option<DistributionId>,
    /// Host name that the caller would like, lower case; a provider that gives names itself ignores it.
    pub domain: Option<String>,
    /// CloudFront's DistributionConfig as JSON.
    pub config: Value,
    /// Labels.
    pub tags: Tags,
}

/// What a distribution is.
#[derive(Clone, Debug, PartialEq)]
pub struct DistributionStatus {
    /// The provider's identifier.
    pub id: DistributionId,
    /// The caller's token.
    pub reference: String,
    /// Host name.
    pub domain: String,
    /// Names this configuration for `if_match`.
    pub etag: String,
    /// Whether every edge serves by the newest configuration.
    pub status: DistributionState,
    /// Whether it serves, by the newest configuration.
    pub enabled: bool,
    /// CloudFront's DistributionConfig as JSON, perhaps with more defaults filled in than were given.
    pub config: Value,
    /// Labels.
    pub tags: Tags,
    /// What `Deployed` still waits for, in words.
    pub waiting_for: Option<String>,
}

/// Makes, changes and deletes distributions.
pub trait DistributionProvider: Send + Sync {
    /// Makes a distribution, or answers the one that the same reference made with the same content.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] when the reference stands for other content or a name belongs to another distribution,
    /// [`crate::Kind::Invalid`] when the configuration can never be served; any other kind.
    fn distribution_create<'a>(&'a self, new: &'a NewDistribution) -> Reply<'a, DistributionStatus>;

    /// What it is now; `None` when there is none.
    ///
    /// # Errors
    /// Those of any call: throttled, unavailable.
    fn distribution_describe<'a>(&'a self, id: &'a DistributionId) -> Reply<'a, Option<DistributionStatus>>;

    /// Gives it another configuration; it is then `InProgress`. Not idempotent by itself: after an unknown outcome describe it.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::PreconditionFailed`] when `if_match` is not the newest ETag,
    /// [`crate::Kind::Invalid`] also when the caller reference would change; any other kind.
    fn distribution_update<'a>(
        &'a self,
        id: &'a DistributionId,
        if_match: &'a str,
        config: &'a Value,
    ) -> Reply<'a, DistributionStatus>;

    /// Deletes a distribution that is disabled at every edge. One that is not there is deleted.
    ///
    /// # Errors
    /// [`crate::Kind::NotDisabled`] while it is enabled or `InProgress`, [`crate::Kind::PreconditionFailed`]; any other kind.
    fn distribution_delete<'a>(&'a self, id: &'a DistributionId, if_match: &'a str) -> Reply<'a, ()>;

    /// A page of the ids of all distributions, of whatever control plane.
    ///
    /// # Errors
    /// Those of any call: throttled, unavailable.
    fn distribution_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<DistributionId>>;
}
