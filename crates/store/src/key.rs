//! The one speller of object keys.
//!
//! | key | object |
//! |---|---|
//! | `bucket/<bucket>/<path>` | object of a bucket that distributions may name |
//! | `bucket/recordings/<breakout>/<session>/<rendition>/init-<run>-<n>.mp4` | init section of a session of a breakout |
//! | `bucket/recordings/<breakout>/<session>/<rendition>/<msn>-<run>.m4s` | media segment |
//! | `…/<rendition>/init-<digest>.mp4`, `…/<rendition>/<msn>-<digest>.m4s` | the same, aligned with other regions |
//! | `bucket/recordings/<breakout>/<session>/{index,<rendition>}.m3u8`, `gaps.json` | playlists and gaps, once it is over |
//! | `bucket/recordings/<breakout>/<session>/recording.mp4` | the same in one file, if wanted |
//! | `bucket/vod/assets/<asset>/{HLS,MP4,Thumbnails}/<name>` | what was made of an asset (L4) |
//! | `bucket/vod/assets/<asset>/Captions/<mark>.vtt`, `made.json` | captions that were added to it, and what they are published by |
//! | `record/<breakout>/<session>/timeline.json` | what has been published, without what is in pages |
//! | `record/<breakout>/<session>/page-<n>.json` | a stretch of segments that have left the live window |
//!
//! Live viewers and viewers of the recording read the same segments. What only the packager reads lies outside of all buckets.

/// Longest key, in bytes.
const MAX_LEN: usize = 512;

/// Bucket of recordings.
pub const RECORDINGS: &str = "recordings";

/// Bucket of what is made of assets.
pub const VOD: &str = "vod";

/// Bucket of the media library.
pub const LIBRARY: &str = "media-manager";

/// Bucket that is there from the start, for files of which assets are to be made.
pub const UPLOADS: &str = "uploads";

/// Name, relative to a recording, of its multivariant playlist. Written last and removed first: where it is, all is.
pub const INDEX: &str = "index.m3u8";

/// Name, relative to a recording, of the list of its gaps.
pub const GAPS: &str = "gaps.json";

/// Name, relative to a recording, of the same in one file.
pub const MP4: &str = "recording.mp4";

/// Prefix of all that is in the bucket of recordings of a breakout, ending with `/`.
#[must_use]
pub fn recordings_prefix(breakout: &str) -> String {
    format!("bucket/{RECORDINGS}/{breakout}/")
}

/// Prefix of all that is in the bucket of recordings of one session of a breakout, ending with `/`.
#[must_use]
pub fn recording_prefix(breakout: &str, session: u32) -> String {
    format!("bucket/{RECORDINGS}/{breakout}/{session}/")
}

/// An object of a session of a breakout by its name relative to the session.
#[must_use]
pub fn recording_object(breakout: &str, session: u32, name: &str) -> String {
    format!("bucket/{RECORDINGS}/{breakout}/{session}/{name}")
}

/// Prefix, within the bucket [`VOD`], of all that is made of an asset, ending with `/` (L4).
#[must_use]
pub fn asset_prefix(asset: &str) -> String {
    format!("assets/{asset}/")
}

/// Name, relative to an asset, of its multivariant playlist.
#[must_use]
pub fn asset_playlist(asset: &str) -> String {
    format!("HLS/{asset}.m3u8")
}

/// Name, relative to an asset, of captions that were added to it, by the mark of their content.
#[must_use]
pub fn asset_captions(mark: &str) -> String {
    format!("{ASSET_CAPTIONS}{mark}.vtt")
}

/// Prefix, relative to an asset, of captions that were added to it.
pub const ASSET_CAPTIONS: &str = "Captions/";

/// Name, relative to an asset, of what is known of its renditions once all are there: captions are added by it.
pub const ASSET_MADE: &str = "made.json";

/// Prefix of what packagers note of a session of a breakout, ending with `/`.
#[must_use]
pub fn record_prefix(breakout: &str, session: u32) -> String {
    format!("record/{breakout}/{session}/")
}

/// What a packager notes of a session of a breakout by its name relative to the session.
#[must_use]
pub fn record_object(breakout: &str, session: u32, name: &str) -> String {
    format!("record/{breakout}/{session}/{name}")
}

/// An object of a bucket by its path within it.
#[must_use]
pub fn bucket_object(bucket: &str, path: &str) -> String {
    format!("bucket/{bucket}/{path}")
}

/// Name, relative to what is noted of a session, of the record of what was published.
pub const TIMELINE: &str = "timeline.json";

/// Name, relative to what is noted of a session, of a stretch of its segments.
#[must_use]
pub fn page_name(number: u32) -> String {
    format!("page-{number:06}.json")
}

/// Name, relative to a session, of a media playlist.
#[must_use]
pub fn playlist_name(rendition: &str) -> String {
    format!("{rendition}.m3u8")
}

/// Name, relative to a session, of an init section.
#[must_use]
pub fn init_name(rendition: &str, run: &str, number: u32) -> String {
    format!("{rendition}/init-{run}-{number}.mp4")
}

/// Name, relative to a session, of a media segment. `run` is what keeps a name from being used for other bytes: random for an attempt, or
/// a digest of the bytes.
#[must_use]
pub fn segment_name(rendition: &str, msn: u64, run: &str) -> String {
    format!("{rendition}/{msn:08}-{run}.m4s")
}

/// Name, relative to a session, of an init section that is named by its content: the same in all regions that have it.
#[must_use]
pub fn shared_init_name(rendition: &str, digest: &str) -> String {
    format!("{rendition}/init-{digest}.mp4")
}

/// Name, relative to a session, that a segment has in a playlist where there is none.
#[must_use]
pub fn gap_name(rendition: &str, msn: u64) -> String {
    format!("{rendition}/{msn:08}-gap.m4s")
}

/// Whether every part of the key is a plain name: no empty part, none that begins with a dot, ASCII letters, digits, `.`, `-`, `_`.
#[must_use]
pub fn is_valid(key: &str) -> bool {
    key.len() <= MAX_LEN
        && key.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_keys() {
        assert!(is_valid(&recording_object("b1", 1, &segment_name("video", 7, "k3"))));
        assert!(is_valid(&record_object("b1", 1, &page_name(7))));
        for key in ["", "a//b", "/a", "a/", "a/../b", ".tmp/x", "a/%2e", "a\\b", "a/b\0"] {
            assert!(!is_valid(key), "{key:?}");
        }
    }

    #[test]
    fn recordings_are_what_their_bucket_shows() {
        assert_eq!(bucket_object(RECORDINGS, "b1/2/index.m3u8"), recording_object("b1", 2, INDEX));
        assert!(recording_object("b1", 2, GAPS).starts_with(&recording_prefix("b1", 2)));
        assert!(recording_prefix("b1", 2).starts_with(&recordings_prefix("b1")));
    }
}
