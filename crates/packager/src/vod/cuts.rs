//! Where segments end, in all renditions of an asset.

use anabranch_media::TrackKind;
use anabranch_media::fmp4::rescale;
use serde::{Deserialize, Serialize};

use super::input::Joined;
use super::{Input, Kind, VodError, blocking};

/// How far a rendition may go on after the last segment of the one that decided, in milliseconds: less than what makes a segment longer
/// than its playlist says.
const TAIL_MS: i64 = 400;

/// How far the keyframes of two renditions may be apart because their timescales round differently, in milliseconds.
const ROUNDING_MS: i64 = 2;

/// Where segments end, decided once by one rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts {
    /// Units per second of all times.
    timescale: u32,
    /// Time of the source at which the asset begins.
    origin: i64,
    /// Where segments other than the first begin, counted from the origin, going up.
    at: Vec<i64>,
    /// Seconds that a segment lasts at the most, as playlists say it.
    target_duration_seconds: u32,
}

impl Cuts {
    /// Decides by `reference`: a segment ends at the first keyframe at or after each whole multiple of `target_seconds`. The asset begins
    /// where the reference or one of `others` does first; what is heard before the first picture because an encoder's delay is told by an
    /// edit list is left out.
    ///
    /// `reference` is the first rung of the picture, or the first sound where there is none; `others` are all other tracks that may begin
    /// before it: its sounds. Reads indexes only, no samples.
    ///
    /// # Errors
    /// The files cannot be read or used: see [`VodError`].
    pub async fn decide(
        kind: Kind,
        reference: &Input,
        others: &[(Kind, Input)],
        target_seconds: u32,
    ) -> Result<Self, VodError> {
        let (reference, others) = (reference.clone(), others.to_vec());
        blocking(move || decide(kind, &reference, &others, target_seconds)).await
    }

    /// Time of the source at which the asset begins, in seconds.
    #[must_use]
    pub fn origin_seconds(&self) -> f64 {
        self.origin as f64 / f64::from(self.timescale)
    }

    /// `EXT-X-TARGETDURATION` of all renditions.
    #[must_use]
    pub fn target_duration_seconds(&self) -> u32 {
        self.target_duration_seconds
    }

    /// Segments that the reference has.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.at.len() + 1
    }

    /// The origin in another timescale.
    pub(super) fn origin(&self, timescale: u32) -> i64 {
        rescale(self.origin, self.timescale, timescale)
    }

    /// How many cuts are at or before a time, or so little after it that it is for rounding if `is_picture`. Past the last one they go on
    /// at even distances.
    pub(super) fn before(&self, time: i64, timescale: u32, is_picture: bool) -> u64 {
        self.count(self.own(time, timescale) + if is_picture { self.rounding() } else { 0 })
    }

    /// Whether the segment that begins at this time has its cut there, or lies where there are none any more.
    pub(super) fn is_at(&self, time: i64, timescale: u32) -> bool {
        let (time, rounding) = (self.own(time, timescale), self.rounding());
        let count = self.count(time + rounding);
        count > self.at.len() as u64 || self.count(time - rounding - 1) == count.saturating_sub(1)
    }

    fn own(&self, time: i64, timescale: u32) -> i128 {
        (i128::from(time) * i128::from(self.timescale)).div_euclid(timescale.max(1).into())
    }

    fn rounding(&self) -> i128 {
        i128::from(self.timescale) * i128::from(ROUNDING_MS) / 1000
    }

    fn count(&self, time: i128) -> u64 {
        let last = i128::from(self.at.last().copied().unwrap_or(0));
        let longest_ms = i128::from(self.target_duration_seconds) * 1000 + i128::from(TAIL_MS);
        let step = i128::from(self.timescale) * longest_ms / 1000;
        if time > last {
            return self.at.len() as u64 + u64::try_from((time - last) / step.max(1)).unwrap_or(u64::MAX);
        }
        self.at.partition_point(|at| i128::from(*at) <= time) as u64
    }
}

fn decide(kind: Kind, reference: &Input, others: &[(Kind, Input)], target_seconds: u32) -> Result<Cuts, VodError> {
    let mut track = Joined::open(reference, kind, None)?;
    let timescale = track.timescale();
    let nothing = || VodError::Empty { name: "reference".to_owned() };
    let first = track.peek()?.map(|sample| sample.pts).ok_or_else(nothing)?;
    let mut origin = first;
    for (kind, input) in others {
        let mut other = Joined::open(input, *kind, None)?;
        let scale = other.timescale();
        if let Some(sample) = other.peek()? {
            origin = origin.min(rescale(sample.pts, scale, timescale).max(first.min(0)));
        }
    }
    let target = i64::from(target_seconds.max(1)).saturating_mul(timescale.into());
    let mut cuts = Cuts { timescale, origin, at: Vec::new(), target_duration_seconds: target_seconds.max(1) };
    let (mut goal, mut start, mut longest, mut end) = (target, first.saturating_sub(origin), 0, 0);
    while let Some(sample) = track.next()? {
        let pts = sample.pts.saturating_sub(origin);
        if pts >= goal && (sample.keyframe || track.kind() == TrackKind::Audio) {
            cuts.at.push(pts);
            longest = longest.max(pts - start);
            start = pts;
            goal = (pts / target + 1).saturating_mul(target);
        }
        end = end.max(pts.saturating_add(sample.duration));
    }
    longest = longest.max(end.saturating_sub(start));
    let seconds = u32::try_from(rescale(longest, timescale, 1)).unwrap_or(u32::MAX);
    cuts.target_duration_seconds = cuts.target_duration_seconds.max(seconds);
    Ok(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(at: &[i64]) -> Cuts {
        Cuts { timescale: 1000, origin: 0, at: at.to_vec(), target_duration_seconds: 6 }
    }

    #[test]
    fn counts_of_cuts() {
        let cuts = cuts(&[6000, 12_000]);
        let counts = [0, 5997, 5998, 6000, 11_000, 12_000, 18_390, 18_400].map(|ms| cuts.before(ms, 1000, true));
        assert_eq!(counts, [0, 0, 1, 1, 1, 2, 2, 3]);
        assert_eq!(cuts.before(5999, 1000, false), 0);
        assert_eq!(cuts.before(540_000, 90_000, false), 1);
        assert_eq!(cuts.before(i64::MIN, 1, false), 0);
        assert!(cuts.before(i64::MAX, 1, true) > 1 << 40);
        assert_eq!([5998, 6001, 6010, 13_000, 19_000].map(|ms| cuts.is_at(ms, 1000)), [true, true, false, false, true]);
    }
}
