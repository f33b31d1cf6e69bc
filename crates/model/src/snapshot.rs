//! What ingests, packagers, origins and edges are told. Versioned and whole: the newest snapshot is all a node needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BreakoutId, ChannelId, DistributionId, InputId, KeyGroupId, KeyId};

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

/// What a host name serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributionSpec {
    /// Identifier.
    pub id: DistributionId,
    /// Its own host name, lower case, without a port.
    pub domain_name: String,
    /// Other host names or addresses that it answers to, lower case, without a port.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// A disabled distribution answers 403 to everything.
    pub enabled: bool,
    /// Where bytes live, by the id that behaviors name.
    pub origins: Vec<OriginSpec>,
    /// Ordered behaviors; the first whose pattern matches wins.
    #[serde(default)]
    pub behaviors: Vec<Behavior>,
    /// Behavior of paths that no pattern matches; its pattern is `*`.
    pub default_behavior: Behavior,
}

/// A named origin of a distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginSpec {
    /// Name that behaviors use.
    pub id: String,
    /// What it is.
    pub origin: Origin,
}

/// Where bytes live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Origin {
    /// The origin room of this house, at the address that the edge's own configuration gives; requests go to `path` + viewer path.
    Live {
        /// Channel whose breakouts it serves; the edge asks for `/live/<channel><viewer path>`.
        channel: ChannelId,
    },
    /// An HTTP server.
    Http {
        /// `host:port`, a name or an address.
        authority: String,
        /// Put before the viewer's path; empty or beginning with `/` and not ending with one.
        #[serde(default)]
        path: String,
        /// Headers that the edge sends, overriding the viewer's.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
}

/// Rule for a path pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Behavior {
    /// `*` matches any run, `?` one character; case-sensitive; compared with the path without the query.
    pub path_pattern: String,
    /// Id of an origin of the same distribution.
    pub origin: String,
    /// Key groups whose signatures open it; empty means public.
    #[serde(default)]
    pub trusted_key_groups: Vec<KeyGroupId>,
    /// Shortest time an object is kept, in seconds, whatever the origin says.
    #[serde(default)]
    pub min_ttl_seconds: u64,
    /// Time an object is kept when the origin says nothing, in seconds.
    #[serde(default)]
    pub default_ttl_seconds: u64,
    /// Longest time an object is kept, in seconds.
    #[serde(default = "one_year")]
    pub max_ttl_seconds: u64,
    /// CORS headers that the edge sets on every answer, replacing the origin's.
    #[serde(default)]
    pub cors: Option<CorsPolicy>,
    /// What is done to bodies on their way to the viewer.
    #[serde(default)]
    pub transform: Transform,
}

fn one_year() -> u64 {
    31_536_000
}

/// CORS answer of a behavior (V60, V61).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorsPolicy {
    /// `*`, or the origins that are echoed when they ask.
    pub allow_origins: Vec<String>,
    /// `*`, or header names.
    pub allow_headers: Vec<String>,
    /// Methods.
    pub allow_methods: Vec<String>,
    /// Whether `Access-Control-Allow-Credentials: true` is sent; needs named origins.
    pub allow_credentials: bool,
}

/// A change of the body between cache and viewer; cached objects stay as the origin sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Bytes as they are.
    #[default]
    None,
    /// HLS playlist: each relative URI gets the signature parameters that the viewer's own URL carried.
    SignedPlaylist,
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
