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

#[cfg(test)]
mod tests {
    use anabranch_cloudfront::DistributionConfig;
    use anabranch_model::{ChannelId, DistributionState, InvalidationLog, KeyGroupId};

    use super::*;

    fn row(config: Option<String>, channel: Option<ChannelId>) -> DistributionRow {
        let id = DistributionId::random();
        DistributionRow {
            channel,
            config,
            caller_reference: id.to_string(),
            generation: 1,
            key_groups: vec![KeyGroupId::random()],
            domain_name: format!("{}.cdn.localhost", id.as_str().to_ascii_lowercase()),
            aliases: Vec::new(),
            enabled: true,
            price_class: "PriceClass_All".into(),
            status: DistributionState::InProgress,
            changed_version: 1,
            invalidation_floor: 0,
            requests_total: 0,
            bytes_total: 0,
            created_at: 1,
            updated_at: 1,
            id,
        }
    }

    fn rows(distributions: &[DistributionRow]) -> SnapshotRows {
        let log = |row: &DistributionRow| (row.id.clone(), InvalidationLog { floor: 7, entries: Vec::new() });
        SnapshotRows {
            version: 1,
            channels: Vec::new(),
            breakouts: Vec::new(),
            invalidations: distributions.iter().map(log).collect(),
            distributions: distributions.to_vec(),
            key_groups: Vec::new(),
        }
    }

    fn live() -> String {
        DistributionConfig::live("r", &ChannelId::random(), &KeyGroupId::random()).to_json().to_string()
    }

    #[test]
    fn a_configuration_that_cannot_be_compiled_leaves_the_others_alone() {
        let mut assembler = Assembler::default();
        let mut all = [row(Some(live()), None), row(Some("{}".into()), None), row(None, None)];
        let first = assembler.snapshot(rows(&all));
        assert_eq!(first.distributions.len(), 1);
        assert_eq!((&first.distributions[0].id, first.distributions[0].invalidations.floor), (&all[0].id, 7));
        // One that was good before serves on as it was.
        all[0].config = Some("broken".into());
        all[0].generation = 2;
        assert_eq!(assembler.snapshot(rows(&all)), first);
        assert!(assembler.snapshot(rows(&[])).distributions.is_empty());
        assert!(assembler.snapshot(rows(&all)).distributions.is_empty(), "what is gone is forgotten");
    }

    #[test]
    fn a_channels_distribution_without_a_configuration_is_a_live_one() {
        let channel = ChannelId::random();
        let old = row(None, Some(channel.clone()));
        let snapshot = Assembler::default().snapshot(rows(std::slice::from_ref(&old)));
        let live = DistributionConfig::live(&old.caller_reference, &channel, &old.key_groups[0]);
        let mut expected = live.compile(&old.id, &old.domain_name).unwrap();
        expected.invalidations.floor = 7;
        assert_eq!(snapshot.distributions, [expected]);
    }
}
