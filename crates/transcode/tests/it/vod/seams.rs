//! Chunks that join without a seam.

use std::path::{Path, PathBuf};
use std::process::Command;

use anabranch_transcode::vod::{Plan, Preset, Rate, UnitKind};

use super::{Bench, asked, options, small};

/// A ladder whose pictures are much like those of the source.
fn faithful() -> Preset {
    let mut preset = small();
    preset.rungs.iter_mut().for_each(|rung| rung.rate = Rate::Quality { crf: 8, max_kbps: 200_000 });
    preset
}

/// Times of all frames in ticks, and whether each is a keyframe, in the order in which they are shown.
fn times(files: &[PathBuf]) -> Vec<(i64, bool)> {
    let mut times: Vec<(i64, bool)> = Vec::new();
    for file in files {
        let packets = asked(file, "v:0", "packet=pts,flags");
        let mut chunk: Vec<(i64, bool)> = packets
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (pts, flags) = line.split_once(',').expect("two fields");
                (pts.parse().expect("a time"), flags.starts_with('K'))
            })
            .collect();
        assert!(chunk[0].1, "{} begins with a keyframe", file.display());
        chunk.sort_unstable();
        assert!(times.last().is_none_or(|last| last.0 < chunk[0].0), "{} follows", file.display());
        times.extend(chunk);
    }
    times
}

/// Bytes of a picture as it is compared.
const PICTURE: usize = 64 * 36;

/// All pictures, small and grey.
fn pictures(files: &[PathBuf]) -> Vec<u8> {
    let mut all = Vec::new();
    for file in files {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(file).args([
            "-vf",
            "scale=64:36,format=gray",
            "-fps_mode",
            "passthrough",
        ]);
        all.extend(ffmpeg.args(["-f", "rawvideo", "-"]).output().expect("ffmpeg to start").stdout);
    }
    all
}

/// Every picture of one is that of the other, and not one before or after it.
fn assert_same(one: &[u8], other: &[u8], name: &str) {
    let (one, other): (Vec<&[u8]>, Vec<&[u8]>) = (one.chunks(PICTURE).collect(), other.chunks(PICTURE).collect());
    assert_eq!(one.len(), other.len(), "{name}");
    let apart = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
    for at in 0..one.len() {
        let same = apart(one[at], other[at]);
        assert!(same < 2 * PICTURE as u64, "{name}: picture {at} differs by {same}");
        for near in [at.wrapping_sub(1), at + 1] {
            if let Some(near) = other.get(near) {
                // Pictures that stand are as near as their like.
                assert!(same <= apart(one[at], near) + PICTURE as u64 / 8, "{name}: picture {at} is another one");
            }
        }
    }
}

fn chunks(plan: &Plan) -> usize {
    plan.units.iter().filter(|unit| matches!(unit.kind, UnitKind::Video { .. })).count()
}

async fn compare(bench: &Bench, source: &Path, least_chunks: usize) {
    let name = source.file_name().expect("a name").to_string_lossy().into_owned();
    let preset = faithful();
    let (whole, cut) =
        (bench.plan(source, &preset, &options(60)).await, bench.plan(source, &preset, &options(4)).await);
    assert_eq!(chunks(&whole), 1, "{name}");
    assert!(chunks(&cut) >= least_chunks, "{name}: {} chunks", chunks(&cut));
    let (one, many) = (bench.work().join(format!("{name}-1")), bench.work().join(format!("{name}-n")));
    bench.run(&whole, &one).await;
    bench.run(&cut, &many).await;
    for rung in &whole.rungs {
        let (one, many) = (whole.files_of(&rung.name, &one), cut.files_of(&rung.name, &many));
        let (one_times, many_times) = (times(&one), times(&many));
        assert_eq!(one_times.len() as u64, whole.frames, "{name} {}", rung.name);
        assert_eq!(one_times, many_times, "{name} {}", rung.name);
        assert_same(&pictures(&one), &pictures(&many), &name);
        let keys: Vec<u64> = one_times.iter().enumerate().filter(|(_, time)| time.1).map(|(at, _)| at as u64).collect();
        assert_eq!(keys, whole.keyframes(0, whole.frames), "{name} {}", rung.name);
    }
    let joined = |plan: &Plan, work: &Path| {
        let Some(UnitKind::Mp4 { rung }) = plan.units.last().map(|unit| &unit.kind) else { panic!("an MP4 is last") };
        vec![work.join("mp4").join(format!("{rung}.mp4"))]
    };
    let (one, many) = (joined(&whole, &one), joined(&cut, &many));
    assert_eq!(times(&one), times(&many), "{name}: MP4");
    assert_same(&pictures(&one), &pictures(&many), &name);
}

const X264: &str = "-c:v libx264 -preset veryfast -bf 3";

/// Makes a file of test pictures; `arguments` begin with what belongs to their source.
fn source(bench: &Bench, arguments: &str, name: &str) -> PathBuf {
    bench.make(&format!("-f lavfi -i testsrc2=s=320x180:{arguments}"), name)
}

/// 13 s at 30000/1001 pictures a second with open groups, as MP4.
fn ntsc(bench: &Bench) -> PathBuf {
    let sound = "-f lavfi -i sine=d=13 -c:a aac";
    source(bench, &format!("r=30000/1001:d=13 {sound} {X264} -g 24 -x264-params open-gop=1 -f mp4"), "ntsc.mp4")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_an_mp4_are_those_of_one_piece() {
    let bench = Bench::new();
    compare(&bench, &ntsc(&bench), 3).await;
}

/// Whole milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_a_matroska_file_are_those_of_one_piece() {
    let bench = Bench::new();
    ntsc(&bench);
    let mkv = bench.make("-i ntsc.mp4 -c copy -f matroska", "ntsc.mkv");
    compare(&bench, &mkv, 3).await;
}

/// No index, a start that is not 0, and B-frames.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_a_transport_stream_are_those_of_one_piece() {
    let bench = Bench::new();
    ntsc(&bench);
    let ts = bench.make("-i ntsc.mp4 -c copy -output_ts_offset 3600 -f mpegts", "ntsc.ts");
    compare(&bench, &ts, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_uneven_pictures_are_those_of_one_piece() {
    let bench = Bench::new();
    ntsc(&bench);
    let uneven = bench.make(
        &format!("-i ntsc.mp4 -an -vf select=not(eq(mod(n\\,7)\\,3)) -fps_mode vfr {X264} -g 24 -f matroska"),
        "uneven.mkv",
    );
    compare(&bench, &uneven, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_interlaced_pictures_are_those_of_one_piece() {
    let bench = Bench::new();
    let fields =
        source(&bench, &format!("r=25:d=13 -vf interlace -flags +ildct+ilme {X264} -g 12 -f mp4"), "fields.mp4");
    compare(&bench, &fields, 3).await;
}

/// Pictures that end long before the sound does: the last one stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_behind_the_last_picture_are_those_of_one_piece() {
    let bench = Bench::new();
    let short = bench.make(
        "-f lavfi -i testsrc2=s=320x180:r=25:d=3 -f lavfi -i sine=d=13 -c:v libx264 -preset ultrafast -g 25 -c:a aac -f mp4",
        "short.mp4",
    );
    compare(&bench, &short, 3).await;
}
