//! MPEG-TS segments: a picture with a sound, or a sound.

use anabranch_media::fmp4::rescale;
use anabranch_media::ts::{TIMESCALE, Writer};
use bytes::Bytes;

use super::body::{Body, KEYFRAME_DISTANCE_MS, Keyframe};
use super::input::{Joined, Placed, read_each};
use super::{START_SECONDS, VodError};

/// Frames of sound in one PES packet at the most, and their bytes: less head for the same sound, and no more than 0.2 s of it at once.
const FRAMES: usize = 8;
const FRAME_BYTES: usize = 2800;

/// Writes segments.
pub(super) struct Transport {
    writer: Writer,
    /// By how much pictures are decoded ahead, in units of their timescale.
    delay: i64,
}

/// Samples of one track for one segment.
pub(super) struct Share<'a> {
    pub(super) samples: &'a [Placed],
    pub(super) timescale: u32,
}

impl Share<'_> {
    fn time(&self, time: i64) -> i64 {
        rescale(time, self.timescale, TIMESCALE).saturating_add(START_SECONDS * i64::from(TIMESCALE))
    }
}

impl Transport {
    pub(super) fn new(video: Option<&Joined>, audio: Option<&Joined>, delay: i64) -> Result<Self, VodError> {
        Ok(Self { writer: Writer::new(video.map(Joined::track), audio.map(Joined::track))?, delay })
    }

    /// A segment; one of the shares has samples.
    pub(super) fn segment(&mut self, video: Option<Share<'_>>, audio: Option<Share<'_>>) -> Result<Body, VodError> {
        let mut out = Vec::new();
        let mut keyframes = Vec::new();
        let mut sound = match audio {
            Some(share) => Some(SoundQueue { data: read_each(share.samples)?, share, next: 0 }),
            None => None,
        };
        if let Some(video) = video.filter(|video| !video.samples.is_empty()) {
            let data = read_each(video.samples)?;
            let distance = i64::from(video.timescale) * KEYFRAME_DISTANCE_MS / 1000;
            let mut last: Option<i64> = None;
            for (sample, data) in video.samples.iter().zip(&data) {
                let pts = video.time(sample.pts);
                let dts = video.time(sample.dts.saturating_sub(self.delay)).min(pts);
                // The keyframe that a segment begins with comes before all sound, so that it is one range.
                if let (Some(sound), false) = (&mut sound, out.is_empty()) {
                    sound.write_until(dts, &mut self.writer, &mut out)?;
                }
                let is_mark = sample.keyframe && last.is_none_or(|last| sample.pts - last >= distance);
                let from = out.len() as u64;
                if is_mark || out.is_empty() {
                    self.writer.begin(&mut out);
                }
                self.writer.video(dts, pts, sample.keyframe, data, &mut out)?;
                if is_mark {
                    last = Some(sample.pts);
                    keyframes.push(Keyframe { pts: sample.pts, offset: from, bytes: out.len() as u64 - from });
                }
            }
        } else {
            self.writer.begin(&mut out);
        }
        if let Some(sound) = &mut sound {
            sound.write_until(i64::MAX, &mut self.writer, &mut out)?;
        }
        let mut body = Body { keyframes, ..Body::default() };
        body.push(Bytes::from(out));
        Ok(body)
    }
}

/// Frames of sound that wait for their place between the pictures.
struct SoundQueue<'a> {
    share: Share<'a>,
    data: Vec<Bytes>,
    next: usize,
}

impl SoundQueue<'_> {
    /// Writes what is heard before `time`.
    fn write_until(&mut self, time: i64, writer: &mut Writer, out: &mut Vec<u8>) -> Result<(), VodError> {
        loop {
            let waiting = &self.share.samples[self.next..];
            let Some(first) = waiting.first() else { return Ok(()) };
            let pts = self.share.time(first.pts);
            if pts >= time {
                return Ok(());
            }
            let mut bytes = 0;
            let fits = |sample: &&Placed| {
                bytes += sample.size as usize;
                bytes <= FRAME_BYTES
            };
            let count = waiting.iter().take(FRAMES).take_while(fits).count().max(1);
            let frames = self.data[self.next..self.next + count].iter().map(AsRef::as_ref);
            writer.audio(pts, frames, out)?;
            self.next += count;
        }
    }
}
