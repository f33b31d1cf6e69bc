//! Files as encoders and people make them.

use anabranch_packager::vod::{Container, Kind};

use super::support::{Bench, packets, pictures, sound_seconds};

const PICTURE: &str = "-f lavfi -i testsrc2=size=160x90:rate=25";
const SOUND: &str = "-f lavfi -i sine=sample_rate=48000";
const H264: &str = "-c:v libx264 -preset veryfast -bf 2 -g 25 -pix_fmt yuv420p";

/// Packages a file in which there are these and compares what is shown and heard.
async fn check(name: &str, arguments: &str, video: bool, audio: bool) -> Bench {
    let bench = Bench::new(Container::Cmaf);
    let source = bench.make(arguments, name);
    let (summaries, _) = bench.direct(&source, video, audio).await;
    if video {
        let playlist = bench.out("m1_source.m3u8");
        assert!(pictures(&playlist) == pictures(&source), "{name}: pictures");
        let (ours, theirs) = (packets(&playlist, "v"), packets(&source, "v"));
        assert_eq!((ours.len(), ours.len() as u64), (theirs.len(), summaries[0].samples), "{name}");
        let shift = theirs[0].pts - ours[0].pts;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours.pts + shift - theirs.pts).abs() < 2e-3, "{name}: {ours:?} {theirs:?}");
        }
    }
    if audio {
        let playlist = bench.out("m1_audio_1_en.m3u8");
        let (ours, theirs) = (sound_seconds(&playlist), sound_seconds(&source));
        assert!((ours - theirs).abs() < 0.05, "{name}: {ours} {theirs} s of sound");
    }
    for summary in &summaries {
        let playlist = bench.media(&summary.playlist);
        let total: f64 = playlist.segments.iter().map(|segment| segment.duration_seconds).sum();
        assert!((total - summary.duration_seconds).abs() < 1e-6, "{name}: {total}");
        assert!(summary.kind != Kind::Video || summary.iframes.is_some(), "{name}");
    }
    bench
}

#[tokio::test]
async fn forms_of_the_file() {
    for (name, more) in [
        ("plain.mp4", ""),
        ("fragmented.mp4", "-movflags +frag_keyframe+empty_moov"),
        ("delayed.mp4", "-movflags +frag_keyframe+delay_moov"),
        ("hybrid.mp4", "-movflags +frag_keyframe"),
        ("negative.mp4", "-movflags +negative_cts_offsets"),
        ("late.mp4", "-output_ts_offset 5"),
        ("quicktime.mov", ""),
        ("unedited.mp4", "-use_editlist 0"),
    ] {
        check(name, &format!("{PICTURE} {SOUND} -t 4.2 {H264} -c:a aac {more}"), true, true).await;
    }
    // A fragment for each picture.
    let tiny = "-movflags +frag_every_frame+empty_moov+default_base_moof";
    check("tiny.mp4", &format!("{PICTURE} -t 4.2 {H264} {tiny}"), true, false).await;
}

#[tokio::test]
async fn codings() {
    for (name, coding) in [
        (
            "hevc.mp4",
            "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -pix_fmt yuv420p -tag:v hvc1 -c:a aac",
        ),
        (
            "hev1.mp4",
            "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -pix_fmt yuv420p -tag:v hev1 -c:a ac3",
        ),
        ("opus.mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a libopus"),
        ("eac3.mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a eac3"),
        ("av1.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime -pix_fmt yuv420p -g 25 -c:a aac -ac 6"),
    ] {
        check(name, &format!("{PICTURE} {SOUND} -t 3 {coding}"), true, true).await;
    }
}

#[tokio::test]
async fn pictures_at_no_constant_rate() {
    let uneven = "-vf select='not(eq(mod(n,7),3))+gt(n,60)' -fps_mode vfr";
    check("vfr.mp4", &format!("{PICTURE} {SOUND} -t 5 {uneven} {H264} -c:a aac"), true, true).await;
    let bench = check(
        "slow.mp4",
        "-f lavfi -i testsrc2=size=160x90:rate=1 -t 9 -c:v libx264 -g 3 -pix_fmt yuv420p",
        true,
        false,
    );
    assert_eq!(bench.await.multivariant().variants[0].frame_rate, Some(1.0));
    check("fast.mp4", &format!("-f lavfi -i testsrc2=size=160x90:rate=240 -t 3 {H264}"), true, false).await;
    check("intra.mp4", "-f lavfi -i testsrc2=size=64x64:rate=60 -t 3 -c:v libx264 -g 1 -pix_fmt yuv420p", true, false)
        .await;
}

#[tokio::test]
async fn one_kind_alone_and_unequal_ends() {
    check("silent.mp4", &format!("{PICTURE} -t 4.2 {H264}"), true, false).await;
    let bench = check("sound.m4a", &format!("{SOUND} -t 7 -c:a aac"), false, true).await;
    let variants = bench.multivariant().variants;
    assert_eq!((variants.len(), variants[0].uri.as_str(), variants[0].resolution), (1, "m1_audio_1_en.m3u8", None));
    let long = format!("-t 3 {PICTURE} -t 11 {SOUND} {H264} -c:a aac");
    let bench = check("long.mp4", &long, true, true).await;
    let sound = bench.media("m1_audio_1_en.m3u8");
    assert!(sound.segments.len() > 4 && sound.target_duration_seconds == 2, "{sound:?}");
    check("short.mp4", &format!("-t 7 {PICTURE} -t 2.5 {SOUND} {H264} -c:a aac"), true, true).await;
}

#[tokio::test]
async fn keyframes_that_are_far_apart_make_long_segments() {
    let rare = format!(
        "{PICTURE} {SOUND} -t 12 -c:v libx264 -preset ultrafast -g 125 -keyint_min 125 -pix_fmt yuv420p -c:a aac"
    );
    let bench = check("rare.mp4", &rare, true, true).await;
    let video = bench.media("m1_source.m3u8");
    let durations: Vec<_> = video.segments.iter().map(|segment| segment.duration_seconds).collect();
    assert_eq!((durations, video.target_duration_seconds), (vec![5.0, 5.0, 2.0], 5));
    assert_eq!(bench.media("m1_audio_1_en.m3u8").segments.len(), 3);
}

#[tokio::test]
async fn a_turned_picture_is_told_as_it_is_shown() {
    let bench = Bench::new(Container::Cmaf);
    let flat = bench.make(&format!("{PICTURE} -t 2 {H264}"), "flat.mp4");
    let turned = bench.make(&format!("-i {} -c copy -metadata:s:v rotate=90", flat.display()), "turned.mp4");
    bench.direct(&turned, true, false).await;
    assert_eq!(bench.multivariant().variants[0].resolution, Some((90, 160)));
    assert!(pictures(&bench.out("m1_source.m3u8")) == pictures(&turned), "ffmpeg turns both");
}

#[tokio::test]
async fn a_bright_picture_is_told() {
    let bright = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1 -color_primaries bt2020 -colorspace bt2020nc -color_trc";
    for (transfer, range) in [("smpte2084", "PQ"), ("arib-std-b67", "HLG"), ("bt709", "SDR")] {
        let arguments = format!("{PICTURE} -t 1 {bright} {transfer} -x265-params log-level=none");
        let bench = Bench::new(Container::Cmaf);
        let source = bench.make(&arguments, "bright.mp4");
        bench.direct(&source, true, false).await;
        assert!(
            bench.text("m1.m3u8").contains(&format!("VIDEO-RANGE={range}")),
            "{transfer}: {}",
            bench.text("m1.m3u8")
        );
    }
}
