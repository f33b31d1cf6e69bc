//! CPU time of a whole ladder against the same settings by ffmpeg alone, in one run.
//!
//! `cargo bench -p anabranch-transcode --bench ladder -- [SECONDS] [ROUNDS]`: 60 s of 1080p30 and 3 rounds unless said otherwise. Four rungs
//! and one sound. Against it: a process a rung, each of which decodes; and one process that decodes once and writes HLS.

#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anabranch_transcode::vod::{EarlyWish, Options, Plan, Preset, ProbeLimits, Rate, UnitKind, plan};
use anabranch_transcode::{CancellationToken, Limits, Worker};
use nix::sys::resource::{UsageWho, getrusage};

fn main() {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let seconds = numbers.first().copied().unwrap_or(60);
    let rounds = numbers.get(1).copied().unwrap_or(3);
    let dir = tempfile::tempdir().expect("a scratch directory");
    let input = dir.path().join("input.mp4");
    generate(&input, seconds);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let worker = Worker::default();
    let (mut probes, mut ours, mut apart, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut made = None;
        probes.push(cpu(|| {
            let source = runtime.block_on(worker.probe(&input, &ProbeLimits::default())).expect("a source");
            made = Some(plan(
                source,
                &ladder(),
                &Options { early: EarlyWish::None, pictures: false, ..Options::default() },
            ));
        }));
        let plan = made.expect("a probe").expect("a plan");
        let work = dir.path().join(format!("work-{round}"));
        ours.push(cpu(|| units(&runtime, &worker, &plan, &work)));
        apart.push(cpu(|| each_apart(&plan, &input, dir.path())));
        single.push(cpu(|| one_command(&plan, &input, dir.path())));
        let _ = std::fs::remove_dir_all(&work);
    }
    let (probe, ours, apart, single) = (median(probes), median(ours), median(apart), median(single));
    println!(
        "input: {seconds} s of 1080p30 H.264 + AAC; four rungs, veryfast; median of {rounds}; CPU time, user + system"
    );
    println!("probe, once a file             {probe:>8.2} s");
    println!("anabranch, chunks of 120 s     {ours:>8.2} s");
    println!("ffmpeg, a process a rung       {apart:>8.2} s   ratio {:.3}", ours / apart);
    println!("ffmpeg, one command to HLS     {single:>8.2} s   ratio {:.3}", ours / single);
}

fn ladder() -> Preset {
    Preset { mp4_short: None, surround_kbps: None, ..Preset::standard() }
}

fn generate(path: &Path, seconds: u32) {
    // Noise gives the encoder what a camera gives it.
    let picture = format!("testsrc2=s=1920x1080:r=30:d={seconds},noise=alls=6:allf=t");
    let sound = format!("sine=d={seconds}");
    let mut list: Vec<String> =
        ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound].map(str::to_owned).to_vec();
    list.extend("-c:v libx264 -preset veryfast -b:v 8M -g 60 -pix_fmt yuv420p -c:a aac".split(' ').map(str::to_owned));
    ffmpeg(&list, path);
}

fn units(runtime: &tokio::runtime::Runtime, worker: &Worker, plan: &Plan, work: &Path) {
    let limits = Limits { reserve_bytes: 0, ..Limits::default() };
    for unit in &plan.units {
        assert!(matches!(unit.kind, UnitKind::Video { .. } | UnitKind::Audio { .. }));
        let cancel = CancellationToken::new();
        runtime.block_on(worker.run(unit, plan, work, &limits, |_| {}, &cancel)).expect("a unit");
    }
}

/// The settings of a rung, for output stream `at`.
fn settings(plan: &Plan, rung: usize, at: &str) -> Vec<String> {
    let Rate::Quality { crf, max_kbps } = plan.rungs[rung].rate else { panic!("a rung of quality") };
    let keyframes = plan.preset.segment_seconds;
    let kind = if at.is_empty() { ":v" } else { at };
    let text = format!(
        "-c{kind} libx264 -preset{at} veryfast -profile{kind} high -crf{at} {crf} -maxrate{at} {max_kbps}k -bufsize{at} {}k -g{at} 240 \
         -bf{at} 3 -sc_threshold{at} 0 -threads{at} 2 -force_key_frames{at} expr:gte(t,n_forced*{}/2)",
        max_kbps * 2,
        keyframes
    );
    text.split(' ').map(str::to_owned).collect()
}

fn each_apart(plan: &Plan, input: &Path, folder: &Path) {
    for (at, rung) in plan.rungs.iter().enumerate() {
        let mut list = vec!["-threads".to_owned(), "2".to_owned(), "-i".to_owned(), input.display().to_string()];
        list.extend(["-vf".to_owned(), format!("scale={}:{}", rung.size.width, rung.size.height)]);
        list.extend(settings(plan, at, ""));
        // Sound is encoded once, as it is by us.
        let sound = if at == 0 { "-c:a aac -b:a 128k -ar 48000 -ac 2" } else { "-an" };
        list.extend(sound.split(' ').map(str::to_owned));
        ffmpeg(&list, &folder.join(format!("apart-{}.mp4", rung.name)));
    }
}

fn one_command(plan: &Plan, input: &Path, folder: &Path) {
    let count = plan.rungs.len();
    let mut graph = format!("[0:v]split={count}");
    (0..count).for_each(|at| graph.push_str(&format!("[s{at}]")));
    let mut list = vec!["-threads".to_owned(), "2".to_owned(), "-i".to_owned(), input.display().to_string()];
    let mut maps = Vec::new();
    let mut streams = "a:0,agroup:a".to_owned();
    for (at, rung) in plan.rungs.iter().enumerate() {
        graph.push_str(&format!(";[s{at}]scale={}:{}[v{at}]", rung.size.width, rung.size.height));
        maps.extend(["-map".to_owned(), format!("[v{at}]")]);
        maps.extend(settings(plan, at, &format!(":v:{at}")));
        streams.push_str(&format!(" v:{at},agroup:a"));
    }
    list.extend(["-filter_complex".to_owned(), graph]);
    list.extend(maps);
    list.extend(
        "-map 0:a -c:a aac -b:a 128k -ar 48000 -ac 2 -f hls -hls_time 6 -hls_playlist_type vod"
            .split(' ')
            .map(str::to_owned),
    );
    list.extend(["-hls_segment_type".to_owned(), "fmp4".to_owned(), "-var_stream_map".to_owned(), streams]);
    let out = folder.join("hls");
    std::fs::create_dir_all(&out).expect("a folder");
    ffmpeg(&list, &out.join("%v.m3u8"));
    let _ = std::fs::remove_dir_all(&out);
}

fn ffmpeg(arguments: &[String], output: &Path) {
    let output: PathBuf = output.to_owned();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(output).stdout(Stdio::null());
    assert!(command.status().expect("ffmpeg to start").success(), "{arguments:?}");
}

/// CPU seconds of this process and of all that it has waited for.
fn cpu(work: impl FnOnce()) -> f64 {
    let used = || {
        let of = |who| {
            let usage = getrusage(who).expect("usage");
            let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
            seconds(usage.user_time()) + seconds(usage.system_time())
        };
        of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
    };
    let before = used();
    work();
    Duration::from_secs_f64((used() - before).max(0.0)).as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
