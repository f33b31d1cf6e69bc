//! CMAF segments of one track.
//!
//! Each group of pictures is two fragments, the keyframe and the rest. So the range of a keyframe in an I-frame playlist is a whole fragment
//! that any player and tool can read by itself; it costs about 120 bytes a group.

use std::sync::Arc;

use anabranch_media::fmp4::{FragmentSample, SEGMENT_TYPE_BYTES, fragment_head, segment_head};
use anabranch_media::{Track, TrackKind};
use bytes::Bytes;

use super::body::{Body, KEYFRAME_DISTANCE_MS, Keyframe};
use super::input::{Placed, read};
use super::{START_SECONDS, VodError};

/// Writes segments.
pub(super) struct Cmaf {
    track: Arc<Track>,
    /// By how much pictures are decoded ahead, in units of the track's timescale.
    delay: i64,
    sequence: u32,
}

impl Cmaf {
    pub(super) fn new(track: Arc<Track>, delay: i64) -> Self {
        Self { track, delay, sequence: 0 }
    }

    /// A segment of samples, of which there is at least one.
    pub(super) fn segment(&mut self, samples: &[Placed]) -> Result<Body, VodError> {
        let mut body = Body::default();
        if self.track.kind == TrackKind::Audio {
            self.fragment(samples, &mut body)?;
            return Ok(body);
        }
        let distance = i64::from(self.track.timescale) * KEYFRAME_DISTANCE_MS / 1000;
        let mut rest = samples;
        while let Some((first, others)) = rest.split_first() {
            let is_next = |sample: &Placed| sample.keyframe && sample.pts - first.pts >= distance;
            let (group, later) = rest.split_at(1 + others.iter().position(is_next).unwrap_or(others.len()));
            let from = if body.bytes == 0 { SEGMENT_TYPE_BYTES as u64 } else { body.bytes };
            self.fragment(&group[..1], &mut body)?;
            if first.keyframe {
                body.keyframes.push(Keyframe { pts: first.pts, offset: from, bytes: body.bytes - from });
            }
            if group.len() > 1 {
                self.fragment(&group[1..], &mut body)?;
            }
            rest = later;
        }
        Ok(body)
    }

    fn fragment(&mut self, samples: &[Placed], body: &mut Body) -> Result<(), VodError> {
        self.sequence = self.sequence.wrapping_add(1);
        let listed: Vec<FragmentSample> = samples.iter().map(|sample| self.listed(sample)).collect();
        let write = if body.bytes == 0 { segment_head } else { fragment_head };
        let start = START_SECONDS * i64::from(self.track.timescale) - self.delay;
        let base = u64::try_from(samples[0].dts.saturating_add(start)).unwrap_or(0);
        body.push(Bytes::from(write(self.sequence, base, &listed, &self.track)?));
        for piece in read(samples)? {
            body.push(piece);
        }
        Ok(())
    }

    fn listed(&self, sample: &Placed) -> FragmentSample {
        let offset = sample.pts.saturating_sub(sample.dts).saturating_add(self.delay);
        FragmentSample {
            size: sample.size,
            duration: u32::try_from(sample.duration).unwrap_or(0),
            composition_offset: i32::try_from(offset).unwrap_or(0),
            keyframe: sample.keyframe,
        }
    }
}
