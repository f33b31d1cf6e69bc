//! Merged playlists and steering manifests, as objects of this instance's store (C50-C57).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anabranch_cluster::state::Opening;
use anabranch_cluster::watch::{Answer, Fetcher};
use anabranch_control::{CLUSTER_BUCKET, ClusterDesk, ClusterStream, PEER_FOLDER, StreamPlace};
use anabranch_hls::merge::{Region, Steering, merge};
use anabranch_hls::playlist::MultivariantPlaylist;
use anabranch_hls::steering::{Pathway, SteeringManifest};
use anabranch_net::Shutdown;
use anabranch_store::Buckets;
use anabranch_store::buckets::{Attributes, BucketError, ListQuery, Put};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::Url;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::failing::Failing;
use super::watch::{signature, viewer};

/// Time between two looks at the regions' multivariant playlists.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// After so long another signature is made for the looks.
const SIGN_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Shortest time between two looks at what there is to publish.
const BREATH: Duration = Duration::from_millis(50);

/// Questions under way at once.
const ASKS_MAX: usize = 64;

/// Objects of a page of what is in the store, and streams that are tidied up at once.
const LEFT_PAGE: usize = 1000;
const LEFT_MAX: usize = 10_000;

/// Name of the merged playlist.
const PLAYLIST: &str = "index.m3u8";

/// Name of the steering manifest beside the merged playlist.
const STEERING: &str = "steering.json";

/// How long caches keep a merged playlist: it changes when a ladder or the order of regions does.
const PLAYLIST_LIFETIME: &str = "max-age=5";

/// How often players ask for the steering manifest, in seconds. Some whose playlist stands still and is then refused move by steering alone,
/// so it is less than they have in their buffers.
const STEERING_TTL_SECONDS: u32 = 3;

/// How long caches keep a steering manifest: it follows openings.
const STEERING_LIFETIME: &str = "max-age=1";

/// What is known of a stream.
struct Merged {
    /// By which regions of ours are asked; made at this time.
    signature: HeaderMap,
    signed_at: Instant,
    looked_at: Option<Instant>,
    /// Regions that have been asked and have not answered.
    asked: BTreeSet<String>,
    /// Newest playlist of each region. One that is away keeps its place, so that players find it when it is back.
    playlists: BTreeMap<String, MultivariantPlaylist>,
    /// What is in the store.
    published: Option<(String, String)>,
    /// The failure that was logged last.
    failing: Option<String>,
}

/// Cluster and stream.
type Key = (String, String);

/// What a region has answered; none where it has no playlist to merge.
type Heard = (Key, String, Option<MultivariantPlaylist>);

/// Publishes as a task of its own: a region that does not answer keeps nobody waiting, neither votes nor another region's news. The store
/// knows the rest.
pub(super) struct Publisher {
    desk: ClusterDesk,
    fetcher: Fetcher,
    buckets: Buckets,
    streams: BTreeMap<Key, Merged>,
    asks: JoinSet<Heard>,
    /// Clusters in whose place in the store nothing is left of streams that ended while nobody looked.
    tidied: BTreeSet<String>,
    failing: Failing,
}

impl Publisher {
    pub(super) fn new(desk: ClusterDesk, fetcher: Fetcher, buckets: Buckets) -> Self {
        let failing = Failing::new(
            "merged playlists cannot be published; it is tried again",
            "merged playlists are published again",
        );
        let (streams, asks, tidied) = Default::default();
        Self { desk, fetcher, buckets, streams, asks, tidied, failing }
    }

    /// Publishes until `shutdown`.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let (mut defined, mut moved) = (self.desk.defined(), self.desk.moved());
        loop {
            defined.mark_unchanged();
            moved.mark_unchanged();
            let done = match self.desk.streams().await {
                Ok(streams) => self.follow(&streams).await,
                Err(error) => Err(error),
            };
            self.failing.note(done);
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = defined.changed() => {}
                _ = moved.changed() => {}
                Some(heard) = self.asks.join_next() => self.hear(heard),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            tokio::time::sleep(BREATH).await;
            while let Some(heard) = self.asks.try_join_next() {
                self.hear(heard);
            }
        }
        self.asks.shutdown().await;
    }

    fn hear(&mut self, heard: Result<Heard, tokio::task::JoinError>) {
        let (key, region, playlist) = heard.expect("a question neither panics nor is given up while this runs");
        // It may be gone meanwhile.
        let Some(known) = self.streams.get_mut(&key) else { return };
        known.asked.remove(&region);
        if let Some(playlist) = playlist {
            known.playlists.insert(region, playlist);
        }
    }

    /// Publishes what has changed of these streams, and takes back what belongs to no stream any more.
    async fn follow(&mut self, streams: &[ClusterStream]) -> Result<(), String> {
        let key = |stream: &ClusterStream| (stream.cluster.id.to_string(), stream.name.clone());
        let wanted: BTreeSet<Key> = streams.iter().map(key).collect();
        let gone: Vec<_> = self.streams.keys().filter(|known| !wanted.contains(known)).cloned().collect();
        for gone in gone {
            self.remove(&gone).await?;
            self.streams.remove(&gone);
        }
        self.tidy(&wanted).await?;
        for stream in streams {
            let key = key(stream);
            if self.streams.get(&key).is_none_or(|known| known.signed_at.elapsed() >= SIGN_AGAIN) {
                let ours = stream.places.iter().any(|place| place.is_ours);
                let signature = if ours { signature(&self.desk, &stream.name).await? } else { HeaderMap::new() };
                let known = self.streams.entry(key.clone()).or_insert_with(Merged::new);
                (known.signature, known.signed_at) = (signature, Instant::now());
            }
            let Some(known) = self.streams.get_mut(&key) else { continue };
            known.ask(&key, stream, &self.fetcher, &mut self.asks);
            if let Some((playlist, manifest)) = known.made(stream)
                && known.published.as_ref() != Some(&(playlist.clone(), manifest.clone()))
            {
                put(&self.buckets, &key, &playlist, &manifest)
                    .await
                    .map_err(|error| format!("a merged playlist cannot be stored: {error}"))?;
                let (cluster, name) = (&stream.cluster.name, &stream.name);
                if known.published.is_none() {
                    tracing::info!(cluster.name = cluster, stream = name, "a merged playlist is published");
                } else {
                    // Measured rates change all the time.
                    tracing::debug!(cluster.name = cluster, stream = name, "a merged playlist is published anew");
                }
                known.published = Some((playlist, manifest));
            }
        }
        Ok(())
    }

    /// Removes, once in the life of this process, what streams have left that ended while nobody looked. What lies elsewhere in the bucket
    /// may be another instance's.
    async fn tidy(&mut self, wanted: &BTreeSet<Key>) -> Result<(), String> {
        let clusters: BTreeSet<String> = self.desk.definitions().iter().map(|cluster| cluster.id.to_string()).collect();
        self.tidied.retain(|known| clusters.contains(known));
        for cluster in clusters {
            if self.tidied.contains(&cluster) {
                continue;
            }
            for stream in left(&self.buckets, &cluster).await? {
                let key = (cluster.clone(), stream);
                if !wanted.contains(&key) {
                    self.remove(&key).await?;
                    tracing::info!(
                        cluster.id = key.0,
                        stream = key.1,
                        "the merged playlist of a stream that is over is removed"
                    );
                }
            }
            self.tidied.insert(cluster);
        }
        Ok(())
    }

    async fn remove(&self, (cluster, stream): &Key) -> Result<(), String> {
        for name in [PLAYLIST, STEERING].into_iter().flat_map(|name| keys(cluster, stream, name)) {
            let removed = self.buckets.delete(CLUSTER_BUCKET, &name, Default::default()).await;
            if let Err(error) = removed
                && !matches!(error, BucketError::NoSuchBucket { .. })
            {
                return Err(format!("a merged playlist cannot be removed: {error}"));
            }
        }
        Ok(())
    }
}

/// Streams that a cluster has in the store, whether they still are or not.
async fn left(buckets: &Buckets, cluster: &str) -> Result<BTreeSet<String>, String> {
    let prefix = format!("{cluster}/");
    let (mut streams, mut after) = (BTreeSet::new(), None);
    loop {
        let query = ListQuery { prefix: prefix.clone(), after: after.take(), limit: LEFT_PAGE, ..ListQuery::default() };
        let page = match buckets.list(CLUSTER_BUCKET, query).await {
            Ok(page) => page,
            Err(BucketError::NoSuchBucket { .. }) => return Ok(streams),
            Err(error) => return Err(format!("merged playlists cannot be listed: {error}")),
        };
        for object in &page.objects {
            let rest = object.key.strip_prefix(&prefix).unwrap_or_default();
            let rest = rest.strip_prefix(PEER_FOLDER).and_then(|rest| rest.strip_prefix('/')).unwrap_or(rest);
            let Some((stream, name)) = rest.split_once('/') else { continue };
            if [PLAYLIST, STEERING].contains(&name) {
                streams.insert(stream.to_owned());
            }
        }
        after = page.next;
        if after.is_none() || streams.len() >= LEFT_MAX {
            return Ok(streams);
        }
    }
}

impl Merged {
    fn new() -> Self {
        Self {
            signature: HeaderMap::new(),
            signed_at: Instant::now(),
            looked_at: None,
            asked: BTreeSet::new(),
            playlists: BTreeMap::new(),
            published: None,
            failing: None,
        }
    }

    /// Asks the regions for their playlists, unless it has just done so. One that has not answered yet is not asked twice.
    fn ask(&mut self, key: &Key, stream: &ClusterStream, plain: &Fetcher, asks: &mut JoinSet<Heard>) {
        self.playlists.retain(|region, _| stream.places.iter().any(|place| place.region == *region));
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        for place in &stream.places {
            // The rest is asked at the next look.
            if asks.len() >= ASKS_MAX {
                return;
            }
            let Ok(url) = Url::parse(&place.cdn_url) else { continue };
            if !self.asked.insert(place.region.clone()) {
                continue;
            }
            let fetcher = viewer(plain, stream, place, &self.signature);
            let (key, region) = (key.clone(), place.region.clone());
            asks.spawn(async move {
                let playlist = match fetcher.playlist(&url, None).await {
                    Answer::Body { bytes, .. } => MultivariantPlaylist::parse(&bytes).ok(),
                    Answer::NotModified | Answer::Failed(_) => None,
                };
                // The watcher says what is wrong with it. What cannot be had stays as it was.
                (key, region, playlist.filter(|playlist| !playlist.variants.is_empty()))
            });
        }
        self.looked_at = Some(Instant::now());
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

/// Where an object of a stream lies: for viewers, and for edges of peers.
fn keys(cluster: &str, stream: &str, name: &str) -> [String; 2] {
    [format!("{cluster}/{stream}/{name}"), format!("{cluster}/{PEER_FOLDER}/{stream}/{name}")]
}

/// The manifest first: a playlist names it.
async fn put(buckets: &Buckets, (cluster, stream): &Key, playlist: &str, manifest: &str) -> Result<(), BucketError> {
    match buckets.bucket_create(CLUSTER_BUCKET).await {
        Ok(()) | Err(BucketError::BucketExists { .. }) => {}
        Err(error) => return Err(error),
    }
    let files = [
        (STEERING, "application/json", STEERING_LIFETIME, manifest),
        (PLAYLIST, "application/vnd.apple.mpegurl", PLAYLIST_LIFETIME, playlist),
    ];
    for (name, kind, lifetime, text) in files {
        let mut attributes = Attributes::of_type(kind);
        attributes.headers.insert("cache-control".to_owned(), lifetime.to_owned());
        for key in keys(cluster, stream, name) {
            let put = Put { attributes: attributes.clone(), ..Put::default() };
            buckets.put_bytes(CLUSTER_BUCKET, &key, put, Bytes::from(text.to_owned())).await?;
        }
    }
    Ok(())
}
