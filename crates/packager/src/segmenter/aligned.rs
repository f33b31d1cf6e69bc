//! One clock for the regions that carry the same stream.
//!
//! Session time plus an offset is the time since the Unix epoch. What follows from content and offset alone, cuts, numbers, media times and
//! dates, is the same wherever the offset is. It is found by what peers tell of the same coded pictures; without them by what an
//! earlier process kept, and else chosen by the wall clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anabranch_media::TrackKind;
use anabranch_media::fmp4::{init_section, rescale};
use anabranch_model::{ANCHORS_MAX, AlignedSpec, Anchor, Anchors, SoundMark};
use serde::{Deserialize, Serialize};

use super::{Closed, slot};
use crate::digest;
use crate::lane::Lane;

/// How long a period waits, before it chooses a clock, for each region that may choose before this one, and for a word of any, in
/// milliseconds. What peers say must not take longer than half of this on its way.
const TURN_MS: i64 = 3_000;

/// How long it waits at least for peers that are known to carry the stream, in milliseconds.
const PATIENCE_MS: i64 = 5_000;

/// How long it waits at most for a peer that is about to choose, in milliseconds.
const LONGEST_PATIENCE_MS: i64 = 12_000;

/// A peer whose newest anchor is older than this carries nothing now, in milliseconds.
const RUNNING_MS: i64 = 10_000;

/// How far a clock that peers tell may lie from the wall clock, in milliseconds. Further away the same pictures come again: a film in a
/// loop.
const PLAUSIBLE_MS: i64 = 30_000;

/// An encoder that comes back on the clock that it had is within this of it, in milliseconds.
const SAME_CLOCK_MS: i64 = 1_500;

/// Encoders that count their milliseconds from elsewhere round them differently by less than this.
const ROUNDING_MS: i64 = 5;

/// Where in a second a new clock puts the first keyframe, in milliseconds: far from whole seconds, where segments change, so that
/// keyframes that come a little early or late stay in their segments.
const PHASE_MS: i64 = 250;

/// Pictures that two regions must have in common before one of them gives up its clock.
const MISALIGNED_PICTURES: usize = 2;

/// Time between two clocks that are given up, in milliseconds.
const REALIGN_EVERY_MS: i64 = 60_000;

/// Anchors older than this are forgotten, in milliseconds.
const ANCHOR_AGE_MS: i64 = 60_000;

/// Of frames of sound, which may all be cut at, only those are anchors whose digest ends so: about one in a second, and the same
/// ones everywhere.
const SOUND_ANCHOR_ENDINGS: [&str; 8] = ["00", "20", "40", "60", "80", "a0", "c0", "e0"];

/// Where an encoder's clock lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Added to session time, gives milliseconds since the Unix epoch.
    pub offset_ms: i64,
    /// When it was chosen, by whoever chose it, milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// What of an aligned timeline must survive the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Length of a slot, in milliseconds, which never changes in the life of a timeline; 0 before the first segment.
    pub target_ms: i64,
    /// The clock in use.
    pub clock: Option<Clock>,
    /// Where the newest segment ends, milliseconds since the Unix epoch.
    pub until_ms: i64,
    /// The least number that is free.
    pub next_msn: u64,
    /// The first sound of the newest segment.
    pub sound: Option<SoundMark>,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` of the newest segment.
    pub discontinuities: u64,
    /// Digests of the newest init sections, of pictures and of sound.
    pub shown: [Option<String>; 2],
}

/// The place of a segment that all regions give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Media sequence number.
    pub msn: u64,
    /// What is to be kept once it is published.
    pub kept: Kept,
}

/// What waits for a clock.
pub(super) struct Waiting<'a> {
    /// The track that is cut by.
    pub(super) lead: TrackKind,
    /// Digests and session times, in milliseconds, of samples of the leading track where decoding may start, oldest first.
    pub(super) keys: &'a [(TrackKind, i64, String)],
    /// Session time of the first of them that may begin the period.
    pub(super) first_ms: i64,
    /// Samples a second of the sound, if there is any.
    pub(super) sound: Option<u32>,
    /// Wall clock minus session time, of the sample that came soonest.
    pub(super) offset_ms: i64,
    /// Time of day when the newest sample came.
    pub(super) now_ms: i64,
    /// How long they have waited, in milliseconds.
    pub(super) waited_ms: i64,
}

/// How a period begins.
#[derive(Debug)]
pub(super) struct Start {
    /// Session time of its first keyframe, in milliseconds.
    pub(super) session_ms: i64,
    /// Added to session time, gives the time since the Unix epoch.
    pub(super) offset_ms: i64,
    /// Its first sound, if that is known.
    pub(super) sound: Option<SoundMark>,
    /// Earlier sound, which its own joins in whole frames.
    pub(super) joins: Option<SoundMark>,
    whole: bool,
    discontinuities: u64,
}

/// Keyframes that a peer and this region have in common.
struct Common<'a> {
    peer: &'a Anchors,
    offset_ms: i64,
    /// Whether they can be nowhere else.
    is_certain: bool,
    /// Session time.
    first_ms: i64,
    anchor: &'a Anchor,
}

/// The share of alignment in a breakout's cutting.
#[derive(Debug)]
pub(super) struct Alignment {
    spec: AlignedSpec,
    kept: Kept,
    heard: Arc<Vec<Anchors>>,
    anchors: VecDeque<Anchor>,
    /// Whether the session that the clock is of goes on.
    in_session: bool,
    /// Whether there is a session that has no clock yet.
    waiting: bool,
    /// Whether the first segment of the open period is all of its slot.
    whole: bool,
    /// Discontinuity sequence of the open period, and its init sections.
    discontinuities: u64,
    shows: [Option<String>; 2],
    realigned_ms: Option<i64>,
    problem: Option<String>,
    changed: bool,
}

impl Alignment {
    pub(super) fn new(spec: AlignedSpec, target_ms: i64, mut kept: Kept) -> Self {
        if kept.target_ms <= 0 {
            kept.target_ms = target_ms.max(1);
        }
        Self {
            spec,
            kept,
            heard: Arc::default(),
            anchors: VecDeque::new(),
            in_session: false,
            waiting: false,
            whole: false,
            discontinuities: 0,
            shows: [None, None],
            realigned_ms: None,
            problem: None,
            changed: true,
        }
    }

    pub(super) fn target_ms(&self) -> i64 {
        self.kept.target_ms
    }

    pub(super) fn hear(&mut self, heard: Arc<Vec<Anchors>>) {
        self.heard = heard;
    }

    /// What peers are to be told, if it has changed since the last call.
    pub(super) fn told(&mut self) -> Option<Anchors> {
        std::mem::take(&mut self.changed).then(|| Anchors {
            stream: self.spec.stream.clone(),
            region: self.spec.region.clone(),
            target_ms: self.kept.target_ms,
            since_ms: self.kept.clock.map_or(0, |clock| clock.since_ms),
            anchors: self.anchors.iter().cloned().collect(),
            waiting: self.waiting,
            problem: self.problem.clone(),
        })
    }

    /// The session, or its time, has ended: what comes next may be on another clock.
    pub(super) fn end_session(&mut self) {
        self.in_session = false;
        self.set_waiting(false);
    }

    fn set_waiting(&mut self, waiting: bool) {
        self.changed |= self.waiting != waiting;
        self.waiting = waiting;
    }

    /// Whether the sample can be known again by its digest.
    pub(super) fn is_anchor(kind: TrackKind, digest: &str) -> bool {
        kind == TrackKind::Video || SOUND_ANCHOR_ENDINGS.iter().any(|ending| digest.ends_with(ending))
    }

    /// Where a period begins, once that can be said; `must` ends the wait.
    pub(super) fn settle(&mut self, waiting: &Waiting<'_>, must: bool) -> Option<Start> {
        let start = self.try_settle(waiting, must);
        self.set_waiting(start.is_none());
        start
    }

    fn try_settle(&mut self, waiting: &Waiting<'_>, must: bool) -> Option<Start> {
        if self.in_session
            && let Some(clock) = self.kept.clock
        {
            // The same encoder's own change: every region that hears it goes on alike.
            return Some(self.resume(clock, waiting));
        }
        let heard = self.heard.clone();
        let patient = !must && waiting.waited_ms < PATIENCE_MS;
        if let Some(common) = self.common(&heard, waiting) {
            // Sound is told a little later than the picture that it goes with; of pictures that come again the right one may follow.
            let lacks_sound = waiting.sound.is_some() && common.anchor.sound.is_none();
            if patient && (lacks_sound || !common.is_certain) {
                return None;
            }
            return Some(self.adopt(&common, waiting));
        }
        if !must && waiting.waited_ms < self.patience_ms(waiting.now_ms) {
            return None;
        }
        if let Some(clock) = self.kept.clock
            && (clock.offset_ms - waiting.offset_ms).abs() <= SAME_CLOCK_MS
            && waiting.first_ms + clock.offset_ms >= self.kept.until_ms
        {
            return Some(self.resume(clock, waiting));
        }
        Some(self.choose(waiting))
    }

    fn peers(&self) -> impl Iterator<Item = &Anchors> {
        let of_stream = |told: &&Anchors| told.stream == self.spec.stream && told.region != self.spec.region;
        self.heard.iter().filter(of_stream)
    }

    fn patience_ms(&self, now_ms: i64) -> i64 {
        if self.spec.peers.is_empty() {
            return 0;
        }
        let is_before = |region: &str| region < self.spec.region.as_str();
        if self.peers().any(|told| told.waiting && is_before(&told.region)) {
            return LONGEST_PATIENCE_MS;
        }
        let before = self.spec.peers.iter().filter(|peer| is_before(peer)).count();
        let turn_ms = TURN_MS.saturating_mul(i64::try_from(before + 1).unwrap_or(i64::MAX)).min(LONGEST_PATIENCE_MS);
        let runs = |told: &Anchors| {
            told.anchors.last().is_some_and(|newest| now_ms.saturating_sub(newest.epoch_ms) <= RUNNING_MS)
        };
        if self.peers().any(runs) { turn_ms.max(PATIENCE_MS) } else { turn_ms }
    }

    /// The keyframes in common with the peer whose clock is the oldest.
    fn common<'a>(&self, heard: &'a [Anchors], waiting: &Waiting<'_>) -> Option<Common<'a>> {
        let peers = heard.iter().filter(|told| {
            told.stream == self.spec.stream && told.region != self.spec.region && told.target_ms == self.kept.target_ms
        });
        let found = peers.filter_map(|peer| common_with(peer, waiting));
        found.min_by(|one, other| age(one.peer).cmp(&age(other.peer)))
    }

    fn adopt(&mut self, common: &Common<'_>, waiting: &Waiting<'_>) -> Start {
        let clock = Clock { offset_ms: common.offset_ms, since_ms: common.peer.since_ms };
        self.set_clock(clock);
        let anchor = common.anchor;
        Start {
            session_ms: common.first_ms,
            offset_ms: clock.offset_ms,
            sound: anchor.sound.filter(|mark| is_credible(mark, anchor, waiting)),
            joins: None,
            whole: anchor.begins,
            discontinuities: anchor.discontinuities,
        }
    }

    /// Goes on by the clock that is known. What went before may be missing, so the first slot is not whole.
    fn resume(&mut self, clock: Clock, waiting: &Waiting<'_>) -> Start {
        self.set_clock(clock);
        let joins = self.kept.sound.filter(|mark| waiting.sound == Some(mark.rate));
        let (session_ms, offset_ms) = (waiting.first_ms, clock.offset_ms);
        Start { session_ms, offset_ms, sound: None, joins, whole: false, discontinuities: 0 }
    }

    /// A clock of this region's own making.
    fn choose(&mut self, waiting: &Waiting<'_>) -> Start {
        let told_ms = waiting.first_ms + waiting.offset_ms;
        let mut first_ms = (told_ms - PHASE_MS + 500).div_euclid(1000) * 1000 + PHASE_MS;
        if first_ms < self.kept.until_ms {
            first_ms += (self.kept.until_ms - first_ms + 999).div_euclid(1000) * 1000;
        }
        let clock = Clock { offset_ms: first_ms - waiting.first_ms, since_ms: waiting.now_ms };
        self.set_clock(clock);
        // Who has not been heard may have more of the first slot than this region.
        let whole = self.spec.peers.iter().all(|peer| self.peers().any(|told| told.region == *peer));
        Start {
            session_ms: waiting.first_ms,
            offset_ms: clock.offset_ms,
            sound: None,
            joins: None,
            whole,
            discontinuities: 0,
        }
    }

    fn set_clock(&mut self, clock: Clock) {
        if self.kept.clock != Some(clock) {
            tracing::info!(
                stream = %self.spec.stream, clock.offset_ms = clock.offset_ms, clock.since_ms = clock.since_ms,
                "the stream has another clock"
            );
            metrics::counter!("anabranch_packager_clocks_total").increment(1);
            self.anchors.clear();
        }
        self.kept.clock = Some(clock);
        self.in_session = true;
        self.changed = true;
    }

    /// Takes note of what a period shows.
    pub(super) fn open(&mut self, start: &Start, lanes: &[Lane]) {
        self.whole = start.whole;
        self.shows = self.kept.shown.clone();
        for lane in lanes {
            // A track that cannot be written is refused where it is published.
            let section = init_section(lane.track(), lane.timescale()).unwrap_or_default();
            self.shows[slot(lane.track().kind)] = Some(digest::of(&[section.into()]));
        }
        let changes = |(shows, shown): (&Option<String>, &Option<String>)| shown.is_some() && shows != shown;
        let changed = self.shows.iter().zip(&self.kept.shown).any(changes);
        self.discontinuities = self.kept.discontinuities.saturating_add(u64::from(changed)).max(start.discontinuities);
    }

    /// Gives a segment its place; `None` if it is not all that its slot has, or the slot is taken.
    pub(super) fn seat(&mut self, mut closed: Closed) -> Option<Closed> {
        let begins = std::mem::take(&mut closed.discontinuity);
        let msn = self.msn(closed.start_ms);
        if (begins && !self.whole) || msn < self.kept.next_msn {
            metrics::counter!("anabranch_packager_left_out_segments_total").increment(1);
            return None;
        }
        let seconds = closed.parts.first().map_or(0.0, |lead| lead.run.duration_seconds);
        self.kept.until_ms = closed.start_ms + (seconds * 1000.0).round() as i64;
        self.kept.next_msn = msn + 1;
        self.kept.discontinuities = self.discontinuities;
        self.kept.shown.clone_from(&self.shows);
        if let Some(sound) = closed.parts.iter().find(|part| part.track.kind == TrackKind::Audio) {
            let units = i64::try_from(sound.run.base_decode_time).unwrap_or(i64::MAX);
            self.kept.sound = Some(SoundMark { told_ms: sound.run.told_ms, units, rate: sound.timescale });
        }
        closed.seat = Some(Seat { msn, kept: self.kept.clone() });
        Some(closed)
    }

    fn msn(&self, at_ms: i64) -> u64 {
        u64::try_from(at_ms.div_euclid(self.kept.target_ms)).unwrap_or(0)
    }

    /// Tells a keyframe of the open period, which lies at `at_ms`. `begins` says that a segment does, `first` that it is the period's
    /// first.
    pub(super) fn note(&mut self, digest: String, at_ms: i64, (begins, first): (bool, bool), sound: Option<SoundMark>) {
        let begins = begins && (!first || self.whole) && self.msn(at_ms) >= self.kept.next_msn;
        while self.anchors.len() >= ANCHORS_MAX
            || self.anchors.front().is_some_and(|oldest| at_ms - oldest.epoch_ms > ANCHOR_AGE_MS)
        {
            self.anchors.pop_front();
        }
        let discontinuities = self.discontinuities;
        self.anchors.push_back(Anchor { digest, epoch_ms: at_ms, begins, discontinuities, sound });
        self.changed = true;
    }

    /// The keyframe that waits for its sound to be told.
    pub(super) fn without_sound_ms(&self) -> Option<i64> {
        self.anchors.back().filter(|newest| newest.sound.is_none()).map(|newest| newest.epoch_ms)
    }

    /// Tells the sound of the newest keyframe.
    pub(super) fn note_sound(&mut self, mark: SoundMark) {
        if let Some(newest) = self.anchors.back_mut() {
            newest.sound = Some(mark);
            self.changed = true;
        }
    }

    /// Takes note of how far keyframes lie apart.
    pub(super) fn judge_interval(&mut self, interval_ms: i64) {
        let target_ms = self.kept.target_ms;
        let too_long = interval_ms > target_ms + ROUNDING_MS;
        if too_long == self.problem.is_some() {
            return;
        }
        self.problem = too_long.then(|| {
            format!(
                "keyframes come every {:.1} s, less often than the segment target of {} s: set the encoder's keyframe interval to \
                 {} s or less",
                interval_ms as f64 / 1000.0,
                target_ms / 1000,
                target_ms / 1000
            )
        });
        if let Some(problem) = &self.problem {
            tracing::warn!(stream = %self.spec.stream, problem, "the stream cannot be aligned well");
        }
        self.changed = true;
    }

    /// Whether a peer with an older clock has the same pictures at other times: then this region's clock is given up.
    pub(super) fn gives_up(&mut self, now_ms: i64) -> bool {
        let Some(clock) = self.kept.clock else { return false };
        if self.realigned_ms.is_some_and(|last| now_ms - last < REALIGN_EVERY_MS) {
            return false;
        }
        let own = (clock.since_ms, self.spec.region.as_str());
        let elders = self.peers().filter(|peer| age(peer) < own && peer.target_ms == self.kept.target_ms);
        let is_misaligned = elders.map(|peer| self.differences(peer)).any(|differences| {
            let aligned = differences.iter().any(|difference| difference.abs() <= ROUNDING_MS);
            !aligned && differences.len() >= MISALIGNED_PICTURES
        });
        if is_misaligned {
            tracing::warn!(stream = %self.spec.stream, "another region has an older clock, which is taken over");
            self.realigned_ms = Some(now_ms);
            self.kept.clock = None;
            self.in_session = false;
        }
        is_misaligned
    }

    /// How far a peer's clock is ahead, by each picture that either has once.
    fn differences(&self, peer: &Anchors) -> Vec<i64> {
        let once = |anchors: &mut dyn Iterator<Item = &Anchor>| {
            let mut times: BTreeMap<String, Option<i64>> = BTreeMap::new();
            for anchor in anchors {
                times.entry(anchor.digest.clone()).and_modify(|ms| *ms = None).or_insert(Some(anchor.epoch_ms));
            }
            times
        };
        let own = once(&mut self.anchors.iter());
        let theirs = once(&mut peer.anchors.iter().rev().take(ANCHORS_MAX));
        let both = theirs.iter().filter_map(|(digest, ms)| Some(ms.as_ref()?.saturating_sub((*own.get(digest)?)?)));
        both.filter(|difference| difference.unsigned_abs() <= PLAUSIBLE_MS.unsigned_abs()).collect()
    }
}

/// Order in which clocks are adopted.
fn age(told: &Anchors) -> (i64, &str) {
    (told.since_ms, told.region.as_str())
}

fn common_with<'a>(peer: &'a Anchors, waiting: &Waiting<'_>) -> Option<Common<'a>> {
    let keys = || waiting.keys.iter().filter(|(kind, ms, _)| *kind == waiting.lead && *ms >= waiting.first_ms);
    let anchors = || peer.anchors.iter().rev().take(ANCHORS_MAX);
    let offset = |anchor: &Anchor, ms: i64| {
        let offset_ms = anchor.epoch_ms.saturating_sub(ms);
        (offset_ms.saturating_sub(waiting.offset_ms).unsigned_abs() <= PLAUSIBLE_MS.unsigned_abs()).then_some(offset_ms)
    };
    // The same picture may be there more than once. The offset decides at which the fewest are missing of those that the peer must
    // have, then the wall clock.
    let mut votes: BTreeMap<i64, usize> = BTreeMap::new();
    for (_, ms, digest) in keys() {
        for anchor in anchors().filter(|anchor| anchor.digest == *digest) {
            if let Some(offset_ms) = offset(anchor, *ms) {
                *votes.entry(offset_ms).or_default() += 1;
            }
        }
    }
    let nearness = |offset_ms: i64| std::cmp::Reverse((offset_ms - waiting.offset_ms).abs());
    let told = || anchors().map(|anchor| anchor.epoch_ms);
    let (oldest, newest) = (told().min()?, told().max()?);
    let missing = |offset_ms: i64, votes: usize| {
        let known = keys().filter(|(_, ms, _)| (oldest..=newest).contains(&ms.saturating_add(offset_ms))).count();
        std::cmp::Reverse(known.saturating_sub(votes))
    };
    let best = votes.iter().max_by_key(|(offset, votes)| (missing(**offset, **votes), nearness(**offset)));
    let (&offset_ms, _) = best?;
    let needs_sound = waiting.sound.is_some();
    let pair = |needs_sound: bool| {
        keys().find_map(|(_, ms, digest)| {
            let fits = |anchor: &&Anchor| anchor.digest == *digest && offset(anchor, *ms) == Some(offset_ms);
            anchors().find(fits).filter(|anchor| !needs_sound || anchor.sound.is_some()).map(|anchor| (*ms, anchor))
        })
    };
    let (first_ms, anchor) = pair(needs_sound).or_else(|| pair(false))?;
    Some(Common { peer, offset_ms, is_certain: votes.len() == 1, first_ms, anchor })
}

/// Whether sound lies where it can, by the picture that it goes with.
fn is_credible(mark: &SoundMark, anchor: &Anchor, waiting: &Waiting<'_>) -> bool {
    let near = |ms: i64| ms.saturating_sub(anchor.epoch_ms).unsigned_abs() <= SAME_CLOCK_MS.unsigned_abs();
    waiting.sound == Some(mark.rate) && near(mark.told_ms) && near(rescale(mark.units, mark.rate, 1000))
}

#[cfg(test)]
mod tests;
