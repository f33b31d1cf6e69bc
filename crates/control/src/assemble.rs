//! Rows turned into the snapshot that nodes are told.

use std::collections::{HashMap, HashSet};

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::{SnapshotDistribution, SnapshotRows};
use anabranch_model::{ClosedSpec, DistributionId, DistributionSpec, Snapshot};

use crate::chain::chain;
use crate::cluster::asked::AskedSpec;
use crate::cluster::second::{LeadsTo, SecondSpec};

/// Turns rows into snapshots. Keeps what it has compiled, since most configurations stay as they are.
#[derive(Default)]
pub(crate) struct Assembler {
    compiled: HashMap<DistributionId, Compiled>,
}

/// What is no row: regions that are closed, peers' copies behind those of distributions of clusters, and where these lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfClusters {
    /// Headers of regions' origins.
    pub(crate) asked: Vec<AskedSpec>,
    pub(crate) closed: Vec<ClosedSpec>,
    pub(crate) seconds: Vec<SecondSpec>,
    pub(crate) leads_to: Vec<LeadsTo>,
}

struct Compiled {
    changed_version: u64,
    /// None when this configuration cannot be compiled and no earlier one is known.
    spec: Option<DistributionSpec>,
}

impl Assembler {
    /// Whether it has the configuration of this version, so that the row need not be read.
    pub(crate) fn knows(&self, id: &DistributionId, changed_version: u64) -> bool {
        self.compiled.get(id).is_some_and(|known| known.changed_version == changed_version)
    }

    /// The snapshot of these rows and of what clusters add. A distribution whose configuration this code cannot compile keeps what it last served by, or
    /// is left out: the others must not suffer.
    pub(crate) fn snapshot(&mut self, rows: SnapshotRows, of_clusters: OfClusters) -> Snapshot {
        let OfClusters { asked, closed, seconds, leads_to } = of_clusters;
        let SnapshotRows { version, channels, breakouts, distributions: rows, mut invalidations, key_groups } = rows;
        if self.compiled.len() > rows.len() {
            let alive: HashSet<&DistributionId> = rows.iter().map(|row| &row.id).collect();
            self.compiled.retain(|id, _| alive.contains(id));
        }
        let mut distributions = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(mut spec) = self.spec(row) {
                if let Some(second) = seconds.iter().find(|second| second.distribution == row.id) {
                    second.add_to(&mut spec);
                }
                for asked in asked.iter().filter(|asked| asked.distribution == row.id) {
                    asked.add_to(&mut spec);
                }
                if let Some(leads_to) = leads_to.iter().find(|leads_to| leads_to.distribution == row.id) {
                    leads_to.add_to(&mut spec);
                }
                spec.invalidations = invalidations.remove(&row.id).unwrap_or_default();
                distributions.push(spec);
            }
        }
        Snapshot { version, channels, breakouts, distributions, key_groups, closed }
    }

    fn spec(&mut self, row: &SnapshotDistribution) -> Option<DistributionSpec> {
        let known = self.compiled.get(&row.id);
        // Without a text it is one of those that were said to be known.
        let Some((config, domain)) = row.text.as_ref().filter(|_| !self.knows(&row.id, row.changed_version)) else {
            return known.and_then(|known| known.spec.clone());
        };
        let parsed = DistributionConfig::parse(config.as_bytes());
        let compiled = parsed.and_then(|config| config.compile(&row.id, domain));
        let spec = match compiled {
            Ok(spec) => Some(spec),
            Err(error) => {
                let serves = if known.is_some() { "by its last good configuration" } else { "not" };
                let error = chain(&error);
                tracing::error!(distribution.id = %row.id, error, serves, "a stored configuration cannot be compiled");
                known.and_then(|known| known.spec.clone())
            }
        };
        self.compiled.insert(row.id.clone(), Compiled { changed_version: row.changed_version, spec: spec.clone() });
        spec
    }
}

#[cfg(test)]
mod tests {
    use anabranch_cloudfront::ViewerOrigins;
    use anabranch_model::{ChannelId, InvalidationLog, KeyGroupId};

    use super::*;

    fn row(config: String) -> SnapshotDistribution {
        let id = DistributionId::random();
        let domain = format!("{}.cdn.localhost", id.as_str().to_ascii_lowercase());
        SnapshotDistribution { changed_version: 1, text: Some((config, domain)), id }
    }

    fn rows(distributions: &[SnapshotDistribution]) -> SnapshotRows {
        let log = |row: &SnapshotDistribution| (row.id.clone(), InvalidationLog { floor: 7, entries: Vec::new() });
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
        DistributionConfig::live("r", &ChannelId::random(), &KeyGroupId::random(), &ViewerOrigins::default())
            .to_json()
            .to_string()
    }

    #[test]
    fn a_configuration_that_cannot_be_compiled_leaves_the_others_alone() {
        let mut assembler = Assembler::default();
        let mut all = [row(live()), row("{}".into()), row(String::new())];
        let first = assembler.snapshot(rows(&all), OfClusters::default());
        assert_eq!(first.distributions.len(), 1);
        assert_eq!((&first.distributions[0].id, first.distributions[0].invalidations.floor), (&all[0].id, 7));
        // One that was good before serves on as it was.
        all[0].text = Some(("broken".into(), String::new()));
        all[0].changed_version = 2;
        assert!(!assembler.knows(&all[0].id, 2));
        assert_eq!(assembler.snapshot(rows(&all), OfClusters::default()), first);
        // What is known need not be read again.
        all.iter_mut().for_each(|row| row.text = None);
        assert!(all.iter().all(|row| assembler.knows(&row.id, row.changed_version)));
        assert_eq!(assembler.snapshot(rows(&all), OfClusters::default()), first);
        assert!(assembler.snapshot(rows(&[]), OfClusters::default()).distributions.is_empty());
        assert!(
            assembler.snapshot(rows(&all), OfClusters::default()).distributions.is_empty(),
            "what is gone is forgotten"
        );
    }
}
