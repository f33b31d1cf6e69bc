//! Bend: what is counted and logged, once an answer is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_model::{DistributionId, Report, Traffic};
use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::mpsc;

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
}

impl Outcome {
    const ALL: [Self; 6] = [Self::Hit, Self::Stale, Self::Revalidated, Self::Miss, Self::Collapsed, Self::Own];

    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Own => "own",
        }
    }
}

/// Traffic of one distribution since the last report.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    fn add(&self, requests: u64, bytes: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self) -> (u64, u64) {
        (self.requests.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

/// Counters and gauges of the edge, looked up once.
pub(crate) struct Metrics {
    /// By status class and outcome.
    requests: [[Counter; 6]; 5],
    bytes: Counter,
    pub(crate) origin_fetches: Counter,
    pub(crate) origin_failures: Counter,
    pub(crate) connections: Gauge,
    pub(crate) handshakes: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) cache_bytes: Gauge,
    pub(crate) cache_objects: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        Self {
            requests: classes.map(|class| {
                Outcome::ALL.map(
                    |outcome| counter!("anabranch_edge_requests_total", "status" => class, "cache" => outcome.as_str()),
                )
            }),
            bytes: counter!("anabranch_edge_sent_bytes_total"),
            origin_fetches: counter!("anabranch_edge_origin_fetches_total"),
            origin_failures: counter!("anabranch_edge_origin_failures_total"),
            connections: gauge!("anabranch_edge_connections"),
            handshakes: counter!("anabranch_edge_tls_handshakes_total", "result" => "done"),
            handshakes_failed: counter!("anabranch_edge_tls_handshakes_total", "result" => "failed"),
            cache_bytes: gauge!("anabranch_edge_cache_bytes"),
            cache_objects: gauge!("anabranch_edge_cache_objects"),
        }
    }
}

/// What an access line says; kept only while someone listens to them.
#[derive(Debug)]
pub(crate) struct AccessLine {
    pub(crate) method: &'static str,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) peer: std::net::IpAddr,
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
    pub(crate) line: Option<Box<AccessLine>>,
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(counters) = &self.counters {
            counters.add(1, self.sent);
        }
        let class = usize::from(self.status / 100).clamp(1, 5) - 1;
        self.metrics.requests[class][self.outcome as usize].increment(1);
        self.metrics.bytes.increment(self.sent);
        if let Some(line) = &self.line {
            tracing::event!(
                target: "access",
                tracing::Level::DEBUG,
                viewer.address = %line.peer,
                http.method = line.method,
                http.host = line.host,
                http.path = line.path,
                http.status = self.status,
                sent_bytes = self.sent,
                cache.status = self.outcome.as_str(),
                "request"
            );
        }
    }
}

/// The books of all distributions that have been served, also of those that are gone but not reported yet.
#[derive(Debug, Default)]
pub(crate) struct Books(Vec<(DistributionId, Arc<Counters>)>);

impl Books {
    /// Takes the distributions of a new table in, and forgets those that are gone and reported.
    pub(crate) fn follow(&mut self, counters: impl Iterator<Item = (DistributionId, Arc<Counters>)>) {
        for (id, counters) in counters {
            if !self.0.iter().any(|(_, known)| Arc::ptr_eq(known, &counters)) {
                self.0.push((id, counters));
            }
        }
        self.0.retain(|(_, counters)| Arc::strong_count(counters) > 1 || counters.requests.load(Ordering::Relaxed) > 0);
    }

    /// Reports what has come since the last time. If the queue is full the counts are put back for the next time.
    pub(crate) fn report(&self, reports: &mpsc::Sender<Report>) {
        let taken: Vec<_> = self
            .0
            .iter()
            .map(|(id, counters)| (id, counters, counters.take()))
            .filter(|(_, _, (requests, bytes))| *requests > 0 || *bytes > 0)
            .collect();
        if taken.is_empty() {
            return;
        }
        let traffic = taken
            .iter()
            .map(|(id, _, (requests, bytes))| Traffic {
                requests: *requests,
                bytes: *bytes,
                ..Traffic::none((*id).clone())
            })
            .collect();
        if reports.try_send(Report::Traffic(traffic)).is_err() {
            for (_, counters, (requests, bytes)) in taken {
                counters.add(requests, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_no_traffic() {
        let counters = Arc::new(Counters::default());
        let mut books = Books::default();
        let id: DistributionId = "E1".parse().unwrap();
        books.follow([(id.clone(), counters.clone())].into_iter());
        let (reports, mut inbox) = mpsc::channel(1);
        counters.add(1, 10);
        books.report(&reports);
        counters.add(2, 20);
        books.report(&reports);
        drop(counters);
        books.follow(std::iter::empty());
        assert_eq!(
            inbox.try_recv().unwrap(),
            Report::Traffic(vec![Traffic { requests: 1, bytes: 10, ..Traffic::none(id.clone()) }])
        );
        books.report(&reports);
        assert_eq!(
            inbox.try_recv().unwrap(),
            Report::Traffic(vec![Traffic { requests: 2, bytes: 20, ..Traffic::none(id) }])
        );
        books.report(&reports);
        assert!(inbox.try_recv().is_err());
    }
}
