//! One track on its way into segments: samples in, runs of CMAF samples out.
//!
//! Media time of a timeline is continuous in the life of a breakout, whatever encoders do: a lane maps the session's clock
//! onto it; the timeline of an aligned breakout is the wall clock itself. Video keeps its timestamps, in 1/90000 s. Sound is
//! counted in its own samples, so that frames join without a gap; it follows the encoder's clock only when it drifts by more
//! than [`DRIFT_LIMIT_MS`].

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use media::fmp4::{FragmentSample, rescale};
use media::{Sample, Track, TrackKind};

use anabranch_model::SoundMark;

use anabranch_media as media;

/// Timescale of video renditions.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// How far sound may drift from the encoder's clock before it is moved, in milliseconds.
const DRIFT_LIMIT_MS: i64 = 100;

/// Silence that fills one gap at the most, in milliseconds; a longer hole is a discontinuity of the encoder's making.
const SILENCE_LIMIT_MS: i64 = 30_000;

/// A sample with its place on the timeline.
#[derive(Clone, Debug)]
struct Placed {
    /// Decoding time in units of the lane's timescale.
    dts: i64,
    composition_offset: i64,
    keyframe: bool,
    /// Time that the encoder told, in milliseconds of the timeline.
    told_ms: i64,
    data: Bytes,
}

/// Samples of one rendition for one segment.
#[derive(Debug)]
pub struct Run {
    /// Decoding time of the first sample, in the lane's timescale.
    pub base_decode_time: u64,
    /// The time of the first sample as the encoder told it, in milliseconds of the timeline.
    pub told_ms: i64,
    /// Sizes, durations and offsets, in order.
    pub samples: Vec<FragmentSample>,
    /// Coded bytes, in order.
    pub data: Vec<Bytes>,
    /// Duration in seconds.
    pub duration_seconds: f64,
    /// Bytes of all samples.
    pub bytes: u64,
}

/// Where sound ends on a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundEnd {
    /// In samples.
    pub units: i64,
    /// Samples a second.
    pub rate: u32,
    /// Samples of a frame.
    pub frame_samples: u32,
}

/// A track's samples that are not in a segment yet.
#[derive(Debug)]
pub struct Lane {
    track: Arc<Track>,
    timescale: u32,
    /// Session time, in milliseconds, that lies at `origin_ms` of the timeline.
    session_start_ms: i64,
    origin_ms: i64,
    /// Of a lane whose timeline is the wall clock: what is added to session time. The place of a sample then is a function of this sum
    /// alone, whatever the session's own zero is.
    locked_offset_ms: Option<i64>,
    /// Sound that the first frame joins in whole frames.
    joins: Option<SoundMark>,
    pending: VecDeque<Placed>,
    pending_bytes: u64,
    /// Where the next sound frame belongs, in the lane's timescale.
    expected: Option<i64>,
    /// No frame has come since the lane was made to go on where another has ended.
    follows: bool,
    last_duration: i64,
}

impl Lane {
    /// A lane whose session time `session_start_ms` lies at `origin_ms` of the timeline.
    #[must_use]
    pub fn new(track: Arc<Track>, session_start_ms: i64, origin_ms: i64) -> Self {
        let timescale = match track.kind {
            TrackKind::Video => VIDEO_TIMESCALE,
            TrackKind::Audio => track.sample_rate.max(1),
        };
        let nominal = if track.frame_samples > 0 { i64::from(track.frame_samples) } else { i64::from(timescale) / 30 };
        Self {
            track,
            timescale,
            session_start_ms,
            origin_ms,
            locked_offset_ms: None,
            joins: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            expected: None,
            follows: false,
            last_duration: nominal,
        }
    }

    /// A lane of nothing but silence until sound arrives; `None` when the codec has no silent frame.
    #[must_use]
    pub fn silent(track: Arc<Track>, session_start_ms: i64, origin_ms: i64) -> Option<Self> {
        media::silence::silent_frame(&track)?;
        let mut lane = Self::new(track, session_start_ms, origin_ms);
        lane.expected = Some(rescale(origin_ms, 1000, lane.timescale));
        Some(lane)
    }

    /// A lane on which session time plus `offset_ms` is the time since the Unix epoch. The first frame of sound lies at `first` (lane
    /// timescale), if that is known.
    #[must_use]
    pub fn locked(track: Arc<Track>, offset_ms: i64, first: Option<i64>) -> Self {
        let mut lane = Self::new(track, 0, 0);
        lane.locked_offset_ms = Some(offset_ms);
        lane.expected = first;
        lane
    }

    /// The same with sound that joins the frame at `mark` in whole frames, whatever rounding the encoder's times have.
    #[must_use]
    pub fn joining(mut self, mark: Option<SoundMark>) -> Self {
        self.joins = mark;
        self
    }

    /// The same with sound that goes on where that of the lane before has ended, if the two meet: a hole of less than a frame on either
    /// side of a switch would be one of nearly two, over which players stumble.
    #[must_use]
    pub fn following(mut self, before: Option<SoundEnd>) -> Self {
        let limit = rescale(DRIFT_LIMIT_MS, 1000, self.timescale);
        let origin = rescale(self.origin_ms, 1000, self.timescale);
        let meets = |end: &SoundEnd| {
            (end.rate, end.frame_samples) == (self.timescale, self.track.frame_samples)
                && (end.units - origin).abs() <= limit
        };
        if let Some(end) = before.filter(meets) {
            self.expected = Some(end.units);
            self.follows = true;
        }
        self
    }

    /// Where the sound of this lane ends.
    #[must_use]
    pub fn sound_end(&self) -> Option<SoundEnd> {
        let (rate, frame_samples) = (self.timescale, self.track.frame_samples);
        let is_sound = self.track.kind == TrackKind::Audio && frame_samples > 0;
        self.expected.filter(|_| is_sound).map(|units| SoundEnd { units, rate, frame_samples })
    }

    /// How long before the session time at which it begins a frame may begin that is taken, in milliseconds.
    #[must_use]
    pub fn lead_in_ms(&self) -> i64 {
        if self.follows { rescale(i64::from(self.track.frame_samples), self.timescale, 1000) } else { 0 }
    }

    /// The track that this lane carries.
    #[must_use]
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Units per second of the lane's times.
    #[must_use]
    pub fn timescale(&self) -> u32 {
        self.timescale
    }

    /// Bytes that wait for a segment.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Decoding time of the newest waiting sample, in milliseconds of the timeline.
    #[must_use]
    pub fn newest_ms(&self) -> Option<i64> {
        self.pending.back().map(|placed| self.to_ms(placed.dts))
    }

    /// The first waiting sample that begins at `ms` of the timeline or later.
    #[must_use]
    pub fn mark_from(&self, ms: i64) -> Option<SoundMark> {
        let at = self.pending.partition_point(|placed| self.to_ms(placed.dts) < ms);
        let placed = self.pending.get(at)?;
        Some(SoundMark { told_ms: placed.told_ms, units: placed.dts, rate: self.timescale })
    }

    /// Takes a sample. Returns its decoding time in milliseconds of the timeline, or `None` when it was dropped because it
    /// lies before what was already taken.
    pub fn push(&mut self, sample: Sample) -> Option<i64> {
        let placed = self.place(&sample);
        let told_ms = self.to_ms(placed);
        let dts = match self.track.kind {
            TrackKind::Video => self.place_video(placed),
            TrackKind::Audio => self.place_audio(placed)?,
        };
        let offset = rescale(sample.pts - sample.dts, self.track.timescale, self.timescale);
        self.pending_bytes += sample.data.len() as u64;
        self.pending.push_back(Placed {
            dts,
            composition_offset: offset,
            keyframe: sample.keyframe,
            told_ms,
            data: sample.data,
        });
        Some(self.to_ms(dts))
    }

    fn place(&self, sample: &Sample) -> i64 {
        if let Some(offset_ms) = self.locked_offset_ms {
            let offset = rescale(offset_ms, 1000, self.track.timescale);
            return rescale(sample.dts.saturating_add(offset), self.track.timescale, self.timescale);
        }
        let start = rescale(self.session_start_ms, 1000, self.timescale);
        let origin = rescale(self.origin_ms, 1000, self.timescale);
        rescale(sample.dts, self.track.timescale, self.timescale) - start + origin
    }

    fn place_video(&mut self, dts: i64) -> i64 {
        // Decoding times must go up; an encoder that repeats one gets the smallest step.
        let dts = self.pending.back().map_or(dts, |last| dts.max(last.dts + 1));
        if let Some(last) = self.pending.back() {
            self.last_duration = dts - last.dts;
        }
        dts
    }

    fn place_audio(&mut self, dts: i64) -> Option<i64> {
        let frame = i64::from(self.track.frame_samples);
        let (Some(expected), true) = (self.expected, frame > 0) else {
            let at = self.joins.filter(|_| frame > 0).map_or(dts, |mark| {
                let passed = dts.saturating_sub(rescale(mark.told_ms, 1000, self.timescale));
                mark.units.saturating_add((passed + frame / 2).div_euclid(frame) * frame)
            });
            self.expected = Some(at + frame.max(1));
            return Some(at);
        };
        // The first frame after another lane's last is not yet joined to anything: it comes as near to its own time as whole frames do.
        let (limit, nearest) = match self.follows {
            true => (frame / 2, frame / 2),
            false => (rescale(DRIFT_LIMIT_MS, 1000, self.timescale).max(2 * frame), 0),
        };
        let drift = dts - expected;
        if drift < -limit {
            return None;
        }
        if drift > limit {
            self.fill_with_silence(dts + nearest);
        }
        self.follows = false;
        let at = self.expected.unwrap_or(dts);
        self.expected = Some(at + frame);
        Some(at)
    }

    /// Puts silent frames up to `until` (lane timescale). Returns whether the codec has a silent frame.
    pub fn fill_with_silence(&mut self, until: i64) -> bool {
        let frame = i64::from(self.track.frame_samples);
        let (Some(mut at), Some(silent)) = (self.expected, media::silence::silent_frame(&self.track)) else {
            return false;
        };
        if frame == 0 {
            return false;
        }
        let most = rescale(SILENCE_LIMIT_MS, 1000, self.timescale);
        if until - at > most {
            at = until - most;
        }
        while at + frame <= until {
            self.pending_bytes += silent.len() as u64;
            let (told_ms, data) = (self.to_ms(at), silent.clone());
            self.pending.push_back(Placed { dts: at, composition_offset: 0, keyframe: true, told_ms, data });
            at += frame;
        }
        self.expected = Some(at);
        true
    }

    /// Fills sound with silence up to `ms` of the timeline.
    pub fn fill_with_silence_until_ms(&mut self, ms: i64) -> bool {
        self.fill_with_silence(rescale(ms, 1000, self.timescale))
    }

    /// Takes the samples that begin before `ms` of the timeline (all of them for `None`); `None` when there are none.
    pub fn cut(&mut self, before_ms: Option<i64>) -> Option<Run> {
        let count = match before_ms {
            None => self.pending.len(),
            Some(ms) => self.pending.iter().take_while(|placed| self.to_ms(placed.dts) < ms).count(),
        };
        if count == 0 {
            return None;
        }
        let end = self.end_of(count);
        let mut run = Run {
            base_decode_time: u64::try_from(self.pending[0].dts).unwrap_or(0),
            told_ms: self.pending[0].told_ms,
            samples: Vec::with_capacity(count),
            data: Vec::with_capacity(count),
            duration_seconds: 0.0,
            bytes: 0,
        };
        run.duration_seconds = (end - self.pending[0].dts) as f64 / f64::from(self.timescale);
        for _ in 0..count {
            let Some(placed) = self.pending.pop_front() else { break };
            let next = if run.samples.len() + 1 == count { end } else { self.pending[0].dts };
            run.bytes += placed.data.len() as u64;
            run.samples.push(FragmentSample {
                size: u32::try_from(placed.data.len()).unwrap_or(u32::MAX),
                duration: u32::try_from(next - placed.dts).unwrap_or(0),
                composition_offset: i32::try_from(placed.composition_offset).unwrap_or(i32::MAX),
                keyframe: placed.keyframe,
            });
            run.data.push(placed.data);
        }
        self.pending_bytes -= run.bytes;
        Some(run)
    }

    /// Where sample `count - 1` ends.
    fn end_of(&self, count: usize) -> i64 {
        match self.pending.get(count) {
            Some(next) => next.dts,
            None => self.pending[count - 1].dts + self.last_duration,
        }
    }

    fn to_ms(&self, units: i64) -> i64 {
        rescale(units, self.timescale, 1000)
    }
}
