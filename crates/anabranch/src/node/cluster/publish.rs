//! Merged playlists and steering manifests, as objects of this instance's store (C50-C57).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anabranch_cluster::state::Opening;
use anabranch_cluster::watch::{Answer, Fetcher};
use anabranch_control::{ClusterDesk, ClusterStream, StreamPlace};
use anabranch_hls::merge::{Region, Steering, merge};
use anabranch_hls::playlist::MultivariantPlaylist;
use anabranch_hls::steering::{Pathway, SteeringManifest};
use anabranch_net::Shutdown;
use anabranch_store::Buckets;
use http::HeaderMap;
use reqwest::Url;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::failing::Failing;
use super::shelf::{Key, Published, STEERING, Shelf};
use super::watch::{SIGN_AGAIN, signature, viewer};

/// Time between two looks at the regions' multivariant playlists.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Shortest time between two looks at what there is to publish.
const BREATH: Duration = Duration::from_millis(50);

/// Questions under way at once.
const ASKS_MAX: usize = 64;

/// How often players ask for the steering manifest, in seconds. Some whose playlist stands still and is then refused move by steering alone,
/// so it is less than they have in their buffers.
const STEERING_TTL_SECONDS: u32 = 3;

/// Shortest time between two invalidations of a cluster's distribution: a CDN outside may take money for each, and a source that changes its
/// ladder all the time is not to cost a fortune. What caches do not forget by order, they forget by its age.
const INVALIDATE_EVERY: Duration = Duration::from_secs(30);

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
    /// Of which places what is published was made; nothing while a playlist is newer than that.
    made_of: Option<Vec<StreamPlace>>,
    /// What is in the store.
    published: Option<Published>,
    /// Why playlists of regions are not taken, and why regions are left out; each is logged once.
    refused: BTreeMap<String, String>,
    left_out: BTreeMap<String, String>,
}

/// What a region has answered: nothing where it has no playlist, and why one that it has cannot be merged.
type Heard = (Key, String, Result<Option<MultivariantPlaylist>, String>);

/// Publishes as a task of its own: a region that does not answer keeps nobody waiting, neither votes nor another region's news. The store
/// knows the rest.
pub(super) struct Publisher {
    desk: ClusterDesk,
    fetcher: Fetcher,
    shelf: Shelf,
    streams: BTreeMap<Key, Merged>,
    asks: JoinSet<Heard>,
    /// Roots of clusters' distributions in the store.
    roots: BTreeMap<String, String>,
    /// Clusters in whose place in the store nothing is left of streams that ended while nobody looked.
    tidied: BTreeSet<String>,
    stale: BTreeMap<String, StaleCaches>,
    failing: Failing,
}

/// What caches have of a cluster's distribution.
#[derive(Debug, Default)]
struct StaleCaches {
    /// Something was replaced that they may still have.
    is_due: bool,
    /// When they were told to forget last.
    told_at: Option<Instant>,
}

impl Publisher {
    pub(super) fn new(desk: ClusterDesk, fetcher: Fetcher, buckets: Buckets) -> Self {
        let failing = Failing::new(
            "merged playlists cannot be published; it is tried again",
            "merged playlists are published again",
        );
        let (streams, asks, roots, tidied, stale) = Default::default();
        Self { desk, fetcher, shelf: Shelf::new(buckets), streams, asks, roots, tidied, stale, failing }
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
        let (key, region, answer) = heard.expect("a question neither panics nor is given up while this runs");
        // It may be gone meanwhile.
        let Some(known) = self.streams.get_mut(&key) else { return };
        known.asked.remove(&region);
        match answer {
            Ok(Some(playlist)) => {
                known.refused.remove(&region);
                if known.playlists.get(&region) != Some(&playlist) {
                    known.playlists.insert(region, playlist);
                    known.made_of = None;
                }
            }
            Ok(None) => {}
            // What it had before stays, so that others and openings are followed nevertheless.
            Err(error) => {
                if known.refused.get(&region) != Some(&error) {
                    tracing::error!(
                        cluster.id = key.0,
                        stream = key.1,
                        cluster.region = region,
                        error,
                        "the playlist of a region cannot be merged"
                    );
                    known.refused.insert(region, error);
                }
            }
        }
    }

    /// Publishes what has changed of these streams, and takes back what belongs to no stream any more.
    async fn follow(&mut self, streams: &[ClusterStream]) -> Result<(), String> {
        let wanted: BTreeSet<Key> = streams.iter().map(key).collect();
        let gone: Vec<_> = self.streams.keys().filter(|known| !wanted.contains(known)).cloned().collect();
        for gone in gone {
            self.shelf.remove(&gone).await?;
            self.streams.remove(&gone);
        }
        let only = only(&wanted);
        self.tidy(&wanted, &only).await?;
        // One that fails keeps no other waiting.
        let mut done = Ok(());
        for stream in streams {
            done = done.and(self.publish(stream).await);
        }
        done.and(self.publish_roots(&only).await).and(self.invalidate().await)
    }

    /// Publishes a stream, if something of it has changed.
    async fn publish(&mut self, stream: &ClusterStream) -> Result<(), String> {
        let key = key(stream);
        if self.streams.get(&key).is_none_or(|known| known.signed_at.elapsed() >= SIGN_AGAIN) {
            let ours = stream.places.iter().any(|place| place.is_ours);
            let signature = if ours { signature(&self.desk, &stream.name).await? } else { HeaderMap::new() };
            let known = self.streams.entry(key.clone()).or_insert_with(Merged::new);
            (known.signature, known.signed_at) = (signature, Instant::now());
        }
        let Some(known) = self.streams.get_mut(&key) else { return Ok(()) };
        // Before they are asked again.
        let has_heard_all = known.has_heard_all();
        known.ask(&key, stream, &self.fetcher, &mut self.asks);
        if known.made_of.as_ref() == Some(&stream.places) || !has_heard_all {
            return Ok(());
        }
        if let Some(made) = known.made(stream)
            && known.published.as_ref() != Some(&made)
        {
            let before = match &known.published {
                Some(before) => Some(before.clone()),
                None => self.shelf.get(&key).await?,
            };
            self.shelf.put(&key, &made).await?;
            let (cluster, name) = (&stream.cluster.name, &stream.name);
            if known.published.is_none() {
                tracing::info!(cluster.name = cluster, stream = name, "a merged playlist is published");
            } else {
                // Measured rates change all the time.
                tracing::debug!(cluster.name = cluster, stream = name, "a merged playlist is published anew");
            }
            if before.is_some_and(|before| before.is_other_than(&made)) {
                self.stale.entry(key.0.clone()).or_default().is_due = true;
            }
            known.published = Some(made);
        }
        known.made_of = Some(stream.places.clone());
        Ok(())
    }

    /// Keeps the root of each cluster's distribution (C56): the merged playlist of its only stream. With several there is none.
    async fn publish_roots(&mut self, only: &BTreeMap<String, String>) -> Result<(), String> {
        let gone: Vec<_> = self.roots.keys().filter(|cluster| !only.contains_key(*cluster)).cloned().collect();
        for cluster in gone {
            self.shelf.remove_root(&cluster).await?;
            self.roots.remove(&cluster);
        }
        for (cluster, stream) in only {
            let known = self.streams.get(&(cluster.clone(), stream.clone()));
            let Some(published) = known.and_then(|known| known.published.as_ref()) else { continue };
            let root = published.root(stream);
            let before = self.roots.get(cluster);
            if before == Some(&root) {
                continue;
            }
            self.shelf.put_root(cluster, &root).await?;
            if before.is_some_and(|before| shape(before) != shape(&root)) {
                self.stale.entry(cluster.clone()).or_default().is_due = true;
            }
            self.roots.insert(cluster.clone(), root);
        }
        Ok(())
    }

    /// Has caches forget what was replaced (C55).
    async fn invalidate(&mut self) -> Result<(), String> {
        let mut done = Ok(());
        for (cluster, stale) in &mut self.stale {
            if !stale.is_due || stale.told_at.is_some_and(|at| at.elapsed() < INVALIDATE_EVERY) {
                continue;
            }
            let told = self.desk.invalidate_merged(cluster).await;
            if told.is_ok() {
                *stale = StaleCaches { is_due: false, told_at: Some(Instant::now()) };
            }
            done = done.and(told.map_err(|error| format!("merged playlists cannot be invalidated: {error}")));
        }
        done
    }

    /// Removes, once in the life of this process, what streams have left that ended while nobody looked. What lies elsewhere in the bucket
    /// may be another instance's.
    async fn tidy(&mut self, wanted: &BTreeSet<Key>, only: &BTreeMap<String, String>) -> Result<(), String> {
        let clusters: BTreeSet<String> = self.desk.definitions().iter().map(|cluster| cluster.id.to_string()).collect();
        self.tidied.retain(|known| clusters.contains(known));
        self.stale.retain(|known, _| clusters.contains(known));
        for cluster in clusters {
            if self.tidied.contains(&cluster) {
                continue;
            }
            if !only.contains_key(&cluster) {
                self.shelf.remove_root(&cluster).await?;
            }
            for stream in self.shelf.left(&cluster).await? {
                let key = (cluster.clone(), stream);
                if !wanted.contains(&key) {
                    self.shelf.remove(&key).await?;
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
}

fn key(stream: &ClusterStream) -> Key {
    (stream.cluster.id.to_string(), stream.name.clone())
}

/// Clusters that have one stream, and that.
fn only(wanted: &BTreeSet<Key>) -> BTreeMap<String, String> {
    let of = |cluster: &String| {
        let from = wanted.range((cluster.clone(), String::new())..);
        from.take_while(|(other, _)| other == cluster).take(2).count()
    };
    wanted.iter().filter(|(cluster, _)| of(cluster) == 1).cloned().collect()
}

impl Published {
    /// Whether players that have the other one would go elsewhere, or by another order. That measured rates are others is no reason to have
    /// caches forget: they change all the time.
    fn is_other_than(&self, other: &Self) -> bool {
        self.manifest != other.manifest || shape(&self.playlist) != shape(&other.playlist)
    }

    /// The same playlist for the root of the distribution, from where its steering manifest lies in the folder of the stream.
    fn root(&self, stream: &str) -> String {
        let (from, to) = (format!("SERVER-URI=\"{STEERING}\""), format!("SERVER-URI=\"{stream}/{STEERING}\""));
        self.playlist.replacen(&from, &to, 1)
    }
}

/// A playlist without its rates.
fn shape(playlist: &str) -> String {
    const RATE: &str = "BANDWIDTH=";
    let mut parts = playlist.split(RATE);
    let mut shape = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shape.push_str(RATE);
        shape.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    shape
}

impl Merged {
    fn new() -> Self {
        Self {
            signature: HeaderMap::new(),
            signed_at: Instant::now(),
            looked_at: None,
            asked: BTreeSet::new(),
            playlists: BTreeMap::new(),
            made_of: None,
            published: None,
            refused: BTreeMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Whether every region has answered or failed to, so that a start takes none out of a playlist that has all of them.
    fn has_heard_all(&self) -> bool {
        self.published.is_some() || (self.looked_at.is_some() && self.asked.is_empty())
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
            let (key, place) = (key.clone(), place.clone());
            asks.spawn(async move {
                let playlist = match fetcher.playlist(&url, None).await {
                    Answer::Body { bytes, .. } => MultivariantPlaylist::parse(&bytes).ok(),
                    Answer::NotModified | Answer::Failed(_) => None,
                };
                // The watcher says what is wrong with it. What cannot be had stays as it was.
                let playlist = playlist.filter(|playlist| !playlist.variants.is_empty());
                let answer = playlist.map(|playlist| mergeable(&place, playlist)).transpose();
                (key, place.region, answer)
            });
        }
        self.looked_at = Some(Instant::now());
    }

    /// The merged playlist, the open regions first, and the steering manifest; none while no region has a playlist. A region that cannot
    /// stand beside those before it in that order is left out.
    fn made(&mut self, stream: &ClusterStream) -> Option<Published> {
        let (open, closed): (Vec<_>, Vec<_>) = stream.places.iter().partition(|place| place.opening == Opening::Open);
        let known = open.into_iter().chain(closed).filter(|place| self.playlists.contains_key(&place.region));
        let mut order: Vec<&StreamPlace> = known.collect();
        let (mut merged, mut left_out) = (self.merged(&order), BTreeMap::new());
        if merged.is_err() {
            for place in std::mem::take(&mut order) {
                order.push(place);
                if let Err(error) = self.merged(&order) {
                    order.pop();
                    left_out.insert(place.region.clone(), error);
                }
            }
            merged = self.merged(&order);
        }
        for (region, error) in &left_out {
            if self.left_out.get(region) != Some(error) {
                let (cluster, stream) = (&stream.cluster.name, &stream.name);
                tracing::error!(
                    cluster.name = cluster,
                    stream,
                    cluster.region = region,
                    error,
                    "a region is not merged"
                );
            }
        }
        self.left_out = left_out;
        let mut pathways = Vec::with_capacity(order.len());
        for place in stream.places.iter().filter(|place| order.contains(place)) {
            pathways.push(Pathway { name: &place.region, open: place.opening == Opening::Open });
        }
        let manifest = SteeringManifest::by_opening(&pathways, STEERING_TTL_SECONDS);
        Some(Published { playlist: merged.ok()?.render(), manifest: manifest.render() })
    }

    /// The playlists of these regions, the first of them preferred.
    fn merged(&self, order: &[&StreamPlace]) -> Result<MultivariantPlaylist, String> {
        let regions: Vec<Region<'_>> = order.iter().map(|place| of(place, &self.playlists[&place.region])).collect();
        let steering = Steering { server_uri: STEERING, pathway: None };
        merge(&regions, &[], Some(&steering)).map_err(|error| error.to_string())
    }
}

fn of<'a>(place: &'a StreamPlace, playlist: &'a MultivariantPlaylist) -> Region<'a> {
    Region { name: &place.region, base: &place.cdn_url, playlist }
}

/// A region's playlist, if it can be merged at all.
fn mergeable(place: &StreamPlace, playlist: MultivariantPlaylist) -> Result<MultivariantPlaylist, String> {
    merge(&[of(place, &playlist)], &[], None).map_err(|error| error.to_string())?;
    Ok(playlist)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(playlist: &str) -> Published {
        Published { playlist: playlist.to_owned(), manifest: "{}".to_owned() }
    }

    fn place(region: &str, opening: Opening) -> StreamPlace {
        let url = format!("https://{region}.example/index.m3u8");
        let headers = Default::default();
        StreamPlace {
            region: region.to_owned(),
            cdn_url: url.clone(),
            origin_url: url,
            is_ours: false,
            opening,
            headers,
        }
    }

    fn stream(places: &[StreamPlace]) -> ClusterStream {
        let cluster = anabranch_model::Cluster {
            id: anabranch_model::ClusterId::random(),
            name: "show".to_owned(),
            here: None,
            regions: Vec::new(),
            watch: anabranch_model::WatchSettings::default(),
            automat: anabranch_model::AutomatSettings::default(),
        };
        ClusterStream { cluster, name: "s".to_owned(), places: places.to_vec() }
    }

    fn playlist(more: &str) -> MultivariantPlaylist {
        let text = format!("#EXTM3U\n{more}#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n");
        MultivariantPlaylist::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_region_that_cannot_stand_beside_others_keeps_none_of_them_back() {
        let define = |value: &str| playlist(&format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{value}\"\n"));
        let mut known = Merged::new();
        for (region, value) in [("one", "1"), ("two", "2"), ("three", "1")] {
            known.playlists.insert(region.to_owned(), define(value));
        }
        let hosts = |made: Option<Published>| {
            let playlist = made.unwrap().playlist;
            let uris = playlist.lines().filter_map(|line| line.strip_prefix("https://")?.split('.').next());
            uris.map(str::to_owned).collect::<Vec<_>>()
        };
        let all = |two: Opening| [place("one", Opening::Open), place("two", two), place("three", Opening::Open)];
        for two in [Opening::Open, Opening::Closed] {
            assert_eq!(hosts(known.made(&stream(&all(two)))), ["one", "three"]);
            assert!(known.left_out["two"].contains("different values"), "{:?}", known.left_out);
        }
        known.playlists.insert("two".to_owned(), define("1"));
        assert_eq!(hosts(known.made(&stream(&all(Opening::Open)))), ["one", "two", "three"]);
        assert_eq!(hosts(known.made(&stream(&all(Opening::Closed)))), ["one", "three", "two"]);
        assert!(known.left_out.is_empty());
        let foreign = playlist("#EXT-X-DEFINE:QUERYPARAM=\"token\"\n");
        assert!(mergeable(&place("one", Opening::Open), foreign).unwrap_err().contains("token"));
        assert!(mergeable(&place("one", Opening::Open), define("1")).is_ok());
        assert!(Merged::new().made(&stream(&all(Opening::Open))).is_none());
    }

    #[test]
    fn a_start_waits_for_every_region_once() {
        let mut known = Merged::new();
        assert!(!known.has_heard_all(), "nobody was asked");
        known.looked_at = Some(Instant::now());
        known.asked.insert("one".to_owned());
        assert!(!known.has_heard_all());
        known.asked.clear();
        assert!(known.has_heard_all());
        known.asked.insert("one".to_owned());
        known.published = Some(published(""));
        assert!(known.has_heard_all(), "later nobody is waited for");
    }

    #[test]
    fn rates_are_no_reason_to_forget() {
        let of = |bandwidth: u32, average: u32, uri: &str| {
            published(&format!(
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},AVERAGE-BANDWIDTH={average},RESOLUTION=1x1\n{uri}\n"
            ))
        };
        assert!(!of(1_000, 900, "a").is_other_than(&of(20_000, 3, "a")));
        assert!(of(1_000, 900, "a").is_other_than(&of(1_000, 900, "b")));
        let steered = Published { manifest: "{ }".to_owned(), ..of(1_000, 900, "a") };
        assert!(steered.is_other_than(&of(1_000, 900, "a")), "players are sent elsewhere");
    }

    #[test]
    fn the_root_names_the_streams_steering() {
        let own = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"a\"\n";
        let root = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"s1/steering.json\",PATHWAY-ID=\"a\"\n";
        assert_eq!(published(own).root("s1"), root);
    }

    #[test]
    fn a_cluster_of_several_streams_has_no_root() {
        let of = |cluster: &str, stream: &str| (cluster.to_owned(), stream.to_owned());
        let wanted = [of("a", "1"), of("b", "1"), of("b", "2")].into();
        assert_eq!(only(&wanted), BTreeMap::from([of("a", "1")]));
    }
}
