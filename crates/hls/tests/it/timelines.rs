//! Playlists of timelines.

use std::sync::Arc;

use anabranch_hls::playlist::{MediaPlaylist, MultivariantPlaylist, PlaylistType};
use anabranch_hls::render::{media, multivariant, recording};
use anabranch_hls::rewrite::append_query;
use anabranch_hls::timeline::{Progress, Rendition, RenditionKind, Segment, Standing, Timeline, peak_bandwidth};
use proptest::prelude::*;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};

/// 31 December 2024, 23:59:54.
const START_MS: i64 = 1_735_689_594_000;

fn segment(msn: u64, duration_seconds: f64) -> Segment {
    Segment {
        msn,
        name: format!("video/{msn:08}-k3f9.m4s"),
        init: "video/init-1.mp4".to_owned(),
        duration_seconds,
        program_date_time_ms: START_MS + i64::try_from(msn).unwrap() * 6000,
        discontinuity: false,
        gap: false,
        bytes: 1000,
    }
}

fn rendition(kind: RenditionKind, segments: Vec<Segment>) -> Rendition {
    let is_video = kind == RenditionKind::Video;
    Rendition {
        name: if is_video { "video" } else { "audio" }.to_owned(),
        kind,
        codecs: if is_video { "avc1.64001f" } else { "mp4a.40.2" }.to_owned(),
        resolution: is_video.then_some((1280, 720)),
        frame_rate: is_video.then_some(30_000.0 / 1001.0),
        channels: (!is_video).then_some(2),
        peak_bandwidth: if is_video { 3_000_000 } else { 128_000 },
        average_bandwidth: if is_video { 2_500_000 } else { 96_000 },
        discontinuity_sequence: 0,
        segments: segments.into_iter().map(Arc::new).collect(),
    }
}

fn timeline(renditions: Vec<Rendition>) -> Timeline {
    Timeline { session: 1, progress: Progress::Live, target_duration_seconds: 6, renditions }
}

fn video(segments: Vec<Segment>) -> Timeline {
    timeline(vec![rendition(RenditionKind::Video, segments)])
}

/// The tags and URIs that the other parser finds. It must know each tag and take each value.
fn judged(text: &str) -> (Vec<Tag<'_>>, Vec<String>) {
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, options);
    let (mut tags, mut uris) = (Vec::new(), Vec::new());
    while let Some(line) = reader.read_line().unwrap_or_else(|error| panic!("{error:?} in {text}")) {
        match line {
            HlsLine::KnownTag(KnownTag::Hls(tag)) => tags.push(tag),
            HlsLine::Uri(uri) => uris.push(uri.into_owned()),
            other => panic!("{other:?} in {text}"),
        }
    }
    (tags, uris)
}

#[test]
fn video_with_sound() {
    let text = multivariant(&timeline(vec![
        rendition(RenditionKind::Video, vec![segment(0, 6.0)]),
        rendition(RenditionKind::Audio, vec![segment(0, 6.0)]),
    ]));
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3128000,AVERAGE-BANDWIDTH=2596000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"\n\
         video.m3u8\n"
    );
    let (tags, uris) = judged(&text);
    assert_eq!(uris, ["video.m3u8"]);
    let found = tags.iter().find_map(|tag| if let Tag::StreamInf(tag) = tag { Some(tag) } else { None }).unwrap();
    assert_eq!((found.bandwidth(), found.average_bandwidth()), (3_128_000, Some(2_596_000)));
    assert_eq!(
        (found.codecs(), found.audio(), found.frame_rate()),
        (Some("avc1.64001f,mp4a.40.2"), Some("audio"), Some(29.97))
    );
    let found = tags.iter().find_map(|tag| if let Tag::Media(tag) = tag { Some(tag) } else { None }).unwrap();
    assert!(found.default() && found.autoselect());
    assert_eq!((found.group_id(), found.uri()), ("audio", Some("audio.m3u8")));
}

#[test]
fn sound_or_picture_alone() {
    assert_eq!(
        multivariant(&timeline(vec![rendition(RenditionKind::Audio, vec![segment(0, 6.0)])])),
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH=128000,AVERAGE-BANDWIDTH=96000,CODECS=\"mp4a.40.2\"\naudio.m3u8\n"
    );
    assert_eq!(
        multivariant(&video(vec![segment(0, 6.0)])),
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2500000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,FRAME-RATE=29.970\nvideo.m3u8\n"
    );
}

#[test]
fn a_live_media_playlist() {
    let mut segments: Vec<Segment> = (0..4).map(|msn| segment(msn, 6.0)).collect();
    segments[2].discontinuity = true;
    for segment in &mut segments[2..] {
        segment.init = "video/init-2.mp4".to_owned();
    }
    segments[3].duration_seconds = 5.005;
    let text = media(&video(segments), "video", 60).unwrap();
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
         #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"video/init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2024-12-31T23:59:54.000Z\n#EXTINF:6.000000,\nvideo/00000000-k3f9.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:00.000Z\n#EXTINF:6.000000,\nvideo/00000001-k3f9.m4s\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video/init-2.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:06.000Z\n#EXTINF:6.000000,\nvideo/00000002-k3f9.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:12.000Z\n#EXTINF:5.005000,\nvideo/00000003-k3f9.m4s\n"
    );
    judged(&text);
}

#[test]
fn numbers_without_a_segment_are_gaps() {
    let mut segments: Vec<Segment> = (0..4).map(|msn| segment(msn, 6.0)).collect();
    segments[1].gap = true;
    segments[1].name = "video/00000001-gap.m4s".to_owned();
    let text = media(&video(segments.clone()), "video", 60).unwrap();
    assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:8\n"), "{text}");
    assert!(text.contains(
        "#EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:00.000Z\n#EXT-X-GAP\n#EXTINF:6.000000,\nvideo/00000001-gap.m4s\n"
    ));
    assert_eq!(text.matches("#EXT-X-GAP\n").count(), 1);
    judged(&text);
    let shown = MediaPlaylist::parse(text.as_bytes()).unwrap();
    assert_eq!(shown.segments.iter().map(|segment| segment.gap).collect::<Vec<_>>(), [false, true, false, false]);
    // Once it has left the window nothing asks for the newer version.
    let text = media(&video(segments), "video", 12).unwrap();
    assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:8\n") == text.contains("#EXT-X-GAP\n"));
}

#[test]
fn a_recording_is_whole() {
    let mut segments: Vec<Segment> = (0..4).map(|msn| segment(msn, 4.0)).collect();
    segments[2].discontinuity = true;
    segments[2].duration_seconds = 4.4;
    for segment in &mut segments[2..] {
        segment.init = "video/init-2.mp4".to_owned();
    }
    let text = recording(&video(segments), "video").unwrap();
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"video/init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2024-12-31T23:59:54.000Z\n#EXTINF:4.000000,\nvideo/00000000-k3f9.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:00.000Z\n#EXTINF:4.000000,\nvideo/00000001-k3f9.m4s\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video/init-2.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:06.000Z\n#EXTINF:4.400000,\nvideo/00000002-k3f9.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:12.000Z\n#EXTINF:4.000000,\nvideo/00000003-k3f9.m4s\n\
         #EXT-X-ENDLIST\n"
    );
    judged(&text);
    assert_eq!(recording(&video(Vec::new()), "video"), None);
    assert_eq!(recording(&video(vec![segment(0, 6.0)]), "audio"), None);
    // Sound that came later than the picture counts the discontinuities before it.
    let mut late = video(vec![segment(0, 0.2)]);
    late.renditions[0].discontinuity_sequence = 2;
    let playlist = MediaPlaylist::parse(recording(&late, "video").unwrap().as_bytes()).unwrap();
    assert_eq!((playlist.discontinuity_sequence, playlist.target_duration_seconds), (2, 1));
    assert_eq!((playlist.playlist_type, playlist.ended), (Some(PlaylistType::Vod), true));
}

#[test]
fn peaks_are_of_about_a_target_duration() {
    let peak = |list: &[(f64, u64)]| {
        let make =
            |(msn, (seconds, bytes)): (u64, &(f64, u64))| Arc::new(Segment { bytes: *bytes, ..segment(msn, *seconds) });
        peak_bandwidth(&(0..).zip(list).map(make).collect::<Vec<_>>())
    };
    assert_eq!(peak(&[(4.0, 1000), (4.0, 2000), (4.0, 1000)]), 4000);
    // A short one is no peak of its own, but with its neighbours.
    assert_eq!(peak(&[(4.0, 1000), (0.1, 1000), (4.0, 1000)]), (2000.0_f64 * 8.0 / 4.1).ceil() as u64);
    assert_eq!(peak(&[(0.2, 100)]), 4000);
    assert_eq!(peak(&[]), 0);
}

#[test]
fn players_may_wait_for_the_next_two_segments() {
    let mut timeline = video((3..6).map(|msn| segment(msn, 6.0)).collect());
    let standings = |timeline: &Timeline| [0, 5, 6, 7, 8, u64::MAX].map(|msn| timeline.standing("video", msn).unwrap());
    use Standing::{Awaited, Reached, TooFar};
    assert_eq!(standings(&timeline), [Reached, Reached, Awaited, Awaited, TooFar, TooFar]);
    timeline.progress = Progress::Ended;
    assert_eq!(standings(&timeline), [Reached; 6]);
    assert_eq!(timeline.standing("audio", 6), None);
    assert_eq!(video(Vec::new()).standing("video", 0), None);
}

#[test]
fn the_window_is_the_newest_segments() {
    let msns = |segments: Vec<Segment>, window_seconds| {
        let text = media(&video(segments), "video", window_seconds).unwrap();
        let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
        (playlist.media_sequence, playlist.segments.len())
    };
    let full = || (10..30).map(|msn| segment(msn, 6.0)).collect::<Vec<_>>();
    assert_eq!(msns(full(), 60), (20, 10));
    assert_eq!(msns(full(), 61), (19, 11));
    assert_eq!(msns(full(), 0), (27, 3));
    assert_eq!(msns(full(), u32::MAX), (10, 20));
    assert_eq!(msns(full()[..2].to_vec(), 60), (10, 2));
    // Short segments: three target durations have to stay.
    assert_eq!(msns((10..30).map(|msn| segment(msn, 2.0)).collect(), 6), (21, 9));
}

#[test]
fn the_end_and_nothing_yet() {
    let mut ended = video(vec![segment(7, 3.0)]);
    ended.progress = Progress::Ended;
    let text = media(&ended, "video", 60).unwrap();
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:7\n") && text.ends_with("m4s\n#EXT-X-ENDLIST\n"), "{text}");
    assert!(!text.contains("EXT-X-SERVER-CONTROL"), "nothing to wait for: {text}");
    assert_eq!(media(&ended, "audio", 60), None);
    assert_eq!(media(&video(Vec::new()), "video", 60), None);
    assert_eq!(media(&timeline(Vec::new()), "video", 60), None);
}

#[test]
fn discontinuities_that_left_are_counted() {
    let mut segments: Vec<Segment> = (0..12).map(|msn| segment(msn, 6.0)).collect();
    for msn in [3, 8, 9] {
        segments[msn].discontinuity = true;
    }
    let mut timeline = video(segments);
    timeline.renditions[0].discontinuity_sequence = 5;
    let sequence = |window_seconds| {
        let text = media(&timeline, "video", window_seconds).unwrap();
        let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
        let shown = playlist.segments.iter().filter(|segment| segment.discontinuity).count();
        (playlist.media_sequence, playlist.discontinuity_sequence, shown)
    };
    assert_eq!(sequence(72), (0, 5, 3));
    assert_eq!(sequence(54), (3, 5, 3));
    assert_eq!(sequence(48), (4, 6, 2));
    assert_eq!(sequence(24), (8, 6, 2));
    assert_eq!(sequence(18), (9, 7, 1));
}

#[test]
fn durations_never_round_above_the_target() {
    for (duration, target, shown) in [
        (6.499_999_9, 6, "6.499999"),
        (6.499_999_4, 6, "6.499999"),
        (6.0, 6, "6.000000"),
        (5.005_005_005, 6, "5.005005"),
        (0.033_366_7, 6, "0.033367"),
        // A packager that broke its word: the tag gives way, not the truth.
        (7.6, 8, "7.600000"),
    ] {
        let text = media(&video(vec![segment(0, duration)]), "video", 60).unwrap();
        assert!(text.contains(&format!("#EXT-X-TARGETDURATION:{target}\n")), "{text}");
        assert!(text.contains(&format!("#EXTINF:{shown},\n")), "{text}");
    }
}

#[test]
fn a_signed_playlist_differs_in_its_uris_only() {
    let plain = media(&video((0..4).map(|msn| segment(msn, 6.0)).collect()), "video", 60).unwrap();
    let mut signed = Vec::new();
    append_query(plain.as_bytes(), "Policy=p&Signature=s", None, &mut signed);
    let signed = String::from_utf8(signed).unwrap();
    assert_eq!(signed.matches("?Policy=p&Signature=s").count(), 5);
    assert_eq!(signed.replace("?Policy=p&Signature=s", ""), plain);
    assert!(signed.contains("#EXT-X-MAP:URI=\"video/init-1.mp4?Policy=p&Signature=s\"\n"));
    judged(&signed);
}

fn arb_segments() -> impl Strategy<Value = Vec<Segment>> {
    let one = (0.0..12.0, any::<bool>(), 0..3_u8, START_MS..START_MS * 2);
    (0..u64::MAX / 2, prop::collection::vec(one, 1..30)).prop_map(|(first, segments)| {
        let numbered = segments.into_iter().zip(first..);
        let make = |((duration_seconds, discontinuity, init, program_date_time_ms), msn)| Segment {
            msn,
            name: format!("video/{msn}.m4s"),
            init: format!("video/init-{init}.mp4"),
            duration_seconds,
            program_date_time_ms,
            discontinuity,
            gap: false,
            bytes: 1,
        };
        numbered.map(make).collect()
    })
}

proptest! {
    #[test]
    fn every_window_is_true_to_its_timeline(segments in arb_segments(), window_seconds in 0_u32..100) {
        let timeline = video(segments.clone());
        let text = media(&timeline, "video", window_seconds).unwrap();
        judged(&text);
        let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
        let left = segments.len() - playlist.segments.len();
        prop_assert_eq!(playlist.media_sequence, segments[left].msn);
        prop_assert!(playlist.segments.len() >= segments.len().min(3));
        let gone = segments[..left].iter().filter(|segment| segment.discontinuity).count();
        prop_assert_eq!(playlist.discontinuity_sequence, u64::try_from(gone).unwrap());
        let mut map = None;
        for (shown, segment) in playlist.segments.iter().zip(&segments[left..]) {
            map = shown.map.clone().or(map);
            prop_assert_eq!(&map.as_ref().unwrap().uri, &segment.init);
            prop_assert_eq!(&shown.uri, &segment.name);
            prop_assert_eq!(shown.discontinuity, segment.discontinuity);
            prop_assert_eq!(shown.program_date_time_ms, Some(segment.program_date_time_ms));
            prop_assert!((shown.duration_seconds - segment.duration_seconds).abs() < 2e-6);
            prop_assert!(shown.duration_seconds.round() <= playlist.target_duration_seconds as f64);
        }
        prop_assert_eq!(&playlist.other, &["#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES"]);
        let reparsed = MediaPlaylist::parse(playlist.render().as_bytes()).unwrap();
        prop_assert_eq!(reparsed, playlist);
        prop_assert!(MultivariantPlaylist::parse(multivariant(&timeline).as_bytes()).is_ok());
    }
}

#[test]
fn a_timeline_is_playable_with_one_and_a_half_targets_and_a_second_of_every_rendition() {
    let both = |pictures: f64, sound: f64| {
        let video = rendition(RenditionKind::Video, vec![segment(0, pictures - 2.0), segment(1, 2.0)]);
        timeline(vec![video, rendition(RenditionKind::Audio, vec![segment(0, sound)])])
    };
    // Sound that ends a frame before the pictures does not hold them up for a whole segment.
    for (pictures, sound, playable) in
        [(10.0, 10.0, true), (10.0, 9.979, true), (9.979, 10.0, true), (10.0, 8.0, false), (8.0, 10.0, false)]
    {
        assert_eq!(both(pictures, sound).is_playable(), playable, "{pictures} {sound}");
    }
    let ended = |segments| Timeline { progress: Progress::Ended, ..video(segments) };
    assert!(ended(vec![segment(0, 1.0)]).is_playable());
    assert!(!ended(Vec::new()).is_playable());
}
