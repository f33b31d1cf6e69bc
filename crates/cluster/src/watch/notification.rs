//! What receivers elsewhere are told, in the form that detectors of stale playlists have for it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::detector::Counts;
use super::playlist::Playlist;
use super::{PlaylistState, Reason, Settings, Verdict, VerdictState, shown};

/// A message. Its JSON has the members `options`, `playlists` and `detector`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notification {
    /// Every setting, URLs without what signs them.
    pub options: Settings,
    /// Playlists by URL.
    pub playlists: BTreeMap<String, PlaylistNote>,
    /// The verdict.
    pub detector: DetectorNote,
}

/// One playlist in a [`Notification`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaylistNote {
    /// Whether it changes.
    pub state: PlaylistState,
    /// When it last changed, in seconds since the Unix epoch; nothing when it was never there.
    pub changed: Option<f64>,
    /// Duration that it is judged by, in seconds.
    pub duration: Option<f64>,
    /// Mean of the intervals between changes, in seconds; so are the others.
    pub mean_duration: Option<f64>,
    /// Median.
    pub median_duration: Option<f64>,
    /// Shortest.
    pub min_duration: Option<f64>,
    /// Longest.
    pub max_duration: Option<f64>,
}

/// The verdict in a [`Notification`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectorNote {
    /// Playlists that count.
    pub total: usize,
    /// Those that are fresh.
    pub fresh: usize,
    /// Those that are stale.
    pub stale: usize,
    /// Percent of stale ones; 100 when there is no playlist at all.
    pub stale_playlist_percent: f64,
    /// Percent from which the stream is stale.
    pub stale_tolerance_percent: f64,
    /// Whether the stream goes on.
    pub state: VerdictState,
    /// From 0, one more with each message of this watch.
    pub sequence: u64,
    /// Why.
    pub reason: Reason,
}

impl Notification {
    /// As JSON on one line.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a notification has text as keys and no number that JSON lacks")
    }
}

pub(super) fn of(
    settings: &Settings,
    playlists: &[Playlist],
    verdict: &Verdict,
    counts: Counts,
    sequence: u64,
) -> Notification {
    let percent = |share: f64| (share * 1000.0).round() / 10.0;
    let share = match (counts.total(), verdict.state) {
        (0, VerdictState::Stale) => 1.0,
        (0, _) => 0.0,
        (total, _) => counts.stale as f64 / total as f64,
    };
    Notification {
        options: options(settings),
        playlists: playlists.iter().map(|playlist| (playlist.shown.clone(), note(playlist))).collect(),
        detector: DetectorNote {
            total: counts.total(),
            fresh: counts.fresh,
            stale: counts.stale,
            stale_playlist_percent: percent(share),
            stale_tolerance_percent: percent(settings.stale_tolerance),
            state: verdict.state,
            sequence,
            reason: verdict.reason,
        },
    }
}

fn options(settings: &Settings) -> Settings {
    let origin_url = shown(&settings.origin_url);
    let cdn_url = settings.cdn_url.as_deref().map_or_else(|| origin_url.clone(), shown);
    Settings { origin_url, cdn_url: Some(cdn_url), ..settings.clone() }
}

fn note(playlist: &Playlist) -> PlaylistNote {
    let statistics = playlist.statistics();
    PlaylistNote {
        state: playlist.state,
        changed: playlist.changed_unix_ms().map(|ms| ms as f64 / 1000.0),
        duration: playlist.sample.as_ref().map(|sample| sample.duration_ms as f64 / 1000.0),
        mean_duration: statistics.map(|of| of.mean_seconds),
        median_duration: statistics.map(|of| of.median_seconds),
        min_duration: statistics.map(|of| of.min_seconds),
        max_duration: statistics.map(|of| of.max_seconds),
    }
}
