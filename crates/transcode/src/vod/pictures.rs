//! Thumbnails, poster and sprites.

use std::path::Path;

use super::command::{self, Arguments};
use super::ladder::{even, inside};
use super::plan::Plan;
use super::{DynamicRange, Size};
use crate::Limits;

/// Thumbnails are at least so far apart (systems.md L7).
const INTERVAL_MS: u64 = 5000;

/// Most thumbnails of a file (systems.md L7).
const THUMBNAILS_MAX: u64 = 500;

/// Room that all pictures of a file take at most.
pub(super) const BYTES_MAX: u64 = 256 << 20;

/// Thumbnails and poster go into this (systems.md L7).
const ROOM: (u32, u32) = (1280, 720);

/// Pictures of a sprite go into this.
const TILE_ROOM: (u32, u32) = (160, 90);

/// Pictures in a row and in a column of a sprite.
const TILES: u64 = 10;

/// ffmpeg's scale of quality, 2 to 31: about 80 of libjpeg's 100.
const QUALITY: u32 = 4;

/// Pictures among which the poster is chosen, and at most how many of them come in a second.
const POSTERS: u64 = 24;
const POSTERS_PER_SECOND: u64 = 2;

/// Pictures darker than this, on average and of 255, are no poster.
const DARK: u32 = 28;

/// Shorter files are decoded whole, as keyframes may be all of one picture.
const WHOLE_MAX_MS: u64 = 60_000;

/// Folder below the work folder.
pub(super) const FOLDER: &str = "pictures";

/// Thumbnails of a file this long are so far apart.
pub(super) fn interval_ms(duration_ms: u64) -> u64 {
    duration_ms.div_ceil(THUMBNAILS_MAX).max(INTERVAL_MS)
}

/// Arguments for a run that writes `thumb_<n>.jpg`, `sprite_<n>.jpg` and, unless all is dark, `poster.jpg`.
pub(super) fn arguments(plan: &Plan, limits: &Limits, folder: &Path) -> Vec<String> {
    let Some(video) = &plan.source.video else { return Vec::new() };
    let mut list = Arguments::new();
    // Keyframes alone are decoded when there is one for each thumbnail.
    if plan.duration_ms > WHOLE_MAX_MS && video.keyframe_gap_ms <= plan.thumbnail_ms {
        list.add("-skip_frame nokey");
    }
    list.source(&plan.source.path, limits.threads);
    let size = fitting(video.display, ROOM);
    let tile = tile(plan);
    let interval = plan.thumbnail_ms;
    // One of each stretch of equal length, of the first two minutes at most: beginnings tell more than endings.
    let per_kiloseconds =
        (POSTERS * 1_000_000 / plan.duration_ms.max(1)).clamp(1_000_000 / INTERVAL_MS, POSTERS_PER_SECOND * 1000);
    let sdr = if video.range == DynamicRange::Sdr {
        String::new()
    } else {
        command::sdr(plan, &format!("w={}:h={}:", size.width, size.height))
    };
    let shape = |size: Size| format!("scale={}:{}:out_range=pc,format=yuvj420p,setsar=1", size.width, size.height);
    list.push("-filter_complex").push(format!(
        "[0:{stream}]{timeline},split=2[a][b];[a]fps=1000/{interval}:round=up:start_time=0,{sdr}{thumb},split=2[thumb][small];\
         [small]{small},tile={TILES}x{TILES}[sprite];\
         [b]fps={per_kiloseconds}/1000:round=up,{sdr}{thumb},signalstats,\
         metadata=mode=select:key=lavfi.signalstats.YAVG:value={DARK}:function=greater,thumbnail={POSTERS}[poster]",
        stream = video.stream,
        timeline = command::on_timeline(plan),
        thumb = shape(size),
        small = shape(tile),
    ));
    // In patterns a percent sign is written twice.
    let pattern = |name: &str| format!("file:{}/{name}", folder.display().to_string().replace('%', "%%"));
    list.add(&format!("-map [thumb] -frames:v {THUMBNAILS_MAX} -q:v {QUALITY} -f image2"))
        .push(pattern("thumb_%05d.jpg"));
    list.add(&format!("-map [sprite] -q:v {QUALITY} -f image2")).push(pattern("sprite_%02d.jpg"));
    list.add(&format!("-map [poster] -frames:v 1 -q:v {QUALITY} -f image2 -update 1")).output(folder, "poster.jpg");
    list.0
}

fn fitting(display: Size, room: (u32, u32)) -> Size {
    let (long, short) = room;
    // Portraits lie in the same room: the height is what a page is short of.
    inside(display, Size { width: long, height: short })
}

/// Size of a picture in a sprite.
fn tile(plan: &Plan) -> Size {
    let display = plan.source.video.as_ref().map_or(Size { width: 16, height: 9 }, |video| video.display);
    let size = fitting(display, TILE_ROOM);
    Size { width: even(size.width.into()), height: even(size.height.into()) }
}

/// Where in which sprite the picture of each time is: WebVTT whose cues are media fragments (W3C Media Fragments URI §4.2.2).
pub(super) fn sprite_vtt(plan: &Plan, thumbnails: u64) -> String {
    let size = tile(plan);
    let mut text = "WEBVTT\n".to_owned();
    for number in 0..thumbnails {
        let start = number * plan.thumbnail_ms;
        let end = if number + 1 == thumbnails { plan.duration_ms.max(start + 1) } else { start + plan.thumbnail_ms };
        let (sprite, place) = (number / (TILES * TILES) + 1, number % (TILES * TILES));
        let (x, y) = (place % TILES * u64::from(size.width), place / TILES * u64::from(size.height));
        text.push_str(&format!(
            "\n{} --> {}\nsprite_{sprite:02}.jpg#xywh={x},{y},{},{}\n",
            clock(start),
            clock(end),
            size.width,
            size.height
        ));
    }
    text
}

fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_are_spread_over_long_files() {
        assert_eq!((interval_ms(1), interval_ms(2_500_000), interval_ms(36_000_000)), (5000, 5000, 72_000));
        assert_eq!(clock(3_723_004), "01:02:03.004");
    }
}
