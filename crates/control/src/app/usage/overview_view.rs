//! The overview and the settings, as the API shows them.

use serde::Serialize;
use utoipa::ToSchema;

/// What is going on, at one look.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Overview {
    /// Channels by state.
    pub(crate) channels: ChannelCounts,
    /// Breakouts by state.
    pub(crate) breakouts: BreakoutCounts,
    /// Viewer sessions that watch now.
    pub(crate) viewers_now: u64,
    /// Bytes sent to viewers a second, over the last minutes.
    pub(crate) bytes_per_second: u64,
    /// Requests answered a second, over the last minutes.
    pub(crate) requests_per_second: f64,
    /// Share of hits in hits and misses, 0 to 1; null where there is neither.
    pub(crate) cache_hit_ratio: Option<f64>,
    /// Answers with status 5xx a second, over the last minutes.
    pub(crate) errors_per_second: f64,
    /// Nodes of the data plane.
    pub(crate) nodes: NodeCounts,
    /// Jobs by state.
    pub(crate) jobs: JobCounts,
    /// Bytes of recordings and of what was made of assets.
    pub(crate) storage_bytes: u64,
    /// What needs a look, the newest first.
    pub(crate) alarms: Vec<Alarm>,
    /// Version of the server.
    pub(crate) version: String,
    /// Since the server began to act.
    pub(crate) uptime_seconds: u64,
}

/// Channels by state.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChannelCounts {
    /// Running.
    pub(crate) running: u64,
    /// Neither running nor with a problem.
    pub(crate) idle: u64,
    /// With a problem.
    pub(crate) failed: u64,
}

/// Breakouts by state.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct BreakoutCounts {
    /// On air.
    pub(crate) live: u64,
    /// Starting.
    pub(crate) starting: u64,
    /// Starting or on air, with a problem.
    pub(crate) failed: u64,
}

/// Nodes of the data plane.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct NodeCounts {
    /// That are heard.
    pub(crate) connected: u64,
    /// That are silent or lost.
    pub(crate) lost: u64,
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct JobCounts {
    /// That wait.
    pub(crate) queued: u64,
    /// Under way.
    pub(crate) running: u64,
    /// That have failed within a day.
    pub(crate) failed: u64,
}

/// Something that needs a look.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Alarm {
    /// RFC 3339.
    pub(crate) at: String,
    /// `warning` or `error`.
    #[schema(pattern = "^(warning|error)$")]
    pub(crate) level: String,
    /// What it is about, as `kind/id`, such as `channel/c0123`.
    pub(crate) subject: String,
    /// In words.
    pub(crate) words: String,
}

/// The configuration in force, without secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settings {
    /// The keys, as a tree. A secret is shown as `(secret)`.
    #[schema(value_type = Object)]
    pub(crate) settings: serde_json::Value,
    /// Where keys come from that are not defaults, by dotted key: `file`, `environment` or `flag`.
    #[schema(value_type = Object)]
    pub(crate) sources: serde_json::Value,
    /// The file that was read, if one was.
    pub(crate) file: Option<String>,
}
