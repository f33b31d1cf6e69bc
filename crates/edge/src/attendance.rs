//! Who watches: viewer sessions of breakouts that want it known, from their requests to reports.
//!
//! A signature finds its session's entry once and keeps it; a request then costs a few atomic operations. What is not reported yet
//! stays in the entry, so a queue that is full merges and loses nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use anabranch_model::{BreakoutId, DistributionId, Report, Stay, USER_AGENT_MAX_CHARS, VIEWERS_MAX, ViewerSeen};
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use quick_cache::DefaultHashBuilder;
use tokio::sync::mpsc;

use crate::audience::{Audience, Claims};
use crate::request::{Lines, Request};

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;

/// Open sessions of a shard at most; the oldest make room.
const SHARD_MAX: usize = 4096;

/// Share of a full shard that makes room at once, so that not every new session searches for the oldest.
const EVICTED: usize = SHARD_MAX / 16;

/// Sessions that wait to be reported out of turn.
const URGENT_MAX: usize = SHARDS * SHARD_MAX / 4;

/// Time without a request after which a session is no longer open, in milliseconds.
const IDLE_MS: i64 = 120_000;

/// Reports of one turn, about; more wait for the next one.
const TURN_REPORTS: usize = 16;

/// Reports that wait in the queue at most, before more is kept back here.
const QUEUED_MAX: usize = 32;

/// Time between two reports of what a session watches, in milliseconds: who stays a while is one row that grows, and need not be written at
/// every report.
pub(crate) const STAYS_EVERY_MS: i64 = 10_000;

/// Stands for no request since the last report.
const NONE_YET: i64 = i64::MAX;

/// One session of a breakout.
#[derive(Debug)]
pub(crate) struct Attendee {
    breakout: BreakoutId,
    session: Box<str>,
    user: Box<str>,
    /// First request since the last report, Unix milliseconds.
    first_ms: AtomicI64,
    last_ms: AtomicI64,
    bytes: AtomicU64,
    /// Whether it is in the table.
    open: AtomicBool,
    /// Of the first request since the last report.
    device: Mutex<Device>,
    stays: Mutex<Stays>,
}

/// What a session watches, as far as that is not reported.
#[derive(Debug)]
struct Stays {
    untold: Vec<Stay>,
    /// When it was reported last, Unix milliseconds.
    told_ms: i64,
}

#[derive(Debug)]
struct Device {
    address: IpAddr,
    user_agent: Box<str>,
}

impl Device {
    fn of(request: &Request<'_>) -> Self {
        Self { address: request.peer, user_agent: user_agent(request.lines) }
    }
}

fn user_agent(lines: Lines<'_>) -> Box<str> {
    let value = lines.all("user-agent").next().unwrap_or_default();
    // Bytes enough for so many characters, so that a huge value costs no more.
    let value = &value[..value.len().min(4 * USER_AGENT_MAX_CHARS)];
    String::from_utf8_lossy(value).chars().take(USER_AGENT_MAX_CHARS).collect::<String>().into()
}

impl Attendee {
    /// Whether it is that of `breakout`, and counts.
    pub(crate) fn is_of(&self, breakout: &BreakoutId) -> bool {
        self.open.load(Ordering::Relaxed) && self.breakout == *breakout
    }

    /// Notes that the viewer has asked at that time.
    pub(crate) fn asks(&self, request: &Request<'_>, now_ms: i64) {
        if self.first_ms.load(Ordering::Relaxed) == NONE_YET {
            *self.device.lock() = Device::of(request);
            self.last_ms.store(now_ms, Ordering::Relaxed);
            self.first_ms.fetch_min(now_ms, Ordering::Relaxed);
        } else if self.last_ms.load(Ordering::Relaxed) < now_ms {
            self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
    }

    /// Counts what was sent in answer to one of its requests.
    pub(crate) fn got(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that something of a distribution and rendition was sent in answer to a request of that time.
    pub(crate) fn stays(&self, distribution: &DistributionId, rendition: &str, now_ms: i64) {
        let untold = &mut self.stays.lock().untold;
        let known = untold.iter_mut().rev().find(|stay| {
            stay.rendition == rendition && stay.distribution == *distribution && stay.continues_at(now_ms)
        });
        match known {
            Some(known) => known.last_ms = known.last_ms.max(now_ms),
            None => {
                let (distribution, rendition) = (distribution.clone(), rendition.to_owned());
                let one = Stay { distribution, rendition, location: String::new(), first_ms: now_ms, last_ms: now_ms };
                one.put(untold);
            }
        }
    }

    /// Whether it is time to report what it watches.
    fn stays_due(&self, now_ms: i64) -> bool {
        let stays = self.stays.lock();
        !stays.untold.is_empty()
            && (!self.open.load(Ordering::Relaxed) || now_ms.saturating_sub(stays.told_ms) >= STAYS_EVERY_MS)
    }

    fn take_stays(&self, now_ms: i64) -> Vec<Stay> {
        if !self.stays_due(now_ms) {
            return Vec::new();
        }
        let mut stays = self.stays.lock();
        stays.told_ms = now_ms;
        std::mem::take(&mut stays.untold)
    }

    fn is_due(&self) -> bool {
        self.first_ms.load(Ordering::Relaxed) != NONE_YET || self.bytes.load(Ordering::Relaxed) > 0
    }

    fn take(&self, now_ms: i64) -> ViewerSeen {
        let stays = self.take_stays(now_ms);
        let first_ms = self.first_ms.swap(NONE_YET, Ordering::Relaxed);
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        let device = self.device.lock();
        ViewerSeen {
            breakout: self.breakout.clone(),
            session: self.session.as_ref().to_owned(),
            user: self.user.as_ref().to_owned(),
            address: device.address.to_canonical().to_string(),
            user_agent: device.user_agent.as_ref().to_owned(),
            // A body that is still being sent counts without a request.
            first_ms: first_ms.min(last_ms),
            last_ms,
            bytes: self.bytes.swap(0, Ordering::Relaxed),
            stays,
        }
    }

    fn give_back(&self, seen: &ViewerSeen) {
        self.first_ms.fetch_min(seen.first_ms, Ordering::Relaxed);
        self.bytes.fetch_add(seen.bytes, Ordering::Relaxed);
        let untold = &mut self.stays.lock().untold;
        seen.stays.iter().for_each(|stay| stay.clone().put(untold));
    }
}

type Shard = HashMap<Box<str>, Arc<Attendee>>;

/// The open sessions of this edge.
pub(crate) struct Attendance {
    shards: [Mutex<Shard>; SHARDS],
    hasher: DefaultHashBuilder,
    /// New sessions, and such as had to go before they were reported.
    urgent: Mutex<Vec<Arc<Attendee>>>,
    /// The shard that is first in the next turn.
    turn: AtomicUsize,
    dropped: Counter,
    open: Gauge,
}

impl std::fmt::Debug for Attendance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attendance").finish_non_exhaustive()
    }
}

impl Attendance {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: DefaultHashBuilder::default(),
            urgent: Mutex::default(),
            turn: AtomicUsize::new(0),
            dropped: counter!("anabranch_edge_viewers_dropped_total"),
            open: gauge!("anabranch_edge_viewers_open"),
        }
    }

    /// The entry of a session, which another signature may have made.
    pub(crate) fn open(
        &self,
        audience: &Audience,
        session: &str,
        claims: &Claims,
        request: &Request<'_>,
        now_ms: i64,
    ) -> Arc<Attendee> {
        // Identifiers have no line feed.
        let key = format!("{}\n{session}", audience.breakout).into_boxed_str();
        let at = usize::try_from(self.hasher.hash_one(&key) % SHARDS as u64).expect("a small number");
        let mut shard = self.shards[at].lock();
        if shard.len() >= SHARD_MAX && !shard.contains_key(&key) {
            self.evict(&mut shard);
        }
        match shard.entry(key) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(free) => {
                let attendee = Arc::new(Attendee {
                    breakout: audience.breakout.clone(),
                    session: session.into(),
                    user: claims.user.as_deref().unwrap_or_default().into(),
                    first_ms: AtomicI64::new(now_ms),
                    last_ms: AtomicI64::new(now_ms),
                    bytes: AtomicU64::new(0),
                    open: AtomicBool::new(true),
                    device: Mutex::new(Device::of(request)),
                    stays: Mutex::new(Stays { untold: Vec::new(), told_ms: now_ms }),
                });
                free.insert(attendee.clone());
                drop(shard);
                // Where there is no room it is reported in its turn.
                self.urge(attendee.clone());
                attendee
            }
        }
    }

    fn urge(&self, attendee: Arc<Attendee>) -> bool {
        let mut urgent = self.urgent.lock();
        let room = urgent.len() < URGENT_MAX;
        if room {
            urgent.push(attendee);
        }
        room
    }

    /// Makes room in a full shard: the sessions with the oldest requests go.
    fn evict(&self, shard: &mut Shard) {
        let mut times: Vec<i64> = shard.values().map(|one| one.last_ms.load(Ordering::Relaxed)).collect();
        let at = EVICTED.min(times.len()).saturating_sub(1);
        let (_, newest, _) = times.select_nth_unstable(at);
        let newest = *newest;
        let mut ties = (at + 1).saturating_sub(times.iter().filter(|at| **at < newest).count());
        shard.retain(|_, one| {
            let last = one.last_ms.load(Ordering::Relaxed);
            if last > newest || (last == newest && ties == 0) {
                return true;
            }
            ties -= usize::from(last == newest);
            one.open.store(false, Ordering::Relaxed);
            if (one.is_due() || one.stays_due(i64::MAX)) && !self.urge(one.clone()) {
                self.dropped.increment(1);
            }
            false
        });
    }

    /// Reports sessions that are new.
    pub(crate) fn report_new(&self, reports: &mpsc::Sender<Report>) {
        let mut urgent = std::mem::take(&mut *self.urgent.lock());
        while !urgent.is_empty() {
            let next = urgent.split_off(urgent.len().saturating_sub(VIEWERS_MAX));
            // What they watch has its turn, unless they are gone.
            if let Err(kept) = send(next, reports, i64::MIN) {
                urgent.extend(kept);
                let mut newer = self.urgent.lock();
                let room = URGENT_MAX.saturating_sub(newer.len());
                // Those that are open still have their turn.
                let lost = urgent.iter().skip(room).filter(|one| !one.open.load(Ordering::Relaxed)).count();
                self.dropped.increment(lost as u64);
                newer.extend(urgent.into_iter().take(room));
                return;
            }
        }
    }

    /// Reports who has asked or got something since the last time, and forgets who is gone. With very many sessions a turn goes as
    /// far as it may and the next one goes on from there.
    pub(crate) fn report(&self, reports: &mpsc::Sender<Report>, now_ms: i64) {
        self.report_new(reports);
        let first = self.turn.load(Ordering::Relaxed);
        let (mut due, mut sent) = (Vec::new(), 0);
        for at in (first..first + SHARDS).map(|at| at % SHARDS) {
            self.turn.store(at, Ordering::Relaxed);
            if sent >= TURN_REPORTS {
                break;
            }
            self.shards[at].lock().retain(|_, one| {
                let is_due = one.is_due() || one.stays_due(now_ms);
                if is_due {
                    due.push(one.clone());
                }
                let stays = is_due
                    || one.stays_due(i64::MAX)
                    || now_ms.saturating_sub(one.last_ms.load(Ordering::Relaxed)) < IDLE_MS;
                if !stays {
                    one.open.store(false, Ordering::Relaxed);
                }
                stays
            });
            while due.len() >= VIEWERS_MAX {
                if send(due.split_off(due.len() - VIEWERS_MAX), reports, now_ms).is_err() {
                    return;
                }
                sent += 1;
            }
        }
        if !due.is_empty() {
            // What does not go is in the entries still.
            let _ = send(due, reports, now_ms);
        }
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
        self.open.set(self.shards.iter().map(|shard| shard.lock().len()).sum::<usize>() as f64);
    }
}

/// Reports those of `due` that have something new, at most [`VIEWERS_MAX`].
///
/// # Errors
/// The queue takes no more; nothing is lost.
fn send(due: Vec<Arc<Attendee>>, reports: &mpsc::Sender<Report>, now_ms: i64) -> Result<(), Vec<Arc<Attendee>>> {
    if reports.max_capacity() - reports.capacity() >= QUEUED_MAX {
        return Err(due);
    }
    let (due, rows): (Vec<_>, Vec<_>) = due
        .into_iter()
        .filter(|one| one.is_due() || one.stays_due(now_ms))
        .map(|one| (one.clone(), one.take(now_ms)))
        .unzip();
    if rows.is_empty() {
        return Ok(());
    }
    match reports.try_send(Report::Viewers(rows)) {
        Ok(()) => Ok(()),
        Err(mpsc::error::TrySendError::Full(report) | mpsc::error::TrySendError::Closed(report)) => {
            if let Report::Viewers(rows) = &report {
                due.iter().zip(rows).for_each(|(one, seen)| one.give_back(seen));
            }
            Err(due)
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::{AudienceSpec, BreakoutSpec};

    use super::*;
    use crate::request::{Connection, Fields, Method, Scheme};

    fn audience() -> Arc<Audience> {
        let (id, channel) = ("b1".parse().unwrap(), "c1".parse().unwrap());
        let audience = AudienceSpec { attendance: true, ..AudienceSpec::default() };
        Audience::compile(&BreakoutSpec { id, channel, on_air: true, session: 1, audience, aligned: None }, None)
    }

    fn request(lines: &[u8]) -> Request<'_> {
        Request {
            method: Method::Get,
            scheme: Scheme::Http,
            host: "a.test",
            path: "/b1/a",
            query: None,
            peer: "::ffff:192.0.2.7".parse().unwrap(),
            connection: Connection::default(),
            fields: Fields::default(),
            lines: Lines::Raw(lines),
        }
    }

    fn drained(inbox: &mut mpsc::Receiver<Report>) -> Vec<ViewerSeen> {
        let mut rows = Vec::new();
        while let Ok(report) = inbox.try_recv() {
            let Report::Viewers(more) = report else { panic!("{report:?}") };
            assert!((1..=VIEWERS_MAX).contains(&more.len()));
            rows.extend(more);
        }
        rows
    }

    #[test]
    fn the_oldest_sessions_make_room() {
        const ALL: usize = SHARDS * SHARD_MAX + SHARD_MAX;
        let (attendance, audience, claims) = (Attendance::new(), audience(), Claims::default());
        let request = request(b"User-Agent: player\r\n");
        let open = |number: usize| {
            let at = i64::try_from(number).unwrap();
            attendance.open(&audience, &format!("s{number}"), &claims, &request, at)
        };
        let all: Vec<_> = (0..ALL).map(open).collect();
        let kept: usize = attendance.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(kept <= SHARDS * SHARD_MAX && kept > SHARDS * (SHARD_MAX - EVICTED - SHARD_MAX / 8), "{kept}");
        assert!(attendance.urgent.lock().len() <= URGENT_MAX);
        let is_open = |one: &Arc<Attendee>| one.is_of(&audience.breakout);
        assert_eq!(all.iter().filter(|one| is_open(one)).count(), kept);
        assert!(!is_open(&all[0]) && all[ALL - SHARD_MAX..].iter().all(is_open));

        // Everybody who is open is told of, in as many turns as it takes, and then is not told of again.
        let (reports, mut inbox) = mpsc::channel(1024);
        let mut rows = Vec::new();
        for _ in 0..SHARDS {
            attendance.report(&reports, 0);
            assert!(1024 - reports.capacity() <= QUEUED_MAX);
            rows.extend(drained(&mut inbox));
        }
        let told: std::collections::HashSet<_> = rows.iter().map(|row| row.session.as_str()).collect();
        assert_eq!(told.len(), rows.len());
        assert!(all.iter().filter(|one| is_open(one)).all(|one| told.contains(&*one.session)));
        assert_eq!((rows[0].address.as_str(), rows[0].user_agent.as_str()), ("192.0.2.7", "player"));
        assert!(all.iter().filter(|one| is_open(one)).all(|one| !one.is_due()));

        // Who is gone is forgotten.
        attendance.report(&reports, IDLE_MS + i64::try_from(ALL).unwrap());
        assert!(attendance.shards.iter().all(|shard| shard.lock().is_empty()));
        assert!(drained(&mut inbox).is_empty());
    }

    #[test]
    fn a_full_queue_loses_nothing() {
        let (attendance, audience, claims) = (Attendance::new(), audience(), Claims::default());
        let request = request(b"");
        let (reports, mut inbox) = mpsc::channel(1);
        reports.try_send(Report::Viewers(vec![])).unwrap();
        let one = attendance.open(&audience, "s1", &claims, &request, 10);
        one.got(5);
        attendance.report_new(&reports);
        one.asks(&request, 30);
        one.got(7);
        attendance.report(&reports, 30);
        assert!(matches!(inbox.try_recv(), Ok(Report::Viewers(rows)) if rows.is_empty()));
        attendance.report(&reports, 30);
        let rows = drained(&mut inbox);
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.first_ms, row.last_ms, row.bytes), (10, 30, 12));
        // The end of a body that was asked for before.
        one.got(3);
        attendance.report(&reports, 40);
        let rows = drained(&mut inbox);
        assert_eq!((rows[0].first_ms, rows[0].last_ms, rows[0].bytes), (30, 30, 3));
        attendance.report(&reports, 50);
        assert!(drained(&mut inbox).is_empty());
    }

    #[test]
    fn what_is_watched_is_told_every_few_seconds_and_to_the_end() {
        let (attendance, audience, claims) = (Attendance::new(), audience(), Claims::default());
        let request = request(b"");
        let (reports, mut inbox) = mpsc::channel(8);
        let site: DistributionId = "E1".parse().unwrap();
        let one = attendance.open(&audience, "s1", &claims, &request, 0);
        let mut told = |now_ms| {
            attendance.report(&reports, now_ms);
            let rows = drained(&mut inbox);
            let stays = rows.into_iter().flat_map(|row| row.stays);
            stays.map(|stay| (stay.rendition, stay.first_ms, stay.last_ms)).collect::<Vec<_>>()
        };
        one.stays(&site, "", 0);
        for at in [0, 2000, 4000] {
            one.stays(&site, "v", at);
            assert!(told(at + 1).is_empty());
        }
        assert_eq!(told(STAYS_EVERY_MS), [(String::new(), 0, 0), ("v".to_owned(), 0, 4000)]);
        one.stays(&site, "v", STAYS_EVERY_MS + 1);
        one.stays(&site, "w", STAYS_EVERY_MS + 2);
        assert!(told(STAYS_EVERY_MS + 3).is_empty(), "not yet again");
        // Nobody asks any more, and the rest is told nevertheless.
        let rest = [("v".to_owned(), STAYS_EVERY_MS + 1, STAYS_EVERY_MS + 1), ("w".to_owned(), 10_002, 10_002)];
        assert_eq!(told(2 * STAYS_EVERY_MS), rest);
        assert!(told(3 * STAYS_EVERY_MS).is_empty());
        one.stays(&site, "w", 40_000);
        assert_eq!(told(40_001 + IDLE_MS), [("w".to_owned(), 40_000, 40_000)], "also of who is gone");
        assert!(told(40_002 + IDLE_MS).is_empty());
        assert!(attendance.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
