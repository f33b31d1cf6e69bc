//! Thumbnails, poster and sprites.

/// Thumbnails are at least so far apart (systems.md L7).
const INTERVAL_MS: u64 = 5000;

/// Most thumbnails of a file (systems.md L7).
const THUMBNAILS_MAX: u64 = 500;

/// Room that all pictures of a file take at most.
pub(super) const BYTES_MAX: u64 = 256 << 20;

/// Thumbnails of a file this long are so far apart.
pub(super) fn interval_ms(duration_ms: u64) -> u64 {
    duration_ms.div_ceil(THUMBNAILS_MAX).max(INTERVAL_MS)
}
