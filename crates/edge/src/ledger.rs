//! The books: counts on their way from the threads that serve to reports, by a thread of their own.
//!
//! Where there is a journal the end of an answer wakes that thread, which appends what has grown since; under load it rests between two looks,
//! so that a flood of answers costs a hundred small writes a second. Every few seconds a file is closed and told as one report.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use anabranch_model::{REPORT_ROWS_MAX, Report, Traffic, TrafficKey};
use anabranch_net::SharedClock;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::config::JournalConfig;
use crate::journal::{Journal, Writer};
use crate::quality::Qualities;
use crate::table::Cell;

/// Time between two reports of traffic.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Longest time without a report, so that whoever waits for all counts of a time knows when it has them.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// Rest after a look: what comes meanwhile is written together. A process that is killed loses no more than what has come since.
const REST: Duration = Duration::from_millis(10);

/// Rows of a report at most: as many as the control plane takes at once.
const ROWS_MAX: usize = REPORT_ROWS_MAX;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// What the threads that serve know of the books.
#[derive(Debug)]
pub(crate) struct Ledger {
    journal: Option<JournalConfig>,
    /// Everything that has been served, also of what is gone but not reported yet.
    cells: Mutex<Vec<Cell>>,
    pub(crate) qualities: Qualities,
    /// Whether anything has been counted since the last look.
    dirty: AtomicBool,
    stopping: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ledger {
    pub(crate) fn new(journal: Option<JournalConfig>) -> Self {
        Self {
            journal,
            cells: Mutex::default(),
            qualities: Qualities::new(),
            dirty: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Says that something was counted.
    pub(crate) fn nudge(&self) {
        if self.journal.is_some() && !self.dirty.load(Ordering::Relaxed) && !self.dirty.swap(true, Ordering::AcqRel) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Takes the cells of a new table in, and forgets those that are gone and reported.
    pub(crate) fn follow<'c>(&self, cells: impl Iterator<Item = &'c Cell>) {
        let mut all = self.cells.lock();
        let known: HashSet<_> = all.iter().map(|cell| Arc::as_ptr(&cell.counters)).collect();
        all.extend(cells.filter(|cell| !known.contains(&Arc::as_ptr(&cell.counters))).cloned());
        all.retain(|cell| Arc::strong_count(&cell.counters) > 1 || !cell.counters.is_empty());
    }

    /// Begins to keep the books.
    pub(crate) fn start(
        self: &Arc<Self>,
        reports: mpsc::Sender<Report>,
        clock: SharedClock,
    ) -> std::io::Result<JoinHandle<()>> {
        let ledger = self.clone();
        let handle = thread::Builder::new()
            .name("edge-books".to_owned())
            .spawn(move || Keeper::new(ledger, reports, clock).run())?;
        let _ = self.thread.set(handle.thread().clone());
        Ok(handle)
    }

    /// Has everything reported once more, and the books closed.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }
}

/// The thread that keeps the books.
struct Keeper {
    ledger: Arc<Ledger>,
    reports: mpsc::Sender<Report>,
    clock: SharedClock,
    journal: Option<Journal>,
    generation: u64,
    /// The file of this generation; none before there is anything to write, or when that failed.
    writer: Option<Writer>,
    /// Whether the file of this generation could not be written.
    failed: bool,
    /// Whether the last one could not, so that a lasting failure makes one line.
    fails: bool,
    /// When there was a report last.
    told_at: Option<Instant>,
    /// What this generation holds.
    sums: BTreeMap<TrafficKey, Traffic>,
}

impl Keeper {
    fn new(ledger: Arc<Ledger>, reports: mpsc::Sender<Report>, clock: SharedClock) -> Self {
        let opened = ledger.journal.as_ref().map(|journal| Journal::open(&journal.dir));
        let generation = ledger.journal.as_ref().map_or(1, |journal| journal.first.max(1));
        let mut keeper = Self {
            ledger,
            reports,
            clock,
            journal: None,
            generation,
            writer: None,
            failed: false,
            fails: false,
            told_at: None,
            sums: BTreeMap::new(),
        };
        match opened.transpose() {
            Ok(journal) => keeper.journal = journal,
            Err(error) => keeper.broken(&error),
        }
        keeper
    }

    fn run(mut self) {
        let mut due = Instant::now();
        loop {
            let stopping = self.ledger.stopping.load(Ordering::Acquire);
            self.ledger.dirty.store(false, Ordering::Release);
            if self.journal.is_some() {
                self.look();
            }
            let now = Instant::now();
            if stopping || now >= due {
                self.look();
                self.close();
                due = now + REPORT_INTERVAL;
            }
            if stopping {
                return;
            }
            if self.journal.is_some() {
                thread::sleep(REST);
            }
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
    }

    /// Takes what was counted since the last look.
    fn look(&mut self) {
        let minute = self.clock.now_ms().div_euclid(MINUTE_MS) * (MINUTE_MS / 1000);
        let mut grown = Vec::new();
        for cell in self.ledger.cells.lock().iter() {
            grown.extend(cell.counters.take(&cell.distribution, minute));
        }
        if grown.is_empty() {
            return;
        }
        for one in &mut grown {
            self.fit(one);
            match self.sums.get_mut(&one.key()) {
                Some(sum) => sum.absorb(one),
                None => drop(self.sums.insert(one.key(), one.clone())),
            }
        }
        if let Err(error) = self.write(&grown) {
            self.broken(&error);
        }
    }

    /// Gives up detail while a row would be one too many.
    fn fit(&self, one: &mut Traffic) {
        let coarser: [fn(&mut Traffic); 4] = [
            |one| one.rendition.clear(),
            |one| one.asset = None,
            |one| (one.breakout, one.session, one.recorded) = (None, 0, false),
            |one| one.behavior.clear(),
        ];
        for coarsen in coarser {
            if self.sums.len() < ROWS_MAX || self.sums.contains_key(&one.key()) {
                return;
            }
            coarsen(one);
        }
    }

    fn write(&mut self, grown: &[Traffic]) -> std::io::Result<()> {
        let (Some(journal), false) = (&self.journal, self.failed) else { return Ok(()) };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(journal.begin(self.generation)?),
        };
        writer.add(grown, &self.sums)
    }

    fn broken(&mut self, error: &std::io::Error) {
        if !self.fails {
            tracing::error!(%error, "counts cannot be kept on disk; a process that is killed loses those of its last seconds");
        }
        (self.failed, self.fails) = (true, true);
    }

    /// Tells what there is. If the queue is full it goes with what comes next.
    fn close(&mut self) {
        let now_ms = self.clock.now_ms();
        self.ledger.qualities.forget(now_ms);
        self.ledger.cells.lock().iter().for_each(|cell| cell.counters.forget_idle());
        let Ok(permit) = self.reports.try_reserve() else { return };
        let quality = self.ledger.qualities.take();
        match &self.ledger.journal {
            Some(journal) => {
                let silent = self.told_at.is_none_or(|at| at.elapsed() >= TELL_INTERVAL);
                if self.sums.is_empty() && quality.is_empty() && !silent {
                    return;
                }
                self.told_at = Some(Instant::now());
                let traffic = std::mem::take(&mut self.sums).into_values().collect();
                let generation = self.generation;
                permit.send(Report::Counted {
                    journal: journal.id.clone(),
                    generation,
                    until_ms: now_ms,
                    traffic,
                    quality,
                });
                self.generation += 1;
                self.writer = None;
                self.fails &= self.failed;
                self.failed = self.journal.is_none();
            }
            None => {
                if !self.sums.is_empty() {
                    permit.send(Report::Traffic(std::mem::take(&mut self.sums).into_values().collect()));
                } else {
                    drop(permit);
                }
                if !quality.is_empty()
                    && let Err(error) = self.reports.try_send(Report::Quality(quality))
                    && let Report::Quality(quality) = error.into_inner()
                {
                    self.ledger.qualities.put_back(quality);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::SpoolId;
    use anabranch_net::ManualClock;

    use super::*;
    use crate::counters::Counters;
    use crate::metrics::Metrics;
    use crate::outcome::Outcome;
    use crate::record::Record;

    const NOW_MS: i64 = 1_767_225_600_000;

    fn cell() -> Cell {
        Cell::of(
            "E1".parse().unwrap(),
            Arc::new(Counters::new(Arc::default(), "*".into(), Some("b1".parse().unwrap()))),
        )
    }

    fn answer(ledger: &Arc<Ledger>, cell: &Cell, path: &str, bytes: u64) {
        let part = cell.counters.part(path, 200);
        let place = Some((cell.counters.clone(), part));
        Record::new(place, (Arc::new(Metrics::new()), ledger.clone()), 200, Outcome::Miss).sent(bytes);
    }

    fn keeper(ledger: &Arc<Ledger>, queue: usize) -> (Keeper, mpsc::Receiver<Report>) {
        let (reports, inbox) = mpsc::channel(queue);
        (Keeper::new(ledger.clone(), reports, Arc::new(ManualClock::new(NOW_MS))), inbox)
    }

    #[test]
    fn a_full_queue_loses_nothing_and_detail_is_bounded() {
        let ledger = Arc::new(Ledger::new(None));
        let cell = cell();
        ledger.follow(std::iter::once(&cell));
        let (mut keeper, mut inbox) = keeper(&ledger, 1);
        let rows = |inbox: &mut mpsc::Receiver<Report>| match inbox.try_recv() {
            Ok(Report::Traffic(rows)) => rows,
            other => panic!("{other:?}"),
        };
        answer(&ledger, &cell, "/b1/video/1.m4s", 10);
        keeper.look();
        keeper.close();
        answer(&ledger, &cell, "/b1/video/2.m4s", 20);
        answer(&ledger, &cell, "/b1/index.m3u8", 1);
        keeper.look();
        keeper.close();
        let first = rows(&mut inbox);
        assert_eq!((first.len(), first[0].bytes, first[0].fetched, first[0].rendition.as_str()), (1, 10, 10, "video"));
        assert_eq!((first[0].misses, first[0].fetches), (1, 1));
        assert_eq!(first[0].minute, NOW_MS / 1000);
        for folder in 0..2000 {
            answer(&ledger, &cell, &format!("/b1/x{folder}/1"), 1);
        }
        keeper.look();
        keeper.close();
        let second = rows(&mut inbox);
        assert_eq!(second.iter().map(|row| row.bytes).sum::<u64>(), 2021);
        assert!(second.len() <= 257, "{}", second.len());
        drop(cell);
        ledger.follow(std::iter::empty());
        keeper.look();
        keeper.close();
        assert!(inbox.try_recv().is_err() && ledger.cells.lock().is_empty());
    }

    #[test]
    fn a_process_that_ends_leaves_what_was_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig { dir: dir.path().to_owned(), id: SpoolId::random(), first: 4 };
        let ledger = Arc::new(Ledger::new(Some(config.clone())));
        let cell = cell();
        ledger.follow(std::iter::once(&cell));
        let (mut keeper, mut inbox) = keeper(&ledger, 8);
        answer(&ledger, &cell, "/b1/video/1.m4s", 10);
        keeper.look();
        keeper.close();
        let Ok(Report::Counted { journal, generation, traffic, .. }) = inbox.try_recv() else { panic!() };
        assert_eq!((journal, generation, traffic[0].bytes), (config.id, 4, 10));
        answer(&ledger, &cell, "/b1/video/2.m4s", 20);
        answer(&ledger, &cell, "/b1/video/3.m4s", 100);
        keeper.look();
        // It is not told of: the process is gone.
        drop(keeper);
        let left = Journal::open(dir.path()).unwrap();
        let kept = left.kept().unwrap();
        assert_eq!(
            kept.iter().map(|kept| (kept.generation, kept.traffic[0].bytes)).collect::<Vec<_>>(),
            [(4, 10), (5, 120)]
        );
        left.forget(4).unwrap();
        assert_eq!(left.kept().unwrap().len(), 1);
    }

    #[test]
    fn the_end_of_an_answer_is_on_disk_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig { dir: dir.path().to_owned(), id: SpoolId::random(), first: 1 };
        let ledger = Arc::new(Ledger::new(Some(config)));
        let cell = cell();
        ledger.follow(std::iter::once(&cell));
        let (reports, _inbox) = mpsc::channel(8);
        let thread = ledger.start(reports, Arc::new(ManualClock::new(NOW_MS))).unwrap();
        let left = Journal::open(dir.path()).unwrap();
        for number in 1..=5 {
            answer(&ledger, &cell, "/b1/video/1.m4s", 10);
            let counted =
                || left.kept().unwrap().iter().flat_map(|kept| &kept.traffic).map(|row| row.bytes).sum::<u64>();
            let began = Instant::now();
            while counted() < number * 10 {
                assert!(began.elapsed() < Duration::from_secs(4), "{} of {}", counted(), number * 10);
                thread::yield_now();
            }
        }
        ledger.stop();
        thread.join().unwrap();
    }
}
