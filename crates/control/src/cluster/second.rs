//! Behind the own copy of a cluster's merged playlists stands that of a peer (C60): the pair of origins that edges of this instance are told, with
//! the hosts to which those playlists lead now.

use anabranch_cloudfront::signed_host;
use anabranch_cluster::state::Opening;
use anabranch_model::{
    Behavior, ClusterId, DistributionId, DistributionSpec, HttpOrigin, Origin, OriginGroup, OriginProtocol, OriginSpec,
    OriginTimeouts,
};
use reqwest::Url;

use super::url::hosts;
use super::{Clusters, Live, PEER_FOLDER};

/// How long a signature for a peer opens, in seconds.
pub(crate) const SIGNED_SECONDS: i64 = 72 * 60 * 60;

/// Age from which another one is made, in milliseconds: a new one is another snapshot.
const SIGN_AGAIN_MS: i64 = 24 * 60 * 60 * 1000;

/// Statuses of the own copy with which the peer's is asked for.
const FAILOVER: [u16; 6] = [403, 404, 500, 502, 503, 504];

/// Names of the second origin and of the pair.
const PEER_ORIGIN: &str = "peer";
const GROUP: &str = "regions";

/// Patience with a peer: players wait.
const TIMEOUTS: OriginTimeouts =
    OriginTimeouts { connect_seconds: 2, connect_attempts: 1, response_seconds: 4, keepalive_seconds: 5 };

/// Where a peer has its copies, with the header `Cookie` that opens them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    url: Url,
    cookie: String,
    made_ms: i64,
}

/// The second origin of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecondSpec {
    pub(crate) distribution: DistributionId,
    at: Signed,
}

/// Where the merged playlists of a distribution lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeadsTo {
    pub(crate) distribution: DistributionId,
    hosts: Vec<String>,
}

impl Live {
    /// The first peer that serves copies, in the order in which viewers are sent to regions: the open ones before those that are closed, as they
    /// are defined. One that is not heard comes after all that are; it may be reached by edges nevertheless.
    fn second_url(&self, now_ms: i64) -> Option<&Url> {
        let openings = self.openings(now_ms);
        let is_closed = |name: &str| openings.get(name).is_some_and(|one| one.opening == Opening::Closed);
        let regions = self.cluster().regions.iter();
        let copies = regions.filter_map(|region| {
            let peer = self.peers.get(&region.name)?;
            Some(((peer.is_lost(), is_closed(&region.name)), peer.merged.as_ref()?))
        });
        // The first of those that are alike.
        copies.min_by_key(|(rank, _)| *rank).map(|(_, url)| url)
    }

    fn needs_signature(&self, now_ms: i64) -> Option<Url> {
        let url = self.second_url(now_ms).filter(|_| self.merged.is_some())?;
        let is_good = |signed: &Signed| {
            signed.url == *url && now_ms.saturating_sub(signed.made_ms).unsigned_abs() < SIGN_AGAIN_MS.unsigned_abs()
        };
        (!self.second.as_ref().is_some_and(is_good)).then(|| url.clone())
    }
}

impl Clusters {
    /// Copies of peers that no signature opens which is in force for long enough, by cluster.
    pub(crate) fn seconds_to_sign(&self, now_ms: i64) -> Vec<(ClusterId, Url)> {
        let of = |live: &Live| Some((live.cluster().id.clone(), live.needs_signature(now_ms)?));
        self.each(of).into_iter().flatten().collect()
    }

    /// Takes note of the header `Cookie` that opens such copies.
    pub(crate) fn second_signed(&self, id: &ClusterId, url: Url, cookie: String, now_ms: i64) {
        self.change(id, false, |live| live.second = Some(Signed { url, cookie, made_ms: now_ms }));
    }

    /// Takes note of the distribution that serves the merged playlists of a cluster, if there is one: peers are told.
    pub(crate) fn merged_by(&self, id: &ClusterId, distribution: Option<DistributionId>) {
        self.change(id, true, |live| live.merged = distribution);
    }

    /// The second origins of distributions, as far as copies of peers are signed for.
    pub(crate) fn seconds(&self) -> Vec<SecondSpec> {
        let of = |live: &Live| Some(SecondSpec { distribution: live.merged.clone()?, at: live.second.clone()? });
        self.each(of).into_iter().flatten().collect()
    }

    /// Where the merged playlists of all clusters' distributions lead, by the definitions as they are now: a region that came later is not
    /// in the stored configuration.
    pub(crate) fn merged_lead_to(&self) -> Vec<LeadsTo> {
        let of = |live: &Live| {
            let hosts = hosts(live.cluster()).iter().filter_map(|host| signed_host(host)).collect();
            Some(LeadsTo { distribution: live.merged.clone()?, hosts })
        };
        self.each(of).into_iter().flatten().collect()
    }
}

impl LeadsTo {
    /// Has the viewer's signature go to these hosts, besides those that the configuration names.
    pub(crate) fn add_to(&self, spec: &mut DistributionSpec) {
        for host in &self.hosts {
            if !spec.signed_hosts.contains(host) {
                spec.signed_hosts.push(host.clone());
            }
        }
    }
}

impl SecondSpec {
    /// Puts the peer's copy behind each behavior that has the own one. Copies that peers ask for are the own ones alone.
    pub(crate) fn add_to(&self, spec: &mut DistributionSpec) {
        let is_bucket = |origin: &&OriginSpec| matches!(origin.origin, Origin::Bucket(_));
        let Some(own) = spec.origins.iter().find(is_bucket).map(|origin| origin.id.clone()) else { return };
        let url = &self.at.url;
        let Some(host) = url.host_str() else { return };
        if [PEER_ORIGIN, GROUP].iter().any(|name| spec.origins.iter().any(|origin| origin.id == *name)) {
            return;
        }
        let protocol = if url.scheme() == "https" { OriginProtocol::HttpsOnly } else { OriginProtocol::HttpOnly };
        let port = url.port_or_known_default().unwrap_or(80);
        let peer = HttpOrigin {
            host: host.to_owned(),
            http_port: port,
            https_port: port,
            protocol,
            path: url.path().trim_end_matches('/').to_owned(),
            headers: [("cookie".to_owned(), self.at.cookie.clone())].into(),
            timeouts: TIMEOUTS,
        };
        spec.origins.push(OriginSpec { id: PEER_ORIGIN.to_owned(), origin: Origin::Http(peer), shield: None });
        spec.origin_groups.push(OriginGroup {
            id: GROUP.to_owned(),
            primary: own.clone(),
            secondary: PEER_ORIGIN.to_owned(),
            failover_statuses: FAILOVER.to_vec(),
        });
        let for_peers = Behavior { path_pattern: format!("/{PEER_FOLDER}/*"), ..spec.default_behavior.clone() };
        for behavior in spec.behaviors.iter_mut().chain([&mut spec.default_behavior]) {
            if behavior.origin == own {
                GROUP.clone_into(&mut behavior.origin);
            }
        }
        spec.behaviors.insert(0, for_peers);
    }
}
