//! What ingests, packagers, origins and edges are told. Versioned and whole: the newest snapshot is all a node needs.

use serde::{Deserialize, Serialize};

use crate::{BreakoutId, ChannelId, DistributionSpec, InputId, KeyGroupId, KeyId};

/// The whole desired state of the data plane. A node that holds one can serve without the control plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Goes up by at least one with every change.
    pub version: u64,
    /// Channels, running or not.
    pub channels: Vec<ChannelSpec>,
    /// Breakouts that are on air, or over but still readable.
    pub breakouts: Vec<BreakoutSpec>,
    /// Distributions, enabled or not.
    pub distributions: Vec<DistributionSpec>,
    /// Key groups that behaviors name.
    pub key_groups: Vec<KeyGroupSpec>,
}

/// A channel as ingest and packager see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelSpec {
    /// Identifier.
    pub id: ChannelId,
    /// Operator's name, for log lines.
    pub name: String,
    /// Whether it is wanted running.
    pub running: bool,
    /// Segment target in seconds, 1 to 10.
    pub segment_target_seconds: u32,
    /// How much of the past the media playlist names, in seconds.
    pub window_seconds: u32,
    /// Push endpoints.
    pub inputs: Vec<InputSpec>,
}

/// One push endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Identifier.
    pub id: InputId,
    /// Secret that the encoder sends as the RTMP stream name; unique over all channels.
    pub stream_key: String,
}

/// A breakout as packager and origin see it. A channel has at most one with `on_air`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakoutSpec {
    /// Identifier; the first segment of every viewer path.
    pub id: BreakoutId,
    /// Channel that feeds it.
    pub channel: ChannelId,
    /// True from start to stop; false once it is over.
    pub on_air: bool,
}

/// A key group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyGroupSpec {
    /// Identifier.
    pub id: KeyGroupId,
    /// Live keys.
    pub keys: Vec<KeySpec>,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeySpec {
    /// `Key-Pair-Id`.
    pub id: KeyId,
    /// SubjectPublicKeyInfo in PEM.
    pub public_key_pem: String,
}
