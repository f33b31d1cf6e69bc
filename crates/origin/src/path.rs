//! A request path becomes a value before any work.

use anabranch_model::{BreakoutId, ChannelId};

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) channel: ChannelId,
    pub(crate) breakout: BreakoutId,
    pub(crate) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `index.m3u8`.
    Multivariant,
    /// `<rendition>.m3u8`.
    Media(String),
    /// An init section or segment, by its name relative to the breakout.
    Object(String),
}

/// Reads `/live/<channel>/<breakout>/<rest>`; `None` for anything else.
pub(crate) fn parse(path: &str) -> Option<Asked> {
    let rest = path.strip_prefix("/live/")?;
    let (channel, rest) = rest.split_once('/')?;
    let (breakout, file) = rest.split_once('/')?;
    let what = match (file.split_once('/'), file.strip_suffix(".m3u8")) {
        (None, Some("index")) => What::Multivariant,
        (None, Some(rendition)) => What::Media(rendition.to_owned()),
        (Some((_, name)), None) if name.ends_with(".m4s") || name.ends_with(".mp4") => What::Object(file.to_owned()),
        _ => return None,
    };
    Some(Asked { channel: channel.parse().ok()?, breakout: breakout.parse().ok()?, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_values() {
        let what = |path: &str| parse(path).map(|asked| asked.what);
        assert_eq!(what("/live/c1/b1/index.m3u8"), Some(What::Multivariant));
        assert_eq!(what("/live/c1/b1/video.m3u8"), Some(What::Media("video".into())));
        assert_eq!(what("/live/c1/b1/video/1.m4s"), Some(What::Object("video/1.m4s".into())));
        for path in ["/", "/live/c1", "/live/c1/b1/", "/live/c1/b1/timeline.json", "/live/c1/../b1/index.m3u8"] {
            assert_eq!(what(path), None, "{path}");
        }
        assert_eq!(what("/live/c1/b1/video/x.m3u8"), None);
    }
}
