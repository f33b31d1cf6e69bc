//! The provider room: what a planned resource is made real with, and the suite that every implementation passes.
//!
//! In: what is wanted of one pipeline, distribution or invalidation; ids that the caller chose, so that a repetition is harmless.
//! Out: what is there now; errors by what the caller may do about them.
//! Never: I/O of its own, clocks, rows, retries (one layer owns them: `control::reconcile`), what a configuration means.
//! Spec: systems.md V20-V47, V101; CloudFront's protocol of update and delete (V43).
//!
//! The rules of every implementation are in the documentation of the traits and in `contract`, behind the feature of that name.

mod distribution;
mod error;
mod invalidation;
mod metrics;
mod pipeline;

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "contract")]
pub mod faulty;
#[cfg(feature = "contract")]
pub mod memory;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

pub use distribution::{DistributionProvider, DistributionStatus, NewDistribution};
pub use error::{Advice, Kind, ProviderError};
pub use invalidation::{InvalidationProvider, InvalidationStatus, NewInvalidation};
pub use metrics::{MetricsProvider, TrafficWindow};
pub use pipeline::{PipelineProvider, PipelineSpec, PipelineStatus};

/// What a provider answers, in time. Dropping it ends the caller's wait, not always what it began: the next call must find out.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// Labels of a resource, by name.
pub type Tags = BTreeMap<String, String>;

/// Tag that names the control plane which a resource belongs to; a sweep removes no resource of another one.
pub const TAG_PLANE: &str = "anabranch:plane";

/// Tag that names the channel for which a distribution was made.
pub const TAG_CHANNEL: &str = "anabranch:channel";

/// A page of ids, in an order that inserts and deletes do not disturb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// Ids.
    pub items: Vec<T>,
    /// What to hand in for the next page; none after the last.
    pub next: Option<String>,
}

/// Everything that resources are made with.
pub trait Provider: PipelineProvider + DistributionProvider + InvalidationProvider + MetricsProvider {
    /// The word for logs and answers, such as `local`.
    fn name(&self) -> &'static str;
}
