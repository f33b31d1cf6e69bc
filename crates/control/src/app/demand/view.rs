//! What the API says of buckets, assets and collections.

use anabranch_model::{ArrivalState, AssetMade, AssetRung, AssetSource, AssetState, AssetTrack};
use anabranch_store::buckets::BackendInfo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::view::ViewerCookie;
use crate::time;

/// A bucket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bucket {
    /// Unique name.
    pub(crate) name: String,
    /// How assets are made of files that arrive; null: files only lie there.
    pub(crate) preset: Option<String>,
    /// Whether an asset goes when its file is replaced or removed.
    pub(crate) mirror: bool,
    /// Whether the system keeps its own files there.
    pub(crate) house: bool,
    /// Id of the distribution by which single files can be fetched; null if there is none.
    pub(crate) distribution: Option<String>,
    /// Where its files are; null: on this server's disk.
    pub(crate) backend: Option<BucketBackend>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// Where the files of a bucket are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BucketBackend {
    /// `s3://<bucket>/<prefix>`.
    pub(crate) url: String,
    /// The service.
    pub(crate) endpoint: String,
    /// Why it cannot be used now; it is asked again by itself.
    pub(crate) problem: Option<String>,
    /// Since when, RFC 3339.
    pub(crate) problem_since: Option<String>,
}

impl From<BackendInfo> for BucketBackend {
    fn from(info: BackendInfo) -> Self {
        let since = info.problem.as_ref().map(|problem| time::render_system(problem.since));
        let problem = info.problem.map(|problem| problem.reason);
        Self { url: info.url, endpoint: info.endpoint, problem, problem_since: since }
    }
}

/// A file of a bucket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObjectEntry {
    /// Key.
    pub(crate) key: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Entity tag, without quotes.
    pub(crate) etag: String,
    /// RFC 3339.
    pub(crate) modified_at: String,
    /// How far it is where assets are made of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "KNOWN", pattern = "^(WAITING|KNOWN|FAILED)$")]
    pub(crate) arrival: Option<ArrivalState>,
    /// What it has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asset: Option<String>,
    /// Why nothing has become of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// A page of the files of a bucket, in the order of their keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObjectList {
    /// Files.
    pub(crate) items: Vec<ObjectEntry>,
    /// What keys go on after up to the delimiter.
    pub(crate) prefixes: Vec<String>,
    /// Give it as `after` for the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// A link that opens one file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Link {
    /// Opens by the address of the edge.
    pub(crate) url: String,
    /// Opens by the distribution's host name.
    pub(crate) host_url: String,
    /// RFC 3339.
    pub(crate) expires_at: String,
}

/// An asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    /// Identifier, by the content of its file.
    pub(crate) id: String,
    /// Name for people.
    pub(crate) name: String,
    /// Bucket of its file.
    pub(crate) bucket: String,
    /// Key of its file.
    pub(crate) key: String,
    /// Size of its file in bytes.
    pub(crate) size: u64,
    /// How it is made.
    pub(crate) preset: String,
    /// Where it is in its life.
    #[schema(value_type = String, example = "READY", pattern = "^(QUEUED|PROCESSING|READY|FAILED|CANCELLED)$")]
    pub(crate) state: AssetState,
    /// Goes up each time it is made again.
    pub(crate) generation: u32,
    /// Whether anything of it can be watched.
    pub(crate) playable: bool,
    /// Whether rungs are still missing.
    pub(crate) partial: bool,
    /// How much is done.
    pub(crate) progress_percent: f64,
    /// RFC 3339; when it will be done, as far as can be told.
    pub(crate) expected_at: Option<String>,
    /// Playing time.
    pub(crate) duration_seconds: Option<f64>,
    /// What is in its file, once that was looked at.
    pub(crate) source: Option<Source>,
    /// Rungs that can be watched.
    pub(crate) rungs: Vec<Rung>,
    /// Rungs that there will be.
    pub(crate) rungs_planned: u32,
    /// Audio renditions.
    pub(crate) audio: Vec<Track>,
    /// Subtitle renditions.
    pub(crate) captions: Vec<Track>,
    /// Size of its MP4, once there is one.
    pub(crate) mp4_bytes: Option<u64>,
    /// Thumbnails, one each few seconds.
    pub(crate) thumbnails: u32,
    /// Bytes of everything that was made.
    pub(crate) made_bytes: u64,
    /// What was left out or changed, in words.
    pub(crate) notices: Vec<String>,
    /// Why it failed, or why the last try did.
    pub(crate) problem: Option<String>,
    /// RFC 3339; when it is tried again, such as for room on a disk.
    pub(crate) next_try_at: Option<String>,
    /// Path of its multivariant playlist on the shared distribution.
    pub(crate) path: String,
    /// The job that makes it.
    pub(crate) job: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339.
    pub(crate) updated_at: String,
    /// RFC 3339; when all of it was there.
    pub(crate) ready_at: Option<String>,
}

/// Captions that were added to an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Caption {
    /// Language tag.
    pub(crate) language: String,
    /// For people.
    pub(crate) label: String,
    /// Whether viewers who do not choose get them.
    pub(crate) is_default: bool,
    /// Whether they translate only what every viewer needs.
    pub(crate) is_forced: bool,
    /// How many.
    pub(crate) cues: u32,
    /// Key of the file beside the asset's that they came as.
    pub(crate) key: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339.
    pub(crate) updated_at: String,
}

/// What is in an uploaded file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetSource)]
pub(crate) struct Source {
    /// Container.
    pub(crate) container: String,
    /// Playing time.
    pub(crate) duration_seconds: f64,
    /// Codec of the picture.
    pub(crate) video_codec: Option<String>,
    /// Width as shown.
    pub(crate) width: u32,
    /// Height as shown.
    pub(crate) height: u32,
    /// Pictures a second.
    pub(crate) frame_rate: f64,
    /// `SDR`, `HDR10`, `HLG` and such.
    pub(crate) range: String,
    /// Codec of each audio track.
    pub(crate) audio_codecs: Vec<String>,
    /// Subtitle tracks.
    pub(crate) subtitles: u32,
}

impl From<AssetSource> for Source {
    fn from(source: AssetSource) -> Self {
        Self {
            container: source.container,
            duration_seconds: seconds(source.duration_ms),
            video_codec: source.video_codec,
            width: source.width,
            height: source.height,
            frame_rate: source.frame_rate,
            range: source.range,
            audio_codecs: source.audio_codecs,
            subtitles: source.subtitles,
        }
    }
}

/// A rung of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rung {
    /// Name.
    pub(crate) name: String,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
    /// Pictures a second.
    pub(crate) frame_rate: f64,
    /// Codecs as in the playlist.
    pub(crate) codecs: String,
    /// Peak, bits a second.
    pub(crate) bandwidth: u64,
    /// Average, bits a second.
    pub(crate) average_bandwidth: u64,
}

impl From<AssetRung> for Rung {
    fn from(rung: AssetRung) -> Self {
        let AssetRung { name, width, height, frame_rate, codecs, bandwidth, average_bandwidth } = rung;
        Self { name, width, height, frame_rate, codecs, bandwidth, average_bandwidth }
    }
}

/// A rendition beside the pictures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Track {
    /// Name.
    pub(crate) name: String,
    /// Language tag; `und` if it is not known.
    pub(crate) language: String,
    /// For people.
    pub(crate) label: String,
    /// Channels of sound; 0 for captions.
    pub(crate) channels: u32,
}

impl From<AssetTrack> for Track {
    fn from(track: AssetTrack) -> Self {
        let AssetTrack { name, language, label, channels } = track;
        Self { name, language, label, channels }
    }
}

/// URLs that open one asset, and nothing else.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetPlay {
    /// Multivariant playlist; opens in any player.
    pub(crate) url: String,
    /// By the distribution's host name, for players that resolve it.
    pub(crate) host_url: String,
    /// The same with named copies of the signature, for players and pages made for those (L11).
    pub(crate) prefix_url: String,
    /// Opens in a browser.
    pub(crate) watch_url: String,
    /// The MP4, once there is one.
    pub(crate) mp4_url: Option<String>,
    /// The poster, once there is one.
    pub(crate) poster_url: Option<String>,
    /// WebVTT of the sprites to scrub by, once there are some.
    pub(crate) sprite_url: Option<String>,
    /// As cookies, for `host_url` without its query.
    pub(crate) cookies: Vec<ViewerCookie>,
    /// The viewer's session: give it again to renew the signature.
    pub(crate) session: String,
    /// The viewer.
    pub(crate) user: Option<String>,
    /// RFC 3339.
    pub(crate) expires_at: String,
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Collection {
    /// Identifier.
    pub(crate) id: String,
    /// Unique name.
    pub(crate) name: String,
    /// Words for viewers.
    pub(crate) description: String,
    /// Whether every user may watch.
    pub(crate) everyone: bool,
    /// Ids of its assets, in order.
    pub(crate) assets: Vec<String>,
    /// Users who may watch.
    pub(crate) viewers: Vec<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// What opens a collection for one viewer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionPlay {
    /// Opens in a browser: the list, and each of its assets.
    pub(crate) watch_url: String,
    /// The viewer's session: give it again to renew the signature.
    pub(crate) session: String,
    /// The viewer.
    pub(crate) user: Option<String>,
    /// RFC 3339.
    pub(crate) expires_at: String,
}

/// What the watch page of an asset needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatchAsset {
    /// Identifier.
    pub(crate) id: String,
    /// Name for people.
    pub(crate) name: String,
    /// How far it is.
    pub(crate) state: WatchAssetState,
    /// Whether rungs are still missing.
    pub(crate) partial: bool,
    /// How much of it is made.
    pub(crate) progress_percent: f64,
    /// Signed multivariant playlist, once there is something to play.
    pub(crate) playlist_url: Option<String>,
    /// Signed, once there is one.
    pub(crate) poster_url: Option<String>,
    /// Signed WebVTT of the sprites to scrub by; these open with the same query. Null while there are none.
    pub(crate) sprite_url: Option<String>,
    /// Signed, once there is one.
    pub(crate) mp4_url: Option<String>,
    /// Playing time, once it is known.
    pub(crate) duration_seconds: Option<f64>,
    /// Rungs that can be watched.
    pub(crate) rungs: Vec<Rung>,
    /// Rungs that there will be.
    pub(crate) rungs_planned: u32,
    /// Audio renditions.
    pub(crate) audio: Vec<Track>,
    /// Subtitle renditions.
    pub(crate) captions: Vec<Track>,
    /// The viewer.
    pub(crate) user: Option<String>,
    /// RFC 3339; when the signature ends. It can be renewed before.
    pub(crate) expires_at: String,
    /// The same from now on.
    pub(crate) expires_in_seconds: i64,
    /// Why there is nothing to play.
    pub(crate) problem: Option<String>,
}

/// How far an asset is for whom wants to watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WatchAssetState {
    /// Nobody has begun with it.
    Waiting,
    /// It is being made; there may be something to play.
    Processing,
    /// It can be played.
    Ready,
    /// Nothing will come of it.
    Failed,
}

/// A collection for whom may watch it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatchCollection {
    /// Identifier.
    pub(crate) id: String,
    /// Name for people.
    pub(crate) name: String,
    /// Words for viewers.
    pub(crate) description: String,
    /// Its assets, in order.
    pub(crate) items: Vec<WatchItem>,
    /// Give it as `skip` for what follows; null at the end.
    pub(crate) next: Option<u32>,
    /// The viewer.
    pub(crate) user: Option<String>,
    /// RFC 3339; when the signature ends, and that of each item. It can be renewed before.
    pub(crate) expires_at: String,
    /// The same from now on.
    pub(crate) expires_in_seconds: i64,
}

/// An asset of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WatchItem {
    /// Identifier.
    pub(crate) id: String,
    /// Name for people.
    pub(crate) name: String,
    /// How far it is.
    pub(crate) state: WatchAssetState,
    /// Playing time, once it is known.
    pub(crate) duration_seconds: Option<f64>,
    /// Signed, once there is one.
    pub(crate) poster_url: Option<String>,
    /// Opens in a browser; its query opens the asset, and nothing else.
    pub(crate) watch_url: String,
}

/// An access key of the S3-compatible endpoint, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessKey {
    /// `AWS_ACCESS_KEY_ID`.
    pub(crate) id: String,
    /// Name for people.
    pub(crate) name: String,
    /// Buckets that it opens; none stands for every one, where the system's own can only be read.
    pub(crate) buckets: Vec<String>,
    /// Whether it may store and remove.
    pub(crate) may_write: bool,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// An access key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessKeyCreated {
    /// The key.
    #[serde(flatten)]
    pub(crate) key: AccessKey,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub(crate) secret: String,
}

impl std::fmt::Debug for AccessKeyCreated {
    // Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKeyCreated").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Playing time, once it is known.
pub(super) fn duration(made: &AssetMade, source: Option<&AssetSource>) -> Option<f64> {
    let ms = if made.duration_ms > 0 { made.duration_ms } else { source?.duration_ms };
    Some(seconds(ms))
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
