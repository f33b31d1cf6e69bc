//! Edit lists (§8.6.6): which stretch of a track is shown, and when.

use super::Mp4Error;
use super::boxes::Fields;
use crate::TrackKind;
use crate::time::rescale;

/// Edits that are looked at.
const MAX_EDITS: usize = 64;

/// What an edit list makes of a track's time, in the track's timescale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Added to the times that are stored, gives the times of the presentation.
    pub shift: i64,
    /// Where the track begins to be shown, in times of the presentation.
    pub start: i64,
    /// Where it ends to be shown, if the list says so.
    pub end: Option<i64>,
    /// The list has more than a wait and one stretch at normal speed: only a decoder can follow it. The first stretch is told here.
    pub is_complex: bool,
}

impl Edit {
    /// Reads `elst`. `movie_timescale` counts the edits' durations, `timescale` the media.
    pub(super) fn parse(mut fields: Fields<'_>, movie_timescale: u32, timescale: u32) -> Result<Self, Mp4Error> {
        let (version, _) = fields.version_and_flags()?;
        let count = fields.u32()?;
        let mut edit = Self::default();
        let mut wait = 0_u64;
        let mut stretch: Option<(u64, i64)> = None;
        for _ in 0..count {
            // u32 or u64 segment_duration, i32 or i64 media_time, i16.16 media_rate
            let duration = fields.wide(version)?;
            let media_time = if version == 1 { fields.u64()? as i64 } else { i64::from(fields.u32()? as i32) };
            let rate = fields.u32()?;
            if stretch.is_some() || count as usize > MAX_EDITS || (media_time >= 0 && rate != 0x1_0000) {
                edit.is_complex = true;
            }
            if stretch.is_some() {
                break;
            }
            if media_time < 0 {
                wait = wait.saturating_add(duration);
            } else {
                stretch = Some((duration, media_time));
            }
        }
        let to_media = |units: u64| rescale(i64::try_from(units).unwrap_or(i64::MAX), movie_timescale, timescale);
        let (duration, media_time) = stretch.unwrap_or((0, 0));
        edit.start = to_media(wait);
        edit.shift = edit.start.saturating_sub(media_time);
        if duration > 0 {
            // Durations are rounded to the coarser units of the movie.
            let tick = to_media(1).max(1);
            edit.end = Some(edit.start.saturating_add(to_media(duration)).saturating_add(tick));
        }
        Ok(edit)
    }

    /// Whether a sample at these times of the presentation is needed for what is shown. Sound outside of the stretch is not: that is how
    /// encoders mark the delay of their first samples. Pictures before it are, because later ones may be coded by them.
    pub(super) fn shows(&self, kind: TrackKind, dts: i64, pts: i64, duration: u32) -> bool {
        let before = kind == TrackKind::Audio && pts.saturating_add(duration.into()) <= self.start;
        // What is decoded after the end is shown after it, so nothing that is shown depends on it.
        let after = self.end.is_some_and(|end| dts >= end);
        !before && !after
    }
}
