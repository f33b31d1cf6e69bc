//! Definitions of clusters that are taken over from a peer, so that nobody has to type them twice.

use std::collections::BTreeMap;

use anabranch_cluster::peer::read_definition;
use anabranch_model::{ClusterDefinition, Peer};
use serde::Deserialize;
use utoipa::ToSchema;

use super::cluster::{ClusterCreate, ClusterPatch};
use super::cluster_given::{AutomatGiven, PeerGiven, RegionGiven, WatchGiven};
use super::cluster_view::ClusterView;
use super::{App, Error};

/// Whose definition is taken over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterJoin {
    /// Name of the cluster, as the peer has it.
    name: String,
    /// Name of the region that this server is.
    here: String,
    /// The instance that is asked.
    peer: PeerGiven,
    /// Id of the distribution of this server that serves the region; missing where somebody else's does.
    distribution: Option<String>,
    /// Path patterns of that distribution that are the region's; missing for all of it.
    #[serde(default)]
    paths: Vec<String>,
    /// API tokens with scope `cluster` of the instances that are the other regions, by region. That of the peer is known.
    #[serde(default)]
    tokens: Tokens,
}

/// What is taken over anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterPull {
    /// Name of the region whose instance is asked.
    region: String,
    /// API tokens with scope `cluster` of instances that are regions which are new to this server, by region.
    #[serde(default)]
    tokens: Tokens,
}

/// Tokens by region.
#[derive(Default, Deserialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Tokens(BTreeMap<String, String>);

impl std::fmt::Debug for Tokens {
    // Without the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl App {
    /// Makes a cluster as a peer has defined it.
    pub(crate) async fn cluster_join(&self, request: ClusterJoin) -> Result<ClusterView, Error> {
        let peer = self.peer(request.peer, None)?;
        let told = self.definition(&peer, &request.name).await?;
        if told.here.as_deref() == Some(request.here.as_str()) {
            let words = format!("the peer is this region itself: name the one that this server is: {:?}", request.here);
            return Err(Error::invalid("here", words));
        }
        let mut tokens = request.tokens.0;
        if let Some(theirs) = &told.here {
            tokens.insert(theirs.clone(), peer.token.clone());
        }
        let mut regions = Vec::with_capacity(told.regions.len());
        for region in told.regions {
            let is_here = region.name == request.here;
            let url = if Some(&region.name) == told.here.as_ref() { Some(peer.url.clone()) } else { region.peer_url };
            let peer = match url.filter(|_| !is_here) {
                Some(url) => Some(known(&tokens, &region.name, url)?),
                None => None,
            };
            regions.push(RegionGiven {
                name: region.name,
                origin_url: region.origin_url,
                cdn_url: Some(region.cdn_url),
                distribution: request.distribution.clone().filter(|_| is_here),
                paths: if is_here { request.paths.clone() } else { Vec::new() },
                peer,
                // What an origin asks for is known to whoever was given it.
                headers: None,
            });
        }
        let create = ClusterCreate {
            name: request.name,
            here: Some(request.here),
            regions,
            watch: WatchGiven::all(told.watch),
            automat: AutomatGiven::all(&told.automat),
        };
        self.cluster_create(create, None).await
    }

    /// Takes over what a peer has defined since. What is of this server alone stays: which region it is, its distributions, its tokens.
    pub(crate) async fn cluster_pull(&self, wanted: &str, request: ClusterPull) -> Result<ClusterView, Error> {
        let before = self.clusters.find(wanted, |live| live.cluster().clone())?;
        let Some(peer) = before.region(&request.region).and_then(|region| region.peer.clone()) else {
            let short: String = request.region.chars().take(100).collect();
            return Err(Error::invalid(
                "region",
                format!("the cluster has no region with a peer of this name: {short:?}"),
            ));
        };
        let told = self.definition(&peer, &before.name).await?;
        let mut regions = Vec::with_capacity(told.regions.len());
        for region in told.regions {
            let ours = before.region(&region.name);
            let is_here = before.here.as_ref() == Some(&region.name);
            let peer = match (ours, region.peer_url.filter(|_| !is_here)) {
                (Some(ours), _) => ours.peer.as_ref().map(|peer| PeerGiven { url: peer.url.clone(), token: None }),
                (None, Some(url)) => Some(known(&request.tokens.0, &region.name, url)?),
                (None, None) => None,
            };
            regions.push(RegionGiven {
                name: region.name,
                origin_url: region.origin_url,
                cdn_url: Some(region.cdn_url),
                distribution: ours.and_then(|ours| ours.distribution.as_ref().map(ToString::to_string)),
                paths: ours.map(|ours| ours.paths.clone()).unwrap_or_default(),
                peer,
                // What an origin asks for is known to whoever was given it.
                headers: None,
            });
        }
        let patch = ClusterPatch {
            here: None,
            regions: Some(regions),
            watch: WatchGiven::all(told.watch),
            automat: AutomatGiven::all(&told.automat),
        };
        self.cluster_update(before.id.as_str(), patch).await
    }

    /// What a peer says of a cluster. It is judged like what an operator types.
    async fn definition(&self, peer: &Peer, name: &str) -> Result<ClusterDefinition, Error> {
        let answer = self.clusters.pull.state(peer, name, None).await.map_err(Error::Conflict)?;
        let told = read_definition(name, &self.clusters.node, &answer);
        let told = told.map_err(|refused| Error::Conflict(refused.to_string()))?;
        told.ok_or_else(|| {
            Error::Conflict("the peer does not tell its definition: create the cluster by hand".to_owned())
        })
    }
}

fn known(tokens: &BTreeMap<String, String>, region: &str, url: String) -> Result<PeerGiven, Error> {
    match tokens.get(region) {
        Some(token) => Ok(PeerGiven { url, token: Some(token.clone()) }),
        None => {
            let words =
                format!("region {region:?} is an instance of its own: give a token with scope cluster that it knows");
            Err(Error::invalid("tokens", words))
        }
    }
}
