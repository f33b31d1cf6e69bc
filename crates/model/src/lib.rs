//! The model room: the contract between the control plane and the data plane.
//!
//! In: events of a lifecycle.
//! Out: the next state or the reason why not; [`Snapshot`] (what nodes are told) and [`Report`] (what they tell).
//! Never: I/O, clocks, SQL, HTTP.
//! Spec: systems.md V5, V7, V8, V31, V34, V40, V73, V80-V84, V90-V93, V110-V112, L3.

mod aligned;
mod asset;
mod cluster;
mod cluster_headers;
mod cluster_state;
mod distribution;
mod id;
mod lifecycle;
mod node;
mod quality;
mod report;
mod snapshot;
mod stay;
mod work;

pub use aligned::{ANCHORS_MAX, AlignedSpec, Anchor, Anchors, SoundMark};
pub use asset::{AssetMade, AssetReport, AssetRung, AssetSource, AssetTrack};
pub use cluster::{
    AutomatMode, AutomatSettings, BREAKOUT_MARK, ChangeDetect, Cluster, ClusterError, ClusterRegion, HEADERS_MAX,
    PRESETS, Peer, REGION_NAME_MAX, REGIONS_MAX, REGIONS_MIN, VoteRule, WatchSettings,
};
pub use cluster_headers::SecretHeaders;
pub use cluster_state::{
    COUNTER_MAX, ClusterDefinition, ClusterState, FAIL_OPEN, HISTORY_MAX, HistoryEntry, InForce, LastChange,
    NOTHING_ON_AIR, RegionDefinition, Register, RegisterOf, Stamp, Verdict, VerdictState, Voice, VoteOf, WITHHELD,
    Word,
};
pub use distribution::{
    AllowedMethods, Behavior, BucketOrigin, COPY_MARK, CachePolicy, CorsPolicy, DistributionSpec, Encodings, ErrorPage,
    ErrorResponse, HOLD_MAX_SECONDS, HeaderRule, HttpOrigin, InvalidationLog, InvalidationSpec, Origin, OriginGroup,
    OriginProtocol, OriginRequestPolicy, OriginSpec, OriginTimeouts, PriceClass, ResponseHeadersPolicy, Selection,
    Transform, ViewerProtocol,
};
pub use id::{
    AccessKeyId, AccountId, AssetId, BreakoutId, ChannelId, ClusterId, CollectionId, DistributionId, EventId, IdError,
    InputId, InstanceId, InvalidationId, JobId, KeyGroupId, KeyId, LoginId, NodeName, PlaneId, RecordingId, SpoolId,
    TokenId, UploadId, UserId, WebhookId,
};
pub use lifecycle::{
    ArrivalState, AssetEvent, AssetState, BreakoutEvent, BreakoutState, ChannelEvent, ChannelState, DistributionEvent,
    DistributionPhase, DistributionState, InvalidTransition, InvalidationEvent, InvalidationState, JobEvent, JobState,
    RecordingEvent, RecordingState,
};
pub use node::{
    Acknowledged, Briefing, NODES_PATH, NodeState, POLL_SECONDS, REPORT_BYTES_MAX, REPORT_ROWS_MAX, REPORTS_PATH,
    ReportBatch, SNAPSHOT_PATH, SnapshotQuery,
};
pub use quality::{HISTOGRAM_BUCKETS, Histogram, QUALITY_MAX, Quality};
pub use report::{
    AlarmKind, CLAIM_MAX_CHARS, InputAudio, InputMedia, InputState, InputVideo, PackagingState, RENDITION_MAX_BYTES,
    Recorded, Report, Traffic, TrafficKey, USER_AGENT_MAX_CHARS, VIEWERS_MAX, ViewerSeen,
};
pub use snapshot::{
    AudienceSpec, BreakoutSpec, ChannelSpec, ChosenInput, ClosedSpec, EXPELLED_MAX, FailoverSpec, InputPreference,
    InputSpec, KeyGroupSpec, KeySpec, Snapshot,
};
pub use stay::{STAY_GAP_MS, STAYS_MAX, Stay};
pub use work::{
    AssetWork, CaptionTrack, CaptionsWork, Claimed, Done, Failure, JOB_BEAT_PATH, JOB_CLAIM_PATH, JOB_END_PATH,
    JOB_LEFT_MAX, JOB_LEFT_PATH, JobBeat, JobClaim, JobEnd, JobLeft, JobOutcome, LeftWork, Work,
};
