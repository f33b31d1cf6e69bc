//! Clusters of this instance while it runs: their definitions and newest words as the rows have them, the votes, and the peers.

pub(crate) mod asked;
pub(crate) mod automat;
mod desk;
pub(crate) mod feed;
mod meters;
pub(crate) mod peers;
mod pull;
pub(crate) mod second;
mod seen;
mod store;
mod streams;
mod turned;
pub(crate) mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_cluster::peer::Told;
use anabranch_cluster::state::{Effective, Ground, Judged, Opening, Registers, Vote, Votes, effective, judge};
use anabranch_cluster::store::StateStore;
use anabranch_db::{ClusterRow, Db, Error};
use anabranch_model::{
    AlignedSpec, Anchors, AutomatMode, BreakoutId, ClosedSpec, Cluster, ClusterId, ClusterState, DistributionId,
    RegisterOf, Verdict, VerdictState,
};
use anabranch_net::SharedClock;
use parking_lot::RwLock;
use tokio::sync::{Notify, Semaphore, watch};

use pull::PeerSeen;

pub use desk::{ClusterDesk, VoteError};
pub(crate) use pull::Pull;
pub(crate) use seen::Glance;
pub use seen::{Seen, Way};
pub(crate) use store::Rows;
pub(crate) use streams::is_of_breakouts;
pub use streams::{ClusterStream, StreamPlace};

/// Folder of the copies of merged playlists that peers ask for: what is in it is answered from the store alone, so that two regions
/// which both have nothing do not ask each other in turn.
pub const PEER_FOLDER: &str = "peer";

/// Requests for a state that are held at once.
const HELD_MAX: usize = 256;

/// Silence after which a watcher is forgotten, in milliseconds.
const FORGET_MS: i64 = 60 * 60 * 1000;

/// Age from which a vote is not taken over from a peer, in milliseconds: so much less than what is forgotten that no two instances, which
/// forget a little earlier or later, hand it to and fro.
const HEARSAY_MAX_MS: u64 = 59 * 60 * 1000;

/// A cluster while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) row: ClusterRow,
    pub(crate) registers: Registers,
    pub(crate) votes: Votes,
    /// Changes with everything that peers are told.
    pub(crate) version: u64,
    /// What is known of peers, by region.
    pub(crate) peers: BTreeMap<String, PeerSeen>,
    /// Where our packager has put what of the encoders' streams, and where those of peers have, by region.
    anchors: Vec<Anchors>,
    heard: BTreeMap<String, Vec<Anchors>>,
    /// The distribution of this instance that serves its merged playlists.
    pub(crate) merged: Option<DistributionId>,
    /// Where a peer serves its copies of them, and the signature with which edges ask there.
    pub(crate) second: Option<second::Signed>,
    /// What watchers of this process have measured last.
    pub(crate) seen: Vec<Seen>,
    /// Votes that no row has yet, by region and watcher.
    unsaved: BTreeSet<(String, String)>,
    /// What was told last, so that it is told once.
    told: Remembered,
}

/// What the log has been told of a cluster.
#[derive(Clone, Debug, Default)]
struct Remembered {
    verdicts: BTreeMap<String, VerdictState>,
    openings: BTreeMap<String, (Opening, Ground)>,
    silent: BTreeSet<String>,
    /// Region and rule.
    withheld: BTreeSet<(String, &'static str)>,
    /// By stream and region.
    problems: BTreeMap<(String, String), String>,
}

impl Live {
    fn new(row: ClusterRow, version: u64) -> Self {
        Self {
            row,
            registers: Registers::default(),
            votes: Votes::default(),
            version,
            peers: BTreeMap::new(),
            anchors: Vec::new(),
            heard: BTreeMap::new(),
            merged: None,
            second: None,
            seen: Vec::new(),
            unsaved: BTreeSet::new(),
            told: Remembered::default(),
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.row.cluster
    }

    pub(crate) fn openings(&self, now_ms: i64) -> BTreeMap<String, Effective> {
        effective(self.cluster(), &self.registers, now_ms)
    }

    pub(crate) fn judge(&self, region: &str, now_ms: i64) -> Judged {
        judge(self.cluster(), &self.votes, region, now_ms)
    }

    /// What our packager and those of peers say of the encoders' streams.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = &Anchors> {
        self.anchors.iter().chain(self.heard.values().flatten())
    }

    /// Whether the automat of this instance is the one that decides: no instance before it in the order of regions is heard that
    /// could. One that is cut off decides for itself. Where the automat is off it is the same, so that drills are ended and what is not done
    /// is said once for the cluster.
    pub(crate) fn leads(&self) -> bool {
        let cluster = self.cluster();
        let is_off = cluster.automat.mode == AutomatMode::Manual;
        let mut before = cluster.regions.iter().take_while(|region| Some(&region.name) != cluster.here.as_ref());
        let decides = |peer: &PeerSeen| peer.acts() || (is_off && peer.writes());
        !before.any(|region| self.peers.get(&region.name).is_some_and(decides))
    }
}

/// Every cluster of this instance.
pub(crate) struct Clusters {
    live: RwLock<BTreeMap<ClusterId, Live>>,
    /// Goes up with each change that peers are told; versions of states are its values.
    pub(crate) moved: watch::Sender<u64>,
    /// Goes up with each change of a definition.
    pub(crate) defined: watch::Sender<u64>,
    /// Anchors that peers tell.
    pub(crate) anchors_heard: watch::Sender<Arc<Vec<Anchors>>>,
    /// One writer of words at a time: the stamp of a word is made of those that are known.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// Says that there may be other peers.
    pub(crate) peers_changed: Notify,
    pub(crate) held: Arc<Semaphore>,
    pub(crate) pull: Pull,
    /// Id of this instance.
    pub(crate) node: String,
    pub(crate) store: Rows,
    /// When somebody asked last for what is measured.
    looked_at: parking_lot::Mutex<Option<tokio::time::Instant>>,
    clock: SharedClock,
    /// Silence before this is nobody's fault: nobody listened.
    started_ms: i64,
}

impl Clusters {
    /// The clusters of the rows, for the instance `node`, which asks peers by `pull`.
    pub(crate) async fn load(db: &Db, node: String, clock: SharedClock, pull: Pull) -> Result<Self, Error> {
        let started_ms = clock.now_ms();
        // Later lives begin with later versions.
        let version = u64::try_from(started_ms).unwrap_or(0);
        let clusters = Self {
            live: RwLock::default(),
            moved: watch::Sender::new(version),
            defined: watch::Sender::new(0),
            anchors_heard: watch::Sender::default(),
            writing: tokio::sync::Mutex::default(),
            peers_changed: Notify::new(),
            held: Arc::new(Semaphore::new(HELD_MAX)),
            pull,
            node,
            store: Rows(db.clone()),
            looked_at: parking_lot::Mutex::default(),
            clock,
            started_ms,
        };
        for row in db.clusters().await? {
            let mut live = Live::new(row, version);
            let id = live.cluster().id.clone();
            live.registers = db.cluster_registers(&id).await?.into_iter().collect();
            for (of, heard_ms) in db.cluster_votes(&id).await? {
                let vote = Vote { verdict: of.verdict, at_ms: of.at_ms, heard_ms };
                live.votes.merge(&of.region, &of.watcher, vote);
            }
            clusters.live.write().insert(id, live);
        }
        Ok(clusters)
    }

    /// Something of the cluster with this id or name; none when there is no such cluster.
    pub(crate) fn look<T>(&self, wanted: &str, look: impl FnOnce(&Live) -> T) -> Option<T> {
        let live = self.live.read();
        let named = |live: &&Live| live.cluster().id.as_str() == wanted || live.cluster().name == wanted;
        live.values().find(named).map(look)
    }

    /// The same, or the error of a cluster that there is not.
    pub(crate) fn find<T>(&self, wanted: &str, look: impl FnOnce(&Live) -> T) -> Result<T, Error> {
        self.look(wanted, look).ok_or_else(|| Error::NotFound { subject: "cluster", wanted: wanted.to_owned() })
    }

    /// Something of every cluster.
    pub(crate) fn each<T>(&self, look: impl FnMut(&Live) -> T) -> Vec<T> {
        self.live.read().values().map(look).collect()
    }

    pub(crate) fn ids(&self) -> Vec<ClusterId> {
        self.live.read().keys().cloned().collect()
    }

    /// Takes over a definition that is new or another one.
    pub(crate) fn define(&self, row: ClusterRow) {
        let mut all = self.live.write();
        let version = self.moved.borrow().saturating_add(1);
        let live = all.entry(row.cluster.id.clone()).or_insert_with(|| Live::new(row.clone(), version));
        let before = std::mem::replace(&mut live.row, row);
        live.version = version;
        let regions: Vec<String> = live.cluster().regions.iter().map(|region| region.name.clone()).collect();
        live.registers = live.registers.to_wire().into_iter().filter(|of| regions.contains(&of.region)).collect();
        live.votes.retain(|region, _, _| regions.iter().any(|known| known == region));
        // What is known of a peer is of its address and token.
        let of = |row: &ClusterRow, name: &str| row.cluster.region(name).and_then(|region| region.peer.clone());
        let now = &live.row;
        live.peers.retain(|region, _| of(&before, region) == of(now, region));
        drop(all);
        self.tell();
        self.defined.send_modify(|count| *count += 1);
        self.peers_changed.notify_one();
    }

    pub(crate) fn forget(&self, id: &ClusterId) {
        self.live.write().remove(id);
        self.tell();
        self.defined.send_modify(|count| *count += 1);
        self.peers_changed.notify_one();
    }

    /// Changes a cluster; none when it is gone. With `told` it is news for peers.
    fn change<T>(&self, id: &ClusterId, told: bool, change: impl FnOnce(&mut Live) -> T) -> Option<T> {
        let mut all = self.live.write();
        let live = all.get_mut(id)?;
        let done = change(live);
        if told {
            live.version = self.moved.borrow().saturating_add(1);
        }
        drop(all);
        if told {
            self.tell();
        }
        Some(done)
    }

    fn tell(&self) {
        self.moved.send_modify(|version| *version = version.saturating_add(1));
    }

    /// Writes words that are newer than what is kept, and acts by them; which they were. The caller holds `writing` if it has made
    /// stamps.
    pub(crate) async fn write(
        &self,
        id: &ClusterId,
        words: &[RegisterOf],
    ) -> Result<Vec<RegisterOf>, anabranch_cluster::store::StoreError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let taken = self.store.merge(id, words, self.clock.now_ms()).await?;
        self.change(id, !taken.is_empty(), |live| {
            for word in &taken {
                live.registers.merge(word.clone());
            }
        });
        Ok(taken)
    }

    /// Takes note of what a watcher says here; false when there is no such cluster or region, or there are too many watchers.
    pub(crate) fn say(&self, id: &ClusterId, region: &str, watcher: &str, verdict: Verdict) -> bool {
        let now_ms = self.clock.now_ms();
        let before = self.live.read().get(id).and_then(|live| {
            live.cluster().region(region)?;
            Some(live.votes.get(region, watcher).map(|vote| vote.verdict.state))
        });
        let Some(before) = before else { return false };
        // Reasons and measurements change all the time; peers get them with the next answer.
        let news = before != Some(verdict.state);
        let said = self.change(id, news, |live| {
            if !has_room(&live.votes, watcher) {
                return false;
            }
            live.votes.say(region, watcher, verdict, now_ms);
            if news {
                live.unsaved.insert((region.to_owned(), watcher.to_owned()));
            }
            true
        });
        said.unwrap_or(false)
    }

    /// Takes note of the votes that a peer tells of. Very old ones are not heard: we may have forgotten them already.
    pub(crate) fn hear(&self, id: &ClusterId, told: &Told) {
        let now_ms = self.clock.now_ms();
        let votes = || told.votes.iter().filter(|of| of.age_ms < HEARSAY_MAX_MS);
        // What nobody else can know otherwise goes on to other peers; repetitions do not.
        let news = self.look(id.as_str(), |live| {
            votes().any(|of| {
                let known = live.votes.get(&of.region, &of.watcher);
                known.is_none_or(|known| known.at_ms < of.at_ms && known.verdict.state != of.verdict.state)
            })
        });
        self.change(id, news.unwrap_or(false), |live| {
            for of in votes().filter(|of| live.row.cluster.region(&of.region).is_some()) {
                if !has_room(&live.votes, &of.watcher) {
                    continue;
                }
                let other =
                    live.votes.get(&of.region, &of.watcher).map(|vote| vote.verdict.state) != Some(of.verdict.state);
                let vote = Vote::told(of.clone(), now_ms);
                if live.votes.merge(&of.region, &of.watcher, vote) && other {
                    live.unsaved.insert((of.region.clone(), of.watcher.clone()));
                }
            }
        });
    }

    /// Takes note of the anchors that a peer tells; of none, when it is not heard.
    pub(crate) fn hear_anchors(&self, id: &ClusterId, region: &str, told: Vec<Anchors>) {
        let changed = self.change(id, false, |live| {
            let before = live.heard.insert(region.to_owned(), told);
            before.as_ref() != live.heard.get(region)
        });
        if changed == Some(true) {
            let all = self.live.read().values().flat_map(|live| live.heard.values().flatten().cloned()).collect();
            self.anchors_heard.send_replace(Arc::new(all));
        }
    }

    /// Takes note of the anchors of our own packager, which peers are told.
    pub(crate) fn tell_anchors(&self, told: &[Anchors]) {
        for id in self.ids() {
            let of_cluster = |live: &Live| -> Option<Vec<Anchors>> {
                let begin = format!("{}/", live.cluster().name);
                let ours: Vec<Anchors> = told.iter().filter(|one| one.stream.starts_with(&begin)).cloned().collect();
                (ours != live.anchors).then_some(ours)
            };
            if let Some(news) = self.look(id.as_str(), of_cluster).flatten() {
                self.change(&id, true, |live| live.anchors = news);
            }
        }
    }

    /// How a breakout is packaged as a stream of a cluster; none where this instance is no region of it.
    pub(crate) fn aligned(&self, cluster: &str, breakout: &BreakoutId) -> Option<AlignedSpec> {
        let of = |live: &Live| {
            let cluster = live.cluster();
            let others = cluster.regions.iter().filter(|region| region.peer.is_some());
            Some(AlignedSpec {
                stream: format!("{}/{breakout}", cluster.name),
                region: cluster.here.clone()?,
                peers: others.map(|region| region.name.clone()).collect(),
            })
        };
        self.look(cluster, of).flatten()
    }

    /// What peers are told.
    pub(crate) fn state(live: &Live, node: &str, edge: &str, can_write: bool, now_ms: i64) -> ClusterState {
        let cluster = live.cluster();
        ClusterState {
            cluster: cluster.name.clone(),
            node: node.to_owned(),
            region: cluster.here.clone(),
            version: live.version,
            now_ms,
            writes: can_write,
            acts: can_write && cluster.automat.mode == AutomatMode::Automatic,
            registers: live.registers.to_wire(),
            votes: live.votes.to_wire(now_ms),
            anchors: live.anchors.clone(),
            definition: Some(cluster.into()),
            in_force: None,
            merged: live.merged.as_ref().map(|id| format!("{}/d/{id}/{PEER_FOLDER}", edge.trim_end_matches('/'))),
        }
    }

    /// Regions that edges of this instance are to answer 404 for.
    pub(crate) fn closed(&self, now_ms: i64) -> Vec<ClosedSpec> {
        let mut closed = Vec::new();
        for live in self.live.read().values() {
            let openings = live.openings(now_ms);
            for region in &live.cluster().regions {
                let is_closed = openings.get(&region.name).is_some_and(|one| one.opening == Opening::Closed);
                if let (true, Some(distribution)) = (is_closed, &region.distribution) {
                    closed.push(ClosedSpec {
                        distribution: distribution.clone(),
                        paths: region.paths.clone(),
                        cluster: live.cluster().name.clone(),
                        region: region.name.clone(),
                    });
                }
            }
        }
        closed
    }
}

/// Whether the watcher is known, or there is room for another.
fn has_room(votes: &Votes, watcher: &str) -> bool {
    let watchers = votes.watchers();
    watchers.contains(&watcher) || watchers.len() < anabranch_cluster::peer::WATCHERS_MAX
}
