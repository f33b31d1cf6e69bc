//! Rows turned into the snapshot that nodes are told.

use std::collections::{HashMap, HashSet};

use anabranch_db::{DistributionRow, SnapshotRows};
use anabranch_model::{DistributionId, DistributionSpec, Snapshot};

use crate::app::{chain, config_of};

/// Turns rows into snapshots. Keeps what it has compiled, since most configurations stay as they are.
#[derive(Default)]
pub(crate) struct Assembler {
    compiled: HashMap<DistributionId, Compiled>,
}

struct Compiled {
    generation: u64,
    /// None when this generation cannot be compiled and no earlier one is known.
    spec: Option<DistributionSpec>,
}

impl Assembler {
    /// The snapshot of these rows. A distribution whose configuration this code cannot compile keeps what it last served by, or
    /// is left out: the others must not suffer.
    pub(crate) fn snapshot(&mut self, rows: SnapshotRows) -> Snapshot {
        let SnapshotRows { version, channels, breakouts, distributions: rows, mut invalidations, key_groups } = rows;
        if self.compiled.len() > rows.len() {
            let alive: HashSet<&DistributionId> = rows.iter().map(|row| &row.id).collect();
            self.compiled.retain(|id, _| alive.contains(id));
        }
        let mut distributions = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(mut spec) = self.spec(row) {
                spec.invalidations = invalidations.remove(&row.id).unwrap_or_default();
                distributions.push(spec);
            }
        }
        Snapshot { version, channels, breakouts, distributions, key_groups }
    }

    fn spec(&mut self, row: &DistributionRow) -> Option<DistributionSpec> {
        let known = self.compiled.get(&row.id);
        if let Some(known) = known
            && known.generation == row.generation
        {
            return known.spec.clone();
        }
        let compiled = config_of(row).and_then(|config| Ok(config.compile(&row.id, &row.domain_name)?));
        let spec = match compiled {
            Ok(spec) => Some(spec),
            Err(error) => {
                let serves = if known.is_some() { "by its last good configuration" } else { "not" };
                let error = chain(&error);
                tracing::error!(distribution.id = %row.id, error, serves, "a stored configuration cannot be compiled");
                known.and_then(|known| known.spec.clone())
            }
        };
        self.compiled.insert(row.id.clone(), Compiled { generation: row.generation, spec: spec.clone() });
        spec
    }
}
