//! Nodes that are processes of their own: who is there, who is waited for, and what they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anabranch_db::{Db, NodeRow, Place};
use anabranch_model::{
    Briefing, InstanceId, NodeName, NodeState, PlaneId, PriceClass, Report, Snapshot, SnapshotQuery,
};
use anabranch_net::{SharedClock, Shutdown};
use axum::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::secret::{Tokens, sha256};

/// Requests for a snapshot that are held at once.
const HELD_MAX: usize = 2048;

/// Nodes remembered.
const NODES_MAX: usize = 1000;

/// Silence after which a node is no longer waited for, in milliseconds.
const LOST_MS: i64 = 10 * 60 * 1000;

/// Time after which a node that has left or is lost is no longer shown, in milliseconds.
const SHOWN_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Time without a held request after which a node is shown as silent, in milliseconds: between two requests it writes a
/// snapshot.
const SILENT_MS: i64 = 5 * 1000;

/// Word for such a node.
const SILENT: &str = "silent";

/// How far the row's time of the last word may lag, in milliseconds.
const SEEN_LAG_MS: i64 = 60 * 1000;

/// Why a node is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("another node with this name is connected: give each node its own node.name")]
    NameInUse,
    #[error("there are too many nodes: forget those that are gone with `anabranch node forget NAME`")]
    TooMany,
    #[error("too many requests are held: ask again later")]
    Busy,
}

/// A node as operators see it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) row: NodeRow,
    /// `connected`, `silent`, `lost` or `left`.
    pub(crate) state: &'static str,
}

#[derive(Debug)]
struct Known {
    row: NodeRow,
    /// The row as the database has it.
    written: Option<NodeRow>,
    instance: Option<InstanceId>,
    /// Until when all that it has sent is counted, Unix milliseconds; 0 until it says.
    told_ms: i64,
    /// Requests for a snapshot under way.
    held: usize,
}

/// The registry of nodes, and the newest snapshot for them.
pub(crate) struct Nodes {
    pub(crate) plane: PlaneId,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// Ends held requests.
    pub(crate) stopping: Shutdown,
    /// Address of the origin room.
    pub(crate) origin: OnceLock<String>,
    token: Tokens,
    clock: SharedClock,
    /// Silence before this does not count: nobody listened.
    started_ms: i64,
    held: Arc<Semaphore>,
    /// The newest briefing with its version, made once for all nodes.
    encoded: Mutex<Option<(u64, Bytes)>>,
    known: Mutex<BTreeMap<NodeName, Known>>,
}

/// What asking for a snapshot has changed.
pub(crate) struct Arrival<'a> {
    pub(crate) held: Held<'a>,
    /// The row, if the database has to hear of it.
    pub(crate) write: Option<NodeRow>,
    /// Whether the node is new, or acts by another version than before.
    pub(crate) news: bool,
}

/// A node's request under way. The node counts as there until it is dropped.
pub(crate) struct Held<'a> {
    nodes: &'a Nodes,
    name: NodeName,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let now_ms = self.nodes.clock.now_ms();
        if let Some(known) = self.nodes.known.lock().get_mut(&self.name) {
            known.held = known.held.saturating_sub(1);
            known.row.seen_at = now_ms;
        }
        metrics::gauge!("anabranch_control_polls_held").decrement(1);
    }
}

impl Nodes {
    /// The nodes of the rows. `token` is what nodes must know; without it none is served.
    pub(crate) async fn load(token: Option<&str>, db: &Db, clock: SharedClock) -> Result<Self, anabranch_db::Error> {
        let started_ms = clock.now_ms();
        // The reconciler puts the first one in before anything is served.
        let (snapshots, _) = watch::channel(Arc::default());
        let known = |row: NodeRow| {
            (row.name.clone(), Known { written: Some(row.clone()), row, instance: None, told_ms: 0, held: 0 })
        };
        Ok(Self {
            plane: db.plane_id().await?,
            snapshots,
            stopping: Shutdown::new(),
            origin: OnceLock::new(),
            token: Tokens::of(token.iter().map(|token| sha256(token.as_bytes())).collect()),
            clock,
            started_ms,
            held: Arc::new(Semaphore::new(HELD_MAX)),
            encoded: Mutex::new(None),
            known: Mutex::new(db.nodes().await?.into_iter().map(known).collect()),
        })
    }

    /// What is to be assumed of nodes that are waited for and have not been heard yet.
    pub(crate) fn expected(&self) -> Vec<Report> {
        let nodes = self.known.lock();
        let present = nodes.values().map(|known| &known.row).filter(|row| row.state == NodeState::Present);
        present.map(|row| Report::Applied { role: row.role.clone(), node: row.name.to_string(), version: 0 }).collect()
    }

    /// Whether it is the nodes' token.
    pub(crate) fn admit(&self, token: &str) -> bool {
        self.token.admit(token)
    }

    /// The newest snapshot as nodes get it: without channels, whose stream keys are secrets of encoders.
    pub(crate) fn briefing(&self, newest: &Snapshot) -> Result<Bytes, serde_json::Error> {
        let mut encoded = self.encoded.lock();
        if let Some((version, bytes)) = &*encoded
            && *version == newest.version
        {
            return Ok(bytes.clone());
        }
        let snapshot = Snapshot {
            version: newest.version,
            channels: Vec::new(),
            breakouts: newest.breakouts.clone(),
            distributions: newest.distributions.clone(),
            key_groups: newest.key_groups.clone(),
            closed: newest.closed.clone(),
        };
        let briefing = Briefing { plane: self.plane.clone(), origin: self.origin.get().cloned(), snapshot };
        let bytes = Bytes::from(serde_json::to_vec(&briefing)?);
        *encoded = Some((newest.version, bytes.clone()));
        Ok(bytes)
    }

    /// Whether the node carries distributions of this class. One of this process, which is not in the registry, carries all.
    pub(crate) fn carries(&self, name: &str, class: PriceClass) -> bool {
        let Ok(name) = name.parse::<NodeName>() else { return true };
        self.known.lock().get(&name).is_none_or(|known| known.row.location_class.as_str() <= class_word(class))
    }

    /// Whether the name is one of these nodes.
    pub(crate) fn knows(&self, name: &NodeName) -> bool {
        self.known.lock().contains_key(name)
    }

    /// Takes note of a node that asks for a snapshot and acts by `applied`.
    pub(crate) fn arrive(&self, query: &SnapshotQuery, applied: u64) -> Result<Arrival<'_>, Refused> {
        let permit = self.held.clone().try_acquire_owned().map_err(|_| Refused::Busy)?;
        let now_ms = self.clock.now_ms();
        let mut nodes = self.known.lock();
        if !nodes.contains_key(&query.node) && nodes.len() >= NODES_MAX {
            return Err(Refused::TooMany);
        }
        let known = nodes.entry(query.node.clone()).or_insert_with(|| Known {
            row: row_of(query, applied, now_ms, now_ms),
            written: None,
            instance: None,
            told_ms: 0,
            held: 0,
        });
        if known.held > 0 && known.instance.as_ref() != Some(&query.instance) {
            return Err(Refused::NameInUse);
        }
        let come = known.written.is_none() || known.row.state != NodeState::Present;
        let news = come || known.row.version != applied || known.instance.as_ref() != Some(&query.instance);
        if come {
            tracing::info!(node.name = %query.node, node.role = query.role, node.location = query.location, "a node has come");
        }
        known.instance = Some(query.instance.clone());
        known.held += 1;
        known.told_ms = known.told_ms.max(query.told_ms.min(now_ms));
        known.row = row_of(query, applied, known.row.joined_at, now_ms);
        let write =
            known.written.as_ref().is_none_or(|written| !is_close(written, &known.row)).then(|| known.row.clone());
        drop(nodes);
        metrics::gauge!("anabranch_control_polls_held").increment(1);
        let held = Held { nodes: self, name: query.node.clone(), _permit: permit };
        Ok(Arrival { held, write, news })
    }

    /// Until when all that the nodes which are there have sent is counted, Unix milliseconds; none without nodes.
    pub(crate) fn told_until(&self) -> Option<i64> {
        let nodes = self.known.lock();
        nodes.values().filter(|known| known.row.state == NodeState::Present).map(|known| known.told_ms).min()
    }

    /// Where the node stands: its location, or its name if it has none.
    pub(crate) fn place(&self, name: &NodeName) -> Place {
        let nodes = self.known.lock();
        let row = nodes.get(name).map(|known| &known.row);
        let location = row.map(|row| row.location.as_str()).filter(|location| !location.is_empty());
        Place {
            location: location.unwrap_or(name.as_str()).to_owned(),
            class: row.map_or_else(|| class_word(PriceClass::default()).to_owned(), |row| row.location_class.clone()),
        }
    }

    /// Takes note of a word from a node that is known.
    pub(crate) fn heard(&self, name: &NodeName) {
        if let Some(known) = self.known.lock().get_mut(name) {
            known.row.seen_at = self.clock.now_ms();
        }
    }

    /// Takes note of a goodbye; the row if that was this life of the node.
    pub(crate) fn leave(&self, name: &NodeName, instance: &InstanceId) -> Option<NodeRow> {
        let mut nodes = self.known.lock();
        let known = nodes.get_mut(name).filter(|known| known.instance.as_ref() == Some(instance))?;
        known.row.state = NodeState::Left;
        known.row.seen_at = self.clock.now_ms();
        tracing::info!(node.name = %name, "a node has left");
        Some(known.row.clone())
    }

    /// Says that the database has this row.
    pub(crate) fn written(&self, row: &NodeRow) {
        if let Some(known) = self.known.lock().get_mut(&row.name) {
            known.written = Some(row.clone());
        }
    }

    /// Nodes that have been silent for too long, which are lost from now on.
    pub(crate) fn lose(&self) -> Vec<NodeRow> {
        let now_ms = self.clock.now_ms();
        let mut lost = Vec::new();
        // A node that was heard later than now, by a clock that was set back, must not count as there until then.
        self.known.lock().values_mut().for_each(|known| known.row.seen_at = known.row.seen_at.min(now_ms));
        let started_ms = self.started_ms.min(now_ms);
        for known in self.known.lock().values_mut().filter(|known| known.row.state == NodeState::Present) {
            let silent_ms = now_ms.saturating_sub(known.row.seen_at.max(started_ms));
            if known.held == 0 && silent_ms > LOST_MS {
                known.row.state = NodeState::Lost;
                tracing::warn!(
                    node.name = %known.row.name,
                    silent_seconds = silent_ms / 1000,
                    "a node is lost: changes no longer wait for it"
                );
                lost.push(known.row.clone());
            }
        }
        lost
    }

    /// Forgets nodes that have been gone for long, and names them.
    pub(crate) fn expire(&self) -> Vec<NodeName> {
        let now_ms = self.clock.now_ms();
        let expired = |row: &NodeRow| row.state != NodeState::Present && now_ms.saturating_sub(row.seen_at) > SHOWN_MS;
        let mut nodes = self.known.lock();
        let names: Vec<_> = nodes
            .iter()
            .filter(|(_, known)| known.held == 0 && expired(&known.row))
            .map(|(name, _)| name.clone())
            .collect();
        names.iter().for_each(|name| drop(nodes.remove(name)));
        names
    }

    /// Rows that the database knows only in an older form.
    pub(crate) fn unwritten(&self) -> Vec<NodeRow> {
        let nodes = self.known.lock();
        let stale =
            nodes.values().filter(|known| known.written.as_ref().is_none_or(|written| !is_close(written, &known.row)));
        stale.map(|known| known.row.clone()).collect()
    }

    /// Every row as it is now.
    pub(crate) fn rows(&self) -> Vec<NodeRow> {
        self.known.lock().values().map(|known| known.row.clone()).collect()
    }

    /// Every node, by name.
    pub(crate) fn list(&self) -> Vec<Seen> {
        let now_ms = self.clock.now_ms();
        let state = |known: &Known| match known.row.state {
            NodeState::Present if known.held > 0 => "connected",
            NodeState::Present if known.instance.is_some() && now_ms.saturating_sub(known.row.seen_at) < SILENT_MS => {
                "connected"
            }
            NodeState::Present => SILENT,
            gone @ (NodeState::Left | NodeState::Lost) => gone.as_str(),
        };
        self.known.lock().values().map(|known| Seen { row: known.row.clone(), state: state(known) }).collect()
    }

    /// Names of nodes that are waited for and do not ask.
    pub(crate) fn silent(&self) -> Vec<NodeName> {
        self.list().into_iter().filter(|node| node.state == SILENT).map(|node| node.row.name).collect()
    }

    /// Forgets a node; `None` if there is none, false if it is connected.
    pub(crate) fn forget(&self, wanted: &str) -> Option<Result<NodeRow, ()>> {
        let mut nodes = self.known.lock();
        let name: NodeName = wanted.parse().ok()?;
        if nodes.get(&name)?.held > 0 {
            return Some(Err(()));
        }
        nodes.remove(&name).map(|known| Ok(known.row))
    }
}

fn row_of(query: &SnapshotQuery, applied: u64, joined_at: i64, now_ms: i64) -> NodeRow {
    NodeRow {
        name: query.node.clone(),
        role: query.role.clone(),
        location: query.location.clone(),
        location_class: class_word(query.location_class).to_owned(),
        state: NodeState::Present,
        version: applied,
        joined_at,
        seen_at: now_ms,
    }
}

fn class_word(class: PriceClass) -> &'static str {
    match class {
        PriceClass::Class100 => "PriceClass_100",
        PriceClass::Class200 => "PriceClass_200",
        PriceClass::All => "PriceClass_All",
    }
}

/// Whether the written row says what matters of the newer one.
fn is_close(written: &NodeRow, newer: &NodeRow) -> bool {
    let lag_ms = newer.seen_at.saturating_sub(written.seen_at);
    (0..SEEN_LAG_MS).contains(&lag_ms)
        && NodeRow { version: newer.version, seen_at: newer.seen_at, ..written.clone() } == *newer
}
