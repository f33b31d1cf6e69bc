//! The model room: the contract between the control plane and the data plane.
//!
//! In: events of a lifecycle.
//! Out: the next state or the reason why not; [`Snapshot`] (what nodes are told) and [`Report`] (what they tell).
//! Never: I/O, clocks, SQL, HTTP.
//! Spec: systems.md V5, V7, V8, V31, V80-V84.

mod id;
mod lifecycle;
mod report;
mod snapshot;

pub use id::{BreakoutId, ChannelId, DistributionId, IdError, InputId, KeyGroupId, KeyId};
pub use lifecycle::{
    BreakoutEvent, BreakoutState, ChannelEvent, ChannelState, DistributionEvent, DistributionState, InvalidTransition,
};
pub use report::{InputState, PackagingState, Report, Traffic};
pub use snapshot::{
    Behavior, BreakoutSpec, ChannelSpec, CorsPolicy, DistributionSpec, InputSpec, KeyGroupSpec, KeySpec, Origin,
    OriginSpec, Snapshot, Transform,
};
