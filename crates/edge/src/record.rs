//! Bend: what is counted and logged, once an answer is over.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anabranch_model::{BreakoutId, DistributionId, Traffic};
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::RwLock;
use quick_cache::DefaultHashBuilder;

use crate::access_log::{Ending, Line};
use crate::attendance::Attendee;
use crate::detail::{Detail, folder};
use crate::ledger::Ledger;
use crate::series::Series;
use crate::unshielded::Unshielded;

/// How an answer came about, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Hit,
    Stale,
    Revalidated,
    Miss,
    Collapsed,
    Own,
    /// Refused because its region is closed.
    Closed,
}

impl Outcome {
    pub(crate) const COUNT: usize = Self::Closed as usize + 1;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Own => "own",
            Self::Closed => "closed",
        }
    }
}

/// Folders that a behavior and breakout tell apart; what comes from more counts without detail.
const PARTS_MAX: usize = 256;

/// Looks at a folder's counts in a row that found none, after which it is forgotten.
const IDLE_LOOKS: u32 = 12;

/// Bytes of an answer that is still being sent after which they count.
const PROGRESS_BYTES: u64 = 64 << 10;

/// Traffic of one behavior and breakout since the last report.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Of the distribution.
    pub(crate) series: Arc<Series>,
    /// Path pattern of the behavior.
    pub(crate) behavior: Arc<str>,
    pub(crate) breakout: Option<BreakoutId>,
    /// Session of the breakout.
    session: AtomicU32,
    /// What is counted without detail.
    rest: Arc<Part>,
    /// By folder.
    parts: RwLock<HashMap<Box<str>, Arc<Part>, DefaultHashBuilder>>,
}

/// The part of it that has one folder.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) detail: Detail,
    bytes: AtomicU64,
    /// By status class, 1xx to 5xx; their sum is the number of requests.
    statuses: [AtomicU64; 5],
    hits: AtomicU64,
    misses: AtomicU64,
    fetched: AtomicU64,
    fetches: AtomicU64,
    /// Looks in a row that found nothing.
    idle: AtomicU32,
}

impl Counters {
    pub(crate) fn new(series: Arc<Series>, behavior: Arc<str>, breakout: Option<BreakoutId>) -> Self {
        let detail = Detail { breakout: breakout.clone(), ..Detail::default() };
        let rest = Arc::new(Part { detail, ..Part::default() });
        Self { series, behavior, breakout, rest, ..Self::default() }
    }

    /// Says which session of the breakout it is now.
    pub(crate) fn of_session(&self, session: u32) {
        self.session.store(session, Ordering::Relaxed);
    }

    /// The part that an answer counts for. What was refused or not found makes no new one.
    pub(crate) fn part(&self, path: &str, status: u16) -> Arc<Part> {
        let folder = folder(path);
        if let Some(part) = self.parts.read().get(folder) {
            return part.clone();
        }
        if status >= 400 {
            return self.rest.clone();
        }
        let detail = Detail::of(folder, self.breakout.as_ref());
        if detail == self.rest.detail {
            return self.rest.clone();
        }
        let mut parts = self.parts.write();
        if parts.len() >= PARTS_MAX && !parts.contains_key(folder) {
            return self.rest.clone();
        }
        parts.entry(folder.into()).or_insert_with(|| Arc::new(Part { detail, ..Part::default() })).clone()
    }

    /// Takes what was counted, as rows of `minute` whose counts are not all nothing.
    pub(crate) fn take(&self, distribution: &DistributionId, minute: i64) -> Vec<Traffic> {
        let of = |part: &Part| {
            let mut row = part.take(distribution);
            if row.counts().all(|count| count == 0) {
                part.idle.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            part.idle.store(0, Ordering::Relaxed);
            self.behavior.as_ref().clone_into(&mut row.behavior);
            row.minute = minute;
            if !row.recorded && row.breakout.is_some() {
                row.session = self.session.load(Ordering::Relaxed);
            }
            Some(row)
        };
        let parts = self.parts.read();
        std::iter::once(&self.rest).chain(parts.values()).filter_map(|part| of(part)).collect()
    }

    /// Forgets folders that nobody has asked for in a while.
    pub(crate) fn forget_idle(&self) {
        let is_idle = |part: &Arc<Part>| {
            part.idle.load(Ordering::Relaxed) >= IDLE_LOOKS && Arc::strong_count(part) == 1 && part.is_empty()
        };
        if self.parts.read().values().any(is_idle) {
            self.parts.write().retain(|_, part| !is_idle(part));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.parts.read().values().all(|part| part.is_empty())
    }
}

impl Part {
    fn count(&self, status: u16, outcome: Outcome) {
        self.statuses[class(status)].fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Hit | Outcome::Stale => self.hits.fetch_add(1, Ordering::Relaxed),
            Outcome::Revalidated | Outcome::Miss | Outcome::Collapsed => self.misses.fetch_add(1, Ordering::Relaxed),
            Outcome::Own | Outcome::Closed => 0,
        };
        if matches!(outcome, Outcome::Miss | Outcome::Revalidated) {
            self.fetches.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sent(&self, outcome: Outcome, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if outcome == Outcome::Miss {
            self.fetched.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn take(&self, distribution: &DistributionId) -> Traffic {
        let taken = |counter: &AtomicU64| {
            // Most are nothing, and reading is cheaper than writing.
            if counter.load(Ordering::Relaxed) == 0 { 0 } else { counter.swap(0, Ordering::Relaxed) }
        };
        let statuses: [u64; 5] = std::array::from_fn(|at| taken(&self.statuses[at]));
        Traffic {
            breakout: self.detail.breakout.clone(),
            session: self.detail.session,
            recorded: self.detail.recorded,
            asset: self.detail.asset.clone(),
            rendition: self.detail.rendition.as_ref().to_owned(),
            requests: statuses.iter().sum(),
            bytes: taken(&self.bytes),
            statuses,
            hits: taken(&self.hits),
            misses: taken(&self.misses),
            fetched: taken(&self.fetched),
            fetches: taken(&self.fetches),
            ..Traffic::none(distribution.clone())
        }
    }

    fn is_empty(&self) -> bool {
        let rest = [&self.bytes, &self.hits, &self.misses, &self.fetched, &self.fetches];
        let counters = self.statuses.iter().chain(rest);
        counters.into_iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

/// Index of a status class.
pub(crate) fn class(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}

/// Counters and gauges of the edge, looked up once.
pub(crate) struct Metrics {
    /// Of requests that no distribution claims; they are in no report.
    pub(crate) nobody: Counters,
    pub(crate) origin_fetches: Counter,
    pub(crate) origin_failures: Counter,
    pub(crate) origin_failovers: Counter,
    pub(crate) connections: Gauge,
    pub(crate) handshakes: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) cache_bytes: Gauge,
    pub(crate) cache_objects: Gauge,
    pub(crate) disk_bytes: Gauge,
    pub(crate) disk_objects: Gauge,
    pub(crate) unshielded: Unshielded,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            nobody: Counters::default(),
            origin_fetches: counter!("anabranch_edge_origin_fetches_total"),
            origin_failures: counter!("anabranch_edge_origin_failures_total"),
            origin_failovers: counter!("anabranch_edge_origin_failovers_total"),
            connections: gauge!("anabranch_edge_connections"),
            handshakes: counter!("anabranch_edge_tls_handshakes_total", "result" => "done"),
            handshakes_failed: counter!("anabranch_edge_tls_handshakes_total", "result" => "failed"),
            cache_bytes: gauge!("anabranch_edge_cache_bytes"),
            cache_objects: gauge!("anabranch_edge_cache_objects"),
            disk_bytes: gauge!("anabranch_edge_disk_bytes"),
            disk_objects: gauge!("anabranch_edge_disk_objects"),
            unshielded: Unshielded::new(),
        }
    }
}

/// One answer's entry in the books, made when it ends, however it ends.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) counters: Option<Arc<Counters>>,
    /// The part of the counters that it counts for.
    pub(crate) part: Option<Arc<Part>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// Bytes handed to the connection.
    sent: u64,
    /// Those of them that are counted.
    counted: u64,
    /// Whose attendance it counts for.
    pub(crate) attendee: Option<Arc<Attendee>>,
    /// Present if the answer is logged.
    pub(crate) line: Option<Box<Line>>,
}

impl Record {
    pub(crate) fn new(
        place: Option<(Arc<Counters>, Arc<Part>)>,
        (metrics, ledger): (Arc<Metrics>, Arc<Ledger>),
        status: u16,
        outcome: Outcome,
    ) -> Self {
        let (counters, part) = place.unzip();
        Self { counters, part, metrics, ledger, status, outcome, sent: 0, counted: 0, attendee: None, line: None }
    }

    /// Counts bytes that were handed to the connection. A long answer's count while it is being sent.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        if self.sent - self.counted >= PROGRESS_BYTES {
            self.progress();
        }
    }

    /// Bytes handed to the connection so far.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.sent
    }

    fn progress(&mut self) {
        if let Some(part) = &self.part {
            part.sent(self.outcome, self.sent - self.counted);
            self.ledger.nudge();
        }
        self.counted = self.sent;
    }

    /// Says how the sending of the answer ended; without a word the viewer was cut off.
    pub(crate) fn ended(&mut self, ending: Ending) {
        if let Some(line) = &mut self.line {
            line.end(ending);
        }
    }

    /// The same by the result of the sending, which calls a body that breaks off an unexpected end.
    pub(crate) fn end(&mut self, sent: &io::Result<()>) {
        self.ended(match sent {
            Ok(()) => Ending::Whole,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ending::Broken,
            Err(_) => Ending::Cut,
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            part.count(self.status, self.outcome);
            part.sent(self.outcome, self.sent - self.counted);
            self.ledger.nudge();
        }
        let counters = self.counters.as_deref();
        counters.unwrap_or(&self.metrics.nobody).series.count(self.status, self.outcome, self.sent);
        if let Some(attendee) = &self.attendee {
            attendee.got(self.sent);
        }
        if let Some(line) = self.line.take() {
            line.close(self.status, self.outcome, self.sent);
        }
    }
}
