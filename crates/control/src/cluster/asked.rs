//! Headers of regions' origins, for edges of this instance that fetch from those origins.

use anabranch_model::{DistributionId, DistributionSpec, Origin, SecretHeaders};

use super::Clusters;
use super::url::read_url;

/// Headers with which a server is asked in the name of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedSpec {
    pub(crate) distribution: DistributionId,
    host: String,
    port: Option<u16>,
    headers: SecretHeaders,
}

impl Clusters {
    /// The headers of all regions that a distribution of this instance serves.
    pub(crate) fn asked(&self) -> Vec<AskedSpec> {
        let of_cluster = |live: &super::Live| {
            let of = |region: &anabranch_model::ClusterRegion| {
                let url = read_url(&region.origin_url)?;
                Some(AskedSpec {
                    distribution: region.distribution.clone().filter(|_| !region.headers.is_empty())?,
                    host: url.host_str()?.to_owned(),
                    port: url.port_or_known_default(),
                    headers: region.headers.clone(),
                })
            };
            live.cluster().regions.iter().filter_map(of).collect::<Vec<_>>()
        };
        self.each(of_cluster).into_iter().flatten().collect()
    }
}

impl AskedSpec {
    /// Gives the headers to the origins of the distribution that are this server. What an origin's own configuration says stays.
    pub(crate) fn add_to(&self, spec: &mut DistributionSpec) {
        for origin in &mut spec.origins {
            let Origin::Http(server) = &mut origin.origin else { continue };
            let is_port = self.port.is_some_and(|port| [server.http_port, server.https_port].contains(&port));
            if !is_port || !server.host.eq_ignore_ascii_case(&self.host) {
                continue;
            }
            for (name, value) in self.headers.iter() {
                server.headers.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
    }
}
