//! What a watcher says of a stream.

use serde::{Deserialize, Serialize};

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictState {
    /// Not enough has been seen.
    #[default]
    Unknown,
    /// It goes on.
    Fresh,
    /// It does not.
    Stale,
    /// It is over, as its playlists say.
    Ended,
}

/// Why a verdict is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Nothing has been judged yet.
    #[default]
    #[serde(rename = "starting")]
    Starting,
    /// No playlist was found, or what names them was not there.
    #[serde(rename = "no playlists")]
    NoPlaylists,
    /// So many playlists are stale.
    #[serde(rename = "tolerance exceeded")]
    ToleranceExceeded,
    /// Not one playlist is stale.
    #[serde(rename = "all fresh")]
    AllFresh,
    /// Other playlists than before are stale, but not so many or so few that the verdict changes.
    #[serde(rename = "counts changed")]
    CountsChanged,
    /// Every playlist has `EXT-X-ENDLIST`.
    #[serde(rename = "ended")]
    Ended,
}

/// What a watcher says of a stream, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it goes on.
    pub state: VerdictState,
    /// Since when it is in this state, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Why.
    pub reason: Reason,
    /// What was seen of the playlists that speak for it, one sentence each, [`EVIDENCE_MAX`](super::EVIDENCE_MAX) at the most.
    pub evidence: Vec<String>,
}

impl VerdictState {
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

impl Reason {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NoPlaylists => "no playlists",
            Self::ToleranceExceeded => "tolerance exceeded",
            Self::AllFresh => "all fresh",
            Self::CountsChanged => "counts changed",
            Self::Ended => "ended",
        }
    }
}
