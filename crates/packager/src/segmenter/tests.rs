//! Where cuts fall, by hand-made samples.

use bytes::Bytes;

use anabranch_media::Codec;

use super::*;

fn video(config: &'static [u8]) -> Arc<Track> {
    Arc::new(Track {
        kind: TrackKind::Video,
        timescale: 1000,
        codec: Codec::H264(Bytes::from_static(config)),
        codecs: "avc1.64001f".into(),
        width: 1280,
        height: 720,
        sample_rate: 0,
        channels: 0,
        frame_samples: 0,
    })
}

fn audio() -> Arc<Track> {
    Arc::new(Track {
        kind: TrackKind::Audio,
        timescale: 1000,
        // AAC-LC, 48 kHz, stereo.
        codec: Codec::Aac(Bytes::from_static(&[0x11, 0x90])),
        codecs: "mp4a.40.2".into(),
        width: 0,
        height: 0,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
    })
}

fn picture(ms: i64, keyframe: bool) -> Event {
    Event::Sample(Sample {
        kind: TrackKind::Video,
        dts: ms,
        pts: ms + 40,
        keyframe,
        data: Bytes::from_static(&[1; 100]),
    })
}

fn sound(ms: i64) -> Event {
    Event::Sample(Sample {
        kind: TrackKind::Audio,
        dts: ms,
        pts: ms,
        keyframe: true,
        data: Bytes::from_static(&[2; 10]),
    })
}

/// Events of `[from, to)` in order of time: 25 pictures a second, a keyframe every `gop_ms`, sound frame by frame.
fn stream(from: i64, to: i64, gop_ms: i64, with: &[TrackKind]) -> Vec<Event> {
    let mut events: Vec<(i64, Event)> = Vec::new();
    if with.contains(&TrackKind::Video) {
        events.extend((from..to).step_by(40).map(|ms| (ms, picture(ms, (ms - from) % gop_ms == 0))));
    }
    if with.contains(&TrackKind::Audio) {
        let frames = (to - from) * 48 / 1024;
        events.extend((0..frames).map(|n| from + n * 1024 / 48).map(|ms| (ms, sound(ms))));
    }
    events.sort_by_key(|(ms, _)| *ms);
    events.into_iter().map(|(_, event)| event).collect()
}

const BOTH: &[TrackKind] = &[TrackKind::Video, TrackKind::Audio];

fn run(segmenter: &mut Segmenter, events: impl IntoIterator<Item = Event>) -> Vec<Closed> {
    let mut out = Vec::new();
    for event in events {
        segmenter.push(event, 1_000_000, &mut out);
    }
    out
}

fn begin(target: u32, tracks: &[Arc<Track>]) -> Segmenter {
    let mut segmenter = Segmenter::new(target, 0);
    run(&mut segmenter, tracks.iter().cloned().map(Event::Track));
    segmenter
}

fn seconds(closed: &[Closed]) -> Vec<f64> {
    closed.iter().map(|closed| closed.parts[0].run.duration_seconds).collect()
}

#[test]
fn cuts_fall_on_keyframes_at_the_target() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let closed = run(&mut segmenter, stream(0, 26_000, 2000, BOTH));
    assert_eq!(seconds(&closed), [2.0, 2.0, 2.0, 2.0, 2.0, 6.0, 6.0]);
    assert!(closed[0].discontinuity && closed[1..].iter().all(|c| !c.discontinuity));
    assert!(closed.iter().all(|c| c.parts[0].run.samples[0].keyframe), "each segment can be decoded by itself");
}

#[test]
fn short_segments_come_until_players_can_start_and_no_longer() {
    for (target, gop_ms, wanted) in [
        (6, 1_000, &[2.0, 2.0, 2.0, 2.0, 2.0, 6.0][..]),
        (6, 3_000, &[3.0, 3.0, 3.0, 3.0, 6.0]),
        (4, 1_000, &[2.0, 2.0, 2.0, 1.0, 4.0]),
        (3, 400, &[2.0, 2.0, 1.6, 3.2]),
        (2, 1_000, &[2.0, 2.0, 2.0, 2.0]),
        (1, 1_000, &[1.0, 1.0, 1.0, 1.0]),
    ] {
        let mut segmenter = begin(target, &[video(b"a"), audio()]);
        let closed = run(&mut segmenter, stream(0, 20_000, gop_ms, BOTH));
        assert_eq!(seconds(&closed)[..wanted.len()], *wanted, "target {target}, a keyframe each {gop_ms} ms");
    }
}

#[test]
fn a_keyframe_that_is_a_millisecond_early_ends_a_short_segment() {
    let mut segmenter = begin(6, &[video(b"a")]);
    let pictures = (0..30_000).step_by(40).map(|ms| picture(ms - i64::from(ms > 0), ms % 2_000 == 0));
    let closed = run(&mut segmenter, pictures);
    assert!(closed.iter().take(5).all(|c| c.parts[0].run.duration_seconds < 2.1), "{:?}", seconds(&closed));
}

#[test]
fn all_renditions_are_cut_at_the_same_time() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let closed = run(&mut segmenter, stream(0, 26_000, 2000, BOTH));
    let mut video_end = 0.0;
    let mut audio_end = 0.0;
    for segment in &closed {
        let (v, a) = (&segment.parts[0], &segment.parts[1]);
        assert!((v.run.base_decode_time as f64 / 90_000.0 - video_end).abs() < 1e-9);
        assert!((a.run.base_decode_time as f64 / 48_000.0 - audio_end).abs() < 1e-9, "sound joins without a gap");
        video_end += v.run.duration_seconds;
        audio_end += a.run.duration_seconds;
        assert!((video_end - audio_end).abs() < 0.03);
    }
}

#[test]
fn a_keyframe_interval_that_does_not_divide_the_target_cuts_early_rather_than_late() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let closed = run(&mut segmenter, stream(0, 30_000, 4000, BOTH));
    assert!(seconds(&closed).iter().all(|s| (*s - 4.0).abs() < 1e-9), "{:?}", seconds(&closed));
}

#[test]
fn without_keyframes_a_segment_ends_at_the_limit() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let closed = run(&mut segmenter, stream(0, 70_000, 1_000_000, BOTH));
    assert_eq!(seconds(&closed), [30.0, 30.0]);
}

#[test]
fn sound_alone_is_packaged_after_a_short_preroll() {
    let mut segmenter = begin(6, &[audio()]);
    let closed = run(&mut segmenter, stream(0, 20_000, 2000, &[TrackKind::Audio]));
    assert!(closed.len() >= 4);
    assert_eq!(closed[0].parts.len(), 1);
    assert!(seconds(&closed).iter().all(|s| *s < 6.1), "{:?}", seconds(&closed));
}

#[test]
fn pictures_alone_are_packaged() {
    let mut segmenter = begin(6, &[video(b"a")]);
    let closed = run(&mut segmenter, stream(0, 20_000, 2000, &[TrackKind::Video]));
    assert_eq!(seconds(&closed), [2.0, 2.0, 2.0, 2.0, 2.0, 6.0]);
    assert_eq!(closed[0].parts.len(), 1);
}

#[test]
fn a_codec_change_begins_a_period() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let mut closed = run(&mut segmenter, stream(0, 7_000, 2000, BOTH));
    closed.extend(run(&mut segmenter, [Event::Track(video(b"b"))]));
    closed.extend(run(&mut segmenter, stream(7_000, 14_000, 2000, BOTH)));
    let first_of_new = closed.iter().position(|c| c.parts[0].track.codec == video(b"b").codec).unwrap();
    assert!(closed[first_of_new].discontinuity);
    assert!(closed[first_of_new - 1].parts[0].track.codec == video(b"a").codec);
    let end_of_old = closed[first_of_new - 1].start_ms + 1000;
    assert!(closed[first_of_new].start_ms >= end_of_old, "the timeline goes on");
}

#[test]
fn a_repeated_configuration_changes_nothing() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let mut closed = run(&mut segmenter, stream(0, 5_000, 2000, BOTH));
    closed.extend(run(&mut segmenter, [Event::Track(video(b"a")), Event::Track(audio())]));
    closed.extend(run(&mut segmenter, stream(6_000, 14_000, 2000, BOTH)));
    assert_eq!(closed.iter().filter(|c| c.discontinuity).count(), 1);
}

#[test]
fn a_new_session_goes_on_behind_the_old_one() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let mut closed = run(&mut segmenter, stream(0, 7_000, 2000, BOTH));
    segmenter.end_session(&mut closed);
    let end = closed.last().map(|c| c.start_ms + (c.parts[0].run.duration_seconds * 1000.0) as i64).unwrap();
    assert_eq!(end, 7_000, "what was open is published");
    closed.extend(run(&mut segmenter, [Event::Track(video(b"a")), Event::Track(audio())]));
    let later = run(&mut segmenter, stream(0, 7_000, 2000, BOTH));
    assert_eq!(later[0].start_ms, 7_000);
    assert!(later[0].discontinuity);
}

#[test]
fn sound_that_stops_becomes_silence() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let mut closed = run(&mut segmenter, stream(0, 4_000, 2000, BOTH));
    closed.extend(run(&mut segmenter, stream(4_000, 24_000, 2000, &[TrackKind::Video])));
    assert!(closed.len() >= 4, "{:?}", seconds(&closed));
    assert_eq!(closed.iter().filter(|c| c.discontinuity).count(), 1);
    let sound: f64 = closed.iter().map(|c| c.parts[1].run.duration_seconds).sum();
    let picture: f64 = closed.iter().map(|c| c.parts[0].run.duration_seconds).sum();
    assert!((sound - picture).abs() < 0.05, "{sound} {picture}");
}

#[test]
fn pictures_before_the_first_keyframe_are_left_out() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let mut events = vec![picture(0, false), sound(0), picture(40, false)];
    events.extend(stream(80, 5_080, 2000, BOTH));
    let closed = run(&mut segmenter, events);
    assert_eq!(closed[0].parts[0].run.base_decode_time, 0);
    assert!(closed[0].parts[0].run.samples[0].keyframe);
}

#[test]
fn the_wall_clock_of_a_segment_advances_with_its_media() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let closed = run(&mut segmenter, stream(0, 14_000, 2000, BOTH));
    assert!((closed[0].program_date_time_ms - 1_000_000).abs() <= 40, "{}", closed[0].program_date_time_ms);
    assert_eq!(closed[3].program_date_time_ms - closed[0].program_date_time_ms, 6_000);
}

#[test]
fn the_wall_clock_goes_on_where_the_next_encoder_overlaps_by_a_little() {
    let mut segmenter = begin(6, &[video(b"a"), audio()]);
    let mut closed = Vec::new();
    let mut feed = |segmenter: &mut Segmenter, events: Vec<Event>, late_ms: i64| {
        for event in events {
            let at = if let Event::Sample(sample) = &event { sample.dts } else { 0 };
            segmenter.push(event, 1_000_000 + at + late_ms, &mut closed);
        }
        segmenter.end_period(&mut closed);
        closed.last().map(|c| c.program_date_time_ms - 1_000_000).unwrap()
    };
    assert!(feed(&mut segmenter, stream(0, 2_000, 2000, BOTH), 0).abs() <= 40);
    assert!((feed(&mut segmenter, stream(2_000, 4_000, 2000, BOTH), -500) - 2_000).abs() <= 40, "no step back");
    assert!((feed(&mut segmenter, stream(4_000, 6_000, 2000, BOTH), 3_000) - 7_000).abs() <= 40, "a loss is a loss");
    assert!((feed(&mut segmenter, stream(6_000, 8_000, 2000, BOTH), -60_000) + 54_000).abs() <= 40, "a clock was set");
}

/// Start and end of a run, in units of its lane.
fn reach(part: &Part) -> (i64, i64) {
    let begin = i64::try_from(part.run.base_decode_time).unwrap();
    (begin, begin + part.run.samples.iter().map(|sample| i64::from(sample.duration)).sum::<i64>())
}

#[test]
fn sound_of_two_encoders_meets_without_a_hole() {
    // Wherever in a frame of either the switch falls.
    for (ends, phase) in [(8_000, 0), (8_010, 7), (8_003, 20), (8_019, 13), (8_000, 1), (7_950, 19), (7_930, 3)] {
        let mut segmenter = begin(2, &[video(b"a"), audio()]);
        let first = stream(0, 8_000, 2_000, BOTH);
        let first = first.into_iter().filter(|event| match event {
            Event::Sample(sample) => sample.kind == TrackKind::Video || sample.dts < ends,
            _ => true,
        });
        let mut closed = run(&mut segmenter, first);
        let mut ended = Vec::new();
        segmenter.end_session(&mut ended);
        run(&mut segmenter, [Event::Track(video(b"b")), Event::Track(audio())]);
        let sounds = stream(50_000 - 100 + phase, 58_000, 2_000, &[TrackKind::Audio]);
        let mut second = [stream(50_000, 58_000, 2_000, &[TrackKind::Video]), sounds].concat();
        second.sort_by_key(|event| match event {
            Event::Sample(sample) => sample.dts,
            _ => 0,
        });
        ended.extend(run(&mut segmenter, second));
        closed.extend(ended);
        assert_eq!(closed.iter().filter(|closed| closed.discontinuity).count(), 2);
        for pair in closed.windows(2) {
            let [(_, picture_end), (picture, _)] = [0, 1].map(|n| reach(&pair[n].parts[0]));
            assert!((picture - picture_end).abs() <= 90, "pictures join within a millisecond: {picture_end} {picture}");
            let [(_, sound_end), (sound, _)] = [0, 1].map(|n| reach(&pair[n].parts[1]));
            assert_eq!(sound, sound_end, "{ends} {phase}");
        }
        // And it stays beside its picture.
        let after = &closed.iter().rev().find(|closed| closed.discontinuity).unwrap().parts;
        let told_ms = after[1].run.told_ms;
        let placed_ms = reach(&after[1]).0 * 1000 / 48_000;
        assert!((placed_ms - told_ms).abs() <= 12, "moved by {} ms", placed_ms - told_ms);
    }
}
