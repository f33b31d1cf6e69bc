//! The MPEG-TS option.

use anabranch_packager::vod::{Container, Cuts, Input, Kind, Plan, TextPlan, VodError, package, package_text, publish};

use super::support::{Bench, TARGET, label, packets, pictures, pictures_at, plan, quietly, ranges, sound_seconds};

const SOURCE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=sample_rate=48000 -t 9.4 \
    -c:v libx264 -preset veryfast -bf 3 -g 25 -keyint_min 25 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 64k";

#[tokio::test]
async fn picture_and_sound_in_one() {
    let bench = Bench::new(Container::Ts);
    let source = bench.make(SOURCE, "in.mp4");
    let (summaries, _) = bench.direct(&source, true, true).await;
    assert_eq!(summaries.len(), 1);
    let playlist = bench.out("m1_source.m3u8");
    assert_eq!(pictures(&playlist), pictures(&source));
    assert!((sound_seconds(&playlist) - sound_seconds(&source)).abs() < 0.05);
    let (ours, theirs) = (packets(&playlist, "v"), packets(&source, "v"));
    assert_eq!((ours.len(), summaries[0].samples), (235, 235));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours.pts - 10.0 - theirs.pts).abs() < 1e-4 && ours.dts <= ours.pts, "{ours:?} {theirs:?}");
        assert_eq!(ours.keyframe, theirs.keyframe);
    }
    let sound = packets(&playlist, "a");
    assert!((sound[0].pts - 10.0).abs() < 1e-4, "{:?}", sound[0]);
    let streams = quietly("ffprobe", &["-show_entries", "stream=codec_name", "-of", "csv=p=0"], &bench.out("m1.m3u8"));
    assert!(streams.contains("h264") && streams.contains("aac"), "{streams}");
    let media = bench.media("m1_source.m3u8");
    assert_eq!((media.segments.len(), media.segments[4].uri.as_str()), (5, "m1_source_00005.ts"));
    assert!(media.segments[0].map.is_none());
    let multivariant = bench.multivariant();
    assert_eq!((multivariant.media.len(), multivariant.media[0].uri.as_deref()), (1, None));
    assert!(multivariant.variants[0].codecs.as_ref().unwrap().ends_with(",mp4a.40.2"));
}

#[tokio::test]
async fn every_segment_and_keyframe_decodes_by_itself() {
    let bench = Bench::new(Container::Ts);
    let source = bench.make(SOURCE, "in.mp4");
    bench.direct(&source, true, true).await;
    let whole = pictures(&source);
    let mut seen = Vec::new();
    for segment in &bench.media("m1_source.m3u8").segments {
        assert_eq!(std::fs::read(bench.out(&segment.uri)).unwrap().len() % 188, 0);
        seen.extend(pictures(&bench.out(&segment.uri)));
    }
    assert_eq!(seen, whole);
    let playlist = bench.media("m1_source_iframes.m3u8");
    assert_eq!(playlist.segments.len(), 10);
    for (index, range) in ranges(&bench, &playlist).into_iter().enumerate() {
        let path = bench.path("iframe.ts");
        std::fs::write(&path, range).unwrap();
        // There is no sound in a keyframe, though the tables tell of one.
        assert_eq!(pictures_at("fatal", &path), whole[index * 25..=index * 25], "keyframe {index}");
    }
}

#[tokio::test]
async fn further_sounds_are_renditions_and_subtitles_have_their_time() {
    let bench = Bench::new(Container::Ts);
    let more = "-f lavfi -i sine=700 -map 0 -map 1 -map 2";
    let source = bench.make(&SOURCE.replace("-t 9.4", &format!("{more} -t 5")), "in.mp4");
    let input = |track| Input { chunks: vec![source.clone()], track };
    let cuts = Cuts::decide(Kind::Video, &input(0), &[(Kind::Audio, input(0))], TARGET).await.unwrap();
    let video = Plan { sound: Some((input(0), label("de", "Deutsch"))), ..plan("180", Kind::Video, input(0)) };
    let sound = Plan { label: label("en", "English"), ..plan("audio_2_en", Kind::Audio, input(1)) };
    let file = bench.path("in.vtt");
    std::fs::write(&file, "WEBVTT\n\n00:01.000 --> 00:02.000\nHallo\n").unwrap();
    let text = TextPlan { name: "text_1_de".into(), file, label: label("de", ""), duration_seconds: 5.0 };
    let summaries = [
        package(&bench.output, &video, &cuts).await.unwrap(),
        package(&bench.output, &sound, &cuts).await.unwrap(),
        package_text(&bench.output, &text, &cuts).await.unwrap(),
    ];
    publish(&bench.output, &summaries, None).await.unwrap();
    let uris: Vec<_> = bench.multivariant().media.into_iter().map(|media| media.uri).collect();
    assert_eq!(uris, [None, Some("m1_audio_2_en.m3u8".to_owned()), Some("m1_text_1_de.m3u8".to_owned())]);
    assert!(bench.text("m1_text_1_de.vtt").contains("X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n"));
    assert!((packets(&bench.out("m1_audio_2_en.m3u8"), "a")[0].pts - 10.0).abs() < 0.03);
}

#[tokio::test]
async fn sound_alone_and_sound_that_goes_on() {
    let bench = Bench::new(Container::Ts);
    let source = bench.make("-f lavfi -i sine=sample_rate=44100 -t 7 -c:a aac", "in.m4a");
    bench.direct(&source, false, true).await;
    assert!((sound_seconds(&bench.out("m1_audio_1_en.m3u8")) - 7.0).abs() < 0.05);
    let bench = Bench::new(Container::Ts);
    let long = SOURCE.replace("rate=25 ", "rate=25:duration=3.2 ");
    let source = bench.make(&long, "in.mp4");
    let (summaries, _) = bench.direct(&source, true, true).await;
    assert!((summaries[0].duration_seconds - 9.4).abs() < 0.05, "{:?}", summaries[0]);
    assert!((sound_seconds(&bench.out("m1_source.m3u8")) - 9.4).abs() < 0.05);
    assert_eq!(summaries[0].frame_rate, Some(25.0));
}

#[tokio::test]
async fn other_codings_are_refused_in_words() {
    let bench = Bench::new(Container::Ts);
    let source = bench.make("-f lavfi -i testsrc2=size=64x64 -t 1 -c:v libx265 -x265-params log-level=none", "in.mp4");
    let input = Input { chunks: vec![source], track: 0 };
    let cuts = Cuts::decide(Kind::Video, &input, &[], TARGET).await.unwrap();
    let refused = package(&bench.output, &plan("64", Kind::Video, input), &cuts).await.unwrap_err();
    assert!(matches!(refused, VodError::Ts(_)), "{refused:?}");
}
