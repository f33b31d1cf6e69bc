//! Merged playlists and steering manifests, as objects of this instance's store (C50-C57).

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_cluster::state::Opening;
use anabranch_cluster::watch::{Answer, Fetcher};
use anabranch_control::{CLUSTER_BUCKET, ClusterDesk, ClusterStream, StreamPlace};
use anabranch_hls::merge::{Region, Steering, merge};
use anabranch_hls::playlist::MultivariantPlaylist;
use anabranch_hls::steering::{Pathway, STEERING_TTL_SECONDS, SteeringManifest};
use anabranch_store::Buckets;
use anabranch_store::buckets::{Attributes, BucketError, Put};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::Url;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::watch::{signature, signed};

/// Time between two looks at the regions' multivariant playlists.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// After so long another signature is made for the looks.
const SIGN_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Name of the steering manifest beside the merged playlist.
const STEERING: &str = "steering.json";

/// How long caches keep a merged playlist: it changes when a ladder or the order of regions does.
const PLAYLIST_LIFETIME: &str = "max-age=5";

/// How long caches keep a steering manifest: it follows openings.
const STEERING_LIFETIME: &str = "max-age=1";

/// What is known of a stream.
struct Merged {
    /// By which regions of ours are asked; made at this time.
    signature: HeaderMap,
    signed_at: Instant,
    looked_at: Option<Instant>,
    /// Newest playlist of each region. One that is away keeps its place, so that players find it when it is back.
    playlists: BTreeMap<String, MultivariantPlaylist>,
    /// What is in the store.
    published: Option<(String, String)>,
    /// The failure that was logged last.
    failing: Option<String>,
}

/// Publishes what it is given. The store knows the rest.
pub(super) struct Publisher {
    desk: ClusterDesk,
    fetcher: Fetcher,
    buckets: Buckets,
    streams: BTreeMap<(String, String), Merged>,
}

impl Publisher {
    pub(super) fn new(desk: ClusterDesk, fetcher: Fetcher, buckets: Buckets) -> Self {
        Self { desk, fetcher, buckets, streams: BTreeMap::new() }
    }

    /// Publishes what has changed of these streams, and takes back what belongs to no stream any more.
    pub(super) async fn follow(&mut self, streams: &[ClusterStream]) -> Result<(), String> {
        let key = |stream: &ClusterStream| (stream.cluster.id.to_string(), stream.name.clone());
        let gone: Vec<_> =
            self.streams.keys().filter(|known| !streams.iter().any(|one| key(one) == **known)).cloned().collect();
        for gone in gone {
            self.remove(&gone).await?;
            self.streams.remove(&gone);
        }
        for stream in streams {
            let key = key(stream);
            if self.streams.get(&key).is_none_or(|known| known.signed_at.elapsed() >= SIGN_AGAIN) {
                let ours = stream.places.iter().any(|place| place.is_ours);
                let signature = if ours { signature(&self.desk, &stream.name).await? } else { HeaderMap::new() };
                let known = self.streams.entry(key.clone()).or_insert_with(Merged::new);
                (known.signature, known.signed_at) = (signature, Instant::now());
            }
            let Some(known) = self.streams.get_mut(&key) else { continue };
            known.look(stream, &self.fetcher).await;
            if let Some((playlist, manifest)) = known.made(stream)
                && known.published.as_ref() != Some(&(playlist.clone(), manifest.clone()))
            {
                put(&self.buckets, &key, &playlist, &manifest)
                    .await
                    .map_err(|error| format!("a merged playlist cannot be stored: {error}"))?;
                tracing::info!(
                    cluster.name = stream.cluster.name,
                    stream = stream.name,
                    "a merged playlist is published"
                );
                known.published = Some((playlist, manifest));
            }
        }
        Ok(())
    }

    async fn remove(&self, (cluster, stream): &(String, String)) -> Result<(), String> {
        for name in ["index.m3u8", STEERING] {
            let removed =
                self.buckets.delete(CLUSTER_BUCKET, &format!("{cluster}/{stream}/{name}"), Default::default()).await;
            if let Err(error) = removed
                && !matches!(error, BucketError::NoSuchBucket { .. })
            {
                return Err(format!("a merged playlist cannot be removed: {error}"));
            }
        }
        Ok(())
    }
}

impl Merged {
    fn new() -> Self {
        Self {
            signature: HeaderMap::new(),
            signed_at: Instant::now(),
            looked_at: None,
            playlists: BTreeMap::new(),
            published: None,
            failing: None,
        }
    }

    /// Looks at the regions' playlists, unless it has just done so. What cannot be had stays as it was.
    async fn look(&mut self, stream: &ClusterStream, plain: &Fetcher) {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked_at = Some(Instant::now());
        let mut asks = JoinSet::new();
        for place in &stream.places {
            let fetcher = if place.is_ours { signed(plain, &self.signature, &place.cdn_url) } else { plain.clone() };
            let (region, url) = (place.region.clone(), Url::parse(&place.cdn_url));
            asks.spawn(async move {
                match fetcher.playlist(&url.ok()?, None).await {
                    Answer::Body { bytes, .. } => Some((region, bytes)),
                    Answer::NotModified | Answer::Failed(_) => None,
                }
            });
        }
        for (region, bytes) in asks.join_all().await.into_iter().flatten() {
            match MultivariantPlaylist::parse(&bytes) {
                Ok(playlist) if !playlist.variants.is_empty() => drop(self.playlists.insert(region, playlist)),
                // The watcher says what is wrong with it.
                Ok(_) | Err(_) => {}
            }
        }
        self.playlists.retain(|region, _| stream.places.iter().any(|place| place.region == *region));
    }

    /// The merged playlist, the open regions first, and the steering manifest; none while no region has a playlist.
    fn made(&mut self, stream: &ClusterStream) -> Option<(String, String)> {
        let known: Vec<&StreamPlace> =
            stream.places.iter().filter(|place| self.playlists.contains_key(&place.region)).collect();
        let mut regions = Vec::with_capacity(known.len());
        for place in &known {
            regions.push(Region {
                name: &place.region,
                base: &place.cdn_url,
                playlist: &self.playlists[&place.region],
            });
        }
        if regions.is_empty() {
            return None;
        }
        let (open, closed): (Vec<_>, Vec<_>) = stream.places.iter().partition(|place| place.opening == Opening::Open);
        let order: Vec<&str> = open.iter().chain(&closed).map(|place| place.region.as_str()).collect();
        match merge(&regions, &order, Some(&Steering { server_uri: STEERING, pathway: None })) {
            Ok(playlist) => {
                self.failing = None;
                let mut pathways = Vec::with_capacity(known.len());
                for place in known {
                    pathways.push(Pathway { name: &place.region, open: place.opening == Opening::Open });
                }
                let manifest = SteeringManifest::by_opening(&pathways, STEERING_TTL_SECONDS);
                Some((playlist.render(), manifest.render()))
            }
            Err(error) => {
                let error = error.to_string();
                if self.failing.as_ref() != Some(&error) {
                    tracing::error!(
                        cluster.name = stream.cluster.name,
                        stream = stream.name,
                        error,
                        "playlists cannot be merged"
                    );
                }
                self.failing = Some(error);
                None
            }
        }
    }
}

/// The manifest first: a playlist names it.
async fn put(
    buckets: &Buckets,
    (cluster, stream): &(String, String),
    playlist: &str,
    manifest: &str,
) -> Result<(), BucketError> {
    match buckets.bucket_create(CLUSTER_BUCKET).await {
        Ok(()) | Err(BucketError::BucketExists { .. }) => {}
        Err(error) => return Err(error),
    }
    let files = [
        (STEERING, "application/json", STEERING_LIFETIME, manifest),
        ("index.m3u8", "application/vnd.apple.mpegurl", PLAYLIST_LIFETIME, playlist),
    ];
    for (name, kind, lifetime, text) in files {
        let mut attributes = Attributes::of_type(kind);
        attributes.headers.insert("cache-control".to_owned(), lifetime.to_owned());
        let put = Put { attributes, ..Put::default() };
        buckets
            .put_bytes(CLUSTER_BUCKET, &format!("{cluster}/{stream}/{name}"), put, Bytes::from(text.to_owned()))
            .await?;
    }
    Ok(())
}
