//! What ingests, packagers, origins and edges are told. Versioned and whole: the newest snapshot is all a node needs.

use serde::{Deserialize, Serialize};

use crate::{AlignedSpec, BreakoutId, ChannelId, DistributionId, DistributionSpec, InputId, KeyGroupId, KeyId};

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
    /// What edges refuse because its region is closed.
    #[serde(default)]
    pub closed: Vec<ClosedSpec>,
}

/// Paths of a distribution whose region is closed, by an operator or by the automat (C5): edges answer 404 to them whatever they have
/// in their caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedSpec {
    /// The distribution.
    pub distribution: DistributionId,
    /// Path patterns, as behaviors have them; none stands for the whole distribution.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Name of the cluster, for log lines.
    pub cluster: String,
    /// Name of the region, which viewers are told.
    pub region: String,
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
    /// Push endpoints, the primary first.
    pub inputs: Vec<InputSpec>,
    /// How one of two inputs is chosen.
    #[serde(default)]
    pub failover: FailoverSpec,
}

/// How a channel with two inputs chooses the one that is packaged (V90-V93).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverSpec {
    /// Whether the loss of an input switches to the other.
    pub enabled: bool,
    /// Silence of the input in use after which the other takes over, in milliseconds.
    pub loss_ms: u32,
    /// Time without loss after which an input that was lost is healthy again, in milliseconds.
    pub clear_ms: u32,
    /// Which of two healthy inputs is in use.
    pub preference: InputPreference,
    /// The operator's last choice.
    #[serde(default)]
    pub chosen: Option<ChosenInput>,
}

impl Default for FailoverSpec {
    /// V91, V92.
    fn default() -> Self {
        Self { enabled: true, loss_ms: 3_000, clear_ms: 30_000, preference: InputPreference::Primary, chosen: None }
    }
}

/// Which of two healthy inputs is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputPreference {
    /// The first, again once it is healthy.
    #[default]
    Primary,
    /// The one that is; an operator may choose.
    Equal,
}

impl InputPreference {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Equal => "equal",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Primary, Self::Equal].into_iter().find(|value| value.as_str() == word)
    }
}

/// An operator's switch to an input. Followed once: a later loss may switch again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenInput {
    /// The input.
    pub input: InputId,
    /// Goes up with every choice.
    pub sequence: u64,
}

/// One push endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Identifier.
    pub id: InputId,
    /// Secret that the encoder sends as the RTMP stream name; unique over all channels.
    pub stream_key: String,
    /// Addresses and CIDR blocks that may push, in text; none stands for all (V23).
    #[serde(default)]
    pub allow: Vec<String>,
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
    /// Number of its session, from 1: it goes up when a completed breakout is reset.
    #[serde(default = "first_session")]
    pub session: u32,
    /// Who may watch it now.
    #[serde(default)]
    pub audience: AudienceSpec,
    /// Whether other regions carry the same stream, and are to cut and number it alike. Followed when the breakout is opened.
    #[serde(default)]
    pub aligned: Option<AlignedSpec>,
}

fn first_session() -> u32 {
    1
}

/// Who may watch a breakout now. Edges refuse by it whatever a signature allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceSpec {
    /// Whether the curtain is up (V83); while it is down only signatures with the claim `preview` open.
    pub curtain_up: bool,
    /// Signatures made before this time are refused, Unix seconds by the claim `iat`; 0 refuses none. A signature without the
    /// claim is refused when this is not 0.
    #[serde(default)]
    pub revoked_before: i64,
    /// Viewer sessions that are shut out, by the claim `session`; makers of snapshots give at most [`EXPELLED_MAX`].
    #[serde(default)]
    pub expelled: Vec<String>,
    /// Whether edges report who watches.
    #[serde(default)]
    pub attendance: bool,
}

impl Default for AudienceSpec {
    fn default() -> Self {
        Self { curtain_up: true, revoked_before: 0, expelled: Vec::new(), attendance: false }
    }
}

/// Sessions that a breakout may have shut out at one time.
pub const EXPELLED_MAX: usize = 10_000;

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
