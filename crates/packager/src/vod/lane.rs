//! Samples of a track by segments.

use anabranch_media::TrackKind;
use anabranch_media::fmp4::MAX_SEGMENT_SAMPLES;

use super::input::{Joined, Placed};
use super::{Cuts, Input, Kind, LARGEST_SEGMENT_BYTES, VodError};

/// A track on its way into segments.
pub(super) struct Lane {
    name: String,
    track: Joined,
    cuts: Cuts,
    /// How many cuts are behind.
    passed: u64,
    /// Segments that do not begin at the cut that they should.
    pub(super) misaligned: u32,
}

impl Lane {
    pub(super) fn open(name: &str, input: &Input, kind: Kind, cuts: &Cuts) -> Result<Self, VodError> {
        let track = Joined::open(input, kind, Some(cuts))?;
        Ok(Self { name: name.to_owned(), track, cuts: cuts.clone(), passed: 0, misaligned: 0 })
    }

    pub(super) fn track(&self) -> &Joined {
        &self.track
    }

    /// How many cuts are behind.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Where the next segment begins; `None` at the end.
    pub(super) fn next_start(&mut self) -> Result<Option<i64>, VodError> {
        Ok(self.track.peek()?.map(|sample| sample.pts))
    }

    /// The samples up to where the next segment begins; none at the end.
    pub(super) fn segment(&mut self) -> Result<Vec<Placed>, VodError> {
        let (is_picture, timescale) = (self.track.kind() == TrackKind::Video, self.track.timescale());
        let mut samples = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.track.peek()? {
            if !is_picture || next.keyframe {
                let passed = self.cuts.before(next.pts, timescale, is_picture);
                let is_start = passed > self.passed;
                if is_start && is_picture && !samples.is_empty() && !self.cuts.is_at(next.pts, timescale) {
                    self.misaligned += 1;
                }
                self.passed = self.passed.max(passed);
                if is_start && !samples.is_empty() {
                    break;
                }
            }
            self.take(&mut samples, &mut bytes)?;
        }
        Ok(samples)
    }

    /// The samples before the cut of this number, counted from 1.
    pub(super) fn before_cut(&mut self, number: u64) -> Result<Vec<Placed>, VodError> {
        let timescale = self.track.timescale();
        let mut samples = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.track.peek()? {
            if self.cuts.before(next.pts, timescale, false) >= number {
                break;
            }
            self.take(&mut samples, &mut bytes)?;
        }
        self.passed = self.passed.max(number);
        Ok(samples)
    }

    fn take(&mut self, samples: &mut Vec<Placed>, bytes: &mut u64) -> Result<(), VodError> {
        if let Some(sample) = self.track.next()? {
            *bytes += u64::from(sample.size);
            if *bytes > LARGEST_SEGMENT_BYTES || samples.len() >= MAX_SEGMENT_SAMPLES {
                return Err(VodError::SegmentSize { name: self.name.clone(), bytes: *bytes });
            }
            samples.push(sample);
        }
        Ok(())
    }
}

/// Where the last of some samples ends to be shown.
pub(super) fn end(samples: &[Placed]) -> i64 {
    samples.iter().map(|sample| sample.pts.saturating_add(sample.duration)).max().unwrap_or(0)
}

/// By how much the pictures of an input are decoded ahead of being shown, in units of their timescale. Reads indexes only.
pub(super) fn delay(input: &Input, cuts: &Cuts) -> Result<i64, VodError> {
    let mut track = Joined::open(input, Kind::Video, Some(cuts))?;
    let mut delay = 0;
    while let Some(sample) = track.next()? {
        delay = delay.max(sample.dts.saturating_sub(sample.pts));
    }
    Ok(delay)
}
