//! Reports on disk until the control plane has counted them.
//!
//! Each batch is a file, numbered. Only the oldest is ever sent, and only once it is gone the next: so just the oldest can be one
//! that the control plane has counted already, and is therefore never changed. When there are too many, what comes is added to
//! the others instead of making new ones: counts add up, nothing is dropped. A batch is of traffic or of viewers; of these a session
//! makes one row, and only with more sessions than there is room for are the oldest dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anabranch_model::{
    NodeName, QUALITY_MAX, Quality, REPORT_BYTES_MAX, REPORT_ROWS_MAX, Report, ReportBatch, SpoolId, Traffic,
    TrafficKey, ViewerSeen,
};
use anyhow::{Context, Result};

use super::viewers::{self, Viewers};
use crate::node::disk::{UNFINISHED, sync_folder, write_atomically};

/// Batches of traffic that wait at most. With the rows of a batch it bounds the disk: 32 files of a few hundred KiB.
const BATCHES_MAX: usize = 32;

/// Batches of viewers that wait at most: 32 files of a MiB at the very most.
const VIEWER_BATCHES_MAX: usize = 32;

/// Sessions kept in memory while the disk takes none, or has enough.
const VIEWERS_LOOSE_MAX: usize = 8192;

/// Rows kept in memory with all their detail while the disk takes none.
const LOOSE_MAX: usize = 4096;

/// Refused batches that are kept for the operator.
const REFUSED_MAX: usize = 8;

/// Longest path pattern that the control plane takes, in bytes.
const BEHAVIOR_MAX_BYTES: usize = 256;

/// File with the spool's identifier.
const ID_FILE: &str = "spool";

/// Ending of a batch that waits.
const WAITING: &str = "json";

/// Ending of the batch that was acknowledged last; it holds the numbering.
const DONE: &str = "done";

/// Ending of a batch that the control plane does not take.
const REFUSED: &str = "refused";

/// What players told, by breakout or asset and time.
type Qualities = BTreeMap<(Option<String>, Option<String>, i64), Quality>;

type Rows = BTreeMap<TrafficKey, Traffic>;

/// The spool of a node.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    id: SpoolId,
    /// Numbers of batches that wait, ascending.
    waiting: VecDeque<u64>,
    /// Number of the next batch.
    next: u64,
    /// Those of `waiting` that are of viewers.
    of_viewers: BTreeSet<u64>,
    /// What the disk does not have yet, because it is full or failing.
    loose: Rows,
    /// The same of viewers.
    seen: Viewers,
    /// The same of quality.
    quality: Qualities,
    /// Newest file of the journal that is in batches, and the newest that is in them or loose.
    journal: (u64, u64),
}

impl Spool {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let open = || format!("cannot open the report spool {}", dir.display());
        fs::create_dir_all(dir).with_context(open)?;
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for entry in fs::read_dir(dir).with_context(open)? {
            let path = entry.with_context(open)?.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            match (ending.as_str(), number) {
                (UNFINISHED, _) => fs::remove_file(&path).with_context(open)?,
                (WAITING | DONE | REFUSED, Some(number)) => numbers.entry(ending).or_default().push(number),
                _ => {}
            }
        }
        let next = numbers.values().flatten().max().map_or(1, |last| last + 1);
        let mut waiting = numbers.remove(WAITING).unwrap_or_default();
        waiting.sort_unstable();
        let mut spool = Self {
            dir: dir.to_owned(),
            id: identifier(dir)?,
            waiting: waiting.into(),
            next,
            of_viewers: BTreeSet::new(),
            loose: Rows::new(),
            seen: Viewers::new(),
            quality: Qualities::new(),
            journal: (0, 0),
        };
        for (ending, numbers) in &numbers {
            for number in numbers {
                spool.journal.0 = spool.journal.0.max(spool.read_as(*number, ending).map_or(0, |batch| batch.journal));
            }
        }
        for number in &spool.waiting {
            spool.journal.0 = spool.journal.0.max(spool.read(*number).map_or(0, |batch| batch.journal));
        }
        spool.journal.1 = spool.journal.0;
        let of_viewers = |batch: ReportBatch| batch.reports.iter().any(|report| matches!(report, Report::Viewers(_)));
        let read = |sequence: &&u64| spool.read(**sequence).is_ok_and(of_viewers);
        spool.of_viewers = spool.waiting.iter().filter(read).copied().collect();
        if !spool.waiting.is_empty() {
            tracing::info!(batches = spool.waiting.len(), "reports of an earlier run wait for the control plane");
        }
        Ok(spool)
    }

    pub(super) fn id(&self) -> &SpoolId {
        &self.id
    }

    /// Batches that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Newest file of the journal that is in batches: it and older ones may go.
    pub(super) fn journal(&self) -> u64 {
        self.journal.0
    }

    /// Keeps what a file of the journal holds, all of it in one batch, so that a process which ends meanwhile has it once: in the batch,
    /// or in the journal. Detail that does not fit is given up.
    ///
    /// # Errors
    /// The disk does not take it. It stays in the journal, and in memory goes with what comes next.
    pub(super) fn append_counted(
        &mut self,
        node: &NodeName,
        generation: u64,
        traffic: Vec<Traffic>,
        quality: Vec<Quality>,
    ) -> io::Result<()> {
        if generation <= self.journal.1 {
            return Ok(());
        }
        self.append_quality(quality);
        traffic.into_iter().for_each(|one| self.loosen(one));
        self.journal.1 = generation;
        let mut detail = COARSER.iter();
        while self.loose.len() > REPORT_ROWS_MAX
            && let Some(coarsen) = detail.next()
        {
            self.loose = coarser(std::mem::take(&mut self.loose), *coarsen);
        }
        if self.waiting.len() - self.of_viewers.len() < BATCHES_MAX {
            return self.append(node, Vec::new());
        }
        // Into the newest batch that was never sent.
        let unsent = self.unsent(|sequence| !self.of_viewers.contains(sequence));
        for sequence in unsent {
            let Ok(batch) = self.read(sequence) else { continue };
            let mut rows = Rows::new();
            traffic_of(batch).into_iter().for_each(|one| put(&mut rows, one));
            std::mem::take(&mut self.loose).into_values().for_each(|one| put(&mut rows, one));
            let mut detail = COARSER.iter();
            while rows.len() > REPORT_ROWS_MAX
                && let Some(coarsen) = detail.next()
            {
                rows = coarser(rows, *coarsen);
            }
            let marked = (self.journal.1, self.journal.1);
            return match self.write_marked(node, sequence, vec![traffic_report(&rows)], marked.1) {
                Ok(()) => {
                    self.journal = marked;
                    Ok(())
                }
                Err(error) => {
                    // What was in the batch is still there.
                    let before = self.read(sequence).map(traffic_of).unwrap_or_default();
                    self.loose = rows;
                    for one in before {
                        if let Some(sum) = self.loose.get_mut(&one.key()) {
                            sum.discharge(&one);
                        }
                    }
                    Err(error)
                }
            };
        }
        Ok(())
    }

    /// Keeps what players told, as far as there is room; it goes with the next batch.
    pub(super) fn append_quality(&mut self, quality: Vec<Quality>) {
        for one in quality {
            let key = (one.breakout.as_ref().map(ToString::to_string), one.asset.as_ref().map(ToString::to_string), one.at);
            let room = self.quality.len() < QUALITY_MAX;
            match self.quality.get_mut(&key) {
                Some(sum) => sum.absorb(&one),
                None if room => drop(self.quality.insert(key, one)),
                None => {}
            }
        }
    }

    fn loosen(&mut self, mut one: Traffic) {
        if one.behavior.len() > BEHAVIOR_MAX_BYTES {
            one.behavior.clear();
        }
        put(&mut self.loose, one);
    }

    /// Keeps `traffic`.
    ///
    /// # Errors
    /// The disk does not take it. It is kept in memory and goes with what comes next.
    pub(super) fn append(&mut self, node: &NodeName, traffic: Vec<Traffic>) -> io::Result<()> {
        traffic.into_iter().for_each(|one| self.loosen(one));
        while !(self.loose.is_empty() && self.quality.is_empty()) && self.waiting.len() - self.of_viewers.len() < BATCHES_MAX {
            let mut rows = std::mem::take(&mut self.loose);
            if let Some(beyond) = rows.keys().nth(REPORT_ROWS_MAX).cloned() {
                self.loose = rows.split_off(&beyond);
            }
            let quality: Vec<_> = self.quality.values().cloned().collect();
            let mut reports = vec![traffic_report(&rows)];
            if !quality.is_empty() {
                reports.push(Report::Quality(quality));
            }
            // With the last row all that is loose is kept.
            let journal = if self.loose.is_empty() { self.journal.1 } else { self.journal.0 };
            if let Err(error) = self.write_marked(node, self.next, reports, journal) {
                self.loose.append(&mut rows);
                let mut detail = COARSER.iter();
                while self.loose.len() > LOOSE_MAX
                    && let Some(coarsen) = detail.next()
                {
                    self.loose = coarser(std::mem::take(&mut self.loose), *coarsen);
                }
                return Err(error);
            }
            self.quality.clear();
            self.journal.0 = journal;
            self.waiting.push_back(self.next);
            self.next += 1;
        }
        self.merge(node)
    }

    /// Adds what is loose to batches that were never sent, the newest first.
    fn merge(&mut self, node: &NodeName) -> io::Result<()> {
        for sequence in self.unsent(|sequence| !self.of_viewers.contains(sequence)) {
            if self.loose.is_empty() {
                break;
            }
            // One that cannot be read is dealt with when its turn comes.
            let Ok(batch) = self.read(sequence) else { continue };
            let mut rows = Rows::new();
            traffic_of(batch).into_iter().for_each(|one| put(&mut rows, one));
            let mut loose = self.loose.clone();
            fill(&mut rows, &mut loose);
            self.write(node, sequence, traffic_report(&rows))?;
            self.loose = loose;
        }
        Ok(())
    }

    /// Batches that may still be changed, the newest first.
    fn unsent(&self, which: impl Fn(&u64) -> bool) -> Vec<u64> {
        self.waiting.iter().skip(1).rev().filter(|sequence| which(sequence)).copied().collect()
    }

    /// Keeps who was seen.
    ///
    /// # Errors
    /// The disk does not take it. It is kept in memory, as far as there is room, and goes with what comes next.
    pub(super) fn append_viewers(&mut self, node: &NodeName, seen: Vec<ViewerSeen>) -> io::Result<()> {
        seen.into_iter().for_each(|one| viewers::put(&mut self.seen, one));
        let mut kept = self.flush_viewers(node);
        let mut most = VIEWERS_LOOSE_MAX;
        // While the control plane is away the same sessions come again and again: in memory that costs no writing.
        if kept.is_ok() && self.seen.len() > most {
            kept = self.merge_viewers(node);
            // Who found no place makes some, else each report would be followed by a look at every batch.
            most /= 2;
        }
        let dropped = viewers::forget(&mut self.seen, most);
        metrics::counter!("anabranch_node_viewers_dropped_total").increment(dropped as u64);
        kept
    }

    /// Makes batches of what is in memory, as far as there may be more.
    ///
    /// # Errors
    /// The disk does not take them.
    pub(super) fn flush_viewers(&mut self, node: &NodeName) -> io::Result<()> {
        while !self.seen.is_empty() && self.of_viewers.len() < VIEWER_BATCHES_MAX {
            let mut rows = Viewers::new();
            viewers::fill(&mut rows, &mut self.seen);
            if let Err(error) = self.write(node, self.next, viewers_report(&rows)) {
                self.seen.append(&mut rows);
                return Err(error);
            }
            self.waiting.push_back(self.next);
            self.of_viewers.insert(self.next);
            self.next += 1;
        }
        Ok(())
    }

    /// Adds who is in memory to batches that were never sent, the newest first.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn merge_viewers(&mut self, node: &NodeName) -> io::Result<()> {
        for sequence in self.unsent(|sequence| self.of_viewers.contains(sequence)) {
            if self.seen.is_empty() {
                break;
            }
            let Ok(batch) = self.read(sequence) else { continue };
            let (mut rows, mut seen) = (viewers::viewers_of(batch), self.seen.clone());
            viewers::fill(&mut rows, &mut seen);
            self.write(node, sequence, viewers_report(&rows))?;
            self.seen = seen;
        }
        Ok(())
    }

    /// The oldest batch, ready to be sent. One that cannot be read is put aside.
    pub(super) fn oldest(&mut self) -> Option<(u64, Vec<u8>)> {
        while let Some(sequence) = self.waiting.front().copied() {
            let path = self.path(sequence, WAITING);
            let whole = fs::read(&path).map_err(anyhow::Error::from).and_then(|bytes| {
                serde_json::from_slice::<ReportBatch>(&bytes)?;
                Ok(bytes)
            });
            match whole {
                Ok(bytes) => return Some((sequence, bytes)),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), path = %path.display(), "a report batch cannot be read");
                    self.refused(sequence);
                }
            }
        }
        None
    }

    /// Notes that the oldest batch is counted.
    ///
    /// # Errors
    /// The disk cannot be told. The batch stays the oldest, and is acknowledged again.
    pub(super) fn acknowledged(&mut self, sequence: u64) -> io::Result<()> {
        let done = self.path(sequence, DONE);
        fs::rename(self.path(sequence, WAITING), &done)?;
        // Before the next one is sent: else a power cut could bring this one back and leave the next unprotected.
        sync_folder(&done)?;
        self.forget(sequence);
        self.prune(DONE, 1);
        Ok(())
    }

    /// Puts a batch aside that will never be counted.
    pub(super) fn refused(&mut self, sequence: u64) {
        self.forget(sequence);
        if let Err(error) = fs::rename(self.path(sequence, WAITING), self.path(sequence, REFUSED)) {
            tracing::error!(%error, batch.sequence = sequence, "a refused report batch cannot be put aside");
        }
        self.prune(REFUSED, REFUSED_MAX);
    }

    fn forget(&mut self, sequence: u64) {
        self.waiting.retain(|waiting| *waiting != sequence);
        self.of_viewers.remove(&sequence);
    }

    /// Removes all but the newest files of an ending. One that stays does no harm.
    fn prune(&self, ending: &str, keep: usize) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let is = |path: &PathBuf| path.extension().is_some_and(|has| has == ending);
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is).collect();
        // Numbers have leading zeros.
        paths.sort_unstable();
        for path in paths.iter().rev().skip(keep) {
            let _ = fs::remove_file(path);
        }
    }

    fn read(&self, sequence: u64) -> Result<ReportBatch> {
        self.read_as(sequence, WAITING)
    }

    fn read_as(&self, sequence: u64, ending: &str) -> Result<ReportBatch> {
        Ok(serde_json::from_slice(&fs::read(self.path(sequence, ending))?)?)
    }

    fn write(&self, node: &NodeName, sequence: u64, report: Report) -> io::Result<()> {
        self.write_marked(node, sequence, vec![report], self.journal.0)
    }

    fn write_marked(&self, node: &NodeName, sequence: u64, reports: Vec<Report>, journal: u64) -> io::Result<()> {
        let batch = ReportBatch { node: node.clone(), spool: self.id.clone(), sequence, reports, journal };
        let bytes = serde_json::to_vec(&batch)?;
        debug_assert!(bytes.len() <= REPORT_BYTES_MAX, "rows are small enough for the control plane");
        write_atomically(&self.path(sequence, WAITING), &bytes)
    }

    fn path(&self, sequence: u64, ending: &str) -> PathBuf {
        self.dir.join(format!("{sequence:020}.{ending}"))
    }
}

/// The spool's identifier, made with the directory.
fn identifier(dir: &Path) -> Result<SpoolId> {
    let path = dir.join(ID_FILE);
    if let Some(id) = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()) {
        return Ok(id);
    }
    let id = SpoolId::random();
    write_atomically(&path, id.as_str().as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(id)
}

fn traffic_report(rows: &Rows) -> Report {
    Report::Traffic(rows.values().cloned().collect())
}

fn viewers_report(rows: &Viewers) -> Report {
    Report::Viewers(rows.values().cloned().collect())
}

fn traffic_of(batch: ReportBatch) -> Vec<Traffic> {
    let rows = |report| match report {
        Report::Traffic(rows) => rows,
        _ => Vec::new(),
    };
    batch.reports.into_iter().flat_map(rows).collect()
}

fn put(rows: &mut Rows, one: Traffic) {
    let key = one.key();
    match rows.get_mut(&key) {
        Some(sum) => sum.absorb(&one),
        None => drop(rows.insert(key, one)),
    }
}

/// Ways to give up detail, from none to all.
const COARSER: [fn(&mut Traffic); 5] = [
    |_| {},
    |one| one.minute -= one.minute.rem_euclid(3600),
    |one| {
        one.minute -= one.minute.rem_euclid(3600);
        one.rendition.clear();
        one.asset = None;
    },
    without_subject,
    |one| {
        without_subject(one);
        one.behavior.clear();
    },
];

fn without_subject(one: &mut Traffic) {
    one.minute -= one.minute.rem_euclid(3600);
    one.rendition.clear();
    one.asset = None;
    (one.breakout, one.session, one.recorded) = (None, 0, false);
}

fn coarser(rows: Rows, coarsen: fn(&mut Traffic)) -> Rows {
    let mut fewer = Rows::new();
    for mut one in rows.into_values() {
        coarsen(&mut one);
        put(&mut fewer, one);
    }
    fewer
}

/// Moves what fits from `loose` into `rows`. Where detail does not fit it is given up: breakouts first, then behaviors.
fn fill(rows: &mut Rows, loose: &mut Rows) {
    for coarsen in COARSER {
        *rows = coarser(std::mem::take(rows), coarsen);
        *loose = coarser(std::mem::take(loose), coarsen);
        for (key, one) in std::mem::take(loose) {
            if rows.len() < REPORT_ROWS_MAX || rows.contains_key(&key) {
                put(rows, one);
            } else {
                loose.insert(key, one);
            }
        }
        if loose.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::{DistributionId, VIEWERS_MAX};

    use super::*;
    use crate::node::remote::viewers::tests::seen;

    fn node() -> NodeName {
        "edge-1".parse().unwrap()
    }

    fn one(distribution: &DistributionId, behavior: &str, requests: u64) -> Traffic {
        Traffic { behavior: behavior.into(), requests, hits: requests, ..Traffic::none(distribution.clone()) }
    }

    /// Takes every batch as the control plane would, and gives numbers and the sum of requests.
    fn drain(spool: &mut Spool) -> (Vec<u64>, u64) {
        let (mut numbers, mut requests) = (Vec::new(), 0);
        while let Some((sequence, bytes)) = spool.oldest() {
            assert!(bytes.len() <= REPORT_BYTES_MAX);
            let batch: ReportBatch = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((batch.sequence, &batch.spool), (sequence, spool.id()));
            let rows = traffic_of(batch);
            assert!(rows.len() <= REPORT_ROWS_MAX);
            requests += rows.iter().map(|row| row.requests).sum::<u64>();
            numbers.push(sequence);
            spool.acknowledged(sequence).unwrap();
        }
        (numbers, requests)
    }

    #[test]
    fn batches_survive_a_restart_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let mut spool = Spool::open(dir.path()).unwrap();
        let id = spool.id().clone();
        for _ in 0..3 {
            spool.append(&node(), vec![one(&distribution, "*", 2)]).unwrap();
        }
        spool.append(&node(), Vec::new()).unwrap();
        let (first, _) = spool.oldest().unwrap();
        spool.acknowledged(first).unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.id(), &id);
        assert_eq!(drain(&mut spool), (vec![2, 3], 4));
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
        assert_eq!(drain(&mut spool), (vec![4], 1));
    }

    #[test]
    fn a_full_spool_adds_up_and_leaves_the_oldest_alone() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
        let oldest = spool.oldest().unwrap();
        for number in 0..200 {
            spool.append(&node(), vec![one(&distribution, &format!("/{number}/*"), 1)]).unwrap();
        }
        assert_eq!(spool.waiting(), BATCHES_MAX);
        assert_eq!(spool.oldest().unwrap(), oldest);
        let (numbers, requests) = drain(&mut spool);
        assert_eq!((numbers.len(), requests), (BATCHES_MAX, 201));
    }

    /// Takes every batch as the control plane would, and gives the rows of viewers.
    fn drain_viewers(spool: &mut Spool) -> Viewers {
        let mut rows = Viewers::new();
        while let Some((sequence, bytes)) = spool.oldest() {
            assert!(bytes.len() <= REPORT_BYTES_MAX);
            let more = viewers::viewers_of(serde_json::from_slice(&bytes).unwrap());
            assert!(more.len() <= VIEWERS_MAX);
            more.into_values().for_each(|one| viewers::put(&mut rows, one));
            spool.acknowledged(sequence).unwrap();
            spool.flush_viewers(&node()).unwrap();
        }
        rows
    }

    #[test]
    fn sessions_merge_while_the_control_plane_is_away() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let mut spool = Spool::open(dir.path()).unwrap();
        for round in 0..100 {
            let rows = (0..600).map(|session| seen(&format!("s{session}"), round)).collect();
            spool.append_viewers(&node(), rows).unwrap();
        }
        assert_eq!((spool.of_viewers.len(), spool.seen.len()), (VIEWER_BATCHES_MAX, 600));
        // Batches of traffic have a bound of their own.
        for number in 0..100 {
            spool.append(&node(), vec![one(&distribution, &format!("/{number}/*"), 1)]).unwrap();
        }
        assert_eq!(spool.waiting(), VIEWER_BATCHES_MAX + BATCHES_MAX);
        spool.merge_viewers(&node()).unwrap();
        assert!(spool.seen.is_empty());
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.of_viewers.len(), VIEWER_BATCHES_MAX);
        let rows = drain_viewers(&mut spool);
        assert_eq!(rows.len(), 600);
        assert!(rows.values().all(|one| (one.first_ms, one.last_ms, one.bytes) == (0, 99, 100)));
        assert_eq!((spool.waiting(), spool.of_viewers.len()), (0, 0));
    }

    #[test]
    fn of_too_many_sessions_the_oldest_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        let first = (0..VIEWERS_MAX).map(|session| seen(&format!("s{session}"), -1)).collect();
        spool.append_viewers(&node(), first).unwrap();
        let oldest = spool.oldest().unwrap();
        for round in 0..44 {
            let rows = (0..VIEWERS_MAX).map(|session| seen(&format!("s{round}-{session}"), round)).collect();
            spool.append_viewers(&node(), rows).unwrap();
            assert!(spool.seen.len() <= VIEWERS_LOOSE_MAX);
        }
        assert_eq!(spool.oldest().unwrap(), oldest, "what may have been sent is never changed");
        let rows = drain_viewers(&mut spool);
        let loose = VIEWERS_LOOSE_MAX / 2..=VIEWERS_LOOSE_MAX;
        assert!(loose.contains(&(rows.len() - VIEWER_BATCHES_MAX * VIEWERS_MAX)), "{}", rows.len());
        assert_eq!(rows.values().filter(|one| one.last_ms == 43).count(), VIEWERS_MAX);
    }

    #[test]
    fn viewers_whom_the_disk_does_not_take_go_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let reports = dir.path().join("reports");
        let mut spool = Spool::open(&reports).unwrap();
        fs::remove_dir_all(&reports).unwrap();
        spool.append_viewers(&node(), vec![seen("s1", 1)]).unwrap_err();
        fs::create_dir(&reports).unwrap();
        spool.append_viewers(&node(), vec![seen("s1", 2), seen("s2", 2)]).unwrap();
        let rows: Vec<_> = drain_viewers(&mut spool).into_values().collect();
        assert_eq!(rows.iter().map(|one| (one.first_ms, one.bytes)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
    }

    #[test]
    fn detail_is_given_up_before_counts_are() {
        let distributions: Vec<_> = (0..40).map(|_| DistributionId::random()).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        let mut asked = 0;
        for round in 0..15 {
            let traffic = (0..3000).map(|number| {
                asked += 1;
                let breakout = format!("b{round}-{number}").parse().ok();
                Traffic { breakout, ..one(&distributions[number % 40], &format!("/{number}/*"), 1) }
            });
            spool.append(&node(), traffic.collect()).unwrap();
        }
        assert!(spool.waiting() <= BATCHES_MAX);
        assert!(spool.loose.is_empty());
        assert_eq!(drain(&mut spool).1, asked);
    }

    #[test]
    fn ruins_are_put_aside_and_the_rest_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let mut spool = Spool::open(dir.path()).unwrap();
        for _ in 0..3 {
            spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
        }
        fs::write(spool.path(1, WAITING), "{").unwrap();
        fs::write(dir.path().join("00000000000000000009.unfinished"), "{").unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(drain(&mut spool), (vec![2, 3], 2));
        assert!(spool.path(1, REFUSED).exists());
    }

    #[test]
    fn what_the_disk_does_not_take_goes_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let reports = dir.path().join("reports");
        let mut spool = Spool::open(&reports).unwrap();
        fs::remove_dir_all(&reports).unwrap();
        spool.append(&node(), vec![one(&distribution, "*", 5)]).unwrap_err();
        fs::create_dir(&reports).unwrap();
        spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
        assert_eq!(drain(&mut spool), (vec![1], 6));
    }

    #[test]
    fn what_a_journal_holds_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let mut spool = Spool::open(dir.path()).unwrap();
        let quality = vec![Quality { breakout: "b1".parse().ok(), told: 3, ..Quality::default() }];
        spool.append_counted(&node(), 1, vec![one(&distribution, "*", 2)], quality).unwrap();
        spool.append_counted(&node(), 2, vec![one(&distribution, "*", 3)], Vec::new()).unwrap();
        spool.append_counted(&node(), 2, vec![one(&distribution, "*", 3)], Vec::new()).unwrap();
        assert_eq!(spool.journal(), 2);
        let (first, bytes) = spool.oldest().unwrap();
        let batch: ReportBatch = serde_json::from_slice(&bytes).unwrap();
        assert!(matches!(&batch.reports[1], Report::Quality(rows) if rows[0].told == 3));
        spool.acknowledged(first).unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.journal(), 2);
        spool.append_counted(&node(), 2, vec![one(&distribution, "*", 3)], Vec::new()).unwrap();
        // Viewers' batches know of the journal, too: only the last one that was acknowledged stays.
        spool.append_viewers(&node(), vec![seen("s1", 1)]).unwrap();
        assert_eq!(drain(&mut spool), (vec![2, 3], 3));
        assert_eq!(Spool::open(dir.path()).unwrap().journal(), 2);
    }

    #[test]
    fn a_full_spool_takes_a_journal_in_whole() {
        let dir = tempfile::tempdir().unwrap();
        let distribution = DistributionId::random();
        let mut spool = Spool::open(dir.path()).unwrap();
        for generation in 1..=100 {
            let rows = (0..30).map(|number| Traffic { minute: 60 * number, ..one(&distribution, "*", 1) }).collect();
            spool.append_counted(&node(), generation, rows, Vec::new()).unwrap();
            assert_eq!(spool.journal(), generation);
        }
        assert_eq!(spool.waiting(), BATCHES_MAX);
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!((spool.journal(), drain(&mut spool).1), (100, 3000));
        let reports = dir.path().join("reports");
        let mut spool = Spool::open(&reports).unwrap();
        fs::remove_dir_all(&reports).unwrap();
        spool.append_counted(&node(), 101, vec![one(&distribution, "*", 5)], Vec::new()).unwrap_err();
        assert_eq!(spool.journal(), 0);
        fs::create_dir(&reports).unwrap();
        spool.append_counted(&node(), 102, vec![one(&distribution, "*", 1)], Vec::new()).unwrap();
        assert_eq!((spool.journal(), drain(&mut spool).1), (102, 6));
    }
}
