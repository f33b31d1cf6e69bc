//! What a watch page is told, as it is sent.

use serde::Serialize;
use utoipa::ToSchema;

/// What a watch page needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Watch {
    /// Identifier of the breakout.
    pub(crate) id: String,
    /// Name of the breakout.
    pub(crate) name: String,
    /// Whether there is something to see.
    pub(crate) state: WatchState,
    /// Whether the audience may see it; while it is down only a preview is shown.
    #[schema(value_type = String, example = "up", pattern = "^(up|down)$")]
    pub(crate) curtain: &'static str,
    /// A page that is open begins anew, player and all, when this is another number than it was told first; 0 at first.
    pub(crate) refresh: u64,
    /// Whether the link is an operator's, which opens while the curtain is down.
    pub(crate) preview: bool,
    /// RFC 3339; when it is meant to begin, by its own plan or that of its event.
    pub(crate) starts_at: Option<String>,
    /// The same from now on, below 0 once that is over: clocks of viewers differ.
    pub(crate) starts_in_seconds: Option<i64>,
    /// Signed multivariant playlist.
    pub(crate) playlist_url: String,
    /// Sessions that watch it now; null unless the breakout shows it and is live.
    pub(crate) viewers: Option<u64>,
    /// What was recorded of it; null before its end, and when nothing was.
    pub(crate) recording: Option<WatchRecording>,
    /// The viewer.
    pub(crate) user: Option<String>,
    /// RFC 3339; when the signature ends. It can be renewed before.
    pub(crate) expires_at: String,
    /// The same from now on.
    pub(crate) expires_in_seconds: i64,
    /// What is wrong, in words.
    pub(crate) problem: Option<String>,
}

/// Whether there is something to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WatchState {
    /// Not yet.
    Waiting,
    /// Now.
    Live,
    /// It is over.
    Ended,
}

/// The recording of a breakout, for a viewer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatchRecording {
    /// How far it is.
    pub(crate) state: WatchProgress,
    /// Signed multivariant playlist, once it can be played.
    pub(crate) playlist_url: Option<String>,
    /// Playing time, once it is known.
    pub(crate) duration_seconds: Option<f64>,
    /// The MP4 of it; null unless the breakout offers it to viewers, and before it is ordered.
    pub(crate) mp4: Option<WatchMp4>,
}

/// The MP4 of a recording, for a viewer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatchMp4 {
    /// How far it is.
    pub(crate) state: WatchProgress,
    /// How much of it is made.
    pub(crate) progress_percent: f64,
    /// Signed, once it is there.
    pub(crate) url: Option<String>,
    /// Size, once it is there.
    pub(crate) bytes: Option<u64>,
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WatchProgress {
    /// It comes by itself.
    Making,
    /// It is there.
    Ready,
    /// It will not come by itself.
    Failed,
}
