//! What is known of a watch at one time, for people and the API.

use serde::{Deserialize, Serialize};

use super::{Finding, Role, Statistics, Verdict};

/// Whether a playlist changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaylistState {
    /// No change was seen yet, and none is overdue.
    #[default]
    Unknown,
    /// It changes.
    Fresh,
    /// It does not, or what it names is not there.
    Stale,
    /// It says that nothing more comes.
    Ended,
}

impl PlaylistState {
    /// The word of the API, of metrics and of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Ended => "ended",
        }
    }
}

/// One playlist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaylistReport {
    /// URL, without what signs it.
    pub url: String,
    /// What it is for.
    pub role: Role,
    /// What tells it from others, for people; may be empty.
    pub label: String,
    /// Whether it changes.
    pub state: PlaylistState,
    /// Since when it is in this state, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// When it was last seen to change, or first seen, in milliseconds since the Unix epoch.
    pub changed_ms: Option<i64>,
    /// How long that is ago, or how long it has been asked for in vain, in milliseconds.
    pub age_ms: u64,
    /// Age at which it is stale, in milliseconds.
    pub limit_ms: u64,
    /// Media sequence number of its first segment.
    pub media_sequence: Option<u64>,
    /// Media sequence number of its newest segment that is no gap.
    pub newest_sequence: Option<u64>,
    /// Duration that it is judged by: the longer of target duration and longest segment, in seconds.
    pub duration_seconds: Option<f64>,
    /// How long the answers took, in milliseconds: the middle one of the last [`WINDOW_MAX`](super::WINDOW_MAX) that came or were not
    /// waited for any longer.
    #[serde(default)]
    pub answer_ms: Option<u64>,
    /// How far the end of its newest segment lies behind the clock, in milliseconds, as its dates say.
    #[serde(default)]
    pub behind_ms: Option<i64>,
    /// Intervals between changes; nothing before the second.
    pub statistics: Option<Statistics>,
    /// Why the last answer was no playlist.
    pub trouble: Option<String>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// All of a watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the watch.
    pub name: String,
    /// What is watched, without what signs it.
    pub url: String,
    /// What is said of it.
    pub verdict: Verdict,
    /// Playlists that have not ended.
    pub total: usize,
    /// Those of them that are fresh.
    pub fresh: usize,
    /// Those of them that are stale.
    pub stale: usize,
    /// Every playlist, in the order of the multivariant playlist.
    pub playlists: Vec<PlaylistReport>,
    /// What is wrong with the stream as a whole.
    pub findings: Vec<Finding>,
    /// Requests so far.
    pub requests: u64,
    /// Those that brought no playlist and no segment.
    pub failures: u64,
}
