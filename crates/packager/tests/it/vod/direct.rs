//! A file of a user, packaged without encoding.

use anabranch_packager::vod::{Container, Cuts, Input, Kind, Plan, TextPlan, VodError, package, package_text, publish};

use super::support::{Bench, TARGET, boxes, label, packets, pictures, plan, quietly, ranges, sound_seconds};

const SOURCE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=sample_rate=48000 -t 9.4 \
    -c:v libx264 -preset veryfast -bf 2 -g 25 -keyint_min 25 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 64k";

#[tokio::test]
async fn every_picture_and_sound_comes_through() {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(SOURCE, "in.mp4");
    let (summaries, cuts) = bench.direct(&source, true, true).await;
    let [video, audio] = &summaries[..] else { panic!("two renditions") };
    assert_eq!((video.samples, video.segments, video.misaligned, cuts.segments()), (235, 5, 0, 5));
    assert_eq!((video.width, video.height, video.frame_rate), (320, 180, Some(25.0)));
    assert!((video.duration_seconds - 9.4).abs() < 1e-6, "{}", video.duration_seconds);
    assert_eq!((audio.segments, audio.channels, audio.codecs.as_str()), (5, 1, "mp4a.40.2"));

    let master = bench.out("m1.m3u8");
    let streams = quietly("ffprobe", &["-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0"], &master);
    assert!(streams.contains("h264,320,180") && streams.contains("aac"), "{streams}");
    assert_eq!(pictures(&bench.out("m1_source.m3u8")), pictures(&source));
    assert!((sound_seconds(&bench.out("m1_audio_1_en.m3u8")) - sound_seconds(&source)).abs() < 0.03);

    let (ours, theirs) = (packets(&bench.out("m1_source.m3u8"), "v"), packets(&source, "v"));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours.pts - 10.0 - theirs.pts).abs() < 1e-4 && ours.keyframe == theirs.keyframe, "{ours:?} {theirs:?}");
    }
    let first = packets(&bench.out("m1_audio_1_en.m3u8"), "a")[0];
    assert!((first.pts - 10.0).abs() < 1e-6, "{first:?}");
}

#[tokio::test]
async fn playlists_and_boxes_satisfy_other_parsers() {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(SOURCE, "in.mp4");
    let (summaries, _) = bench.direct(&source, true, true).await;
    let video = bench.media("m1_source.m3u8");
    let durations: Vec<_> = video.segments.iter().map(|segment| segment.duration_seconds).collect();
    assert_eq!(durations, [2.0, 2.0, 2.0, 2.0, 1.4]);
    assert_eq!(video.segments[0].uri, "m1_source_00001.m4s");
    assert_eq!(boxes(&std::fs::read(bench.out("m1_source_init.mp4")).unwrap()), ["ftyp", "moov"]);
    let mut bytes = 0;
    for segment in &video.segments {
        let segment = std::fs::read(bench.out(&segment.uri)).unwrap();
        bytes += segment.len() as u64;
        let kinds = boxes(&segment);
        assert_eq!(kinds[0], "styp");
        assert!(kinds[1..].chunks(2).all(|fragment| fragment == ["moof", "mdat"]), "{kinds:?}");
    }
    let init = std::fs::metadata(bench.out("m1_source_init.mp4")).unwrap().len();
    assert_eq!(summaries[0].bytes, bytes + init);
    assert_eq!(summaries[0].average_bandwidth, (bytes as f64 * 8.0 / 9.4).ceil() as u64);

    let multivariant = bench.multivariant();
    let variant = &multivariant.variants[0];
    assert_eq!(variant.bandwidth, summaries[0].peak_bandwidth + summaries[1].peak_bandwidth);
    assert!(variant.codecs.as_ref().unwrap().starts_with("avc1."), "{variant:?}");
    assert_eq!((variant.resolution, variant.frame_rate), (Some((320, 180)), Some(25.0)));
    let sound = &multivariant.media[0];
    assert_eq!(
        (sound.name.as_str(), sound.uri.as_deref(), sound.is_default),
        ("Sound", Some("m1_audio_1_en.m3u8"), true)
    );
    assert_eq!(sound.channels.as_deref(), Some("1"));
    assert!(multivariant.other.iter().any(|line| line.contains("m1_source_iframes.m3u8")), "{multivariant:?}");
}

#[tokio::test]
async fn every_keyframe_is_a_file_of_its_own() {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(SOURCE, "in.mp4");
    let (summaries, _) = bench.direct(&source, true, false).await;
    let playlist = bench.media("m1_source_iframes.m3u8");
    assert_eq!(playlist.segments.len(), 10);
    let total: f64 = playlist.segments.iter().map(|segment| segment.duration_seconds).sum();
    assert!((total - 9.4).abs() < 1e-6, "{total}");
    let whole = pictures(&source);
    for (index, range) in ranges(&bench, &playlist).into_iter().enumerate() {
        let path = bench.path("iframe.mp4");
        std::fs::write(&path, range).unwrap();
        assert_eq!(pictures(&path), whole[index * 25..=index * 25], "keyframe {index}");
    }
    let iframes = summaries[0].iframes.as_ref().unwrap();
    assert!(iframes.average_bandwidth > 0 && iframes.peak_bandwidth >= iframes.average_bandwidth);
    assert_eq!(packets(&bench.out("m1_source_iframes.m3u8"), "v").len(), 10);
}

#[tokio::test]
async fn the_same_again_gives_the_same_objects() {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(SOURCE, "in.mp4");
    let (first, cuts) = bench.direct(&source, true, true).await;
    let objects = bench.objects();
    // As if a process had died: some are gone, some are damaged.
    for (at, name) in objects.keys().enumerate() {
        match at % 3 {
            0 => std::fs::remove_file(bench.out(name)).unwrap(),
            1 => std::fs::write(bench.out(name), b"half").unwrap(),
            _ => {}
        }
    }
    let (second, again) = bench.direct(&source, true, true).await;
    assert_eq!((&first, &cuts), (&second, &again));
    assert!(bench.objects() == objects, "{:?}", bench.objects().keys());
    let kept = serde_json::to_string(&(&first, &cuts)).unwrap();
    assert_eq!(serde_json::from_str::<(Vec<_>, Cuts)>(&kept).unwrap(), (first, cuts));
}

#[tokio::test]
async fn a_file_that_is_cut_off_leaves_no_playlist() {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(&format!("{SOURCE} -movflags +faststart"), "in.mp4");
    let whole = std::fs::read(&source).unwrap();
    std::fs::write(&source, &whole[..whole.len() * 2 / 3]).unwrap();
    let input = Input { chunks: vec![source], track: 0 };
    let refused = Cuts::decide(Kind::Video, &input, &[], TARGET).await.unwrap_err();
    assert!(matches!(refused, VodError::Truncated { .. }), "{refused:?}");
    let whole_source = bench.make(SOURCE, "whole.mp4");
    let good = Input { chunks: vec![whole_source], track: 0 };
    let cuts = Cuts::decide(Kind::Video, &good, &[], TARGET).await.unwrap();
    let refused = package(&bench.output, &plan("source", Kind::Video, input), &cuts).await.unwrap_err();
    assert!(matches!(refused, VodError::Truncated { .. }), "{refused:?}");
    assert!(!bench.out("m1_source.m3u8").exists());
}

#[tokio::test]
async fn what_is_no_mp4_is_refused_in_words() {
    let bench = Bench::new(Container::Cmaf);
    let decide = async |bytes: &[u8]| {
        let path = bench.path("odd.mp4");
        std::fs::write(&path, bytes).unwrap();
        let input = Input { chunks: vec![path], track: 0 };
        Cuts::decide(Kind::Video, &input, &[], TARGET).await.unwrap_err()
    };
    for bytes in [&b""[..], b"text named .mp4, and rather long", &[0; 64], b"\0\0\0\x08free\0\0\0\x08moov"] {
        let error = decide(bytes).await;
        assert!(matches!(error, VodError::Mp4 { .. } | VodError::Truncated { .. }), "{error:?}");
    }
    let sound = bench.make("-f lavfi -i sine -t 1 -c:a aac", "sound.mp4");
    let error = decide(&std::fs::read(sound).unwrap()).await;
    assert_eq!(error.to_string(), format!("{} has no video track 1", bench.path("odd.mp4").display()));
    let old = bench.make("-f lavfi -i testsrc2=size=64x64 -t 1 -c:v mpeg4", "old.mp4");
    let error = decide(&std::fs::read(old).unwrap()).await;
    assert!(matches!(error, VodError::Codec { .. }), "{error:?}");
}

#[tokio::test]
async fn several_sounds_and_subtitles() {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(
        "-f lavfi -i testsrc2=size=128x72:rate=25 -f lavfi -i sine=400 -f lavfi -i anullsrc=channel_layout=5.1 -t 5 -map 0 -map 1 \
         -map 2 -c:v libx264 -preset ultrafast -g 50 -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=deu",
        "in.mp4",
    );
    let input = |track| Input { chunks: vec![source.clone()], track };
    let others = [(Kind::Audio, input(0)), (Kind::Audio, input(1))];
    let cuts = Cuts::decide(Kind::Video, &input(0), &others, TARGET).await.unwrap();
    let mut summaries = vec![package(&bench.output, &plan("source", Kind::Video, input(0)), &cuts).await.unwrap()];
    for (track, language) in [(0, "de"), (1, "en")] {
        let name = format!("audio_{}_{language}", track + 1);
        let plan = Plan { label: label(language, "Ton"), ..plan(&name, Kind::Audio, input(track)) };
        summaries.push(package(&bench.output, &plan, &cuts).await.unwrap());
    }
    let file = bench.path("in.vtt");
    std::fs::write(&file, "WEBVTT\n\n00:01.000 --> 00:02.000\nHallo\n").unwrap();
    let text = TextPlan { name: "text_1_de".into(), file, label: label("de", "Deutsch"), duration_seconds: 5.0 };
    summaries.push(package_text(&bench.output, &text, &cuts).await.unwrap());
    publish(&bench.output, &summaries, Some((1, 3))).await.unwrap();
    let multivariant = bench.multivariant();
    let shown: Vec<_> = multivariant.media.iter().map(|media| (media.kind.as_str(), media.name.as_str())).collect();
    assert_eq!(shown, [("AUDIO", "Ton"), ("AUDIO", "Ton 2"), ("SUBTITLES", "Deutsch")]);
    let channels: Vec<_> = multivariant.media.iter().map(|media| media.channels.as_deref()).collect();
    assert_eq!(channels, [Some("1"), Some("6"), None]);
    assert!(bench.text("m1.m3u8").contains("DATA-ID=\"anabranch.partial\",VALUE=\"1/3\""));
    let subtitles = bench.media("m1_text_1_de.m3u8");
    assert_eq!((subtitles.segments[0].uri.as_str(), subtitles.segments[0].duration_seconds), ("m1_text_1_de.vtt", 5.0));
    assert!(bench.text("m1_text_1_de.vtt").starts_with("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n"));
    assert_eq!(packets(&bench.out("m1_audio_2_en.m3u8"), "a").len() as u64, summaries[2].samples);
}
