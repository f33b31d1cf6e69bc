//! What ffmpeg is told.

use crate::Limits;
use crate::plan::{Plan, Stretch};
use crate::work::group_name;

/// Samples per second of encoded sound.
const SAMPLE_RATE: u32 = 48_000;

/// Bits per second of encoded sound.
const AUDIO_BANDWIDTH: &str = "160k";

/// Arguments for a run in the folder of the job, but for the output's name.
pub(crate) fn of(plan: &Plan, limits: &Limits) -> Vec<String> {
    let mut list = Arguments::default();
    list.add("-hide_banner -nostdin -nostats -loglevel warning -y -progress pipe:1 -stats_period 0.5");
    for at in 0..plan.groups.len() {
        // Files only: nothing in a playlist can make it open a connection or another program.
        list.add("-protocol_whitelist file -f concat -safe 0 -i").push(group_name(at));
    }
    if plan.groups.len() == 1 {
        list.add("-map 0:v:0? -map 0:a:0? -c copy");
        if plan.is_hevc {
            list.add("-tag:v hvc1");
        }
    } else {
        list.add("-filter_complex").push(graph(plan));
        let threads = limits.threads.max(1).to_string();
        list.add("-threads").push(threads.clone()).add("-filter_complex_threads").push(threads);
        if plan.has_video() {
            list.add("-map [v] -c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p");
            // As large as the recording, which is what there is room for.
            let most = plan.bandwidth.to_string();
            list.add("-maxrate").push(most).add("-bufsize").push(plan.bandwidth.saturating_mul(2).to_string());
        }
        if plan.has_audio() {
            list.add("-map [a] -c:a aac -b:a").push(AUDIO_BANDWIDTH.to_owned());
        }
    }
    list.add("-map_metadata -1 -movflags +faststart -max_muxing_queue_size 4096 -f mp4");
    list.0
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split(' ').map(str::to_owned));
        self
    }

    fn push(&mut self, word: String) -> &mut Self {
        self.0.push(word);
        self
    }
}

/// Brings every group to one picture and one sound, and joins them. What a group lacks is black or silent.
fn graph(plan: &Plan) -> String {
    let (width, height) = (even(plan.resolution.0), even(plan.resolution.1));
    let rate = plan.frame_rate;
    let (has_video, has_audio) = (plan.has_video(), plan.has_audio());
    let (mut chains, mut joined) = (String::new(), String::new());
    for at in 0..plan.groups.len() {
        let stretches = &plan.stretches[plan.group(at)];
        let seconds: f64 = stretches.iter().map(Stretch::seconds).sum();
        // A group is of one kind, so its first stretch tells.
        let (video, audio) = (stretches[0].video.is_some(), stretches[0].audio.is_some());
        if has_video {
            let source = if video {
                format!(
                    "[{at}:v:0]scale={width}:{height}:force_original_aspect_ratio=decrease,\
                     pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,"
                )
            } else {
                format!("color=c=black:s={width}x{height}:r={rate}:d={seconds:.6},")
            };
            chains.push_str(&format!("{source}setsar=1,fps={rate},format=yuv420p[v{at}];"));
            joined.push_str(&format!("[v{at}]"));
        }
        if has_audio {
            let source = if audio {
                format!("[{at}:a:0]aresample={SAMPLE_RATE}:async=1:first_pts=0,")
            } else {
                format!("anullsrc=r={SAMPLE_RATE}:cl=stereo,atrim=duration={seconds:.6},")
            };
            chains.push_str(&format!("{source}aformat=sample_fmts=fltp:channel_layouts=stereo[a{at}];"));
            joined.push_str(&format!("[a{at}]"));
        }
    }
    let out = format!("{}{}", if has_video { "[v]" } else { "" }, if has_audio { "[a]" } else { "" });
    let (count, v, a) = (plan.groups.len(), u8::from(has_video), u8::from(has_audio));
    format!("{chains}{joined}concat=n={count}:v={v}:a={a}{out}")
}

/// Sides of 4:2:0 pictures are even.
fn even(side: u32) -> u32 {
    side.saturating_add(side % 2).max(2)
}
