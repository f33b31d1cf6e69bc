//! What passes by HTTP between the control plane and a node that is a process of its own (ADR 11).

use serde::{Deserialize, Serialize};

use crate::{InstanceId, NodeName, PlaneId, PriceClass, Report, Snapshot, SpoolId};

/// Where a node asks for the newest snapshot: GET with a [`SnapshotQuery`], answered 200 with a [`Briefing`] or 204.
pub const SNAPSHOT_PATH: &str = "/edge/v1/snapshot";

/// Where a node sends a [`ReportBatch`]: POST, answered 200 with [`Acknowledged`].
pub const REPORTS_PATH: &str = "/edge/v1/reports";

/// Where a node says goodbye: DELETE of this, a slash, its name and `?instance=`; answered 204.
pub const NODES_PATH: &str = "/edge/v1/nodes";

/// Longest time that a request for a snapshot is held.
pub const POLL_SECONDS: u64 = 25;

/// Rows of traffic of a batch at most, over all its reports. Those of viewers are [`crate::VIEWERS_MAX`] at most.
pub const REPORT_ROWS_MAX: usize = 1024;

/// Bytes of a batch at most, as JSON.
pub const REPORT_BYTES_MAX: usize = 1024 * 1024;

/// What a node says of itself when it asks for the newest snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotQuery {
    /// Its name.
    pub node: NodeName,
    /// This life of its process, which tells two nodes of one name apart.
    pub instance: InstanceId,
    /// `edge`.
    pub role: String,
    /// Where it stands, in the operator's words.
    #[serde(default)]
    pub location: String,
    /// Price class of that location.
    #[serde(default)]
    pub location_class: PriceClass,
    /// The control plane whose snapshot it acts by; absent if it has none.
    #[serde(default)]
    pub plane: Option<PlaneId>,
    /// Version of the snapshot that it acts by: asking for what comes after one confirms that one.
    #[serde(default)]
    pub after: u64,
    /// [`Briefing::origin`] as it knows it.
    #[serde(default)]
    pub origin: Option<String>,
}

/// What a node is told. Kept on disk as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Briefing {
    /// Who says it. Versions of two planes cannot be compared.
    pub plane: PlaneId,
    /// `host:port` of the origin room; an unspecified address stands for the host by which the node reaches the control plane.
    #[serde(default)]
    pub origin: Option<String>,
    /// What to do; without channels, whose stream keys are no edge's business.
    pub snapshot: Snapshot,
}

/// Reports that are counted once, however often they arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportBatch {
    /// Who reports.
    pub node: NodeName,
    /// Where the batch was kept.
    pub spool: SpoolId,
    /// Number of the batch in its spool, from 1. A batch is sent when those before it have been acknowledged.
    pub sequence: u64,
    /// Reports of traffic, of viewers and of quality.
    pub reports: Vec<Report>,
    /// Newest file of the node's journal that has become part of batches; 0 for none. For the node itself.
    #[serde(default)]
    pub journal: u64,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Number of the batch that is counted, now or before.
    pub acknowledged: u64,
}

/// Whether a node is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It serves, as far as anybody knows: changes wait until it has applied them.
    Present,
    /// It said goodbye.
    Left,
    /// It has been silent for too long.
    Lost,
}

impl NodeState {
    /// The word of database and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Left => "left",
            Self::Lost => "lost",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Present, Self::Left, Self::Lost].into_iter().find(|state| state.as_str() == word)
    }
}
