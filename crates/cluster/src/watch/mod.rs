//! Whether a live stream goes on: its playlists are polled as a player would, and one that does not change is stale.
//!
//! [`Machine`] decides everything and knows neither sockets nor clocks; [`Watcher`] is the thin task around it.

mod detector;
mod discovery;
mod drift;
mod fetch;
mod finding;
mod machine;
mod meters;
mod notification;
mod playlist;
mod position;
mod report;
mod sample;
mod segment;
mod settings;
mod shown;
pub mod sink;
mod statistics;
mod top;
mod verdict;
mod watcher;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use discovery::Role;
pub use fetch::{Answer, FetchConfig, FetchError, Fetcher, SegmentAnswer, Trouble};
pub use finding::{Effect, Finding, FindingKind};
pub use machine::{Event, Machine, Request, Target};
pub use meters::describe_metrics;
pub use notification::Notification;
pub use report::{PlaylistReport, PlaylistState, Report};
pub use sample::NotPlaylist;
pub use settings::{AfterEnd, ChangeDetect, Preset, Settings, SettingsError};
pub use shown::shown;
pub use statistics::Statistics;
pub use verdict::{Reason, Verdict, VerdictState};
pub use watcher::{Place, Watch, Watcher};

/// Longest playlist that is read, in bytes.
pub const BODY_MAX_BYTES: usize = anabranch_hls::playlist::PLAYLIST_MAX_BYTES;

/// Most playlists of one watch; what a multivariant playlist lists beyond them is left out, which is a finding.
pub const PLAYLISTS_MAX: usize = 500;

/// Redirects that one request follows at the most.
pub const REDIRECTS_MAX: usize = 5;

/// Requests of one watch under way at a time.
pub const IN_FLIGHT_MAX: usize = 32;

/// Intervals between changes that the statistics of a playlist are of.
pub const WINDOW_MAX: usize = 25;

/// Lines of evidence in a verdict at the most.
pub const EVIDENCE_MAX: usize = 10;

/// Pause before a playlist that was never there is asked for again, in milliseconds.
pub const RETRY_MS: u64 = 2500;

/// Shortest pause between two looks at a playlist, in milliseconds.
pub const PAUSE_MIN_MS: u64 = 100;

/// Longest pause between two looks at a playlist whose change is due, in milliseconds.
pub const PAUSE_MAX_MS: u64 = 10_000;

/// What a playlist's segments are taken to last as long as nothing tells, in milliseconds.
pub const DURATION_DEFAULT_MS: u64 = 6000;

/// A point in time, by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds by a clock that does not jump, since any start. Deadlines go by it.
    pub at_ms: u64,
    /// Milliseconds since the Unix epoch. Only shown.
    pub unix_ms: i64,
}
