//! The one speller of object keys.
//!
//! | key | object |
//! |---|---|
//! | `live/<channel>/<breakout>/timeline.json` | what has been published of a breakout |
//! | `live/<channel>/<breakout>/<rendition>/init-<run>-<n>.mp4` | init section |
//! | `live/<channel>/<breakout>/<rendition>/<msn>-<run>.m4s` | media segment |
//! | `bucket/<bucket>/<path>` | object of a bucket that distributions may name |

/// Longest key, in bytes.
const MAX_LEN: usize = 512;

/// Prefix of all objects of a breakout, ending with `/`.
#[must_use]
pub fn live_prefix(channel: &str, breakout: &str) -> String {
    format!("live/{channel}/{breakout}/")
}

/// An object of a breakout by its name relative to the breakout.
#[must_use]
pub fn live_object(channel: &str, breakout: &str, name: &str) -> String {
    format!("live/{channel}/{breakout}/{name}")
}

/// An object of a bucket by its path within it.
#[must_use]
pub fn bucket_object(bucket: &str, path: &str) -> String {
    format!("bucket/{bucket}/{path}")
}

/// Name, relative to the breakout, of the record of what was published.
pub const TIMELINE: &str = "timeline.json";

/// Name, relative to the breakout, of an init section.
#[must_use]
pub fn init_name(rendition: &str, run: &str, number: u32) -> String {
    format!("{rendition}/init-{run}-{number}.mp4")
}

/// Name, relative to the breakout, of a media segment.
#[must_use]
pub fn segment_name(rendition: &str, msn: u64, run: &str) -> String {
    format!("{rendition}/{msn:08}-{run}.m4s")
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
        assert!(is_valid(&live_object("c1", "b1", &segment_name("video", 7, "k3"))));
        for key in ["", "a//b", "/a", "a/", "a/../b", ".tmp/x", "a/%2e", "a\\b", "a/b\0"] {
            assert!(!is_valid(key), "{key:?}");
        }
    }
}
