//! Which playlists a multivariant playlist names (rfc8216bis §4.4.6).

use std::collections::HashSet;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::PLAYLISTS_MAX;

/// Longest label, in characters: words of it are the encoder's.
const LABEL_MAX: usize = 60;

/// What a playlist is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Named by `EXT-X-STREAM-INF`, or the one that was given.
    Variant,
    /// An alternate rendition of sound.
    Audio,
    /// An alternate rendition of the picture.
    Video,
    /// Subtitles.
    Subtitles,
    /// Named by `EXT-X-I-FRAME-STREAM-INF`.
    IFrames,
}

/// A playlist that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) url: Url,
    pub(super) role: Role,
    /// What tells it from others, for people.
    pub(super) label: String,
}

/// All that are named, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) playlists: Vec<Listed>,
    /// How many were left out because there are more than [`PLAYLISTS_MAX`].
    pub(super) left_out: usize,
}

/// Reads a multivariant playlist. What cannot be fetched by HTTP is left out.
pub(super) fn list(text: &str, base: &Url) -> Listing {
    let mut listing = Listing::default();
    let mut known = HashSet::new();
    let mut add = |uri: &str, role, label: String| {
        let Some(url) = resolve(base, uri) else { return };
        if !known.insert(url.clone()) {
            return;
        }
        if listing.playlists.len() == PLAYLISTS_MAX {
            listing.left_out += 1;
        } else {
            listing.playlists.push(Listed { url, role, label });
        }
    };
    let mut variant = None;
    for line in text.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            variant = Some(value);
        } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA:") {
            let role = match attribute(value, "TYPE") {
                Some("AUDIO") => Role::Audio,
                Some("VIDEO") => Role::Video,
                Some("SUBTITLES") => Role::Subtitles,
                _ => continue,
            };
            if let Some(uri) = attribute(value, "URI") {
                add(uri, role, label(&[attribute(value, "GROUP-ID"), attribute(value, "NAME")]));
            }
        } else if let Some(value) = line.strip_prefix("#EXT-X-I-FRAME-STREAM-INF:") {
            if let Some(uri) = attribute(value, "URI") {
                add(uri, Role::IFrames, of_variant(value));
            }
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(value) = variant.take()
        {
            add(line, Role::Variant, of_variant(value));
        }
    }
    listing
}

/// A URI of a playlist as a URL that can be fetched.
pub(super) fn resolve(base: &Url, uri: &str) -> Option<Url> {
    base.join(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

fn of_variant(value: &str) -> String {
    let rate = attribute(value, "BANDWIDTH").and_then(|bandwidth| bandwidth.parse::<u64>().ok());
    let rate = rate.map(|bits| format!("{} kbit/s", bits / 1000));
    label(&[attribute(value, "RESOLUTION"), rate.as_deref()])
}

fn label(parts: &[Option<&str>]) -> String {
    let words: Vec<&str> = parts.iter().flatten().copied().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(LABEL_MAX).collect()
}

/// The value of an attribute, without its quotes. Lists that break the rules are read as far as they go.
pub(super) fn attribute<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, tail) = quoted.split_once('"')?;
                (value, tail.split_once(',').map_or("", |(_, tail)| tail))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if name.trim() == wanted {
            return Some(value.trim());
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        Url::parse("https://a.example/live/index.m3u8?Policy=p").unwrap()
    }

    #[test]
    fn all_kinds_are_found_once() {
        let text = "#EXTM3U\r\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"a, b\",URI=\"a.m3u8?s=1\"\r\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"de\",URI=\"/s/de.m3u8\"\r\n\
            #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"v\",NAME=\"side\",URI=\"side.m3u8\"\r\n\
            #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"cc\",INSTREAM-ID=\"CC1\"\r\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"muxed\"\r\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=1280x720\r\n\r\n# words\r\nhttps://cdn.example/720.m3u8\r\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2100000,RESOLUTION=1280x720,AUDIO=\"other\"\r\nhttps://cdn.example/720.m3u8\r\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1\r\ndata:text/plain,x\r\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5000,URI=\"i.m3u8\"\r\nstray.m3u8\r\n";
        let listing = list(text, &base());
        let found: Vec<_> =
            listing.playlists.iter().map(|one| (one.url.as_str(), one.role, one.label.as_str())).collect();
        assert_eq!(
            found,
            [
                ("https://a.example/live/a.m3u8?s=1", Role::Audio, "aac a, b"),
                ("https://a.example/s/de.m3u8", Role::Subtitles, "s de"),
                ("https://a.example/live/side.m3u8", Role::Video, "v side"),
                ("https://cdn.example/720.m3u8", Role::Variant, "1280x720 2000 kbit/s"),
                ("https://a.example/live/i.m3u8", Role::IFrames, "5 kbit/s"),
            ]
        );
        assert_eq!(listing.left_out, 0);
    }

    #[test]
    fn there_is_a_limit() {
        let text: String =
            (0..PLAYLISTS_MAX + 3).map(|at| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{at}.m3u8\n")).collect();
        let listing = list(&text, &base());
        assert_eq!((listing.playlists.len(), listing.left_out), (PLAYLISTS_MAX, 3));
    }

    #[test]
    fn attributes_of_odd_lists() {
        assert_eq!(attribute("A=1,B=\"x,y=z\", C=3", "C"), Some("3"));
        assert_eq!(attribute("A=1,B=\"x,A=2\"", "A"), Some("1"));
        assert_eq!(attribute("B=\"URI=1\",URI=\"u\"", "URI"), Some("u"));
        for list in ["", "A", "A=\"x", "=,=", ",,,"] {
            assert_eq!(attribute(list, "B"), None, "{list}");
        }
    }

    proptest! {
        #[test]
        fn an_attribute_is_found_wherever_it_stands(
            before in prop::collection::vec("[A-Z]{2,5}=(\"[^\"\n]{0,9}\"|[a-z0-9]{1,5})", 0..4), value in "[^\"\n]{0,20}"
        ) {
            let mut all = before;
            all.push(format!("X=\"{value}\""));
            all.push("ZZZZZZ=1".to_owned());
            let list = all.join(",");
            prop_assert_eq!(attribute(&list, "X"), Some(value.trim()));
        }
    }
}
