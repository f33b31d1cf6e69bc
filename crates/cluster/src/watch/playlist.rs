//! One media playlist: what its answers say, when it is stale, and when it is asked for next.

use bytes::Bytes;
use reqwest::Url;

use super::discovery::{self, Listed};
use super::fetch::{Answer, Trouble};
use super::finding::{Effect, FindingKind, Findings};
use super::position::{Hash, Position, Step, hash};
use super::report::{PlaylistReport, PlaylistState};
use super::sample::{self, NotPlaylist, Sample, Text};
use super::segment::Probe;
use super::statistics::{Window, seconds};
use super::{AfterEnd, DURATION_DEFAULT_MS, Moment, PAUSE_MAX_MS, PAUSE_MIN_MS, RETRY_MS, Settings, shown};

/// Percent of the expected interval that pass after a change before the next is looked for. Most encoders are punctual, so the first
/// look after it mostly finds it.
const REST_PERCENT: u64 = 95;

/// Limits that a playlist is overdue by before it is asked for only once in its duration.
const LONG_STALE_LIMITS: u64 = 10;

/// Pause between looks at a playlist that has ended, in milliseconds.
const ENDED_PAUSE_MS: u64 = 30_000;

/// How long it is shown that the media sequence went back, in milliseconds.
const BACK_SHOWN_MS: u64 = 60_000;

/// Never.
pub(super) const NEVER: u64 = u64::MAX;

/// A media playlist under watch.
#[derive(Debug)]
pub(super) struct Playlist {
    pub(super) id: u32,
    pub(super) listed: Listed,
    pub(super) shown: String,
    pub(super) state: PlaylistState,
    pub(super) sample: Option<Sample>,
    pub(super) findings: Findings,
    pub(super) probe: Probe,
    /// Sequence at which drift is counted from.
    pub(super) start_sequence: Option<u64>,
    pub(super) is_under_way: bool,
    pub(super) next_ms: u64,
    since: Moment,
    first_asked: Moment,
    /// When the request under way was begun.
    asked: Moment,
    /// How long answers took.
    answers: Window,
    /// Last change, or the first sample.
    changed: Option<Moment>,
    /// Whether that was a change that was seen, so that an interval can begin with it.
    is_change: bool,
    position: Position,
    window: Window,
    text: Option<Hash>,
    /// What was wrong with that text.
    text_trouble: Option<NotPlaylist>,
    trouble: Option<Trouble>,
    etag: Option<String>,
    /// Where it was found, when redirects led elsewhere.
    base: Option<Url>,
}

impl Playlist {
    pub(super) fn new(id: u32, listed: Listed, now: Moment) -> Self {
        Self {
            id,
            shown: shown(listed.url.as_str()),
            listed,
            state: PlaylistState::Unknown,
            sample: None,
            findings: Findings::default(),
            probe: Probe::default(),
            start_sequence: None,
            is_under_way: false,
            next_ms: now.at_ms,
            since: now,
            first_asked: now,
            asked: now,
            answers: Window::default(),
            changed: None,
            is_change: false,
            position: Position::default(),
            window: Window::default(),
            text: None,
            text_trouble: None,
            trouble: None,
            etag: None,
            base: None,
        }
    }

    /// Whether the other is this one: all but the query is the same, since signatures change.
    pub(super) fn is(&self, other: &Listed) -> bool {
        let bare = |url: &Url| (url.origin(), url.path().to_owned());
        self.listed.role == other.role && bare(&self.listed.url) == bare(&other.url)
    }

    /// Goes on under another name.
    pub(super) fn rename(&mut self, listed: Listed) {
        if self.listed.url != listed.url {
            self.shown = shown(listed.url.as_str());
            self.etag = None;
            self.base = None;
        }
        self.listed = listed;
    }

    /// Begins a request, which is conditional as long as nothing depends on whether the server's validators are right.
    pub(super) fn ask(&mut self, now: Moment, settings: &Settings) -> Option<String> {
        self.is_under_way = true;
        self.asked = now;
        let overdue = self.age_ms(now) > self.duration_ms(DURATION_DEFAULT_MS).saturating_add(self.pause_ms(settings));
        if overdue { None } else { self.etag.clone() }
    }

    /// Takes an answer. `fallback_ms` is the duration of other playlists, for one that has never told its own.
    pub(super) fn answered(&mut self, answer: Answer, now: Moment, settings: &Settings, fallback_ms: u64) {
        self.is_under_way = false;
        let mut is_forward = false;
        // A connection that is refused says nothing of how fast a server is.
        if !matches!(&answer, Answer::Failed(trouble) if !matches!(trouble, Trouble::Timeout(_))) {
            self.answers.push(now.at_ms.saturating_sub(self.asked.at_ms));
        }
        match answer {
            Answer::Body { bytes, etag, url } => {
                self.etag = etag;
                self.base = url;
                is_forward = self.take(&bytes, now, settings);
            }
            Answer::NotModified => self.trouble = self.text_trouble.map(Trouble::NotPlaylist),
            Answer::Failed(trouble) => {
                self.etag = None;
                self.trouble = Some(trouble);
            }
        }
        let evidence = self.trouble.as_ref().map(|trouble| (Effect::Warn, trouble.to_string()));
        self.findings.set(FindingKind::Unreachable, evidence, &self.shown, now.unix_ms);
        self.judge(now, settings, fallback_ms);
        self.plan(now, settings, fallback_ms, is_forward);
    }

    /// Whether the text brings something new.
    fn take(&mut self, bytes: &Bytes, now: Moment, settings: &Settings) -> bool {
        let text = hash(bytes);
        if self.text == Some(text) {
            self.trouble = self.text_trouble.map(Trouble::NotPlaylist);
            return false;
        }
        let base = self.base.as_ref().unwrap_or(&self.listed.url);
        let read = match sample::read(bytes, base) {
            Ok(Text::Media(sample)) => Ok(sample),
            Ok(Text::Multivariant(_)) => Err(NotPlaylist::Kind),
            Err(fault) => Err(fault),
        };
        self.text = Some(text);
        self.text_trouble = read.as_ref().err().copied();
        self.trouble = self.text_trouble.map(Trouble::NotPlaylist);
        match read {
            Ok(sample) => self.sampled(sample, text, now, settings),
            Err(_) => false,
        }
    }

    fn sampled(&mut self, sample: Sample, text: Hash, now: Moment, settings: &Settings) -> bool {
        if self.state == PlaylistState::Ended && !sample.ended {
            // The next stream under the same name has nothing to do with the last.
            self.position = Position::default();
            self.probe.forget();
            self.start_sequence = None;
            self.enter(PlaylistState::Unknown, now);
        }
        if sample.ended {
            self.enter(PlaylistState::Ended, now);
        }
        let step = self.position.step(settings.change_detect, &sample, text);
        self.find(step, &sample, now);
        match step {
            Step::First => {
                self.changed = Some(now);
                self.is_change = false;
                self.start_sequence = Some(sample.next_sequence);
            }
            Step::Forward | Step::Restarted => {
                if let (true, Some(changed)) = (self.is_change, self.changed) {
                    self.window.push(now.at_ms.saturating_sub(changed.at_ms));
                }
                self.changed = Some(now);
                self.is_change = true;
                if step == Step::Restarted {
                    self.start_sequence = None;
                }
            }
            Step::Same | Step::Back { .. } => {}
        }
        self.start_sequence = self.start_sequence.or(Some(sample.next_sequence));
        self.sample = Some(sample);
        matches!(step, Step::Forward | Step::Restarted | Step::First)
    }

    fn find(&mut self, step: Step, sample: &Sample, now: Moment) {
        let before = self.sample.as_ref().filter(|_| step != Step::First);
        let back = match (step, before) {
            (Step::Back { from, to }, _) => {
                Some(format!("newest segment went back from {} to {}", last_of(from), last_of(to)))
            }
            (_, Some(before)) if sample.media_sequence < before.media_sequence && step != Step::Restarted => {
                Some(format!("media sequence went back from {} to {}", before.media_sequence, sample.media_sequence))
            }
            _ => None,
        };
        if let Some(evidence) = back {
            let until_ms = now.at_ms.saturating_add(BACK_SHOWN_MS);
            self.findings.happened(FindingKind::SequenceBack, evidence, &self.shown, now.unix_ms, until_ms);
        }
        let breach = sample.breach.map(|(sequence, ms)| {
            let (lasts, target) = (ms as f64 / 1000.0, sample.target_ms / 1000);
            (Effect::Warn, format!("segment {sequence} lasts {lasts} s, target duration is {target} s"))
        });
        self.findings.set(FindingKind::TargetDuration, breach, &self.shown, now.unix_ms);
        let gap = (sample.trailing_gaps > 0)
            .then(|| (Effect::Warn, format!("the newest segments are gaps: {}", sample.trailing_gaps)));
        self.findings.set(FindingKind::Gap, gap, &self.shown, now.unix_ms);
        // What has ended, and what begins, has none.
        let lacks_parts = !sample.has_parts && !sample.ended && sample.segments > 0 && step != Step::First;
        let parts = sample.part_target_ms.filter(|_| lacks_parts).map(|ms| {
            (Effect::Warn, format!("partial segments of {} s are announced, and there is none", seconds(ms as f64)))
        });
        self.findings.set(FindingKind::PartsMissing, parts, &self.shown, now.unix_ms);
    }

    /// Lets time pass.
    pub(super) fn judge(&mut self, now: Moment, settings: &Settings, fallback_ms: u64) {
        self.findings.expire(now.at_ms);
        if self.state == PlaylistState::Ended {
            return;
        }
        let is_overdue = now.at_ms > self.due_ms(settings, fallback_ms);
        if is_overdue && self.is_under_way && !self.findings.makes_stale() {
            // The answer under way may bring the change.
            return;
        }
        let state = match () {
            () if is_overdue || self.findings.makes_stale() => PlaylistState::Stale,
            () if self.is_change => PlaylistState::Fresh,
            // A first sample proves nothing, neither of one that was not there until now.
            () => self.state,
        };
        self.enter(state, now);
    }

    fn enter(&mut self, state: PlaylistState, now: Moment) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    /// When it is stale without a change.
    pub(super) fn due_ms(&self, settings: &Settings, fallback_ms: u64) -> u64 {
        self.changed.unwrap_or(self.first_asked).at_ms.saturating_add(self.limit_ms(settings, fallback_ms))
    }

    fn limit_ms(&self, settings: &Settings, fallback_ms: u64) -> u64 {
        (self.duration_ms(fallback_ms) as f64 * settings.duration_multiplier) as u64
    }

    pub(super) fn duration_ms(&self, fallback_ms: u64) -> u64 {
        self.sample.as_ref().map(|sample| sample.duration_ms).filter(|ms| *ms > 0).unwrap_or(fallback_ms)
    }

    fn age_ms(&self, now: Moment) -> u64 {
        now.at_ms.saturating_sub(self.changed.unwrap_or(self.first_asked).at_ms)
    }

    fn pause_ms(&self, settings: &Settings) -> u64 {
        let duration_ms = self.duration_ms(DURATION_DEFAULT_MS);
        (duration_ms / u64::from(settings.segment_pause_divisor.max(1))).clamp(PAUSE_MIN_MS, PAUSE_MAX_MS)
    }

    fn plan(&mut self, now: Moment, settings: &Settings, fallback_ms: u64, is_forward: bool) {
        if self.state == PlaylistState::Ended {
            let keeps = settings.after_end == AfterEnd::Keep;
            self.next_ms = if keeps { now.at_ms.saturating_add(ENDED_PAUSE_MS) } else { NEVER };
            return;
        }
        let due_ms = self.due_ms(settings, fallback_ms);
        let pause_ms = self.pause_ms(settings);
        let wait_ms = match &self.sample {
            None => RETRY_MS,
            Some(sample) if is_forward && self.is_change => {
                let soonest_ms = sample.part_target_ms.unwrap_or(sample.interval_ms);
                pause_ms.max(soonest_ms.saturating_mul(REST_PERCENT) / 100)
            }
            Some(_) => {
                let limit_ms = self.limit_ms(settings, fallback_ms);
                let is_long_stale = self.age_ms(now) > limit_ms.saturating_mul(LONG_STALE_LIMITS);
                if is_long_stale { self.duration_ms(fallback_ms).clamp(pause_ms, PAUSE_MAX_MS) } else { pause_ms }
            }
        };
        let next_ms = now.at_ms.saturating_add(wait_ms);
        // The last look falls on the time at which it would be stale, so that the verdict is neither late nor of an old answer.
        self.next_ms = if now.at_ms < due_ms { next_ms.min(due_ms) } else { next_ms };
    }

    /// When there is something to do: to ask, or to be stale.
    pub(super) fn wake_ms(&self, settings: &Settings, fallback_ms: u64) -> u64 {
        let ask_ms = if self.is_under_way { NEVER } else { self.next_ms };
        let judges = matches!(self.state, PlaylistState::Fresh | PlaylistState::Unknown) && !self.is_under_way;
        if judges { ask_ms.min(self.due_ms(settings, fallback_ms).saturating_add(1)) } else { ask_ms }
    }

    /// URL of the newest segment, and where its bytes end when it is a range.
    pub(super) fn newest_url(&self) -> Option<(Url, Option<u64>)> {
        let newest = self.sample.as_ref()?.newest.as_ref()?;
        let base = self.base.as_ref().unwrap_or(&self.listed.url);
        Some((discovery::resolve(base, &newest.uri)?, newest.end_byte))
    }

    /// Since when it is in its state.
    pub(super) fn ended_ms(&self) -> u64 {
        self.since.at_ms
    }

    pub(super) fn changed_unix_ms(&self) -> Option<i64> {
        self.changed.map(|changed| changed.unix_ms)
    }

    pub(super) fn statistics(&self) -> Option<super::Statistics> {
        self.window.statistics()
    }

    /// What speaks for its state, in a sentence.
    pub(super) fn evidence(&self, now: Moment, settings: &Settings, fallback_ms: u64) -> String {
        let (age, limit) = (seconds(self.age_ms(now) as f64), seconds(self.limit_ms(settings, fallback_ms) as f64));
        let missing = self.findings.iter().find(|finding| finding.effect == Effect::Stale);
        let mut text = match (&self.sample, missing) {
            (_, Some(finding)) => format!("{}: {}", self.shown, finding.evidence),
            (Some(sample), None) => {
                format!(
                    "{}: no new segment after {} for {age} s, limit {limit} s",
                    self.shown,
                    last_of(sample.next_sequence)
                )
            }
            (None, None) => format!("{}: not there for {age} s, limit {limit} s", self.shown),
        };
        if let Some(trouble) = &self.trouble {
            text.push_str(&format!("; last answer: {trouble}"));
        }
        text
    }

    pub(super) fn report(&self, now: Moment, settings: &Settings, fallback_ms: u64) -> PlaylistReport {
        let sample = self.sample.as_ref();
        PlaylistReport {
            url: self.shown.clone(),
            role: self.listed.role,
            label: self.listed.label.clone(),
            state: self.state,
            since_ms: self.since.unix_ms,
            changed_ms: self.changed_unix_ms(),
            age_ms: self.age_ms(now),
            limit_ms: self.limit_ms(settings, fallback_ms),
            media_sequence: sample.map(|sample| sample.media_sequence),
            newest_sequence: sample.and_then(|sample| sample.newest.as_ref()).map(|newest| newest.sequence),
            duration_seconds: sample.map(|sample| sample.duration_ms as f64 / 1000.0),
            answer_ms: self.answers.median_ms(),
            behind_ms: sample.and_then(|sample| sample.end_date_ms).map(|end_ms| now.unix_ms.saturating_sub(end_ms)),
            statistics: self.statistics(),
            trouble: self.trouble.as_ref().map(ToString::to_string),
            findings: self.findings.iter().cloned().collect(),
        }
    }
}

/// The number of the segment before the next, in words.
fn last_of(next_sequence: u64) -> String {
    next_sequence.checked_sub(1).map_or_else(|| "none".to_owned(), |sequence| sequence.to_string())
}
