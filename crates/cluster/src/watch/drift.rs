//! Whether renditions keep together.

use super::playlist::Playlist;
use super::report::PlaylistState;
use super::{Role, Settings};

/// Target durations by which renditions have to come nearer than they may be apart before it is over.
const SLACK: f64 = 1.0;

/// How far one rendition has come.
struct Place<'a> {
    url: &'a str,
    sequence: u64,
    /// Segments since drift is counted.
    progress: i64,
    end_date_ms: Option<i64>,
    duration_ms: u64,
}

/// What keeps apart, in a sentence. Dates are compared when all have them. Else it is how many segments each has gone since the watch
/// began: sequence numbers of different renditions need not be the same (rfc8216bis §6.2.4).
/// `before` says whether they were apart.
pub(super) fn apart(playlists: &[Playlist], settings: &Settings, before: bool) -> Option<String> {
    let most = settings.drift_target_durations;
    let limit = if before { (most - SLACK).max(most / 2.0) } else { most };
    let places: Vec<Place<'_>> = playlists.iter().filter_map(place).collect();
    let longest_ms = places.iter().map(|place| place.duration_ms).max()?;
    if places.iter().all(|place| place.end_date_ms.is_some()) {
        let first = places.iter().min_by_key(|place| place.end_date_ms)?;
        let last = places.iter().max_by_key(|place| place.end_date_ms)?;
        let apart_ms = last.end_date_ms?.saturating_sub(first.end_date_ms?);
        let limit_ms = longest_ms as f64 * limit;
        return (apart_ms as f64 > limit_ms).then(|| {
            format!("program date of {} is {:.1} s behind that of {}", first.url, apart_ms as f64 / 1000.0, last.url)
        });
    }
    // Segments of other lengths are counted otherwise.
    let alike = || places.iter().filter(|place| place.duration_ms == longest_ms);
    let first = alike().min_by_key(|place| place.progress)?;
    let last = alike().max_by_key(|place| place.progress)?;
    let apart = last.progress.saturating_sub(first.progress);
    (apart as f64 > limit).then(|| {
        format!(
            "{} fell {apart} segments behind {} since they were first seen: segments {} and {}",
            first.url, last.url, first.sequence, last.sequence
        )
    })
}

fn place(playlist: &Playlist) -> Option<Place<'_>> {
    // What is stale has an alarm of its own, and I-frame playlists may have an entry for each frame.
    if playlist.state != PlaylistState::Fresh || playlist.listed.role == Role::IFrames {
        return None;
    }
    let (sample, start) = (playlist.sample.as_ref()?, playlist.start_sequence?);
    Some(Place {
        url: &playlist.shown,
        sequence: sample.next_sequence.saturating_sub(1),
        progress: i64::try_from(i128::from(sample.next_sequence) - i128::from(start)).unwrap_or(i64::MAX),
        end_date_ms: sample.end_date_ms,
        duration_ms: sample.duration_ms,
    })
}
