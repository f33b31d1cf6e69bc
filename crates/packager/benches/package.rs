//! CPU time of packaging against `ffmpeg -c copy -f hls`, on the same minute of 1080p in one run: live from an FLV file, and on demand
//! from an MP4 file, as CMAF and as MPEG-TS.
//!
//! `cargo bench -p anabranch-packager`. Prints medians and their ratio; needs ffmpeg. Both read the same file and
//! write to the same memory file system where there is one.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anabranch_media::flv::{Demuxer, FileReader};
use anabranch_packager::vod::{self, Container, Cuts, Input, Kind, Label, Output, Plan};
use anabranch_packager::{Publisher, segmenter::Segmenter};
use anabranch_store::LocalStore;
use nix::sys::resource::{UsageWho, getrusage};

const ROUNDS: usize = 7;
const SEGMENT_SECONDS: u32 = 4;

fn main() {
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(scratch).expect("a scratch directory");
    let input = dir.path().join("input.flv");
    generate(&input);
    let mp4 = dir.path().join("input.mp4");
    assert!(ffmpeg(&["-i", path(&input), "-c", "copy", path(&mp4)]).status().expect("ffmpeg to start").success());
    let size = std::fs::metadata(&input).expect("the input").len() as f64 / 1e6;
    println!("input: 60 s of 1080p30 H.264 + AAC, {size:.1} MB; median of {ROUNDS}; CPU time, user + system");
    // The first one, so that the memory is its own.
    compare("on demand, cmaf", &mp4, "fmp4", dir.path(), |out| on_demand(&mp4, out, Container::Cmaf));
    let memory = getrusage(UsageWho::RUSAGE_SELF).expect("this process's usage").max_rss() / 1024;
    println!("memory at most           {memory:>8} MiB");
    compare("on demand, mpeg-ts", &mp4, "mpegts", dir.path(), |out| on_demand(&mp4, out, Container::Ts));
    compare("live, cmaf", &input, "fmp4", dir.path(), |out| package(&input, out));
}

/// Runs `ours` and ffmpeg on the same file in turn, and prints how they compare.
fn compare(name: &str, input: &Path, segments: &str, dir: &Path, ours: impl Fn(&Path) -> Duration) {
    let (mut own, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(ours(&dir.join("ours")));
        let out = dir.join("theirs");
        std::fs::create_dir(&out).expect("a folder");
        let seconds = SEGMENT_SECONDS.to_string();
        let hls =
            ["-c", "copy", "-f", "hls", "-hls_time", &seconds, "-hls_list_size", "0", "-hls_segment_type", segments];
        theirs.push(child(&[&["-i", path(input)][..], &hls, &[path(&out.join("index.m3u8"))]].concat()));
        bare.push(child(&["-version"]));
        let _ = std::fs::remove_dir_all(&out);
    }
    let (own, theirs, bare) = (median(own), median(theirs), median(bare));
    println!("{name}");
    println!("  anabranch packager     {:>8.1} ms   {:.2} CPU s per stream-hour", ms(own), ms(own) * 60.0 / 1000.0);
    println!("  ffmpeg -c copy -f hls  {:>8.1} ms   of which start {:.1} ms", ms(theirs), ms(bare));
    println!(
        "  ratio                  {:>8.2}      without ffmpeg's start {:.2}",
        ms(own) / ms(theirs),
        ms(own) / (ms(theirs) - ms(bare))
    );
}

/// Packages picture and sound of an MP4 file and publishes them, indexes, keyframe playlists and rates included.
fn on_demand(input: &Path, out: &Path, container: Container) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = cpu(UsageWho::RUSAGE_SELF);
    runtime.block_on(async {
        let store = LocalStore::open(out, 0).expect("a store");
        let output = Output { store, prefix: "bucket/vod/assets/m/HLS/".to_owned(), stem: "m".to_owned(), container };
        let track = || Input { chunks: vec![input.to_owned()], track: 0 };
        let others = [(Kind::Audio, track())];
        let cuts = Cuts::decide(Kind::Video, &track(), &others, SEGMENT_SECONDS).await.expect("cuts");
        let plan = |name: &str, kind| Plan {
            name: name.to_owned(),
            kind,
            input: track(),
            label: Label::default(),
            sound: None,
        };
        let mut summaries = Vec::new();
        if container == Container::Ts {
            let muxed = Plan { sound: Some((track(), Label::default())), ..plan("1080", Kind::Video) };
            summaries.push(vod::package(&output, &muxed, &cuts).await.expect("a rung"));
        } else {
            for plan in [plan("1080", Kind::Video), plan("audio_1_und", Kind::Audio)] {
                summaries.push(vod::package(&output, &plan, &cuts).await.expect("a rendition"));
            }
        }
        vod::publish(&output, &summaries, None).await.expect("a playlist");
    });
    drop(runtime);
    let used = cpu(UsageWho::RUSAGE_SELF) - before;
    let _ = std::fs::remove_dir_all(out);
    used
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn generate(input: &Path) {
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=1920x1080:rate=30,noise=alls=12:allf=t",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=48000",
        "-t",
        "60",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-b:v",
        "6M",
        "-maxrate",
        "6M",
        "-bufsize",
        "6M",
        "-g",
        "60",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        path(input),
    ];
    assert!(ffmpeg(&arguments).status().expect("ffmpeg to start").success(), "the input could not be made");
}

fn ffmpeg(arguments: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(arguments).stdout(std::process::Stdio::null());
    command
}

fn child(arguments: &[&str]) -> Duration {
    let before = cpu(UsageWho::RUSAGE_CHILDREN);
    assert!(ffmpeg(arguments).status().expect("ffmpeg to start").success());
    cpu(UsageWho::RUSAGE_CHILDREN) - before
}

fn package(input: &Path, out: &Path) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = cpu(UsageWho::RUSAGE_SELF);
    runtime.block_on(async {
        let store = LocalStore::open(out, 0).expect("a store");
        let mut publisher = Publisher::open(store, "b", 1, SEGMENT_SECONDS, 3600).await.expect("a publisher");
        let mut segmenter = Segmenter::new(SEGMENT_SECONDS, 0);
        let (mut reader, mut demuxer) = (FileReader::new(), Demuxer::new());
        let (mut tags, mut events, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        let mut file = std::fs::File::open(input).expect("the input");
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = std::io::Read::read(&mut file, &mut chunk).expect("the input");
            if read == 0 {
                break;
            }
            reader.push(&chunk[..read], &mut tags).expect("FLV");
            for tag in tags.drain(..) {
                demuxer.push(tag.kind, tag.timestamp_ms, tag.body, &mut events).expect("a tag");
            }
            for event in events.drain(..) {
                segmenter.push(event, 0, &mut closed);
            }
            for segment in closed.drain(..) {
                publisher.publish(segment).await.expect("a segment");
            }
        }
        segmenter.end_session(&mut closed);
        for segment in closed.drain(..) {
            publisher.publish(segment).await.expect("a segment");
        }
    });
    drop(runtime);
    let used = cpu(UsageWho::RUSAGE_SELF) - before;
    let _ = std::fs::remove_dir_all(out);
    used
}

fn cpu(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("this process's usage");
    let (user, system) = (usage.user_time(), usage.system_time());
    let micros = (user.tv_sec() + system.tv_sec()) * 1_000_000 + user.tv_usec() + system.tv_usec();
    Duration::from_micros(micros.unsigned_abs())
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
