//! The units of a plan.

use super::plan::{AudioRendition, Early, Options, Plan, Rung, Unit, UnitKind};
use super::{captions, pictures};

/// Most chunks of a file; longer files have longer chunks.
const CHUNKS_MAX: u64 = 2000;

/// Chunks are at least so many times as long as the source's longest stretch without keyframe, as each decodes one before its start.
const GAPS_PER_CHUNK: u64 = 4;

/// Chunks are at most so long, as ffmpeg is told each of their keyframes.
const CHUNK_SECONDS_MAX: u64 = 1800;

/// What the boxes around coded media take at most, in bytes, and as one in so many.
const OVERHEAD_BYTES: u64 = 256 << 10;
const OVERHEAD_SHARE: u64 = 20;

/// In the order in which they are best done: what can be played first, first.
pub(super) fn units(plan: &Plan, options: &Options) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut names: Vec<String> = plan.rungs.iter().map(|rung| rung.name.clone()).collect();
    let chunks = chunks(plan, options);
    if matches!(plan.early, Early::SourceCopy { .. }) {
        units.push(unit(plan, "source".to_owned(), UnitKind::SourceCopy, 1, plan.source.bytes));
    }
    units.extend(plan.audio.first().map(|rendition| audio(plan, rendition)));
    if let Early::FirstRung { rung } = &plan.early {
        names.retain(|name| name != rung);
        units.extend(videos(plan, &format!("video-{rung}"), std::slice::from_ref(rung), &chunks));
    }
    if options.pictures && plan.source.video.is_some() {
        let weight = plan.duration_ms / 50 + 1;
        units.push(unit(plan, "pictures".to_owned(), UnitKind::Pictures, weight, pictures::BYTES_MAX));
    }
    if !plan.text.is_empty() {
        units.push(unit(plan, "captions".to_owned(), UnitKind::Captions, 1, captions::BYTES_MAX));
    }
    units.extend(plan.audio.iter().skip(1).map(|rendition| audio(plan, rendition)));
    units.extend(videos(plan, "video", &names, &chunks));
    let rung = plan.rungs.iter().find(|rung| {
        let short = rung.name.parse::<u32>();
        short.is_ok_and(|short| plan.preset.mp4_short.is_some_and(|most| short <= most))
    });
    units.extend(rung.map(|rung| mp4(plan, rung, &units)));
    units
}

/// Frames at which chunks begin, and the end.
fn chunks(plan: &Plan, options: &Options) -> Vec<u64> {
    let (Some(rung), Some(video)) = (plan.rungs.first(), &plan.source.video) else { return Vec::new() };
    let segment = u64::from(plan.preset.segment_seconds);
    let total = plan.duration_ms.div_ceil(1000);
    let wanted = u64::from(options.chunk_seconds).max(GAPS_PER_CHUNK * video.keyframe_gap_ms.div_ceil(1000));
    let segments = (wanted.min(CHUNK_SECONDS_MAX) / segment).max(1).max(total.div_ceil(segment * CHUNKS_MAX));
    let length = segments * segment;
    let mut starts: Vec<u64> = (0..)
        .map(|number| rung.frame_rate.frame_at(number * length))
        .take_while(|start| *start < plan.frames)
        .collect();
    let half = rung.frame_rate.frame_at(length) / 2;
    if starts.len() > 1 && starts.last().is_some_and(|last| plan.frames - last < half) {
        starts.pop();
    }
    starts.push(plan.frames);
    starts
}

fn unit(plan: &Plan, id: String, kind: UnitKind, weight: u64, bytes: u64) -> Unit {
    Unit { id, kind, after: Vec::new(), duration_ms: plan.duration_ms, weight, bytes }
}

fn audio_id(rendition: &AudioRendition) -> String {
    rendition.name.replace('_', "-")
}

fn audio(plan: &Plan, rendition: &AudioRendition) -> Unit {
    let kind = UnitKind::Audio { rendition: rendition.name.clone() };
    unit(plan, audio_id(rendition), kind, plan.duration_ms / 100 + 1, bytes_of(rendition.kbps, plan.duration_ms))
}

fn videos(plan: &Plan, prefix: &str, names: &[String], chunks: &[u64]) -> Vec<Unit> {
    let rungs: Vec<&Rung> = names.iter().filter_map(|name| plan.rung(name)).collect();
    let Some(rate) = rungs.first().map(|rung| rung.frame_rate) else { return Vec::new() };
    let kbps = rungs.iter().map(|rung| rung.rate.max_kbps()).fold(0, u32::saturating_add);
    let pixels: u64 = rungs.iter().map(|rung| rung.size.pixels()).sum();
    let unit = |(chunk, ends): (u32, &[u64])| {
        let frames = ends[1] - ends[0];
        let duration_ms = rate.micros_of(frames).div_ceil(1000);
        Unit {
            id: format!("{prefix}-{chunk:05}"),
            kind: UnitKind::Video { rungs: names.to_vec(), chunk, first: ends[0], end: ends[1] },
            after: Vec::new(),
            duration_ms,
            weight: frames.saturating_mul(pixels) / 100_000 + 1,
            bytes: bytes_of(kbps, duration_ms),
        }
    };
    (0..).zip(chunks.windows(2)).map(unit).collect()
}

fn mp4(plan: &Plan, rung: &Rung, units: &[Unit]) -> Unit {
    let first_audio = plan.audio.first();
    let is_needed = |unit: &&Unit| match &unit.kind {
        UnitKind::Video { rungs, .. } => rungs.contains(&rung.name),
        UnitKind::Audio { rendition } => first_audio.is_some_and(|audio| audio.name == *rendition),
        _ => false,
    };
    let after = units.iter().filter(is_needed).map(|unit| unit.id.clone()).collect();
    let kbps = rung.rate.max_kbps().saturating_add(first_audio.map_or(0, |audio| audio.kbps));
    let kind = UnitKind::Mp4 { rung: rung.name.clone() };
    let made = unit(plan, "mp4".to_owned(), kind, plan.duration_ms / 500 + 1, bytes_of(kbps, plan.duration_ms));
    Unit { after, ..made }
}

/// Most bytes of coded media in MP4.
fn bytes_of(kbps: u32, duration_ms: u64) -> u64 {
    // Two seconds more, as the limit of a rate holds over two seconds.
    let media = u64::from(kbps).saturating_mul(duration_ms.saturating_add(2000)) / 8;
    media.saturating_add(media / OVERHEAD_SHARE).saturating_add(OVERHEAD_BYTES)
}
