//! What may be wrong with what an input sends. No I/O and no clock: facts with their time in, alarms raised and cleared out.

use std::time::Duration;

use anabranch_media::{Sample, TrackKind};
use anabranch_model::AlarmKind;
use tokio::time::Instant;

/// Time without media that is an alarm.
const SILENCE: Duration = Duration::from_secs(3);

/// Time of pictures without a keyframe that is an alarm.
const NO_KEYFRAMES: Duration = Duration::from_secs(10);

/// How long all must be well before an alarm is cleared.
const WELL: Duration = Duration::from_secs(5);

/// The same for keyframes: longer than they may be apart, so that one that is late each time does not flap.
const KEYFRAMES_WELL: Duration = Duration::from_secs(15);

/// Rates are counted by this.
const SECOND: Duration = Duration::from_secs(1);

/// Seconds that a rate must be low, or well again.
const JUDGED_SECONDS: u32 = 5;

/// Seconds that are counted before a rate is judged by its norm.
const WARM_UP_SECONDS: u32 = 15;

/// Seconds over which a norm follows the rate: what stays low for minutes is the new norm.
const NORM_SECONDS: u32 = 120;

/// Seconds that a rate is smoothed over.
const SMOOTH_SECONDS: usize = 3;

/// An alarm that was raised or cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: AlarmKind,
    pub(crate) raised: bool,
    /// For the operator.
    pub(crate) detail: String,
}

/// The alarms of one input.
#[derive(Debug)]
pub(crate) struct Monitor {
    running: bool,
    connected: bool,
    /// Since when media is to be expected.
    watched: Option<Instant>,
    last_media: Option<Instant>,
    last_keyframe: Option<Instant>,
    last_picture: Option<Instant>,
    silence: Latch,
    keyframes: Latch,
    second: Instant,
    bytes: u64,
    pictures: u32,
    bitrate: Level,
    frame_rate: Level,
}

/// An alarm by a condition: raised with it, cleared some time after it has gone.
#[derive(Debug, Default)]
struct Latch {
    raised: bool,
    well_since: Option<Instant>,
}

/// An alarm by a rate that falls far below its norm.
#[derive(Debug)]
struct Level {
    /// Raised below this share of the norm, cleared above the other.
    floor: f64,
    restored: f64,
    norm: f64,
    seconds: u32,
    recent: [f64; SMOOTH_SECONDS],
    low: u32,
    well: u32,
    raised: bool,
}

impl Monitor {
    /// An input that nobody feeds.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            running: false,
            connected: false,
            watched: None,
            last_media: None,
            last_keyframe: None,
            last_picture: None,
            silence: Latch::default(),
            keyframes: Latch::default(),
            second: now,
            bytes: 0,
            pictures: 0,
            bitrate: Level::new(0.3, 0.5),
            frame_rate: Level::new(0.7, 0.85),
        }
    }

    /// Whether the channel is wanted running: then an encoder is missed.
    pub(crate) fn set_running(&mut self, running: bool, now: Instant) {
        self.running = running;
        self.watch(now);
    }

    /// An encoder connected. Norms begin anew: it may be another one.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected = true;
        self.watch(now);
        (self.second, self.bytes, self.pictures) = (now, 0, 0);
    }

    /// The encoder has gone. What was wrong with its stream is over.
    pub(crate) fn closed(&mut self, now: Instant) -> Vec<Change> {
        self.connected = false;
        (self.last_keyframe, self.last_picture) = (None, None);
        let over = [
            (AlarmKind::NoKeyframes, std::mem::take(&mut self.keyframes).raised),
            (AlarmKind::Bitrate, self.bitrate.reset()),
            (AlarmKind::FrameRate, self.frame_rate.reset()),
        ];
        self.watch(now);
        let detail = || "the encoder has disconnected".to_owned();
        let raised = over.into_iter().filter(|(_, raised)| *raised);
        raised.map(|(kind, _)| Change { kind, raised: false, detail: detail() }).collect()
    }

    /// A sample came.
    pub(crate) fn sample(&mut self, sample: &Sample, now: Instant) {
        self.last_media = Some(now);
        self.bytes += sample.data.len() as u64;
        if sample.kind == TrackKind::Video {
            self.pictures += 1;
            self.last_picture = Some(now);
            if sample.keyframe || self.last_keyframe.is_none() {
                self.last_keyframe = Some(now);
            }
        }
    }

    /// The input was not read up to now: what is missing is our doing.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.last_media = self.last_media.map(|_| now);
        self.last_keyframe = self.last_keyframe.map(|_| now);
        (self.second, self.bytes, self.pictures) = (now, 0, 0);
    }

    /// What has changed by `now`.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let silent = self.judge_silence(now, &mut changes);
        if self.connected {
            self.judge_keyframes(now, &mut changes);
            self.count_seconds(now, silent, &mut changes);
        }
        changes
    }

    /// When [`Self::tick`] may have something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let silence = match (self.quiet_since(), self.silence.raised) {
            (Some(since), false) => Some(since + SILENCE),
            (_, true) => self.silence.well_since.map(|since| since + WELL),
            (None, false) => None,
        };
        let second = self.connected.then_some(self.second + SECOND);
        silence.into_iter().chain(second).min()
    }

    fn watch(&mut self, now: Instant) {
        if self.running || self.connected {
            self.watched.get_or_insert(now);
        } else {
            (self.watched, self.last_media) = (None, None);
        }
    }

    /// Since when media is missed, if it is expected at all.
    fn quiet_since(&self) -> Option<Instant> {
        self.watched.map(|watched| self.last_media.map_or(watched, |last| last.max(watched)))
    }

    fn judge_silence(&mut self, now: Instant, changes: &mut Vec<Change>) -> bool {
        let kind = AlarmKind::Silence;
        let Some(since) = self.quiet_since() else {
            if std::mem::take(&mut self.silence).raised {
                let detail = "no encoder is expected: the channel does not run".to_owned();
                changes.push(Change { kind, raised: false, detail });
            }
            return true;
        };
        let quiet = now.saturating_duration_since(since);
        let silent = quiet >= SILENCE;
        if let Some(raised) = self.silence.see(silent, WELL, now) {
            let seconds = quiet.as_secs_f64();
            let detail = match (raised, self.connected) {
                (true, true) => format!("an encoder is connected and has sent nothing for {seconds:.1} s"),
                (true, false) => format!("no encoder is connected, and nothing came for {seconds:.1} s"),
                (false, _) => "media comes again".to_owned(),
            };
            changes.push(Change { kind, raised, detail });
        }
        silent
    }

    fn judge_keyframes(&mut self, now: Instant, changes: &mut Vec<Change>) {
        let (Some(last_keyframe), Some(last_picture)) = (self.last_keyframe, self.last_picture) else { return };
        // Without pictures at all there is nothing to be said of keyframes.
        if now.saturating_duration_since(last_picture) >= SILENCE {
            self.keyframes.well_since = None;
            return;
        }
        let without = now.saturating_duration_since(last_keyframe);
        if let Some(raised) = self.keyframes.see(without > NO_KEYFRAMES, KEYFRAMES_WELL, now) {
            let detail = if raised {
                format!("pictures came without a keyframe for {:.1} s", without.as_secs_f64())
            } else {
                "keyframes come in time again".to_owned()
            };
            changes.push(Change { kind: AlarmKind::NoKeyframes, raised, detail });
        }
    }

    fn count_seconds(&mut self, now: Instant, silent: bool, changes: &mut Vec<Change>) {
        if now.saturating_duration_since(self.second) >= SECOND * JUDGED_SECONDS {
            // Nobody looked for so long: the seconds cannot be told apart.
            return (self.second, self.bytes, self.pictures) = (now, 0, 0);
        }
        while now.saturating_duration_since(self.second) >= SECOND {
            self.second += SECOND;
            let (bytes, pictures) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.pictures));
            // Silence is an alarm of its own, and no rate.
            if silent {
                continue;
            }
            if let Some(raised) = self.bitrate.second(bytes as f64 * 8.0 / 1000.0) {
                let detail = self.bitrate.detail("kbit/s", 0);
                changes.push(Change { kind: AlarmKind::Bitrate, raised, detail });
            }
            if self.last_picture.is_some()
                && let Some(raised) = self.frame_rate.second(pictures.into())
            {
                let detail = self.frame_rate.detail("pictures a second", 1);
                changes.push(Change { kind: AlarmKind::FrameRate, raised, detail });
            }
        }
    }
}

impl Latch {
    /// Sees the condition. Returns what the alarm becomes, when it changes.
    fn see(&mut self, bad: bool, well: Duration, now: Instant) -> Option<bool> {
        if bad {
            self.well_since = None;
            return (!std::mem::replace(&mut self.raised, true)).then_some(true);
        }
        let since = *self.well_since.get_or_insert(now);
        if self.raised && now.saturating_duration_since(since) >= well {
            self.raised = false;
            return Some(false);
        }
        None
    }
}

impl Level {
    fn new(floor: f64, restored: f64) -> Self {
        let recent = [0.0; SMOOTH_SECONDS];
        Self { floor, restored, norm: 0.0, seconds: 0, recent, low: 0, well: 0, raised: false }
    }

    /// Begins anew. Returns whether it was raised.
    fn reset(&mut self) -> bool {
        let raised = self.raised;
        *self = Self::new(self.floor, self.restored);
        raised
    }

    /// Counts a second. Returns what the alarm becomes, when it changes.
    fn second(&mut self, value: f64) -> Option<bool> {
        self.recent.rotate_left(1);
        self.recent[SMOOTH_SECONDS - 1] = value;
        self.seconds = self.seconds.saturating_add(1);
        let now = self.smooth();
        let judged = self.seconds > WARM_UP_SECONDS;
        self.low = if judged && now < self.norm * self.floor { self.low + 1 } else { 0 };
        self.well = if judged && now >= self.norm * self.restored { self.well.saturating_add(1) } else { 0 };
        self.norm += (value - self.norm) / f64::from(self.seconds.min(NORM_SECONDS));
        let becomes = if self.raised { self.well < JUDGED_SECONDS } else { self.low >= JUDGED_SECONDS };
        (std::mem::replace(&mut self.raised, becomes) != becomes).then_some(becomes)
    }

    fn smooth(&self) -> f64 {
        self.recent.iter().sum::<f64>() / SMOOTH_SECONDS as f64
    }

    fn detail(&self, unit: &str, digits: usize) -> String {
        format!("{:.digits$} {unit}, usually {:.digits$}", self.smooth(), self.norm)
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::AlarmKind::{Bitrate, FrameRate, NoKeyframes, Silence};
    use bytes::Bytes;

    use super::*;

    /// What an encoder does for some time.
    #[derive(Clone, Copy)]
    struct Feed {
        seconds: u64,
        rate: u64,
        picture_bytes: usize,
        gop: u64,
    }

    const GOOD: Feed = Feed { seconds: 30, rate: 25, picture_bytes: 10_000, gop: 50 };

    /// Runs the feeds in a row on a channel that runs, with a tick each 100 ms: when was what raised or cleared.
    fn alarms(feeds: &[Feed]) -> Vec<(u64, AlarmKind, bool)> {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let mut monitor = Monitor::new(begun);
        monitor.set_running(true, begun);
        monitor.connected(begun);
        let (mut log, mut ms) = (Vec::new(), 0);
        for feed in feeds {
            let until = ms + feed.seconds * 1000;
            let mut picture = 0;
            for step in (ms..until).step_by(20) {
                while feed.rate > 0 && ms + picture * 1000 / feed.rate <= step {
                    let keyframe = feed.gop > 0 && picture % feed.gop == 0;
                    let data = Bytes::from(vec![0; feed.picture_bytes]);
                    let (dts, pts) = (step as i64, step as i64);
                    monitor.sample(&Sample { kind: TrackKind::Video, dts, pts, keyframe, data }, at(step));
                    picture += 1;
                }
                let due = monitor.deadline().is_some_and(|deadline| deadline <= at(step));
                let changes = monitor.tick(at(step));
                assert!(changes.is_empty() || due || step % 1000 == 0 || changes[0].kind == NoKeyframes, "{changes:?}");
                log.extend(changes.into_iter().map(|change| (step / 100, change.kind, change.raised)));
            }
            ms = until;
        }
        log
    }

    #[test]
    fn a_good_stream_has_no_alarms() {
        assert_eq!(alarms(&[GOOD, GOOD, GOOD]), []);
    }

    #[test]
    fn silence_is_raised_after_3_s_and_cleared_after_5() {
        let none = Feed { seconds: 10, rate: 0, ..GOOD };
        assert_eq!(alarms(&[none]), [(30, Silence, true)]);
        let log = alarms(&[GOOD, none, GOOD]);
        assert_eq!(log[0], (329, Silence, true));
        assert_eq!(log[1], (450, Silence, false));
        assert!(log[2..].iter().all(|(_, kind, _)| *kind != Silence), "{log:?}");
    }

    #[test]
    fn flapping_each_second_is_no_silence() {
        let (on, off) = (Feed { seconds: 1, ..GOOD }, Feed { seconds: 1, rate: 0, ..GOOD });
        let log = alarms(&[on, off].repeat(30));
        assert!(log.iter().all(|(_, kind, _)| *kind != Silence), "{log:?}");
        let (on, off) = (Feed { seconds: 2, ..GOOD }, Feed { seconds: 4, rate: 0, ..GOOD });
        let log = alarms(&[on, off].repeat(30));
        assert_eq!(log.iter().filter(|(_, kind, _)| *kind == Silence).count(), 1, "raised once: {log:?}");
    }

    #[test]
    fn keyframes_are_missed_after_10_s() {
        let never = Feed { gop: 0, ..GOOD };
        let log = alarms(&[GOOD, never, GOOD]);
        assert_eq!(log.len(), 2, "{log:?}");
        // The last one came at 28 s.
        assert_eq!((log[0].1, log[0].2), (NoKeyframes, true));
        assert!((380..=382).contains(&log[0].0), "{log:?}");
        assert_eq!((log[1].1, log[1].2), (NoKeyframes, false));
        assert!((750..=752).contains(&log[1].0), "{log:?}");
        let late = Feed { seconds: 90, gop: 300, ..GOOD };
        assert_eq!(alarms(&[late]).len(), 1, "one that is late each time does not flap");
    }

    #[test]
    fn a_rate_far_below_its_norm_is_raised_once_and_cleared_once() {
        let thin = Feed { picture_bytes: 1_000, ..GOOD };
        let log = alarms(&[GOOD, thin, GOOD]);
        let kinds: Vec<_> = log.iter().map(|(_, kind, raised)| (*kind, *raised)).collect();
        assert_eq!(kinds, [(Bitrate, true), (Bitrate, false)], "{log:?}");
        assert!((350..=390).contains(&log[0].0) && (640..=690).contains(&log[1].0), "{log:?}");
        let half = Feed { rate: 12, picture_bytes: 20_000, gop: 24, ..GOOD };
        let log = alarms(&[GOOD, half, GOOD]);
        let kinds: Vec<_> = log.iter().map(|(_, kind, raised)| (*kind, *raised)).collect();
        assert_eq!(kinds, [(FrameRate, true), (FrameRate, false)], "{log:?}");
    }

    #[test]
    fn what_stays_low_becomes_the_norm() {
        let thin = Feed { picture_bytes: 2_500, seconds: 240, ..GOOD };
        let log = alarms(&[GOOD, thin]);
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(!log[1].2);
    }

    #[test]
    fn a_channel_that_does_not_run_misses_nobody() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut monitor = Monitor::new(begun);
        assert_eq!((monitor.tick(at(100)), monitor.deadline()), (vec![], None));
        monitor.set_running(true, at(100));
        assert_eq!(monitor.deadline(), Some(at(103)));
        let raised = monitor.tick(at(103));
        assert!(raised[0].raised && raised[0].detail.contains("no encoder is connected"), "{raised:?}");
        assert_eq!((monitor.tick(at(104)), monitor.deadline()), (vec![], None), "nothing to wait for");
        monitor.set_running(false, at(105));
        let cleared = monitor.tick(at(105));
        assert!(cleared.len() == 1 && !cleared[0].raised, "{cleared:?}");
    }

    #[test]
    fn an_encoder_that_goes_takes_its_alarms_with_it() {
        let begun = Instant::now();
        let mut monitor = Monitor::new(begun);
        monitor.connected(begun);
        for ms in (0..12_000).step_by(40) {
            let data = Bytes::from_static(&[0; 100]);
            let now = begun + Duration::from_millis(ms);
            monitor.sample(&Sample { kind: TrackKind::Video, dts: 0, pts: 0, keyframe: false, data }, now);
            monitor.tick(now);
        }
        let over = monitor.closed(begun + Duration::from_secs(12));
        assert_eq!(over.iter().map(|c| (c.kind, c.raised)).collect::<Vec<_>>(), [(NoKeyframes, false)]);
        assert_eq!(monitor.tick(begun + Duration::from_secs(60)), []);
    }

    #[test]
    fn what_was_not_read_is_not_missed() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut monitor = Monitor::new(begun);
        monitor.connected(begun);
        for ms in (0..60_000).step_by(40) {
            // From 30 s on it is read for 40 ms every 6 s.
            if ms >= 30_000 && ms % 6_000 != 0 {
                continue;
            }
            if ms >= 30_000 {
                monitor.excuse(at(ms));
            }
            let (keyframe, data) = (ms % 2000 == 0, Bytes::from_static(&[0; 100]));
            monitor.sample(&Sample { kind: TrackKind::Video, dts: 0, pts: 0, keyframe, data }, at(ms));
            assert_eq!(monitor.tick(at(ms)), [], "{ms}");
        }
    }
}
