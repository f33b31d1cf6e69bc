//! A ladder of chunk files, as encoders leave it.

use std::path::PathBuf;

use anabranch_packager::vod::{Container, Cuts, Input, Kind, VodError, package, publish};

use super::support::{Bench, TARGET, packets, pictures, plan};

/// Chunks of four seconds on one line of time.
fn chunks(bench: &Bench, name: &str, size: &str, more: &str) -> Vec<PathBuf> {
    let chunk = |number: u32| {
        let arguments = format!(
            "-f lavfi -i testsrc2=size={size}:rate=30000/1001 -frames:v 120 -c:v libx264 -preset veryfast -bf 2 -g 60 -keyint_min 60 \
             -sc_threshold 0 -pix_fmt yuv420p {more} -output_ts_offset {}",
            f64::from(number * 120) * 1001.0 / 30_000.0
        );
        bench.make(&arguments, &format!("{name}_{number}.mp4"))
    };
    (0..3).map(chunk).collect()
}

#[tokio::test]
async fn chunks_join_without_a_seam_and_rungs_agree() {
    let bench = Bench::new(Container::Cmaf);
    let low = Input { chunks: chunks(&bench, "low", "160x90", ""), track: 0 };
    // The other rung counts otherwise and is fragmented.
    let more = "-video_track_timescale 90000 -movflags +frag_keyframe+delay_moov";
    let high = Input { chunks: chunks(&bench, "high", "320x180", more), track: 0 };
    let sound = bench.make("-f lavfi -i sine=sample_rate=44100 -t 12.012 -c:a aac", "sound.mp4");
    let sound = Input { chunks: vec![sound], track: 0 };
    let cuts = Cuts::decide(Kind::Video, &low, &[(Kind::Audio, sound.clone())], TARGET).await.unwrap();
    assert_eq!((cuts.segments(), cuts.target_duration_seconds()), (6, 2));
    let mut summaries = Vec::new();
    for (name, kind, input) in
        [("90", Kind::Video, &low), ("180", Kind::Video, &high), ("audio_1_und", Kind::Audio, &sound)]
    {
        let summary = package(&bench.output, &plan(name, kind, input.clone()), &cuts).await.unwrap();
        assert_eq!((summary.segments, summary.misaligned, summary.target_duration_seconds), (6, 0, 2), "{name}");
        summaries.push(summary);
    }
    publish(&bench.output, &summaries, None).await.unwrap();
    for (name, input) in [("m1_90.m3u8", &low), ("m1_180.m3u8", &high)] {
        let found = packets(&bench.out(name), "v");
        assert_eq!(found.len(), 360);
        let mut shown: Vec<f64> = found.iter().map(|packet| packet.pts).collect();
        shown.sort_by(f64::total_cmp);
        for (index, pts) in shown.iter().enumerate() {
            assert!((pts - 10.0 - index as f64 * 1001.0 / 30_000.0).abs() < 1e-4, "{name}: {index} at {pts}");
        }
        let whole: Vec<String> = input.chunks.iter().flat_map(|chunk| pictures(chunk)).collect();
        assert!(pictures(&bench.out(name)) == whole, "{name}");
        let durations: Vec<_> = bench.media(name).segments.iter().map(|segment| segment.duration_seconds).collect();
        assert_eq!(durations, [2.002; 6], "{name}");
    }
    assert_eq!((summaries[0].frame_rate, summaries[0].samples), (Some(29.97), 360));
    let order: Vec<_> = bench.multivariant().variants.into_iter().map(|variant| variant.uri).collect();
    assert_eq!(order.len(), 2);
}

#[tokio::test]
async fn chunks_in_the_wrong_order_are_refused() {
    let bench = Bench::new(Container::Cmaf);
    let mut files = chunks(&bench, "low", "160x90", "");
    files.swap(0, 1);
    let input = Input { chunks: files, track: 0 };
    let refused = Cuts::decide(Kind::Video, &input, &[], TARGET).await.unwrap_err();
    assert!(matches!(refused, VodError::Time { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_chunk_of_another_coding_is_refused() {
    let bench = Bench::new(Container::Cmaf);
    let mut files = chunks(&bench, "low", "160x90", "");
    files[1] = chunks(&bench, "other", "320x180", "").swap_remove(1);
    let input = Input { chunks: files, track: 0 };
    let refused = Cuts::decide(Kind::Video, &input, &[], TARGET).await.unwrap_err();
    assert!(matches!(refused, VodError::Changed { .. }), "{refused:?}");
}
