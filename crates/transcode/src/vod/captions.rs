//! Captions become WebVTT.

use std::path::Path;

/// Room that all captions of a file take at most.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// Kind of a side-car file, by its name: ffmpeg's word for it.
pub(super) fn kind_of(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "srt" => Some("srt"),
        "vtt" => Some("webvtt"),
        _ => None,
    }
}
