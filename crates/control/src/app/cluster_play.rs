//! What viewers get of a cluster: the distribution of its merged playlists, and URLs that open a stream in every region.

use std::collections::BTreeMap;

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::{BreakoutRow, DistributionRow};
use anabranch_model::{Cluster, ViewerProtocol};
use anabranch_signing::{Policy, SignSpec};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::play::{Bound, PlayUrlCreate};
use super::view::{DistributionWhole, PlayUrl};
use super::{App, Error, InvalidationCreate};
use crate::cluster::second::{SIGNED_SECONDS, SecondSpec};
use crate::cluster::url::hosts;
use crate::cluster::{Live, is_of_breakouts};
use crate::time;

/// Session of edges of peers in logs.
const PEER_SESSION: &str = "peer";

/// Where a stream is played in every region.
pub(super) struct Merged<'b> {
    /// Of the cluster's merged playlists.
    pub(super) distribution: DistributionRow,
    /// Name of the stream: its directory.
    pub(super) stream: String,
    /// What the stream is here; none where it is no breakout.
    pub(super) breakout: Option<&'b BreakoutRow>,
}

/// Which stream of a cluster.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Breakout, by id or name; may be missing where one is on air, or the cluster's URLs name no breakout.
    pub(crate) stream: Option<String>,
}

impl App {
    /// Makes the distribution of a cluster's merged playlists, or answers the one that is there (C59).
    pub(crate) async fn cluster_publish(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let cluster = self.clusters.find(wanted, |live| live.cluster().clone())?;
        let reference = Self::reference(&cluster);
        if let Some(row) = self.db.distribution_by_reference(&reference).await? {
            self.find_merged().await?;
            return self.distribution_show(row.id.as_str()).await;
        }
        let place = (cluster.name.as_str(), cluster.id.as_str());
        let hosts = hosts(&cluster);
        let mut config = DistributionConfig::cluster(&reference, place, &hosts, &self.key_group, &self.viewers)?;
        config.set_viewer_protocol(self.protocol_of_merged(&cluster));
        let made = self.distribution_create_from(&config, BTreeMap::new(), None).await?;
        // Peers are told where our copies are.
        self.find_merged().await?;
        Ok(made)
    }

    /// Has caches forget what the distribution of a cluster's merged playlists serves, where it has one.
    pub(crate) async fn cluster_invalidate(&self, wanted: &str) -> Result<(), Error> {
        let Some(distribution) = self.clusters.look(wanted, |live| live.merged.clone()).flatten() else {
            return Ok(());
        };
        let everything = InvalidationCreate::of_everything();
        match self.invalidation_create(distribution.as_str(), everything, None).await {
            // It was deleted meanwhile, and what it served with it.
            Ok(_) | Err(Error::Db(anabranch_db::Error::NotFound { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// HTTP is redirected to HTTPS (C59) where viewers are told of this edge by HTTPS and it has certificates of its own, and every region is
    /// asked by HTTPS, too: a page that was loaded by HTTPS may load nothing by HTTP. An edge behind something that speaks TLS for it
    /// would redirect for ever, and one with a certificate for development to what no player trusts.
    fn protocol_of_merged(&self, cluster: &Cluster) -> ViewerProtocol {
        let by_https = cluster.regions.iter().all(|region| region.cdn_url.starts_with("https://"));
        if by_https && self.config.edge_https { ViewerProtocol::RedirectToHttps } else { ViewerProtocol::AllowAll }
    }

    /// A URL and cookies that open a stream of a cluster in every region that trusts the key. `stream` is a breakout, by id or name; none
    /// where the cluster's URLs name no breakout.
    pub(crate) async fn cluster_play_url(
        &self,
        wanted: &str,
        stream: Option<&str>,
        request: &PlayUrlCreate,
    ) -> Result<PlayUrl, Error> {
        let bound = self.bound(request)?;
        let cluster = self.clusters.find(wanted, |live| live.cluster().clone())?;
        let name = self.stream_name(&cluster, stream).await?;
        let Some(distribution) = self.db.distribution_by_reference(&Self::reference(&cluster)).await? else {
            return Err(Error::Conflict(format!(
                "cluster {} has no distribution for its merged playlists: publish it first",
                cluster.name
            )));
        };
        let breakout = if is_of_breakouts(&cluster) { Some(self.db.breakout_find(&name).await?) } else { None };
        self.merged_play(&Merged { distribution, stream: name, breakout: breakout.as_ref() }, &bound).await
    }

    /// Where a breakout is played in every region; none where it is in no cluster, or its cluster has no distribution of its own.
    pub(super) async fn merged_of<'b>(&self, breakout: &'b BreakoutRow) -> Result<Option<Merged<'b>>, Error> {
        let Some(name) = &breakout.cluster else { return Ok(None) };
        let reference = |live: &Live| is_of_breakouts(live.cluster()).then(|| Self::reference(live.cluster()));
        let Some(reference) = self.clusters.look(name, reference).flatten() else { return Ok(None) };
        let distribution = self.db.distribution_by_reference(&reference).await?;
        Ok(distribution.map(|distribution| Merged {
            distribution,
            stream: breakout.id.to_string(),
            breakout: Some(breakout),
        }))
    }

    pub(super) async fn merged_play(&self, merged: &Merged<'_>, bound: &Bound) -> Result<PlayUrl, Error> {
        let Merged { distribution, stream, breakout } = merged;
        let key = self.signing_key(&distribution.key_groups).await?;
        let now = self.clock.now_seconds().max(breakout.map_or(0, |breakout| breakout.revoked_before));
        let spec = SignSpec::Custom(bound.policy(covering(stream), ("breakout", stream), now));
        let url = key.sign(&self.play_address(&distribution.id, stream), &spec)?;
        let playlist = format!("http://{}:{}/{stream}/index.m3u8", distribution.domain_name, self.config.edge_port);
        let host_url = key.sign(&playlist, &spec)?;
        let cookies = key.cookies(&playlist, &spec)?.into_iter();
        let cookies = cookies.map(|(name, value)| self.cookie(name, value)).collect();
        let watch_url = match (breakout, url.split_once('?')) {
            (Some(breakout), Some((_, query))) => self.watch_address(&breakout.id, query),
            _ => url.clone(),
        };
        Ok(PlayUrl {
            watch_url,
            url,
            mp4_url: None,
            host_url,
            cookies,
            session: bound.session.clone(),
            user: bound.user.clone(),
            expires_at: time::render_seconds(bound.expires),
        })
    }

    /// The header `Cookie` by which watchers open a stream, closed or not.
    pub(crate) async fn watcher_cookie(&self, stream: &str, seconds: i64) -> Result<String, Error> {
        let key = self.signing_key(std::slice::from_ref(&self.key_group)).await?;
        let now = self.clock.now_seconds();
        // With the claim `preview` it opens what is closed, too; without a session it is no viewer.
        let policy =
            Policy::new(covering(stream), now + seconds).claim("iat", json!(now)).claim("preview", json!(true));
        let cookies = key.cookies(&format!("http://watcher/{stream}/"), &SignSpec::Custom(policy))?;
        let pairs: Vec<String> = cookies.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(pairs.join("; "))
    }

    /// The header `Cookie` that opens what `covered` matches, as instances ask each other.
    pub(crate) async fn cookie_for(&self, covered: String, seconds: i64) -> Result<String, Error> {
        let key = self.signing_key(std::slice::from_ref(&self.key_group)).await?;
        let now = self.clock.now_seconds();
        let policy = Policy::new(covered, now + seconds).claim("iat", json!(now)).claim("session", json!(PEER_SESSION));
        let cookies = key.cookies("http://peer/", &SignSpec::Custom(policy))?;
        let pairs: Vec<String> = cookies.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(pairs.join("; "))
    }

    /// The second origins of all clusters' distributions. A signature is kept for a day: a new one is another snapshot.
    pub(crate) async fn second_origins(&self) -> Result<Vec<SecondSpec>, Error> {
        let now_ms = self.clock.now_ms();
        for (id, url) in self.clusters.seconds_to_sign(now_ms) {
            let covered = format!("*://*{}/*", url.path().trim_end_matches('/'));
            let cookie = self.cookie_for(covered, SIGNED_SECONDS).await?;
            self.clusters.second_signed(&id, url, cookie, now_ms);
        }
        Ok(self.clusters.seconds())
    }

    /// Looks up the distributions of clusters' merged playlists.
    pub(crate) async fn find_merged(&self) -> Result<(), Error> {
        for (id, reference) in self.clusters.each(|live| (live.cluster().id.clone(), Self::reference(live.cluster()))) {
            let row = self.db.distribution_by_reference(&reference).await?;
            self.clusters.merged_by(&id, row.map(|row| row.id));
        }
        Ok(())
    }

    /// What the distribution of a cluster is known by.
    pub(crate) fn reference(cluster: &Cluster) -> String {
        format!("anabranch-cluster-{}", cluster.id)
    }

    async fn stream_name(&self, cluster: &Cluster, stream: Option<&str>) -> Result<String, Error> {
        match (is_of_breakouts(cluster), stream) {
            (false, None) => Ok(cluster.id.to_string()),
            (false, Some(stream)) => Err(Error::invalid(
                "stream",
                format!("the URLs of cluster {} name no breakout, so it has one stream: {stream:?}", cluster.name),
            )),
            (true, Some(stream)) => {
                let breakout = self.db.breakout_find(stream).await?;
                if breakout.cluster.as_deref() != Some(cluster.name.as_str()) {
                    let words = format!("breakout {} is no stream of cluster {}", breakout.content.name, cluster.name);
                    return Err(Error::invalid("stream", words));
                }
                Ok(breakout.id.into())
            }
            (true, None) => match self.db.breakouts_of_cluster(&cluster.name).await?.as_slice() {
                [one] => Ok(one.to_string()),
                [] => Err(Error::Conflict(format!("no breakout of cluster {} is on air", cluster.name))),
                more => Err(Error::invalid("stream", format!("which one of {} that are on air", more.len()))),
            },
        }
    }
}

/// Every URL of a stream, by whichever form of address. Names of streams are long and random, so whatever else has such a directory is the
/// same stream in another region.
fn covering(stream: &str) -> String {
    format!("*://*/*{stream}/*")
}
