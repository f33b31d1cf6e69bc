//! What a node knows, and whether what it hears is news.

use anabranch_model::{Briefing, PlaneId};

/// What a node knows of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) plane: PlaneId,
    pub(super) version: u64,
    pub(super) origin: Option<String>,
}

impl Known {
    pub(super) fn of(briefing: &Briefing) -> Self {
        Self { plane: briefing.plane.clone(), version: briefing.snapshot.version, origin: briefing.origin.clone() }
    }

    /// Whether the briefing is to be followed. Of one control plane an older snapshot never is; versions of two planes cannot be
    /// compared, and the one that answers is right.
    pub(super) fn yields_to(&self, briefing: &Briefing) -> bool {
        let version = briefing.snapshot.version;
        self.plane != briefing.plane
            || version > self.version
            || (version == self.version && self.origin != briefing.origin)
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::Snapshot;

    use super::*;

    fn briefing(plane: &PlaneId, version: u64, origin: &str) -> Briefing {
        let snapshot = Snapshot { version, ..Snapshot::default() };
        Briefing { plane: plane.clone(), origin: Some(origin.to_owned()), snapshot }
    }

    #[test]
    fn an_older_snapshot_never_replaces_a_newer_one_of_the_same_plane() {
        let (ours, other) = (PlaneId::random(), PlaneId::random());
        let known = Known::of(&briefing(&ours, 7, "a:1"));
        assert!(known.yields_to(&briefing(&ours, 8, "a:1")));
        assert!(!known.yields_to(&briefing(&ours, 7, "a:1")));
        assert!(known.yields_to(&briefing(&ours, 7, "a:2")), "the origin room has moved");
        assert!(!known.yields_to(&briefing(&ours, 6, "a:2")));
        assert!(known.yields_to(&briefing(&other, 1, "a:1")), "the database was made anew");
    }
}
