//! What is written beside the segments, so that a restart goes on where the last process ended.
//!
//! The record is written anew with each segment, so it holds little: the live window, and the [`Page`] of what has left the window. A full
//! page becomes an object of its own, which the record counts. So the whole list grows by appending and changes in one step: what
//! a record does not count yet is not there, and is written again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anabranch_hls::timeline::{Progress, Rendition, RenditionKind, Segment, Timeline};
use serde::{Deserialize, Serialize};

use crate::segmenter::Kept;

/// Codecs of a rendition that are remembered: encoders that change more often are shown with the first ones.
const CODECS_MAX: usize = 16;

/// Everything that must survive a `kill -9`: it is durable before a playlist names what it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) ended: bool,
    /// The breakout was taken back before it ran: there is no recording.
    #[serde(default)]
    pub(crate) aborted: bool,
    pub(crate) target_duration_seconds: u32,
    /// Where the next period begins, in milliseconds of the timeline.
    pub(crate) next_origin_ms: i64,
    pub(crate) renditions: Vec<RenditionRecord>,
    #[serde(default)]
    pub(crate) whole: Whole,
    /// Of a timeline that regions share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aligned: Option<Kept>,
    /// Init sections that are named by their content and counted, at most [`INITS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) inits: Vec<String>,
}

/// Init sections that are remembered as counted.
pub(crate) const INITS_MAX: usize = 64;

/// The recording so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Whole {
    /// Pages that are stored, numbered from 0.
    pub(crate) pages: u32,
    /// What comes after them and before the window.
    pub(crate) tail: Page,
    /// Segments of all renditions.
    pub(crate) segments: u64,
    /// Of segments and init sections.
    pub(crate) bytes: u64,
    /// Sum of the first rendition's segments.
    pub(crate) media_seconds: f64,
    /// Wall-clock time at which the newest segment ends, in milliseconds since the Unix epoch.
    pub(crate) until_ms: i64,
    /// Discontinuities after the first segment.
    pub(crate) discontinuities: u64,
    pub(crate) gaps: u32,
    pub(crate) gap_ms: u64,
}

/// A stretch of the recording: segments by rendition, and the gaps that were found meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) renditions: BTreeMap<String, Vec<SegmentRecord>>,
    pub(crate) gaps: Vec<GapRecord>,
}

/// A stretch of time without media.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GapRecord {
    /// Wall-clock time of its start, milliseconds since the Unix epoch.
    pub(crate) wall_ms: i64,
    /// Where it lies in the recording, which has no holes: media before it, in milliseconds.
    pub(crate) media_ms: u64,
    pub(crate) length_ms: u64,
    pub(crate) reason: GapReason,
}

/// Why there was no media. Later ones explain more: of two that meet the later is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The encoder's own time jumped, or its tracks changed.
    StreamChanged,
    /// No encoder was connected.
    EncoderLost,
    /// The server was not running.
    Restart,
    /// Segments could not be written.
    Blocked,
    /// The disk was full.
    DiskFull,
}

impl GapReason {
    /// The one spelling for files and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StreamChanged => "stream_changed",
            Self::EncoderLost => "encoder_lost",
            Self::Restart => "restart",
            Self::Blocked => "blocked",
            Self::DiskFull => "disk_full",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RenditionRecord {
    pub(crate) name: String,
    pub(crate) video: bool,
    pub(crate) codecs: String,
    /// Each value of `codecs` that there was.
    #[serde(default)]
    pub(crate) all_codecs: Vec<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The largest picture that there was.
    #[serde(default)]
    pub(crate) largest: (u32, u32),
    pub(crate) frame_rate: Option<f64>,
    pub(crate) channels: u32,
    pub(crate) next_msn: u64,
    /// Discontinuities before the first segment of all.
    #[serde(default)]
    pub(crate) first_discontinuity: u64,
    /// Discontinuities before the first segment of the window.
    pub(crate) discontinuity_sequence: u64,
    pub(crate) peak_bandwidth: u64,
    pub(crate) total_bytes: u64,
    pub(crate) total_seconds: f64,
    pub(crate) segments: VecDeque<SegmentRecord>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentRecord {
    pub(crate) msn: u64,
    pub(crate) name: String,
    pub(crate) init: String,
    pub(crate) seconds: f64,
    pub(crate) pdt_ms: i64,
    pub(crate) discontinuity: bool,
    /// Of a segment whose live timeline goes on over holes: whether the recording, which has none, is broken before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<bool>,
    /// There is no such segment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gap: bool,
    pub(crate) bytes: u64,
}

impl Record {
    pub(crate) fn timeline(&self, session: u32) -> Timeline {
        Timeline {
            session,
            progress: if self.ended { Progress::Ended } else { Progress::Live },
            target_duration_seconds: self.target_duration_seconds,
            renditions: self.renditions.iter().map(RenditionRecord::rendition).collect(),
        }
    }
}

impl Page {
    /// Segments and gaps in it.
    pub(crate) fn len(&self) -> usize {
        self.renditions.values().map(Vec::len).sum::<usize>() + self.gaps.len()
    }

    /// Adds what comes after.
    pub(crate) fn append(&mut self, later: Self) {
        for (name, mut segments) in later.renditions {
            self.renditions.entry(name).or_default().append(&mut segments);
        }
        self.gaps.extend(later.gaps);
    }
}

impl RenditionRecord {
    pub(crate) fn new(name: &str, video: bool, discontinuities: u64) -> Self {
        Self {
            name: name.to_owned(),
            video,
            codecs: String::new(),
            all_codecs: Vec::new(),
            width: 0,
            height: 0,
            largest: (0, 0),
            frame_rate: None,
            channels: 0,
            next_msn: 0,
            first_discontinuity: discontinuities,
            discontinuity_sequence: discontinuities,
            peak_bandwidth: 0,
            total_bytes: 0,
            total_seconds: 0.0,
            segments: VecDeque::new(),
        }
    }

    /// Notes what its newest segment carries.
    pub(crate) fn describe(&mut self, codecs: &str, (width, height): (u32, u32), channels: u32) {
        codecs.clone_into(&mut self.codecs);
        if !self.all_codecs.iter().any(|known| known == codecs) && self.all_codecs.len() < CODECS_MAX {
            self.all_codecs.push(codecs.to_owned());
        }
        (self.width, self.height) = (width, height);
        if u64::from(width) * u64::from(height) > u64::from(self.largest.0) * u64::from(self.largest.1) {
            self.largest = (width, height);
        }
        self.channels = channels;
    }

    /// Takes in a segment that is durable.
    pub(crate) fn add(&mut self, segment: SegmentRecord) {
        // Very short last segments would claim absurd peaks: their bits count against one second at least.
        self.peak_bandwidth = self.peak_bandwidth.max(bits_per_second(segment.bytes, segment.seconds.max(1.0)));
        self.total_bytes += segment.bytes;
        self.total_seconds += segment.seconds;
        self.next_msn += 1;
        self.segments.push_back(segment);
    }

    pub(crate) fn rendition(&self) -> Rendition {
        Rendition {
            name: self.name.clone(),
            kind: if self.video { RenditionKind::Video } else { RenditionKind::Audio },
            codecs: self.codecs.clone(),
            resolution: (self.width > 0 && self.height > 0).then_some((self.width, self.height)),
            frame_rate: self.frame_rate,
            channels: (self.channels > 0).then_some(self.channels),
            peak_bandwidth: self.peak_bandwidth,
            average_bandwidth: bits_per_second(self.total_bytes, self.total_seconds),
            discontinuity_sequence: self.discontinuity_sequence,
            segments: self.segments.iter().map(|s| Arc::new(s.segment())).collect(),
        }
    }
}

impl SegmentRecord {
    pub(crate) fn segment(&self) -> Segment {
        Segment {
            msn: self.msn,
            name: self.name.clone(),
            init: self.init.clone(),
            duration_seconds: self.seconds,
            program_date_time_ms: self.pdt_ms,
            discontinuity: self.discontinuity,
            gap: self.gap,
            bytes: self.bytes,
        }
    }

    /// The segment as a recording has it.
    pub(crate) fn recorded(&self) -> Segment {
        Segment { discontinuity: self.cut.unwrap_or(self.discontinuity), ..self.segment() }
    }
}

/// Bits per second, rounded up, of `bytes` in `seconds`; 0 when there was no time.
pub(crate) fn bits_per_second(bytes: u64, seconds: f64) -> u64 {
    if seconds <= 0.0 {
        return 0;
    }
    (bytes as f64 * 8.0 / seconds).ceil() as u64
}
