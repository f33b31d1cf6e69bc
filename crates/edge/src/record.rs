//! Bend: what is counted and logged, once an answer is over.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_model::{BreakoutId, Report, Traffic};
use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::mpsc;

use crate::access_log::{Ending, Line};
use crate::attendance::Attendee;
use crate::series::Series;
use crate::table::Cell;
use crate::unshielded::Unshielded;

/// Time between two reports of traffic.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(5);

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

/// Traffic of one behavior and breakout since the last report.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Of the distribution.
    pub(crate) series: Arc<Series>,
    /// Path pattern of the behavior.
    pub(crate) behavior: Arc<str>,
    pub(crate) breakout: Option<BreakoutId>,
    bytes: AtomicU64,
    /// By status class, 1xx to 5xx; their sum is the number of requests.
    statuses: [AtomicU64; 5],
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What counters held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    bytes: u64,
    statuses: [u64; 5],
    hits: u64,
    misses: u64,
}

impl Counters {
    pub(crate) fn new(series: Arc<Series>, behavior: Arc<str>, breakout: Option<BreakoutId>) -> Self {
        Self { series, behavior, breakout, ..Self::default() }
    }

    fn count(&self, status: u16, outcome: Outcome, bytes: u64) {
        self.statuses[class(status)].fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        match outcome {
            Outcome::Hit | Outcome::Stale => self.hits.fetch_add(1, Ordering::Relaxed),
            Outcome::Revalidated | Outcome::Miss | Outcome::Collapsed => self.misses.fetch_add(1, Ordering::Relaxed),
            Outcome::Own | Outcome::Closed => 0,
        };
    }

    fn take(&self) -> Counts {
        Counts {
            bytes: self.bytes.swap(0, Ordering::Relaxed),
            statuses: std::array::from_fn(|at| self.statuses[at].swap(0, Ordering::Relaxed)),
            hits: self.hits.swap(0, Ordering::Relaxed),
            misses: self.misses.swap(0, Ordering::Relaxed),
        }
    }

    fn put_back(&self, counts: &Counts) {
        self.bytes.fetch_add(counts.bytes, Ordering::Relaxed);
        for (total, one) in self.statuses.iter().zip(counts.statuses) {
            total.fetch_add(one, Ordering::Relaxed);
        }
        self.hits.fetch_add(counts.hits, Ordering::Relaxed);
        self.misses.fetch_add(counts.misses, Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.statuses.iter().all(|count| count.load(Ordering::Relaxed) == 0)
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
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// Bytes handed to the connection.
    pub(crate) sent: u64,
    /// Whose attendance it counts for.
    pub(crate) attendee: Option<Arc<Attendee>>,
    /// Present if the answer is logged.
    pub(crate) line: Option<Box<Line>>,
}

impl Record {
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
        let counters = self.counters.as_deref();
        if let Some(counters) = counters {
            counters.count(self.status, self.outcome, self.sent);
        }
        counters.unwrap_or(&self.metrics.nobody).series.count(self.status, self.outcome, self.sent);
        if let Some(attendee) = &self.attendee {
            attendee.got(self.sent);
        }
        if let Some(line) = self.line.take() {
            line.close(self.status, self.outcome, self.sent);
        }
    }
}

/// The books of everything that has been served, also of what is gone but not reported yet.
#[derive(Debug, Default)]
pub(crate) struct Books(Vec<Cell>);

impl Books {
    /// Takes the cells of a new table in, and forgets those that are gone and reported.
    pub(crate) fn follow<'c>(&mut self, cells: impl Iterator<Item = &'c Cell>) {
        let known: HashSet<_> = self.0.iter().map(|cell| Arc::as_ptr(&cell.counters)).collect();
        self.0.extend(cells.filter(|cell| !known.contains(&Arc::as_ptr(&cell.counters))).cloned());
        self.0.retain(|cell| Arc::strong_count(&cell.counters) > 1 || !cell.counters.is_empty());
    }

    /// Reports what has come since the last time. If the queue is full the counts are put back for the next time.
    pub(crate) fn report(&self, reports: &mpsc::Sender<Report>) {
        let taken: Vec<(&Cell, Counts)> = self
            .0
            .iter()
            .map(|cell| (cell, cell.counters.take()))
            .filter(|(_, counts)| *counts != Counts::default())
            .collect();
        if taken.is_empty() {
            return;
        }
        let traffic = taken.iter().map(|(cell, counts)| traffic(cell, counts)).collect();
        if reports.try_send(Report::Traffic(traffic)).is_err() {
            for (cell, counts) in taken {
                cell.counters.put_back(&counts);
            }
        }
    }
}

fn traffic(cell: &Cell, counts: &Counts) -> Traffic {
    Traffic {
        distribution: cell.distribution.clone(),
        behavior: cell.behavior.as_ref().to_owned(),
        breakout: cell.breakout.clone(),
        requests: counts.statuses.iter().sum(),
        bytes: counts.bytes,
        statuses: counts.statuses,
        hits: counts.hits,
        misses: counts.misses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_no_traffic() {
        let cell = Cell {
            distribution: "E1".parse().unwrap(),
            behavior: "*".into(),
            breakout: None,
            counters: Arc::default(),
        };
        let counters = cell.counters.clone();
        let mut books = Books::default();
        books.follow(std::iter::once(&cell));
        let (reports, mut inbox) = mpsc::channel(1);
        let next = |inbox: &mut mpsc::Receiver<Report>| match inbox.try_recv() {
            Ok(Report::Traffic(traffic)) => traffic[0].clone(),
            other => panic!("{other:?}"),
        };
        counters.count(200, Outcome::Hit, 10);
        books.report(&reports);
        counters.count(200, Outcome::Miss, 20);
        counters.count(404, Outcome::Own, 1);
        books.report(&reports);
        drop((counters, cell));
        books.follow(std::iter::empty());
        let first = next(&mut inbox);
        assert_eq!((first.requests, first.bytes, first.hits, first.misses), (1, 10, 1, 0));
        books.report(&reports);
        let second = next(&mut inbox);
        assert_eq!((second.requests, second.bytes, second.hits, second.misses), (2, 21, 0, 1));
        assert_eq!(second.statuses, [0, 1, 0, 1, 0]);
        books.report(&reports);
        assert!(inbox.try_recv().is_err());
    }
}
