//! Where segments begin and end. No I/O: events in, closed segments out.
//!
//! A *period* is a stretch with the same tracks and unbroken time. It begins with a short preroll that shows which tracks
//! there are; a new encoder session, a jump of time, a changed codec or a track that comes or goes begins another. Within a
//! period segments are cut at video keyframes (at any frame for sound alone), all renditions at the same time.
//!
//! The timeline of an [aligned](Segmenter::aligned) breakout is the wall clock. It is divided into slots as long as the segment
//! target; a segment begins with the first keyframe of a slot and has the slot's number.

mod aligned;

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_hls::timeline::{FRAME_TOLERANCE_SECONDS, seconds_to_play};
use anabranch_media::fmp4::rescale;
use anabranch_media::silence::silent_frame;
use anabranch_media::{Event, Sample, Track, TrackKind};
use anabranch_model::{AlignedSpec, Anchors};

use crate::digest;
use crate::lane::{Lane, Run, SoundEnd};
use aligned::{Alignment, Start, Waiting};

pub use aligned::{Clock, Kept, Seat};

/// Media that is awaited before a period with only one of two possible tracks begins, in milliseconds.
const PREROLL_MS: i64 = 1_000;

/// Samples kept in preroll at the most.
const PREROLL_SAMPLES: usize = 2_000;

/// How long a cut waits for sound that lags behind video, in milliseconds of media.
const AUDIO_WAIT_MS: i64 = 3_000;

/// How far sound may run ahead of video that stopped before the period ends, in milliseconds.
const VIDEO_WAIT_MS: i64 = 10_000;

/// Longest segment when no keyframe comes, in milliseconds.
const LONGEST_SEGMENT_MS: i64 = 30_000;

/// Most bytes of one segment.
const LARGEST_SEGMENT: u64 = 96 * 1024 * 1024;

/// At the beginning of a period segments may be this short, so that playback begins, or goes on, soon. In milliseconds.
const SHORT_SEGMENT_MS: i64 = 2_000;

/// How much earlier than wanted a keyframe may come that ends such a segment, in milliseconds: encoders round their times.
const KEYFRAME_EARLY_MS: i64 = 5;

/// Wall-clock times of a period that would begin this much before the end of the one before it are moved behind it: encoders
/// that take over from each other differ by their way here. A larger step back is a clock that was set. In milliseconds.
const WALL_OVERLAP_MS: i64 = 2_000;

/// How much before a mark of sound its frame may have been told, in milliseconds: by less than the shortest frame.
const SOUND_MARK_MS: i64 = 2;

/// EXTINF may exceed the target by less than half a second, because it is rounded when compared (RFC 8216 §4.3.3.1).
const TARGET_TOLERANCE_MS: i64 = 499;

/// One rendition's share of a segment.
#[derive(Debug)]
pub struct Part {
    /// Track it was coded from.
    pub track: Arc<Track>,
    /// Timescale of the run.
    pub timescale: u32,
    /// Its samples.
    pub run: Run,
}

/// A closed segment: the same stretch of time of every rendition.
#[derive(Debug)]
pub struct Closed {
    /// Whether it begins a period. Never of one with a seat: its times go on.
    pub discontinuity: bool,
    /// Its place on the timeline that regions share, if there is one.
    pub seat: Option<Seat>,
    /// Start on the timeline, in milliseconds.
    pub start_ms: i64,
    /// Wall-clock time of its start, milliseconds since the Unix epoch.
    pub program_date_time_ms: i64,
    /// Video first.
    pub parts: Vec<Part>,
}

/// The state of one breakout's cutting.
#[derive(Debug)]
pub struct Segmenter {
    target_ms: i64,
    tracks: [Option<Arc<Track>>; 2],
    state: State,
    /// Sound of an earlier period: a period without sound carries silence in its place, so that players go on.
    sound: Option<Arc<Track>>,
    /// Where the next period begins on the timeline.
    next_origin_ms: i64,
    /// Where the sound of the period before ends.
    sound_end: Option<SoundEnd>,
    /// Wall-clock time at the end of the period before.
    wall_end_ms: Option<i64>,
    alignment: Option<Box<Alignment>>,
}

#[derive(Debug)]
enum State {
    Preroll(Preroll),
    Open(Period),
}

#[derive(Debug, Default)]
struct Preroll {
    samples: Vec<Sample>,
    /// Of an aligned breakout: since when a period could begin, and the least of wall clock minus session time.
    since_ms: Option<i64>,
    offset_ms: Option<i64>,
    /// Digests of samples that can be known again, with their session times.
    keys: Vec<(TrackKind, i64, String)>,
}

#[derive(Debug)]
struct Period {
    lanes: Vec<Lane>,
    origin_ms: i64,
    wall_ms: i64,
    segment_start_ms: i64,
    end_ms: i64,
    segments: u32,
    last_keyframe_ms: Option<i64>,
    keyframe_interval_ms: i64,
    /// Cuts that wait for sound, oldest first.
    cuts: VecDeque<i64>,
    /// Length of a slot of an aligned breakout.
    slot_ms: Option<i64>,
}

/// Whether a period can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Broken,
}

fn slot(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

fn sample_ms(sample: &Sample, track: &Track) -> i64 {
    rescale(sample.dts, track.timescale, 1000)
}

impl Segmenter {
    /// Cuts near `target_seconds`; the timeline goes on at `next_origin_ms`.
    #[must_use]
    pub fn new(target_seconds: u32, next_origin_ms: i64) -> Self {
        Self {
            target_ms: i64::from(target_seconds) * 1000,
            tracks: [None, None],
            state: State::Preroll(Preroll::default()),
            sound: None,
            next_origin_ms,
            sound_end: None,
            wall_end_ms: None,
            alignment: None,
        }
    }

    /// Cuts as every region does that carries the stream. `kept` is what was kept of the timeline, whose target holds if there is any.
    #[must_use]
    pub fn aligned(target_seconds: u32, spec: AlignedSpec, kept: Kept) -> Self {
        let plain = Self::new(target_seconds, kept.until_ms);
        let alignment = Alignment::new(spec, plain.target_ms, kept);
        Self { target_ms: alignment.target_ms(), alignment: Some(Box::new(alignment)), ..plain }
    }

    /// Takes in what peers say, each region's newest word. Nothing unless it is aligned.
    pub fn hear(&mut self, heard: Arc<Vec<Anchors>>) {
        if let Some(alignment) = &mut self.alignment {
            alignment.hear(heard);
        }
    }

    /// What peers are to be told, if it has changed since the last call. Nothing unless it is aligned.
    pub fn told(&mut self) -> Option<Anchors> {
        self.alignment.as_mut()?.told()
    }

    /// Takes one event; `now_ms` is the wall clock when it came. Closed segments are added to `out`.
    pub fn push(&mut self, event: Event, now_ms: i64, out: &mut Vec<Closed>) {
        match event {
            Event::Track(track) => self.set_track(track, out),
            Event::Discontinuity => {
                self.end_period(out);
                if let Some(alignment) = &mut self.alignment {
                    alignment.end_session();
                }
            }
            Event::Sample(sample) => self.push_sample(sample, now_ms, out),
        }
    }

    /// Closes what is open: the session ended or the breakout stops. The next sample begins a new period.
    pub fn end_period(&mut self, out: &mut Vec<Closed>) {
        let ended = std::mem::replace(&mut self.state, State::Preroll(Preroll::default()));
        if let State::Open(mut period) = ended {
            let mut closed = Vec::new();
            period.close(None, &mut closed);
            self.hand_on(closed, out);
            self.sound_end = period.lane(TrackKind::Audio).and_then(Lane::sound_end);
            self.wall_end_ms = Some(period.wall_ms + (period.end_ms - period.origin_ms));
            self.next_origin_ms = period.end_ms.max(self.next_origin_ms);
        }
    }

    /// Forgets the tracks of the session that ended.
    pub fn end_session(&mut self, out: &mut Vec<Closed>) {
        self.end_period(out);
        self.tracks = [None, None];
        if let Some(alignment) = &mut self.alignment {
            alignment.end_session();
        }
    }

    fn hand_on(&mut self, closed: Vec<Closed>, out: &mut Vec<Closed>) {
        match &mut self.alignment {
            None => out.extend(closed),
            Some(alignment) => out.extend(closed.into_iter().filter_map(|closed| alignment.seat(closed))),
        }
    }

    fn set_track(&mut self, track: Arc<Track>, out: &mut Vec<Closed>) {
        let index = slot(track.kind);
        if self.tracks[index].as_deref() == Some(&*track) {
            return;
        }
        let changed = match &self.state {
            State::Open(period) => period.lane(track.kind).is_some_and(|lane| **lane.track() != *track),
            State::Preroll(_) => false,
        };
        if changed {
            self.end_period(out);
        }
        self.tracks[index] = Some(track);
    }

    fn push_sample(&mut self, sample: Sample, now_ms: i64, out: &mut Vec<Closed>) {
        if self.tracks[slot(sample.kind)].is_none() {
            return;
        }
        let gives_up = |alignment: &mut Option<Box<Alignment>>| alignment.as_mut().is_some_and(|a| a.gives_up(now_ms));
        match &mut self.state {
            State::Open(period) if period.is_cut_at(&sample) && gives_up(&mut self.alignment) => {
                self.end_period(out);
                self.push_sample(sample, now_ms, out);
            }
            State::Open(period) if period.lane(sample.kind).is_some() => {
                let mut closed = Vec::new();
                let flow = match &mut self.alignment {
                    None => period.push(sample, self.target_ms, &mut closed),
                    Some(alignment) => period.push_aligned(sample, alignment, &mut closed),
                };
                self.hand_on(closed, out);
                if flow == Flow::Broken {
                    self.end_period(out);
                }
            }
            State::Open(_) => {
                // A track that this period lacks begins another, where it can be decoded from.
                if sample.keyframe {
                    self.end_period(out);
                    self.push_sample(sample, now_ms, out);
                }
            }
            State::Preroll(preroll) => {
                if let (Some(_), Some(track)) = (&self.alignment, &self.tracks[slot(sample.kind)]) {
                    preroll.mark(&sample, sample_ms(&sample, track), now_ms);
                }
                preroll.samples.push(sample);
                self.try_open(now_ms, out);
            }
        }
    }

    fn try_open(&mut self, now_ms: i64, out: &mut Vec<Closed>) {
        let State::Preroll(preroll) = &mut self.state else { return };
        let first_of = |kind: TrackKind| {
            let track = self.tracks[slot(kind)].as_ref()?;
            preroll
                .samples
                .iter()
                .find(|sample| sample.kind == kind && sample.keyframe)
                .map(|sample| sample_ms(sample, track))
        };
        let (video, audio) = (first_of(TrackKind::Video), first_of(TrackKind::Audio));
        let times = || preroll.samples.iter().filter_map(|s| Some(sample_ms(s, self.tracks[slot(s.kind)].as_deref()?)));
        let (oldest, newest) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let waited = newest - oldest >= PREROLL_MS || preroll.samples.len() >= PREROLL_SAMPLES;
        // Pictures that cannot be decoded yet are worth a longer wait than sound that may never come.
        let video_is_coming = preroll.samples.iter().any(|s| s.kind == TrackKind::Video)
            && newest - oldest < VIDEO_WAIT_MS
            && preroll.samples.len() < PREROLL_SAMPLES;
        let start_ms = match (video, audio) {
            (Some(video), Some(_)) => video,
            (Some(video), None) if waited => video,
            (None, Some(audio)) if waited && !video_is_coming => audio,
            (None, None) if preroll.samples.len() >= PREROLL_SAMPLES => {
                *preroll = Preroll::default();
                return;
            }
            _ => return,
        };
        if self.alignment.is_some() {
            return self.open_aligned(start_ms, (video.is_some(), audio.is_some()), now_ms, out);
        }
        let samples = std::mem::take(&mut preroll.samples);
        let lanes = self.lanes(video.is_some(), audio.is_some(), start_ms);
        let lead_in_ms = lanes.iter().map(Lane::lead_in_ms).max().unwrap_or(0);
        let mut wall_ms = now_ms - (newest - start_ms);
        if let Some(end_ms) = self.wall_end_ms
            && (0..=WALL_OVERLAP_MS).contains(&(end_ms - wall_ms))
        {
            wall_ms = end_ms;
        }
        self.state = State::Open(Period::new(lanes, self.next_origin_ms, wall_ms));
        for sample in samples {
            let Some(track) = self.tracks[slot(sample.kind)].clone() else { continue };
            let from_ms = if sample.kind == TrackKind::Audio { start_ms - lead_in_ms } else { start_ms };
            if sample_ms(&sample, &track) >= from_ms {
                self.push_sample(sample, now_ms, out);
            }
        }
    }
}

impl Segmenter {
    fn lanes(&mut self, video: bool, audio: bool, start_ms: i64) -> Vec<Lane> {
        let mut lanes = Vec::with_capacity(2);
        let origin = self.next_origin_ms;
        if let (true, Some(track)) = (video, self.tracks[slot(TrackKind::Video)].clone()) {
            lanes.push(Lane::new(track, start_ms, origin));
        }
        if let (true, Some(track)) = (audio, self.tracks[slot(TrackKind::Audio)].clone()) {
            self.sound = Some(track.clone());
            lanes.push(Lane::new(track, start_ms, origin).following(self.sound_end));
        } else if let Some(track) = self.sound.clone() {
            lanes.extend(Lane::silent(track, start_ms, origin).map(|lane| lane.following(self.sound_end)));
        }
        lanes
    }
}

impl Preroll {
    fn mark(&mut self, sample: &Sample, session_ms: i64, now_ms: i64) {
        let offset_ms = now_ms - session_ms;
        self.offset_ms = Some(self.offset_ms.map_or(offset_ms, |least| least.min(offset_ms)));
        if sample.keyframe {
            let digest = digest::of(std::slice::from_ref(&sample.data));
            if Alignment::is_anchor(sample.kind, &digest) {
                self.keys.push((sample.kind, session_ms, digest));
            }
        }
    }
}

/// Periods of an aligned breakout.
impl Segmenter {
    /// Opens the period that may begin at `first_ms` of the session, if it can be said where it lies.
    fn open_aligned(&mut self, first_ms: i64, (video, audio): (bool, bool), now_ms: i64, out: &mut Vec<Closed>) {
        let (State::Preroll(preroll), Some(alignment)) = (&mut self.state, &mut self.alignment) else { return };
        let track = self.tracks[slot(TrackKind::Audio)].as_deref().filter(|_| audio);
        let waiting = Waiting {
            lead: if video { TrackKind::Video } else { TrackKind::Audio },
            keys: &preroll.keys,
            first_ms,
            sound: track.map(|track| track.sample_rate.max(1)),
            offset_ms: preroll.offset_ms.unwrap_or_default(),
            now_ms,
            waited_ms: now_ms - *preroll.since_ms.get_or_insert(now_ms),
        };
        let Some(start) = alignment.settle(&waiting, preroll.samples.len() >= PREROLL_SAMPLES) else { return };
        let samples = std::mem::take(preroll).samples;
        let lanes = self.locked_lanes(&start, video, audio);
        // Sound alone begins where it is counted, not where it was told.
        let begins_ms = match start.sound {
            Some(mark) if !video => rescale(mark.units, mark.rate, 1000),
            _ => start.session_ms + start.offset_ms,
        };
        let period = Period::new(lanes, begins_ms, begins_ms);
        if let Some(alignment) = &mut self.alignment {
            alignment.open(&start, &period.lanes);
        }
        self.state = State::Open(Period { slot_ms: Some(self.target_ms), ..period });
        // The mark's own frame is the first, though it was told a little before the picture, or after it.
        let sound_from_ms = start.sound.map_or(start.session_ms, |mark| mark.told_ms - start.offset_ms - SOUND_MARK_MS);
        for sample in samples {
            let Some(track) = self.tracks[slot(sample.kind)].clone() else { continue };
            let from_ms = if sample.kind == TrackKind::Audio { sound_from_ms } else { start.session_ms };
            if sample_ms(&sample, &track) >= from_ms {
                self.push_sample(sample, now_ms, out);
            }
        }
    }

    fn locked_lanes(&mut self, start: &Start, video: bool, audio: bool) -> Vec<Lane> {
        let mut lanes = Vec::with_capacity(2);
        let first = start.sound.map(|mark| mark.units);
        if let (true, Some(track)) = (video, self.tracks[slot(TrackKind::Video)].clone()) {
            lanes.push(Lane::locked(track, start.offset_ms, None));
        }
        if let (true, Some(track)) = (audio, self.tracks[slot(TrackKind::Audio)].clone()) {
            self.sound = Some(track.clone());
            lanes.push(Lane::locked(track, start.offset_ms, first).joining(start.joins));
        } else if let Some(track) = self.sound.clone() {
            let first = first.unwrap_or(rescale(start.session_ms + start.offset_ms, 1000, track.sample_rate.max(1)));
            if silent_frame(&track).is_some() {
                lanes.push(Lane::locked(track, start.offset_ms, Some(first)));
            }
        }
        lanes
    }
}

impl Period {
    fn new(lanes: Vec<Lane>, origin_ms: i64, wall_ms: i64) -> Self {
        Self {
            lanes,
            origin_ms,
            wall_ms,
            segment_start_ms: origin_ms,
            end_ms: origin_ms,
            segments: 0,
            last_keyframe_ms: None,
            keyframe_interval_ms: 0,
            cuts: VecDeque::new(),
            slot_ms: None,
        }
    }

    /// Whether a segment may begin with the sample.
    fn is_cut_at(&self, sample: &Sample) -> bool {
        sample.keyframe && self.lanes.first().is_some_and(|lead| lead.track().kind == sample.kind)
    }

    /// Takes a sample, and tells of it if it can be known again.
    fn push_aligned(&mut self, sample: Sample, alignment: &mut Alignment, out: &mut Vec<Closed>) -> Flow {
        let may_begin = self.is_cut_at(&sample);
        let (kind, data, before_ms) = (sample.kind, sample.data.clone(), self.lanes[0].newest_ms());
        let flow = self.push(sample, alignment.target_ms(), out);
        if flow == Flow::Broken {
            return flow;
        }
        let sound = |lanes: &[Lane], ms: i64| {
            lanes.iter().find(|lane| lane.track().kind == TrackKind::Audio).and_then(|lane| lane.mark_from(ms))
        };
        if let (true, Some(at_ms)) = (may_begin, self.lanes[0].newest_ms().filter(|at_ms| before_ms != Some(*at_ms))) {
            let digest = digest::of(&[data]);
            let is_first = self.segment_start_ms == at_ms && self.segments == 0;
            let begins = self.segment_start_ms == at_ms || self.cuts.contains(&at_ms);
            if begins || Alignment::is_anchor(kind, &digest) {
                alignment.note(digest, at_ms, (begins, is_first), sound(&self.lanes, at_ms));
            }
            if kind == TrackKind::Video && self.keyframe_interval_ms > 0 {
                alignment.judge_interval(self.keyframe_interval_ms);
            }
        } else if let Some(mark) = alignment.without_sound_ms().and_then(|ms| sound(&self.lanes, ms)) {
            alignment.note_sound(mark);
        }
        flow
    }

    fn lane(&self, kind: TrackKind) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.track().kind == kind)
    }

    fn push(&mut self, sample: Sample, target_ms: i64, out: &mut Vec<Closed>) -> Flow {
        let (kind, keyframe) = (sample.kind, sample.keyframe);
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.track().kind == kind) else { return Flow::On };
        let Some(at_ms) = lane.push(sample) else { return Flow::On };
        let leads = self.lanes[0].track().kind == kind;
        if leads {
            self.consider_cut(at_ms, keyframe, target_ms);
        } else if self.lanes[0].newest_ms().unwrap_or(self.segment_start_ms) + VIDEO_WAIT_MS < at_ms {
            return Flow::Broken;
        }
        while let Some(&cut_ms) = self.cuts.front() {
            let waited = self.lanes[0].newest_ms().is_some_and(|newest| newest - cut_ms >= AUDIO_WAIT_MS);
            let complete = self.lanes.iter().all(|lane| lane.newest_ms().is_some_and(|newest| newest >= cut_ms));
            if !complete && !waited {
                break;
            }
            self.cuts.pop_front();
            if self.close(Some(cut_ms), out) == Flow::Broken {
                return Flow::Broken;
            }
        }
        Flow::On
    }

    fn consider_cut(&mut self, at_ms: i64, keyframe: bool, target_ms: i64) {
        let start_ms = self.cuts.back().copied().unwrap_or(self.segment_start_ms);
        let elapsed = at_ms - start_ms;
        if keyframe {
            if let Some(last) = self.last_keyframe_ms {
                self.keyframe_interval_ms = at_ms - last;
            }
            self.last_keyframe_ms = Some(at_ms);
        }
        if elapsed <= 0 {
            return;
        }
        // Short ones until a player can start; a longer one then comes before it runs dry.
        let missing_ms = missing_to_play_ms(start_ms - self.origin_ms, target_ms);
        let beginning = missing_ms.map(|missing| missing.min(target_ms).min(SHORT_SEGMENT_MS) - KEYFRAME_EARLY_MS);
        let goal = beginning.unwrap_or(target_ms);
        let next_is_too_late = elapsed + self.keyframe_interval_ms > target_ms + TARGET_TOLERANCE_MS;
        let wanted = keyframe
            && match self.slot_ms {
                Some(slot_ms) => at_ms.div_euclid(slot_ms) > start_ms.div_euclid(slot_ms),
                None => elapsed >= goal || next_is_too_late,
            };
        let too_large = self.lanes.iter().map(Lane::pending_bytes).sum::<u64>() >= LARGEST_SEGMENT;
        if wanted || elapsed >= LONGEST_SEGMENT_MS || too_large {
            self.cuts.push_back(at_ms);
        }
    }

    /// Closes the open segment at `cut_ms`, or with all that there is.
    fn close(&mut self, cut_ms: Option<i64>, out: &mut Vec<Closed>) -> Flow {
        let Some(lead) = self.lanes[0].cut(cut_ms) else { return Flow::On };
        let start_ms = self.segment_start_ms;
        let seconds_ms = (lead.duration_seconds * 1000.0).round() as i64;
        let end_ms = cut_ms.unwrap_or(start_ms + seconds_ms);
        let mut parts =
            vec![Part { track: self.lanes[0].track().clone(), timescale: self.lanes[0].timescale(), run: lead }];
        let mut flow = Flow::On;
        for lane in &mut self.lanes[1..] {
            if lane.newest_ms().is_none_or(|newest| newest < end_ms) {
                lane.fill_with_silence_until_ms(end_ms);
            }
            match lane.cut(cut_ms) {
                Some(run) => parts.push(Part { track: lane.track().clone(), timescale: lane.timescale(), run }),
                None => flow = Flow::Broken,
            }
        }
        out.push(Closed {
            discontinuity: self.segments == 0,
            seat: None,
            start_ms,
            program_date_time_ms: self.wall_ms + (start_ms - self.origin_ms),
            parts,
        });
        self.segments += 1;
        self.segment_start_ms = end_ms;
        self.end_ms = end_ms;
        flow
    }
}

/// What a period that is `length_ms` long lacks for players to start; none when they can.
fn missing_to_play_ms(length_ms: i64, target_ms: i64) -> Option<i64> {
    let target_seconds = u32::try_from(target_ms / 1000).unwrap_or(u32::MAX);
    let missing_ms = (seconds_to_play(target_seconds) * 1000.0) as i64 - length_ms;
    (missing_ms > (FRAME_TOLERANCE_SECONDS * 1000.0) as i64).then_some(missing_ms)
}

#[cfg(test)]
mod tests;
