//! Quality of experience, added up from what players tell: by breakout or asset and five minutes.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use anabranch_model::{AssetId, BreakoutId, QUALITY_MAX, Quality};
use parking_lot::Mutex;
use quick_cache::DefaultHashBuilder;

use crate::cmcd::Told;
use crate::detail::Detail;

/// Playback sessions that are remembered; of more each request counts as that of a known one.
const SESSIONS_MAX: usize = 65_536;

/// Parts of the table of sessions, each with a lock of its own.
const SHARDS: usize = 16;

/// Silence after which a session is forgotten, and longest time between two requests that counts as watched, in milliseconds.
const IDLE_MS: i64 = 60_000;

/// Stretch of time that is told apart, in seconds.
const STEP_SECONDS: i64 = 300;

/// Longest time from a session's first request that counts as a start, in milliseconds.
const STARTUP_MAX_MS: i64 = 60_000;

/// Whose quality it is, and when.
type Key = (Option<BreakoutId>, Option<AssetId>, i64);

/// A playback session as this edge has seen it.
#[derive(Clone, Copy, Debug)]
struct Session {
    first_ms: i64,
    last_ms: i64,
    /// Whether it is known how long it took to start.
    started: bool,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Qualities {
    sessions: [Mutex<HashMap<u64, Session>>; SHARDS],
    hasher: DefaultHashBuilder,
    sums: Mutex<HashMap<Key, Quality>>,
}

/// What a request adds beside what it tells.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    new: bool,
    watched_ms: u64,
    startup_ms: Option<u64>,
}

impl Qualities {
    pub(crate) fn new() -> Self {
        Self {
            sessions: std::array::from_fn(|_| Mutex::default()),
            hasher: DefaultHashBuilder::default(),
            sums: Mutex::default(),
        }
    }

    /// Takes in what a request for something of `detail` tells.
    pub(crate) fn note(&self, detail: &Detail, told: &Told, now_ms: i64) {
        if detail.breakout.is_none() && detail.asset.is_none() {
            return;
        }
        let added = self.session(detail, told, now_ms);
        let at = now_ms.div_euclid(1000).div_euclid(STEP_SECONDS) * STEP_SECONDS;
        let key = (detail.breakout.clone(), detail.asset.clone(), at);
        let mut sums = self.sums.lock();
        if sums.len() >= QUALITY_MAX && !sums.contains_key(&key) {
            return;
        }
        let sum = sums.entry(key).or_insert_with_key(|(breakout, asset, at)| Quality {
            breakout: breakout.clone(),
            asset: asset.clone(),
            at: *at,
            ..Quality::default()
        });
        sum.told += 1;
        sum.sessions += u64::from(added.new);
        sum.watched_ms += added.watched_ms;
        sum.starved += u64::from(told.starved);
        let stalled = told.stalled_ms.unwrap_or(0);
        sum.stalled_ms += stalled;
        sum.stalls += u64::from(stalled > 0 || (told.starved && told.stalled_ms.is_none()));
        for (histogram, value) in [
            (&mut sum.startup_ms, added.startup_ms),
            (&mut sum.bitrate_kbps, told.bitrate_kbps.filter(|bitrate| *bitrate > 0)),
            (&mut sum.buffer_ms, told.buffer_ms),
            (&mut sum.throughput_kbps, told.throughput_kbps.filter(|throughput| *throughput > 0)),
        ] {
            value.into_iter().for_each(|value| histogram.take(value));
        }
    }

    /// Takes note of the session's request. A start is what the player says, else the time from a session's first request, which said
    /// that it was needed at once, to the first that does not.
    fn session(&self, detail: &Detail, told: &Told, now_ms: i64) -> Added {
        if told.session().is_empty() {
            return Added { startup_ms: told.startup_ms, ..Added::default() };
        }
        let of = (detail.breakout.as_ref().map(BreakoutId::as_str), detail.asset.as_ref().map(AssetId::as_str));
        let key = self.hasher.hash_one((of, told.session()));
        let shard = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        let mut sessions = self.sessions[shard].lock();
        if sessions.len() >= SESSIONS_MAX / SHARDS && !sessions.contains_key(&key) {
            sessions.retain(|_, session| now_ms - session.last_ms < IDLE_MS);
            if sessions.len() >= SESSIONS_MAX / SHARDS {
                return Added::default();
            }
        }
        let mut added = Added::default();
        let session = sessions.entry(key).or_insert_with(|| {
            added.new = true;
            // Who comes without a wish for haste was here before, at another edge or before a restart.
            Session { first_ms: now_ms, last_ms: now_ms, started: !told.startup && told.startup_ms.is_none() }
        });
        let pause = (now_ms - session.last_ms).max(0);
        added.watched_ms = if pause < IDLE_MS { u64::try_from(pause).unwrap_or(0) } else { 0 };
        session.last_ms = session.last_ms.max(now_ms);
        if !session.started {
            let passed = now_ms - session.first_ms;
            added.startup_ms = match told.startup_ms {
                None if !told.startup && passed <= STARTUP_MAX_MS => u64::try_from(passed).ok(),
                said => said,
            };
            session.started = added.startup_ms.is_some() || !told.startup;
        }
        added
    }

    /// What has come since the last time; asking empties it.
    pub(crate) fn take(&self) -> Vec<Quality> {
        std::mem::take(&mut *self.sums.lock()).into_values().collect()
    }

    /// Takes back what could not be told.
    pub(crate) fn put_back(&self, rows: Vec<Quality>) {
        let mut sums = self.sums.lock();
        for row in rows {
            let key = (row.breakout.clone(), row.asset.clone(), row.at);
            let room = sums.len() < QUALITY_MAX;
            match sums.get_mut(&key) {
                Some(sum) => sum.absorb(&row),
                None if room => drop(sums.insert(key, row)),
                None => {}
            }
        }
    }

    /// Forgets sessions that ask for nothing any more.
    pub(crate) fn forget(&self, now_ms: i64) {
        for sessions in &self.sessions {
            sessions.lock().retain(|_, session| now_ms - session.last_ms < IDLE_MS);
        }
    }
}
