//! Traffic as it is counted: by behavior and breakout, and in those by folder.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anabranch_model::{BreakoutId, DistributionId, Traffic};
use parking_lot::RwLock;
use quick_cache::DefaultHashBuilder;

use crate::detail::{Detail, folder};
use crate::outcome::{Outcome, class};
use crate::series::Series;

/// Folders that a behavior and breakout tell apart; what comes from more counts without detail.
const PARTS_MAX: usize = 256;

/// Looks at a folder's counts in a row that found none, after which it is forgotten.
const IDLE_LOOKS: u32 = 12;

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
    /// Counts an answer that is over.
    pub(crate) fn count(&self, status: u16, outcome: Outcome) {
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

    /// Counts bytes that were sent of an answer.
    pub(crate) fn sent(&self, outcome: Outcome, bytes: u64) {
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
