//! Origins whose shield this edge does not know: they are asked without it, and the operator is told.

use std::collections::BTreeSet;
use std::fmt;

use anabranch_model::{DistributionId, Snapshot};
use metrics::{Gauge, gauge};
use parking_lot::Mutex;

use crate::config::Config;

/// Pairs of distribution and shield that are told of; more are only counted.
const MAX_TOLD: usize = 1000;

/// What has been told of already.
pub(crate) struct Unshielded {
    told: Mutex<BTreeSet<(DistributionId, String)>>,
    gauge: Gauge,
}

impl fmt::Debug for Unshielded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unshielded").field("told", &self.told).finish_non_exhaustive()
    }
}

impl Unshielded {
    pub(crate) fn new() -> Self {
        Self { told: Mutex::default(), gauge: gauge!("anabranch_edge_shields_unknown") }
    }

    /// Counts the origins of a snapshot whose shield is not configured, and logs those that are new.
    pub(crate) fn follow(&self, snapshot: &Snapshot, config: &Config) {
        let (origins, found) = unknown(snapshot, config);
        self.gauge.set(f64::from(u32::try_from(origins).unwrap_or(u32::MAX)));
        let mut told = self.told.lock();
        for (distribution, shield) in found.difference(&told).take(MAX_TOLD) {
            tracing::warn!(
                distribution.id = %distribution,
                shield.name = shield,
                "an origin names a shield that this edge does not know, and is asked without it; add it to edge.shields, \
                 or take OriginShield out of the distribution"
            );
        }
        *told = found;
    }
}

/// Number of origins whose shield is not known, and their distributions with the shields' names.
fn unknown(snapshot: &Snapshot, config: &Config) -> (usize, BTreeSet<(DistributionId, String)>) {
    // A shield is meant to ask the origin itself.
    if config.shield_token.is_some() {
        return (0, BTreeSet::new());
    }
    let enabled = snapshot.distributions.iter().filter(|spec| spec.enabled);
    let named = enabled.flat_map(|spec| spec.origins.iter().map(|origin| (spec.id.clone(), origin.shield.as_ref())));
    let missing: Vec<_> = named
        .filter_map(|(id, shield)| Some((id, shield.filter(|name| !config.shields.contains_key(*name))?.clone())))
        .collect();
    (missing.len(), missing.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use anabranch_model::{ChannelId, Origin, OriginSpec};

    use super::*;
    use crate::config::Shield;

    fn snapshot() -> Snapshot {
        let channel = ChannelId::random();
        let origin = |name: &str, shield: Option<&str>| OriginSpec {
            id: name.to_owned(),
            origin: Origin::Live { channel: channel.clone() },
            shield: shield.map(str::to_owned),
        };
        let mut spec = crate::upstream::tests::distribution();
        spec.origins =
            vec![origin("a", None), origin("b", Some("paris")), origin("c", Some("basel")), origin("d", Some("basel"))];
        let mut disabled = spec.clone();
        disabled.id = "E2".parse().unwrap();
        disabled.enabled = false;
        Snapshot { distributions: vec![spec, disabled], ..Snapshot::default() }
    }

    #[test]
    fn shields_that_are_not_configured_are_told_by_distribution() {
        let shield = Shield { authority: "s.test".to_owned(), tls: false, token: "t".to_owned() };
        let config = Config { shields: [("paris".to_owned(), shield)].into(), ..Config::default() };
        let expected = ("E1".parse().unwrap(), "basel".to_owned());
        assert_eq!(unknown(&snapshot(), &config), (2, [expected].into()));
        let unshielded = Unshielded::new();
        unshielded.follow(&snapshot(), &config);
        assert_eq!(unshielded.told.lock().len(), 1);
        unshielded.follow(&Snapshot::default(), &config);
        assert!(unshielded.told.lock().is_empty(), "what comes back is told again");
    }

    #[test]
    fn a_shield_asks_origins_itself() {
        let config = Config { shield_token: Some("t".to_owned()), ..Config::default() };
        assert_eq!(unknown(&snapshot(), &config), (0, BTreeSet::new()));
    }
}
