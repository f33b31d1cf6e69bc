//! The task that drives a [`Machine`]: real requests, real time.

use std::sync::Arc;
use std::time::Duration;

use anabranch_net::{SharedClock, Shutdown};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fetch::Fetcher;
use super::machine::{Came, Event, Machine, Request, Target};
use super::meters::Meters;
use super::report::Report;
use super::{IN_FLIGHT_MAX, Moment, Settings, SettingsError, Verdict, VerdictState};

/// Questions for a report that wait at the most.
const ASKS_MAX: usize = 16;

/// Shortest sleep: what is due within this time is done together.
const NAP: Duration = Duration::from_millis(5);

/// Longest sleep: what is never due has no time that a clock could have.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// Shortest time between two looks at all numbers for metrics, in milliseconds.
const METERS_EVERY_MS: u64 = 1000;

/// What is known of a watch, while it runs and after. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {
    verdict: watch::Receiver<Verdict>,
    last_change: watch::Receiver<Option<(i64, i64)>>,
    asks: mpsc::Sender<oneshot::Sender<Report>>,
    last: watch::Receiver<Option<Arc<Report>>>,
}

impl Watch {
    /// What is said of the stream; changes with each notification. The sender goes when the watch is over.
    #[must_use]
    pub fn verdict(&self) -> watch::Receiver<Verdict> {
        self.verdict.clone()
    }

    /// When something new came last, and when the next was expected: [`Machine::last_change`].
    #[must_use]
    pub fn last_change(&self) -> watch::Receiver<Option<(i64, i64)>> {
        self.last_change.clone()
    }

    /// All that is known now, or was at the end of the watch. `None` if the watch did not get so far as to run.
    pub async fn report(&self) -> Option<Report> {
        let (tell, told) = oneshot::channel();
        if self.asks.send(tell).await.is_ok()
            && let Ok(report) = told.await
        {
            return Some(report);
        }
        self.last.borrow().as_deref().cloned()
    }
}

/// Which of several watches of a stream it is: by this metrics and log lines tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the region.
    pub region: String,
    /// Which way there, such as `cdn` or `origin`.
    pub way: &'static str,
}

/// Watches one stream.
#[derive(Debug)]
pub struct Watcher {
    machine: Machine,
    fetcher: Fetcher,
    clock: SharedClock,
    begun: Instant,
    verdict: watch::Sender<Verdict>,
    last_change: watch::Sender<Option<(i64, i64)>>,
    asks: mpsc::Receiver<oneshot::Sender<Report>>,
    last: watch::Sender<Option<Arc<Report>>>,
    events: Option<mpsc::Sender<Event>>,
    place: Option<Place>,
    meters: Meters,
    meters_ms: u64,
}

impl Watcher {
    /// A watch that begins when it is [run](Self::run), and what is known of it.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that makes no sense.
    pub fn new(settings: Settings, fetcher: Fetcher, clock: SharedClock) -> Result<(Self, Watch), SettingsError> {
        Self::of_place(settings, None, fetcher, clock)
    }

    /// The same of one place of several where the stream is watched.
    ///
    /// # Errors
    /// As [`Watcher::new`].
    pub fn of_place(
        settings: Settings,
        place: Option<Place>,
        fetcher: Fetcher,
        clock: SharedClock,
    ) -> Result<(Self, Watch), SettingsError> {
        let now = Moment { at_ms: 0, unix_ms: clock.now_ms() };
        let meters = Meters::new(&settings.name, place.as_ref());
        let machine = Machine::new(settings, now)?;
        let (verdict, verdicts) = watch::channel(machine.verdict().clone());
        let (ask, asks) = mpsc::channel(ASKS_MAX);
        let (last, lasts) = watch::channel(None);
        let (last_change, changes) = watch::channel(None);
        let begun = Instant::now();
        let (events, meters_ms) = (None, 0);
        let watcher =
            Self { machine, fetcher, clock, begun, verdict, last_change, asks, last, events, place, meters, meters_ms };
        Ok((watcher, Watch { verdict: verdicts, last_change: changes, asks: ask, last: lasts }))
    }

    /// Tells events too. What finds the queue full is logged and lost, since a watch waits for nobody.
    #[must_use]
    pub fn with_events(mut self, events: mpsc::Sender<Event>) -> Self {
        self.events = Some(events);
        self
    }

    /// Watches until the stream has ended (unless the settings say to go on) or `shutdown`. Requests under way are given up then.
    pub async fn run(mut self, shutdown: Shutdown) {
        self.begun = Instant::now();
        let mut under_way = JoinSet::new();
        loop {
            let now = self.now();
            let room = IN_FLIGHT_MAX.saturating_sub(under_way.len());
            for request in self.machine.requests(now, room) {
                under_way.spawn(make(self.fetcher.clone(), request));
            }
            self.machine.tick(now);
            self.tell(now);
            if self.machine.is_over() {
                break;
            }
            let wake = Instant::now() + nap(self.machine.wake_ms(), self.now().at_ms);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = under_way.join_next() => {
                    self.take(done);
                    while let Some(done) = under_way.try_join_next() {
                        self.take(done);
                    }
                }
                Some(ask) = self.asks.recv() => {
                    // Who asked may be gone.
                    let _ = ask.send(self.machine.report(self.now()));
                }
                // Without room there is nothing to wake up for but an answer.
                () = tokio::time::sleep_until(wake), if under_way.len() < IN_FLIGHT_MAX => {}
            }
        }
        self.last.send_replace(Some(Arc::new(self.machine.report(self.now()))));
        // Of several that come and go, one that is over is no alarm.
        match self.place {
            Some(_) => self.meters.clear(),
            None => self.meters.set(&self.machine),
        }
    }

    fn take(&mut self, done: Result<(Target, Came), tokio::task::JoinError>) {
        let (target, came) = done.expect("a request neither panics nor is cancelled while its watch runs");
        self.machine.took(target, came, self.now());
    }

    fn now(&self) -> Moment {
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { at_ms, unix_ms: self.clock.now_ms() }
    }

    /// Region and way for log lines, where there are several.
    fn place(&self) -> (Option<&str>, Option<&str>) {
        self.place.as_ref().map(|place| (place.region.as_str(), place.way)).unzip()
    }

    fn tell(&mut self, now: Moment) {
        let last_change = self.machine.last_change();
        self.last_change.send_if_modified(|known| std::mem::replace(known, last_change) != last_change);
        for event in self.machine.take_events() {
            match &event {
                Event::Announced(_) => self.announced(),
                Event::Found(finding) => {
                    let (region, way) = self.place();
                    tracing::warn!(
                        watch.name = %self.machine.settings().name, watch.region = region, watch.way = way,
                        playlist = %finding.playlist, finding = finding.kind.as_str(), "{}", finding.evidence
                    );
                }
            }
            if let Some(events) = &self.events
                && let Err(mpsc::error::TrySendError::Full(_)) = events.try_send(event)
            {
                tracing::error!(watch.name = %self.machine.settings().name, "an event of a watch is lost: nobody takes them");
            }
        }
        if now.at_ms >= self.meters_ms {
            self.meters_ms = now.at_ms.saturating_add(METERS_EVERY_MS);
            self.meters.set(&self.machine);
        }
    }

    fn announced(&self) {
        let verdict = self.machine.verdict();
        let (name, state, reason) = (&self.machine.settings().name, verdict.state.as_str(), verdict.reason.as_str());
        let first = verdict.evidence.first().map_or("", String::as_str);
        let (region, way) = self.place();
        if verdict.state == VerdictState::Stale {
            tracing::warn!(
                watch.name = %name, watch.region = region, watch.way = way, verdict = state, reason, evidence = first,
                "the stream is stale"
            );
        } else {
            tracing::info!(
                watch.name = %name, watch.region = region, watch.way = way, verdict = state, reason, "the verdict of a watch"
            );
        }
        self.verdict.send_replace(verdict.clone());
    }
}

/// How long there is nothing to do, by the clock of [`Moment::at_ms`].
fn nap(wake_ms: u64, now_ms: u64) -> Duration {
    Duration::from_millis(wake_ms.saturating_sub(now_ms)).clamp(NAP, SLEEP_MAX)
}

async fn make(fetcher: Fetcher, request: Request) -> (Target, Came) {
    let came = match request.target {
        Target::Segment(_) => Came::Segment(fetcher.segment(&request.url, request.end_byte).await),
        Target::Top | Target::Playlist(_) => {
            Came::Playlist(fetcher.playlist(&request.url, request.etag.as_deref()).await)
        }
    };
    (request.target, came)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_of_months_sleeps_as_one_of_seconds() {
        const DAYS: u64 = 24 * 60 * 60 * 1000;
        for now_ms in [0, 49 * DAYS, 50 * DAYS, 5000 * DAYS] {
            assert_eq!(nap(now_ms + 2500, now_ms), Duration::from_millis(2500), "after {now_ms} ms");
            assert_eq!(nap(now_ms, now_ms), NAP);
            assert_eq!(nap(u64::MAX, now_ms), SLEEP_MAX);
        }
    }
}
