//! The whole watch as a value: what to ask, what the answers mean, what is said of it. Without sockets and clocks.
//!
//! Who drives it calls [`Machine::requests`], makes those requests, gives each answer to [`Machine::answered`], and calls
//! [`Machine::tick`] after that and at [`Machine::wake_ms`].

use std::sync::Arc;

use reqwest::Url;

use super::detector::{Counts, Detector};
use super::discovery::{Listed, Listing};
use super::drift;
use super::fetch::{Answer, SegmentAnswer};
use super::finding::{Effect, Finding, FindingKind, Findings};
use super::notification::{self, Notification};
use super::playlist::{NEVER, Playlist};
use super::report::{PlaylistState, Report};
use super::top::{News, Top};
use super::{
    DURATION_DEFAULT_MS, EVIDENCE_MAX, Moment, PLAYLISTS_MAX, Settings, SettingsError, Verdict, VerdictState, shown,
};

/// Shortest time between two looks at segments of one watch, in milliseconds: at most four a second.
const SEGMENT_EVERY_MS: u64 = 250;

/// Shortest time between two looks for drift, in milliseconds.
const DRIFT_EVERY_MS: u64 = 1000;

/// How long it is shown that the multivariant playlist changed, in milliseconds.
const TOP_CHANGED_SHOWN_MS: u64 = 60_000;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The playlist that was given.
    Top,
    /// A media playlist, by a number that is never another's.
    Playlist(u32),
    /// The newest segment of that one.
    Segment(u32),
}

/// A request to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it is about.
    pub target: Target,
    /// Where.
    pub url: Url,
    /// Validator of the text that is known, for `If-None-Match`.
    pub etag: Option<String>,
    /// Byte that a segment must reach to, when it is a range of a file.
    pub end_byte: Option<u64>,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) enum Came {
    Playlist(Answer),
    Segment(SegmentAnswer),
}

/// What somebody may want to hear of at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The verdict or the counts have changed.
    Announced(Arc<Notification>),
    /// Something is wrong that was not, or is worse than it was.
    Found(Finding),
}

/// A watch.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    shown: String,
    top: Top,
    playlists: Vec<Playlist>,
    next_id: u32,
    detector: Detector,
    verdict: Verdict,
    findings: Findings,
    events: Vec<Event>,
    next_segment_ms: u64,
    next_drift_ms: u64,
    requests: u64,
    failures: u64,
}

impl Machine {
    /// A watch that begins now.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that makes no sense.
    pub fn new(settings: Settings, now: Moment) -> Result<Self, SettingsError> {
        settings.check()?;
        let url = settings.origin()?;
        Ok(Self {
            shown: shown(url.as_str()),
            top: Top::new(url, now),
            settings,
            playlists: Vec::new(),
            next_id: 0,
            detector: Detector::default(),
            verdict: Verdict { since_ms: now.unix_ms, ..Verdict::default() },
            findings: Findings::default(),
            events: Vec::new(),
            next_segment_ms: 0,
            next_drift_ms: 0,
            requests: 0,
            failures: 0,
        })
    }

    /// Requests whose time has come, `room` at the most. Each has to be answered.
    pub fn requests(&mut self, now: Moment, room: usize) -> Vec<Request> {
        let mut asked = Vec::new();
        if room > 0 && !self.top.is_under_way && self.top.next_ms <= now.at_ms {
            let etag = self.top.ask();
            asked.push(Request { target: Target::Top, url: self.top.url.clone(), etag, end_byte: None });
        }
        // Who waits longest comes first, so that with little room none is forgotten.
        let mut due: Vec<usize> = (0..self.playlists.len())
            .filter(|at| {
                let playlist = &self.playlists[*at];
                !playlist.is_under_way && playlist.next_ms <= now.at_ms
            })
            .collect();
        due.sort_by_key(|at| self.playlists[*at].next_ms);
        for at in due.into_iter().take(room.saturating_sub(asked.len())) {
            let playlist = &mut self.playlists[at];
            let etag = playlist.ask(now, &self.settings);
            let (target, url) = (Target::Playlist(playlist.id), playlist.listed.url.clone());
            asked.push(Request { target, url, etag, end_byte: None });
        }
        if asked.len() < room {
            asked.extend(self.segment(now));
        }
        self.requests += asked.len() as u64;
        asked
    }

    /// The one segment whose look is due longest.
    fn segment(&mut self, now: Moment) -> Option<Request> {
        if !self.settings.check_segments || now.at_ms < self.next_segment_ms {
            return None;
        }
        let (at, due_ms) = self.segments_due().min_by_key(|(_, due_ms)| *due_ms)?;
        if due_ms > now.at_ms {
            return None;
        }
        self.next_segment_ms = now.at_ms.saturating_add(SEGMENT_EVERY_MS);
        let playlist = &mut self.playlists[at];
        let newest = playlist.sample.as_ref()?.newest.clone()?;
        playlist.probe.begin(&newest, now);
        match playlist.newest_url() {
            Some((url, end_byte)) => Some(Request { target: Target::Segment(playlist.id), url, etag: None, end_byte }),
            None => {
                let answer = SegmentAnswer::Missing("its address is not one of HTTP".to_owned());
                playlist.probe.answered(&answer, &mut playlist.findings, &playlist.shown, now);
                None
            }
        }
    }

    /// Playlists that change, with when a look at their segments is due.
    fn segments_due(&self) -> impl Iterator<Item = (usize, u64)> {
        let looks = self.settings.check_segments;
        self.playlists.iter().enumerate().filter(move |_| looks).filter_map(|(at, playlist)| {
            let is_live = playlist.state == PlaylistState::Fresh || playlist.findings.makes_stale();
            let newest = playlist.sample.as_ref().filter(|_| is_live)?.newest.as_ref();
            let due_ms = playlist.probe.due_ms(playlist.listed.role, newest, playlist.duration_ms(DURATION_DEFAULT_MS));
            due_ms.map(|due_ms| (at, due_ms))
        })
    }

    /// Takes the answer to a request for a playlist. One to a playlist that is not watched any more is left unread.
    pub fn answered(&mut self, target: Target, answer: Answer, now: Moment) {
        if matches!(answer, Answer::Failed(_)) {
            self.failures += 1;
        }
        let fallback_ms = self.fallback_ms();
        match target {
            Target::Top => self.top_answered(answer, now),
            Target::Playlist(id) => {
                if let Some(playlist) = self.playlists.iter_mut().find(|playlist| playlist.id == id) {
                    playlist.answered(answer, now, &self.settings, fallback_ms);
                }
            }
            Target::Segment(_) => {}
        }
    }

    /// Takes the answer to a request for a segment.
    pub fn segment_answered(&mut self, target: Target, answer: &SegmentAnswer, now: Moment) {
        if matches!(answer, SegmentAnswer::Missing(_)) {
            self.failures += 1;
        }
        let Target::Segment(id) = target else { return };
        if let Some(playlist) = self.playlists.iter_mut().find(|playlist| playlist.id == id) {
            playlist.probe.answered(answer, &mut playlist.findings, &playlist.shown, now);
        }
    }

    fn top_answered(&mut self, answer: Answer, now: Moment) {
        let was_known = self.top.is_known;
        let pause_ms = self.fallback_ms();
        match self.top.answered(answer, now, pause_ms) {
            News::Nothing => {}
            News::Listed(listing) if !was_known => self.adopt(listing, now),
            News::Listed(listing) => self.relisted(listing, now),
            News::Failed if !was_known => {
                let since = self.top.failing_since.map_or(now.at_ms, |since| since.at_ms);
                let is_over = now.at_ms.saturating_sub(since) >= self.settings.start_grace_ms;
                if is_over && self.detector.found_nothing(now) {
                    self.announce(now);
                }
            }
            News::Failed => {}
        }
        let since = self.top.failing_since.filter(|_| self.top.is_known);
        let limit_ms = (pause_ms as f64 * self.settings.duration_multiplier) as u64;
        let evidence = since.zip(self.top.trouble.as_ref()).and_then(|(since, trouble)| {
            let failing_ms = now.at_ms.saturating_sub(since.at_ms);
            (failing_ms > limit_ms).then(|| (Effect::Warn, format!("multivariant playlist cannot be read: {trouble}")))
        });
        self.findings.set(FindingKind::TopUnreachable, evidence, &self.shown, now.unix_ms);
    }

    /// The multivariant playlist is another than before.
    fn relisted(&mut self, listing: Listing, now: Moment) {
        let before = self.playlists.len();
        let gone = self.playlists.iter().filter(|one| !listing.playlists.iter().any(|listed| one.is(listed))).count();
        let added = listing.playlists.iter().filter(|listed| !self.playlists.iter().any(|one| one.is(listed))).count();
        let reload = self.settings.reload_on_top_level_change;
        if added + gone == 0 {
            // Rates that were measured otherwise, or another signature.
            if reload {
                self.adopt(listing, now);
            }
            return;
        }
        let what = if reload { "" } else { ", which is not followed" };
        let evidence =
            format!("multivariant playlist has changed: {added} playlists came, {gone} of {before} went{what}");
        let until_ms = now.at_ms.saturating_add(TOP_CHANGED_SHOWN_MS);
        self.findings.happened(FindingKind::TopChanged, evidence, &self.shown, now.unix_ms, until_ms);
        if reload {
            self.adopt(listing, now);
        }
    }

    /// Watches what is listed; what was watched before goes on as it is.
    fn adopt(&mut self, listing: Listing, now: Moment) {
        let mut before = std::mem::take(&mut self.playlists);
        let is_first = before.is_empty();
        let others_begin = listing.playlists.iter().any(|listed| !before.iter().any(|one| one.is(listed)));
        for listed in listing.playlists {
            let playlist = match before.iter().position(|one| one.is(&listed)) {
                Some(at) => {
                    let mut one = before.swap_remove(at);
                    one.rename(listed);
                    if others_begin {
                        // All are counted from now.
                        one.start_sequence = one.sample.as_ref().map(|sample| sample.next_sequence);
                    }
                    one
                }
                None => self.begin(listed, now),
            };
            self.playlists.push(playlist);
        }
        let left_out = (listing.left_out > 0).then(|| {
            let count = listing.left_out + PLAYLISTS_MAX;
            (Effect::Warn, format!("{count} playlists are named, the first {PLAYLISTS_MAX} are watched"))
        });
        self.findings.set(FindingKind::TooMany, left_out, &self.shown, now.unix_ms);
        if is_first {
            tracing::debug!(watch.url = %self.shown, playlists = self.playlists.len(), "playlists found");
        }
    }

    fn begin(&mut self, listed: Listed, now: Moment) -> Playlist {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        Playlist::new(id, listed, now)
    }

    /// Lets time pass: judges all playlists, and the stream by them.
    pub fn tick(&mut self, now: Moment) {
        let fallback_ms = self.fallback_ms();
        for playlist in &mut self.playlists {
            playlist.judge(now, &self.settings, fallback_ms);
        }
        self.findings.expire(now.at_ms);
        if now.at_ms >= self.next_drift_ms {
            self.next_drift_ms = now.at_ms.saturating_add(DRIFT_EVERY_MS);
            self.compare(now);
        }
        if self.detector.judge(self.counts(), &self.settings, now) {
            self.announce(now);
        }
        let mut found = Vec::new();
        self.findings.take_new(&mut found);
        for playlist in &mut self.playlists {
            playlist.findings.take_new(&mut found);
        }
        self.events.extend(found.into_iter().map(Event::Found));
    }

    /// Looks at how playlists are to each other.
    fn compare(&mut self, now: Moment) {
        let before = self.findings.iter().any(|finding| finding.kind == FindingKind::Drift);
        let apart = drift::apart(&self.playlists, &self.settings, before).map(|evidence| (Effect::Warn, evidence));
        self.findings.set(FindingKind::Drift, apart, &self.shown, now.unix_ms);
        let ended: Vec<&Playlist> =
            self.playlists.iter().filter(|playlist| playlist.state == PlaylistState::Ended).collect();
        let longest_ms = self.fallback_ms();
        let last_end_ms = ended.iter().map(|playlist| playlist.ended_ms()).max().unwrap_or(now.at_ms);
        let is_uneven = ended.len() < self.playlists.len()
            && now.at_ms.saturating_sub(last_end_ms) > (longest_ms as f64 * self.settings.duration_multiplier) as u64;
        let evidence = is_uneven.then(|| {
            (
                Effect::Warn,
                format!("{} of {} playlists have ended, the others go on", ended.len(), self.playlists.len()),
            )
        });
        self.findings.set(FindingKind::EndedUnevenly, evidence, &self.shown, now.unix_ms);
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts { named: self.playlists.len(), ..Counts::default() };
        for playlist in &self.playlists {
            match playlist.state {
                PlaylistState::Fresh => counts.fresh += 1,
                PlaylistState::Stale => counts.stale += 1,
                PlaylistState::Ended => counts.ended += 1,
                PlaylistState::Unknown => {}
            }
        }
        counts
    }

    fn announce(&mut self, now: Moment) {
        let fallback_ms = self.fallback_ms();
        let stale = self.playlists.iter().filter(|playlist| playlist.state == PlaylistState::Stale);
        let mut evidence: Vec<String> =
            stale.take(EVIDENCE_MAX).map(|playlist| playlist.evidence(now, &self.settings, fallback_ms)).collect();
        if let Some(trouble) = self.top.trouble.as_ref().filter(|_| !self.top.is_known) {
            evidence.push(format!("{}: {trouble}", self.shown));
        }
        self.verdict = Verdict {
            state: self.detector.state,
            since_ms: self.detector.since.unix_ms,
            reason: self.detector.reason,
            evidence,
        };
        let sequence = self.detector.sequence;
        self.detector.sequence += 1;
        let notification = notification::of(&self.settings, &self.playlists, &self.verdict, self.counts(), sequence);
        self.events.push(Event::Announced(Arc::new(notification)));
    }

    /// The longest duration that a playlist tells.
    fn fallback_ms(&self) -> u64 {
        self.playlists
            .iter()
            .map(|playlist| playlist.duration_ms(0))
            .max()
            .filter(|ms| *ms > 0)
            .unwrap_or(DURATION_DEFAULT_MS)
    }

    /// When there is something to do next, by the clock of [`Moment::at_ms`].
    #[must_use]
    pub fn wake_ms(&self) -> u64 {
        let fallback_ms = self.fallback_ms();
        let top_ms = if self.top.is_under_way { NEVER } else { self.top.next_ms };
        let playlists_ms = self.playlists.iter().map(|playlist| playlist.wake_ms(&self.settings, fallback_ms)).min();
        let segment_ms = self.segments_due().map(|(_, due_ms)| due_ms.max(self.next_segment_ms)).min();
        let counts_ms = self.detector.wake_ms(self.counts());
        top_ms.min(playlists_ms.unwrap_or(NEVER)).min(segment_ms.unwrap_or(NEVER)).min(counts_ms)
    }

    /// What has happened since this was last called.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What is said of the stream.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// When a playlist that goes on brought something new last, and when the next was expected, in milliseconds since the Unix epoch; nothing
    /// as long as nothing came.
    #[must_use]
    pub fn last_change(&self) -> Option<(i64, i64)> {
        let live = self.playlists.iter().filter(|playlist| playlist.state != PlaylistState::Ended);
        let of = |playlist: &Playlist| {
            let at_ms = playlist.changed_unix_ms()?;
            let next_ms = at_ms.saturating_add_unsigned(playlist.duration_ms(DURATION_DEFAULT_MS));
            Some((at_ms, next_ms))
        };
        live.filter_map(of).max()
    }

    /// Whether the stream has ended and nothing more is asked.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.verdict.state == VerdictState::Ended && self.settings.after_end == super::AfterEnd::Stop
    }

    /// All that is known now.
    #[must_use]
    pub fn report(&self, now: Moment) -> Report {
        let fallback_ms = self.fallback_ms();
        let counts = self.counts();
        Report {
            name: self.settings.name.clone(),
            url: self.shown.clone(),
            verdict: self.verdict.clone(),
            total: counts.named - counts.ended,
            fresh: counts.fresh,
            stale: counts.stale,
            playlists: self.playlists.iter().map(|one| one.report(now, &self.settings, fallback_ms)).collect(),
            findings: self.findings.iter().cloned().collect(),
            requests: self.requests,
            failures: self.failures,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn took(&mut self, target: Target, came: Came, now: Moment) {
        match came {
            Came::Playlist(answer) => self.answered(target, answer, now),
            Came::Segment(answer) => self.segment_answered(target, &answer, now),
        }
    }

    pub(super) fn counted(&self) -> (Counts, u64, u64) {
        (self.counts(), self.requests, self.failures)
    }

    /// How many findings there are of a kind.
    pub(super) fn findings_of(&self, kind: FindingKind) -> usize {
        let of_playlists = self.playlists.iter().flat_map(|playlist| playlist.findings.iter());
        of_playlists.chain(self.findings.iter()).filter(|finding| finding.kind == kind).count()
    }
}
