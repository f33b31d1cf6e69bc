//! What ffmpeg is told for a unit.

use std::path::Path;

use super::plan::{AudioRendition, Plan, Rung};
use super::probe::{input, words};
use super::source::{DynamicRange, Scan};
use super::{Rate, Rational, TextRendition, TextSource, ladder};
use crate::Limits;

/// Samples per second of encoded sound.
pub(super) const SAMPLE_RATE: u32 = 48_000;

/// Chunks are decoded from a keyframe that lies at least so long before their start, so that filters have seen what they look back on.
const LEAD_US: i64 = 1_000_000;

/// Where an index leads to the keyframe before a time, this is enough; ffmpeg itself goes back by some frames.
const INDEXED_SEEK_US: i64 = 200_000;

/// Without index a seek may end behind the time that was asked for.
const BLIND_SEEK_US: i64 = -1_000_000;

/// Ticks of a track's clock are at least so many a second.
const TIMESCALE_MIN: u32 = 10_000;

/// Sound of more channels than this has no layout that says what is where.
const LAYOUT_CHANNELS_MAX: u32 = 8;

/// Arguments for ffmpeg.
#[derive(Debug, Default)]
pub(super) struct Arguments(pub(super) Vec<String>);

impl Arguments {
    /// Beginning with what is the same for all units.
    pub(super) fn new() -> Self {
        Self(words("-hide_banner -nostdin -nostats -loglevel warning -y -progress pipe:1 -stats_period 0.5"))
    }

    pub(super) fn add(&mut self, text: &str) -> &mut Self {
        self.0.extend(words(text));
        self
    }

    pub(super) fn push(&mut self, word: impl Into<String>) -> &mut Self {
        self.0.push(word.into());
        self
    }

    /// The source, with the times that it has.
    pub(super) fn source(&mut self, path: &Path, threads: u32) -> &mut Self {
        self.add("-copyts -threads").push(threads.max(1).to_string());
        self.0.extend(input(path));
        self
    }

    /// A file that is written: `file:` keeps names from being taken for anything else.
    pub(super) fn output(&mut self, folder: &Path, name: &str) -> &mut Self {
        self.push(format!("file:{}", folder.join(name).display()))
    }
}

/// Clock of a rung's track: a frame is a whole number of its ticks.
pub(super) fn timescale(rate: Rational) -> u32 {
    let mut timescale = rate.num();
    while timescale < TIMESCALE_MIN {
        timescale *= 2;
    }
    timescale
}

/// Decodes frames `first..end` once, and encodes them for each rung into `<rung>.mp4`.
pub(super) fn video(plan: &Plan, rungs: &[&Rung], first: u64, end: u64, limits: &Limits, folder: &Path) -> Vec<String> {
    let mut list = Arguments::new();
    let threads = limits.threads.max(1).to_string();
    if first > 0 {
        let seek = seek_us(plan, rungs, first) as f64 / 1e6;
        list.add("-noaccurate_seek -seek_timestamp 1 -ss").push(format!("{seek:.6}"));
    }
    list.source(&plan.source.path, limits.threads).add("-filter_complex_threads").push(threads.clone());
    list.push("-filter_complex").push(graph(plan, rungs, first, end));
    let keyframes: Vec<String> = rungs.first().map_or_else(Vec::new, |rung| {
        let seconds = |frame: u64| format!("{:.6}", rung.frame_rate.micros_of(frame) as f64 / 1e6);
        plan.keyframes(first, end).into_iter().map(seconds).collect()
    });
    for (at, rung) in rungs.iter().enumerate() {
        list.push("-map").push(format!("[v{at}]"));
        encoder(&mut list, plan, rung);
        list.push("-force_key_frames").push(keyframes.join(","));
        list.add("-threads").push(threads.clone());
        let timescale = timescale(rung.frame_rate);
        list.add(&format!("-video_track_timescale {timescale} -movie_timescale {timescale}"));
        list.add("-map_metadata -1 -map_chapters -1 -f mp4").output(folder, &format!("{}.mp4", rung.name));
    }
    list.0
}

/// Settings of x264. Keyframes are where they are forced, and nowhere else.
fn encoder(list: &mut Arguments, plan: &Plan, rung: &Rung) {
    let preset = &plan.preset;
    list.add("-fps_mode passthrough -c:v libx264 -preset").push(preset.speed.as_str());
    list.add("-profile:v").push(ladder::profile_name(rung.profile));
    match rung.rate {
        Rate::Quality { crf, max_kbps } => {
            let buffer = u64::from(max_kbps) * 2;
            list.add(&format!("-crf {crf} -maxrate {max_kbps}k -bufsize {buffer}k"));
        }
        Rate::Constant { kbps } => {
            let buffer = u64::from(kbps) * 2;
            list.add(&format!(
                "-b:v {kbps}k -minrate {kbps}k -maxrate {kbps}k -bufsize {buffer}k -x264-params nal-hrd=cbr"
            ));
        }
    }
    let never = u64::from(preset.gop_frames) * 2;
    list.add(&format!("-g {never} -keyint_min 1 -bf {} -sc_threshold 0 -flags +cgop -forced-idr 1", preset.b_frames));
}

/// Where decoding begins, in the source's time.
fn seek_us(plan: &Plan, rungs: &[&Rung], first: u64) -> i64 {
    let Some((video, rung)) = plan.source.video.as_ref().zip(rungs.first()) else { return 0 };
    let start =
        i64::try_from(rung.frame_rate.micros_of(first)).unwrap_or(i64::MAX).saturating_add(plan.source.origin_us);
    let wanted = start.min(video.span_us.1).saturating_sub(LEAD_US);
    let earlier = video.keyframes_us.iter().copied().filter(|at| *at <= wanted).max();
    let is_indexed = ["mov", "matroska"].iter().any(|format| plan.source.format.starts_with(format));
    earlier.unwrap_or(video.span_us.0).saturating_add(if is_indexed { INDEXED_SEEK_US } else { BLIND_SEEK_US })
}

/// One decoded picture becomes one of each rung, each rung's from that of the next larger one.
fn graph(plan: &Plan, rungs: &[&Rung], first: u64, end: u64) -> String {
    let Some((video, top)) = plan.source.video.as_ref().zip(rungs.first()) else { return String::new() };
    let mut chain = format!("[0:{}]{},", video.stream, on_timeline(plan));
    if video.scan == Scan::Interlaced {
        chain.push_str("bwdif=mode=send_frame:parity=auto:deint=all,");
    }
    // The first frame stands from the start when sound begins before it; the last one until the end.
    let is_late = first == 0 && video.span_us.0 > plan.source.origin_us.saturating_add(1000);
    let start = if is_late { ":start_time=0" } else { "" };
    chain.push_str(&format!(
        "fps=fps={}:round=near{start},tpad=stop_mode=clone:stop=-1,trim=start_pts={first}:end_pts={end},",
        top.frame_rate
    ));
    chain.push_str(&to_sdr(plan, top));
    let mut shape = scale(top);
    if is_rgb(&video.pixel_format) {
        shape.push_str(":out_color_matrix=bt709,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709");
    }
    for (at, rung) in rungs.iter().enumerate() {
        let aspect = rung.sample_aspect;
        let shaped = format!("{shape},format=yuv420p,setsar={aspect}");
        match rungs.get(at + 1) {
            Some(next) => {
                chain.push_str(&format!("{shaped},split=2[v{at}][s{at}];[s{at}]"));
                shape = scale(next);
            }
            None => chain.push_str(&format!("{shaped}[v{at}]")),
        }
    }
    chain
}

fn scale(rung: &Rung) -> String {
    format!("scale={}:{}:flags=bicubic:out_range=tv", rung.size.width, rung.size.height)
}

/// The source's time becomes that of the timeline.
pub(super) fn on_timeline(plan: &Plan) -> String {
    format!("setpts='PTS-round({:.6}/TB)'", plan.source.origin_us as f64 / 1e6)
}

/// Brings high dynamic range to standard, at the size of the largest picture that is wanted.
fn to_sdr(plan: &Plan, top: &Rung) -> String {
    sdr(plan, &format!("w={}:h={}:", top.size.width, top.size.height))
}

pub(super) fn sdr(plan: &Plan, size: &str) -> String {
    let transfer = match plan.source.video.as_ref().map(|video| video.range) {
        None | Some(DynamicRange::Sdr) => return String::new(),
        Some(DynamicRange::Hlg) => "arib-std-b67",
        Some(DynamicRange::Hdr10) => "smpte2084",
        // What its base layer is says the frame itself.
        Some(DynamicRange::DolbyVision) => "input",
    };
    format!(
        "zscale={size}tin={transfer}:min=bt2020nc:pin=bt2020:t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,\
         tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p,"
    )
}

fn is_rgb(pixel_format: &str) -> bool {
    ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2"]
        .iter()
        .any(|start| pixel_format.starts_with(start))
}

/// Encodes one track of sound in one piece, as long as the timeline, into `audio.mp4`.
pub(super) fn audio(plan: &Plan, rendition: &AudioRendition, limits: &Limits, folder: &Path) -> Vec<String> {
    let mut list = Arguments::new();
    list.source(&plan.source.path, limits.threads);
    list.push("-map").push(format!("0:{}", rendition.stream)).push("-af");
    let layout = if rendition.channels == 6 { "5.1" } else { "stereo" };
    // Without layout nobody knows what the channels are: the first two are taken.
    let pick = if rendition.source_channels > LAYOUT_CHANNELS_MAX { "pan=stereo|c0=c0|c1=c1," } else { "" };
    let samples = plan.duration_ms.saturating_mul(u64::from(SAMPLE_RATE)).div_ceil(1000);
    list.push(format!(
        "a{},{pick}aresample={SAMPLE_RATE}:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts={layout},\
         apad,atrim=end_sample={samples}",
        on_timeline(plan)
    ));
    list.add(&format!("-c:a aac -profile:a aac_low -b:a {}k -ar {SAMPLE_RATE}", rendition.kbps));
    list.add(&format!("-movie_timescale {SAMPLE_RATE} -map_metadata -1 -map_chapters -1 -f mp4"));
    list.output(folder, "audio.mp4");
    list.0
}

/// Puts the source's samples into `source.mp4` and `source_audio.mp4`, on the timeline.
pub(super) fn source_copy(plan: &Plan, limits: &Limits, folder: &Path) -> Vec<String> {
    let mut list = Arguments::new();
    list.source(&plan.source.path, limits.threads);
    let offset = format!("{:.6}", -plan.source.origin_us as f64 / 1e6);
    let video = plan.source.video.as_ref().map(|video| (video.stream, "source.mp4"));
    let audio = plan.source.audio.first().map(|audio| (audio.stream, "source_audio.mp4"));
    for (stream, name) in video.into_iter().chain(audio) {
        list.add(&format!("-map 0:{stream} -c copy -map_metadata -1 -map_chapters -1 -output_ts_offset {offset}"));
        list.add("-movie_timescale 90000 -f mp4").output(folder, name);
    }
    list.0
}

/// Joins the chunks of a rung and the first sound into `out.mp4`, its index first. `list.ffconcat` names the chunks.
pub(super) fn mp4(plan: &Plan, rung: &Rung, sound: Option<&Path>, limits: &Limits, folder: &Path) -> Vec<String> {
    let mut list = Arguments::new();
    list.add("-threads").push(limits.threads.max(1).to_string());
    // From its own folder, so that no path has to be written in it.
    list.add("-protocol_whitelist file -f concat -safe 0 -i").push(LIST);
    if let Some(sound) = sound {
        list.0.extend(input(sound));
        list.add("-map 1:0");
    }
    let timescale = timescale(rung.frame_rate);
    let tick = u64::from(timescale) * u64::from(rung.frame_rate.den()) / u64::from(rung.frame_rate.num());
    // Lists have times in microseconds; frames are where they are in the chunks.
    let exact = format!("setts=pts=round(PTS/{tick})*{tick}:dts=round(DTS/{tick})*{tick}");
    list.add("-map 0:0 -c copy -bsf:v").push(exact);
    list.add(&format!("-video_track_timescale {timescale} -movie_timescale {timescale}"));
    if let Some(audio) = plan.audio.first().filter(|audio| audio.language != "und") {
        list.add("-metadata:s:a:0").push(format!("language={}", audio.language));
    }
    list.add("-map_metadata -1 -map_chapters -1 -movflags +faststart -f mp4").output(folder, "out.mp4");
    list.0
}

/// Name of the list of chunks.
pub(super) const LIST: &str = "list.ffconcat";

/// The list of chunks for [`mp4`], of so many frames each.
pub(super) fn chunk_list(rung: &Rung, frames: impl IntoIterator<Item = u64>) -> String {
    let mut text = "ffconcat version 1.0\n".to_owned();
    for (chunk, frames) in frames.into_iter().enumerate() {
        let seconds = rung.frame_rate.micros_of(frames) as f64 / 1e6;
        text.push_str(&format!("file '../../{}/{chunk:05}.mp4'\nduration {seconds:.6}\n", rung.name));
    }
    text
}

/// Makes WebVTT of tracks of the source, each into `<name>.vtt`.
pub(super) fn text_tracks(plan: &Plan, texts: &[&TextRendition], folder: &Path) -> Vec<String> {
    let mut list = Arguments::new();
    list.source(&plan.source.path, 1);
    for text in texts {
        let TextSource::Track(stream) = text.source else { continue };
        list.add(&format!("-map 0:{stream} -c:s webvtt"));
        if plan.source.origin_us != 0 {
            list.add(&format!("-output_ts_offset {:.6}", -plan.source.origin_us as f64 / 1e6));
        }
        list.add("-map_metadata -1 -map_chapters -1 -f webvtt").output(folder, &format!("{}.vtt", text.name));
    }
    list.0
}

/// Makes WebVTT of SubRip in UTF-8.
pub(super) fn subrip(from: &Path, name: &str, folder: &Path) -> Vec<String> {
    let mut list = Arguments::new();
    list.add("-protocol_whitelist file -f srt -i").push(format!("file:{}", from.display()));
    list.add("-c:s webvtt -f webvtt").output(folder, &format!("{name}.vtt"));
    list.0
}
