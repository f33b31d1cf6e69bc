//! What becomes of which source.

use std::fs;
use std::path::Path;

use anabranch_transcode::vod::{
    DynamicRange, Early, EarlyWish, Options, Pace, Plan, Scan, SideCar, SubtitleKind, UnitKind,
};

use super::{Bench, asked, options, small};

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

fn rungs(plan: &Plan) -> String {
    let rungs = plan.rungs.iter().map(|rung| format!("{}:{}@{}", rung.name, rung.size, rung.frame_rate));
    rungs.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_chooses() {
    let bench = Bench::new();
    let source = |arguments: &str, name: &str| bench.make(&format!("-f lavfi -i testsrc2={arguments}"), name);
    let upright = source(&format!("s=320x180:r=25:d=1 {X264} -f mp4"), "lying.mp4");
    let rotated =
        bench.make(&format!("-i {} -c copy -metadata:s:v:0 rotate=90 -f mp4", upright.display()), "rotated.mp4");
    for (path, wanted) in [
        (
            source(&format!("s=640x360:r=30000/1001:d=1 {X264} -f mp4"), "large.mp4"),
            "180:320x180@30000/1001 90:160x90@30000/1001",
        ),
        (source(&format!("s=180x320:r=25:d=1 {X264} -f mp4"), "portrait.mp4"), "180:180x320@25/1 90:90x160@25/1"),
        (rotated, "180:180x320@25/1 90:90x160@25/1"),
        (
            source("s=241x135:r=25:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv444p -f mp4", "odd.mp4"),
            "134:240x134@25/1 90:160x90@25/1",
        ),
        (
            source(&format!("s=240x180:r=25:d=1 -vf setsar=4/3 {X264} -f mp4"), "anamorphic.mp4"),
            "180:320x180@25/1 90:160x90@25/1",
        ),
        (source(&format!("s=320x180:r=120:d=1 {X264} -f mp4"), "fast.mp4"), "180:320x180@60/1 90:160x90@60/1"),
        (source("s=160x90:r=25:d=1 -c:v libvpx-vp9 -deadline realtime -f webm", "vp9.webm"), "90:160x90@25/1"),
        (source("s=160x90:r=25:d=1 -c:v mjpeg -pix_fmt yuvj420p -f avi", "mjpeg.avi"), "90:160x90@25/1"),
        (source("s=160x90:r=25:d=1 -pix_fmt rgb24 -c:v qtrle -f mov", "rgb.mov"), "90:160x90@25/1"),
    ] {
        let plan = bench.plan(&path, &small(), &options(60)).await;
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(rungs(&plan), wanted, "{name}");
        let work = bench.work().join(&name);
        bench.run(&plan, &work).await;
        for rung in &plan.rungs {
            let file = &plan.files_of(&rung.name, &work)[0];
            let is =
                asked(file, "v:0", "stream=width,height,sample_aspect_ratio,pix_fmt,r_frame_rate,color_range,profile");
            let wanted = format!("Main,{},{},1:1,yuv420p,tv,{}", rung.size.width, rung.size.height, rung.frame_rate);
            // A source without range has rungs without.
            assert_eq!(is.replace("unknown", "tv").replace("Constrained Baseline", "Main"), wanted, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn high_dynamic_range_becomes_standard() {
    let bench = Bench::new();
    let hdr = "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params";
    for (transfer, range) in [("smpte2084", DynamicRange::Hdr10), ("arib-std-b67", DynamicRange::Hlg)] {
        let parameters = format!("log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc");
        let path = bench.make(&format!("{hdr} {parameters} -f mp4"), &format!("{transfer}.mp4"));
        let source = bench.probe(&path).await;
        let video = source.video.as_ref().expect("pictures");
        assert_eq!((video.range, video.bit_depth), (range, 10));
        let plan = bench.plan(&path, &small(), &options(60)).await;
        let work = bench.work().join(transfer);
        bench.run(&plan, &work).await;
        let file = &plan.files_of("90", &work)[0];
        assert_eq!(
            asked(file, "v:0", "stream=pix_fmt,color_space,color_transfer,color_primaries"),
            "yuv420p,bt709,bt709,bt709"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_track_becomes_a_rendition() {
    let bench = Bench::new();
    let srt = "1\n00:00:00,500 --> 00:00:01,500\nWörter <i>hier</i>\n";
    fs::write(bench.path("a.srt"), srt).expect("a file");
    fs::write(bench.path("b.srt"), b"1\r\n00:00:00,500 --> 00:00:01,500\r\nna\xefve\r\n").expect("a file");
    fs::write(bench.path("c.vtt"), "WEBVTT\n\n00:00.500 --> 00:01.000\nhello\n").expect("a file");
    fs::write(bench.path("d.vtt"), "no captions").expect("a file");
    let path = bench.make(
        "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -f lavfi -i sine=d=2:sample_rate=44100 -f lavfi -i anoisesrc=d=2:r=48000 -i a.srt \
         -filter_complex [2:a]aformat=channel_layouts=5.1[s] -map 0:v -map 1:a -map [s] -map 3:s \
         -c:v libx264 -preset ultrafast -c:a:0 aac -c:a:1 ac3 -c:s srt -metadata:s:a:0 language=ger -metadata:s:a:1 language=eng \
         -metadata:s:a:1 title=Film -metadata:s:s:0 language=ger -disposition:a:0 0 -disposition:a:1 default -f matroska",
        "tracks.mkv",
    );
    let source = bench.probe(&path).await;
    assert_eq!((source.audio.len(), source.audio[1].channels, source.subtitles[0].kind), (2, 6, SubtitleKind::Text));
    let side_car = |name: &str| SideCar { path: bench.path(name), language: Some("fr".to_owned()), label: None };
    let side_cars = vec![side_car("b.srt"), side_car("c.vtt"), side_car("d.vtt")];
    let plan = bench.plan(&path, &small(), &Options { side_cars, ..options(60) }).await;
    let audio: Vec<_> = plan
        .audio
        .iter()
        .map(|a| (a.name.as_str(), a.channels, a.language.as_str(), a.label.as_str(), a.is_default))
        .collect();
    assert_eq!(
        audio,
        [
            ("audio_1", 2, "ger", "ger", false),
            ("audio_2", 2, "eng", "Film", true),
            ("audio_3", 6, "eng", "Film 5.1", false)
        ]
    );
    let labels: Vec<_> = plan.text.iter().map(|text| text.label.as_str()).collect();
    assert_eq!(labels, ["ger", "fr", "fr (2)", "fr (3)"]);
    let done = bench.run(&plan, &bench.work()).await;
    for rendition in &plan.audio {
        let file = &plan.files_of(&rendition.name, &bench.work())[0];
        let wanted = format!("LC,48000,{}", rendition.channels);
        assert_eq!(asked(file, "a:0", "stream=profile,sample_rate,channels"), wanted);
    }
    let read = |name: &str| fs::read_to_string(bench.work().join(name).join("00000.vtt"));
    assert!(read("text_1").expect("captions").contains("Wörter <i>hier</i>"));
    assert!(read("text_2").expect("captions").contains("naïve"));
    assert!(read("text_3").expect("captions").starts_with("WEBVTT"));
    assert!(read("text_4").is_err());
    let captions = done.iter().find(|done| done.unit == "captions").expect("the unit");
    assert_eq!(captions.files.len(), 3);
    assert!(captions.notes[0].starts_with("captions left out: fr (3)"), "{:?}", captions.notes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_played_at_once_is_known() {
    let bench = Bench::new();
    let wish = |early| Options { early, ..options(60) };
    let path = bench.make(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=6 -f lavfi -i sine=d=6 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 50 -bf 2 \
         -c:a aac -f mpegts",
        "plain.ts",
    );
    let plan = bench.plan(&path, &small(), &wish(EarlyWish::Auto)).await;
    assert!(matches!(plan.early, Early::SourceCopy { has_audio: true, .. }), "{:?}", plan.early);
    assert!(matches!(plan.units[0].kind, UnitKind::SourceCopy));
    bench.run(&plan, &bench.work()).await;
    let file = &plan.files_of("source", &bench.work())[0];
    assert_eq!(asked(file, "v:0", "stream=start_time,nb_frames"), "0.000000,150");
    let sound: f64 =
        asked(&plan.files_of("source_audio", &bench.work())[0], "a:0", "stream=start_time").parse().expect("a time");
    assert!(sound.abs() < 0.1, "{sound}");
    let first = bench.plan(&path, &small(), &wish(EarlyWish::FirstRung)).await;
    assert_eq!(first.early, Early::FirstRung { rung: "90".to_owned() });
    let ids: Vec<&str> = first.units.iter().map(|unit| unit.id.as_str()).collect();
    assert_eq!(ids, ["audio-1", "video-90-00000", "pictures", "video-00000", "mp4"]);
    assert_eq!(first.unit("mp4").expect("a unit").after, ["audio-1", "video-00000"]);
    // What players do not take is not shown as it is.
    let mpeg = bench.make("-i plain.ts -c:v mpeg4 -c:a copy -f mp4", "mpeg4.mp4");
    assert!(matches!(bench.plan(&mpeg, &small(), &wish(EarlyWish::Auto)).await.early, Early::FirstRung { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_are_described() {
    let bench = Bench::new();
    let uneven = bench.make(
        "-f lavfi -i testsrc2=s=160x90:r=30:d=4 -vf select=not(eq(mod(n\\,5)\\,3)) -fps_mode vfr -c:v libx264 -preset ultrafast -f matroska",
        "uneven.mkv",
    );
    let video = bench.probe(&uneven).await.video.expect("pictures");
    assert_eq!((video.pace, video.frame_rate.to_string()), (Pace::Variable, "30/1".to_owned()));
    let fields = bench.make(
        "-f lavfi -i testsrc2=s=160x96:r=50:d=1 -vf interlace -c:v mpeg2video -flags +ildct+ilme -f mpegts",
        "fields.ts",
    );
    let video = bench.probe(&fields).await.video.expect("pictures");
    assert_eq!((video.scan, video.frame_rate.to_string()), (Scan::Interlaced, "25/1".to_owned()));
    fs::write(bench.path("chapters"), ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n")
        .expect("a file");
    let chapters = bench.make("-i uneven.mkv -i chapters -map_metadata 1 -c copy -f matroska", "chapters.mkv");
    let source = bench.probe(&chapters).await;
    assert_eq!((source.chapters.len(), source.chapters[0].title.as_str(), source.chapters[0].end_ms), (1, "One", 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_made() {
    let bench = Bench::new();
    // A black beginning, so that the first frame is no poster.
    let path = bench.make(
        "-f lavfi -i color=black:s=320x180:r=25:d=4 -f lavfi -i testsrc2=s=320x180:r=25:d=9 -filter_complex concat \
         -c:v libx264 -preset ultrafast -g 25 -f mp4",
        "late.mp4",
    );
    let plan = bench.plan(&path, &small(), &options(60)).await;
    let done = bench.run(&plan, &bench.work()).await;
    let pictures = done.iter().find(|done| done.unit == "pictures").expect("the unit");
    let names: Vec<String> = pictures.files.iter().map(|file| file.path.display().to_string()).collect();
    let wanted = ["poster.jpg", "sprite_01.jpg", "thumb_00001.jpg", "thumb_00002.jpg", "thumb_00003.jpg", "sprite.vtt"];
    assert_eq!(names, wanted.map(|name| format!("pictures/{name}")));
    let size = |name: &str| asked(&bench.work().join("pictures").join(name), "v:0", "stream=width,height");
    assert_eq!((size("thumb_00001.jpg").as_str(), size("sprite_01.jpg").as_str()), ("320,180", "1600,900"));
    let bytes = |name: &str| fs::metadata(bench.work().join("pictures").join(name)).expect("a file").len();
    assert!(bytes("poster.jpg") > 3 * bytes("thumb_00001.jpg"), "the poster is not black");
    let vtt = fs::read_to_string(bench.work().join("pictures/sprite.vtt")).expect("a file");
    assert!(vtt.ends_with("\n00:00:10.000 --> 00:00:13.000\nsprite_01.jpg#xywh=320,0,160,90\n"), "{vtt}");
    assert!(is_fast_start(&bench.work().join("mp4/180.mp4")));
}

fn is_fast_start(path: &Path) -> bool {
    let bytes = fs::read(path).expect("a file");
    let at = |kind: &[u8]| bytes.windows(4).position(|window| window == kind);
    at(b"moov").expect("an index") < at(b"mdat").expect("media")
}
