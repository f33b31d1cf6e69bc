//! Round trips of the models, and bytes that are no playlist.

use anabranch_hls::playlist::{
    ByteRange, MapTag, MediaPlaylist, MediaSegment, MultivariantPlaylist, PlaylistType, RenditionMedia, Variant,
};
use proptest::option::of;
use proptest::prelude::*;

const QUOTED: &str = "[!#-~é]([ -!#-~é]{0,8}[!#-~é])?";
const URI: &str = "[a-z0-9/.?=&%-]{1,12}";

fn other() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        prop_oneof!["#EXT-X-UNKNOWN-[A-Z]{1,4}(:[!-~]{1,8})?", "# [!-~]{1,8}", Just("#".to_owned())],
        0..3,
    )
}

fn extra() -> impl Strategy<Value = Vec<(String, String)>> {
    of(("X-[A-Z]{1,6}", prop_oneof!["[0-9]{1,4}", QUOTED.prop_map(|text| format!("\"{text}\""))]))
        .prop_map(|attribute| attribute.into_iter().collect())
}

fn byte_range() -> impl Strategy<Value = ByteRange> {
    (any::<u64>(), of(any::<u64>())).prop_map(|(length, offset)| ByteRange { length, offset })
}

fn map() -> impl Strategy<Value = MapTag> {
    (QUOTED, of(byte_range()), extra()).prop_map(|(uri, byte_range, attributes)| MapTag { uri, byte_range, attributes })
}

fn media_segment() -> impl Strategy<Value = MediaSegment> {
    let tags =
        (any::<bool>(), prop::collection::vec("METHOD=[A-Z]{1,5}", 0..3), of(map()), any::<bool>(), of(byte_range()));
    (other(), tags, of(0_i64..250_000_000_000_000), 0_u32..u32::MAX, QUOTED, URI).prop_map(
        |(other, (discontinuity, keys, map, gap, byte_range), program_date_time_ms, micros, title, uri)| MediaSegment {
            other,
            discontinuity,
            keys,
            map,
            program_date_time_ms,
            gap,
            byte_range,
            duration_seconds: f64::from(micros) / 1e6,
            title,
            uri,
        },
    )
}

fn media_playlist() -> impl Strategy<Value = MediaPlaylist> {
    let kind = prop_oneof![Just(None), Just(Some(PlaylistType::Event)), Just(Some(PlaylistType::Vod))];
    let head = (of(any::<u32>()), any::<bool>(), any::<u64>(), any::<u64>(), any::<u64>(), kind);
    (head, other(), prop::collection::vec(media_segment(), 0..6), other(), any::<bool>()).prop_map(
        |(head, other, segments, trailing, ended)| MediaPlaylist {
            version: head.0,
            independent_segments: head.1,
            target_duration_seconds: head.2,
            media_sequence: head.3,
            discontinuity_sequence: head.4,
            playlist_type: head.5,
            other,
            segments,
            trailing,
            ended,
        },
    )
}

fn rendition_media() -> impl Strategy<Value = RenditionMedia> {
    let words = ("(AUDIO|VIDEO|SUBTITLES)", QUOTED, QUOTED, of(QUOTED), of(QUOTED));
    (words, any::<bool>(), any::<bool>(), extra()).prop_map(|(words, is_default, autoselect, attributes)| {
        RenditionMedia {
            kind: words.0,
            group_id: words.1,
            name: words.2,
            uri: words.3,
            channels: words.4,
            is_default,
            autoselect,
            attributes,
        }
    })
}

fn variant() -> impl Strategy<Value = Variant> {
    let rates = (any::<u64>(), of(any::<u64>()), of(0_u32..1_000_000));
    (URI, rates, of(QUOTED), of((any::<u32>(), any::<u32>())), of(QUOTED), extra()).prop_map(
        |(uri, (bandwidth, average_bandwidth, rate), codecs, resolution, audio, attributes)| Variant {
            uri,
            bandwidth,
            average_bandwidth,
            codecs,
            resolution,
            frame_rate: rate.map(|rate| f64::from(rate) / 1e3),
            audio,
            attributes,
        },
    )
}

fn multivariant_playlist() -> impl Strategy<Value = MultivariantPlaylist> {
    let lists = (prop::collection::vec(rendition_media(), 0..4), prop::collection::vec(variant(), 0..4));
    (of(any::<u32>()), any::<bool>(), other(), lists).prop_map(
        |(version, independent_segments, other, (media, variants))| MultivariantPlaylist {
            version,
            independent_segments,
            other,
            media,
            variants,
        },
    )
}

proptest! {
    #[test]
    fn media_playlists_round_trip(playlist in media_playlist()) {
        let text = playlist.render();
        prop_assert_eq!(&MediaPlaylist::parse(text.as_bytes()).unwrap(), &playlist);
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n\r\n"));
        prop_assert_eq!(MediaPlaylist::parse(windows.as_bytes()).unwrap(), playlist);
    }

    #[test]
    fn multivariant_playlists_round_trip(playlist in multivariant_playlist()) {
        prop_assert_eq!(MultivariantPlaylist::parse(playlist.render().as_bytes()).unwrap(), playlist);
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (MediaPlaylist::parse(&bytes), MultivariantPlaylist::parse(&bytes));
    }

    #[test]
    fn any_lines_are_judged(lines in prop::collection::vec(
        "(#EXT(INF|-X-(VERSION|TARGETDURATION|MEDIA-SEQUENCE|MAP|BYTERANGE|PROGRAM-DATE-TIME|STREAM-INF|MEDIA|KEY)):?)?[A-Z0-9\"=,@.:é-]{0,20}", 0..12)) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        if let Ok(playlist) = MediaPlaylist::parse(text.as_bytes()) {
            prop_assert!(MediaPlaylist::parse(playlist.render().as_bytes()).is_ok());
        }
        if let Ok(playlist) = MultivariantPlaylist::parse(text.as_bytes()) {
            prop_assert!(MultivariantPlaylist::parse(playlist.render().as_bytes()).is_ok());
        }
    }
}
