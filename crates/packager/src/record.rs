//! What is written beside the segments, so that a restart goes on where the last process ended.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_hls::timeline::{Progress, Rendition, RenditionKind, Segment, Timeline};
use serde::{Deserialize, Serialize};

/// Everything that must survive a `kill -9`: it is durable before a playlist names what it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) ended: bool,
    pub(crate) target_duration_seconds: u32,
    /// Where the next period begins, in milliseconds of the timeline.
    pub(crate) next_origin_ms: i64,
    pub(crate) renditions: Vec<RenditionRecord>,
    /// Objects that no playlist names any more, and when they may go (Unix milliseconds).
    pub(crate) retired: VecDeque<Retired>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Retired {
    pub(crate) name: String,
    pub(crate) after_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RenditionRecord {
    pub(crate) name: String,
    pub(crate) video: bool,
    pub(crate) codecs: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frame_rate: Option<f64>,
    pub(crate) channels: u32,
    pub(crate) next_msn: u64,
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
    pub(crate) bytes: u64,
}

impl Record {
    pub(crate) fn timeline(&self) -> Timeline {
        Timeline {
            progress: if self.ended { Progress::Ended } else { Progress::Live },
            target_duration_seconds: self.target_duration_seconds,
            renditions: self.renditions.iter().map(RenditionRecord::rendition).collect(),
        }
    }
}

impl RenditionRecord {
    fn rendition(&self) -> Rendition {
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
    fn segment(&self) -> Segment {
        Segment {
            msn: self.msn,
            name: self.name.clone(),
            init: self.init.clone(),
            duration_seconds: self.seconds,
            program_date_time_ms: self.pdt_ms,
            discontinuity: self.discontinuity,
            bytes: self.bytes,
        }
    }
}

/// Bits per second, rounded up, of `bytes` in `seconds`; 0 when there was no time.
pub(crate) fn bits_per_second(bytes: u64, seconds: f64) -> u64 {
    if seconds <= 0.0 {
        return 0;
    }
    (bytes as f64 * 8.0 / seconds).ceil() as u64
}
