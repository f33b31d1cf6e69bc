//! Counts on disk until somebody else has made them last: files that are numbered, each appended to while the counts of a few seconds come
//! in. A process that is killed leaves its file; who starts next reads it.
//!
//! A line begins with `k` and names a row, which has the next number, from 0; or it has the number of a row and what its counts have grown by.
//! A line without its end was being written when the process ended, and does not count.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anabranch_model::{Traffic, TrafficKey};

/// Ending of the files.
const ENDING: &str = "counts";

/// Bytes of a file that are read at most; a writer begins anew long before.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// Bytes of a file after which it is written anew with the sums.
const REWRITE_BYTES: u64 = 4 << 20;

/// Numbers of a line that tells how much a row has grown.
const COUNTS: usize = 11;

/// The same of a file that an earlier version has left: it knew no fetches.
const COUNTS_BEFORE: usize = 10;

/// The files of a directory.
#[derive(Clone, Debug)]
pub struct Journal {
    dir: PathBuf,
}

/// What an earlier process left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Number of the file.
    pub generation: u64,
    /// Its rows.
    pub traffic: Vec<Traffic>,
}

impl Journal {
    /// The directory's files; makes it if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// What is there, the oldest first. A file that cannot be read counts as empty, and is named in the log.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for generation in self.generations()? {
            let mut bytes = Vec::new();
            let path = self.path(generation);
            if let Err(error) = File::open(&path).and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes)) {
                tracing::error!(%error, path = %path.display(), "counts that were kept cannot be read");
            }
            kept.push(Kept { generation, traffic: read(&bytes) });
        }
        Ok(kept)
    }

    /// Removes the file of `generation`, whose counts somebody else keeps now, and older ones.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn forget(&self, generation: u64) -> io::Result<()> {
        self.generations()?
            .into_iter()
            .filter(|one| *one <= generation)
            .try_for_each(|one| fs::remove_file(self.path(one)))
    }

    fn generations(&self) -> io::Result<Vec<u64>> {
        let mut generations = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                generations.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
            }
        }
        generations.sort_unstable();
        Ok(generations)
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.dir.join(format!("{generation:020}.{ENDING}"))
    }

    /// Begins a file.
    pub(crate) fn begin(&self, generation: u64) -> io::Result<Writer> {
        let path = self.path(generation);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(Writer { file, path, rows: BTreeMap::new(), written: 0, lines: Vec::new() })
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    /// Number of each row.
    rows: BTreeMap<TrafficKey, usize>,
    written: u64,
    /// Lines that are put together.
    lines: Vec<u8>,
}

impl Writer {
    /// Appends what rows have grown by, with one write; `sums` are all rows, for a file that has become long.
    pub(crate) fn add(&mut self, grown: &[Traffic], sums: &BTreeMap<TrafficKey, Traffic>) -> io::Result<()> {
        if self.written >= REWRITE_BYTES {
            return self.rewrite(sums);
        }
        self.lines.clear();
        for one in grown {
            self.line(one)?;
        }
        self.file.write_all(&self.lines)?;
        self.written += self.lines.len() as u64;
        Ok(())
    }

    fn line(&mut self, one: &Traffic) -> io::Result<()> {
        let next = self.rows.len();
        let row = *self.rows.entry(one.key()).or_insert(next);
        if row == next {
            let mut named = Traffic { behavior: one.behavior.clone(), ..Traffic::none(one.distribution.clone()) };
            (named.breakout, named.session, named.recorded) = (one.breakout.clone(), one.session, one.recorded);
            (named.asset, named.rendition, named.minute) = (one.asset.clone(), one.rendition.clone(), one.minute);
            self.lines.push(b'k');
            serde_json::to_writer(&mut self.lines, &named)?;
            self.lines.push(b'\n');
        }
        write!(self.lines, "{row}")?;
        for count in one.counts() {
            write!(self.lines, " {count}")?;
        }
        self.lines.push(b'\n');
        Ok(())
    }

    /// The sums take the place of what they are the sums of, at once.
    fn rewrite(&mut self, sums: &BTreeMap<TrafficKey, Traffic>) -> io::Result<()> {
        self.rows.clear();
        self.lines.clear();
        for one in sums.values() {
            self.line(one)?;
        }
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&self.lines)?;
        fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// The rows of a file, as far as it is whole.
fn read(bytes: &[u8]) -> Vec<Traffic> {
    let mut rows: Vec<Traffic> = Vec::new();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(&bytes[..0], |end| &bytes[..end]);
    for line in whole.split(|byte| *byte == b'\n') {
        if let Some(named) = line.strip_prefix(b"k") {
            // What follows would count for another row.
            let Ok(row) = serde_json::from_slice(named) else { break };
            rows.push(row);
        } else if let Some((row, counts)) = grown(line)
            && let Some(sum) = rows.get_mut(row)
        {
            let mut more = Traffic::none(sum.distribution.clone());
            [more.requests, more.bytes] = [counts[0], counts[1]];
            more.statuses.copy_from_slice(&counts[2..7]);
            [more.hits, more.misses, more.fetched, more.fetches] = [counts[7], counts[8], counts[9], counts[10]];
            sum.absorb(&more);
        }
    }
    rows.retain(|row| row.counts().any(|count| count > 0));
    rows
}

fn grown(line: &[u8]) -> Option<(usize, [u64; COUNTS])> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let row = words.next()?.parse().ok()?;
    let mut counts = [0; COUNTS];
    let mut known = 0;
    for word in words {
        *counts.get_mut(known)? = word.parse().ok()?;
        known += 1;
    }
    matches!(known, COUNTS | COUNTS_BEFORE).then_some((row, counts))
}

#[cfg(test)]
mod tests {
    use anabranch_model::DistributionId;
    use proptest::prelude::*;

    use super::*;

    fn one(distribution: &DistributionId, minute: i64, bytes: u64) -> Traffic {
        Traffic { minute, bytes, requests: 1, statuses: [0, 1, 0, 0, 0], ..Traffic::none(distribution.clone()) }
    }

    #[test]
    fn what_was_written_is_read_and_forgotten_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("counts")).unwrap();
        let distribution = DistributionId::random();
        for generation in [7, 8] {
            let mut writer = journal.begin(generation).unwrap();
            writer.add(&[one(&distribution, 60, 5), one(&distribution, 120, 6)], &BTreeMap::new()).unwrap();
            writer.add(&[one(&distribution, 60, 5)], &BTreeMap::new()).unwrap();
        }
        fs::write(dir.path().join("counts/readme.txt"), "not ours").unwrap();
        let kept = journal.kept().unwrap();
        assert_eq!(kept.iter().map(|kept| kept.generation).collect::<Vec<_>>(), [7, 8]);
        let bytes = |kept: &Kept| kept.traffic.iter().map(|row| (row.minute, row.bytes)).collect::<Vec<_>>();
        assert_eq!(bytes(&kept[0]), [(60, 10), (120, 6)]);
        journal.forget(7).unwrap();
        assert_eq!(journal.kept().unwrap(), kept[1..]);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let row = Traffic { minute: 60, ..Traffic::none(DistributionId::random()) };
        let named = serde_json::to_string(&row).unwrap();
        let of = |line: &str| read(format!("k{named}\n{line}\n").as_bytes()).first().cloned();
        let before = of("0 1 5 0 1 0 0 0 0 1 5").unwrap();
        assert_eq!((before.bytes, before.misses, before.fetched, before.fetches), (5, 1, 5, 0));
        assert_eq!(of("0 1 5 0 1 0 0 0 0 1 5 1").unwrap().fetches, 1);
        assert_eq!((of("0 1 5 0 1 0 0 0 0 1"), of("0 1 5 0 1 0 0 0 0 1 5 1 1")), (None, None));
    }

    #[test]
    fn a_long_file_begins_anew_with_the_sums() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let distribution = DistributionId::random();
        let mut writer = journal.begin(1).unwrap();
        let mut sums = BTreeMap::new();
        for _ in 0..3 {
            let grown = one(&distribution, 60, 5);
            sums.entry(grown.key())
                .or_insert_with(|| Traffic { minute: 60, ..Traffic::none(distribution.clone()) })
                .absorb(&grown);
            writer.written = REWRITE_BYTES;
            writer.add(&[grown], &sums).unwrap();
        }
        writer.add(&[one(&distribution, 60, 2)], &sums).unwrap();
        assert_eq!(journal.kept().unwrap()[0].traffic[0].bytes, 17);
        assert!(fs::read_dir(dir.path()).unwrap().count() == 1);
    }

    proptest! {
        #[test]
        fn a_torn_file_tells_what_is_whole(counts in prop::collection::vec((0_i64..4, 1_u64..1000), 1..20), cut in 0_usize..2000) {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            let distribution = DistributionId::random();
            let mut writer = journal.begin(1).unwrap();
            let mut ends = vec![(0_u64, 0_u64)];
            for (minute, bytes) in &counts {
                writer.add(&[one(&distribution, minute * 60, *bytes)], &BTreeMap::new()).unwrap();
                ends.push((writer.written, ends.last().unwrap().1 + bytes));
            }
            let all = fs::read(journal.path(1)).unwrap();
            let cut = cut.min(all.len());
            let told: u64 = read(&all[..cut]).iter().map(|row| row.bytes).sum();
            let whole = ends.iter().rev().find(|(end, _)| *end <= cut as u64).unwrap().1;
            prop_assert_eq!(told, whole);
        }

        #[test]
        fn ruins_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }
    }
}
