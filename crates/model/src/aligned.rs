//! What regions that are fed by the same encoder tell each other, so that they cut, name and number their segments alike.

use serde::{Deserialize, Serialize};

/// Anchors that a region tells at the most; more of a peer's are not read.
pub const ANCHORS_MAX: usize = 64;

/// That a breakout is one of several, each in a region of its own, that carry the same stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedSpec {
    /// Name of the stream, the same in all regions, whatever each of them calls its breakout.
    pub stream: String,
    /// This region. Of regions that begin at once the one whose name comes first chooses the clock.
    pub region: String,
    /// The other regions.
    #[serde(default)]
    pub peers: Vec<String>,
}

/// What one region says of one stream: which coded pictures lie where on its timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchors {
    /// [`AlignedSpec::stream`].
    pub stream: String,
    /// The region that says so.
    pub region: String,
    /// Its segment target, in milliseconds: regions with different ones cannot be aligned.
    pub target_ms: i64,
    /// When the clock that its times are of was chosen, milliseconds since the Unix epoch; whoever adopts a clock adopts this too.
    /// Of two clocks the older one wins.
    pub since_ms: i64,
    /// Oldest first, at most [`ANCHORS_MAX`]; none while no encoder has been heard.
    pub anchors: Vec<Anchor>,
    /// It hears an encoder and has no clock yet: those whose names come later wait for its choice.
    #[serde(default)]
    pub waiting: bool,
    /// What keeps the stream from being aligned well, in words for the operator.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A place in the encoder's stream that can be known again, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Digest of the coded bytes of a keyframe.
    pub digest: String,
    /// Its decoding time, milliseconds since the Unix epoch.
    pub epoch_ms: i64,
    /// Whether a whole segment begins with it.
    #[serde(default)]
    pub begins: bool,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` there.
    #[serde(default)]
    pub discontinuities: u64,
    /// The first sound that does not lie before it.
    #[serde(default)]
    pub sound: Option<SoundMark>,
}

/// Where a frame of sound lies. Encoders tell its time in milliseconds; a timeline counts in samples, without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundMark {
    /// Time that the encoder told, milliseconds since the Unix epoch.
    pub told_ms: i64,
    /// Decoding time, in samples.
    pub units: i64,
    /// Samples per second.
    pub rate: u32,
}
