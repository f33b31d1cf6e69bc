//! Where merged playlists and steering manifests lie: objects of this instance's store.

use std::collections::BTreeSet;

use anabranch_control::{CLUSTER_BUCKET, PEER_FOLDER};
use anabranch_store::Buckets;
use anabranch_store::buckets::{Attributes, BucketError, ListQuery, Put};
use bytes::Bytes;

/// Name of a merged playlist.
pub(super) const PLAYLIST: &str = "index.m3u8";

/// Name of the steering manifest beside it.
pub(super) const STEERING: &str = "steering.json";

/// How long caches keep a merged playlist: it changes when a ladder or the order of regions does. What then is replaced is invalidated, too;
/// this is for those who are not reached.
const PLAYLIST_LIFETIME: &str = "max-age=5";

/// How long caches keep a steering manifest: it follows openings.
const STEERING_LIFETIME: &str = "max-age=1";

/// Objects of a page of what is in the store, and streams that are tidied up at once.
const LEFT_PAGE: usize = 1000;
const LEFT_MAX: usize = 10_000;

/// Most bytes that are read of an object to see what it was: none that is merged is longer.
const READ_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What is published of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) playlist: String,
    pub(super) manifest: String,
}

/// Cluster and stream, by which objects lie.
pub(super) type Key = (String, String);

/// The objects.
#[derive(Clone, Debug)]
pub(super) struct Shelf(Buckets);

impl Shelf {
    pub(super) fn new(buckets: Buckets) -> Self {
        Self(buckets)
    }

    /// Stores what is published of a stream, the manifest first: the playlist names it.
    pub(super) async fn put(&self, (cluster, stream): &Key, of: &Published) -> Result<(), String> {
        let done = async {
            self.bucket().await?;
            self.put_text(cluster, &format!("{stream}/{STEERING}"), &of.manifest).await?;
            self.put_text(cluster, &format!("{stream}/{PLAYLIST}"), &of.playlist).await
        };
        done.await.map_err(|error| format!("a merged playlist cannot be stored: {error}"))
    }

    /// Stores the playlist that the cluster's distribution has as its root (C56).
    pub(super) async fn put_root(&self, cluster: &str, playlist: &str) -> Result<(), String> {
        let done = async {
            self.bucket().await?;
            self.put_text(cluster, PLAYLIST, playlist).await
        };
        done.await.map_err(|error| format!("the root of a cluster's distribution cannot be stored: {error}"))
    }

    /// What an earlier life of the process has stored of a stream.
    pub(super) async fn get(&self, (cluster, stream): &Key) -> Result<Option<Published>, String> {
        let playlist = self.text(&format!("{cluster}/{stream}/{PLAYLIST}")).await?;
        let manifest = self.text(&format!("{cluster}/{stream}/{STEERING}")).await?;
        Ok(playlist.zip(manifest).map(|(playlist, manifest)| Published { playlist, manifest }))
    }

    /// Removes what is published of a stream.
    pub(super) async fn remove(&self, (cluster, stream): &Key) -> Result<(), String> {
        for name in [PLAYLIST, STEERING] {
            self.remove_object(cluster, &format!("{stream}/{name}")).await?;
        }
        Ok(())
    }

    /// Removes the root of the cluster's distribution.
    pub(super) async fn remove_root(&self, cluster: &str) -> Result<(), String> {
        self.remove_object(cluster, PLAYLIST).await
    }

    /// Streams of which a cluster has something, whether they still are or not.
    pub(super) async fn left(&self, cluster: &str) -> Result<BTreeSet<String>, String> {
        let prefix = format!("{cluster}/");
        let (mut streams, mut after) = (BTreeSet::new(), None);
        loop {
            let query =
                ListQuery { prefix: prefix.clone(), after: after.take(), limit: LEFT_PAGE, ..ListQuery::default() };
            let page = match self.0.list(CLUSTER_BUCKET, query).await {
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

    async fn bucket(&self) -> Result<(), BucketError> {
        match self.0.bucket_create(CLUSTER_BUCKET).await {
            Ok(()) | Err(BucketError::BucketExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn put_text(&self, cluster: &str, path: &str, text: &str) -> Result<(), BucketError> {
        let (kind, lifetime) = if path.ends_with(STEERING) {
            ("application/json", STEERING_LIFETIME)
        } else {
            ("application/vnd.apple.mpegurl", PLAYLIST_LIFETIME)
        };
        let mut attributes = Attributes::of_type(kind);
        attributes.headers.insert("cache-control".to_owned(), lifetime.to_owned());
        for key in keys(cluster, path) {
            let put = Put { attributes: attributes.clone(), ..Put::default() };
            self.0.put_bytes(CLUSTER_BUCKET, &key, put, Bytes::from(text.to_owned())).await?;
        }
        Ok(())
    }

    async fn text(&self, key: &str) -> Result<Option<String>, String> {
        let read = async {
            match self.0.get(CLUSTER_BUCKET, key).await {
                Ok(opened) => opened.bytes(READ_MAX_BYTES).await.map(Some),
                Err(BucketError::NoSuchBucket { .. } | BucketError::NoSuchKey { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let bytes = read.await.map_err(|error| format!("a merged playlist cannot be read: {error}"))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    async fn remove_object(&self, cluster: &str, path: &str) -> Result<(), String> {
        for key in keys(cluster, path) {
            let removed = self.0.delete(CLUSTER_BUCKET, &key, Default::default()).await;
            if let Err(error) = removed
                && !matches!(error, BucketError::NoSuchBucket { .. })
            {
                return Err(format!("a merged playlist cannot be removed: {error}"));
            }
        }
        Ok(())
    }
}

/// Where an object of a cluster lies: for viewers, and for edges of peers.
fn keys(cluster: &str, path: &str) -> [String; 2] {
    [format!("{cluster}/{path}"), format!("{cluster}/{PEER_FOLDER}/{path}")]
}
