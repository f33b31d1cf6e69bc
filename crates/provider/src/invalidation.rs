//! Orders to forget what edges keep.

use anabranch_model::{DistributionId, InvalidationId, InvalidationState};

use crate::Reply;

/// An invalidation to order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvalidation {
    /// Whose objects are to be forgotten: the provider's id.
    pub distribution: DistributionId,
    /// Client token, unique within the distribution.
    pub reference: String,
    /// Id that the caller would like; a provider that gives ids itself ignores it.
    pub id: Option<InvalidationId>,
    /// Path patterns.
    pub paths: Vec<String>,
    /// Tags of `Cache-Tag` or `Surrogate-Key`.
    pub tags: Vec<String>,
}

/// What became of an invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidationStatus {
    /// The provider's identifier.
    pub id: InvalidationId,
    /// Whether every edge acts by it.
    pub state: InvalidationState,
    /// What `Completed` still waits for, in words.
    pub waiting_for: Option<String>,
}

/// Orders invalidations.
pub trait InvalidationProvider: Send + Sync {
    /// Orders it, or answers the one that the same reference ordered with the same paths and tags.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when there is no such distribution, [`crate::Kind::Conflict`] when the reference stands for
    /// another order; any other kind.
    fn invalidation_create<'a>(&'a self, new: &'a NewInvalidation) -> Reply<'a, InvalidationStatus>;

    /// What became of it; `None` when there is none, or when it is too old to be known.
    ///
    /// # Errors
    /// Those of any call: throttled, unavailable.
    fn invalidation_describe<'a>(
        &'a self,
        distribution: &'a DistributionId,
        id: &'a InvalidationId,
    ) -> Reply<'a, Option<InvalidationStatus>>;
}
