//! What is known of an uploaded item, and what has been made of it.

use serde::{Deserialize, Serialize};

/// What a worker tells of an asset while it is made, and at the end. Each one replaces the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetReport {
    /// What is in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<AssetSource>,
    /// What can be played of it now.
    #[serde(default)]
    pub made: AssetMade,
}

/// What is in an uploaded file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetSource {
    /// Container, such as `mov,mp4`.
    pub container: String,
    /// Playing time.
    pub duration_ms: u64,
    /// Codec of the picture, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_codec: Option<String>,
    /// Width as shown, in square pixels, after rotation; 0 without a picture.
    #[serde(default)]
    pub width: u32,
    /// Height as shown.
    #[serde(default)]
    pub height: u32,
    /// Pictures a second.
    #[serde(default)]
    pub frame_rate: f64,
    /// `SDR`, `HDR10`, `HLG` and such; empty without a picture.
    #[serde(default)]
    pub range: String,
    /// Codec of each audio track.
    #[serde(default)]
    pub audio_codecs: Vec<String>,
    /// Subtitle tracks.
    #[serde(default)]
    pub subtitles: u32,
}

/// What can be played of an asset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetMade {
    /// Rungs that are whole and in the multivariant playlist.
    #[serde(default)]
    pub rungs: Vec<AssetRung>,
    /// Rungs that there will be.
    #[serde(default)]
    pub rungs_planned: u32,
    /// Audio renditions.
    #[serde(default)]
    pub audio: Vec<AssetTrack>,
    /// Subtitle renditions.
    #[serde(default)]
    pub captions: Vec<AssetTrack>,
    /// Size of the MP4, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mp4_bytes: Option<u64>,
    /// Name of the MP4 below `MP4/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mp4_name: Option<String>,
    /// Whether there is a poster.
    #[serde(default)]
    pub poster: bool,
    /// Thumbnails.
    #[serde(default)]
    pub thumbnails: u32,
    /// Whether there are sprites to scrub by.
    #[serde(default)]
    pub sprite: bool,
    /// Playing time of the renditions.
    #[serde(default)]
    pub duration_ms: u64,
    /// Bytes of everything that was made.
    #[serde(default)]
    pub bytes: u64,
    /// Media segments and files that were written meanwhile, also those that only the first viewers got; known at the end.
    #[serde(default)]
    pub objects: u64,
    /// What was left out or changed, in words, such as bitmap subtitles.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Whether rungs are still missing.
    #[serde(default)]
    pub partial: bool,
}

impl AssetMade {
    /// Whether there is anything to watch or hear.
    #[must_use]
    pub fn is_playable(&self) -> bool {
        !self.rungs.is_empty() || (!self.audio.is_empty() && self.rungs_planned == 0)
    }
}

/// A rung of an asset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetRung {
    /// Name, such as `720`.
    pub name: String,
    /// Width in pixels; 0 without a picture.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub frame_rate: f64,
    /// `CODECS` of its variant.
    pub codecs: String,
    /// `BANDWIDTH` of its variant, bits a second.
    pub bandwidth: u64,
    /// `AVERAGE-BANDWIDTH` of its variant.
    pub average_bandwidth: u64,
}

/// A rendition beside the pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AssetTrack {
    /// Name, such as `audio_1_en`.
    pub name: String,
    /// Language tag; `und` if it is not known.
    pub language: String,
    /// For people.
    pub label: String,
    /// Channels of sound; 0 for captions.
    #[serde(default)]
    pub channels: u32,
}
