//! A store that forgets everything at its end. For tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anabranch_model::{ClusterId, HistoryEntry, RegisterOf};
use parking_lot::Mutex;

use crate::state::Registers;
use crate::store::{HISTORY_MAX, Kept, Reply, StateStore, StoreError};

#[derive(Default)]
struct Rows {
    registers: Registers,
    marks: BTreeSet<String>,
    history: VecDeque<Kept>,
    sequence: u64,
}

impl Rows {
    fn append(&mut self, entry: HistoryEntry) {
        if !self.marks.insert(entry.mark.clone()) {
            return;
        }
        self.sequence += 1;
        self.history.push_back(Kept { sequence: self.sequence, entry });
        if self.history.len() as u64 > HISTORY_MAX
            && let Some(oldest) = self.history.pop_front()
        {
            self.marks.remove(&oldest.entry.mark);
        }
    }
}

/// A store in memory.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<ClusterId, Rows>>);

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// Makes a cluster.
    pub fn create(&self, cluster: &ClusterId) {
        self.0.lock().insert(cluster.clone(), Rows::default());
    }

    fn with<'a, T: Send + 'a>(&self, cluster: &ClusterId, work: impl FnOnce(&mut Rows) -> T) -> Reply<'a, T> {
        let done = match self.0.lock().get_mut(cluster) {
            Some(rows) => Ok(work(rows)),
            None => Err(StoreError::NotFound(cluster.clone())),
        };
        Box::pin(std::future::ready(done))
    }
}

impl StateStore for Memory {
    fn load<'a>(&'a self, cluster: &'a ClusterId) -> Reply<'a, Registers> {
        self.with(cluster, |rows| rows.registers.clone())
    }

    fn merge<'a>(&'a self, cluster: &'a ClusterId, words: &'a [RegisterOf], _: i64) -> Reply<'a, Vec<RegisterOf>> {
        self.with(cluster, |rows| {
            let mut taken = Vec::new();
            for word in words {
                if rows.registers.merge(word.clone()) {
                    rows.append(HistoryEntry::of(word));
                    taken.push(word.clone());
                }
            }
            taken
        })
    }

    fn history_append<'a>(&'a self, cluster: &'a ClusterId, entries: &'a [HistoryEntry], _: i64) -> Reply<'a, ()> {
        self.with(cluster, |rows| entries.iter().cloned().for_each(|entry| rows.append(entry)))
    }

    fn history_list<'a>(&'a self, cluster: &'a ClusterId, before: Option<u64>, limit: u32) -> Reply<'a, Vec<Kept>> {
        self.with(cluster, |rows| {
            let newest_first = rows.history.iter().rev();
            let wanted = newest_first.filter(|kept| before.is_none_or(|before| kept.sequence < before));
            wanted.take(limit as usize).cloned().collect()
        })
    }
}
