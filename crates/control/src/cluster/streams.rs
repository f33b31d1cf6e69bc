//! Streams of clusters: what is watched in each region, merged and played.

use anabranch_cluster::state::Opening;
use anabranch_model::{BREAKOUT_MARK, Cluster, ClusterRegion, SecretHeaders};

use super::desk::ClusterDesk;
use crate::app::{App, Error};
use crate::chain::chain;

/// A stream of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterStream {
    /// The cluster.
    pub cluster: Cluster,
    /// Directory of its merged playlist: the id of a breakout, or the cluster's where its URLs name no breakout.
    pub name: String,
    /// Where it is, in the order of the regions.
    pub places: Vec<StreamPlace>,
}

/// Where a stream is in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// Name of the region.
    pub region: String,
    /// Multivariant playlist as viewers ask for it, without a signature.
    pub cdn_url: String,
    /// The playlist at the origin.
    pub origin_url: String,
    /// Whether an instance of ours serves it, which asks for a signature.
    pub is_ours: bool,
    /// Whether players are sent there.
    pub opening: Opening,
    /// Headers with which the server of `origin_url` is asked, and no other.
    pub headers: SecretHeaders,
}

impl ClusterDesk {
    /// Streams that are to be watched now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn streams(&self) -> Result<Vec<ClusterStream>, String> {
        self.0.cluster_streams().await.map_err(|error| chain(&error))
    }

    /// The header `Cookie` by which watchers open a stream in every region that trusts our key, closed or not, for `seconds`.
    ///
    /// # Errors
    /// The database does not answer, or there is no key to sign with.
    pub async fn watcher_cookie(&self, stream: &str, seconds: i64) -> Result<String, String> {
        self.0.watcher_cookie(stream, seconds).await.map_err(|error| chain(&error))
    }
}

impl App {
    async fn cluster_streams(&self) -> Result<Vec<ClusterStream>, Error> {
        let now_ms = self.clock.now_ms();
        let mut streams = Vec::new();
        for (cluster, openings) in self.clusters.each(|live| (live.cluster().clone(), live.openings(now_ms))) {
            let names = if is_of_breakouts(&cluster) {
                self.db.breakouts_of_cluster(&cluster.name).await?.into_iter().map(String::from).collect()
            } else {
                vec![cluster.id.to_string()]
            };
            for name in names {
                let place = |region: &ClusterRegion| StreamPlace {
                    region: region.name.clone(),
                    cdn_url: region.cdn_url.replace(BREAKOUT_MARK, &name),
                    origin_url: region.origin_url.replace(BREAKOUT_MARK, &name),
                    is_ours: region.distribution.is_some()
                        || region.peer.is_some()
                        || cluster.here.as_deref() == Some(region.name.as_str()),
                    opening: openings.get(&region.name).map_or(Opening::Open, |one| one.opening),
                    headers: region.headers.clone(),
                };
                let places = cluster.regions.iter().map(place).collect();
                streams.push(ClusterStream { cluster: cluster.clone(), name, places });
            }
        }
        Ok(streams)
    }
}

/// Whether the URLs of a cluster name a breakout.
pub(crate) fn is_of_breakouts(cluster: &Cluster) -> bool {
    cluster.regions.iter().any(|region| region.cdn_url.contains(BREAKOUT_MARK))
}
