//! The model room: the contract between the control plane and the data plane.
//!
//! In: events of a lifecycle.
//! Out: the next state or the reason why not; [`Snapshot`] (what nodes are told) and [`Report`] (what they tell).
//! Never: I/O, clocks, SQL, HTTP.
//! Spec: systems.md V5, V7, V8, V31, V80-V84.

mod distribution;
mod id;
mod lifecycle;
mod node;
mod report;
mod snapshot;

pub use distribution::{
    AllowedMethods, Behavior, BucketOrigin, CachePolicy, CorsPolicy, DistributionSpec, Encodings, ErrorPage,
    ErrorResponse, HOLD_MAX_SECONDS, HeaderRule, HttpOrigin, InvalidationLog, InvalidationSpec, Origin, OriginGroup,
    OriginProtocol, OriginRequestPolicy, OriginSpec, OriginTimeouts, PriceClass, ResponseHeadersPolicy, Selection,
    Transform, ViewerProtocol,
};
pub use id::{
    BreakoutId, ChannelId, DistributionId, IdError, InputId, InstanceId, InvalidationId, KeyGroupId, KeyId, NodeName,
    PlaneId, SpoolId,
};
pub use lifecycle::{
    BreakoutEvent, BreakoutState, ChannelEvent, ChannelState, DistributionEvent, DistributionState, InvalidTransition,
    InvalidationEvent, InvalidationState,
};
pub use node::{
    Acknowledged, Briefing, NODES_PATH, NodeState, POLL_SECONDS, REPORT_BYTES_MAX, REPORT_ROWS_MAX, REPORTS_PATH,
    ReportBatch, SNAPSHOT_PATH, SnapshotQuery,
};
pub use report::{InputState, PackagingState, Report, Traffic};
pub use snapshot::{BreakoutSpec, ChannelSpec, InputSpec, KeyGroupSpec, KeySpec, Snapshot};
