//! What a packager has published of one breakout: the value that a packager hands to an origin.
//!
//! A timeline is immutable; each publication is a new one. Media sequence numbers and object names in it never repeat in the
//! life of a breakout, across encoder reconnects and restarts of the server.

use std::collections::VecDeque;
use std::sync::Arc;

/// Whether more segments may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The breakout goes on: players reload.
    Live,
    /// Nothing will be added: media playlists carry `EXT-X-ENDLIST`.
    Ended,
}

/// What a rendition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenditionKind {
    /// A variant of its own.
    Video,
    /// Sound: an `EXT-X-MEDIA` group when there is video, a variant when there is none.
    Audio,
}

/// All that players may ask of one breakout at this moment.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Which session of the breakout this is, from 1: its objects lie under it.
    pub session: u32,
    /// Still growing or not.
    pub progress: Progress,
    /// `EXT-X-TARGETDURATION`, whole seconds, never going down in the life of a breakout.
    pub target_duration_seconds: u32,
    /// Renditions, video before audio. Empty until the first segment is durable.
    pub renditions: Vec<Rendition>,
}

/// How much less than [`seconds_to_play`] is enough, in seconds: renditions are cut between frames, those of sound are up to a tenth
/// of a second long and lie across the cuts of pictures.
pub const FRAME_TOLERANCE_SECONDS: f64 = 0.1;

/// Seconds of media with which playback may begin: what is played while the next segment of full length is made, published and
/// found, one and a half target durations and a second.
#[must_use]
pub fn seconds_to_play(target_duration_seconds: u32) -> f64 {
    1.5 * f64::from(target_duration_seconds) + 1.0
}

impl Timeline {
    /// Whether a player that joins now can go on without a stall: every rendition has [`seconds_to_play`], within
    /// [`FRAME_TOLERANCE_SECONDS`], or nothing more will come.
    #[must_use]
    pub fn is_playable(&self) -> bool {
        let needed = seconds_to_play(self.target_duration_seconds) - FRAME_TOLERANCE_SECONDS;
        let shortest = self.renditions.iter().map(Rendition::seconds).min_by(f64::total_cmp);
        shortest.is_some_and(|seconds| seconds > 0.0 && (self.progress == Progress::Ended || seconds >= needed))
    }
}

/// How far a media playlist must have come that is two segments ahead at the most (rfc8216bis §6.2.5.2).
const FURTHEST_AHEAD: u64 = 2;

/// Where a timeline stands towards a segment that a player waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The segment is there, or will never be: the playlist can be given.
    Reached,
    /// It is one of the next two.
    Awaited,
    /// It is further ahead: nobody who follows the playlist asks for it.
    TooFar,
}

impl Timeline {
    /// Where the timeline stands towards the segment `msn` of a rendition (rfc8216bis §6.2.5.2); `None` if it has no such
    /// rendition, or nothing in it yet.
    #[must_use]
    pub fn standing(&self, rendition_name: &str, msn: u64) -> Option<Standing> {
        let rendition = self.renditions.iter().find(|rendition| rendition.name == rendition_name)?;
        let newest = rendition.segments.back()?.msn;
        Some(match self.progress {
            Progress::Ended => Standing::Reached,
            Progress::Live if msn <= newest => Standing::Reached,
            Progress::Live if msn - newest <= FURTHEST_AHEAD => Standing::Awaited,
            Progress::Live => Standing::TooFar,
        })
    }
}

impl Rendition {
    fn seconds(&self) -> f64 {
        self.segments.iter().map(|segment| segment.duration_seconds).sum()
    }
}

/// The peak segment bit rate of a whole media playlist, in bits per second: the highest of any segments in a row that last between half
/// and one and a half target durations (rfc8216bis §4.1). What is shorter than that in all counts as it is.
#[must_use]
pub fn peak_bandwidth(segments: &[Arc<Segment>]) -> u64 {
    let rates: Vec<_> = segments.iter().map(|segment| (segment.bytes, segment.duration_seconds)).collect();
    crate::vod::peak_bandwidth(&rates)
}

/// One media playlist.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Name in the multivariant playlist and stem of the media playlist's file, such as `video` or `audio`: `[a-z0-9-]+`.
    pub name: String,
    /// Picture or sound.
    pub kind: RenditionKind,
    /// RFC 6381 value of the newest init section.
    pub codecs: String,
    /// Pixels, for video.
    pub resolution: Option<(u32, u32)>,
    /// Frames per second, measured, for video.
    pub frame_rate: Option<f64>,
    /// Channel count, for audio.
    pub channels: Option<u32>,
    /// Peak segment bit rate in bits per second, highest seen in the life of the breakout.
    pub peak_bandwidth: u64,
    /// Average segment bit rate in bits per second over the life of the breakout.
    pub average_bandwidth: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` of the first segment.
    pub discontinuity_sequence: u64,
    /// Segments in order, consecutive media sequence numbers.
    pub segments: VecDeque<Arc<Segment>>,
}

/// One published segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// Object name relative to the breakout, such as `video/00000012-k3f9.m4s`; also its URI in the media playlist.
    pub name: String,
    /// Name of the init section that it needs, relative to the breakout.
    pub init: String,
    /// Duration in seconds, exact.
    pub duration_seconds: f64,
    /// Wall-clock time of its first sample, milliseconds since the Unix epoch.
    pub program_date_time_ms: i64,
    /// Whether `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// Whether there is no such object: the number stands for a stretch of time without media (`EXT-X-GAP`, rfc8216bis §4.4.4.7).
    pub gap: bool,
    /// Size of the object in bytes; 0 for a gap.
    pub bytes: u64,
}
