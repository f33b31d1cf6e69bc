//! Bad input: every file ends in a clear state, with a reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_transcode::vod::{Options, ProbeError, ProbeLimits, plan};

use super::{Bench, options, small};

/// A small file of pictures and sound.
const PLAIN: &str =
    "-f lavfi -i testsrc2=s=160x90:r=25:d=3 -f lavfi -i sine=d=3 -c:v libx264 -preset ultrafast -g 25 -c:a aac";

fn copy_of(bench: &Bench, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> PathBuf {
    let bytes = fs::read(bench.path("plain.mp4")).expect("a file");
    let path = bench.path(name);
    fs::write(&path, change(bytes)).expect("a file");
    path
}

/// Writes over what comes so far behind each box of a kind.
fn patch(mut bytes: Vec<u8>, kind: &[u8; 4], offset: usize, value: u32) -> Vec<u8> {
    let places: Vec<usize> = bytes.windows(4).enumerate().filter(|(_, w)| w == kind).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 4 + offset..at + 8 + offset].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

fn half(bench: &Bench, of: &str, name: &str) -> PathBuf {
    let bytes = fs::read(bench.path(of)).expect("a file");
    let path = bench.path(name);
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("a file");
    path
}

fn broken(bench: &Bench) -> Vec<(PathBuf, &'static str)> {
    let moov_last = bench.make(&format!("{PLAIN} -f mp4"), "moov-last.mp4");
    let mkv = bench.make("-i plain.mp4 -c copy -f matroska", "whole.mkv");
    let ts = bench.make("-i plain.mp4 -c copy -f mpegts", "whole.ts");
    assert!(moov_last.exists() && mkv.exists() && ts.exists());
    let write = |name: &str, bytes: &[u8]| {
        fs::write(bench.path(name), bytes).expect("a file");
        bench.path(name)
    };
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
    vec![
        (half(bench, "plain.mp4", "truncated.mp4"), "truncated"),
        (half(bench, "moov-last.mp4", "without index.mp4"), "missing_index"),
        (half(bench, "whole.mkv", "truncated.mkv"), "truncated"),
        (half(bench, "whole.ts", "cut.ts"), "READY"),
        (write("zero bytes.mp4", b""), "empty"),
        (write("text.mp4", b"this is no film\n"), "not_media"),
        (write("playlist.mp4", playlist), "not_media"),
        (write("concat.mp4", b"ffconcat version 1.0\nfile 'file:///etc/passwd'\n"), "not_media"),
        (bench.make("-f lavfi -i testsrc2=s=160x90 -frames:v 1 -f image2 -c:v png", "picture.mp4"), "not_media"),
        (
            copy_of(bench, "bomb of samples.mp4", |bytes| {
                patch(patch(bytes, b"stts", 8, 0x7fff_ffff), b"stsz", 8, 0x7fff_ffff)
            }),
            "*",
        ),
        (
            copy_of(bench, "bomb of boxes.mp4", |bytes| {
                let mut bomb = bytes[..32].to_vec();
                bomb.extend([0, 0x10, 0, 0].iter().chain(b"moov"));
                bomb.extend((0..0x2000_u32).flat_map(|_| [0, 8, 0, 0, b't', b'r', b'a', b'k']));
                bomb
            }),
            "*",
        ),
        (copy_of(bench, "stands for years.mp4", |bytes| patch(bytes, b"stts", 12, 0x00ff_ffff)), "READY"),
        (
            copy_of(bench, "wrong duration.mp4", |bytes| {
                patch(patch(bytes, b"mvhd", 16, 90_000_000), b"mdhd", 16, 900_000_000)
            }),
            "READY",
        ),
        (
            copy_of(bench, "noise.mp4", |mut bytes| {
                let at = bytes.windows(4).position(|w| w == b"mdat").expect("media") + 4;
                let mut state = 1_u32;
                bytes[at..].iter_mut().for_each(|byte| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *byte = (state >> 24) as u8;
                });
                bytes
            }),
            "damaged",
        ),
    ]
}

fn odd(bench: &Bench) -> Vec<(PathBuf, &'static str)> {
    let x264 = "-c:v libx264 -preset ultrafast";
    let picture = |what: &str, name: &str| bench.make(&format!("-f lavfi -i testsrc2={what} {x264} -f mp4"), name);
    fs::write(bench.path("a.srt"), "1\n00:00:00,000 --> 00:00:01,000\nwords\n").expect("a file");
    let huge = format!(";FFMETADATA1\ntitle={}\ncomment={}\n", "t".repeat(1 << 20), "c".repeat(3 << 20));
    fs::write(bench.path("meta.txt"), huge).expect("a file");
    vec![
        (bench.make("-i plain.mp4 -vn -c copy -f mp4", "no pictures.mp4"), "READY"),
        (bench.make("-i plain.mp4 -an -c copy -f mp4", "no sound.mp4"), "READY"),
        (bench.make("-i a.srt -c:s mov_text -f mp4", "neither.mp4"), "no_media"),
        (picture("s=160x90:r=1:d=6", "1 fps.mp4"), "READY"),
        (picture("s=160x90:r=240:d=1", "240 fps.mp4"), "READY"),
        (picture("s=160x90:r=25:d=0.04", "one frame.mp4"), "READY"),
        (picture("s=16x16:r=25:d=1", "16x16.mp4"), "READY"),
        (picture("s=8x8:r=25:d=1", "8x8.mp4"), "picture_size"),
        (picture("s=7680x4320:r=25:d=0.04", "8K.mp4"), "picture_size"),
        (bench.make("-i plain.mp4 -i meta.txt -map_metadata 1 -c copy -f mp4", "huge metadata.mp4"), "READY"),
        (bench.make("-f lavfi -i testsrc2=s=160x90:d=1 -c:v gif -f gif", "animation.gif"), "not_media"),
        (bench.make("-f lavfi -i testsrc2=s=160x90:d=1 -c:v wrapped_avframe -c:v asv1 -f avi", "exotic.avi"), "codec"),
    ]
}

fn names(bench: &Bench) -> Vec<(PathBuf, &'static str)> {
    let names = [
        "-version.mp4",
        "a:b.mp4",
        "concat:x|y.mp4",
        "%d %05d.mp4",
        "new\nline.mp4",
        "quote' \"and\\.mp4",
        "höliday 😀.2024.final.mp4",
        "$(reboot);.mp4",
        "no extension",
    ];
    names.iter().map(|name| (copy_of(bench, name, |bytes| bytes), "READY")).collect()
}

async fn end_state(bench: &Bench, path: &Path) -> (String, String) {
    let limits = ProbeLimits { duration: Duration::from_secs(3600), ..ProbeLimits::default() };
    let source = match bench.worker.probe(path, &limits).await {
        Ok(source) => source,
        Err(ProbeError::Rejected(rejected)) => return (rejected.reason.as_str().to_owned(), rejected.text),
        Err(ProbeError::Failed(error)) => panic!("{}: {error}", path.display()),
    };
    let plan = plan(source, &small(), &Options { pictures: true, ..options(60) }).expect("a plan");
    let work = bench.work().join(path.file_name().expect("a name"));
    let done = bench.run(&plan, &work).await;
    let made: usize = done.iter().map(|done| done.files.len()).sum();
    let rungs: Vec<&str> = plan.rungs.iter().map(|rung| rung.name.as_str()).collect();
    let length = plan.duration_ms as f64 / 1000.0;
    let mut text = format!("rungs {}, {} of sound, {length:.2} s, {made} files", rungs.join(" "), plan.audio.len());
    for note in plan.notes.iter().chain(done.iter().flat_map(|done| &done.notes)) {
        text.push_str(&format!("; {note}"));
    }
    ("READY".to_owned(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_ends_in_a_clear_state() {
    let bench = Bench::new();
    bench.make(&format!("{PLAIN} -movflags +faststart -f mp4"), "plain.mp4");
    let mut table = String::new();
    let mut wrong = Vec::new();
    for (path, wanted) in broken(&bench).into_iter().chain(odd(&bench)).chain(names(&bench)) {
        let name = format!("{:?}", path.file_name().expect("a name"));
        let (state, reason) =
            tokio::time::timeout(Duration::from_secs(60), end_state(&bench, &path)).await.expect("an end");
        table.push_str(&format!("{name:<34} {state:<14} {reason}\n"));
        // What ffmpeg makes of a bomb may change; that it ends, and how, may not.
        if wanted != "*" && state != wanted {
            wrong.push(format!("{name}: {state} ({reason}), not {wanted}"));
        }
        assert!(!reason.contains(&*bench.path("").to_string_lossy()), "a path of this machine: {reason}");
    }
    let report = std::env::var_os("CORPUS_TABLE").map(PathBuf::from);
    report.map_or_else(|| eprint(&table), |path| fs::write(path, &table).expect("the table"));
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
}

/// `cargo test -- --nocapture` shows it.
#[expect(clippy::print_stderr, reason = "the table is what the test is for")]
fn eprint(table: &str) {
    eprintln!("{table}");
}
