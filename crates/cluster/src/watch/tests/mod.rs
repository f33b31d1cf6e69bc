//! The machine in a world of its own: answers are a function of the time, and time passes when nothing is left to do.

mod aging;
mod lists;
mod properties;
mod segments;
mod told;

use bytes::Bytes;

use super::*;

/// Time that an answer takes, in milliseconds.
const TRIP_MS: u64 = 20;

const START_UNIX_MS: i64 = 1_750_000_000_000;

enum Said {
    Text(String),
    Failed(Trouble),
}

struct World<F: FnMut(&str, u64) -> Said> {
    machine: Machine,
    now_ms: u64,
    answers: F,
    /// Under way: when it ends, and what it is.
    trips: Vec<(u64, Request)>,
    asked: Vec<(u64, String)>,
    notes: Vec<Notification>,
    found: Vec<Finding>,
    segment: fn(&str) -> SegmentAnswer,
}

fn moment(at_ms: u64) -> Moment {
    Moment { at_ms, unix_ms: START_UNIX_MS + at_ms as i64 }
}

impl<F: FnMut(&str, u64) -> Said> World<F> {
    fn new(settings: Settings, answers: F) -> Self {
        let machine = Machine::new(settings, moment(0)).unwrap();
        let (trips, asked, notes, found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { machine, now_ms: 0, answers, trips, asked, notes, found, segment: |_| SegmentAnswer::There }
    }

    /// Lets time pass up to that moment.
    fn run(&mut self, until_ms: u64) {
        while self.now_ms <= until_ms && !self.machine.is_over() {
            let now = moment(self.now_ms);
            let room = IN_FLIGHT_MAX - self.trips.len();
            for request in self.machine.requests(now, room) {
                self.asked.push((self.now_ms, request.url.path().to_owned()));
                self.trips.push((self.now_ms + TRIP_MS, request));
            }
            let (ended, on_the_way) =
                std::mem::take(&mut self.trips).into_iter().partition(|(end, _)| *end <= self.now_ms);
            self.trips = on_the_way;
            for (_, request) in ended {
                self.answer(&request, now);
            }
            self.machine.tick(now);
            for event in self.machine.take_events() {
                match event {
                    Event::Announced(note) => self.notes.push(Notification::clone(&note)),
                    Event::Found(finding) => self.found.push(finding),
                }
            }
            let trip_ms = self.trips.iter().map(|(end, _)| *end).min().unwrap_or(u64::MAX);
            self.now_ms = self.machine.wake_ms().min(trip_ms).max(self.now_ms + 1);
        }
        self.now_ms = until_ms;
    }

    fn answer(&mut self, request: &Request, now: Moment) {
        let path = request.url.path().to_owned();
        if matches!(request.target, Target::Segment(_)) {
            return self.machine.segment_answered(request.target, &(self.segment)(&path), now);
        }
        let answer = match (self.answers)(&path, now.at_ms - TRIP_MS / 2) {
            Said::Text(text) => Answer::Body { bytes: Bytes::from(text), etag: None, url: None },
            Said::Failed(trouble) => Answer::Failed(trouble),
        };
        self.machine.answered(request.target, answer, now);
    }

    fn state(&self) -> VerdictState {
        self.machine.verdict().state
    }

    fn states(&self) -> Vec<&'static str> {
        self.machine.report(moment(self.now_ms)).playlists.iter().map(|one| one.state.as_str()).collect()
    }

    fn news(&self) -> Vec<(&'static str, &'static str)> {
        self.notes.iter().map(|note| (note.detector.state.as_str(), note.detector.reason.as_str())).collect()
    }

    fn kinds(&self) -> Vec<FindingKind> {
        self.found.iter().map(|finding| finding.kind).collect()
    }
}

fn settings() -> Settings {
    Settings::new("https://origin.example/live/index.m3u8?token=secret", Preset::Default)
}

/// A live playlist of 6 s segments: what it says at that time.
fn live(at_ms: u64) -> String {
    window(at_ms / 6000, "")
}

fn window(newest: u64, more: &str) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{newest}\n");
    for sequence in newest..newest + 5 {
        text.push_str(&format!("#EXTINF:6,\n{sequence}.ts\n"));
    }
    text + more
}

fn top(uris: &[&str]) -> Said {
    Said::Text(anabranch_testkit::multivariant_playlist(uris))
}
