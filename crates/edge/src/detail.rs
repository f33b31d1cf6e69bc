//! What a path tells of itself, for the books: which breakout or asset, which rendition. Paths are the house's own; others tell nothing.

use anabranch_model::{AssetId, BreakoutId, RENDITION_MAX_BYTES};

/// First segment of paths of assets.
const ASSETS: &str = "assets";

/// Folder of an asset's renditions.
const RENDITIONS: &str = "HLS";

/// Characters of an identifier that was made by the house: its letter and 13 others.
const BREAKOUT_LEN: usize = 14;

/// Whose answer it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) breakout: Option<BreakoutId>,
    /// Session of its recording; 0 for the live stream.
    pub(crate) session: u32,
    pub(crate) recorded: bool,
    pub(crate) asset: Option<AssetId>,
    pub(crate) rendition: Box<str>,
}

/// The folder of a path, without its last slash: what files of one rendition share.
pub(crate) fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..end])
}

impl Detail {
    /// What the folder of a path tells; `live` is the breakout whose live stream it is, if it is one.
    pub(crate) fn of(folder: &str, live: Option<&BreakoutId>) -> Self {
        let mut parts = folder.split('/').filter(|part| !part.is_empty());
        let first = parts.next();
        if let Some(breakout) = live {
            return Self { breakout: Some(breakout.clone()), rendition: rendition(parts.next()), ..Self::default() };
        }
        match first {
            Some(ASSETS) => {
                let asset = parts.next().filter(|id| id.starts_with('m')).and_then(|id| id.parse().ok());
                let below = parts.next().filter(|_| asset.is_some());
                let rendition = rendition(if below == Some(RENDITIONS) { parts.next() } else { below });
                Self { asset, rendition, ..Self::default() }
            }
            Some(id) if id.len() == BREAKOUT_LEN && id.starts_with('b') => {
                let Ok(breakout) = id.parse() else { return Self::default() };
                let session = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
                Self {
                    breakout: Some(breakout),
                    session,
                    recorded: true,
                    rendition: rendition(parts.next()),
                    ..Self::default()
                }
            }
            _ => Self::default(),
        }
    }
}

/// A segment of a path as the name of a rendition, if it may be one.
fn rendition(part: Option<&str>) -> Box<str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    part.filter(|part| part.len() <= RENDITION_MAX_BYTES && part.bytes().all(plain)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_house_tell_whose_they_are() {
        let live: BreakoutId = "b1".parse().unwrap();
        let of = |path: &str, live| Detail::of(folder(path), live);
        let video = of("/b1/video/00000001-ab.m4s", Some(&live));
        assert_eq!((video.breakout.as_ref(), &*video.rendition, video.recorded), (Some(&live), "video", false));
        assert_eq!(&*of("/b1/index.m3u8", Some(&live)).rendition, "");
        let recorded = of("/b0123456789abc/2/audio/00000001-ab.m4s", None);
        assert_eq!(recorded.breakout.as_ref().map(BreakoutId::as_str), Some("b0123456789abc"));
        assert_eq!((recorded.session, recorded.recorded, &*recorded.rendition), (2, true, "audio"));
        let asset = of("/assets/m0123456789/HLS/a_720/1.ts", None);
        assert_eq!((asset.asset.as_ref().map(AssetId::as_str), &*asset.rendition), (Some("m0123456789"), "a_720"));
        assert_eq!(&*of("/assets/m0123456789/MP4/a.mp4", None).rendition, "MP4");
        for path in ["", "/", "/robots.txt", "/files/b/c", "/assets", "/assets/../x/y", "/b\u{e9}23456789abc/x/y"] {
            assert_eq!(of(path, None), Detail::default(), "{path}");
        }
    }
}
